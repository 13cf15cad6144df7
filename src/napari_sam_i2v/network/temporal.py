"""Temporal feature integrator: image features of a frame become video features.

Innovation (i) of the paper, sec. 3.2. A convolutional branch watches a short clip; at three
depths it is fused, both ways, with the image trunk's features of the newest frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig

__all__ = ["TemporalFeatureIntegrator", "clip_indices"]

ROUNDS = 3
"""Convolution rounds of one temporal net."""


def clip_indices(frame: int, length: int) -> list[int]:
    """Return the frames of the clip that ends at `frame`: the past, then `frame` repeated.

    At the start of a movie the clip is filled up with its newest frame.
    """
    past = list(range(max(0, frame - length + 1), frame + 1))
    return past + [frame] * (length - len(past))


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


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

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, D, T, H, W)."""
        for norm, convs in zip(self.lns, self.temporal_net, strict=True):
            within, across = convs.children()
            h = norm(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
            h = _quick_gelu(within(h))
            x = _quick_gelu(x + across(h))
        return x


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

    def forward(self, levels: list[Tensor], clip: Tensor) -> Tensor:
        """Integrate.

        Parameters
        ----------
        levels
            The trunk's levels of the newest frame; only the last three, of stride 16, are used.
        clip
            Normalised frames (B, 3, clip_length, S, S), oldest first.

        Returns
        -------
        Tensor
            Video feature (B, hidden_dim, S / 16, S / 16).
        """
        x = self.temporal_stem(clip)
        carried: Tensor | float = 0.0
        for i, level in enumerate(levels[2:]):
            x = self.temporal_nets[i](x)
            image = self.input_linears[i](level) + carried
            both = torch.cat((image, x[:, :, -1]), dim=1)
            image = self.temporal2integration_nets[i](both)
            carried = self.integration_nets[i](image)
            if i + 1 < len(self.temporal_nets):  # nothing reads the last replacement
                newest = self.integration2temporal_nets[i](both)
                x = torch.cat((x[:, :, :-1], newest[:, :, None].to(x.dtype)), dim=2)
        return carried + image
