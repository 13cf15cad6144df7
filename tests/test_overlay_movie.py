"""Overlay movies, as Pillow and PyAV read them: a frame for each, outlines where objects are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.colours import colour_of
from napari_sam_i2v.overlay_movie import save_overlay
from tests import tiny


def moving(frames: int = 5) -> np.ndarray:
    labels = np.zeros((frames, tiny.SIZE, tiny.SIZE), np.uint16)
    for t in range(frames):
        labels[t, 10:20, 4 + 6 * t : 14 + 6 * t] = 1
    return labels


def read(path: Path) -> np.ndarray:
    """All frames (T, H, W, 3), by a reader that is not ours."""
    if path.suffix == ".gif":
        with Image.open(path) as image:
            return np.stack(
                [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(image)]
            )
    av = pytest.importorskip("av", reason="the extra video is not installed")
    with av.open(str(path)) as container:
        return np.stack([one.to_ndarray(format="rgb24") for one in container.decode(video=0)])


@pytest.mark.parametrize("name", ["overlay.gif", "overlay.mp4"])
def test_every_frame_shows_its_outlines(tmp_path: Path, name: str):
    if name.endswith("mp4"):
        pytest.importorskip("av", reason="the extra video is not installed")
    labels = moving()
    frames = read(save_overlay(tiny.blobs(len(labels)), labels, tmp_path / name)).astype(int)
    assert len(frames) == len(labels)
    size = frames.shape[2] / tiny.SIZE
    for t, frame in enumerate(frames):
        coloured = (np.abs(frame - colour_of(1)).sum(axis=2) < 150).any(axis=0)
        left, right = np.flatnonzero(coloured)[[0, -1]] / size
        assert (left, right) == pytest.approx((4 + 6 * t, 14 + 6 * t), abs=1.5)


def test_neither_overwrites_nor_leaves_half_a_file(tmp_path: Path):
    path = tmp_path / "overlay.gif"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        save_overlay(tiny.blobs(5), moving(), path)
    assert path.read_bytes() == b"mine"
    with pytest.raises(InputError, match="as large as its labels"):
        save_overlay(tiny.blobs(4), moving(), tmp_path / "other.gif")
    with pytest.raises(InputError, match=r"\.mp4 or \.gif"):
        save_overlay(tiny.blobs(5), moving(), tmp_path / "other.avi")
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"napari-sam-i2v\[video\]"):
        save_overlay(tiny.blobs(5), moving(), tmp_path / "overlay.mp4")
    assert list(tmp_path.iterdir()) == []
