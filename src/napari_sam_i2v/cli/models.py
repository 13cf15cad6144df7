"""`napari-sam-i2v models`: which models can be named."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.resources import files

HEADER = ("name", "variant", "input", "licence", "weights", "source")


def run(args: argparse.Namespace) -> None:
    """Print a table of models, the default first."""
    from napari_sam_i2v.network.checkpoints import MODELS, ModelInfo

    def row(info: ModelInfo) -> tuple[str, ...]:
        size = f"{info.input_size} px"
        weights = _weights(info.file)
        return (info.name, info.variant, size, info.licence, weights, info.source)

    rows = [row(info) for info in MODELS.values()]
    print(_table([HEADER, *rows]))
    print()
    for info in MODELS.values():
        print(f"{info.name}: {info.summary}")
    print("\n--model takes a name with embedded weights, or the file of any of these networks.")


def _weights(file: str | None) -> str:
    if file is None:
        return "your file"
    there = (files("napari_sam_i2v") / "weights" / file).is_file()
    return "embedded" if there else "missing"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
