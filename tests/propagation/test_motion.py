"""Windows are moved along with what they showed on the frame before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_i2v.propagation import motion
from napari_sam_i2v.propagation.frames import Contrast, FrameSource
from napari_sam_i2v.propagation.motion import FieldMotion, correlated_shift
from napari_sam_i2v.propagation.view import View


def texture(size: int = 160, seed: int = 0) -> np.ndarray:
    """Blobs of all brightnesses (size, size), 0 .. 255."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(size, size)), 3)
    return np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.float32)


def cut(image: np.ndarray, y: int, x: int, side: int = 64) -> np.ndarray:
    return image[50 + y : 50 + y + side, 50 + x : 50 + x + side]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-12, 7), (9, 14)])
def test_a_shift_is_found(shift: tuple[int, int], seed: int) -> None:
    image = texture(seed=seed)
    found = correlated_shift(cut(image, 0, 0), cut(image, -shift[0], -shift[1]), reach=32)
    np.testing.assert_allclose(found, shift, atol=1)


@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_hide_a_shift(seed: int) -> None:
    image, rng = texture(seed=seed), np.random.default_rng(1)
    before, after = (cut(image, *o) + rng.normal(0, 20, (64, 64)) for o in ((0, 0), (7, 4)))
    np.testing.assert_allclose(correlated_shift(before, after, reach=32), (-7, -4), atol=1)


@pytest.mark.parametrize("after", [texture(64, seed=5), np.zeros((64, 64), np.float32)])
def test_pictures_that_have_nothing_in_common_stay(after: np.ndarray) -> None:
    y, x = correlated_shift(np.full((64, 64), 9.0, np.float32), after, reach=32)
    assert (y, x) == (0, 0)
    assert correlated_shift(after, after, reach=32) == (0, 0)


def source(jump: tuple[int, int]) -> FrameSource:
    """Two frames of 100 x 100 whose content jumps in between."""
    image = texture()
    frames = np.stack([image[30:130, 30:130], np.roll(image, jump, (0, 1))[30:130, 30:130]])
    return FrameSource(frames, Contrast(0, 255), 32)


def test_windows_move_with_the_field() -> None:
    views = [View(30, 30, 40, 40), View(10, 40, 32, 32), View.whole((100, 100))]
    moved = FieldMotion(source((7, -5))).moved(1, views)
    for before, after in zip(views[:2], moved[:2], strict=True):
        assert (after.height, after.width) == (before.height, before.width)
        assert after.y - before.y == pytest.approx(7, abs=1.5)
        assert after.x - before.x == pytest.approx(-5, abs=1.5)
    assert moved[2] == views[2]


def test_windows_stay_inside_the_frame_and_on_the_first_frame() -> None:
    views = [View(60, 60, 40, 40)]
    assert FieldMotion(source((7, 5))).moved(1, views) == [View(60, 60, 40, 40)]
    assert FieldMotion(source((7, -5))).moved(0, [View(30, 30, 40, 40)]) == [View(30, 30, 40, 40)]


def test_a_still_field_moves_nothing() -> None:
    views = [View(30, 30, 40, 40), View(5, 7, 33, 50)]
    assert FieldMotion(source((0, 0))).moved(1, views) == views


def test_a_window_that_stays_is_cut_out_once_per_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it showed is compared with what comes next; a pass that goes back sees the same."""
    movie = np.stack([np.roll(texture(seed=t // 2), t, 0)[:100, :100] for t in range(6)])
    window = View(30, 30, 40, 40)
    wanted = [
        FieldMotion(FrameSource(movie, Contrast(0, 255), 32)).moved(t, [window]) for t in range(6)
    ]
    cut: list[View] = []
    original = motion.view_planes

    def spied(frame: np.ndarray, view: View, *options: Any) -> np.ndarray:
        cut.append(view)
        return original(frame, view, *options)

    monkeypatch.setattr(motion, "view_planes", spied)
    field = FieldMotion(FrameSource(movie, Contrast(0, 255), 32))
    assert [field.moved(t, [window]) for t in range(1, 6)] == wanted[1:]
    assert len(cut) == 6
    assert [field.moved(t, [window]) for t in (2, 2, 4, 1)] == [wanted[t] for t in (2, 2, 4, 1)]
    assert sum(len(some) for some in field._pictures.values()) <= 2
