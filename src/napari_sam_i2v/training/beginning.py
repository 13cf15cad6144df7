"""How training begins: with attention that looks at places, and later with the image's features.

Drawn at random, attention compares contents alone, and a network this small takes thousands of
steps to discover that a click, or a remembered mask, is somewhere. Here it starts out knowing.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_sam_i2v.network.attention import Attention, LayerNorm2d
from napari_sam_i2v.network.sam_i2v import SamI2V

__all__ = ["OFFSET", "expect_objects", "initialise", "is_upgraded", "start_from_image"]

OFFSET = 2.0
"""Lifts features onto the linear part of GELU; `no_mem_embed` and layer norms take it away."""
EXPECTED = 2.0
"""Object score that an upgraded image SAM starts with: present, with a probability of 0.88."""
FAINT = 0.1
"""Initial weight of what the temporal branch adds."""

WIDE = 0.35
"""Scale of the low half of the position code's frequencies: similar within about an object."""
SAME_PLACE = 1.2
"""Initial bias of queries and keys of the memory attention."""


@torch.no_grad()
def initialise(model: SamI2V) -> None:
    """Give an untrained network its first values, where the layers' own defaults do not suit."""
    for parameter in (
        model.maskmem_tpos_enc,
        model.no_mem_embed,
        model.no_mem_pos_enc,
        model.no_obj_ptr,
        model.no_obj_embed_spatial,
    ):
        nn.init.trunc_normal_(parameter, std=0.02)
    for name, parameter in model.memory_encoder.fuser.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.1)
    look_where_pointed(model)
    look_at_the_same_place(model)


@torch.no_grad()
def look_where_pointed(model: SamI2V) -> None:
    """Let queries and keys of the mask decoder start equal, and positions be told apart softly.

    A click and the image tokens around it have similar position codes. With equal projections
    they attend to each other from the first step.
    """
    matrix = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    matrix[:, : matrix.shape[1] // 2] *= WIDE
    for parameter in model.sam_prompt_encoder.point_embeddings.parameters():
        nn.init.normal_(parameter, std=0.3)
    for name, unit in model.sam_mask_decoder.named_modules():
        if not isinstance(unit, Attention) or name.endswith("self_attn"):
            continue
        width = unit.q_proj.weight.shape[0] / unit.heads
        # A code of width C has the squared length C / 2: logits of about 4 at the clicked place.
        std = (8 / (model.config.hidden_dim * width**0.5)) ** 0.5
        nn.init.normal_(unit.q_proj.weight, std=std)
        unit.k_proj.load_state_dict(unit.q_proj.state_dict())


@torch.no_grad()
def look_at_the_same_place(model: SamI2V) -> None:
    """Let the memory attention start with the same place on remembered frames.

    Equal constant parts of queries and keys leave what rotary positions make of them: a logit
    that is highest where both tokens lie at the same place.
    """
    for name, unit in model.memory_attention.named_modules():
        if isinstance(unit, Attention) and name.endswith("cross_attn_image"):
            nn.init.constant_(unit.q_proj.bias, SAME_PLACE)
            nn.init.constant_(unit.k_proj.bias, SAME_PLACE)


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
    weight = torch.where(neck.weight.abs() < 0.1, neck.weight.new_tensor(0.1), neck.weight)
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
    model.no_mem_embed.sub_(OFFSET)


@torch.no_grad()
def is_upgraded(model: SamI2V) -> bool:
    """Whether `start_from_image` has been done to these weights, however long ago in training.

    Training moves the offset that the upgrade gives the integrator's last norm by far less than
    half of it.
    """
    neck = model.image_encoder.trunk_image.neck[-1]
    norm = model.image_encoder.trunk_video.get_submodule("temporal2integration_nets.2.fuse.1")
    if not (isinstance(neck, LayerNorm2d) and isinstance(norm, LayerNorm2d)):
        raise TypeError("Neck and integrator end in layer norms.")
    return float((norm.bias - neck.bias).mean()) > OFFSET / 2


@torch.no_grad()
def expect_objects(model: SamI2V) -> None:
    """Let a network that got an image SAM's weights find that every prompted object is there.

    An image SAM has no object score. A freshly drawn one would blank half of its answers.
    """
    head = model.sam_mask_decoder.pred_obj_score_head
    last = [unit for unit in head.modules() if isinstance(unit, nn.Linear)][-1]
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, EXPECTED)


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
