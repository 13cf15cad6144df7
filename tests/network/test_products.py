"""Products computed as convolutions are the same products."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.network import products
from napari_sam_i2v.network.products import Linear, attend, linear


@pytest.fixture
def convolved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Products are convolutions, on whatever processor; gives the shapes of what is convolved."""
    monkeypatch.setattr(products, "convolution_is_faster", lambda: True)
    shapes: list[tuple[int, ...]] = []
    convolve = F.conv2d

    def noted(x: Tensor, *args: Tensor) -> Tensor:
        shapes.append(tuple(x.shape))
        return convolve(x, *args)

    monkeypatch.setattr(F, "conv2d", noted)
    return shapes


@pytest.mark.parametrize("shape", [(640, 64), (1, 24, 40, 64), (3, 17, 19, 64)])
@pytest.mark.parametrize("biased", [True, False])
def test_same_as_linear(
    convolved: list[tuple[int, ...]], shape: tuple[int, ...], biased: bool
) -> None:
    torch.manual_seed(0)
    x, layer = torch.randn(shape), Linear(64, 128, bias=biased)
    wanted = F.linear(x.double(), layer.weight.double(), layer.bias.double() if biased else None)
    with torch.inference_mode():
        found = layer(x)
    assert len(convolved) == 1
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


def test_transposed_input_is_read_as_it_is(convolved: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(64, 640).t(), torch.randn(128, 80)[:, :64]
    with torch.inference_mode():
        torch.testing.assert_close(linear(x, weight), x @ weight.t(), atol=1e-4, rtol=1e-4)
    assert convolved


@pytest.mark.parametrize("rows", [15, 16, 641])
def test_few_rows_and_rows_without_equal_parts_are_multiplied(
    convolved: list[tuple[int, ...]], rows: int
) -> None:
    x, weight = torch.ones(rows, 512), torch.ones(1024, 512)
    with torch.inference_mode():
        assert (linear(x, weight) == 512).all()
    assert not convolved


def test_where_gradients_or_half_precision_are_asked_for_it_is_left_to_torch(
    convolved: list[tuple[int, ...]],
) -> None:
    x, weight = torch.ones(640, 64), torch.ones(128, 64)
    linear(x, weight)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    with torch.inference_mode():
        linear(x.double(), weight.double())
    assert not convolved


def test_other_processors_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    products.convolution_is_faster.cache_clear()
    assert not products.convolution_is_faster()
    products.convolution_is_faster.cache_clear()


@pytest.mark.parametrize(("batch", "heads", "queries"), [(1, 1, 1024), (2, 3, 600)])
def test_same_as_attention(
    convolved: list[tuple[int, ...]], batch: int, heads: int, queries: int
) -> None:
    torch.manual_seed(0)
    query = torch.randn(batch, heads, queries, 128)
    key, value = torch.randn(2, batch, heads, 640, 128).unbind()
    with torch.inference_mode():
        found = attend(query, key, value)
        assert convolved
        wanted = F.scaled_dot_product_attention(query.double(), key.double(), value.double())
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)


def test_same_as_attention_in_half_precision(
    convolved: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 600, 128, dtype=torch.bfloat16).unbind()
    wanted = F.scaled_dot_product_attention(query.float(), key.float(), value.float())

    def fused(*_: Tensor) -> Tensor:
        raise AssertionError("left to torch")

    monkeypatch.setattr(F, "scaled_dot_product_attention", fused)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = attend(query, key, value)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, atol=5e-3, rtol=2e-2)
    assert not convolved


def test_biased_and_narrow_attention_is_left_to_torch(convolved: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    wide, narrow = torch.randn(1, 1, 1024, 128), torch.randn(1, 4, 1024, 32)
    bias = torch.randn(1024, 1024)
    with torch.inference_mode():
        biased = attend(wide, wide, wide, bias)
        torch.testing.assert_close(
            biased, F.scaled_dot_product_attention(wide, wide, wide, attn_mask=bias)
        )
        attend(narrow, narrow, narrow)
    assert not convolved


@pytest.mark.parametrize(
    ("listed", "dtype", "units"),
    [
        ("flags : avx512f amx_bf16 amx_tile", torch.bfloat16, True),
        ("flags : avx512f amx_bf16 amx_tile", torch.float32, False),
        ("flags : avx512f avx512_bf16", torch.bfloat16, False),
    ],
)
def test_units_for_matrices(
    listed: str, dtype: torch.dtype, units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "processor_facts", lambda: listed)
    assert products.multiplies_matrices.__wrapped__(dtype) is units
