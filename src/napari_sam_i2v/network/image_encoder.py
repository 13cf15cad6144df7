"""The image trunk: TinyViT with a SAM neck, one frame at a time (paper, sec. 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import LayerNorm2d
from napari_sam_i2v.network.config import SamI2VConfig

__all__ = ["ConvBN", "TinyViT"]


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

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_dim, H, W) to (B, out_dim, H / stride, W / stride)."""
        return self.bn(self.c(x))


class PatchEmbed(nn.Module):
    """Image to stride-4 tokens by two strided convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvBN(3, dim // 2, 3, stride=2), nn.GELU(), ConvBN(dim // 2, dim, 3, stride=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, S, S) to (B, dim, S / 4, S / 4)."""
        return self.seq(x)


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
        h = F.gelu(self.conv1(x))
        h = F.gelu(self.conv2(h))
        return F.gelu(self.conv3(h) + x)


class PatchMerging(nn.Module):
    """Change the width, and halve the resolution where stride is 2."""

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(in_dim, out_dim, 1)
        self.conv2 = ConvBN(out_dim, out_dim, 3, stride=stride, groups=out_dim)
        self.conv3 = ConvBN(out_dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_dim, H, W) to (B, out_dim, H / stride, W / stride)."""
        h = F.gelu(self.conv1(x))
        h = F.gelu(self.conv2(h))
        return self.conv3(h)


class WindowAttention(nn.Module):
    """Self-attention within one window, with a learnt bias per |offset| and head."""

    bias_index: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        y, x = y.flatten(), x.flatten()
        offset = (y[:, None] - y).abs() * window + (x[:, None] - x).abs()
        self.register_buffer("bias_index", offset, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (windows, window**2, dim)."""
        # The published weights keep q, k and v of one head together.
        qkv = self.qkv(self.norm(x)).unflatten(-1, (self.heads, 3, -1))
        q, k, v = qkv.permute(3, 0, 2, 1, 4).unbind(0)
        bias = self.attention_biases[:, self.bias_index].to(q.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        return self.proj(out.transpose(1, 2).flatten(2))


class TinyViTMLP(nn.Module):
    """Pre-norm two-layer perceptron."""

    def __init__(self, dim: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, dim * expansion)
        self.fc2 = nn.Linear(dim * expansion, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (..., dim)."""
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class TinyViTBlock(nn.Module):
    """Window attention, a local convolution and a perceptron."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(dim, heads, window)
        self.mlp = TinyViTMLP(dim)
        self.local_conv = ConvBN(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, dim, H, W)."""
        x = x + self._windowed(x)
        x = self.local_conv(x)
        tokens = x.permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)

    def _windowed(self, x: Tensor) -> Tensor:
        # Padded tokens take part as keys: the published network has no mask for them.
        batch, dim, height, width = x.shape
        w = self.window
        padded = F.pad(x, (0, -width % w, 0, -height % w))
        rows, columns = padded.shape[2] // w, padded.shape[3] // w
        tiles = padded.reshape(batch, dim, rows, w, columns, w).permute(0, 2, 4, 3, 5, 1)
        out = self.attn(tiles.reshape(-1, w * w, dim))
        out = out.reshape(batch, rows, columns, w, w, dim).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(padded.shape)[:, :, :height, :width]


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
            self.head = nn.Linear(dims[3], config.classes)
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
        levels = [self.patch_embed(x)]
        for stage in self.layers[:-1]:
            levels.append(stage(levels[-1]))
        levels.append(self.neck(self.layers[-1](levels[-1])))
        return levels
