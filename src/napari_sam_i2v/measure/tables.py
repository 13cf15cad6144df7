"""Tables for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table", "markdown", "plain"]


@dataclass(frozen=True)
class Table:
    """A heading, a header and rows; the first column is text, the others are numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def plain(table: Table) -> str:
    """Columns one below the other, for a terminal."""
    cells = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([table.title, *([table.note] if table.note else []), *lines])


def markdown(table: Table) -> str:
    """Title, note and table in Markdown."""
    rule = ["---", *["--:"] * (len(table.header) - 1)]
    lines = ["| " + " | ".join(row) + " |" for row in (table.header, rule, *table.rows)]
    return "\n\n".join([f"**{table.title}**", *([table.note] if table.note else []),
                        "\n".join(lines)])  # fmt: skip
