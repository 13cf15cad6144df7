"""Layers that were drawn before the dock was opened become prompts, and are tracked to the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from tests.propagation.fakes import discs
from tests.widget.test_tracking import drive, opened, planes

from napari_sam_i2v.widget.tracking import TrackController

PLACED: dict[str, Any] = {"scale": (2.0, 0.5, 0.5), "translate": (10.0, -3.0, 8.0)}
CENTRES = [
    [(12.0, 12.0 + t), (12.0, 40.0 + t), (36.0, 12.0 + t), (36.0, 40.0 + t)] for t in range(6)
]
VALUES = (200, 160, 120, 80)
MOVIE = discs(CENTRES, (48, 64), values=VALUES)
IDS = (3, 7, 8, 40)
"""Of a segmentation: neither in order nor without gaps."""


def segmentation(frame: int = 0) -> np.ndarray:
    """What some program made of a frame (Y, X)."""
    plane = np.zeros(MOVIE.shape[1:], np.int64)
    for object_id, value in zip(IDS, VALUES, strict=True):
        plane[MOVIE[frame] == value] = object_id
    return plane


def expected(ids: tuple[int, ...] = IDS) -> np.ndarray:
    """The labels of the whole movie (T, Y, X)."""
    out = np.zeros(MOVIE.shape, np.uint16)
    for object_id, value in zip(ids, VALUES, strict=True):
        out[value == MOVIE] = object_id
    return out


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Share of object pixels with the same label."""
    either = (a > 0) | (b > 0)
    return float((a == b)[either].mean())


@pytest.fixture
def viewer() -> ViewerModel:
    """All that the user has drawn: no dock yet."""
    viewer = ViewerModel()
    viewer.add_image(MOVIE, name="cells", **PLACED)
    flat = {name: value[1:] for name, value in PLACED.items()}
    viewer.add_labels(segmentation(), name="frame 0", **flat)
    series = np.zeros(MOVIE.shape, np.uint16)
    series[0] = segmentation()
    viewer.add_labels(series, name="series", **PLACED)
    places = [[0, y, x] for y, x in CENTRES[0]]
    viewer.add_points(places, name="dots", **PLACED)
    boxes = [[[0, y - 7, x - 7], [0, y + 7, x + 7]] for y, x in CENTRES[0]]
    corners = [[[0, a[1], a[2]], [0, a[1], b[2]], [0, b[1], b[2]], [0, b[1], a[2]]]
               for a, b in boxes]  # fmt: skip
    viewer.add_shapes(corners, shape_type="rectangle", name="boxes", **PLACED)
    return viewer


@pytest.fixture
def controller(
    viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrackController]:
    with opened(viewer, tmp_path / "s.sam-i2v", monkeypatch) as controller:
        controller.go_to(0)
        yield controller


def test_all_of_them_are_offered_and_none_is_taken(controller: TrackController) -> None:
    names = [layer.name for layer in controller.prompt_sources()]
    assert names == ["frame 0", "series", "dots", "boxes"]
    assert [row.prompts for row in controller.rows()] == [0]
    assert not planes(controller).any()


@pytest.mark.parametrize("name", ["frame 0", "series"])
def test_a_segmentation_of_the_first_frame_is_propagated_whole(
    controller: TrackController, viewer: ViewerModel, name: str
) -> None:
    given = np.array(viewer.layers[name].data)
    controller.take_prompts(viewer.layers[name])
    drive(controller)
    rows = {row.object_id: row.prompts for row in controller.rows() if row.prompts}
    assert rows == dict.fromkeys(IDS, 1)  # one mask prompt per label
    np.testing.assert_array_equal(planes(controller)[0], segmentation())
    controller.propagate()
    drive(controller)
    assert agreement(planes(controller), expected()) > 0.9
    np.testing.assert_array_equal(planes(controller)[0], segmentation())
    np.testing.assert_array_equal(viewer.layers[name].data, given)  # the user's own is left alone


@pytest.mark.parametrize("name", ["dots", "boxes"])
def test_points_and_boxes_become_an_object_each(
    controller: TrackController, viewer: ViewerModel, name: str
) -> None:
    controller.take_prompts(viewer.layers[name])
    drive(controller)
    assert [row.object_id for row in controller.rows() if row.prompts] == [1, 2, 3, 4]
    own = controller.prompt_layers
    assert len(own.points.data if name == "dots" else own.boxes.data) == 4  # shown as ours, too
    if name == "boxes":
        return  # the engine of this test sees brightness, not boxes
    controller.propagate()
    drive(controller)
    for frame, centres in zip(planes(controller), CENTRES, strict=True):
        assert [int(frame[int(y), int(x)]) for y, x in centres] == [1, 2, 3, 4]
    assert agreement(planes(controller), expected((1, 2, 3, 4))) > 0.8
    assert len(viewer.layers[name].data) == 4
