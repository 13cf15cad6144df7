"""What a stroke on the Labels layer changed: which objects, on which frame, and what was there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam_i2v.widget.layers import Axes

__all__ = ["Stroke", "plane_of", "stroke_between"]


@dataclass(frozen=True, eq=False)
class Stroke:
    """What was painted on one frame.

    Attributes
    ----------
    frame
        Which.
    objects
        Ids that were painted; where pixels were erased, those that lost them.
    before
        (Y, X) labels as they were.
    """

    frame: int
    objects: tuple[int, ...]
    before: NDArray[Any]


def plane_of(layer: Labels, axes: Axes, frame: int) -> NDArray[Any]:
    """Copy a frame (Y, X) of our Labels layer."""
    index: list[Any] = [0] * (layer.ndim - 2)
    index[axes.time] = frame
    return np.array(layer.data[tuple(index)])


def stroke_between(frame: int, before: NDArray[Any], after: NDArray[Any]) -> Stroke | None:
    """Say what changed between two states of a frame (Y, X); None if nothing did."""
    changed = before != after
    painted, lost = after[changed], before[changed]
    objects = np.union1d(painted, lost[painted == 0])
    ids = tuple(int(i) for i in objects if i)
    return Stroke(frame, ids, before) if ids else None
