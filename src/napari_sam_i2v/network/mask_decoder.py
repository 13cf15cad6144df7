"""Mask decoder: image feature, prompts and memory prompts become masks with scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_sam_i2v.network.attention import MLP, Attention, LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig

__all__ = ["MaskDecoder", "RawMasks", "TwoWayTransformer", "choose_single", "stability"]

HEADS = 8
MASKS = 4
"""One mask for unambiguous prompts, three candidates for a single click."""
STABILITY_MARGIN = 0.05
STABILITY_FLOOR = 0.98


class RawMasks(NamedTuple):
    """All the decoder says: masks (B, 4, m, m), IoUs (B, 4), tokens (B, 4, C), score (B, 1).

    And the features (B, C / 8, m, m) that the masks are made of.
    """

    masks: Tensor
    ious: Tensor
    tokens: Tensor
    score: Tensor
    upscaled: Tensor | None = None


class TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the image, and the image to the tokens."""

    def __init__(self, dim: int, mlp_dim: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, dim, heads=HEADS)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, dim // 2, heads=HEADS)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim, dim, 2)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, dim // 2, heads=HEADS)

    def forward(
        self, q: Tensor, k: Tensor, q_position: Tensor, k_position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep the shapes (B, T, C) of `q` and (B, N, C) of `k`."""
        if self.first:
            q = self.self_attn(q, q, q)
        else:
            placed = q + q_position
            q = q + self.self_attn(placed, placed, q)
        q = self.norm1(q)
        q = self.norm2(q + self.cross_attn_token_to_image(q + q_position, k + k_position, k))
        q = self.norm3(q + self.mlp(q))
        k = self.norm4(k + self.cross_attn_image_to_token(k + k_position, q + q_position, q))
        return q, k


class TwoWayTransformer(nn.Module):
    """Two two-way layers and a last look of the tokens at the image."""

    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(dim, mlp_dim, first=i == 0) for i in range(2))
        self.final_attn_token_to_image = Attention(dim, dim // 2, heads=HEADS)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(self, image: Tensor, position: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Refine tokens (B, T, C) and image tokens (B, h*w, C).

        `image` and `position` are maps (B, C, h, w) and (1, C, h, w).
        """
        k, k_position = image.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2)
        q = tokens
        for layer in self.layers:
            q, k = layer(q, k, tokens, k_position)
        attended = self.final_attn_token_to_image(q + tokens, k + k_position, k)
        return self.norm_final_attn(q + attended), k


class MaskDecoder(nn.Module):
    """SAM's mask decoder with an object score and room for memory prompts."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.side = config.feature_size
        self.transformer = TwoWayTransformer(dim, config.decoder_mlp_dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASKS, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(MASKS)
        )
        self.iou_prediction_head = MLP(dim, dim, MASKS, 3)
        self.pred_obj_score_head = MLP(dim, dim, 1, 3)

    def forward(self, image: Tensor, position: Tensor, prompts: Tensor) -> RawMasks:
        """Decode.

        Parameters
        ----------
        image
            (B, C, h, w): feature plus dense prompt.
        position
            (1, C, h, w): `PromptEncoder.dense_position`.
        prompts
            (B, P, C): sparse prompt tokens, then memory prompts.

        Returns
        -------
        RawMasks
            Logits at stride 4, predicted IoUs in 0 .. 1, mask tokens, object score (a logit).
        """
        batch = prompts.shape[0]
        fixed = (self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight)
        own = torch.cat(fixed).expand(batch, -1, -1)
        q, k = self.transformer(image, position, torch.cat((own, prompts), dim=1))
        k = k.transpose(1, 2).unflatten(-1, (self.side, self.side))
        upscaled = self.output_upscaling(k)
        tokens = q[:, 2 : 2 + MASKS]
        weights = [mlp(tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        masks = torch.einsum("bmc,bchw->bmhw", torch.stack(weights, dim=1), upscaled)
        ious = self.iou_prediction_head(q[:, 1]).sigmoid()
        return RawMasks(masks, ious, tokens, self.pred_obj_score_head(q[:, 0]), upscaled)


def stability(logits: Tensor) -> Tensor:
    """Overlap (B,) of a mask (B, m, m) with itself at a higher and a lower threshold."""
    inner = (logits > STABILITY_MARGIN).flatten(1).sum(1).float()
    outer = (logits > -STABILITY_MARGIN).flatten(1).sum(1).float()
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def is_stable(logits: Tensor) -> Tensor:
    """Whether masks (B, m, m) are much the same at a higher and a lower threshold: (B,)."""
    return stability(logits) >= STABILITY_FLOOR


def choose_single(masks: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
    """Take mask 0 where it is stable, else the best of the candidates.

    Maps (B, 4, m, m) and (B, 4) to (B, 1, m, m) and (B, 1).
    """
    best = 1 + ious[:, 1:].argmax(dim=1)
    index = torch.where(is_stable(masks[:, 0]), 0, best)
    rows = torch.arange(len(index), device=index.device)
    return masks[rows, index][:, None], ious[rows, index][:, None]
