"""Changes of who is who: swap and merge objects, mark divisions; what an object is, to undo them.

All of them write labels and prompts alike, so that they stick: where identities change, the
masks become prompts, and a later pass goes through them instead of repeating the mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.propagation.kin import hull, renamed, spliced, without_mothers
from napari_sam_i2v.propagation.progress import Done
from napari_sam_i2v.propagation.prompts import Prompt, PromptBook

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.session import Session

__all__ = ["ObjectState", "divide", "merge", "swap"]


@dataclass(frozen=True, eq=False)
class ObjectState:
    """All that a session knows of an object but its pixels.

    Attributes
    ----------
    prompts
        Its rounds, in order.
    forward, backward
        Progress in both directions of time.
    confidence
        Its table, see `ConfidenceTable.take`.
    life, origin
        Its entries in `Session.lives` and `Session.lineage`.
    locked
        Whether it is.
    """

    prompts: tuple[Prompt, ...]
    forward: Done
    backward: Done
    confidence: NDArray[np.float32] | None
    life: range | None
    origin: tuple[int, int] | None
    locked: bool


def swap(session: Session, a: int, b: int, *, frame: int) -> Iterator[int]:
    """Swap two objects from a frame on; yields the frames written.

    One that is left without pixels, and without a prompt that shows it, is gone.

    Raises
    ------
    PromptError
        If one of them is unknown or locked, or they are one.
    """
    check_changeable(session, (a, b), frames=range(frame, session.n_frames))
    if a == b:
        raise PromptError(f"Two objects are needed to be swapped, got {a} twice.")
    states = {i: session.take(i) for i in (a, b)}
    other = {a: b, b: a}
    yield from rewrite(session, range(frame, session.n_frames), other)
    lineage = session.lineage = renamed(session.lineage, other, frame)
    for i in (a, b):
        mine, theirs = states[i], states[other[i]]
        prompts = [p for p in mine.prompts if p.frame < frame]
        prompts += [replace(p, object_id=i) for p in theirs.prompts if p.frame >= frame]
        fixed = _fixed(session, i, prompts, frame)
        state = replace(
            mine,
            prompts=fixed,
            forward=_spliced(mine.forward, theirs.forward, frame, frame),
            backward=_spliced_back(mine.backward, theirs.backward, frame, session.n_frames),
            confidence=_rows(mine.confidence, theirs.confidence, frame),
            life=spliced(mine.life, theirs.life, frame, session.n_frames),
            origin=lineage.get(i),
        )
        session.put(i, state if fixed else None)


def merge(session: Session, object_id: int, *, into: int) -> Iterator[int]:
    """Make one object part of another; yields the frames written.

    Raises
    ------
    PromptError
        If one of them is unknown or locked, or they are one.
    """
    check_changeable(session, (object_id, into), frames=range(session.n_frames))
    if object_id == into:
        raise PromptError(f"Two objects are needed to be merged, got {into} twice.")
    gone, kept = session.take(object_id), session.take(into)
    yield from rewrite(session, range(session.n_frames), {object_id: into})
    prompts = [*kept.prompts, *(replace(p, object_id=into) for p in gone.prompts)]
    for frame in sorted({p.frame for p in prompts}):
        prompts = list(_with_mask(session, into, prompts, frame))
    merged = replace(
        kept,
        prompts=tuple(prompts),
        forward=_either(kept.forward, gone.forward),
        backward=_either(kept.backward, gone.backward),
        confidence=_filled(kept.confidence, gone.confidence),
        life=hull((kept.life, gone.life)),
    )
    lineage = renamed(session.lineage, {object_id: into}, 0)
    session.put(object_id, None)
    session.put(into, merged)
    session.lineage = lineage


def divide(session: Session, mother: int, *, frame: int, daughters: Iterable[int]) -> Iterator[int]:
    """Mark a division: the mother ends before `frame`, her daughters begin on it.

    What was found of the mother from there on goes to the first daughter, who was mistaken for
    her; the others are to be prompted. Later divisions are hers then, too. Yields the frames
    written.

    Raises
    ------
    PromptError
        If the mother is unknown, locked, begins there or has ended by then, or a daughter exists
        already.
    """
    ids = list(daughters)
    check_changeable(session, (mother,), frames=range(frame, session.n_frames))
    _check_division(session, mother, frame, ids)
    old, heir = session.take(mother), ids[0]
    yield from rewrite(session, range(frame, session.n_frames), {mother: heir})
    late = [replace(p, object_id=heir) for p in old.prompts if p.frame >= frame]
    prompts = _fixed(session, heir, late, frame)
    life = old.life or range(session.n_frames)
    lineage = renamed(without_mothers(session.lineage, ids), {mother: heir}, frame)
    session.put(
        mother,
        replace(
            old,
            prompts=tuple(p for p in old.prompts if p.frame < frame),
            confidence=_rows(old.confidence, None, frame),
            life=range(life[0], frame),
        ),
    )
    if prompts:
        session.put(
            heir, replace(old, prompts=prompts, confidence=_rows(None, old.confidence, frame))
        )
    session.lineage = lineage | dict.fromkeys(ids, (mother, frame))
    for daughter in ids:  # the end of the mother's life is the first one's
        stop = life.stop if daughter == heir else session.n_frames
        session.lives[daughter] = range(frame, stop)


def _check_division(session: Session, mother: int, frame: int, daughters: Sequence[int]) -> None:
    """Check that a mother can divide on a frame, into these."""
    known = {*session.object_ids, *session.lineage, mother}
    if taken := [i for i in daughters if i in known]:
        raise PromptError(f"Daughters need new object ids; {taken[0]} exists already.")
    life = session.lives.get(mother, range(session.n_frames))
    if not daughters or frame not in life[1:]:
        hint = "" if life == range(session.n_frames) else (
            f" Object {mother} is known to exist on frames {life[0]} to {life[-1]} only: choose "
            "one of them after its first, divide the object that is there on the frame, or take "
            "the earlier division back."
        )  # fmt: skip
        raise PromptError(
            f"A division needs daughters and a frame from {life[0] + 1} to {life[-1]}, "
            f"got {len(daughters)} daughters on frame {frame}.{hint}"
        )
    if not any(shown < frame for shown in session.prompts.shown(mother)):
        raise PromptError(
            f"Object {mother} has no prompt before frame {frame}: prompt it where it is one "
            "object still."
        )


def check_changeable(session: Session, objects: Sequence[int], *, frames: range) -> None:
    """Check that objects exist and neither they nor the frames are locked."""
    for object_id in objects:
        if object_id not in session.object_ids:
            known = ", ".join(map(str, session.object_ids)) or "none"
            raise PromptError(f"There is no object {object_id}; objects are: {known}.")
    session.locks.check_free(objects, frames)


def rewrite(session: Session, frames: range, ids: dict[int, int]) -> Iterator[int]:
    """Give pixels other object ids, on the frames that have such; yields those."""
    for frame in frames:
        plane = np.asarray(session.labels[frame])
        found = {old: plane == old for old in ids}
        if not any(mask.any() for mask in found.values()):
            continue
        changed = plane.copy()
        for old, mask in found.items():
            changed[mask] = ids[old]
        session.labels[frame] = changed
        yield frame


def _fixed(
    session: Session, object_id: int, prompts: Iterable[Prompt], frame: int
) -> tuple[Prompt, ...]:
    """Prompts with those of a frame replaced by the mask that the labels have there, if any.

    Where none shows the object then, its mask on the nearest frame is one, from that frame on if
    it is there, else before. Empty if it has no pixels either: nothing is left of it.
    """
    fixed = _with_mask(session, object_id, prompts, frame)
    if PromptBook(fixed).shown(object_id):
        return fixed
    for other in (*range(frame + 1, session.n_frames), *reversed(range(frame))):
        if (np.asarray(session.labels[other]) == object_id).any():
            return _with_mask(session, object_id, fixed, other)
    return ()


def _with_mask(
    session: Session, object_id: int, prompts: Iterable[Prompt], frame: int
) -> tuple[Prompt, ...]:
    """Prompts with those of a frame replaced by the mask that the labels have there, if any."""
    mask = np.asarray(session.labels[frame]) == object_id
    given = tuple(prompts)
    if not mask.any():
        return given
    kept = [p for p in given if p.frame != frame]
    at = sum(p.frame < frame for p in kept)
    return (*kept[:at], Prompt(object_id, frame, mask=mask, correction=True), *kept[at:])


def _spliced(mine: Done, theirs: Done, index: int, frame: int) -> Done:
    """Mine before, theirs from `index` on."""
    if mine.pending is not None and mine.pending < index:
        pending: int | None = mine.pending
    else:
        pending = None if theirs.pending is None else max(theirs.pending, index)
    return Done(pending, _parts(mine.tracked, theirs.tracked, frame))


def _spliced_back(mine: Done, theirs: Done, frame: int, n_frames: int) -> Done:
    """Backward in time: theirs before the index that `frame` has there, mine after it."""
    index = n_frames - frame
    pending = _spliced(theirs, mine, index, frame).pending
    return Done(pending, _parts(mine.tracked, theirs.tracked, frame))


def _parts(
    mine: NDArray[np.bool_] | None, theirs: NDArray[np.bool_] | None, frame: int
) -> NDArray[np.bool_] | None:
    return _joined(mine, theirs, frame, blank=False)


def _rows(
    mine: NDArray[np.float32] | None, theirs: NDArray[np.float32] | None, frame: int
) -> NDArray[np.float32] | None:
    return _joined(mine, theirs, frame, blank=np.nan)


def _joined(
    mine: NDArray[Any] | None, theirs: NDArray[Any] | None, frame: int, *, blank: float
) -> NDArray[Any] | None:
    """Rows of mine before a frame, of theirs from there on; blank where there are none."""
    known = mine if mine is not None else theirs
    if known is None:
        return None
    before, after = (np.full_like(known, blank) if t is None else t for t in (mine, theirs))
    return np.concatenate([before[:frame], after[frame:]])


def _either(kept: Done, gone: Done) -> Done:
    starts = [done.pending for done in (kept, gone) if done.pending is not None]
    tracked = [done.tracked for done in (kept, gone) if done.tracked is not None]
    return Done(min(starts, default=None), np.logical_or.reduce(tracked) if tracked else None)


def _filled(
    kept: NDArray[np.float32] | None, gone: NDArray[np.float32] | None
) -> NDArray[np.float32] | None:
    """Answers of the one, else of the other; their areas are one now."""
    if kept is None or gone is None:
        return gone if kept is None else kept
    both = np.where(np.isnan(kept), gone, kept)
    both[:, 2] = np.where(np.isnan(both[:, 2]), np.nan, np.nansum([kept[:, 2], gone[:, 2]], axis=0))
    return both
