"""A network small enough that a frame takes milliseconds, on seeded weights."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from napari_sam_i2v.network import SamI2V, SamI2VConfig

NAME = "tiny"


def config(**changes: Any) -> SamI2VConfig:
    """Every part of the architecture, as narrow as it goes."""
    values: dict[str, Any] = {
        "name": NAME,
        "image_size": 64,
        "embed_dims": (32, 32, 32, 32),
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 1, 1),
        "window_sizes": (4, 4, 4, 4),
        "hidden_dim": 32,
        "memory_dim": 16,
        "clip_length": 3,
        "temporal_dim": 8,
        "memory_layers": 1,
        "cross_dim": 32,
        "feed_forward_dim": 32,
        "decoder_mlp_dim": 32,
        "classes": 0,
    }
    return SamI2VConfig(**(values | changes))


def build(seed: int = 0, *, score: float = 5.0, **changes: Any) -> SamI2V:
    """Random weights under which masks are neither empty nor full, and depend on memory.

    Object scores are about `score`: objects are present where it is clearly positive.
    """
    model = SamI2V(config(**changes))
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for key, value in state.items():
        last = key.rsplit(".", 1)[-1]
        if not value.is_floating_point() or last.startswith("running"):
            continue
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1 and last == "weight" and "embed" not in key and "token" not in key:
            value.copy_(noise / math.sqrt(value[0].numel()))
        elif last == "weight" and value.ndim == 1:
            value.copy_(1 + 0.1 * noise)
        elif last == "bias":
            value.copy_(0.1 * noise)
        else:
            value.copy_(0.5 * noise)
        if "output_hypernetworks_mlps" in key and key.endswith("layers.2.weight"):
            value.mul_(8)
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].add_(score)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


@functools.cache
def shared() -> SamI2V:
    """One network for all tests that only run it."""
    return build()


@functools.cache
def shared_fine() -> SamI2V:
    """One whose masks are fine enough to hold small objects; too large to be run."""
    return build(image_size=256, window_scale=4.0, follow_below=0.3)
