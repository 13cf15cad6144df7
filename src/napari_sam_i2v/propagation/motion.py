"""Where things have moved since the frame before, by correlation: windows are moved along.

Fields drift and jump between frames, and tissues flow. A neighbour that lands where an object was
looks just like it. What surrounds the object tells how far it all has gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.propagation.frames import FrameSource, view_planes
from napari_sam_i2v.propagation.view import View, window

__all__ = ["SIDE", "FieldMotion", "correlated_shift", "moved_view"]

SIDE = 64
"""Side, in pixels, to which windows are reduced to be compared."""
REACH = 0.5
"""Largest shift, as a share of a window's side."""
GAIN = 0.05
"""How much better windows must agree, in correlation, for a shift to be believed."""


class FieldMotion:
    """Moves windows along with what they showed on the frame before.

    Parameters
    ----------
    source
        Frames in the direction of the pass.
    """

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        # A window that stays shows on this frame what it is compared with on the next.
        self._pictures: dict[int, dict[View, NDArray[np.floating]]] = {}
        self._moved: tuple[int, dict[View, View]] = (0, {})

    def moved(self, index: int, views: Sequence[View]) -> list[View]:
        """Give windows for a frame.

        Parameters
        ----------
        index
            The frame to look at next.
        views
            Where each object was looked at, placed on what frame `index - 1` showed.

        Returns
        -------
        list of View
            Of the same sizes; views of the whole frame, and those of the first frame, stay.
        """
        if index == 0:
            return list(views)
        if self._moved[0] != index:
            self._moved = (index, {View.whole(self.source.shape): View.whole(self.source.shape)})
            self._pictures = {i: self._pictures.get(i, {}) for i in (index - 1, index)}
        moved = self._moved[1]
        for view in views:
            if view not in moved:
                before, after = (self._picture(i, view) for i in (index - 1, index))
                moved[view] = moved_view(view, before, after, self.source.shape)
        return [moved[view] for view in views]

    def _picture(self, index: int, view: View) -> NDArray[np.floating]:
        """Brightness (`SIDE`, `SIDE`) of what a window shows of a frame."""
        known = self._pictures[index]
        if view not in known:
            frame = self.source.frame(index)
            known[view] = view_planes(frame, view, SIDE, self.source.contrast).mean(axis=0)
        return known[view]


def correlated_shift(
    before: NDArray[np.floating], after: NDArray[np.floating], *, reach: int
) -> tuple[int, int]:
    """Shift (y, x), in pixels, of what two pictures (N, N) show.

    The highest cross-correlation of the pictures, faded out towards their edges, within `reach`
    along each axis. Fading makes small shifts the more likely ones, and large ones come out a
    little short. (0, 0) unless the pictures agree better with the shift than without.
    """
    fade = _fade(before.shape[0])
    first, second = ((image - image.mean()) * fade for image in (before, after))
    near = _correlate(first, second, reach)
    y, x = (int(v) - reach for v in np.unravel_index(int(near.argmax()), near.shape))
    better = _agreement(before, after, y, x) - _agreement(before, after, 0, 0)
    return (y, x) if better > GAIN else (0, 0)


@lru_cache(maxsize=4)
def _fade(side: int) -> NDArray[np.float32]:
    """Weights (side, side) of a picture's pixels that fall to nothing at its edges."""
    along = np.hanning(side + 2)[1:-1]
    fade = np.outer(along, along).astype(np.float32)
    fade.flags.writeable = False
    return fade


def _correlate(
    first: NDArray[np.floating], second: NDArray[np.floating], reach: int
) -> NDArray[np.floating]:
    """Cross-correlation (2 reach + 1, 2 reach + 1) of two pictures, no shift in the middle."""
    size = tuple(n + reach for n in first.shape)  # what is shifted further comes around the edge
    product = np.conj(np.fft.rfft2(first, size)) * np.fft.rfft2(second, size)
    around = np.arange(-reach, reach + 1)
    return np.fft.irfft2(product, size)[np.ix_(around, around)]


def _agreement(before: NDArray[np.floating], after: NDArray[np.floating], y: int, x: int) -> float:
    """Correlation coefficient of the parts that two pictures have in common under a shift."""
    height, width = before.shape
    a = before[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    b = after[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def moved_view(
    view: View, before: NDArray[np.floating], after: NDArray[np.floating], shape: Sequence[int]
) -> View:
    """Move a window in a frame of `shape` (Y, X) along with what it shows.

    `before` and `after` (`SIDE`, `SIDE`) are what it shows on the frame before and on this one.
    """
    y, x = correlated_shift(before, after, reach=round(REACH * SIDE))
    if (y, x) == (0, 0):
        return view
    centre = (
        view.y + view.height / 2 + y * view.height / SIDE,
        view.x + view.width / 2 + x * view.width / SIDE,
    )
    return window(centre, max(view.height, view.width), shape)
