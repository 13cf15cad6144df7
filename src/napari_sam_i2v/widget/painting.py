"""What a stroke on the Labels layer changed: which objects, on which frame, and what was there."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    before, after
        (Y, X) labels as they were, and with what was painted.
    """

    frame: int
    objects: tuple[int, ...]
    before: NDArray[Any]
    after: NDArray[Any]

    def on(self, now: NDArray[Any]) -> Stroke:
        """Return this stroke as if it had been made on labels that were written in the meantime."""
        changed = self.before != self.after
        before = np.where(changed & (now == self.after), self.before, now)
        return replace(self, before=before, after=np.where(changed, self.after, now))


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
    return Stroke(frame, ids, before, after) if ids else None
