"""Cross-attention to memories on a grid, with less arithmetic and the same outcome.

Three identities turn `Attention` over spatial memories into cheaper matrix products.

- The weights of a softmax add up to one: averaging the memory first and applying the value
  projection to the average gives the same as averaging projected memory. Values are then as
  narrow as the memory.
- A rotary position turns half of a key's channels by its column and the other half by its row. All
  keys of one column share the first rotation, so that it, and the key projection, can be
  applied to the query instead: one narrow query for each column, and one for each row. Keys are
  then the memory itself, the same for all layers, and nothing is projected or kept per memory.
- A softmax does not change when all its logits are shifted. Those of the pointers, which are
  few, say by how much: no pass over all logits looks for their maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sam_i2v.network.attention import Attention, RotaryTable, rotary_grid, rotate
from napari_sam_i2v.network.kept import Kept

__all__ = ["GridMemory", "GridReader"]

QUERIES_AT_ONCE = 128
"""Queries of one tile, about: its logits stay in a processor's cache."""
HIDDEN = -1e4
"""Logit of a token that does not count; finite, so that 0 times it is 0."""


@dataclass(frozen=True)
class GridMemory:
    """What one object remembers, laid out for a `GridReader`.

    A key is (memory + position, 1, logit bias): `memory_dim` + 2 numbers. S is the side of the
    grid, T the number of spatial memories, P the number of pointer tokens.

    Attributes
    ----------
    rows
        (S, T * S, memory_dim + 2): keys by row; within it by memory, then column.
    columns
        (S, S * T, memory_dim + 2): keys by column; within it by row, then memory.
    pointers
        (P, memory_dim): keys of pointer tokens, which have no place on the grid.
    pointer_bias
        (P, 1) added to their logits.
    values
        (memory_dim + 1, S * T * S + P): memory and a 1, in the order of `rows`, then pointers.
    background
        (S * T * S + P, 1), in the same order: 0 in the foreground, `HIDDEN` elsewhere.
    """

    rows: Tensor
    columns: Tensor
    pointers: Tensor
    pointer_bias: Tensor
    values: Tensor
    background: Tensor

    @classmethod
    def of(
        cls,
        memory: Tensor,
        position: Tensor,
        foreground: Tensor,
        bias: Tensor | None,
        *,
        spatial: int,
        side: int,
        dtype: torch.dtype,
    ) -> GridMemory:
        """Lay out the tokens (N, memory_dim) of one object; see `MemoryTokens`."""
        count, width = spatial // side**2, memory.shape[1]
        if bias is None:
            bias = memory.new_zeros(len(memory))
        bias = bias.clamp(min=HIDDEN)[:, None]
        ones = torch.ones_like(bias)
        keys = torch.cat((memory + position, ones, bias), dim=1)
        grid = keys[:spatial].view(count, side, side, width + 2)
        valued = torch.cat((memory, ones), dim=1)
        on_grid = valued[:spatial].view(count, side, side, width + 1).transpose(0, 1)
        values = torch.cat((on_grid.reshape(spatial, width + 1), valued[spatial:]))
        hidden = (~foreground).to(dtype) * HIDDEN
        hidden_on_grid = hidden[:spatial].view(count, side, side).transpose(0, 1).flatten()
        return cls(
            rows=grid.transpose(0, 1).reshape(side, -1, width + 2).to(dtype),
            columns=grid.permute(2, 1, 0, 3).reshape(side, -1, width + 2).to(dtype),
            pointers=keys[spatial:, :width],
            pointer_bias=bias[spatial:],
            values=values.t().to(dtype, memory_format=torch.contiguous_format),
            background=torch.cat((hidden_on_grid, hidden[spatial:]))[:, None],
        )


class GridReader:
    """One attention's weights, ready to read `GridMemory`.

    Parameters
    ----------
    attention
        With one head, whose keys lie on a square grid of `side` x `side`.
    side
        S.
    """

    def __init__(self, attention: Attention, side: int) -> None:
        self.attention, self.side = attention, side
        self._turned: Kept[tuple[Tensor, Tensor]] = Kept()

    def _keys(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Key projections turned by row, and by column: (S * (memory_dim + 2), D / 2) each."""
        key = self.attention.k_proj
        return self._turned.of(lambda: self._turn(dtype), key.weight, key.bias, also=(dtype,))

    def _turn(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        key, side = self.attention.k_proj, self.side
        # What a query is multiplied with for (memory + position, 1, logit bias).
        inputs = torch.cat((key.weight.t(), key.bias[None], torch.zeros_like(key.bias)[None]))
        inner = inputs.shape[1]
        cos, sin = (x.view(side, side, -1) for x in rotary_grid(inner, side, side, inputs.device))
        by_x = (cos[0, :, : inner // 4], sin[0, :, : inner // 4])
        by_y = (cos[:, 0, inner // 4 :], sin[:, 0, inner // 4 :])

        def turned(half: Tensor, table: RotaryTable) -> Tensor:
            copies = half[:, None].expand(-1, side, -1)
            return rotate(copies, table).transpose(0, 1).flatten(0, 1).to(dtype)

        return turned(inputs[:, inner // 2 :], by_y), turned(inputs[:, : inner // 2], by_x)

    def read(
        self,
        tokens: Tensor,
        place: RotaryTable,
        memories: Sequence[GridMemory],
        *,
        foreground: bool = False,
    ) -> Tensor:
        """Attend from tokens to what B objects remember.

        Parameters
        ----------
        tokens
            (B, N, dim), or (1, N, dim) where all objects ask the same.
        place
            Rotary table of the tokens.
        memories
            Of B objects.
        foreground
            Whether to read the foreground only.

        Returns
        -------
        Tensor
            (B, N, dim), the same as `Attention.forward` but for rounding.
        """
        attention = self.attention
        query = rotate(attention.q_proj(tokens), place).float()
        query = query * query.shape[2] ** -0.5
        shared = [0] * len(memories) if len(query) == 1 else range(len(memories))
        found = [
            self._average(query[i], memory, foreground=foreground)
            for i, memory in zip(shared, memories, strict=True)
        ]
        return attention.out_proj(attention.v_proj(torch.stack(found)))

    def _average(self, query: Tensor, memory: GridMemory, *, foreground: bool) -> Tensor:
        """Average memories (N, memory_dim), weighted for each query (N, D)."""
        key = self.attention.k_proj
        pointer_keys = (memory.pointers @ key.weight.t() + key.bias).float()
        count, keys = len(query), memory.values.shape[1]
        size = math.ceil(count / max(1, round(count / QUERIES_AT_ONCE)))
        buffer = memory.rows.new_empty(keys * size)
        mean = query.new_empty(count, memory.values.shape[0] - 1)
        for start in range(0, count, size):
            part = slice(start, min(start + size, count))
            some = query[part]
            logits = buffer[: keys * len(some)].view(keys, -1)
            pointers = pointer_keys @ some.t() + memory.pointer_bias
            shift = pointers.amax(dim=0)
            total = self._weighted(logits, some, memory, pointers, shift, foreground)
            if not bool(total[-1].isfinite().all()):
                # Some memory is far more like a query than any pointer is.
                self._fill(logits, some, memory, pointers, shift)
                shift = shift + logits.amax(dim=0).float()
                total = self._weighted(logits, some, memory, pointers, shift, foreground)
            mean[part] = (total[:-1] / total[-1]).t()
        return mean

    def _weighted(
        self,
        logits: Tensor,
        query: Tensor,
        memory: GridMemory,
        pointers: Tensor,
        shift: Tensor,
        foreground: bool,
    ) -> Tensor:
        """Sums (memory_dim + 1, Q) of values and of ones, times exponentials of logits."""
        self._fill(logits, query, memory, pointers, shift)
        if foreground:
            logits += memory.background
        return (memory.values @ logits.exp_()).float()

    def _fill(
        self, logits: Tensor, query: Tensor, memory: GridMemory, pointers: Tensor, shift: Tensor
    ) -> None:
        """Write logits (keys, Q) of queries (Q, D), less `shift` (Q,)."""
        side, per_row, _ = memory.rows.shape
        dtype = memory.rows.dtype
        rows, columns = self._keys(dtype)
        width, turned = len(query), query.to(dtype).t()
        half = turned.shape[0] // 2
        by_row = (rows @ turned[half:]).view(side, -1, width)
        by_row[:, -1] = 1
        by_row[:, -2] -= shift.to(dtype)
        spatial = logits[: side * per_row]
        torch.bmm(memory.rows, by_row, out=spatial.view(side, per_row, width))
        # The same logits by column: neighbours in a column lie a whole row apart.
        by_column = spatial.as_strided((side, per_row, width), (width, side * width, 1))
        by_column.baddbmm_(memory.columns, (columns @ turned[:half]).view(side, -1, width))
        logits[side * per_row :] = pointers - shift
