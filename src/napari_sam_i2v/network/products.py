"""Matrix products by whichever of torch's two CPU libraries is the faster on this processor.

torch multiplies float32 matrices with MKL, and convolves with oneDNN. MKL is Intel's, and uses
half of the width of other makers' processors with AVX-512: there, a product is the same arithmetic
in half the time when it is put as a 1 x 1 convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.device import processor_facts, product_dtype
from napari_sam_i2v.network.side_by_side import side_by_side

__all__ = ["Linear", "attend", "linear", "multiplies_matrices"]

WORTH = 4_000_000
"""Multiplications from which on a convolution, which takes longer to begin, is faster."""
PARTS = 16
"""From this many parts on, torch convolves with oneDNN whatever the size and the threads."""
QUERIES_AT_ONCE = 512
FEW = 8
"""Queries, at most, for which torch has a kernel of its own on Apple's chips."""


@lru_cache(maxsize=1)
def convolution_is_faster() -> bool:
    """Whether this is a processor whose full width oneDNN uses, and MKL does not."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    return "AuthenticAMD" in processor_facts()


@lru_cache(maxsize=8)
def multiplies_matrices(dtype: torch.dtype) -> bool:
    """Whether this processor has units that multiply matrices of that type (Intel's AMX)."""
    return dtype == torch.bfloat16 and "amx_bf16" in processor_facts()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map (..., K) by weights (N, K) to (..., N), as `torch.nn.functional.linear` does.

    The outcome differs from that by rounding alone.
    """
    width = x.shape[-1]
    parts = _parts(x.numel() // width) if _suits(x, weight) else 0
    if not parts:
        return F.linear(x, weight, bias)
    # Tokens as pixels whose channels lie together.
    pixels = x.reshape(parts, -1, 1, width).permute(0, 3, 1, 2)
    mapped = F.conv2d(pixels, weight[:, :, None, None], bias)
    return mapped.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def _suits(x: Tensor, weight: Tensor) -> bool:
    """Whether a product is one that goes as a convolution."""
    return x.dtype == torch.float32 and _is_large(x, weight)


def _is_large(x: Tensor, weight: Tensor) -> bool:
    """Whether a product is so large that it matters how a processor like this computes it."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == product_dtype(x.device)
        and x.numel() * len(weight) >= WORTH
        and not torch.is_grad_enabled()
        and convolution_is_faster()
    )


@lru_cache(maxsize=1024)
def _parts(rows: int) -> int:
    """Into how many equal parts, `PARTS` at least, rows can be cut; 0 if into short ones only."""
    return next((n for n in range(PARTS, rows // 4 + 1) if rows % n == 0), 0)


class Linear(nn.Linear):
    """A linear layer computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attend as `torch.nn.functional.scaled_dot_product_attention` does, but for rounding.

    On a processor like this, one large tile after the other takes two thirds of its time, in
    bfloat16, too.

    Parameters
    ----------
    query, key, value
        (B, heads, Nq, D), (B, heads, Nk, D) and (B, heads, Nk, D).
    bias
        Added to the logits; can be expanded to (B, heads, Nq, Nk).

    Returns
    -------
    Tensor
        (B, heads, Nq, D).
    """
    if query.device.type == "mps" and query.shape[2] <= FEW:
        return _by_formula(query, key, value, bias)
    wide = query.shape[-1] >= 128  # narrow heads spend their time on exponentials
    if bias is not None or not wide or not _is_large(query, key[0, 0]):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scaled, found = query * query.shape[-1] ** -0.5, torch.empty_like(query)
    pieces: list[Callable[[], None]] = []
    for batch, head in torch.cartesian_prod(*(torch.arange(n) for n in query.shape[:2])).tolist():
        keys, values = key[batch, head], value[batch, head].t().contiguous()
        tiles = (x[batch, head].split(QUERIES_AT_ONCE) for x in (scaled, found))
        for some, out in zip(*tiles, strict=True):
            pieces.append(partial(_attend, some, out, keys, values))
    side_by_side(pieces)
    return found


def _attend(query: Tensor, found: Tensor, keys: Tensor, values: Tensor) -> None:
    """Fill in what queries (Q, D) find, with values (D, Nk)."""
    weights = linear(query, keys).softmax(dim=-1)
    found.copy_(linear(weights, values))


def _by_formula(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Attend as it is written.

    From 2.8 on, torch's kernel for few queries was wrong in one version or another where the
    number of keys is no multiple of 32, or numbers do not lie in a row (pytorch/pytorch#163597,
    #169222, #181133): it would spoil memory prompts, without a word.
    """
    logits = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
    weights = (logits if bias is None else logits + bias).softmax(dim=-1)
    return weights.to(value.dtype) @ value
