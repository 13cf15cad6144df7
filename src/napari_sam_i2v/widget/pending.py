"""What the user did that the worker has not come to yet.

The worker may be seconds behind: a click is being answered, a frame is being tracked. What it then
reports does not know of what was done since, and must not be shown in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.widget.prompt_rows import apart, same_rounds

__all__ = ["Edit", "Key", "Pending", "with_edits"]

Key = tuple[int, int]
"""Object id, frame."""


@dataclass(frozen=True, eq=False)
class Edit:
    """What the user did to an object's clicks and box on a frame.

    Attributes
    ----------
    key
        Object and frame.
    before, after
        The rounds that the layers showed, and those that they show now.
    """

    key: Key
    before: tuple[Prompt, ...]
    after: tuple[Prompt, ...]

    def done_to(self, rounds: Iterable[Prompt]) -> tuple[Prompt, ...]:
        """Return an object's rounds on a frame as they are after this edit.

        What came or went since the layers were read, as by an undo, stays so; a painted mask
        stays, too, unless there is a box now.
        """
        there = [one for one in apart(rounds) if one.mask is None]
        clicks = self.after
        if not same_rounds(there, self.before):
            came = [one for one in there if not _among(one, self.before)]
            kept = [x for x in self.after if _among(x, there) or not _among(x, self.before)]
            clicks = tuple(sorted([*came, *kept], key=lambda one: one.box is None))
        boxed = any(prompt.box is not None for prompt in clicks)
        masks = () if boxed else tuple(one for one in apart(rounds) if one.mask is not None)
        return (*masks[-1:], *clicks)


def _among(one: Prompt, rounds: Iterable[Prompt]) -> bool:
    return any(same_rounds((one,), (other,)) for other in rounds)


def with_edits(edits: Sequence[Edit], prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """Return the rounds of the one object and frame of some edits, as they are after these."""
    rounds = tuple(p for p in prompts if (p.object_id, p.frame) == edits[0].key)
    starts = [i for i, p in enumerate(rounds) if p.box is not None or p.mask is not None]
    rounds = rounds[starts[-1] :] if starts else rounds
    for edit in edits:
        rounds = edit.done_to(rounds)
    return rounds


class Pending:
    """Jobs that were asked for and are not done, by number: what they do to prompts and ids."""

    def __init__(self) -> None:
        self._edits: dict[int, Edit] = {}
        self._ids: dict[int, tuple[int, ...]] = {}

    def note_edit(self, number: int, edit: Edit) -> None:
        """Note that a job edits prompts."""
        self._edits[number] = edit

    def promise(self, number: int, ids: Iterable[int]) -> None:
        """Note that a job makes objects of these ids."""
        self._ids[number] = tuple(ids)

    def done(self, number: int) -> None:
        """Forget jobs up to this one: what they did is in what the worker says."""
        self._edits = {n: edit for n, edit in self._edits.items() if n > number}
        self._ids = {n: ids for n, ids in self._ids.items() if n > number}

    @property
    def ids(self) -> set[int]:
        """Ids that are promised to new objects."""
        return {object_id for ids in self._ids.values() for object_id in ids}

    def done_to(self, prompts: Iterable[Prompt]) -> list[Prompt]:
        """Return prompts as they will be once all edits are done."""
        by_key: dict[Key, list[Edit]] = {}
        for edit in self._edits.values():
            by_key.setdefault(edit.key, []).append(edit)
        given = list(prompts)
        others = [p for p in given if (p.object_id, p.frame) not in by_key]
        edited = [one for edits in by_key.values() for one in with_edits(edits, given)]
        return [*others, *(one for one in edited if one.mask is None)]
