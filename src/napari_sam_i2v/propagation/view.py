"""Where the network looks: the whole frame, or a window that follows an object.

A cell of 20 pixels in a field of 2,000 vanishes when the whole frame is resized to the network's
input. Small objects are therefore seen through a window of a few times their size, placed on
each frame where the object was on the frame before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "MIN_SIDE",
    "View",
    "ViewMode",
    "bounding_box",
    "box_overlap",
    "box_size",
    "click_views",
    "interior_point",
    "place",
    "steady",
    "window",
    "within_box",
]

ViewMode = Literal["auto", "frame", "follow"]

MIN_SIDE = 32
"""Smallest side of a window, in movie pixels."""
CLICK_SIDES = (40, 80, 160, 320, 640, 1280)
"""Sides of the windows that are tried around a first click, whose object's size is unknown."""
STEADY_SHIFT, STEADY_RATIO = 0.03, 1.06
"""How far off a window may be, as a share of its side and as a ratio of sides, to be kept."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """A rectangle of movie pixels that the network sees as its square input.

    Attributes
    ----------
    y, x
        First row and column.
    height, width
        Size in movie pixels.
    """

    y: int
    x: int
    height: int
    width: int

    @classmethod
    def whole(cls, shape: Sequence[int]) -> View:
        """Look at the whole frame of `shape` (Y, X)."""
        return cls(0, 0, int(shape[0]), int(shape[1]))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of this view in a frame."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def centre(self) -> tuple[float, float]:
        """Middle (y, x) of this view, in movie pixels."""
        return self.y + self.height / 2, self.x + self.width / 2

    def to_network(self, points: NDArray[np.floating], size: int) -> NDArray[np.float32]:
        """Map points (N, 2) (y, x) in movie pixels to (x, y) in network pixels.

        Both count from the outer corner of the first pixel, as published.
        """
        offset = np.asarray(points, np.float64) - (self.y, self.x)
        scaled = offset / (self.height, self.width) * size
        return scaled[:, ::-1].astype(np.float32)

    def to_movie(self, box: Sequence[float], side: int) -> tuple[float, float, float, float]:
        """Map a box (y0, x0, y1, x1) on a grid of `side` x `side` over the view to movie pixels."""
        scale = (self.height / side, self.width / side)
        y0, y1 = (self.y + box[i] * scale[0] for i in (0, 2))
        x0, x1 = (self.x + box[i] * scale[1] for i in (1, 3))
        return y0, x0, y1, x1


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """Smallest box (y0, x0, y1, x1), ends exclusive, that holds a mask (Y, X); None if empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def interior_point(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Point (y, x) of a mask (Y, X) that lies farthest from its edge: where a user clicks.

    The frame's border counts as an edge. The first of equals in reading order.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(y), int(x)


def box_size(box: Sequence[float]) -> float:
    """Longer side of a box (y0, x0, y1, x1)."""
    return max(box[2] - box[0], box[3] - box[1])


def box_overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union, 0 .. 1, of two boxes (y0, x0, y1, x1)."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    if height <= 0 or width <= 0:
        return 0.0
    areas = ((y1 - y0) * (x1 - x0) for y0, x0, y1, x1 in (one, other))
    return float(height * width / (sum(areas) - height * width))


def within_box(mask: NDArray[np.bool_], box: Sequence[float]) -> NDArray[np.bool_]:
    """What of a mask (Y, X) lies on pixels that a box (y0, x0, y1, x1) touches."""
    y0, x0 = (max(math.floor(low), 0) for low in box[:2])
    y1, x1 = (max(math.ceil(high), 0) for high in box[2:])
    left = np.zeros_like(mask)
    left[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    return left


def window(
    centre: Sequence[float] | NDArray[np.floating], side: float, shape: Sequence[int]
) -> View:
    """Return the window of a given side around `centre` (y, x), moved to lie inside the frame.

    Where the frame is smaller than `side` along an axis, the window spans that axis.
    """
    sides = [round(min(max(side, MIN_SIDE), extent)) for extent in shape[:2]]
    starts = [
        round(min(max(c - s / 2, 0), extent - s))
        for c, s, extent in zip(centre, sides, shape[:2], strict=True)
    ]
    return View(starts[0], starts[1], sides[0], sides[1])


def click_views(centre: Sequence[float] | NDArray[np.floating], shape: Sequence[int]) -> list[View]:
    """Windows of several sizes around a first click, the whole frame last."""
    limit = 0.8 * max(shape[:2])
    views = [window(centre, side, shape) for side in CLICK_SIDES if side < limit]
    return [*views, View.whole(shape)]


def place(
    box: Sequence[float], shape: Sequence[int], *, scale: float, below: float,
    mode: ViewMode = "auto",
) -> View:  # fmt: skip
    """Choose the view of an object with a given box (y0, x0, y1, x1).

    Parameters
    ----------
    box
        In movie pixels.
    shape
        (Y, X) of a frame.
    scale
        Side of a window in units of the object's size.
    below
        In mode "auto", objects smaller than this share of the frame's longer side get a window.
    mode
        "frame" always looks at the whole frame, "follow" always through a window.
    """
    size = box_size(box)
    small = size < below * max(shape[:2])
    if mode == "frame" or (mode == "auto" and not small):
        return View.whole(shape)
    return window(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), scale * size, shape)


def steady(view: View, wanted: View) -> View:
    """Keep a window that is nearly the one that is wanted, or take the wanted one.

    What a window that stays has shown of earlier frames need not be looked at anew.
    """
    sides = max(view.height, view.width), max(wanted.height, wanted.width)
    if max(sides) > STEADY_RATIO * min(sides):
        return wanted
    (y, x), (wanted_y, wanted_x) = view.centre, wanted.centre
    far = max(abs(y - wanted_y), abs(x - wanted_x)) > STEADY_SHIFT * sides[0]
    return wanted if far else view
