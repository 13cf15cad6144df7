"""What a stroke on the Labels layer changed: which objects, on which frame, and what was there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam_i2v.widget.layers import Axes

__all__ = ["Stroke", "strokes"]


@dataclass(frozen=True, eq=False)
class Stroke:
    """What was painted on one frame.

    Attributes
    ----------
    frame
        Which.
    objects
        Ids that were painted; where the eraser was used, those that lost pixels.
    before
        (Y, X) labels as they were.
    """

    frame: int
    objects: tuple[int, ...]
    before: NDArray[Any]


def strokes(atoms: Sequence[Any], layer: Labels, axes: Axes) -> Iterator[Stroke]:
    """Take napari's `paint` event apart.

    Parameters
    ----------
    atoms
        The event's value: (indices, old values, new values) of each dab, in order.
    layer
        The layer, painted already.
    axes
        Which of its axes is time.
    """
    parts = [_rows(atom, layer.ndim, axes) for atom in atoms]
    for frame in sorted({int(f) for rows in parts for f in np.unique(rows[:, 0])}):
        plane = np.array(_plane(layer, axes, frame))
        painted: set[int] = set()
        erased: set[int] = set()
        for rows in reversed(parts):
            here = rows[rows[:, 0] == frame]
            plane[here[:, 1], here[:, 2]] = here[:, 3]
            painted.update(here[:, 4].tolist())
            erased.update(here[here[:, 4] == 0, 3].tolist())
        objects = tuple(sorted((painted | erased) - {0}))
        if objects:
            yield Stroke(frame, objects, plane)


def _rows(atom: Any, ndim: int, axes: Axes) -> NDArray[np.int64]:
    """(N, 5) of frame, y, x, old value, new value."""
    indices, old, new = atom
    where = [np.atleast_1d(np.asarray(i)) for i in indices]
    columns = [where[axes.time], where[ndim - 2], where[ndim - 1], old, new]
    return np.stack(np.broadcast_arrays(*columns), axis=-1).reshape(-1, 5).astype(np.int64)


def _plane(layer: Labels, axes: Axes, frame: int) -> NDArray[Any]:
    index: list[Any] = [0] * (layer.ndim - 2)
    index[axes.time] = frame
    return np.asarray(layer.data[tuple(index)])
