"""One object in one direction of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View

__all__ = ["Track"]


@dataclass
class Track:
    """One object in one direction of time: its memory, its prompts' answers, and its window.

    Frames are indices in the pass's own direction.
    """

    object_id: int
    bank: MemoryBank
    rounds: Mapping[int, Sequence[Prompt]] = field(default_factory=dict)
    others: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    """For each of its prompted frames, positive clicks (N, 2) of other objects."""
    answers: dict[int, Answer] = field(default_factory=dict)
    view: View | None = None
    size: float = 0.0
    lost: int = 0
    moves: int = 0
    """On how many frames in a row, up to now, its window has moved."""
    at: int | None = None
    """Frame after which `view`, `size` and `lost` are as they are."""
    seen: Seen | None = None
    """Where the object was seen last."""
    before: ObjectMask | None = None
    """Its mask on frame `at`, if it was seen there: handed over to the next."""
    usual: float | None = None
    """Size of the objects before it, see `usual_size`, 0 if they have none; None until asked."""

    def set_prompts(
        self,
        rounds: Mapping[int, Sequence[Prompt]],
        others: Mapping[int, NDArray[np.float64]],
    ) -> None:
        """Set the object's prompts and others' clicks; answers that do not heed these go."""
        self.rounds, self.others = rounds, others
        for index, clicks in others.items():
            if index in self.answers and not self.answers[index].heeds(clicks):
                self.forget_prompt(index)

    def copy(self) -> Track:
        """Return a track that goes its own way from here; tensors, which nobody changes, shared."""
        bank = self.bank
        return replace(
            self,
            bank=replace(bank, permanent=dict(bank.permanent), rolling=dict(bank.rolling)),
            rounds=dict(self.rounds),
            others=dict(self.others),
            answers=dict(self.answers),
        )

    def tensors(self) -> Iterator[Tensor]:
        """All that takes memory; some of it may be another track's, too."""
        for entry in (*self.bank.permanent.values(), *self.bank.rolling.values()):
            yield from (entry.spatial, entry.foreground, entry.pointer, entry.fingerprint)
        for answer in self.answers.values():
            yield from (answer.low, answer.stored)

    def forget_prompt(self, index: int) -> None:
        """Drop the answer and memory of a prompted frame."""
        self.answers.pop(index, None)
        self.bank.permanent.pop(index, None)
        self.bank.rolling.pop(index, None)
