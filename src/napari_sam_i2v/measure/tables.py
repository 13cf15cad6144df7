"""Tables for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Table", "markdown", "markdown_rows", "plain"]


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
    rows = markdown_rows(table.header, table.rows)
    return "\n\n".join([f"**{table.title}**", *([table.note] if table.note else []), rows])


def markdown_rows(header: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Header and rows in Markdown; the first `texts` columns are text, the others are numbers."""
    rule = ["---"] * texts + ["--:"] * (len(header) - texts)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))
