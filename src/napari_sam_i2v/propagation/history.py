"""Undo and redo: what labels were, and what a session knew of the objects concerned.

Labels are kept as compressed crops of what changed, so that taking back a pass over thousands of
frames costs little more than the outlines it drew.

What is guaranteed: after undo or redo, labels, prompts, locks, divisions and progress are what they
were, and so is what objects remember, for the steps nearest to the present (`MAX_REMEMBERED` each
way, within `MAX_REMEMBERED_BYTES`). Undone and redone, such a correction keeps the very answer that
it had, and tracking on from it gives the very labels. Beyond that, and in a session that was opened
again, the frame keeps its labels until it is tracked; memory is then rebuilt from labels and
prompts, and outlines may differ by a little.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.propagation.view import bounding_box

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.edits import ObjectState
    from napari_sam_i2v.propagation.session import Session
    from napari_sam_i2v.propagation.track import Track

__all__ = ["History", "RecordedLabels", "Step"]

MAX_BYTES = 256 * 2**20
"""Memory for what could be undone; the oldest steps go first."""
MAX_STEPS = 200
MAX_REMEMBERED = 8
"""Steps to undo, and as many to redo, that keep what objects remembered."""
MAX_REMEMBERED_BYTES = 256 * 2**20
"""Memory for that; steps far from the present go without first."""


@dataclass(frozen=True)
class Crop:
    """Pixels of a plane within a box (y0, x0, y1, x1), compressed."""

    box: tuple[int, int, int, int]
    data: bytes

    @classmethod
    def of(cls, plane: NDArray[Any], box: tuple[int, int, int, int]) -> Crop:
        """Keep what a plane shows within a box."""
        y0, x0, y1, x1 = box
        return cls(box, zlib.compress(np.ascontiguousarray(plane[y0:y1, x0:x1]).tobytes(), 1))

    def paste(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a plane with these pixels."""
        y0, x0, y1, x1 = self.box
        result = plane.copy()
        pixels = np.frombuffer(zlib.decompress(self.data), plane.dtype)
        result[y0:y1, x0:x1] = pixels.reshape(y1 - y0, x1 - x0)
        return result


@dataclass
class Step:
    """One thing that can be taken back.

    Attributes
    ----------
    name
        What it was, for a menu.
    objects
        Object id -> what the session knew of it; None where there was no such object.
    crops
        Frame -> what its labels were where they changed.
    locked_frames
        Frames that were locked.
    lives, lineage
        Of all objects, see `Session`: a change of one can change what others came of.
    memories
        Object id -> what it remembered, see `Session.memories`; empty where that was let go of.
    """

    name: str
    objects: dict[int, ObjectState | None]
    locked_frames: frozenset[int] = frozenset()
    lives: dict[int, range] = field(default_factory=dict)
    lineage: dict[int, tuple[int, int]] = field(default_factory=dict)
    crops: dict[int, Crop] = field(default_factory=dict)
    memories: dict[int, tuple[Track | None, Track | None]] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """Memory that the labels take."""
        return sum(len(crop.data) for crop in self.crops.values())

    def note(self, frame: int, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Keep what a plane was, before it is overwritten; once or more often in a step."""
        if frame in self.crops:
            before = self.crops[frame].paste(before)
        box = bounding_box(before != after)
        if box is None:
            self.crops.pop(frame, None)
        else:
            self.crops[frame] = Crop.of(before, box)


class RecordedLabels:
    """Labels (T, Y, X) that note what they were while a step is open.

    Parameters
    ----------
    labels
        Array or store: ``labels[t]`` and ``labels[t] = plane`` are whole frames.
    """

    def __init__(self, labels: Any) -> None:
        self.inner = labels
        self.shape, self.dtype = tuple(labels.shape), np.dtype(labels.dtype)
        self.step: Step | None = None

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, frame: int) -> NDArray[Any]:
        return np.asarray(self.inner[frame])

    def __setitem__(self, frame: int, plane: NDArray[Any]) -> None:
        if self.step is not None:
            self.step.note(frame, self[frame], np.asarray(plane))
        self.inner[frame] = plane


class History:
    """Steps of a session that can be undone and redone.

    Parameters
    ----------
    session
        Its labels must be `RecordedLabels`.
    """

    def __init__(self, session: Session) -> None:
        if not isinstance(session.labels, RecordedLabels):
            raise TypeError("A history needs a session whose labels are RecordedLabels.")
        self._session, self._labels = session, session.labels
        self._undo: list[Step] = []
        self._redo: list[Step] = []

    @property
    def undo_name(self) -> str | None:
        """What `undo` would take back; None if nothing can be."""
        return self._undo[-1].name if self._undo else None

    @property
    def redo_name(self) -> str | None:
        """What `redo` would do again; None if nothing was undone."""
        return self._redo[-1].name if self._redo else None

    @contextmanager
    def step(self, name: str, objects: Iterable[int]) -> Iterator[Step]:
        """Record what is done to these objects as one step, also if it ends in an error.

        A step in which nothing happened is dropped.
        """
        step = self._now(name, objects)
        self._labels.step = step
        prompts = {i: _prompts(state) for i, state in step.objects.items()}
        try:
            yield step
        finally:
            self._labels.step = None
            changed = any(_prompts(self._known(i)) != was for i, was in prompts.items())
            if step.crops or changed or _common(step) != _common(self._now(name, ())):
                self._undo.append(step)
                self._redo.clear()
                self._shorten()
                self._let_go()

    def include(self, objects: Iterable[int]) -> None:
        """Record what is done to more objects, as they are now, in the open step."""
        step = self._labels.step
        if step is None:
            raise RuntimeError("No step is open.")
        more = self._now(step.name, [i for i in objects if i not in step.objects])
        step.objects |= more.objects
        step.memories |= more.memories

    def undo(self) -> Step | None:
        """Take the last step back; returns it (frames and objects that changed)."""
        return self._move(self._undo, self._redo)

    def redo(self) -> Step | None:
        """Do again what was undone last."""
        return self._move(self._redo, self._undo)

    def _move(self, source: list[Step], target: list[Step]) -> Step | None:
        if not source:
            return None
        step = source.pop()
        inverse = self._now(step.name, step.objects)
        for frame, crop in step.crops.items():
            plane = self._labels[frame]
            inverse.crops[frame] = Crop.of(plane, crop.box)
            self._labels[frame] = crop.paste(plane)
        for object_id, state in step.objects.items():
            self._session.put(object_id, state)
            if state is not None and object_id in step.memories:
                self._session.remind(object_id, step.memories[object_id])
        self._session.locks.frames = set(step.locked_frames)
        for frame in step.crops:  # what was painted took from others, too, and gives it back
            self._session.confidence.recount(frame, self._labels[frame])
        self._session.lives.clear()  # a planner looks at it, too
        self._session.lives.update(step.lives)
        self._session.lineage = dict(step.lineage)
        target.append(inverse)
        self._let_go()
        return step

    def _now(self, name: str, objects: Iterable[int]) -> Step:
        known = {object_id: self._known(object_id) for object_id in objects}
        memories = {object_id: self._session.memories(object_id) for object_id in known}
        session = self._session
        return Step(
            name, known, frozenset(session.locks.frames), dict(session.lives),
            dict(session.lineage), memories=memories,
        )  # fmt: skip

    def _known(self, object_id: int) -> ObjectState | None:
        state = self._session.take(object_id)
        known = state.prompts or state.life or state.origin or state.locked
        return state if known else None

    def _shorten(self) -> None:
        total = sum(step.n_bytes for step in self._undo)
        while len(self._undo) > 1 and (total > MAX_BYTES or len(self._undo) > MAX_STEPS):
            total -= self._undo.pop(0).n_bytes

    def _let_go(self) -> None:
        """Forget what objects remembered at steps far from the present."""
        for steps in (self._undo, self._redo):
            for step in steps[:-MAX_REMEMBERED]:
                step.memories.clear()
        seen: set[int] = set()
        total = 0
        for step in _nearest_first(self._undo, self._redo):
            total += _held_bytes(step, seen)
            if total > MAX_REMEMBERED_BYTES:
                step.memories.clear()


def _nearest_first(*stacks: list[Step]) -> Iterator[Step]:
    """Give the last steps of stacks in turn, the last one first."""
    for back in range(1, MAX_REMEMBERED + 1):
        yield from (steps[-back] for steps in stacks if len(steps) >= back)


def _held_bytes(step: Step, seen: set[int]) -> int:
    """Memory that a step's memories take beyond that of tensors seen before, which it notes."""
    tracks = (track for both in step.memories.values() for track in both if track is not None)
    tensors = {id(tensor): tensor for track in tracks for tensor in track.tensors()}
    new = tensors.keys() - seen
    seen |= new
    return sum(int(tensors[i].nbytes) for i in new)


def _common(step: Step) -> tuple[Any, ...]:
    """What a step knows beyond single objects."""
    return step.locked_frames, step.lives, step.lineage


def _prompts(state: ObjectState | None) -> tuple[Any, ...]:
    """What a user sees change: prompts by identity, lifetime, origin, lock."""
    if state is None:
        return ()
    return (*map(id, state.prompts), state.life, state.origin, state.locked)
