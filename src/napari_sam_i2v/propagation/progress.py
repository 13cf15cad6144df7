"""What is done and what may be touched: progress of each direction of time, locks, lifetimes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import PromptError

__all__ = ["Done", "Locks", "Progress"]


class Done(NamedTuple):
    """Progress of one object: from which index it must be tracked, if at all; what was (T,)."""

    pending: int | None
    tracked: NDArray[np.bool_] | None


class Progress:
    """How far each object has been tracked in one direction of time.

    An index counts in that direction, a frame from the movie's beginning.

    Parameters
    ----------
    n_frames
        Length of the movie.

    Attributes
    ----------
    pending
        Object id -> first index that must be tracked (again). Objects that are up to date, and
        those never prompted, are not in it.
    """

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames
        self.pending: dict[int, int] = {}
        self._tracked: dict[int, NDArray[np.bool_]] = {}

    def changed(self, object_id: int, index: int) -> None:
        """Note that prompts changed: `index` and what follows must be tracked."""
        self.pending[object_id] = min(self.pending.get(object_id, index), index)

    def answered(self, object_id: int, frame: int) -> None:
        """Note that a pass has been here."""
        if object_id not in self._tracked:
            self._tracked[object_id] = np.zeros(self.n_frames, bool)
        self._tracked[object_id][frame] = True

    def done_to(self, object_id: int, index: int) -> None:
        """Note that an object is up to date as far as `index`."""
        self.pending[object_id] = index + 1
        if index + 1 >= self.n_frames:
            self.complete(object_id)

    def complete(self, object_id: int) -> None:
        """Note that nothing is left to be done."""
        self.pending.pop(object_id, None)

    def was_tracked(self, object_id: int, frame: int) -> bool:
        """Whether a pass has been here."""
        tracked = self._tracked.get(object_id)
        return tracked is not None and bool(tracked[frame])

    def reached(self, object_id: int) -> bool:
        """Whether a pass has been over any frame of an object."""
        tracked = self._tracked.get(object_id)
        return tracked is not None and bool(tracked.any())

    def forget(self, object_id: int) -> None:
        """Drop an object."""
        self.pending.pop(object_id, None)
        self._tracked.pop(object_id, None)

    def take(self, object_id: int) -> Done:
        """Return a copy of an object's progress."""
        tracked = self._tracked.get(object_id)
        return Done(self.pending.get(object_id), None if tracked is None else tracked.copy())

    def put(self, object_id: int, done: Done) -> None:
        """Set an object's progress, as `take` gave it."""
        self.forget(object_id)
        if done.pending is not None:
            self.pending[object_id] = done.pending
        if done.tracked is not None:
            self._tracked[object_id] = done.tracked.copy()


@dataclass
class Locks:
    """What must not change: whole objects, and frames (of all objects)."""

    objects: set[int] = field(default_factory=set)
    frames: set[int] = field(default_factory=set)

    def holds(self, object_id: int, frame: int) -> bool:
        """Whether an object's mask on a frame must stay."""
        return object_id in self.objects or frame in self.frames

    def check_free(self, objects: Iterable[int], frames: Iterable[int]) -> None:
        """Check that none of these is locked; else `PromptError`."""
        if locked := sorted(self.objects.intersection(objects)):
            raise PromptError(f"Object {locked[0]} is locked: unlock it first.")
        if held := sorted(self.frames.intersection(frames)):
            raise PromptError(f"Frame {held[0]} is locked: unlock it first.")

    def lock_frames(self, frames: Iterable[int], *, locked: bool = True) -> None:
        """Lock frames, or release them."""
        self.frames = self.frames | set(frames) if locked else self.frames - set(frames)

    def as_plain(self) -> dict[str, Any]:
        """Plain values for a file."""
        return {"objects": sorted(self.objects), "frames": sorted(self.frames)}
