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
LEAST_STEPS = 2
"""Changes from frame to frame of which at least a pace is made: one alone may be the mistake."""
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

    These have little confidence, an area far from that of the frames before and from where their
    steady change would have led, or are where the object vanishes or comes back. Of consecutive
    ones the first is given. A prompted frame is never suspicious, and what follows is compared
    with it, not with what it corrected.

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
    """Frames (T,) whose area is far from the median of those before or the last, and their course.

    A heart that contracts, or a cell that rounds up, changes steadily: what the pace of the last
    frames leads to is not sudden. A jump has no pace before it.
    """
    past = _past(area, told)
    usual = _lower_and_upper(past).mean(axis=1)
    due = usual * np.exp(_pace(past) * (np.isfinite(past).sum(axis=1) + 1) / 2)
    far = _far(area, due) & (_far(area, usual) | _far(area, past[:, -1]))
    return far & (area > 0) & (np.abs(area - usual) >= SMALLEST_CHANGE)


def _far(area: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((area > AREA_FACTOR * other) | (area * AREA_FACTOR < other))


def _pace(past: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median change of log area from frame to frame (T,); 0 where they disagree on its sign."""
    steps = np.diff(np.log(past), axis=1)
    middle = _lower_and_upper(steps)
    agreed = (np.sign(middle[:, 0]) == np.sign(middle[:, 1])) & (
        np.isfinite(steps).sum(axis=1) >= LEAST_STEPS
    )
    return np.where(agreed, middle.mean(axis=1), 0.0)


def _past(area: NDArray[np.float64], told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the areas (T, HISTORY) of the last frames with the object; NaN for others.

    Nothing is looked at that lies before a prompt or a frame without an answer.
    """
    begun = np.cumsum(told | np.isnan(area))
    rows = np.arange(len(area))[:, None] - np.arange(HISTORY, 0, -1)
    at = rows.clip(min=0)
    past = np.where(rows >= 0, area[at], np.nan)
    past[(begun[at] != begun[:, None]) | ~(past > 0)] = np.nan
    return past


def _lower_and_upper(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the two middle values (T, 2) of each row, of which the mean is the median; or NaN."""
    ordered = np.sort(rows, axis=1)  # NaN comes last
    known = np.isfinite(ordered).sum(axis=1)
    middle = np.stack([np.maximum(known - 1, 0) // 2, known // 2], axis=1)
    return np.take_along_axis(ordered, middle.clip(max=rows.shape[1] - 1), axis=1)


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
