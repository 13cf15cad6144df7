"""Prompts to files; `prompt_files` documents the formats and reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.movies.output import write_text

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.prompts import Prompt

__all__ = ["write_prompts"]


def write_prompts(
    path: str | os.PathLike[str], prompts: Iterable[Prompt], *, overwrite: bool = False
) -> Path:
    """Write prompts as .csv (points only) or .json (points, boxes and masks).

    Raises
    ------
    PromptError
        If the file's ending is another one, or CSV cannot hold a prompt.
    OutputError
        If the file exists and `overwrite` is off, or it cannot be written.
    """
    target = Path(path)
    kinds = {".csv": _as_csv, ".json": _as_json}
    if target.suffix.lower() not in kinds:
        raise PromptError(f"prompts are written as .csv or .json, got {target.name!r}")
    text = kinds[target.suffix.lower()](list(prompts))
    return write_text(target, text, overwrite=overwrite)


def _points_of(prompt: Prompt) -> list[tuple[float, float, int]]:
    if prompt.points is None:
        return []
    labels = np.ones(len(prompt.points), int) if prompt.labels is None else prompt.labels
    return [(float(y), float(x), int(n)) for (y, x), n in zip(prompt.points, labels, strict=True)]


def _as_csv(prompts: list[Prompt]) -> str:
    lines = ["object_id,frame,y,x,label"]
    for one in prompts:
        if one.box is not None or one.mask is not None:
            raise PromptError(
                f"CSV holds points only; object {one.object_id} on frame {one.frame} has a box or "
                "a mask: write .json"
            )
        lines += [
            f"{one.object_id},{one.frame},{_plain(y)},{_plain(x)},{label}"
            for y, x, label in _points_of(one)
        ]
    return "\n".join(lines) + "\n"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def _as_json(prompts: list[Prompt]) -> str:
    lines = ",\n".join(f"  {json.dumps(prompt_entry(one))}" for one in prompts)
    return f'{{"prompts": [\n{lines}\n]}}\n'


def prompt_entry(prompt: Prompt) -> dict[str, Any]:
    """Plain values of a prompt, as JSON files have them."""
    entry: dict[str, Any] = {"object_id": int(prompt.object_id), "frame": int(prompt.frame)}
    if points := _points_of(prompt):
        entry |= {"points": [[y, x] for y, x, _ in points], "labels": [n for *_, n in points]}
    if prompt.box is not None:
        entry["box"] = [float(side) for side in prompt.box]
    if prompt.mask is not None:
        mask = np.asarray(prompt.mask, bool)
        entry["mask"] = {"shape": list(mask.shape), "runs": _runs_of_mask(mask)}
    if prompt.correction:
        entry["correction"] = True
    return entry


def _runs_of_mask(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[False], np.asarray(mask, bool).ravel()])
    edges = np.flatnonzero(np.diff(flat))
    return [int(n) for n in np.diff([0, *edges, mask.size])]
