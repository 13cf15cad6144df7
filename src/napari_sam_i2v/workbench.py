"""A session at work: every change is kept in its folder at once, and can be undone.

Used by one thread at a time: the dock's worker, or a script. What the folder holds after each
method is enough to go on from, after a crash, too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.propagation import edits
from napari_sam_i2v.propagation.edits import ObjectState
from napari_sam_i2v.propagation.history import History, RecordedLabels, Step
from napari_sam_i2v.propagation.progress import Done
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Direction, FrameResult, Session, Until
from napari_sam_i2v.resuming import answers_of, pack_memories, remind, unpack_memories
from napari_sam_i2v.session_folder import AnswerRecord, SessionFolder

__all__ = ["ObjectStatus", "Workbench"]

Rounds = tuple[Prompt, ...]


@dataclass(frozen=True)
class ObjectStatus:
    """An object at a glance.

    Attributes
    ----------
    object_id
        Which.
    prompts
        Rounds of prompting that count.
    pending
        Whether frames are to be tracked, in some direction.
    tracked
        Whether a pass has been over it.
    confidence
        How sure its least sure answer is, see `ConfidenceTable.sureness`; None without any.
    locked
        Whether it must not change.
    mother
        The object it divided from.
    prompted
        Frames with prompts, ascending.
    absent
        Those of them whose prompts say that it is not there.
    """

    object_id: int
    prompts: int
    pending: bool
    tracked: bool
    confidence: float | None
    locked: bool
    mother: int | None
    prompted: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()


class Workbench:
    """Prompt, propagate, correct, undo; kept on disk.

    Parameters
    ----------
    session
        On the folder's labels, as `RecordedLabels`. What the folder knows is put into it.
    folder
        Where everything is kept.
    settings
        Goes into the folder beside the labels: model, versions, contrast, ...
    notes
        What there is to say of how it was made, in sentences.
    """

    def __init__(
        self, session: Session, folder: SessionFolder, settings: Mapping[str, Any],
        *, notes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.session, self.folder = session, folder
        self.settings, self.notes = dict(settings), tuple(notes)
        self.history = History(session)
        self._labels: RecordedLabels = session.labels
        self._resume()

    # ---- prompts --------------------------------------------------------------------------

    def set_prompts(
        self,
        object_id: int,
        frame: int,
        rounds: Sequence[Prompt],
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> FrameResult | None:
        """Replace an object's prompts on a frame, and answer them at once.

        Parameters
        ----------
        object_id, frame, rounds
            As for `Session.set_prompts`; without rounds, what was answered there is erased.
        wanted
            Asked when the answer is there: False drops it, because a newer one is coming.

        Returns
        -------
        FrameResult or None
            What was written; None if the answer was dropped, or nothing is prompted any more.

        Raises
        ------
        PromptError
            If the prompt does not fit, or object or frame are locked.
        """
        self.session.locks.check_free([object_id], [frame])
        if not rounds:
            self._check_last_prompt(object_id, frame)
        name = f"prompt of object {object_id}" if rounds else f"removal of a prompt of {object_id}"
        with self.history.step(name, [object_id]):
            written = self._replace(object_id, frame, rounds, wanted)
        self.save()
        return written

    def mark_absent(self, objects: Sequence[int], frame: int, *, absent: bool = True) -> None:
        """Say that objects are not on a frame, and erase them there; or take that back.

        Taken back, tracking decides; until then the frame stays as it is.

        Raises
        ------
        PromptError
            If object or frame are locked, or an object is prompted nowhere else: tracking would
            have nothing to know it from.
        """
        self.session.locks.check_free(objects, [frame])
        for object_id in objects:
            if absent and not {*self.session.prompts.shown(object_id)} - {frame}:
                raise PromptError(
                    f"Object {object_id} is pointed at on no frame but {frame}: first click on it "
                    "on another one, or delete it."
                )
            if not absent:
                self._check_last_prompt(object_id, frame)
        nobody = np.zeros(self._labels.shape[1:], bool)
        word = "“not here” of" if absent else "“here again” of"
        with self.history.step(f"{word} {_listed(objects)}", objects):
            for object_id in objects:
                mark = [Prompt(object_id, frame, mask=nobody)] if absent else []
                self._replace(object_id, frame, mark)
        self.save()

    def _check_last_prompt(self, object_id: int, frame: int) -> None:
        """Check that an object may be erased, if it goes with its prompts on a frame."""
        if {*self.session.prompts.frames(object_id)} == {frame}:
            self.session.check_erasable(object_id)

    def _replace(
        self, object_id: int, frame: int, rounds: Sequence[Prompt],
        wanted: Callable[[], bool] = lambda: True,
    ) -> FrameResult | None:  # fmt: skip
        """Replace prompts and answer the new ones; what was written."""
        self.session.set_prompts(object_id, frame, rounds)
        self._forget_after(object_id, frame)
        if rounds:
            return self._answer(object_id, frame, wanted)
        self._erase_answer(object_id, frame)
        return None

    def paint(
        self, objects: int | Sequence[int], frame: int, *, before: NDArray[Any] | None = None
    ) -> None:
        """Take objects' pixels, as the labels have them now, for their mask prompts on a frame.

        One step to undo, whatever the number of objects. `before` (Y, X) is what the plane was, to
        undo it.
        """
        chosen = [objects] if isinstance(objects, int) else list(objects)
        self.session.locks.check_free(chosen, [frame])
        now = self._labels[frame]
        prompts = [Prompt(object_id, frame, mask=now == object_id) for object_id in chosen]
        with self.history.step(f"painting of {_listed(chosen)}", chosen) as step:
            if before is not None:
                step.note(frame, before, now)
            for prompt in prompts:
                self._replace(prompt.object_id, frame, [prompt])
            self.session.confidence.recount(frame, self._labels[frame])
        self.save()

    def add(self, prompts: Iterable[Prompt], name: str) -> Iterator[int]:
        """Add prompts of new objects, answer each; one step to undo. Yields frames written."""
        by_key: dict[tuple[int, int], list[Prompt]] = {}
        for prompt in prompts:
            by_key.setdefault((prompt.object_id, prompt.frame), []).append(prompt)
        self.session.locks.check_free({i for i, _ in by_key}, {frame for _, frame in by_key})
        with self.history.step(name, {i for i, _ in by_key}):
            for (object_id, frame), rounds in by_key.items():
                self.session.set_prompts(object_id, frame, rounds)
                self._answer(object_id, frame, lambda: True)
                yield frame
        self.save()

    def _answer(self, object_id: int, frame: int, wanted: Callable[[], bool]) -> FrameResult | None:
        answers = self.session.find(object_id, frame)
        if not wanted():
            return None
        self.history.include(answers)
        result = self.session.write(frame, answers)
        self.folder.note(answers_of(self.session, result, prompted=True))
        return result

    def _erase_answer(self, object_id: int, frame: int) -> None:
        """Erase what only a prompt that is gone had put there."""
        if object_id not in self.session.object_ids:
            self.session.erase(object_id, range(self.session.n_frames))
        elif not any(self.session.progress(reverse=r).was_tracked(object_id, frame)
                     for r in (False, True)):  # fmt: skip
            self.session.erase(object_id, [frame])
            self.session.confidence.blank(object_id, frame)

    # ---- propagating ----------------------------------------------------------------------

    def propagate(
        self,
        direction: Direction,
        *,
        objects: Sequence[int] | None = None,
        frames: range | None = None,
        until: Until = "end",
    ) -> Iterator[FrameResult]:
        """As `Session.propagate`; one step to undo, each frame kept before it is reported."""
        chosen = self.session.object_ids if objects is None else objects
        with self.history.step("tracking", chosen):
            try:
                yield from self._noted(direction, objects, frames, until)
            finally:
                self.save()

    def _noted(
        self,
        direction: Direction,
        objects: Sequence[int] | None,
        frames: range | None,
        until: Until,
    ) -> Iterator[FrameResult]:
        results = self.session.propagate(direction, objects=objects, frames=frames, until=until)
        for result in results:
            self.folder.note(answers_of(self.session, result))
            if self.folder.memory.due:
                self._keep_memory()
            yield result

    # ---- objects --------------------------------------------------------------------------

    def remove(self, objects: Sequence[int]) -> None:
        """Erase objects and forget their prompts.

        Raises
        ------
        PromptError
            If one of them is locked, or on a locked frame.
        """
        for object_id in objects:
            self.session.check_erasable(object_id)
        with self.history.step(f"removal of {_listed(objects)}", objects):
            for object_id in objects:
                self.session.put(object_id, None)
                self.session.erase(object_id, range(self.session.n_frames))
        self._rewrite(objects)

    def merge(self, objects: Sequence[int], *, into: int) -> Iterator[int]:
        """Make objects part of another; yields frames written."""
        touched = [*objects, into]
        with self.history.step(f"merging of {_listed(touched)}", touched):
            for object_id in objects:
                yield from edits.merge(self.session, object_id, into=into)
        self._rewrite(touched)

    def swap(self, a: int, b: int, *, frame: int) -> Iterator[int]:
        """Swap two objects from a frame on; yields frames written."""
        with self.history.step(f"swap of {a} and {b}", (a, b)):
            yield from edits.swap(self.session, a, b, frame=frame)
        self._rewrite((a, b))

    def divide(
        self,
        mother: int,
        *,
        frame: int,
        daughters: Sequence[int],
        masks: Sequence[NDArray[np.bool_]] = (),
    ) -> Iterator[int]:
        """Mark a division; yields frames written.

        `masks` (Y, X) are what the daughters are on that frame, where that is known: they become
        their prompts.
        """
        touched = (mother, *daughters)
        with self.history.step(f"division of {mother}", touched):
            yield from edits.divide(self.session, mother, frame=frame, daughters=daughters)
            for daughter, mask in zip(daughters, masks, strict=False):
                prompt = Prompt(daughter, frame, mask=mask, correction=True)
                self._replace(daughter, frame, [prompt], lambda: True)
                yield frame
        self._rewrite(touched)

    def lock_objects(self, objects: Sequence[int], *, locked: bool) -> None:
        """Lock objects, or release them."""
        with self.history.step("locking" if locked else "unlocking", objects):
            held = self.session.locks.objects
            held.update(objects) if locked else held.difference_update(objects)
        self.save()

    def lock_frames(self, frames: Iterable[int], *, locked: bool) -> None:
        """Lock frames of all objects, or release them."""
        with self.history.step("locking" if locked else "unlocking", ()):
            self.session.locks.lock_frames(frames, locked=locked)
        self.save()

    def undo(self) -> Step | None:
        """Take the last change back."""
        return self._after(self.history.undo())

    def redo(self) -> Step | None:
        """Make the change again that was undone last."""
        return self._after(self.history.redo())

    def _after(self, step: Step | None) -> Step | None:
        if step is not None:
            self._rewrite(tuple(step.objects))
        return step

    def status(self) -> tuple[ObjectStatus, ...]:
        """Every object at a glance, ascending; for another thread to look at."""
        session = self.session
        to_do = {*session.pending("forward")}
        ids = sorted({*session.object_ids, *session.lineage})
        return tuple(self._status(object_id, object_id in to_do) for object_id in ids)

    def _status(self, object_id: int, pending: bool) -> ObjectStatus:
        session = self.session
        sure = session.confidence.sureness(object_id)[self._counts(object_id)]
        known = np.isfinite(sure).any()
        frames = session.prompts.frames(object_id)
        return ObjectStatus(
            object_id=object_id,
            prompts=sum(len(session.prompts.rounds(object_id, frame)) for frame in frames),
            pending=pending,
            tracked=any(session.progress(reverse=r).reached(object_id) for r in (False, True)),
            confidence=float(np.nanmin(sure)) if known else None,
            locked=object_id in session.locks.objects,
            mother=session.lineage.get(object_id, (None, 0))[0],
            prompted=tuple(sorted(frames)),
            absent=tuple(f for f in sorted(frames) if session.prompts.is_absent(object_id, f)),
        )

    def _counts(self, object_id: int) -> NDArray[np.bool_]:
        """On which frames (T,) an object's answer counts: none that is to be tracked again."""
        index = np.arange(self.session.n_frames)
        counts = np.isin(index, self.session.prompts.frames(object_id))
        for reverse in (False, True):
            done = self.session.progress(reverse=reverse).take(object_id)
            if done.tracked is not None:
                in_time = index[::-1] if reverse else index
                counts |= done.tracked & (done.pending is None or in_time < done.pending)
        return counts

    # ---- keeping --------------------------------------------------------------------------

    def save(self) -> None:
        """Keep prompts, state and memory; labels and answers are kept as they come."""
        session = self.session
        self.folder.save_prompts(session.prompts)
        self.folder.save_state(
            {
                "settings": self.settings,
                "lives": {i: [life.start, life.stop] for i, life in session.lives.items()},
                "lineage": {i: list(origin) for i, origin in session.lineage.items()},
                "locks": session.locks.as_plain(),
                "pending": {
                    name: dict(session.progress(reverse=reverse).pending)
                    for name, reverse in (("forward", False), ("backward", True))
                },
            }
        )
        self._keep_memory()

    def _keep_memory(self) -> None:
        self.folder.memory.save(lambda name: {"objects": pack_memories(self.session, name)})

    def _recall(self) -> None:
        """Let objects remember what they did when the folder was last written to."""
        found = self.folder.memory.load(self.session.model.device)
        if found is None:
            return
        objects, tensors = found[0].get("objects", {}), found[1]
        try:
            memories = unpack_memories(self.session, objects, tensors)
        except (KeyError, TypeError, ValueError):  # of other prompts: it is rebuilt from labels
            return
        remind(self.session, objects, memories)

    def _forget_after(self, object_id: int, frame: int) -> None:
        """What follows a changed prompt, in both directions of time, does not count any more."""
        if object_id not in self.session.object_ids:
            self.folder.forget(object_id)
            return
        self.folder.forget(object_id, frames=range(frame, self.session.n_frames), reverse=False)
        self.folder.forget(object_id, frames=range(frame + 1), reverse=True)

    def _rewrite(self, objects: Iterable[int]) -> None:
        """Keep anew all answers of objects whose past was changed."""
        for object_id in objects:
            self.folder.forget(object_id)
            table = self.session.confidence.take(object_id)
            if table is None:
                continue
            back = self.session.progress(reverse=True).take(object_id).tracked
            forth = self.session.progress(reverse=False).take(object_id).tracked
            prompted = {*self.session.prompts.frames(object_id)}
            records = []
            for frame in np.flatnonzero(np.isfinite(table[:, 0])).tolist():
                score, iou, area = table[frame].tolist()
                ways = [
                    reverse for reverse, done in ((False, forth), (True, back))
                    if done is not None and done[frame]
                ]  # fmt: skip
                preview = not ways and frame in prompted
                for reverse in [False] if preview else ways:
                    records.append(AnswerRecord(
                        frame=frame, object_id=object_id, reverse=reverse, score=score,
                        iou=iou, area=int(area), prompted=preview,
                    ))  # fmt: skip
            self.folder.note(records)
        self.save()

    def _resume(self) -> None:
        """Put what the folder knows into the session."""
        state, session = self.folder.state(), self.session
        prompts: dict[int, list[Prompt]] = {}
        for prompt in self.folder.prompts():
            prompts.setdefault(prompt.object_id, []).append(prompt)
        answers: dict[int, list[AnswerRecord]] = {}
        for record in self.folder.answers():
            answers.setdefault(record.object_id, []).append(record)
        origins = {int(i): (int(m), int(f)) for i, (m, f) in state.get("lineage", {}).items()}
        lives = {int(i): range(*life) for i, life in state.get("lives", {}).items()}
        locks = state.get("locks", {})
        for object_id, given in prompts.items():
            known, shown = answers.get(object_id, []), {prompt.frame for prompt in given}
            session.put(
                object_id,
                ObjectState(
                    prompts=tuple(given),
                    forward=self._done(object_id, known, state, shown, reverse=False),
                    backward=self._done(object_id, known, state, shown, reverse=True),
                    confidence=self._table(known),
                    life=lives.get(object_id),
                    origin=origins.get(object_id),
                    locked=object_id in locks.get("objects", ()),
                ),
            )
        session.lives.update(lives)
        session.lineage.update(origins)
        session.locks.frames = set(locks.get("frames", ()))
        self._recount(answers)
        self._recall()

    def _recount(self, answers: Mapping[int, Sequence[AnswerRecord]]) -> None:
        """Take areas from the labels where what was noted last need not be what they show.

        That is where something was painted, and where an object was found both ways: of an answer
        that does not count any more, the label stays, and the one of the other way counts again.
        """
        session = self.session
        frames = {prompt.frame for prompt in session.prompts if prompt.mask is not None}
        for object_id, known in answers.items():
            forth, back = ({r.frame for r in known if r.reverse == way} for way in (False, True))
            again = any(object_id in session.progress(reverse=r).pending for r in (False, True))
            frames |= forth | back if again and forth and back else forth & back
        for frame in sorted(frames):
            with suppress(InputError):  # a frame that cannot be read says so when it is shown
                session.confidence.recount(frame, self._labels[frame])

    def _done(
        self, object_id: int, answers: Sequence[AnswerRecord], state: Mapping[str, Any],
        shown: Container[int], *, reverse: bool,
    ) -> Done:  # fmt: skip
        """Progress in one direction: as it was kept, and as far as a pass came since then.

        `shown` are frames with prompts.
        """
        n_frames = self.session.n_frames
        known = [record for record in answers if record.reverse == reverse]
        answered, tracked = np.zeros(n_frames, bool), np.zeros(n_frames, bool)
        answered[[record.frame for record in known]] = True
        # Both ways, the forward half answers the prompts, and the backward half begins after them.
        answered[[record.frame for record in answers if record.frame in shown]] = True
        # A prompt's preview is an answer, too, but no pass has been there.
        tracked[[record.frame for record in known if not record.prompted]] = True
        kept = state.get("pending", {}).get("backward" if reverse else "forward", {})
        pending = kept.get(str(object_id))
        if pending is not None:
            in_time = answered[::-1] if reverse else answered
            while pending < n_frames and in_time[pending]:
                pending += 1
            pending = None if pending >= n_frames else pending
        return Done(pending, tracked if tracked.any() else None)

    def _table(self, answers: Iterable[AnswerRecord]) -> NDArray[np.float32] | None:
        table = np.full((self.session.n_frames, 3), np.nan, np.float32)
        for record in answers:
            table[record.frame] = record.score, record.iou, record.area
        return table if np.isfinite(table).any() else None


def _listed(objects: Sequence[int]) -> str:
    return "object " + ", ".join(map(str, objects))
