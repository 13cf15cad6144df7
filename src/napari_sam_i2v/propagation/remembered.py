"""What a session remembers as plain values and named tensors, and back: for files.

Labels and prompts are enough to go on from, but what is rebuilt from labels differs a little from
what was remembered. With this, a pass goes on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any, Protocol

import torch
from torch import Tensor

from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.checks import as_box
from napari_sam_i2v.propagation.memory_bank import MemoryBank, MemoryEntry
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import View

__all__ = ["Name", "pack_track", "unpack_track"]


class Name(Protocol):
    """Gives a tensor a name under which it is kept; the same tensor has one name."""

    def __call__(self, tensor: Tensor, *, lasting: bool) -> str:
        """Name it; `lasting` if it is kept for good rather than for a while."""


def pack_track(track: Track, name: Name) -> dict[str, Any]:
    """Give a track as values that JSON knows, its tensors by name; without its prompts."""
    return {
        "permanent": [
            [frame, _pack_entry(entry, name, lasting=True)]
            for frame, entry in track.bank.permanent.items()
        ],
        "rolling": [
            [frame, _pack_entry(entry, name, lasting=False)]
            for frame, entry in track.bank.rolling.items()
        ],
        "answers": [[frame, _pack_answer(one, name)] for frame, one in track.answers.items()],
        "view": _pack_view(track.view),
        "size": float(track.size),
        "lost": int(track.lost),
        "moves": int(track.moves),
        "at": track.at,
        "seen": None if track.seen is None else list(astuple(track.seen)),
        "before": _pack_mask(track.before, name),
        "usual": track.usual,
    }


def unpack_track(
    facts: Mapping[str, Any],
    *,
    object_id: int,
    config: SamI2VConfig,
    tensor: Callable[[str], Tensor],
    rounds: Callable[[int], tuple[Prompt, ...]],
) -> Track:
    """Make the track again.

    Parameters
    ----------
    facts
        From `pack_track`.
    object_id, config
        Whose, and of which network.
    tensor
        Gives a tensor by its name.
    rounds
        Gives the object's prompts on an index: a painted mask is kept there.

    Raises
    ------
    KeyError, TypeError, ValueError
        If something is missing, or is not what it should be.
    """
    bank = MemoryBank(
        config,
        permanent={int(x): _unpack_entry(one, tensor) for x, one in facts["permanent"]},
        rolling={int(x): _unpack_entry(one, tensor) for x, one in facts["rolling"]},
    )
    answers = {int(x): _unpack_answer(one, tensor, rounds(int(x))) for x, one in facts["answers"]}
    at, seen, usual = facts["at"], facts["seen"], facts.get("usual")
    return Track(
        object_id, bank, answers=answers, view=_unpack_view(facts["view"]),
        size=float(facts["size"]), lost=int(facts["lost"]),
        moves=int(facts.get("moves", 0)), at=None if at is None else int(at),
        seen=None if seen is None else _unpack_seen(seen),
        before=_unpack_mask(facts.get("before"), tensor),
        usual=None if usual is None else float(usual),
    )  # fmt: skip


def _pack_entry(entry: MemoryEntry, name: Name, *, lasting: bool) -> list[str]:
    parts = (entry.spatial, entry.foreground, entry.pointer, entry.fingerprint)
    return [name(part, lasting=lasting) for part in parts]


def _unpack_entry(names: list[str], tensor: Callable[[str], Tensor]) -> MemoryEntry:
    return MemoryEntry(*map(tensor, names))


def _pack_answer(answer: Answer, name: Name) -> dict[str, Any]:
    tensors = (answer.low, answer.stored, answer.pointer)
    return {
        "view": _pack_view(answer.view),
        "tensors": [name(one, lasting=True) for one in tensors],
        "score": float(answer.score),
        "iou": float(answer.iou),
        "exact": answer.exact is not None,
        "heeded": [list(click) for click in answer.heeded],
        "within": None if answer.within is None else list(answer.within),
    }


def _unpack_answer(
    facts: Mapping[str, Any], tensor: Callable[[str], Tensor], rounds: tuple[Prompt, ...]
) -> Answer:
    view = _unpack_view(facts["view"])
    exact = rounds[-1].mask if rounds else None
    if view is None or not rounds or (exact is not None) != facts["exact"]:
        raise ValueError("an answer and its prompts do not belong together")
    low, stored, pointer = map(tensor, facts["tensors"])
    within = facts.get("within")
    return Answer(
        view, low, stored, pointer, float(facts["score"]), float(facts["iou"]), exact=exact,
        heeded=tuple((float(y), float(x)) for y, x in facts["heeded"]),
        within=None if within is None else as_box(within),
    )  # fmt: skip


def _unpack_seen(facts: list[Any]) -> Seen:
    y, x, area, box, index, *iou = facts  # an older version kept no overlap
    y0, x0, y1, x1 = map(int, box)
    return Seen(float(y), float(x), int(area), (y0, x0, y1, x1), int(index), *map(float, iou))


def _pack_mask(mask: ObjectMask | None, name: Name) -> list[Any] | None:
    if mask is None:
        return None
    return [[int(v) for v in mask.box], name(torch.from_numpy(mask.mask), lasting=False)]


def _unpack_mask(facts: list[Any] | None, tensor: Callable[[str], Tensor]) -> ObjectMask | None:
    if facts is None:
        return None
    (y, x, *_), named = facts
    return ObjectMask.given(tensor(named).cpu().numpy(), int(y), int(x))


def _pack_view(view: View | None) -> list[int] | None:
    return None if view is None else [int(number) for number in astuple(view)]


def _unpack_view(facts: list[int] | None) -> View | None:
    return None if facts is None else View(*map(int, facts))
