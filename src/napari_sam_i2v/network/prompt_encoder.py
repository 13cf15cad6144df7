"""Prompt encoder: clicks, boxes and mask logits become tokens, as in SAM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig

__all__ = ["BOX_CORNERS", "PADDING", "PromptEncoder"]

PADDING = -1
"""Label of a place-holder point."""
BOX_CORNERS = (2, 3)
"""Labels of a box's first and last corner; 1 is a positive click, 0 a negative one."""


class FourierCode(nn.Module):
    """Random Fourier code of a position in the unit square."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))

    def forward(self, position: Tensor) -> Tensor:
        """Map (..., 2) positions (x, y) to (..., dim)."""
        matrix = self.positional_encoding_gaussian_matrix
        angle = 2 * math.pi * ((2 * position - 1).to(matrix.dtype) @ matrix)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)


class PromptEncoder(nn.Module):
    """Points to sparse tokens, mask logits to a dense map."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.image_size, self.side = config.image_size, config.feature_size
        self.pe_layer = FourierCode(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, 2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, 2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def dense_position(self) -> Tensor:
        """Position map (1, hidden_dim, h, w) of the feature grid."""
        device = self.no_mask_embed.weight.device
        centre = (torch.arange(self.side, device=device) + 0.5) / self.side
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        return self.pe_layer(torch.stack((x, y), dim=-1)).permute(2, 0, 1)[None]

    def points(self, xy: Tensor, labels: Tensor) -> Tensor:
        """Sparse tokens (B, P + 1, hidden_dim) of points (B, P, 2) in network pixels (x, y).

        Labels (B, P) are 1 positive, 0 negative, 2 and 3 the corners of a box, -1 padding. One
        padding token is always appended.
        """
        xy = torch.cat((xy, xy.new_zeros(xy.shape[0], 1, 2)), dim=1)
        labels = torch.cat((labels, labels.new_full((labels.shape[0], 1), PADDING)), dim=1)
        code = self.pe_layer((xy + 0.5) / self.image_size)
        kinds = torch.cat(list(self.point_embeddings.parameters()))
        token = code + kinds[labels.clamp(min=0)]
        return torch.where((labels == PADDING)[..., None], self.not_a_point_embed.weight, token)

    def mask(self, logits: Tensor | None, batch: int) -> Tensor:
        """Dense map (batch, hidden_dim, h, w) of mask logits (batch, 1, S / 4, S / 4) or none."""
        if logits is not None:
            return self.mask_downscaling(logits)
        return self.no_mask_embed.weight[:, :, None, None].expand(batch, -1, self.side, self.side)

    def masks_or_none(self, logits: Tensor) -> Tensor:
        """Dense map as by `mask`, where logits without anything above 0 are no mask."""
        none = self.mask(None, len(logits))
        given = (logits > 0).flatten(1).any(dim=1)[:, None, None, None]
        return torch.where(given, self.mask(logits, len(logits)), none)
