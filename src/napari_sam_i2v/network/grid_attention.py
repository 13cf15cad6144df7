"""Cross-attention to memories on a grid, with less arithmetic and the same outcome.

Identities turn `Attention` over spatial memories into cheaper matrix products.

- The weights of a softmax add up to one: averaging the memory first and applying the value
  projection to the average gives the same as averaging projected memory. Values are then as
  narrow as the memory.
- A rotary position turns half of a key's channels by its column and the other half by its row. All
  keys of one column share the first rotation, so that it, and the key projection, can be
  applied to the query instead: one narrow query for each column, and one for each row. Keys are
  then the memory itself, the same for all layers, and nothing is projected or kept per memory.
- Most rotary channels turn so slowly that they are smooth functions of the row: their part of
  the narrow queries is computed at a few places between the first row and the last, and
  interpolated by a polynomial, to the precision of float32 (`SMOOTH`).
- A softmax does not change when all its logits are shifted. Those of the pointers, which are
  few, say by how much: no pass over all logits looks for their maximum.
- Powers of two are three times as fast as powers of e (torch leaves the latter to MKL): queries
  are scaled so that logits are logarithms to base 2.

A processor with units for matrices needs wide products more than few: there, in bfloat16, keys
are projected and turned after all, and multiplied once at full width (`_Whole`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Protocol

import torch
from torch import Tensor

from napari_sam_i2v.network.attention import (
    Attention,
    RotaryTable,
    angles,
    rotary_frequencies,
    rotate,
)
from napari_sam_i2v.network.kept import Kept
from napari_sam_i2v.network.products import linear, multiplies_matrices
from napari_sam_i2v.network.side_by_side import side_by_side

__all__ = ["GridMemory", "GridReader"]

QUERIES_AT_ONCE, KEYS_AT_ONCE = 128, 2048
"""Queries and keys of one tile, about: its logits stay in the cache of one core."""
MATRICES = 2
"""How many times more of both, where a processor multiplies matrices at a time."""
WORTH = 1_000_000
"""Logits from which on a tile is worth a thread of its own."""
HIDDEN = -1e4
"""Logit of a token that does not count; finite, so that 0 times it is 0."""
LOG2_E = math.log2(math.e)
SMOOTH = 2e-7
"""Largest error of an interpolated rotation, whose values are at most 1."""


@dataclass(frozen=True)
class GridMemory:
    """What one object remembers, laid out for a `GridReader`.

    A key is (memory + position, 1): `memory_dim` + 1 numbers. S is the side of the grid, T the
    number of spatial memories, P the number of pointer tokens. n copies of a memory are one that
    weighs n times as much.

    Attributes
    ----------
    rows
        (S, S * T, memory_dim + 1): keys by row; within it by column, then memory.
    columns
        For every R rows of the grid, (S, T * R, memory_dim + 1): keys by column; within it by
        memory, then row.
    pointers
        (P, memory_dim): keys of pointer tokens, which have no place on the grid.
    pointer_bias
        (P, 1) added to their logits.
    pointer_values
        (memory_dim + 1, P): pointer tokens and a 1.
    values
        The same of spatial memories, times copies: (memory_dim + 1, S * T * R) for each of
        `columns`, in its order. Tokens that do not count are 0.
    foreground
        For each of `values`, (S * T * R,): 1 in the foreground, 0 elsewhere.
    """

    rows: Tensor
    columns: tuple[Tensor, ...]
    pointers: Tensor
    pointer_bias: Tensor
    pointer_values: Tensor
    values: tuple[Tensor, ...]
    foreground: tuple[Tensor, ...]

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
        keys = torch.cat((memory + position, ones), dim=1)
        valued = torch.cat((memory, ones), dim=1)
        at_once = max(1, KEYS_AT_ONCE * _times(dtype) // (count * side))

        def by_column(x: Tensor) -> list[Tensor]:
            """Order tokens (spatial, ...), some rows of the grid at a time."""
            some = x.view(count, side, side, -1).permute(2, 0, 1, 3).split(at_once, dim=2)
            return [part.flatten(0, 2) for part in some]

        def transposed(x: Tensor) -> tuple[Tensor, ...]:
            return tuple(part.t().to(dtype).contiguous() for part in by_column(x))

        grid = keys[:spatial].view(count, side, side, width + 1)
        return cls(
            rows=grid.permute(1, 2, 0, 3).reshape(side, -1, width + 1).to(dtype),
            columns=tuple(
                part.view(side, -1, width + 1).to(dtype) for part in by_column(keys[:spatial])
            ),
            pointers=keys[spatial:, :width],
            pointer_bias=bias[spatial:],
            pointer_values=valued[spatial:].t().to(dtype),
            values=transposed(valued[:spatial] * bias[:spatial].exp()),
            foreground=transposed(foreground[:spatial]),
        )

    def parts(self) -> Iterator[tuple[Tensor, slice]]:
        """Each of `columns`, and which rows of the grid it holds."""
        start = 0
        for columns in self.columns:
            side, keys, _ = columns.shape
            stop = start + side * keys // self.rows.shape[1]
            yield columns, slice(start, stop)
            start = stop


@dataclass(frozen=True)
class TurnedKeys:
    """A key projection turned by each place along one axis: what queries are multiplied with.

    S is the length of the axis, W the width of a key, C the channels that turn along the axis.

    Attributes
    ----------
    quick
        (S * W, q): channels that turn quickly, at every place.
    slow
        (K * W, C - q): the others, at K Chebyshev nodes.
    spread
        (S, K): the polynomial through the nodes, at every place.
    """

    quick: Tensor
    slow: Tensor
    spread: Tensor

    @classmethod
    def of(cls, inputs: Tensor, frequencies: Tensor, side: int, dtype: torch.dtype) -> TurnedKeys:
        """Turn (W, C) by the angles of C / 2 falling frequencies, in radians per place."""
        pairs, count = _cheapest(frequencies.tolist(), side)
        middle = (side - 1) / 2
        nodes = torch.cos(math.pi * (torch.arange(count) + 0.5).double() / count)
        nodes = middle * (1 + nodes)
        places = torch.arange(side).double()

        quick = _turned(inputs[:, : 2 * pairs], frequencies[:pairs], places)
        slow = _turned(inputs[:, 2 * pairs :], frequencies[pairs:], nodes)
        spread = _through(nodes, places).to(inputs.device)
        return cls(quick.flatten(0, 1).to(dtype), slow.flatten(0, 1).to(dtype), spread.to(dtype))

    def ask(self, query: Tensor) -> Tensor:
        """Map queries (Q, C) to one for each place, (S, W, Q)."""
        side, count = self.spread.shape
        channels = self.quick.shape[1]
        asked = linear(self.quick, query[:, :channels])
        rough = linear(self.slow, query[:, channels:])
        asked.view(side, -1).addmm_(self.spread, rough.view(count, -1))
        return asked.view(side, -1, len(query))


def _turned(inputs: Tensor, frequencies: Tensor, places: Tensor) -> Tensor:
    """Turn (W, C) by C / 2 frequencies, in radians per place, at S places: (S, W, C)."""
    angle = torch.outer(places.double(), frequencies.double()).float().to(inputs.device)
    copies = inputs[:, None].expand(-1, len(places), -1)
    return rotate(copies, angles(angle)).transpose(0, 1)


def _cheapest(frequencies: Sequence[float], side: int) -> tuple[int, int]:
    """How many pairs to turn at every place, and the nodes for the rest, with least arithmetic."""
    total = len(frequencies)
    best, least = (total, 1), (2 * total + 1) * side
    for quick, frequency in enumerate(frequencies):
        # A phase that goes from -t to t, as a polynomial through K nodes: 2 (t / 2)^K / K! off.
        half_phase, count, error = frequency * (side - 1) / 4, 0, 2.0
        while error > SMOOTH:
            count += 1
            error *= half_phase / count
        cost = 2 * quick * side + count * (2 * (total - quick) + side)
        if cost < least:
            best, least = (quick, count), cost
    return best


def _through(nodes: Tensor, places: Tensor) -> Tensor:
    """Lagrange polynomials of K nodes at S places: (S, K)."""
    apart = nodes[:, None] - nodes
    apart.fill_diagonal_(1)
    factors = (places[:, None, None] - nodes) / apart  # (S, K, K)
    same = torch.eye(len(nodes), dtype=torch.bool)
    return factors.masked_fill(same, 1).prod(dim=-1)


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
        self._turned: Kept[tuple[TurnedKeys, TurnedKeys]] = Kept()
        self._everywhere: Kept[tuple[Tensor, Tensor]] = Kept()

    def _keys(self, dtype: torch.dtype) -> tuple[TurnedKeys, TurnedKeys]:
        """Key projections turned by row, and by column."""
        key = self.attention.k_proj
        return self._turned.of(lambda: self._turn(dtype), key.weight, key.bias, also=(dtype,))

    def _turn(self, dtype: torch.dtype) -> tuple[TurnedKeys, TurnedKeys]:
        by_row, by_column, frequencies = self._projection()
        return (
            TurnedKeys.of(by_row, frequencies, self.side, dtype),
            TurnedKeys.of(by_column, frequencies, self.side, dtype),
        )

    def _projection(self) -> tuple[Tensor, Tensor, Tensor]:
        """What makes keys of (memory + position, 1), by row and by column, and frequencies."""
        key = self.attention.k_proj
        inputs = torch.cat((key.weight.t(), key.bias[None]))
        by_column, by_row = inputs.chunk(2, dim=1)
        return by_row, by_column, rotary_frequencies(inputs.shape[1])

    def _whole(self, memory: GridMemory, dtype: torch.dtype) -> list[Tensor]:
        """All keys of a memory, and 1: (keys, D + 1) for each of its `columns`, in that order."""

        def everywhere() -> tuple[Tensor, Tensor]:
            *inputs, frequencies = self._projection()
            places = torch.arange(self.side)
            by_row, by_column = (_turned(x, frequencies, places).to(dtype) for x in inputs)
            return by_row, by_column

        key = self.attention.k_proj
        by_row, by_column = self._everywhere.of(everywhere, key.weight, key.bias, also=(dtype,))
        found, half = [], by_row.shape[2]
        for columns, part in memory.parts():
            side, keys, _ = columns.shape
            count = part.stop - part.start
            whole = columns.new_ones(side, keys // count, count, 2 * half + 1)
            whole[..., :half] = torch.bmm(columns, by_column).unflatten(1, (-1, count))
            rows = torch.bmm(memory.rows[part], by_row[part]).unflatten(1, (side, -1))
            whole[..., half:-1] = rows.permute(1, 2, 0, 3)
            found.append(whole.flatten(0, 2))
        return found

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
        query = query * (LOG2_E * query.shape[2] ** -0.5)
        shared = [0] * len(memories) if len(query) == 1 else range(len(memories))
        averages = [
            self._average(query[i], memory, foreground=foreground)
            for i, memory in zip(shared, memories, strict=True)
        ]
        pieces = [piece for average in averages for piece in average.pieces()]
        logits = query.shape[1] * sum(v.shape[1] for m in memories for v in m.values)
        side_by_side(pieces, worth=logits >= WORTH * len(pieces))
        found = torch.stack([average.mean for average in averages])
        return attention.out_proj(attention.v_proj(found))

    def _average(self, query: Tensor, memory: GridMemory, *, foreground: bool) -> _Average:
        """Prepare to average a memory, weighted for each query (N, D)."""
        key = self.attention.k_proj
        pointer_keys = (memory.pointers @ key.weight.t() + key.bias).float()
        values = memory.values
        if foreground:
            values = tuple(v * f for v, f in zip(values, memory.foreground, strict=True))
        return _Average(
            memory, query, pointer_keys, values,
            ask=self._asking(memory, values[0].dtype, len(query)),
            mean=query.new_empty(len(query), len(values[0]) - 1),
        )  # fmt: skip

    def _asking(
        self, memory: GridMemory, dtype: torch.dtype, count: int
    ) -> Callable[[Tensor], _Asked]:
        """How to ask a memory some of `count` queries (Q, D)."""
        if count >= QUERIES_AT_ONCE and multiplies_matrices(dtype):
            return partial(_Whole, self._whole(memory, dtype))
        rows, columns = self._keys(dtype)

        def placed(query: Tensor) -> _Placed:
            by_column, by_row = query.chunk(2, dim=1)
            return _Placed.of(memory, rows.ask(by_row), columns.ask(by_column))

        return placed


@dataclass(frozen=True)
class _Average:
    """A memory's average (N, memory_dim), `mean`, for each query (N, D): some at a time."""

    memory: GridMemory
    query: Tensor
    pointer_keys: Tensor
    values: Sequence[Tensor]
    ask: Callable[[Tensor], _Asked]
    mean: Tensor

    def pieces(self) -> Iterator[Callable[[], None]]:
        """Each fills in some rows of `mean`."""
        count = len(self.query)
        at_once = QUERIES_AT_ONCE * _times(self.values[0].dtype)
        size = math.ceil(count / max(1, round(count / at_once)))
        for start in range(0, count, size):
            yield partial(self._fill, slice(start, min(start + size, count)))

    def _fill(self, tile: slice) -> None:
        some, memory, values = self.query[tile], self.memory, self.values
        dtype = values[0].dtype
        pointers = self.pointer_keys @ some.t() + LOG2_E * memory.pointer_bias
        shift = pointers.amax(dim=0).to(dtype)
        asked = self.ask(some.to(dtype))
        total = _sums(asked.logits(shift), values)
        if not bool(total[-1].isfinite().all()):
            # Some memory is far more like a query than any pointer is.
            shift = shift + _highest(asked.logits(shift), values).clamp(min=0)
            total = _sums(asked.logits(shift), values, hide=True)
        weights = (pointers - shift.float()).exp2_().to(dtype)
        total += memory.pointer_values @ weights
        self.mean[tile] = (total[:-1] / total[-1]).t()


def _times(dtype: torch.dtype) -> int:
    return MATRICES if multiplies_matrices(dtype) else 1


class _Asked(Protocol):
    """Q queries to a memory."""

    def logits(self, shift: Tensor) -> Iterator[Tensor]:
        """Logits (keys, Q) less `shift` (Q,), some rows of the grid at a time.

        In the order of `GridMemory.values`. The next may take the place of those before.
        """


@dataclass(frozen=True)
class _Whole:
    """Asked by whole keys, some of (keys, D + 1) at a time: `query` (Q, D)."""

    keys: Sequence[Tensor]
    query: Tensor

    def logits(self, shift: Tensor) -> Iterator[Tensor]:
        """See `_Asked`."""
        query = torch.cat((self.query, -shift[:, None]), dim=1)
        for keys in self.keys:
            yield keys @ query.t()


@dataclass(frozen=True)
class _Placed:
    """Asked by place, as `TurnedKeys` do it: (S, memory_dim + 1, Q) for rows and for columns.

    `level` (S, Q) is what the last number of every key, a 1, is multiplied with, by row.
    """

    memory: GridMemory
    by_row: Tensor
    by_column: Tensor
    level: Tensor

    @classmethod
    def of(cls, memory: GridMemory, by_row: Tensor, by_column: Tensor) -> _Placed:
        """Ask a memory."""
        return cls(memory, by_row, by_column, by_row[:, -1].clone())

    def logits(self, shift: Tensor) -> Iterator[Tensor]:
        """See `_Asked`."""
        memory, width = self.memory, self.by_row.shape[2]
        self.by_row[:, -1] = self.level - shift
        buffer = self.by_row.new_empty(memory.values[0].shape[1] * width)
        for columns, part in memory.parts():
            side, keys, _ = columns.shape
            logits = buffer[: side * keys * width].view(side, keys, width)
            torch.bmm(columns, self.by_column, out=logits)
            # The same logits by row: neighbours in a row lie as far apart as there are rows.
            same = logits.view(-1, part.stop - part.start, width).transpose(0, 1)
            same.baddbmm_(memory.rows[part], self.by_row[part])
            yield logits.flatten(0, 1)


def _sums(logits: Iterator[Tensor], values: Sequence[Tensor], *, hide: bool = False) -> Tensor:
    """Sums (memory_dim + 1, Q) of values and of ones, times exponentials of logits.

    Tokens that do not count have values of 0, and must be hidden where their exponentials may be
    infinite.
    """
    return reduce(
        torch.add,
        (
            (some @ (found + _hidden(some) if hide else found).exp2_()).float()
            for some, found in zip(values, logits, strict=True)
        ),
    )


def _highest(logits: Iterator[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Highest logit (Q,) of all that count."""
    found = [
        (some + _hidden(weighed)).amax(dim=0) for weighed, some in zip(values, logits, strict=True)
    ]
    return torch.stack(found).amax(dim=0)


def _hidden(values: Tensor) -> Tensor:
    """`HIDDEN` for each of N tokens that does not count, (N, 1)."""
    return (values[-1:].t() == 0).to(values.dtype) * HIDDEN
