"""What one object remembers: prompted frames for good, recent frames for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.memory_filter import (
    FilterStrategy,
    Selection,
    candidates,
    pick,
    select,
)
from napari_sam_i2v.network.sam_i2v import Memory

__all__ = ["MAX_CONDITIONING", "MemoryBank", "MemoryEntry", "fingerprint", "stack_memories"]

MAX_CONDITIONING = 8
"""Prompted frames a frame looks back to, at most: the object's first and those nearest in time."""


@dataclass(frozen=True)
class MemoryEntry:
    """One remembered frame of one object.

    Attributes
    ----------
    spatial
        (memory_dim, h, w) bfloat16, as published.
    foreground
        (h*w,) bool.
    pointer
        (hidden_dim,).
    fingerprint
        (hidden_dim * h * w,) image feature of unit length, half precision, to compare frames by.
    """

    spatial: Tensor
    foreground: Tensor
    pointer: Tensor
    fingerprint: Tensor


def fingerprint(feature: Tensor, channels: int | None = None) -> Tensor:
    """Unit vector (C*h*w,) of an image feature's first channels (C, h, w), in half precision.

    Half precision halves what is kept per frame; the rounding errors of the many components
    cancel, so that cosines stay exact to about 1e-6.
    """
    flat = feature[:channels].flatten().float()
    return (flat / torch.linalg.vector_norm(flat).clamp(min=1e-12)).half()


@dataclass
class MemoryBank:
    """Bounded memory of one object in one direction of time.

    Frames are indices in the pass's own direction.
    """

    config: SamI2VConfig
    permanent: dict[int, MemoryEntry] = field(default_factory=dict)
    rolling: dict[int, MemoryEntry] = field(default_factory=dict)

    @property
    def reach(self) -> int:
        """How many frames back filtering can still select."""
        return self.config.local_window + self.config.global_window

    def remember(self, frame: int, entry: MemoryEntry, *, prompted: bool) -> None:
        """Keep a frame, and drop those out of reach of the next."""
        if prompted:
            self.permanent[frame] = entry
            self.rolling.pop(frame, None)
            return
        self.rolling[frame] = entry
        for old in [x for x in self.rolling if x <= frame - self.reach]:
            del self.rolling[old]

    def forget_from(self, frame: int) -> None:
        """Drop unprompted memories of `frame` and later."""
        for late in [x for x in self.rolling if x >= frame]:
            del self.rolling[late]

    def entry(self, frame: int) -> MemoryEntry:
        """Memory of a frame."""
        return self.permanent[frame] if frame in self.permanent else self.rolling[frame]

    def conditioning(self, frame: int) -> list[int]:
        """Prompted frames other than `frame` itself, bounded, in the order of prompting."""
        prompted = [x for x in self.permanent if x != frame]
        if len(prompted) <= MAX_CONDITIONING:
            return prompted
        nearest = sorted(prompted, key=lambda x: (abs(x - frame), x))[: MAX_CONDITIONING - 1]
        kept = {min(prompted), *nearest}
        return [x for x in prompted if x in kept]

    def filter(
        self,
        frame: int,
        feature: Tensor,
        *,
        strategy: FilterStrategy = "top-k",
        seed: int = 0,
    ) -> Selection | None:
        """Choose what to look back to from `frame` (paper, sec. 3.3); None without any prompt.

        Parameters
        ----------
        frame
            Index in the pass's direction of time.
        feature
            (hidden_dim, h, w) of that frame.
        strategy, seed
            How to pick, and the seed of a draw.
        """
        conditioning = self.conditioning(frame)
        if not conditioning:
            return None
        distant, recent = candidates(self.config, frame, sorted(self.rolling))
        generator = torch.Generator().manual_seed(seed) if strategy == "multinomial" else None
        own: Tensor | None = None
        picked: list[list[int]] = []
        for frames, count in (
            (distant, self.config.global_picks),
            (recent, self.config.local_picks),
        ):
            if len(frames) <= count:
                picked.append(frames)
                continue
            own = fingerprint(feature, self.config.hidden_dim) if own is None else own
            similarity = self._similarity(frames, own)
            picked.append([frames[i] for i in pick(similarity, count, strategy, generator)])
        return select(
            self.config, frame,
            conditioning=conditioning, global_picks=picked[0], local_picks=picked[1],
        )  # fmt: skip

    def _similarity(self, frames: Sequence[int], own: Tensor) -> Tensor:
        # One at a time: a stack of the ++ variant's candidates would take most of a gigabyte.
        unit = own.float()
        return torch.stack([self.rolling[x].fingerprint.float() @ unit for x in frames]).cpu()


def stack_memories(banks: Sequence[MemoryBank], selections: Sequence[Selection]) -> Memory:
    """Memory of several objects, padded to the longest; padding counts as zero copies."""
    longest = max(len(s.frames) for s in selections)
    most = max(len(s.pointer_frames) for s in selections)
    rows = [
        _row(bank, chosen, longest, most) for bank, chosen in zip(banks, selections, strict=True)
    ]
    device = rows[0][0].device
    # Numbers go to the device once for all objects: it is waited for each time.
    return Memory(*(torch.stack(column).to(device) for column in zip(*rows, strict=True)))


def _row(
    bank: MemoryBank, chosen: Selection, longest: int, most: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    entries = [bank.entry(x) for x in chosen.frames]
    pointers = [bank.entry(x).pointer for x in chosen.pointer_frames]
    gap, short = longest - len(entries), most - len(pointers)

    def numbers(values: Sequence[float], padding: int, dtype: torch.dtype) -> Tensor:
        return torch.tensor([*values, *[0] * padding], dtype=dtype)

    return (
        torch.stack([e.spatial.float() for e in entries] + [entries[0].spatial.float()] * gap),
        torch.stack([e.foreground for e in entries] + [entries[0].foreground] * gap),
        numbers(chosen.time_positions, gap, torch.long),
        numbers(chosen.copies, gap, torch.float32),
        torch.stack(pointers + pointers[:1] * short),
        numbers(chosen.pointer_values, short, torch.float32),
        numbers(chosen.pointer_copies, short, torch.float32),
    )
