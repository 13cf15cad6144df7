"""Which frames are worth a look, and the way from one to the next. No Qt, no napari."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.propagation.confidence import DOUBTFUL_BELOW

__all__ = [
    "AREA_FACTOR",
    "DOUBTFUL_BELOW",
    "HISTORY",
    "SMALLEST_CHANGE",
    "Curves",
    "curves_of",
    "next_suspicious",
    "suspicious_frames",
]

AREA_FACTOR = 1.6
"""An area that grows or shrinks by more than this is sudden: more than a cell that rounds up or a
mask whose outline wavers, less than one that spills over its neighbour or loses half."""
HISTORY = 5
"""Frames whose median area the next one is compared with: long enough to outvote one bad mask,
short enough to follow growth."""
SMALLEST_CHANGE = 16
"""Pixels; changes of less are the outline's own noise in objects of a few pixels."""


@dataclass(frozen=True, eq=False)
class Curves:
    """What is drawn of one object over time.

    Attributes
    ----------
    object_id
        Which.
    confidence, area
        (T,) each; NaN where there is no answer. The area is in pixels, 0 where absent.
    suspicious
        Frames worth a look, ascending: the first of each run.
    """

    object_id: int
    confidence: NDArray[np.floating[Any]]
    area: NDArray[np.floating[Any]]
    suspicious: tuple[int, ...] = ()


def curves_of(
    object_id: int,
    confidence: ArrayLike,
    *,
    area: ArrayLike,
    prompted: Collection[int] = (),
) -> Curves:
    """Make an object's curves and look for its suspicious frames.

    Parameters and errors are those of `suspicious_frames`.
    """
    sure, size = _as_curves(confidence, area)
    return Curves(object_id, sure, size, suspicious_frames(sure, size, prompted=prompted))


def suspicious_frames(
    confidence: ArrayLike, area: ArrayLike, *, prompted: Collection[int] = ()
) -> tuple[int, ...]:
    """Find the frames of one object that are worth a look.

    These have little confidence, an area far from that of the frames before, or are where the
    object vanishes or comes back. Of consecutive ones the first is given. A prompted frame is
    never suspicious, and what follows is compared with it, not with what it corrected.

    Parameters
    ----------
    confidence, area
        (T,) each; NaN where there is no answer. The area is in pixels, 0 where absent.
    prompted
        Frames with a prompt of the user for this object.

    Returns
    -------
    tuple of int
        Frames, ascending.

    Raises
    ------
    InputError
        If the two are not of one length.
    """
    sure, size = _as_curves(confidence, area)
    told = np.zeros(len(size), bool)
    told[[frame for frame in prompted if 0 <= frame < len(size)]] = True
    # Where the object is absent, little confidence is what is due.
    doubtful = (sure < DOUBTFUL_BELOW) & (size != 0)
    worth = (doubtful | _sudden(size, told) | _comes_or_goes(size)) & ~told
    first = worth & ~np.concatenate([[False], worth[:-1]])
    return tuple(np.flatnonzero(first).tolist())


def next_suspicious(
    curves: Sequence[Curves], frame: int, step: Literal[1, -1] = 1
) -> tuple[int, int] | None:
    """Find the nearest suspicious frame after (`step` 1) or before (-1) a frame.

    Returns
    -------
    tuple of int, or None
        Frame and object id, of several objects the first in the order given; None at the end: it
        does not begin again at the other side.
    """
    near = [
        (found, one.object_id)
        for one in curves
        if (found := _beyond(one.suspicious, frame, step)) is not None
    ]
    return min(near, key=lambda hit: step * hit[0], default=None)


def _beyond(frames: tuple[int, ...], frame: int, step: int) -> int | None:
    at = bisect_right(frames, frame) if step > 0 else bisect_left(frames, frame) - 1
    return frames[at] if 0 <= at < len(frames) else None


def _sudden(area: NDArray[np.float64], told: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames (T,) whose area is far from the median of those before."""
    usual = _usual(area, told)
    far = (area > AREA_FACTOR * usual) | (area * AREA_FACTOR < usual)
    return far & (area > 0) & (np.abs(area - usual) >= SMALLEST_CHANGE)


def _usual(area: NDArray[np.float64], told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the median area (T,) of the last frames with the object; NaN where there are none.

    Nothing is looked at that lies before a prompt or a frame without an answer.
    """
    begun = np.cumsum(told | np.isnan(area))
    rows = np.arange(len(area))[:, None] - np.arange(HISTORY, 0, -1)
    at = rows.clip(min=0)
    past = np.where(rows >= 0, area[at], np.nan)
    past[(begun[at] != begun[:, None]) | ~(past > 0)] = np.nan
    past.sort(axis=1)  # NaN comes last
    known = np.isfinite(past).sum(axis=1)
    middle = np.stack([np.maximum(known - 1, 0) // 2, known // 2], axis=1).clip(max=HISTORY - 1)
    return np.asarray(np.take_along_axis(past, middle, axis=1).mean(axis=1))


def _comes_or_goes(area: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Frames (T,) that differ from the one before in whether the object is there."""
    before = np.concatenate([[np.nan], area[:-1]]) if len(area) else area
    known = np.isfinite(area) & np.isfinite(before)
    return known & ((area > 0) != (before > 0))


def _as_curves(
    confidence: ArrayLike, area: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sure, size = np.asarray(confidence, np.float64), np.asarray(area, np.float64)
    if sure.ndim != 1 or sure.shape != size.shape:
        raise InputError(
            f"confidence and area need one value per frame each, got {sure.shape} and {size.shape}"
        )
    return sure, size
