"""Memory encoder: a frame's feature and its mask become one spatial memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.products import Linear

__all__ = ["MemoryEncoder"]


class MaskDownSampler(nn.Module):
    """Mask to feature resolution by four strided convolutions."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for out in (4, 16, 64, hidden):
            layers += [nn.Conv2d(width, out, 3, stride=2, padding=1), LayerNorm2d(out), nn.GELU()]
            width = out
        layers.append(nn.Conv2d(hidden, hidden, 1))
        self.encoder = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, S, S) to (B, hidden_dim, S / 16, S / 16)."""
        return self.encoder(x)


class FuserLayer(nn.Module):
    """ConvNeXt block with a learnt residual scale."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        h = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        h = self.gamma * self.pwconv2(F.gelu(self.pwconv1(h)))
        return x + h.permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """Two fuser layers."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FuserLayer(dim, kernel) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Fuse image feature and mask into a spatial memory."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.mask_downsampler = MaskDownSampler(hidden)
        self.pix_feat_proj = nn.Conv2d(hidden, hidden, 1)
        self.fuser = Fuser(hidden, config.fuser_kernel)
        self.out_proj = nn.Conv2d(hidden, config.memory_dim, 1)

    def forward(self, feature: Tensor, mask: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        feature
            Video feature (B, hidden_dim, h, w), not conditioned on any memory.
        mask
            (B, 1, S, S), scaled to -10 .. 10.

        Returns
        -------
        Tensor
            Memory (B, memory_dim, h, w).
        """
        x = self.pix_feat_proj(feature) + self.mask_downsampler(mask)
        return self.out_proj(self.fuser(x))
