"""Are the savings worth it? A frame of the published architecture, as written and as we compute it.

    python benchmarks/straightforward.py [--variant sam-i2v] [--objects 1 8] [--precision fp32 bf16]

Random weights, full memory (seven frames), one whole-frame view: what a steady frame costs does not
depend on what is seen. "As written" follows the paper's formulas one object after the other: it is
what our network was before, and is checked here to give the same masks. Both are timed by turns in
one process; the table gives the median of the rounds, and the ratio to "as written" in fp32.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.network import SamI2V, get_config
from napari_sam_i2v.network.device import Precision, autocast
from napari_sam_i2v.network.image_encoder import ConvBN, MBConv, TinyViT, TinyViTBlock
from napari_sam_i2v.network.memory_attention import MemoryTokens
from napari_sam_i2v.network.sam_i2v import Decoded, Memory
from napari_sam_i2v.network.temporal import TemporalFeatureIntegrator, TemporalNet


class Straightforward(SamI2V):
    """The same weights, computed as the paper writes it."""

    def encode_image(self, frames: Tensor) -> list[Tensor]:
        """Encode with all intermediate results at full size, and norms by themselves."""
        return _trunk(self.image_encoder.trunk_image, frames)

    def encode_frame(
        self, clip: Tensor, levels: list[Tensor] | None = None, *, taps: object = None
    ) -> Tensor:
        """Integrate whole clips."""
        levels = self.encode_image(clip[:, :, -1]) if levels is None else levels
        return _integrate(self.image_encoder.trunk_video, levels, clip)

    def recall(self, memory: Memory) -> MemoryTokens:
        """Make tokens for attention as it is written."""
        return self._tokens(memory)


def _norm(unit: Any, x: Tensor) -> Tensor:
    conv = cast(ConvBN, unit)
    return conv.bn(conv.c(x))


def _trunk(trunk: TinyViT, x: Tensor) -> list[Tensor]:
    first, _, second = trunk.patch_embed.seq
    levels = [_norm(second, F.gelu(_norm(first, x)))]
    for stage in cast(Iterable[Any], trunk.layers):
        x = levels[-1]
        for block in stage.blocks:
            x = _bottleneck(block, x) if isinstance(block, MBConv) else _block(block, x)
        if hasattr(stage, "downsample"):
            step = stage.downsample
            x = _norm(step.conv3, F.gelu(_norm(step.conv2, F.gelu(_norm(step.conv1, x)))))
        levels.append(x)
    levels[-1] = trunk.neck(levels[-1])
    return levels


def _bottleneck(block: MBConv, x: Tensor) -> Tensor:
    h = F.gelu(_norm(block.conv2, F.gelu(_norm(block.conv1, x))))
    return F.gelu(_norm(block.conv3, h) + x)


def _block(block: TinyViTBlock, x: Tensor) -> Tensor:
    attention, (batch, dim, height, width) = block.attn, x.shape
    side, heads = attention.side, attention.heads
    padded = F.pad(x, (0, -width % side, 0, -height % side))
    rows, columns = padded.shape[2] // side, padded.shape[3] // side
    tiles = padded.reshape(batch, dim, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
    qkv = attention.qkv(attention.norm(tiles.reshape(-1, side * side, dim)))
    q, k, v = qkv.unflatten(-1, (heads, 3, -1)).permute(3, 0, 2, 1, 4).unbind(0)
    bias = attention.attention_biases[:, attention.bias_index].to(q.dtype)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
    out = attention.proj(out.transpose(1, 2).flatten(2))
    out = out.reshape(batch, rows, columns, side, side, dim).permute(0, 5, 1, 3, 2, 4)
    x = x + out.reshape(padded.shape)[:, :, :height, :width]
    x = _norm(block.local_conv, x)
    tokens, mlp = x.permute(0, 2, 3, 1), block.mlp
    return (tokens + mlp.fc2(F.gelu(mlp.fc1(mlp.norm(tokens))))).permute(0, 3, 1, 2)


def _integrate(net: TemporalFeatureIntegrator, levels: list[Tensor], clip: Tensor) -> Tensor:
    x = net.temporal_stem(clip)
    carried: Tensor | float = 0.0
    for i, level in enumerate(levels[2:]):
        x = _rounds(cast(TemporalNet, net.temporal_nets[i]), x)
        image = net.input_linears[i](level) + carried
        both = torch.cat((image, x[:, :, -1]), dim=1)
        image = net.temporal2integration_nets[i](both)
        carried = net.integration_nets[i](image)
        newest = net.integration2temporal_nets[i](both)
        x = torch.cat((x[:, :, :-1], newest[:, :, None].to(x.dtype)), dim=2)
    return carried + image


def _rounds(net: TemporalNet, x: Tensor) -> Tensor:
    for norm, convs in zip(net.lns, net.temporal_net, strict=True):
        within, across = convs.children()
        h = within(norm(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3))
        h = x + across(h * torch.sigmoid(1.702 * h))
        x = h * torch.sigmoid(1.702 * h)
    return x


def remembered(network: SamI2V, objects: int, *, memories: int = 7) -> Memory:
    """Full memory of some objects, made up."""
    config = network.config
    side = config.feature_size
    rng = torch.Generator().manual_seed(objects)

    def random(*shape: int) -> Tensor:
        return torch.randn(objects, *shape, generator=rng)

    return Memory(
        spatial=random(memories, config.memory_dim, side, side),
        foreground=random(memories, side**2) > 0.8,
        time_positions=torch.arange(memories).expand(objects, -1),
        copies=torch.ones(objects, memories),
        pointers=random(memories, config.hidden_dim),
        pointer_values=random(memories).sigmoid(),
        pointer_copies=torch.ones(objects, memories),
    )


def only(memory: Memory, which: slice) -> Memory:
    """Memory of some of the objects."""
    return Memory(*(getattr(memory, name)[which] for name in Memory.__dataclass_fields__))


class Frame:
    """A steady frame: encode it, find all objects, remember them."""

    def __init__(self, network: SamI2V, memory: Memory, *, at_once: int) -> None:
        self.network, self.memory, self.at_once = network, memory, at_once
        size, length = network.config.image_size, network.config.clip_length
        self.clip = torch.randn(
            1, 3, length, size, size, generator=torch.Generator().manual_seed(0)
        )
        self.taps = (
            None if isinstance(network, Straightforward)
            else [network.stem_taps(self.clip[:, :, t]) for t in range(length - 1)]
        )  # fmt: skip

    def run(self) -> Decoded:
        """Compute it; the answer of the first objects is returned."""
        network, objects = self.network, len(self.memory.spatial)
        taps = self.taps and [*self.taps, network.stem_taps(self.clip[:, :, -1])]
        feature = network.encode_frame(self.clip, taps=taps)
        answers = []
        for i in range(0, objects, self.at_once):
            some = only(self.memory, slice(i, i + self.at_once))
            answer = network.track(feature, some)
            network.remember(feature, network.upsample(answer.low), answer.score, prompted=False)
            network.foreground(answer.low)
            answers.append(answer)
        return answers[0]


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Time the cases by turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="sam-i2v")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    ours = SamI2V(get_config(args.variant)).eval().requires_grad_(False)
    written = Straightforward(ours.config)
    written.load_state_dict(ours.state_dict())
    written.eval().requires_grad_(False)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{args.threads} threads, {date.today()}, {args.variant}")  # fmt: skip
    print("objects  precision  as written, s  ours, s  ratio to as written in fp32")
    cpu = torch.device("cpu")
    for objects in args.objects:
        memory = remembered(ours, objects)
        frames = (Frame(written, memory, at_once=1), Frame(ours, memory, at_once=4))
        times: dict[tuple[str, int], list[float]] = {}
        with torch.inference_mode():
            first, second = (frame.run() for frame in frames)
            assert first.raw is not None and second.raw is not None
            largest = float((first.raw.masks[:1] - second.raw.masks[:1]).abs().max())
            assert largest < 5e-3 * float(first.raw.masks.abs().max()), largest
            for _ in range(args.rounds):
                for precision in args.precision:
                    for which, frame in enumerate(frames):
                        with autocast(cpu, cast(Precision, precision)):
                            times.setdefault((precision, which), []).append(seconds(frame.run))
        base = statistics.median(times["fp32", 0])
        for precision in args.precision:
            a, b = (statistics.median(times[precision, i]) for i in (0, 1))
            print(f"{objects:7}  {precision:9}  {a:13.2f}  {b:7.2f}  {base / b:.2f}", flush=True)


if __name__ == "__main__":
    main()
