"""Attention, rotary positions and position codes shared by the parts of the network."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.products import Linear, attend

__all__ = [
    "MLP",
    "Attention",
    "LayerNorm2d",
    "RotaryTable",
    "angles",
    "rotary_frequencies",
    "rotary_grid",
    "rotate",
    "scalar_code",
    "sine_map",
]

RotaryTable = Tensor
"""Cosine and sine of each token's angles, (tokens, width / 2, 2)."""
FEW = 16
"""Channels, at most, that are faster normalised plane by plane than pixel by pixel."""


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W) over C."""
        if self._takes_planes(x):
            return self._by_plane(x)
        channels_last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)

    @staticmethod
    def _takes_planes(x: Tensor) -> bool:
        """Whether a map has few channels, each of which lies together."""
        cpu = x.device.type == "cpu" and x.dtype == torch.float32
        return cpu and x.shape[1] <= FEW and x.is_contiguous() and not torch.is_grad_enabled()

    def _by_plane(self, x: Tensor) -> Tensor:
        """Normalise all pixels of a plane at once, where torch would take them one by one."""
        centred = x - x.mean(dim=1, keepdim=True)
        scale = centred.square().mean(dim=1, keepdim=True).add_(self.eps).rsqrt_()
        weight, bias = self.weight[:, None, None], self.bias[:, None, None]
        return torch.addcmul(bias, centred.mul_(scale), weight)


class MLP(nn.Module):
    """Linear layers with ReLU between them and none after the last."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, depth: int) -> None:
        super().__init__()
        widths = [in_dim, *[hidden_dim] * (depth - 1), out_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_dim) to (..., out_dim)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class Attention(nn.Module):
    """Multi-head attention with separate projections and optional rotary positions.

    Parameters
    ----------
    dim
        Width of queries and of the output.
    inner_dim
        Width in which tokens are compared.
    heads
        Number of heads.
    memory_dim
        Width of keys and values; `dim` where not given.
    """

    def __init__(
        self, dim: int, inner_dim: int, *, heads: int = 1, memory_dim: int | None = None
    ) -> None:
        super().__init__()
        memory_dim = dim if memory_dim is None else memory_dim
        self.heads = heads
        self.q_proj = Linear(dim, inner_dim)
        self.k_proj = Linear(memory_dim, inner_dim)
        self.v_proj = Linear(memory_dim, inner_dim)
        self.out_proj = Linear(inner_dim, dim)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        query_rotary: RotaryTable | None = None,
        key_rotary: RotaryTable | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attend from `query` (B, Nq, dim) to `key` and `value` (B, Nk, memory_dim).

        Parameters
        ----------
        query, key, value
            Token tensors.
        query_rotary, key_rotary
            Rotary tables. The key table may cover fewer tokens than there are keys: it is
            repeated over the leading whole multiples, and the rest is left unrotated (object
            pointers have no place in the image).
        bias
            (B, Nk) added to the logits of each key: ln(n) stands for n copies of it, -inf
            leaves it out.
        """
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if query_rotary is not None:
            q = rotate(q, query_rotary)
        if key_rotary is not None:
            k = rotate(k, key_rotary)
        if bias is not None:
            bias = bias[:, None, None, :].to(q.dtype)
        out = attend(self._split(q), self._split(k), self._split(v), bias)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def rotate(x_BNC: Tensor, table: RotaryTable) -> Tensor:
    """Rotate the channel pairs (2j, 2j+1) of the first whole multiples of the table's tokens."""
    batch, tokens, width = x_BNC.shape
    copies = tokens // len(table)
    rotated = copies * len(table)
    pairs = x_BNC[:, :rotated].float().reshape(batch, copies, len(table), width // 2, 2)
    if pairs.device.type == "cpu":  # others may lack complex numbers
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(table))
    else:
        (a, b), (cos, sin) = pairs.unbind(-1), table.unbind(-1)
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)
    turned = turned.reshape(batch, rotated, width).to(x_BNC.dtype)
    return turned if rotated == tokens else torch.cat((turned, x_BNC[:, rotated:]), dim=1)


def angles(angle: Tensor) -> RotaryTable:
    """Rotary table of angles (tokens, width / 2) in radians."""
    return torch.stack((angle.cos(), angle.sin()), dim=-1)


def rotary_frequencies(width: int) -> Tensor:
    """Radians per place of the width / 4 channel pairs that turn along one axis, falling."""
    return 10000.0 ** (-torch.arange(0, width, 4, dtype=torch.float32) / width)


# Tables outlive the call that makes them: made in inference mode, they could not train later.
@lru_cache(maxsize=32)
@torch.inference_mode(False)
def rotary_grid(width: int, columns: int, rows: int, device: torch.device) -> RotaryTable:
    """Axial rotary angles of a row-major grid: half of the pairs carry x, half carry y.

    Returns
    -------
    RotaryTable
        float32, for rows * columns tokens.
    """
    frequency = rotary_frequencies(width)
    index = torch.arange(rows * columns, dtype=torch.float32)
    x = torch.outer(index % columns, frequency)
    y = torch.outer(torch.div(index, columns, rounding_mode="floor"), frequency)
    angle = torch.cat((x, y), dim=1)
    return angles(angle).to(device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def sine_map(channels: int, size: int, device: torch.device) -> Tensor:
    """Sine position map (1, channels, size, size): the first half codes y, the second x."""
    half = channels // 2
    position = (torch.arange(size, dtype=torch.float32) + 1) / (size + 1e-6) * (2 * math.pi)
    index = torch.arange(half)
    wavelength = 10000.0 ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    angle = position[:, None] / wavelength
    code = torch.where(index % 2 == 0, angle.sin(), angle.cos())
    y = code[:, None, :].expand(size, size, half)
    x = code[None, :, :].expand(size, size, half)
    return torch.cat((y, x), dim=-1).permute(2, 0, 1)[None].contiguous().to(device)


def scalar_code(position: Tensor, width: int) -> Tensor:
    """Sine code (..., width) of real numbers (...): all sines, then all cosines."""
    half = width // 2
    index = torch.arange(half, device=position.device)
    wavelength = 10000.0 ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    angle = position.float()[..., None] / wavelength
    return torch.cat((angle.sin(), angle.cos()), dim=-1)
