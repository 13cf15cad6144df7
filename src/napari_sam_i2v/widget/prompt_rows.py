"""Rounds of prompting as rows of a layer, and whether two of them are the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.propagation.prompts import Prompt, PromptBook
from napari_sam_i2v.widget.layers import column
from napari_sam_i2v.widget.placing import DECIMALS, Placing

Features = dict[str, list[int]]


def rounds_that_matter(prompts: Iterable[Prompt]) -> list[Prompt]:
    """Leave out what a later box or mask replaced; by object, frame and order of prompting."""
    book = PromptBook(prompts)
    return [
        prompt
        for object_id in book.object_ids
        for frame in book.frames(object_id)
        for prompt in book.rounds(object_id, frame)
    ]


def click_rows(prompts: Iterable[Prompt], placing: Placing) -> tuple[NDArray[Any], Features]:
    """Return the points of prompts in a layer's data coordinates (N, axes), and features."""
    rows = [
        (placing.back(prompt.frame, y, x), prompt.object_id, label)
        for prompt in prompts
        for y, x, label in _clicks(prompt)
    ]
    features = {"object_id": [row[1] for row in rows], "label": [row[2] for row in rows]}
    return np.array([row[0] for row in rows]), features


def box_rows(prompts: Iterable[Prompt], placing: Placing) -> tuple[list[NDArray[Any]], Features]:
    """Return the corners of boxes in a layer's data coordinates (4, axes) each, and features."""
    boxes = [(prompt, prompt.box) for prompt in prompts if prompt.box is not None]
    data = [
        np.array([placing.back(p.frame, y, x) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))])
        for p, (y0, x0, y1, x1) in boxes
    ]
    return data, {"object_id": [prompt.object_id for prompt, _ in boxes]}


def holds(layer: Any, n_rows: int, data: Sequence[NDArray[Any]], features: Features) -> bool:
    """Whether a layer's first rows are these, in this order, and no more."""
    return (
        n_rows == len(data)
        and all(
            a.shape == b.shape and np.allclose(a, b, rtol=0, atol=0.5 * 10**-DECIMALS)
            for a, b in zip(layer.data[:n_rows], data, strict=True)
        )
        and all(column(layer, name)[:n_rows] == values for name, values in features.items())
    )


def same_rounds(a: Iterable[Prompt], b: Iterable[Prompt]) -> bool:
    """Whether rounds on a frame ask for the same: to 1/100 pixel, however points are grouped."""
    return _flat(a) == _flat(b)


def apart(rounds: Iterable[Prompt]) -> list[Prompt]:
    """Return rounds of one box, mask or click each, as the layers are read."""
    single: list[Prompt] = []
    for prompt in rounds:
        if prompt.box is not None or prompt.mask is not None:
            single.append(replace(prompt, points=None, labels=None))
        single += [
            Prompt(prompt.object_id, prompt.frame, points=np.array([(y, x)]), labels=np.array([on]))
            for y, x, on in _clicks(prompt)
        ]
    return single


def _flat(rounds: Iterable[Prompt]) -> list[Any]:
    flat: list[Any] = []
    for prompt in rounds:
        if prompt.mask is not None:
            flat.append((prompt.mask.shape, prompt.mask.tobytes()))
        if prompt.box is not None:
            flat.append(tuple(round(value, DECIMALS) for value in prompt.box))
        flat += [(round(y, DECIMALS), round(x, DECIMALS), on) for y, x, on in _clicks(prompt)]
    return flat


def _clicks(prompt: Prompt) -> list[tuple[float, float, int]]:
    """Return (y, x, label) of each point."""
    if prompt.points is None or prompt.labels is None:
        return []
    labels = prompt.labels.tolist()
    return [(y, x, on) for (y, x), on in zip(prompt.points.tolist(), labels, strict=True)]
