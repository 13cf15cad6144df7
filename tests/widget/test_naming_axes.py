"""Axes that a file got wrong are named by the user: the movie is what was meant, unread."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image
from qtpy.QtWidgets import QInputDialog

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.widget.layers import movie_array, resolve_axes, time_axis
from napari_sam_i2v.widget.naming_axes import axis_letters, name_axes

DATA = np.arange(3 * 4 * 6 * 8, dtype=np.uint16).reshape(3, 4, 6, 8)


def movie_of(layer: Image) -> np.ndarray:
    axes = resolve_axes(layer, (0.0,) * layer.ndim)
    return np.asarray(movie_array(layer, axes))


def test_depth_and_time_were_mixed_up() -> None:
    layer = Image(DATA, axis_labels=("t", "z", "y", "x"))
    assert axis_letters(layer) == "TZYX"
    name_axes(layer, "ztyx")
    assert layer.data is DATA and layer.axis_labels == ("z", "t", "y", "x")
    np.testing.assert_array_equal(movie_of(layer), DATA[0])


def test_rows_and_columns_come_last() -> None:
    data = DATA[0].transpose(2, 1, 0)  # x, y, t
    layer = Image(data, scale=(0.5, 0.25, 60), translate=(1, 2, 3), units=("um", "um", "s"))
    name_axes(layer, "XYT")
    np.testing.assert_array_equal(movie_of(layer), DATA[0])
    assert layer.axis_labels == ("t", "y", "x")
    np.testing.assert_array_equal(layer.scale, (60, 0.25, 0.5))
    np.testing.assert_array_equal(layer.translate, (3, 2, 1))
    assert [str(unit) for unit in layer.units] == ["second", "micrometer", "micrometer"]


@pytest.mark.parametrize("kind", ["dask", "zarr", "rgb", "multiscale"])
def test_nothing_is_read_and_colours_stay_last(kind: str, tmp_path: Path) -> None:
    turned = DATA.transpose(2, 3, 1, 0)[..., 0]  # y, x, t
    if kind == "dask":
        layer = Image(da.from_array(turned))
    elif kind == "zarr":
        layer = Image(zarr.create_array(str(tmp_path / "a.zarr"), data=np.array(turned)))
    elif kind == "rgb":
        layer = Image(np.stack([turned.astype(np.uint8)] * 3, axis=-1), rgb=True)
    else:
        layer = Image([turned, turned[::2, ::2]], multiscale=True)
    name_axes(layer, "YXT")
    expected = DATA[0] if kind != "rgb" else np.stack([DATA[0].astype(np.uint8)] * 3, axis=-1)
    np.testing.assert_array_equal(movie_of(layer), expected)
    if kind in ("dask", "zarr"):
        assert isinstance(layer.data, da.Array)
    assert time_axis(layer) == 0


@pytest.mark.parametrize("letters", ["", "TYX", "TTYX", "QZYX", "CZYX", "TZYXS"])
def test_letters_that_do_not_fit(letters: str) -> None:
    layer = Image(DATA)
    with pytest.raises(MovieError, match=r"shape \(3, 4, 6, 8\).*for example TZYX"):
        name_axes(layer, letters)
    assert layer.data is DATA


@pytest.mark.gui
def test_from_the_menu(make_napari_viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_sam_i2v.widget.dock import TrackWidget

    viewer = make_napari_viewer()
    layer = viewer.add_image(DATA, name="wrong")
    dock = TrackWidget(viewer)
    viewer.window.add_dock_widget(dock)
    asked: list[str] = []

    def answer(parent: object, title: str, label: str, *, text: str) -> tuple[str, bool]:
        asked.append(f"{label} [{text}]")
        return "ZTYX", True

    monkeypatch.setattr(QInputDialog, "getText", answer)
    dock.more_menu.fill()
    (entry,) = [one for one in dock.more_menu.actions() if one.text() == "Axes…"]
    assert entry.isEnabled()
    entry.trigger()
    assert "3 × 4 × 6 × 8" in asked[0] and asked[0].endswith("[TZYX]")
    assert layer.axis_labels == ("z", "t", "y", "x")
