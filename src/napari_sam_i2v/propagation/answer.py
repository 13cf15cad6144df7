"""What the network said of an object on a frame, and the mask in movie pixels that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.propagation.view import Box, View, bounding_box, within_box

__all__ = ["Answer", "ObjectMask", "fill_holes"]

FILLED = 0.1
"""Logit of a filled hole."""
CERTAIN = 1000.0
"""Logit of a pixel that a user painted."""


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """An object on a frame.

    Attributes
    ----------
    box
        (y0, x0, y1, x1) in data pixels, ends exclusive: where `mask` lies.
    mask
        (y1 - y0, x1 - x0) bool; empty where the object is absent.
    score
        Probability, 0 .. 1, that the object is on the frame.
    iou
        Overlap, 0 .. 1, with the truth that is expected of the mask.
    logits
        Mask logits of the same shape, by which overlaps are resolved.
    guess
        The network's own guess of that overlap, where something else is expected.
    """

    box: Box
    mask: NDArray[np.bool_]
    score: float
    iou: float
    logits: NDArray[np.float16]
    guess: float | None = None

    @classmethod
    def given(cls, mask: NDArray[np.bool_], y: int = 0, x: int = 0) -> ObjectMask | None:
        """Take a mask, whose first pixel is (y, x), as certain; None if it is empty."""
        box = bounding_box(mask)
        if box is None:
            return None
        y0, x0, y1, x1 = box
        crop = mask[y0:y1, x0:x1].copy()
        logits = np.where(crop, CERTAIN, -CERTAIN).astype(np.float16)
        return cls((y0 + y, x0 + x, y1 + y, x1 + x), crop, 1.0, 1.0, logits)

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(self.mask.sum())

    def on(self, shape: Sequence[int]) -> NDArray[np.bool_]:
        """Mask on a whole frame of `shape` (Y, X)."""
        plane = np.zeros(tuple(shape[:2]), bool)
        y0, x0, y1, x1 = self.box
        plane[y0:y1, x0:x1] = self.mask
        return plane

    def holds(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which of points (N, 2), (y, x) in data pixels, lie on pixels of the mask: (N,)."""
        at = np.rint(points).astype(int).reshape(-1, 2) - self.box[:2]
        inside = ((at >= 0) & (at < self.mask.shape)).all(axis=1)
        inside[inside] = self.mask[tuple(at[inside].T)]
        return inside

    def part(self, box: Box) -> NDArray[np.bool_]:
        """The part of the mask in a box (y0, x0, y1, x1) within its own; a view of it."""
        y, x = self.box[:2]
        return self.mask[box[0] - y : box[2] - y, box[1] - x : box[3] - x]

    def common_box(self, other: ObjectMask) -> Box | None:
        """What the boxes of two masks have in common; None if nothing."""
        y0, x0 = max(self.box[0], other.box[0]), max(self.box[1], other.box[1])
        y1, x1 = min(self.box[2], other.box[2]), min(self.box[3], other.box[3])
        return None if y0 >= y1 or x0 >= x1 else (y0, x0, y1, x1)

    def common(self, other: ObjectMask) -> int:
        """Pixels that two masks have in common."""
        box = self.common_box(other)
        return 0 if box is None else int((self.part(box) & other.part(box)).sum())

    def is_same_as(self, other: ObjectMask) -> bool:
        """Whether more than half of either mask is in the other, too."""
        common = self.common(other)
        return common > 0.5 * max(self.area, other.area) if common else False

    def shown(self, view: View, side: int) -> NDArray[np.float32]:
        """Share of the mask in each cell of a grid (side, side) over a view."""
        rows, columns = (
            _overlaps(start, length / side, side, low, high)
            for start, length, low, high in (
                (view.y, view.height, self.box[0], self.box[2]),
                (view.x, view.width, self.box[1], self.box[3]),
            )
        )
        return rows @ self.mask.astype(np.float32) @ columns.T

    @property
    def confidence(self) -> float:
        """Overlap with the truth, 0 .. 1, to be expected of it: score times IoU."""
        return self.score * self.iou

    @property
    def claim(self) -> float:
        """What it counts where objects compete: the score times the network's own guess, 0 .. 1."""
        return self.score * (self.iou if self.guess is None else self.guess)


@dataclass(frozen=True, eq=False)
class Answer:
    """The network's answer for one object on one frame, as seen through a view.

    `low` (1, m, m) logits after hole filling, `stored` (1, m, m) as the network gave them,
    `pointer` (C,), `score` a logit and `iou` 0 .. 1. `exact` (Y, X) is the frame's mask where one
    was given: what a user painted stays as it was painted, whatever the network's resolution.
    `heeded` are (y, x) of other objects' clicks that were held against it. `within`
    (y0, x0, y1, x1), in movie pixels, is a box outside of which nothing is the object's.
    """

    view: View
    low: Tensor
    stored: Tensor
    pointer: Tensor
    score: float
    iou: float
    exact: NDArray[np.bool_] | None = None
    heeded: tuple[tuple[float, float], ...] = ()
    within: tuple[float, float, float, float] | None = None

    def heeds(self, clicks: NDArray[np.floating]) -> bool:
        """Whether it heeds others' clicks (N, 2), those that lie on it, and no other ones."""
        if self.exact is not None:
            return True
        on_it = self.paste().holds(clicks)
        known = {tuple(click) for click in clicks.tolist()}
        return {tuple(c) for c in clicks[on_it].tolist()} <= {*self.heeded} <= known

    def expecting(self, iou: float) -> Answer:
        """The same mask, of which another overlap with the truth is to be expected."""
        changed = replace(self, iou=iou)
        vars(changed)["_pasted"] = replace(self.paste(), iou=iou, guess=self.iou)
        return changed

    def paste(self) -> ObjectMask:
        """Mask in movie pixels."""
        return self._pasted

    @cached_property
    def _pasted(self) -> ObjectMask:
        # Asked for twice a frame: to move the window, and to write the labels.
        probability = float(torch.tensor(self.score).sigmoid())
        empty = np.zeros((0, 0))
        absent = ObjectMask((0, 0, 0, 0), empty.astype(bool), probability, self.iou,
                            empty.astype(np.float16))  # fmt: skip
        if self.exact is not None:
            return ObjectMask.given(self.exact) or absent
        if self.score <= 0:
            return absent
        view = self.view
        size = (view.height, view.width)
        logits = F.interpolate(self.low[None], size=size, mode="bilinear")[0, 0].cpu().numpy()
        inside = self._confined(logits > 0)
        box = bounding_box(inside)
        if box is None:
            return absent
        y0, x0, y1, x1 = box
        crop, mask = logits[y0:y1, x0:x1], inside[y0:y1, x0:x1].copy()
        place = (y0 + view.y, x0 + view.x, y1 + view.y, x1 + view.x)
        clipped = np.clip(crop, -1000, 1000).astype(np.float16)
        return ObjectMask(place, mask, probability, self.iou, clipped)

    def _confined(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What of a mask of the view's pixels lies where the object is confined to."""
        if self.within is None:
            return mask
        y0, x0, y1, x1 = self.within
        y, x = self.view.y, self.view.x
        return within_box(mask, (y0 - y, x0 - x, y1 - y, x1 - x))


def _overlaps(start: int, cell: float, count: int, low: int, high: int) -> NDArray[np.float32]:
    """Share (count, high - low) of cells, the first from `start`, on pixels `low` to `high`."""
    edges = (start + cell * np.arange(count + 1))[:, None]
    pixels = np.arange(low, high)
    common = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (common.clip(min=0) / cell).astype(np.float32)


def fill_holes(logits: Tensor, area: int) -> Tensor:
    """Set 8-connected background components of at most `area` pixels to a small positive logit.

    `logits` is (B, 1, m, m).
    """
    if area <= 0:
        return logits
    hole = (logits <= 0).cpu().numpy()
    filled = np.zeros_like(hole)
    for i, plane in enumerate(hole[:, 0]):
        labels, count = ndimage.label(plane, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        small = sizes <= area
        small[0] = False  # label 0 is the foreground
        filled[i, 0] = small[labels]
    mask = torch.from_numpy(filled).to(logits.device)
    return torch.where(mask, FILLED, logits)
