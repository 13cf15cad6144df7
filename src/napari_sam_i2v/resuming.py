"""What a run needs to go on after it was killed, on disk beside its labels: see `RunRecord`."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_sam_i2v.session_folder.answers import AnswerLog, AnswerRecord
from napari_sam_i2v.snapshots import Snapshots

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam_i2v.movies.labels import LabelStore
    from napari_sam_i2v.propagation.confidence import ConfidenceTable
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.propagation.remembered import Name
    from napari_sam_i2v.propagation.session import FrameResult, Session
    from napari_sam_i2v.propagation.track import Track

__all__ = ["RunRecord", "answers_of", "pack_memories", "remind", "unpack_memories"]

Memories: TypeAlias = "dict[int, tuple[Track | None, Track | None]]"
"""Object id -> what is remembered of it, forward and backward; see `Session.memories`."""
SIDES = ("forward", "backward")
"""Directions of time, in the order of `Session.memories`."""


def pack_memories(session: Session, name: Name) -> dict[str, Any]:
    """Give what a session remembers, and how far each object is, as values that JSON knows."""
    from napari_sam_i2v.propagation.remembered import pack_track

    objects = {}
    for object_id in session.object_ids:
        state, tracks = session.take(object_id), session.memories(object_id)
        objects[str(object_id)] = {"prompts": _digest(state.prompts)} | {
            side: {
                "pending": done.pending,
                "track": None if track is None else pack_track(track, name),
            }
            for side, track, done in zip(
                SIDES, tracks, (state.forward, state.backward), strict=True
            )
        }
    return objects


def answers_of(
    session: Session, result: FrameResult, *, prompted: bool = False
) -> Iterator[AnswerRecord]:
    """Give what is to be noted of a frame that was written; see `AnswerRecord`."""
    for object_id, mask in result.masks.items():
        yield AnswerRecord(
            frame=result.frame, object_id=object_id, reverse=result.reverse, score=mask.score,
            iou=mask.iou, area=int(session.confidence.area(object_id)[result.frame]),
            prompted=prompted,
        )  # fmt: skip


def remind(session: Session, facts: dict[str, Any], memories: Memories) -> None:
    """Give a session back what it remembered, where that still counts.

    It does for objects whose prompts are the same, in a direction of time in which they have come
    no less far since. Those go on from where the snapshot is: what they did after it is done
    again, to the same labels.
    """
    for object_id in session.object_ids:  # in their order, which batches follow
        state, kept = session.take(object_id), facts.get(str(object_id))
        tracks: list[Track | None] = [None, None]
        done = [state.forward, state.backward]
        if kept is not None and kept["prompts"] == _digest(state.prompts):
            for i, side in enumerate(SIDES):
                if _order(kept[side]["pending"]) <= _order(done[i].pending):
                    done[i] = done[i]._replace(pending=kept[side]["pending"])
                    tracks[i] = memories[object_id][i]
        session.put(object_id, replace(state, forward=done[0], backward=done[1]))
        session.remind(object_id, (tracks[0], tracks[1]))


def _order(pending: int | None) -> float:
    """How far an object is; None is done."""
    return math.inf if pending is None else pending


def _digest(prompts: Iterable[Prompt]) -> str:
    from napari_sam_i2v.prompt_writer import prompts_as_json

    return hashlib.blake2b(prompts_as_json(prompts).encode(), digest_size=16).hexdigest()


def unpack_memories(
    session: Session, facts: dict[str, Any], tensors: dict[str, Tensor]
) -> Memories:
    """Make the memories again; nothing is put into the session.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they are not those of this session's prompts, or are damaged.
    """
    from napari_sam_i2v.propagation.remembered import unpack_track

    def track(object_id: int, kept: dict[str, Any] | None, *, reverse: bool) -> Track | None:
        def rounds(index: int) -> Any:
            frame = session.n_frames - 1 - index if reverse else index
            return session.prompts.rounds(object_id, frame)

        if kept is None:
            return None
        return unpack_track(
            kept, object_id=object_id, config=session.model.config,
            tensor=tensors.__getitem__, rounds=rounds,
        )  # fmt: skip

    return {
        i: (
            track(i, facts[str(i)]["forward"]["track"], reverse=False),
            track(i, facts[str(i)]["backward"]["track"], reverse=True),
        )
        for i in session.object_ids
        if str(i) in facts
    }


class RunRecord:
    """How far a run has come: snapshots of what it remembers, and how sure its answers were.

    A run that goes on from here gives the labels that it would have given without a stop, to the
    byte, on the same device and with as many threads. What it had done since the last snapshot
    is done again.

    Parameters
    ----------
    store
        The labels; the record lies within, as ``0/.resume``, and goes when the run is finished.
    """

    def __init__(self, store: LabelStore) -> None:
        self.store = store
        self.folder = folder_of(store.path)
        self.folder.mkdir(exist_ok=True)
        self._snapshots = Snapshots(self.folder / "memory")
        self._log = AnswerLog(self.folder / "answers.jsonl")
        self._frame, self._reverse = -1, False

    def restore(self, session: Session) -> None:
        """Bring a session, which has its prompts, to where the run was.

        Without a snapshot that is whole the run begins anew.
        """
        found = self._snapshots.load(session.model.device)
        for part in self.folder.rglob(".*.part"):
            part.unlink()
        try:
            if found is None:
                raise ValueError("there is no snapshot")
            self._put(session, *found)
        except (KeyError, TypeError, ValueError):
            self.store.forget(range(len(self.store)))
            return
        if not self._reverse:  # going back comes later, and must not have been here yet
            self.store.forget(range(self._frame + 1, len(self.store)))

    def note(self, session: Session, result: FrameResult) -> None:
        """Note a frame that was answered and written, and take a snapshot if one is due."""
        self._frame, self._reverse = result.frame, result.reverse
        self._log.note(answers_of(session, result))
        if self._snapshots.due:
            self._snapshots.save(lambda name: self._facts(session, name))

    def tell(self, confidence: ConfidenceTable) -> None:
        """Put how sure all answers were, also those before a stop, into a table."""
        tables: dict[int, NDArray[np.float32]] = {}
        for one in self._log.read():
            table = tables.setdefault(
                one.object_id, np.full((len(self.store), 3), np.nan, np.float32)
            )
            table[one.frame] = one.score, one.iou, one.area
        for object_id, table in tables.items():
            confidence.put(object_id, table)

    def close(self) -> None:
        """Let go of open files."""
        self._log.close()

    def _facts(self, session: Session, name: Name) -> dict[str, Any]:
        return {
            "frame": self._frame,
            "reverse": self._reverse,
            "objects": pack_memories(session, name),
        }

    def _put(self, session: Session, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        from napari_sam_i2v.propagation.progress import Done

        if facts["objects"].keys() != set(map(str, session.object_ids)):
            raise ValueError("other objects")
        frame, reverse = int(facts["frame"]), bool(facts["reverse"])
        memories = unpack_memories(session, facts["objects"], tensors)  # before anything changes
        for object_id in session.object_ids:
            kept, state = facts["objects"][str(object_id)], session.take(object_id)
            forward, backward = (Done(kept[side]["pending"], None) for side in SIDES)
            session.put(object_id, replace(state, forward=forward, backward=backward))
        remind(session, facts["objects"], memories)
        self._frame, self._reverse = frame, reverse


def remove_record(store: Path) -> None:
    """Remove the record of a run that is finished."""
    shutil.rmtree(folder_of(store), ignore_errors=True)


def folder_of(store: Path) -> Path:
    """Where the record of a run lies in its label store."""
    return store / "0" / ".resume"
