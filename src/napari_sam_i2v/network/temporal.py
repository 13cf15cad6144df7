"""Temporal feature integrator: image features of a frame become video features.

Innovation (i) of the paper, sec. 3.2. A convolutional branch watches a short clip; at three
depths it is fused, both ways, with the image trunk's features of the newest frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.kept import Kept

__all__ = ["TemporalFeatureIntegrator", "clip_indices"]

ROUNDS = 3
"""Convolution rounds of one temporal net."""


def clip_indices(frame: int, length: int) -> list[int]:
    """Return the frames of the clip that ends at `frame`: the past, then `frame` repeated.

    At the start of a movie the clip is filled up with its newest frame.
    """
    past = list(range(max(0, frame - length + 1), frame + 1))
    return past + [frame] * (length - len(past))


STEEP = 1.702
"""QuickGELU of x is x * sigmoid(STEEP * x)."""


class TemporalNet(nn.Module):
    """Rounds of factorised space-time convolutions with a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lns = nn.ModuleList(nn.LayerNorm(dim) for _ in range(ROUNDS))
        # One dict per round whose keys name the round again: so the published weights have it.
        self.temporal_net = nn.ModuleList(
            nn.ModuleDict(
                {
                    f"c_fc1_{j}": nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1)),
                    f"c_fc2_{j}": nn.Conv3d(dim, dim, (3, 1, 1), padding=(1, 0, 0)),
                }
            )
            for j in range(ROUNDS)
        )
        self._steep: list[Kept[tuple[Tensor, Tensor, Tensor]]] = [Kept() for _ in range(ROUNDS)]

    def forward(self, x: Tensor, newest: int) -> Tensor:
        """Map (B, D, T, H, W) to the newest slices (B, D, newest, H, W) of the result.

        A round's slice depends on the slice before and after it, so that early rounds compute a
        few more slices than are asked for, and no others. The channels of a pixel lie together.

        All is done on `STEEP` times the numbers, of which QuickGELU is SiLU: weights and the
        norm's epsilon are scaled, instead of every number twice in every round.
        """
        x = x.permute(0, 2, 3, 4, 1) * STEEP
        for j, layer in enumerate(self.lns):
            norm = cast(nn.LayerNorm, layer)
            wanted = min(newest + ROUNDS - 1 - j, x.shape[1])
            weight, bias, next_weight, next_bias = self._scaled(j)
            h = x[:, -(wanted + 1) :]
            h = F.layer_norm(h, h.shape[-1:], norm.weight, norm.bias, norm.eps * STEEP**2)
            h = _silu(self._within(h, weight, bias))
            x = _silu(x[:, -wanted:] + self._across(h, next_weight, next_bias, wanted))
        return (x / STEEP).permute(0, 4, 1, 2, 3)

    def _scaled(self, j: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Weights and biases of a round's convolutions, within a slice and across slices."""
        within, across = (cast(nn.Conv3d, conv) for conv in self.temporal_net[j].children())
        bias, shift = cast(Tensor, within.bias), cast(Tensor, across.bias)

        def scale() -> tuple[Tensor, Tensor, Tensor]:
            weight = (within.weight[:, :, 0] * STEEP).contiguous(memory_format=torch.channels_last)
            return weight, bias * STEEP, shift * STEEP

        weight, steep_bias, steep_shift = self._steep[j].of(scale, within.weight, bias, shift)
        return weight, steep_bias, across.weight[..., 0], steep_shift

    @staticmethod
    def _within(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolve each slice of (B, T, H, W, D)."""
        slices = x.flatten(0, 1).permute(0, 3, 1, 2)
        out = F.conv2d(slices, weight, bias, padding=1)
        return out.permute(0, 2, 3, 1).view(x.shape)

    @staticmethod
    def _across(x: Tensor, weight: Tensor, bias: Tensor, wanted: int) -> Tensor:
        """Convolve (B, T, H, W, D) in time, for the newest slices wanted."""
        rows = x.flatten(2, 3).permute(0, 3, 1, 2)
        # No slice follows the newest; one goes before the first unless that is the oldest.
        rows = F.pad(rows, (0, 0, wanted + 1 - x.shape[1], 1))
        out = F.conv2d(rows, weight, bias)
        return out.permute(0, 2, 3, 1).unflatten(2, x.shape[2:4])


def _silu(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient will ask for `x`."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


class Fuse(nn.Module):
    """1x1 convolution over concatenated branches."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.fuse = nn.Sequential(nn.Conv2d(in_dim, out_dim, 1), LayerNorm2d(out_dim), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_dim, H, W) to (B, out_dim, H, W)."""
        return self.fuse(x)


class IntegrationNet(nn.Module):
    """3x3 convolution that carries the fused features to the next depth."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), LayerNorm2d(dim), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        return self.layer(x)


class TemporalFeatureIntegrator(nn.Module):
    """Fuse a clip with three levels of image features of its newest frame."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        hidden, dim, length = config.hidden_dim, config.temporal_dim, config.clip_length
        widths = (*config.embed_dims[2:], hidden)
        self.temporal_stem = nn.Conv3d(
            3, dim, (length, 16, 16), stride=(1, 16, 16), padding=(length // 2, 0, 0)
        )
        self.input_linears = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in widths)
        self.temporal_nets = nn.ModuleList(TemporalNet(dim) for _ in widths)
        self.temporal2integration_nets = nn.ModuleList(Fuse(hidden + dim, hidden) for _ in widths)
        self.integration2temporal_nets = nn.ModuleList(Fuse(hidden + dim, dim) for _ in widths)
        self.integration_nets = nn.ModuleList(IntegrationNet(hidden) for _ in widths)
        self._taps: Kept[Tensor] = Kept()

    def taps(self, frames: Tensor) -> Tensor:
        """Give what frames contribute to slices of the stem, before, at and after their own.

        A frame's taps are the same in every clip that it is part of.

        Parameters
        ----------
        frames
            Normalised frames (B, 3, S, S).

        Returns
        -------
        Tensor
            (B, clip_length, temporal_dim, S / 16, S / 16).
        """
        stem = self.temporal_stem
        weight = self._taps.of(
            lambda: stem.weight.permute(2, 0, 1, 3, 4).flatten(0, 1), stem.weight
        )
        taps = F.conv2d(frames, weight, stride=stem.stride[1:])
        return taps.unflatten(1, (stem.kernel_size[0], stem.out_channels))

    def forward(self, levels: list[Tensor], taps: Sequence[Tensor]) -> Tensor:
        """Integrate.

        Parameters
        ----------
        levels
            The trunk's levels of the newest frame; only the last three, of stride 16, are used.
        taps
            Of a clip's frames, oldest first; see `taps`.

        Returns
        -------
        Tensor
            Video feature (B, hidden_dim, S / 16, S / 16).
        """
        x = self._stem(taps)
        carried: Tensor | float = 0.0
        last = len(self.temporal_nets) - 1
        for i, level in enumerate(levels[2:]):
            # Of the last net, only the newest slice is read; each net before needs some more.
            x = self.temporal_nets[i](x, min(len(taps), 1 + ROUNDS * (last - i)))
            image = self.input_linears[i](level) + carried
            both = torch.cat((image, x[:, :, -1]), dim=1)
            image = self.temporal2integration_nets[i](both)
            carried = self.integration_nets[i](image)
            if i < last:  # nothing reads the last replacement
                newest = self.integration2temporal_nets[i](both)
                x = torch.cat((x[:, :, :-1], newest[:, :, None].to(x.dtype)), dim=2)
        return carried + image

    def _stem(self, taps: Sequence[Tensor]) -> Tensor:
        """Slices (B, D, T, h, w): each the sum of its neighbours' taps that point to it."""
        length, half = len(taps), len(taps) // 2
        pixels = [tap.permute(0, 1, 3, 4, 2) for tap in taps]
        slices = []
        for t in range(length):
            near = range(max(0, t - half), min(length, t + half + 1))
            slices.append(torch.stack([pixels[n][:, n - t + half] for n in near]).sum(dim=0))
        out = torch.stack(slices, dim=1) + cast(Tensor, self.temporal_stem.bias)
        return out.permute(0, 4, 1, 2, 3)
