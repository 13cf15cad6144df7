"""What is prepared in the dock runs on the command line, and gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from napari.components import ViewerModel
from tests.tiny import CLICKS, blobs, write_movie
from tests.widget.test_tracking import drive, planes

from napari_sam_i2v.cli import main
from napari_sam_i2v.widget.tracking import TrackController

LIMITS = (200, 3200)
MOVIE = blobs(frames=3)


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[TrackController]:
    """Two objects tracked by the embedded network, with as many threads as the command gets."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    viewer = ViewerModel()
    image = viewer.add_image(MOVIE, name="blobs", contrast_limits=LIMITS)
    controller = TrackController(viewer)
    controller.open(image, device="cpu", folder=tmp_path / "s.sam-i2v")
    for object_id, *place in CLICKS:
        controller.current_object = object_id
        controller.prompt_layers.points.add([place])
    controller.propagate()
    drive(controller)
    yield controller
    controller.close()
    torch.set_num_threads(threads)


def test_a_session_goes_on_without_a_window(controller: TrackController, tmp_path: Path) -> None:
    """Saved prompts, and those in the session's folder, give the same labels to the byte."""
    tracked, movie = planes(controller), write_movie(tmp_path / "movie.tif", MOVIE)
    for object_id, frame, y, x in CLICKS:
        assert tracked[frame, int(y), int(x)] == object_id
    controller.save_prompts(tmp_path / "prompts.csv")
    drive(controller)
    assert controller.folder is not None
    saved = (tmp_path / "prompts.csv", controller.folder / "prompts.json")
    for number, prompts in enumerate(saved):
        out = tmp_path / f"labels{number}.tif"
        code = main([
            "segment", str(movie), "--prompts", str(prompts), "--output", str(out), "--quiet",
            "--device", "cpu", "--threads", "1", "--contrast", *map(str, LIMITS),
        ])  # fmt: skip
        assert code == 0
        np.testing.assert_array_equal(tifffile.imread(out), tracked)

    controller.save_labels(tmp_path / "labels.zarr")
    drive(controller)
    group = zarr.open_group(tmp_path / "labels.zarr", mode="r")
    (first,) = group.attrs["ome"]["multiscales"]
    np.testing.assert_array_equal(group[first["datasets"][0]["path"]][:], tracked)
    assert [axis["name"] for axis in first["axes"]] == ["t", "y", "x"]
