"""Prompts to files; `prompt_files` documents the formats and reads them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.movies.output import write_text

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.prompts import Prompt

__all__ = ["prompt_entries", "prompts_as_json", "write_prompts"]

# Prompts never change, and a session writes all of them after every click: masks are run through
# once only.
_MASKS: WeakKeyDictionary[Prompt, dict[str, Any]] = WeakKeyDictionary()


def write_prompts(
    path: str | os.PathLike[str], prompts: Iterable[Prompt], *, overwrite: bool = False
) -> Path:
    """Write prompts as .csv (points only) or .json (points, boxes and masks).

    JSON keeps the rounds of an object on a frame apart, and the order of the prompts; CSV puts the
    points of an object on a frame together.

    Raises
    ------
    PromptError
        If the file's ending is another one, or CSV cannot hold a prompt.
    OutputError
        If the file exists and `overwrite` is off, or it cannot be written.
    """
    target = Path(path)
    kinds = {".csv": _as_csv, ".json": prompts_as_json}
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
            what = "is marked “not here”" if one.absent else "has a box or a mask"
            raise PromptError(
                f"CSV holds points only; object {one.object_id} on frame {one.frame} {what}: "
                "write .json"
            )
        lines += [
            f"{one.object_id},{one.frame},{_plain(y)},{_plain(x)},{label}"
            for y, x, label in _points_of(one)
        ]
    return "\n".join(lines) + "\n"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def prompts_as_json(prompts: Iterable[Prompt]) -> str:
    """Text of a .json file of prompts."""
    lines = ",\n".join(f"  {json.dumps(entry)}" for entry in prompt_entries(prompts))
    return f'{{"prompts": [\n{lines}\n]}}\n'


def prompt_entries(prompts: Iterable[Prompt]) -> list[dict[str, Any]]:
    """Plain values of prompts; those of one object and frame say which round they are."""
    listed = list(prompts)
    total = Counter((one.object_id, one.frame) for one in listed)
    turn: Counter[tuple[int, int]] = Counter()
    entries = []
    for one in listed:
        key = one.object_id, one.frame
        turn[key] += 1
        entries.append(prompt_entry(one) | ({"round": turn[key]} if total[key] > 1 else {}))
    return entries


def prompt_entry(prompt: Prompt) -> dict[str, Any]:
    """Plain values of one prompt, as JSON files have them; it does not say which round it is."""
    entry: dict[str, Any] = {"object_id": int(prompt.object_id), "frame": int(prompt.frame)}
    if points := _points_of(prompt):
        entry |= {"points": [[y, x] for y, x, _ in points], "labels": [n for *_, n in points]}
    if prompt.box is not None:
        entry["box"] = [float(side) for side in prompt.box]
    if prompt.mask is not None:
        entry["mask"] = _mask_entry(prompt)
    if prompt.correction:
        entry["correction"] = True
    return entry


def _mask_entry(prompt: Prompt) -> dict[str, Any]:
    if prompt not in _MASKS:
        mask = np.asarray(prompt.mask, bool)
        _MASKS[prompt] = {"shape": list(mask.shape), "runs": _runs_of_mask(mask)}
    return _MASKS[prompt]


def _runs_of_mask(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[False], np.asarray(mask, bool).ravel()])
    edges = np.flatnonzero(np.diff(flat))
    return [int(n) for n in np.diff([0, *edges, mask.size])]
