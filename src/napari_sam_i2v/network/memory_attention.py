"""Memory attention: condition a frame's feature on what is remembered (paper, sec. 3.3).

Two kinds of layer: SAM-I2V's, with global rotary self-attention, and SAM-I2V++'s, with
criss-cross attention and multi-scale adapters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import Attention, LayerNorm2d, RotaryTable, rotary_grid
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.device import product_dtype
from napari_sam_i2v.network.grid_attention import GridMemory, GridReader
from napari_sam_i2v.network.products import Linear

__all__ = ["CrissCrossLayer", "MemoryAttention", "MemoryTokens", "RotaryLayer"]


@dataclass(frozen=True)
class MemoryTokens:
    """What B objects remember, as tokens: whole spatial memories, then pointers.

    Attributes
    ----------
    tokens, positions
        (B, N, memory_dim): whole spatial memories of h * w tokens each, then pointer tokens,
        fewer than h * w of them.
    spatial
        How many of the tokens belong to spatial memories.
    foreground
        (B, N) bool: the tokens that memory prompts may read; all pointers.
    bias
        (B, N) added to the attention logits of each token; None for zeros.
    grids
        The same, laid out for a `GridReader`; empty where attention is computed as written.
    """

    tokens: Tensor
    positions: Tensor
    spatial: int
    foreground: Tensor
    bias: Tensor | None = None
    grids: tuple[GridMemory, ...] = ()

    def on_grid(self, side: int) -> MemoryTokens:
        """Lay the memories out for a `GridReader` of that side."""
        dtype = product_dtype(self.tokens.device)
        biases = [None] * len(self.tokens) if self.bias is None else self.bias.unbind()
        parts = zip(self.tokens, self.positions, self.foreground, biases, strict=True)
        return replace(
            self,
            grids=tuple(
                GridMemory.of(*part, spatial=self.spatial, side=side, dtype=dtype) for part in parts
            ),
        )


class MemoryLayer(nn.Module):
    """What both kinds of layer share: cross-attention to memory and the feed-forward."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        dim, inner = config.hidden_dim, config.cross_dim
        self.side, self.cross_dim = config.feature_size, inner
        self.cross_attn_image = Attention(dim, inner, memory_dim=config.memory_dim)
        self.linear1 = Linear(dim, config.feed_forward_dim)
        self.linear2 = Linear(config.feed_forward_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self._reader = GridReader(self.cross_attn_image, self.side)

    def _grid(self, x: Tensor, width: int) -> RotaryTable:
        return rotary_grid(width, self.side, self.side, x.device)

    def _cross(self, x: Tensor, memory: MemoryTokens) -> Tensor:
        """Read memory; one element of `x` may stand for all objects."""
        query, grid = self.norm2(x), self._grid(x, self.cross_dim)
        if memory.grids:
            return self._reader.read(query, grid, memory.grids)
        return self.cross_attn_image(
            query.expand(len(memory.tokens), -1, -1), memory.tokens + memory.positions,
            memory.tokens, query_rotary=grid, key_rotary=grid, bias=memory.bias,
        )  # fmt: skip

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(self.norm3(x))))


class RotaryLayer(MemoryLayer):
    """SAM-I2V: self-attention with rotary positions."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__(config)
        self.self_attn = Attention(config.hidden_dim, config.hidden_dim)

    def forward(self, x: Tensor, memory: MemoryTokens) -> Tensor:
        """Condition `x` (B, N, C), or (1, N, C) for all objects, on memory."""
        u = self.norm1(x)
        grid = self._grid(x, u.shape[-1])
        x = x + self.self_attn(u, u, u, query_rotary=grid, key_rotary=grid)
        x = x + self._cross(x, memory)
        return x + self._feed_forward(x)


class CrissCrossAttention(nn.Module):
    """Each pixel attends to its row and its column."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(dim, dim // 4, 1)
        self.key_conv = nn.Conv2d(dim, dim // 4, 1)
        self.value_conv = nn.Conv2d(dim, dim, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        q, k, v = self.query_conv(x), self.key_conv(x), self.value_conv(x)
        height = x.shape[2]
        column = torch.einsum("bchw,bcgw->bhwg", q, k)
        # A pixel meets itself once only: in its row.
        itself = torch.eye(height, dtype=torch.bool, device=x.device)[None, :, None, :]
        column = column.masked_fill(itself, float("-inf"))
        row = torch.einsum("bchw,bchg->bhwg", q, k)
        weight = torch.cat((column, row), dim=-1).softmax(dim=-1).to(v.dtype)
        out = torch.einsum("bhwg,bcgw->bchw", weight[..., :height], v)
        out = out + torch.einsum("bhwg,bchg->bchw", weight[..., height:], v)
        return self.gamma * out + x


class ScaleAdapter(nn.Module):
    """Depth-wise convolutions of four sizes, mixed and added."""

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        group = dim // 4
        self.side = side
        self.norm = nn.LayerNorm(dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))
        self.gammax = nn.Parameter(torch.ones(dim))
        for i, kernel in enumerate((3, 5, 7, 9), start=1):
            conv = nn.Conv2d(group, group, kernel, padding=kernel // 2, groups=group, bias=False)
            self.add_module(f"local_conv_{i}", conv)
        self.proj0 = nn.Conv2d(dim, 2 * dim, 1, groups=group, bias=False)
        self.ln0 = LayerNorm2d(2 * dim)
        self.proj1 = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, N, dim)."""
        s = self.norm(x) * self.gamma + x * self.gammax
        parts = s.transpose(1, 2).unflatten(-1, (self.side, self.side)).chunk(4, dim=1)
        local = [self.get_submodule(f"local_conv_{i}")(p) for i, p in enumerate(parts, start=1)]
        mixed = torch.stack(local, dim=2).flatten(1, 2)  # channel 4c + i: channel c of size i
        out = self.proj1(F.gelu(self.ln0(self.proj0(mixed))))
        return x + out.flatten(2).transpose(1, 2)


def _conv_norm(in_dim: int, out_dim: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(in_dim, out_dim, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, LayerNorm2d(out_dim), nn.GELU())


class CrissCrossLayer(MemoryLayer):
    """SAM-I2V++: criss-cross attention between scale adapters."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__(config)
        dim, inner = config.hidden_dim, config.hidden_dim // 4
        self.scaleadapter_sa = ScaleAdapter(dim, self.side)
        self.scaleadapter_ca = ScaleAdapter(dim, self.side)
        self.scaleadapter_mlp = ScaleAdapter(dim, self.side)
        self.conva = _conv_norm(dim, inner, 3)
        self.cca = CrissCrossAttention(inner)
        self.convb = _conv_norm(inner, inner, 3)
        self.bottleneck = _conv_norm(dim + inner, dim, 1)
        # Deep supervision while training; no mask depends on it.
        self.mask_conv = nn.Conv2d(dim, 1, 5, padding=2)

    def forward(self, x: Tensor, memory: MemoryTokens) -> Tensor:
        """Condition `x` (B, N, C), or (1, N, C) for all objects, on memory."""
        x = self._criss_cross(self.scaleadapter_sa(x))
        x = self.scaleadapter_ca(x)
        x = x + self._cross(x, memory)
        x = self.scaleadapter_mlp(x)
        return x + self._feed_forward(x)

    def _criss_cross(self, x: Tensor) -> Tensor:
        y = self.norm1(x).transpose(1, 2).unflatten(-1, (self.side, self.side))
        h = self.convb(self.cca(self.cca(self.conva(y))))  # twice: row, then column, sees all
        h = y + self.bottleneck(torch.cat((y, h), dim=1))
        return h.flatten(2).transpose(1, 2)

    def side_mask(self, x: Tensor) -> Tensor:
        """Mask logits (B, 1, S, S) of this depth, for deep supervision."""
        fmap = x.transpose(1, 2).unflatten(-1, (self.side, self.side))
        return F.interpolate(self.mask_conv(fmap), scale_factor=16, mode="bilinear")


class MemoryAttention(nn.Module):
    """Layers of self-attention and cross-attention to memory."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        kind = RotaryLayer if config.memory_block == "rope" else CrissCrossLayer
        self.layers = nn.ModuleList(kind(config) for _ in range(config.memory_layers))
        self.norm = nn.LayerNorm(config.hidden_dim)

    def forward(self, feature: Tensor, feature_position: Tensor, memory: MemoryTokens) -> Tensor:
        """Condition a feature on memory.

        What layers do before they read memory is done once for all objects that share a feature.

        Parameters
        ----------
        feature, feature_position
            (B, h*w, hidden_dim) tokens, or (1, ...) for all B objects, and their sine positions.
        memory
            Of B objects.

        Returns
        -------
        Tensor
            (B, h*w, hidden_dim).
        """
        x = feature + 0.1 * feature_position
        for layer in self.layers:
            x = layer(x, memory)
        return self.norm(x)
