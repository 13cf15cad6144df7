from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.colours import colour_of
from napari_sam_i2v.overlay import check_picture, overlay_sheet, save_picture


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A flat movie (8, 42, 42) with one square, object 3."""
    movie = np.full((8, 42, 42), 1000, np.uint16)
    movie[:, 0, 0] = 0
    labels = np.zeros((8, 42, 42), np.uint16)
    labels[:, 10:30, 12:32] = 3
    return movie, labels


def near(sheet: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(sheet.astype(int) - colour) < 12).all(axis=-1)


def test_outlines_lie_where_the_object_is() -> None:
    movie, labels = scene()
    sheet = overlay_sheet(movie, labels, frames=[2])
    rows, columns = np.nonzero(near(sheet, colour_of(3)))
    scale, gap = 420 / 42, 10
    assert rows.min() == pytest.approx(gap + 10 * scale, abs=scale / 2)
    assert rows.max() == pytest.approx(gap + 30 * scale, abs=scale / 2)
    assert columns.min() == pytest.approx(gap + 12 * scale, abs=scale / 2)
    assert columns.max() == pytest.approx(gap + 32 * scale, abs=scale / 2)


def test_a_click_is_drawn_on_its_frame_only() -> None:
    movie, labels = scene()
    clicks = [(5, 1, 36.0, 6.0)]
    sheet = overlay_sheet(movie, labels, clicks=clicks, frames=[1, 2], columns=2)
    rows, columns = np.nonzero(near(sheet, colour_of(5)))
    assert rows.mean() == pytest.approx(10 + 36.5 * 10, abs=2)
    assert columns.mean() == pytest.approx(10 + 6.5 * 10, abs=2)


def test_six_panels_from_the_first_click_on() -> None:
    movie, labels = scene()
    sheet = overlay_sheet(movie, labels, clicks=[(3, 2, 20.0, 20.0)], title="Square")
    assert sheet.shape == (44 + 2 * 430, 10 + 3 * 430, 3)
    assert sheet.dtype == np.uint8


def test_a_single_pixel_is_seen_too() -> None:
    movie, labels = scene()
    labels[:] = 0
    labels[:, 20, 20] = 3
    assert near(overlay_sheet(movie, labels, frames=[0]), colour_of(3)).any()


def test_rgb_and_empty_labels() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (2, 20, 30, 3), dtype=np.uint8)
    assert overlay_sheet(rgb, np.zeros((2, 20, 30), int)).shape[2] == 3


def test_neighbouring_ids_differ_in_colour() -> None:
    colours = np.array([colour_of(i) for i in range(1, 20)])
    assert np.abs(np.diff(colours, axis=0)).sum(axis=1).min() > 100


def test_pictures_are_not_overwritten_unasked(tmp_path: Path) -> None:
    target = tmp_path / "sheet.png"
    save_picture(np.zeros((4, 4, 3), np.uint8), target)
    with pytest.raises(OutputError, match="exists"):
        save_picture(np.full((4, 4, 3), 9, np.uint8), target)
    save_picture(np.full((4, 4, 3), 9, np.uint8), target, overwrite=True)
    with Image.open(target) as picture:
        assert picture.getpixel((0, 0)) == (9, 9, 9)
    assert [one.name for one in tmp_path.iterdir()] == ["sheet.png"]


def test_names_of_pictures_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png"):
        check_picture(tmp_path / "sheet.tif", overwrite=False)
    with pytest.raises(OutputError, match="does not exist"):
        check_picture(tmp_path / "none" / "sheet.png", overwrite=False)
