"""How much arithmetic the network takes: floating point operations, counted while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from napari_sam_i2v.network.device import threads
from napari_sam_i2v.network.sam_i2v import Memory, SamI2V

__all__ = ["FULL_MEMORY", "FrameCosts", "count_flops", "frame_costs"]

FULL_MEMORY = 7
"""Frames that an object with one prompted frame looks back to, once it is old enough."""


@dataclass(frozen=True)
class FrameCosts:
    """Floating point operations of one frame.

    Attributes
    ----------
    shared
        Once for all objects that are looked at through the same view.
    per_object
        For each object.
    """

    shared: int
    per_object: int

    def total(self, objects: int, views: int = 1) -> int:
        """Of a frame with so many objects, looked at through so many views."""
        return views * self.shared + objects * self.per_object


def count_flops(call: Callable[[], Any]) -> int:
    """Count the floating point operations of a call: two for each multiply-add.

    Matrix products, convolutions and attention count, as is usual; sums, norms and activations
    do not. Attention is computed by its plain formula meanwhile: the fused kernels of a
    processor are not counted by torch, nor is what other threads do: all is done on this one.
    """
    with (
        threads(1),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter,
    ):
        call()
    return int(counter.get_total_flops())


def _added_flops(out: Sequence[int], left: Sequence[int], right: Sequence[int], **_: object) -> int:
    """Of adding the product of (..., N, K) and (..., K, M), given their shapes."""
    return 2 * math.prod(left) * right[-1]


IN_PLACE: dict[Any, Callable[..., int]] = {
    torch.ops.aten.addmm_: _added_flops,
    torch.ops.aten.baddbmm_: _added_flops,
}
"""Products that are added in place, which torch does not count by itself."""


def frame_costs(model: SamI2V, memories: int = FULL_MEMORY) -> FrameCosts:
    """Count the operations of one tracked frame, by difference of two objects and one.

    The frame is encoded, with what earlier frames add to its clip known already; its objects,
    all seen through one view, are tracked and remembered.

    Parameters
    ----------
    model
        In evaluation mode; its weights do not matter.
    memories
        Frames that each object looks back to.
    """
    one, two = (count_flops(_frame(model, objects, memories)) for objects in (1, 2))
    return FrameCosts(shared=2 * one - two, per_object=two - one)


def _frame(model: SamI2V, objects: int, memories: int) -> Callable[[], None]:
    """One frame as `propagation.engine` has it computed."""
    memory = _some_memory(model, objects, memories)
    size = model.config.image_size
    clip = torch.rand(1, 3, 1, size, size, generator=_seeded()).to(model.device)
    side = model.config.mask_size
    masks = torch.ones(objects, 1, side, side, device=model.device)
    handed = masks if model.config.fine_dim else None
    known = [_no_taps(model)] * (model.config.clip_length - 1)

    @torch.no_grad()
    def run() -> None:
        taps = [*known, model.stem_taps(clip[:, :, 0])]
        feature = model.encode_frame(clip, taps=taps)
        found = model.track(feature, memory, handed)
        model.remember(feature, model.upsample(found.low), found.score, prompted=False)
        model.foreground(found.low)

    return run


def _no_taps(model: SamI2V) -> Tensor:
    config = model.config
    shape = (1, config.clip_length, config.temporal_dim, *(config.feature_size,) * 2)
    return torch.zeros(shape, device=model.device)


def _some_memory(model: SamI2V, objects: int, count: int) -> Memory:
    """Memory of objects with one prompted frame and `count` - 1 tracked ones."""
    config, device = model.config, model.device
    side, seeded = config.feature_size, _seeded()

    def rows(values: Sequence[float]) -> Tensor:
        return torch.tensor([list(values)] * objects, device=device)

    def noise(*shape: int) -> Tensor:
        return torch.randn(objects, count, *shape, generator=seeded).to(device)

    places = [min(k, config.num_memories - 1) for k in range(count)]
    return Memory(
        spatial=noise(config.memory_dim, side, side),
        foreground=noise(side * side) > 1,
        time_positions=rows(places).long(),
        copies=rows([1.0] * count),
        pointers=noise(config.hidden_dim),
        pointer_values=rows([1 - k / count for k in range(count)]),
        pointer_copies=rows([1.0] * count),
    )


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)
