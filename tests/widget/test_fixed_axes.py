"""A label store with the axes of its layer: read and written as numpy would, without a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam_i2v.movies.labels import LabelStore
from napari_sam_i2v.widget.fixed_axes import FixedAxes
from napari_sam_i2v.widget.layers import resolve_axes
from napari_sam_i2v.widget.opening import Opening, open_folder

MASK = np.zeros((5, 1, 6, 7), bool)
MASK[[1, 4], 0, 2, [3, 6]] = True
KEYS = {
    "frame": 3,
    "numpy frame": np.int64(3),
    "last frame": -1,
    "plane as shown": (2, 0, slice(None), slice(None)),
    "plane, counted from the end": (2, -1),
    "part of a plane": (2, 0, slice(1, 4), slice(2, 9)),
    "part, axes kept": (slice(2, 3), slice(0, 1), slice(1, 4), slice(2, 6)),
    "steps": (slice(0, 5, 2), 0, slice(None, None, 3)),
    "rolled view": (slice(None), slice(None), 3, slice(None)),
    "everything": Ellipsis,
    "ellipsis": (1, ..., slice(2, 4)),
    "ellipsis for nothing": (1, 0, ..., 2, 3),
    "pixel": (1, 0, 2, 3),
    "nothing of the fixed axis": (slice(None), slice(1, 1)),
    "no frame": slice(0, 0),
    "painted": (np.array([1, 1, 3]), np.zeros(3, int), np.array([2, 3, 5]), np.array([0, 6, 1])),
    "painted, lists": ([1, 3], [0, -1], [2, 3], [0, 6]),
    "painted nowhere": (np.empty(0, int),) * 4,
    "pixels of a frame": (2, 0, np.array([2, 3]), np.array([0, 6])),
    "frames": [1, 3],
    "rows": (slice(1, 3), 0, np.array([4, 2])),
    "rows of frames": np.ix_([1, 2], [0], [4, 2], [3]),
    "mask": MASK,
    "axis before": (None, 2),
}  # fmt: skip


@pytest.fixture
def both() -> tuple[Any, FixedAxes, np.ndarray]:
    """A zarr array (T, Y, X), the same with an axis more, and what numpy makes of it."""
    plain = np.random.default_rng(0).integers(1, 999, (5, 6, 7), dtype=np.uint16)
    stored = zarr.array(plain, chunks=(1, 6, 7))
    return stored, FixedAxes(stored, [1]), plain[:, None].copy()


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_read_as_numpy_would(both: Any, key: Any) -> None:
    _, shown, expected = both
    np.testing.assert_array_equal(shown[key], expected[key], strict=True)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_written_as_numpy_would(both: Any, key: Any) -> None:
    stored, shown, expected = both
    values = np.arange(expected[key].size).reshape(expected[key].shape) + 2000
    for new in (values, 7, np.uint16(9)):
        shown[key] = new
        expected[key] = new
        np.testing.assert_array_equal(stored[:], expected[:, 0])


@pytest.mark.parametrize("key", [5, (0, 1), (0, 0, 0, 7), (0,) * 5, ([0], [1], [0], [0])])
def test_what_is_not_there(both: Any, key: Any) -> None:
    _, shown, _ = both
    with pytest.raises(IndexError):
        shown[key]


@pytest.mark.parametrize(("fixed", "shape"), [([0], (1, 5, 6, 7)), ([0, 2], (1, 5, 1, 6, 7))])
def test_axes_anywhere(both: Any, fixed: list[int], shape: tuple[int, ...]) -> None:
    stored, _, _ = both
    shown = FixedAxes(stored, fixed)
    assert (shown.shape, shown.ndim, shown.size, len(shown)) == (shape, len(shape), 210, 1)
    np.testing.assert_array_equal(np.asarray(shown), stored[:].reshape(shape), strict=True)


def test_a_labels_layer_paints_fills_and_undoes(both: Any) -> None:
    """As on numpy, in all that napari does to the data."""
    stored, shown, expected = both
    expected[:], stored[:] = 0, 0
    viewer = ViewerModel()
    layers: list[Labels] = [viewer.add_labels(data) for data in (shown, expected.copy())]
    viewer.dims.set_point(0, 2)
    for layer in layers:
        layer.brush_size = 3
        layer.selected_label = 4
        layer.paint((2, 0, 2, 3), 4)
        layer.paint((2, 0, 0, 0), 5)
        layer.fill((2, 0, 5, 6), 6)
        layer.paint_polygon([[2, 0, 3, 3], [2, 0, 3, 6], [2, 0, 5, 6]], 8)
        layer.data_setitem(tuple(np.array([[2, 2], [0, 0], [1, 2], [0, 6]])), 9)
    seen = []

    def compare() -> None:
        ours, numpys = layers
        np.testing.assert_array_equal(stored[:], numpys.data[:, 0])
        np.testing.assert_array_equal(ours._slice.image.raw, numpys._slice.image.raw)
        assert [layer.get_value((2, 0, 2, 6)) for layer in layers].count(ours.data[2, 0, 2, 6]) == 2
        seen.append(stored[:].tobytes())

    compare()
    for step in (Labels.undo,) * 5 + (Labels.redo,) * 3:
        for layer in layers:
            step(layer)
        compare()
    assert len({*seen}) == 6
    viewer.dims.order = (1, 2, 0, 3)  # rolled
    compare()
    viewer.dims.ndisplay = 3
    compare()


def test_opening_a_movie_with_more_axes_reads_no_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store itself is shown: what is painted is in it, and nothing is read beforehand."""
    image = ViewerModel().add_image(np.zeros((5, 3, 6, 7), np.uint8), name="m")
    axes = resolve_axes(image, (0, 0, 0, 0))
    opening = Opening.of(image, axes, model="default", view="auto", device="cpu", precision="auto")
    read: list[Any] = []
    whole = LabelStore.__getitem__
    monkeypatch.setattr(LabelStore, "__getitem__", lambda *at: read.append(at) or whole(*at))
    kept = open_folder(opening, tmp_path / "s.sam-i2v")
    assert kept.shown.shape == (5, 1, 6, 7)
    kept.shown[3, 0, 2, 2:4] = 9
    kept.labels[4] = np.full((6, 7), 3, np.uint16)
    assert (kept.shown[4] == 3).all()
    assert not read
    assert kept.folder.labels[3][2].tolist() == [0, 0, 9, 9, 0, 0, 0]
    kept.folder.close()
