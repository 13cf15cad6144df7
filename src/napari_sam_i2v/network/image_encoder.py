"""The image trunk: TinyViT with a SAM neck, one frame at a time (paper, sec. 3.1).

Without gradients, on a CPU, wide intermediate results are made and used up in parts that fit a
processor's cache: at full size they would take longer to move than to compute.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.kept import Kept
from napari_sam_i2v.network.products import Linear, attend, linear

__all__ = ["ConvBN", "TinyViT", "gelu"]

AT_ONCE = 2**20
"""Numbers of an intermediate result, about, that are made at a time without gradients."""


def _at_once(x: Tensor) -> bool:
    """Whether all of a result is made at a time."""
    return torch.is_grad_enabled() or x.device.type != "cpu"


def gelu(x: Tensor) -> Tensor:
    """GELU, in place where no gradient will ask for `x`."""
    return F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)


class ConvBN(nn.Module):
    """Convolution without bias, then batch norm."""

    def __init__(
        self, in_dim: int, out_dim: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            in_dim, out_dim, kernel, stride, padding=kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_dim)
        self._folded: Kept[tuple[Tensor, Tensor]] = Kept()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_dim, H, W) to (B, out_dim, H / stride, W / stride)."""
        return self.bn(self.c(x)) if self.training else self.unpadded(x, self.c.padding)

    def unpadded(self, x: Tensor, padding: str | tuple[int, ...] = (0, 0)) -> Tensor:
        """Convolve with the norm folded into the weights, as it is in evaluation."""
        conv, norm = self.c, self.bn
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            raise RuntimeError("Batch norm without statistics.")

        def fold() -> tuple[Tensor, Tensor]:
            scale = norm.weight * (variance + norm.eps).rsqrt()
            weight = conv.weight * scale[:, None, None, None]
            # Laid out like the maps that it meets.
            weight = weight.contiguous(memory_format=torch.channels_last)
            return weight, norm.bias - mean * scale

        weight, bias = self._folded.of(fold, conv.weight, norm.weight, norm.bias, mean, variance)
        if conv.kernel_size == (1, 1) and conv.stride == (1, 1):
            return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        return F.conv2d(x, weight, bias, conv.stride, padding, groups=conv.groups)


class PatchEmbed(nn.Module):
    """Image to stride-4 tokens by two strided convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvBN(3, dim // 2, 3, stride=2), nn.GELU(), ConvBN(dim // 2, dim, 3, stride=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, S, S) to (B, dim, S / 4, S / 4)."""
        first, _, second = self.seq
        return second(gelu(first(x)))


class MBConv(nn.Module):
    """Inverted bottleneck; the residual is added before the last activation."""

    def __init__(self, dim: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = dim * expansion
        self.conv1 = ConvBN(dim, hidden, 1)
        self.conv2 = ConvBN(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvBN(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        rows = max(1, AT_ONCE // (x.shape[3] * self.conv1.c.out_channels))
        if self.training or _at_once(x) or rows >= x.shape[2]:
            h = gelu(self.conv1(x))
            h = gelu(self.conv2(h))
            return gelu(self.conv3(h) + x)
        strips = [self._strip(x, y, y + rows) for y in range(0, x.shape[2], rows)]
        return torch.cat(strips, dim=2)

    def _strip(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the result, without gradients."""
        stop, height = min(stop, x.shape[2]), x.shape[2]
        # The middle convolution sees one row more on either side, or zeros at the border.
        first, last = max(start - 1, 0), min(stop + 1, height)
        h = gelu(self.conv1(x[:, :, first:last]))
        h = F.pad(h, (1, 1, int(start == 0), int(stop == height)))
        h = gelu(self.conv2.unpadded(h))
        return gelu(self.conv3(h).add_(x[:, :, start:stop]))


class PatchMerging(nn.Module):
    """Change the width, and halve the resolution where stride is 2."""

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(in_dim, out_dim, 1)
        self.conv2 = ConvBN(out_dim, out_dim, 3, stride=stride, groups=out_dim)
        self.conv3 = ConvBN(out_dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_dim, H, W) to (B, out_dim, H / stride, W / stride)."""
        h = gelu(self.conv1(x))
        h = gelu(self.conv2(h))
        return self.conv3(h)


class WindowAttention(nn.Module):
    """Self-attention within one window, with a learnt bias per |offset| and head."""

    bias_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.side = heads, window
        self.norm = nn.LayerNorm(dim)
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        y, x = y.flatten(), x.flatten()
        offset = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer("bias_index", offset, persistent=False)
        self._bias: Kept[Tensor] = Kept()

    def forward(self, x: Tensor) -> Tensor:
        """Attend within windows of a map (B, H, W, dim); keeps the shape.

        Tokens that fill up the windows at the border take part as keys: the published network
        has no mask for them. All are alike, so that one is projected for all.
        """
        batch, height, width, dim = x.shape
        side = self.side
        qkv = self.qkv(self.norm(x))
        below, right = -height % side, -width % side
        if below or right:
            filled = self.qkv(self.norm(x.new_zeros(dim)))
            whole = filled.expand(batch, height + below, width + right, -1).clone()
            whole[:, :height, :width] = qkv
            qkv = whole
        rows, columns = qkv.shape[1] // side, qkv.shape[2] // side
        tiles = qkv.view(batch, rows, side, columns, side, 3 * dim).transpose(2, 3)
        # The published weights keep q, k and v of one head together.
        tiles = tiles.reshape(-1, side * side, self.heads, 3, dim // self.heads)
        q, k, v = tiles.permute(3, 0, 2, 1, 4).unbind(0)
        bias = self._bias.of(self._expanded, self.attention_biases).to(q.dtype)
        out = attend(q, k, v, bias[None])
        out = out.transpose(1, 2).reshape(batch, rows, columns, side, side, dim)
        out = out.transpose(2, 3).reshape(batch, rows * side, columns * side, dim)
        return self.proj(out[:, :height, :width])

    def _expanded(self) -> Tensor:
        """Bias (heads, tokens, tokens) of all pairs in a window."""
        return self.attention_biases[:, self.bias_index]


class TinyViTMLP(nn.Module):
    """Pre-norm two-layer perceptron."""

    def __init__(self, dim: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = Linear(dim, dim * expansion)
        self.fc2 = Linear(dim * expansion, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (..., dim)."""
        tokens = max(1, AT_ONCE // self.fc1.out_features)
        if _at_once(x) or x[..., 0].numel() <= tokens:
            return self._map(x)
        parts = x.flatten(0, -2).split(tokens)
        return torch.cat([self._map(part) for part in parts]).view(x.shape)

    def _map(self, x: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Window attention, a local convolution and a perceptron."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(dim, heads, window)
        self.mlp = TinyViTMLP(dim)
        self.local_conv = ConvBN(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        tokens = x.permute(0, 2, 3, 1)
        x = (tokens + self.attn(tokens)).permute(0, 3, 1, 2)
        tokens = self.local_conv(x).permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks of one width, then the step to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if downsample is not None:
            self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the next stage's width and resolution."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if hasattr(self, "downsample") else x


class TinyViT(nn.Module):
    """TinyViT trunk with SAM's neck.

    The classification parts (`norm_head`, `head`) exist in published checkpoints, are not
    used, and are left out where `config.classes` is 0.
    """

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        dims, strides = config.embed_dims, (2, 2, 1)
        self.patch_embed = PatchEmbed(dims[0])
        self.layers = nn.ModuleList()
        for i, dim in enumerate(dims):
            blocks: list[nn.Module] = [
                MBConv(dim)
                if i == 0
                else TinyViTBlock(dim, config.num_heads[i], config.window_sizes[i])
                for _ in range(config.depths[i])
            ]
            step = PatchMerging(dim, dims[i + 1], strides[i]) if i < 3 else None
            self.layers.append(Stage(blocks, step))
        if config.classes:
            self.norm_head = nn.LayerNorm(dims[3])
            self.head = Linear(dims[3], config.classes)
        hidden = config.hidden_dim
        self.neck = nn.Sequential(
            nn.Conv2d(dims[3], hidden, 1, bias=False),
            LayerNorm2d(hidden),
            nn.Conv2d(hidden, hidden, 3, padding=1, bias=False),
            LayerNorm2d(hidden),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Encode normalised frames (B, 3, S, S).

        Returns
        -------
        list of Tensor
            Five levels: strides 4, 8, 16, 16 of the stages, and the neck's (B, hidden_dim,
            S / 16, S / 16).
        """
        # Tokens and channels of one pixel lie together: neither has to be moved for the other.
        x = x.contiguous(memory_format=torch.channels_last)
        levels = [self.patch_embed(x)]
        for stage in self.layers[:-1]:
            levels.append(stage(levels[-1]))
        levels.append(self.neck(self.layers[-1](levels[-1])))
        return levels
