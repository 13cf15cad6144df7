"""The object list, as values: a row per object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_sam_i2v.workbench import ObjectStatus

__all__ = ["ObjectRow", "default_name", "rows_of"]


@dataclass(frozen=True)
class ObjectRow:
    """A line of the object list.

    `state` is "empty", "not tracked", "changed", "tracking", "tracked" or "locked"; `confidence`
    the lowest over the object's frames; `colour` RGBA, 0 to 1; `absent` the frames of which the
    user said that the object is not there, and `not_here` whether the one on screen is among them.
    """

    object_id: int
    name: str
    colour: tuple[float, float, float, float]
    prompts: int = 0
    state: str = "empty"
    confidence: float | None = None
    locked: bool = False
    mother: int | None = None
    absent: tuple[int, ...] = ()
    not_here: bool = False


def default_name(object_id: int) -> str:
    """What an object is called that was not named."""
    return f"object {object_id}"


def rows_of(
    objects: Iterable[ObjectStatus],
    names: Mapping[int, str],
    colour_of: Callable[[int], np.ndarray],
    current: int | None,
    *,
    frame: int = 0,
    passing: Collection[int] = (),
) -> list[ObjectRow]:
    """Return the rows, by id; the current object has one before it has a prompt.

    `frame` is on screen; the objects of the pass under way are `passing`.
    """
    states = {status.object_id: status for status in objects}
    ids = {*states, *(() if current is None else (current,))}
    rows = (_row(i, states.get(i), names.get(i), colour_of(i), frame) for i in sorted(ids))
    return [replace(row, state="tracking") if row.object_id in passing else row for row in rows]


def _row(
    object_id: int,
    status: ObjectStatus | None,
    name: str | None,
    colour: np.ndarray,
    frame: int,
) -> ObjectRow:
    r, g, b, a = (float(v) for v in colour)
    known = (object_id, name or default_name(object_id), (r, g, b, a))
    if status is None:
        return ObjectRow(*known)
    return ObjectRow(
        *known,
        prompts=status.prompts,
        state=_state(status),
        confidence=status.confidence,
        locked=status.locked,
        mother=status.mother,
        absent=status.absent,
        not_here=frame in status.absent,
    )


def _state(status: ObjectStatus) -> str:
    if status.locked:
        return "locked"
    if not status.prompts:
        return "empty"
    if status.tracked:
        return "changed" if status.pending else "tracked"
    return "not tracked"
