"""Memory filtering: which past frames a frame looks back to.

Innovation (ii) of the paper, sec. 3.3. Prompted frames are always remembered. Of the other
frames, a few of the most recent (local) and a few of those before them (global) are picked by
how similar their image features are to the current frame's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napari_sam_i2v.network.config import SamI2VConfig

__all__ = ["FilterStrategy", "Selection", "candidates", "pick", "select"]

FilterStrategy = Literal["top-k", "multinomial"]


@dataclass(frozen=True)
class Selection:
    """The memories of one object for one frame, in the order in which the network sees them.

    Attributes
    ----------
    frames
        Remembered frames: conditioning frames, then global and local picks, ascending each.
    time_positions
        Index of each one's temporal embedding: 0 for a conditioning frame, 1 .. 4 global,
        5 .. 6 local.
    copies
        How many copies of it the published network would see.
    pointer_frames, pointer_values, pointer_copies
        The frames whose object pointers are seen, their positions in time as a share of the
        memory's length, and their copies.
    """

    frames: tuple[int, ...]
    time_positions: tuple[int, ...]
    copies: tuple[int, ...]
    pointer_frames: tuple[int, ...]
    pointer_values: tuple[float, ...]
    pointer_copies: tuple[int, ...]


def candidates(
    config: SamI2VConfig, frame: int, remembered: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Split `remembered` frames into global and local candidates for `frame`."""
    local_start = frame - config.local_window
    global_start = local_start - config.global_window
    return (
        [x for x in remembered if global_start <= x < local_start],
        [x for x in remembered if local_start <= x < frame],
    )


def pick(
    similarity: Tensor,
    count: int,
    strategy: FilterStrategy,
    generator: torch.Generator | None = None,
) -> list[int]:
    """Choose `count` candidates by similarity (n,); return their indices, ascending.

    `top-k` takes the most similar, the earlier one on a tie. `multinomial` draws without
    replacement with probabilities softmax(similarity), as published, from `generator`.
    """
    count = min(count, len(similarity))
    if count == 0:
        return []
    if strategy == "top-k":
        order = torch.argsort(similarity, descending=True, stable=True)
        chosen = order[:count]
    else:
        chosen = torch.multinomial(similarity.softmax(0), count, generator=generator)
    return sorted(chosen.tolist())


def select(
    config: SamI2VConfig,
    frame: int,
    *,
    conditioning: Sequence[int],
    global_picks: Sequence[int],
    local_picks: Sequence[int],
) -> Selection:
    """Arrange what was picked, with its positions in time.

    The published network counts from frame 0; here time is counted from the object's own first
    prompt, so that a late first prompt does not fill the memory with copies of one frame.

    Parameters
    ----------
    config
        Of the network.
    frame
        The frame to be segmented, in the pass's own direction of time.
    conditioning
        Prompted frames of the object in order of prompting; later ones than `frame` too.
    global_picks, local_picks
        Frames picked from the candidates, ascending.
    """
    age = max(frame - min(conditioning), 1)
    length = min(age - 1, config.num_memories - 1)
    picked = [*global_picks, *local_picks]
    places = [*range(1, len(global_picks) + 1)]
    first_local = 1 + config.global_picks
    places += range(first_local, first_local + len(local_picks))
    extra = max(0, length - len(picked))
    copies = [1 + extra] + [1] * (len(conditioning) - 1 + len(picked))

    seen = [x for x in conditioning if x <= frame] or [min(conditioning)]
    unit = length + 1
    values = [1.0] * len(seen) + [(unit - place) / unit for place in places]
    total = sum(copies)
    pointers = len(seen) + len(picked)
    return Selection(
        frames=(*conditioning, *picked),
        time_positions=(*[0] * len(conditioning), *places),
        copies=tuple(copies),
        pointer_frames=(*seen, *picked),
        pointer_values=tuple(values),
        pointer_copies=tuple([1 + max(0, total - pointers)] + [1] * (pointers - 1)),
    )
