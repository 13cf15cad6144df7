"""What is computed in parts, or once for many, is what is computed as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from napari_sam_i2v.network import image_encoder
from napari_sam_i2v.network.attention import FEW, LayerNorm2d, rotary_grid, rotate
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.network.image_encoder import MBConv, TinyViTBlock
from napari_sam_i2v.network.sam_i2v import Memory
from napari_sam_i2v.network.temporal import TemporalNet
from tests.network import tiny


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("at_once", [1, 500, 2**20])
def test_strips_of_a_bottleneck(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    block = MBConv(8).eval().requires_grad_(False)
    for name, buffer in block.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5 * name.endswith("var"))
    x = torch.randn(2, 8, 11, 9)
    wanted = block(x)
    monkeypatch.setattr(image_encoder, "AT_ONCE", at_once)
    with torch.no_grad():
        close(block(x), wanted)


def test_norms_folded_into_weights() -> None:
    trunk = tiny.build().image_encoder.trunk_image.eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        folded = trunk(x)
        for module in trunk.modules():  # as in training, but with the norms' own statistics
            if isinstance(module, image_encoder.ConvBN):
                module.training = True
        written = trunk(x)
    for a, b in zip(folded, written, strict=True):
        close(a, b)


@pytest.mark.parametrize("channels", [4, FEW, FEW + 1])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norm_of_few_channels(channels: int, layout: torch.memory_format) -> None:
    norm = LayerNorm2d(channels).requires_grad_(False)
    norm.weight.normal_()
    norm.bias.normal_()
    x = (3 + 2 * torch.randn(2, channels, 5, 7)).contiguous(memory_format=layout)
    kept = x.clone()
    scale = (x.var(dim=1, keepdim=True, correction=0) + norm.eps).sqrt()
    wanted = (x - x.mean(dim=1, keepdim=True)) / scale
    wanted = wanted * norm.weight[:, None, None] + norm.bias[:, None, None]
    close(norm(x), wanted)  # with gradients
    with torch.no_grad():
        close(norm(x), wanted)
    assert torch.equal(x, kept)


def test_rotation_by_complex_numbers() -> None:
    table = rotary_grid(16, 3, 2, torch.device("cpu"))
    x = torch.randn(2, 15, 16)  # two whole multiples of the table, and three that do not turn
    cos, sin = (part.repeat(2, 1) for part in table.unbind(-1))
    a, b = x[:, :12, ::2], x[:, :12, 1::2]
    found = rotate(x, table)
    close(found[:, :12, ::2], a * cos - b * sin)
    close(found[:, :12, 1::2], a * sin + b * cos)
    assert torch.equal(found[:, 12:], x[:, 12:])


def test_kernels_of_loaded_weights_are_laid_out_like_maps(weights: Path) -> None:
    kernels = [m.weight for m in load_model(weights, device="cpu").modules()
               if isinstance(m, torch.nn.Conv2d)]  # fmt: skip
    assert kernels and all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (10, 13)])
def test_windows_that_do_not_fit(size: tuple[int, int]) -> None:
    """Tokens that fill up a window are keys of their own, as if they had been projected."""
    block = TinyViTBlock(16, 2, 4).eval().requires_grad_(False)
    block.attn.attention_biases.normal_()
    block.attn.norm.bias.normal_()
    x = torch.randn(2, 16, *size)
    tokens, side = x.permute(0, 2, 3, 1), 4
    below, right = -size[0] % side, -size[1] % side
    padded = F.pad(tokens, (0, 0, 0, right, 0, below))
    found = block.attn(tokens)
    assert found.shape == tokens.shape
    close(found, block.attn(padded)[:, : size[0], : size[1]])


@pytest.mark.parametrize("newest", [1, 2, 3, 4, 5])
def test_newest_slices_of_a_temporal_net(newest: int) -> None:
    net = TemporalNet(6).eval().requires_grad_(False)
    x = torch.randn(2, 6, 5, 4, 3)
    close(net(x, newest), net(x, 5)[:, :, -newest:])


def test_the_newest_slice_sees_three_before_it() -> None:
    net = TemporalNet(6).eval().requires_grad_(False)
    x = torch.randn(1, 6, 5, 4, 3)
    for t, seen in enumerate((False, True, True, True, True)):
        other = x.clone()
        other[:, :, t] += 1
        assert (not torch.equal(net(other, 1), net(x, 1))) == seen


@pytest.mark.parametrize("length", [3, 5])
def test_taps_add_up_to_the_stem(length: int) -> None:
    net = tiny.build(clip_length=length).image_encoder.trunk_video.requires_grad_(False)
    clip = torch.randn(2, 3, length, 64, 64)
    close(net._stem([net.taps(frame) for frame in clip.unbind(2)]), net.temporal_stem(clip))


def test_objects_that_share_a_feature() -> None:
    """One feature for all objects is the same as a copy for each."""
    network = tiny.build().requires_grad_(False)
    side, config = network.config.feature_size, network.config
    memory = Memory(
        torch.randn(3, 2, config.memory_dim, side, side), torch.rand(3, 2, side**2) > 0.5,
        torch.tensor([[0, 1]] * 3), torch.ones(3, 2), torch.randn(3, 2, config.hidden_dim),
        torch.rand(3, 2), torch.ones(3, 2),
    )  # fmt: skip
    feature = torch.randn(1, config.hidden_dim, side, side)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            one, own = (
                network.track(feature, memory),
                network.track(feature.expand(3, -1, -1, -1), memory),
            )
        assert one.raw and own.raw
        assert one.raw.masks.shape[0] == 3
        close(one.raw.masks, own.raw.masks)
        close(one.pointer, own.pointer)
