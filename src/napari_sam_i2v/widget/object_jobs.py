"""What the dock does to objects and prompts: jobs for the worker, one per step to undo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.measure.divisions import ProposedDivision, two_parts
from napari_sam_i2v.propagation.prompts import Prompt, points_out
from napari_sam_i2v.widget.desk import Event, Found, Job, Said
from napari_sam_i2v.widget.painting import Stroke, stroke_between
from napari_sam_i2v.widget.pending import Edit, Key, with_edits

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.progress import Locks
    from napari_sam_i2v.propagation.session import FrameResult
    from napari_sam_i2v.workbench import Workbench

# ---- objects ----------------------------------------------------------------------------------


def rename_job(names: Mapping[int, str]) -> Job:
    """Keep the names that objects have now."""
    kept = {str(object_id): name for object_id, name in names.items()}

    def act(bench: Workbench) -> Iterable[int]:
        bench.settings["names"] = kept
        bench.save()
        return ()

    return Job(act, key="names")


def delete_job(objects: Sequence[int]) -> Job:
    """Erase objects with their prompts."""

    def act(bench: Workbench) -> Iterable[int]:
        bench.remove(objects)
        return range(bench.session.n_frames)

    return Job(act, shows=True)


def merge_job(objects: Sequence[int], into: int) -> Job:
    """Make objects part of another; raises `PromptError` if there is no other."""
    others = [object_id for object_id in objects if object_id != into]
    if not others:
        raise PromptError("Choose two or more objects to merge.")
    return Job(lambda bench: bench.merge(others, into=into), shows=True)


def swap_job(a: int, b: int, frame: int) -> Job:
    """Swap two objects from a frame on."""
    return Job(lambda bench: bench.swap(a, b, frame=frame), shows=True)


def divide_job(object_id: int, frame: int, daughters: tuple[int, int]) -> Job:
    """Let an object end before a frame, and two daughters begin there; the second is next."""
    first, second = daughters

    def act(bench: Workbench) -> Iterator[int | Event]:
        yield from bench.divide(object_id, frame=frame, daughters=daughters)
        yield Found("current", second)
        yield Said(
            f"Object {object_id} ends before frame {frame}. Check daughter {first}, and click on "
            f"daughter {second}."
        )

    return Job(act, shows=True)


def accept_job(proposal: ProposedDivision, daughters: tuple[int, int]) -> Job:
    """Divide an object as proposed: its two parts are the daughters' prompts."""
    mother, frame = proposal.object_id, proposal.frame
    first, second = daughters

    def act(bench: Workbench) -> Iterator[int | Event]:
        parts = two_parts(np.asarray(bench.session.labels[frame]), mother)
        if parts is None:
            raise PromptError(
                f"Object {mother} is not in two parts on frame {frame} any more: look for "
                "divisions again."
            )
        yield from bench.divide(mother, frame=frame, daughters=daughters, masks=parts)
        yield Found("current", first)
        yield Said(
            f"Object {mother} divides into {first} and {second} on frame {frame}. Track goes on "
            "from there."
        )

    return Job(act, shows=True)


def lock_objects_job(objects: Sequence[int], locked: bool) -> Job:
    """Lock objects, or release them."""
    return _silent(lambda bench: bench.lock_objects(objects, locked=locked))


def lock_frame_job(frame: int, locked: bool) -> Job:
    """Lock a frame for all objects, or release it."""
    return _silent(lambda bench: bench.lock_frames([frame], locked=locked))


# ---- prompts ----------------------------------------------------------------------------------


def absent_job(objects: Sequence[int], frame: int, absent: bool) -> Job:
    """Say that objects are not on a frame, or take that back."""
    named = "Object " + ", ".join(map(str, objects))
    said = (
        f"{named}: not on frame {frame}. Track goes on from there."
        if absent
        else f"{named}: on frame {frame} tracking decides again."
    )

    def act(bench: Workbench) -> Iterator[int | Event]:
        bench.mark_absent(objects, frame, absent=absent)
        yield frame
        yield Said(said)

    return Job(act, shows=True)


def given_job(prompts: Sequence[Prompt], name: str) -> Job:
    """Add prompts that were made elsewhere, as a step of that name."""
    return Job(lambda bench: bench.add(prompts, name), shows=True)


@dataclass(frozen=True)
class PromptsJob(Job):
    """A job that does some edits."""

    edits: tuple[Edit, ...] = ()


def prompts_job(edits: Sequence[Edit], wanted: Callable[[Any], Callable[[], bool]]) -> PromptsJob:
    """Do what the user did to an object's clicks and box on a frame, in one or several edits.

    If nothing is found, or others keep most of what it is found on, that is said, and what can
    be done.

    Parameters
    ----------
    edits
        All of the same object and frame.
    wanted
        Given the job's key, whether no later job has made the answer void; see `Desk.wanted`.
    """
    key = object_id, frame = edits[0].key

    def act(bench: Workbench) -> Iterator[int | Event]:
        rounds = with_edits(edits, bench.session.prompts)
        whole = not rounds and bench.session.prompts.frames(object_id) == (frame,)
        result = bench.set_prompts(object_id, frame, rounds, wanted=wanted(("prompt", key)))
        yield from range(bench.session.n_frames) if whole else [frame]
        if result is not None:
            yield Said(_unlike(result, rounds, key, bench.session.locks), passing=True)

    def joined(older: Job) -> Job:
        before = older.edits if isinstance(older, PromptsJob) else ()
        return prompts_job((*before, *edits), wanted)

    return PromptsJob(act, key=("prompt", key), joined=joined, edits=tuple(edits))


def painted_job(stroke: Stroke) -> Job:
    """Make a mask prompt of each object that a stroke painted, or took pixels from.

    What is locked is put back first, so that nothing is made of it, and that is said. Where a pass
    has written over the stroke since, it is laid on that.
    """
    made, frame = stroke, stroke.frame

    def act(bench: Workbench) -> Iterator[int | Event]:
        locks, now = bench.session.locks, bench.session.labels[frame]
        stroke = made.on(now)
        if not np.array_equal(stroke.after, now):
            bench.session.labels[frame] = stroke.after
        held = _put_back(bench, stroke, locks.objects, everything=frame in locks.frames)
        left = stroke_between(frame, stroke.before, bench.session.labels[frame])
        changed = () if left is None else left.objects
        if painted := [i for i in stroke.objects if i in changed and not locks.holds(i, frame)]:
            _paint(bench, painted, stroke)
        yield frame  # also what was put back is to be drawn
        locks.check_free(stroke.objects, [frame])
        yield Said(_kept_free(stroke.objects[0], held[0]) if held else "", passing=True)

    return Job(act, shows=True)


def _paint(bench: Workbench, objects: Sequence[int], stroke: Stroke) -> None:
    """Paint objects, as one step to undo; if that is refused, their pixels are as they were."""
    try:
        bench.paint(objects, stroke.frame, before=stroke.before)
    except PromptError:
        _put_back(bench, stroke, objects)
        raise


def _put_back(
    bench: Workbench, stroke: Stroke, objects: Collection[int], *, everything: bool = False
) -> list[int]:
    """Give objects back what a stroke took from them, and take what it gave them.

    Returns those of them that had lost pixels.
    """
    now, before = bench.session.labels[stroke.frame], stroke.before
    lost = np.isin(before, list(objects)) & (now != before)
    theirs = (lost | np.isin(now, list(objects)) | everything) & (now != before)
    if theirs.any():
        bench.session.labels[stroke.frame] = np.where(theirs, before, now)
    return [int(object_id) for object_id in np.unique(before[lost])]


def _kept_free(painted: int, held: int) -> str:
    """Say that an object was painted on a locked one, and what to do."""
    return (
        f"Object {painted} was painted on what object {held} has, which is locked: only what is "
        "left is painted. To paint there, unlock it first."
    )


def _unlike(result: FrameResult, rounds: Sequence[Prompt], key: Key, locks: Locks) -> str:
    """Say what is not as a prompt has it, and what can be done; nothing if all is well."""
    object_id, frame = key
    if keepers := result.keepers(object_id):
        return _hidden(object_id, keepers[0], locks.holds(keepers[0], frame))
    if points_out(rounds) and not result.masks[object_id].area:
        return (
            f"Nothing was found for object {object_id} on frame {frame}: click nearer to its "
            "middle, draw a box around it, or paint it."
        )
    return ""


def _hidden(object_id: int, keeper: int, locked: bool) -> str:
    if locked:
        return (
            f"Object {object_id} was found on what object {keeper} has, which is locked: only what "
            "is left is shown."
        )
    return (
        f"Object {object_id} was found on what object {keeper} was tracked to: only what is left "
        f"is shown. If object {keeper} is not there, choose it, Ctrl-click there, and track."
    )


# ---- steps ------------------------------------------------------------------------------------


def undo_job() -> Job:
    """Take the last change back."""
    return Job(lambda bench: _frames(bench.undo()), shows=True)


def redo_job() -> Job:
    """Make the change again that was undone last."""
    return Job(lambda bench: _frames(bench.redo()), shows=True)


def _silent(act: Callable[[Workbench], object]) -> Job:
    """A job that writes no frame."""

    def run(bench: Workbench) -> Iterable[int]:
        act(bench)
        return ()

    return Job(run)


def _frames(step: Any) -> Iterable[int]:
    return () if step is None else list(step.crops)
