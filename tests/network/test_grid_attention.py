"""Attention to memories on a grid gives what plain attention gives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from napari_sam_i2v.network.attention import (
    Attention,
    angles,
    rotary_frequencies,
    rotary_grid,
    rotate,
)
from napari_sam_i2v.network.grid_attention import GridReader, TurnedKeys
from napari_sam_i2v.network.memory_attention import MemoryTokens

SIDE, DIM, INNER, WIDTH = 6, 24, 16, 8
AREA = SIDE**2
CPU = torch.device("cpu")


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(DIM, INNER, memory_dim=WIDTH).eval().requires_grad_(False)


def remembered(objects: int = 2, memories: int = 3, pointers: int = 5) -> MemoryTokens:
    torch.manual_seed(objects)
    count = memories * AREA + pointers
    bias = torch.zeros(objects, count)
    bias[:, :AREA] = math.log(3)  # three copies of the first memory
    bias[0, AREA : 2 * AREA] = -torch.inf  # padding
    bias[0, -1] = -torch.inf
    foreground = torch.rand(objects, count) > 0.7
    foreground[:, memories * AREA :] = True
    return MemoryTokens(
        torch.randn(objects, count, WIDTH), torch.randn(objects, count, WIDTH),
        memories * AREA, foreground, bias,
    )  # fmt: skip


def written(attention: Attention, query: Tensor, memory: MemoryTokens, hide: bool) -> Tensor:
    grid = rotary_grid(INNER, SIDE, SIDE, CPU)
    bias = memory.bias
    assert bias is not None
    if hide:
        bias = bias.masked_fill(~memory.foreground, -torch.inf)
    return attention(
        query.expand(len(memory.tokens), -1, -1), memory.tokens + memory.positions, memory.tokens,
        query_rotary=grid, key_rotary=grid, bias=bias,
    )  # fmt: skip


def read(attention: Attention, query: Tensor, memory: MemoryTokens, hide: bool = False) -> Tensor:
    place = rotary_grid(INNER, SIDE, SIDE, CPU)
    with torch.inference_mode():
        grids = memory.on_grid(SIDE).grids
        return GridReader(attention, SIDE).read(query, place, grids, foreground=hide)


@pytest.mark.parametrize("hide", [False, True], ids=["everything", "foreground"])
@pytest.mark.parametrize("asking", [1, 2], ids=["shared query", "own queries"])
def test_same_as_written(attention: Attention, asking: int, hide: bool) -> None:
    memory, query = remembered(), 3 * torch.randn(asking, AREA, DIM)
    wanted = written(attention, query, memory, hide)
    torch.testing.assert_close(read(attention, query, memory, hide), wanted, atol=1e-5, rtol=1e-5)
    other = written(attention, query, memory, not hide)
    assert not torch.allclose(wanted, other, atol=1e-3)


@pytest.mark.parametrize("tile", [1, 7, 36, 1000])
def test_tiles_of_any_size(
    attention: Attention, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, query = remembered(), torch.randn(2, AREA, DIM)
    monkeypatch.setattr("napari_sam_i2v.network.grid_attention.QUERIES_AT_ONCE", tile)
    wanted = written(attention, query, memory, False)
    torch.testing.assert_close(read(attention, query, memory), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_tiles_on_any_number_of_threads(
    attention: Attention, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, query, before = remembered(), torch.randn(2, AREA, DIM), torch.get_num_threads()
    for name, value in (("QUERIES_AT_ONCE", 4), ("WORTH", 1)):
        monkeypatch.setattr(f"napari_sam_i2v.network.grid_attention.{name}", value)
    torch.set_num_threads(threads)
    found = read(attention, query, memory)
    torch.set_num_threads(before)
    wanted = written(attention, query, memory, False)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_memory_far_more_alike_than_any_pointer(attention: Attention) -> None:
    """Exponentials would overflow if logits were shifted by those of the pointers alone."""
    memory, query = remembered(1), 400 * torch.randn(1, AREA, DIM)
    wanted = written(attention, query, memory, False)
    found = read(attention, query, memory)
    assert found.isfinite().all()
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention on a processor with units for matrices, in whatever precision."""
    module = "napari_sam_i2v.network.grid_attention"
    monkeypatch.setattr(f"{module}.multiplies_matrices", lambda dtype: True)
    monkeypatch.setattr(f"{module}.QUERIES_AT_ONCE", 12)
    monkeypatch.setattr(f"{module}.TurnedKeys.ask", None)  # keys are turned, not queries


@pytest.mark.parametrize("at_once", [1, 40, 4096], ids=["row by row", "some rows", "all"])
@pytest.mark.parametrize("hide", [False, True], ids=["everything", "foreground"])
@pytest.mark.usefixtures("wide")
def test_whole_keys_give_the_same(
    attention: Attention, hide: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam_i2v.network.grid_attention.KEYS_AT_ONCE", at_once)
    memory, query = remembered(), 3 * torch.randn(2, AREA, DIM)
    wanted = written(attention, query, memory, hide)
    torch.testing.assert_close(read(attention, query, memory, hide), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("wide")
def test_whole_keys_far_more_alike_than_any_pointer(attention: Attention) -> None:
    memory, query = remembered(1), 400 * torch.randn(1, AREA, DIM)
    found = read(attention, query, memory)
    assert found.isfinite().all()
    wanted = written(attention, query, memory, False)
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("wide")
def test_few_queries_are_not_worth_whole_keys(attention: Attention) -> None:
    with pytest.raises(TypeError, match="not callable"):
        read(attention, torch.randn(1, 4, DIM), remembered(1))


def test_more_pointers_than_places(attention: Attention) -> None:
    """Pointers are told from memories by number, not by what does not fill a grid."""
    memory, query = remembered(1, 1, 4), torch.randn(1, AREA, DIM)
    assert memory.bias is not None
    # As many copies of the last pointer as there are places: the same as a bias of their number.
    copies = AREA + 1
    again = [0, *range(1, memory.tokens.shape[1]), *[memory.tokens.shape[1] - 2] * (copies - 1)]
    many = MemoryTokens(
        memory.tokens[:, again], memory.positions[:, again], memory.spatial,
        memory.foreground[:, again], memory.bias[:, again],
    )  # fmt: skip
    weighted = memory.bias.clone()
    weighted[:, -2] += math.log(copies)
    once = replace(memory, bias=weighted)
    torch.testing.assert_close(read(attention, query, many), read(attention, query, once))


def test_half_precision_is_near(attention: Attention) -> None:
    memory, query = remembered(), torch.randn(2, AREA, DIM)
    wanted = written(attention, query, memory, False)
    with torch.autocast("cpu", torch.bfloat16):
        found = read(attention, query, memory).float()
    assert (found - wanted).norm() < 0.02 * wanted.norm()
    assert not torch.equal(found, wanted)


@pytest.mark.usefixtures("wide")
def test_whole_keys_in_half_precision_are_near(attention: Attention) -> None:
    test_half_precision_is_near(attention)


@pytest.mark.parametrize(("width", "side"), [(256, 64), (128, 12), (16, 6)])
def test_slow_channels_are_interpolated_to_the_precision_of_numbers(width: int, side: int) -> None:
    torch.manual_seed(width)
    frequencies = rotary_frequencies(width)
    inputs, query = torch.randn(5, width // 2), torch.randn(9, width // 2)
    angle = torch.outer(torch.arange(side), frequencies)
    turned = rotate(inputs[:, None].expand(-1, side, -1), angles(angle))
    wanted = turned.double().transpose(0, 1) @ query.double().t()
    keys = TurnedKeys.of(inputs, frequencies, side, torch.float32)
    found = keys.ask(query)
    assert (found - wanted).abs().max() < 2e-6 * wanted.abs().max()
    assert (keys.slow.shape[1] > 0) == (side > 6)


def test_half_of_the_arithmetic_of_turning_is_saved() -> None:
    side, frequencies = 64, rotary_frequencies(256)
    keys = TurnedKeys.of(torch.ones(1, 128), frequencies, side, torch.float32)
    assert keys.quick.numel() + keys.slow.numel() + keys.spread.numel() < 0.52 * side * 128
