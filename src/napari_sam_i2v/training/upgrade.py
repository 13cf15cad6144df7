"""How the upgrade to video starts: from the image SAM's own features, not from noise."""

from __future__ import annotations

import torch
from torch import nn

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.sam_i2v import SamI2V

__all__ = ["start_from_image"]

OFFSET = 2.0
"""Lifts features onto the linear part of GELU; `no_mem_embed` and layer norms take it away."""
FAINT = 0.1
"""Initial weight of what the temporal branch adds."""


@torch.no_grad()
def start_from_image(model: SamI2V) -> None:
    """Let the temporal feature integrator pass the image features through, faintly changed.

    The mask decoder has learnt to read the trunk's neck. A freshly drawn integrator would hand
    it something it has never seen, and the image step would be lost. Here its last stage undoes
    the neck's affine map, passes the features on, and applies the map again; the temporal branch
    and the earlier stages start faint and grow with training.
    """
    trunk, integrator = model.image_encoder.trunk_image, model.image_encoder.trunk_video
    neck = trunk.neck[-1]
    if not isinstance(neck, LayerNorm2d):
        raise TypeError("The trunk's neck ends in a layer norm.")
    dim = model.config.hidden_dim
    weight = torch.where(neck.weight.abs() < 0.1, 0.1, neck.weight)
    _pass_on(_conv(integrator, "input_linears.2"), 1 / weight, -neck.bias / weight)
    fuse = _conv(integrator, "temporal2integration_nets.2.fuse.0")
    fuse.weight[:, dim:] *= FAINT
    _pass_on(fuse, torch.ones_like(weight), torch.zeros_like(weight))
    norm = integrator.get_submodule("temporal2integration_nets.2.fuse.1")
    norm.load_state_dict({"weight": weight, "bias": neck.bias + OFFSET})
    for name in ("integration_nets.1.layer.1", "integration_nets.2.layer.1"):
        carried = integrator.get_submodule(name)
        carried.load_state_dict(
            {"weight": torch.full_like(weight, FAINT), "bias": torch.zeros_like(weight)}
        )
    model.no_mem_embed -= OFFSET


def _conv(module: nn.Module, name: str) -> nn.Conv2d:
    found = module.get_submodule(name)
    if not isinstance(found, nn.Conv2d) or found.bias is None:
        raise TypeError(f"{name} is a convolution with bias.")
    return found


def _pass_on(conv: nn.Conv2d, scale: torch.Tensor, shift: torch.Tensor) -> None:
    """Make a 1x1 convolution map its first channels to themselves, scaled and shifted."""
    dim = len(scale)
    conv.weight[:, :dim] = torch.diag(scale)[:, :, None, None]
    if conv.bias is not None:
        conv.bias.copy_(shift)
