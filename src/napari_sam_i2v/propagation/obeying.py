"""Clicks are obeyed: what is clicked on belongs to the object, or does not, as the user says.

A network takes clicks as hints. Where its answer to them leaves one on the wrong side of the
mask's edge, its logits are bent around that click, as far as the click lies from the edge: what it
was unsure of goes with the click, and what it was sure of stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_i2v.propagation.answer import Answer
from napari_sam_i2v.propagation.prompts import Prompt, clicks

__all__ = ["obeying"]

MARGIN = 0.5
"""Logit that a click has on its side of the edge, at least."""
REACH = 1.4
"""Standard deviation of what is bent, in distances from the click to the edge."""
LEAST, MOST = 1 / 32, 1 / 8
"""Its limits, in sides of the view."""
APART = 0.5
"""Its limit by the nearest click that says the opposite, in distances to that."""
PASSES = 2
"""How often all clicks are gone through, as one may undo what another did."""


def obeying(answer: Answer, rounds: Sequence[Prompt]) -> Answer:
    """Bend an answer's mask where it does not do what clicks say.

    Clicks outside its view change nothing, and neither do any where it is empty, or was given.
    """
    places, signs = _in_view(answer, rounds)
    if answer.exact is not None or not len(places):
        return answer
    logits = answer.low[0].float().cpu().numpy().astype(np.float64)
    bent = logits
    for _ in range(PASSES):
        for number, (place, sign) in enumerate(zip(places, signs, strict=True)):
            opposite = np.delete(places, number, axis=0)[np.delete(signs, number) != sign]
            limit = APART * min((float(np.hypot(*(place - o))) for o in opposite), default=np.inf)
            bent = _bent(bent, place, sign, limit)
    if bent is logits:
        return answer
    return replace(answer, low=torch.from_numpy(bent[None]).to(answer.low))


def _in_view(
    answer: Answer, rounds: Sequence[Prompt]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Clicks in the view: (N, 2) in cells of its logits (y, x), and (N,) 1 or -1."""
    view, side = answer.view, answer.low.shape[-1]
    points, positive = clicks(rounds)
    share = (np.rint(points) + 0.5 - (view.y, view.x)) / (view.height, view.width)
    inside = ((share >= 0) & (share <= 1)).all(axis=1)
    cells = (share * side - 0.5).clip(0, side - 1)
    return cells[inside], np.where(positive, 1, -1)[inside]


def _bent(
    logits: NDArray[np.float64], place: NDArray[np.float64], sign: int, limit: float
) -> NDArray[np.float64]:
    """Logits (m, m) in which a click, in cells (y, x), is on its side; the same if it was."""
    side = len(logits)
    right = sign * logits > 0
    short = MARGIN - sign * _at(logits, place)
    if short <= MARGIN or not (logits > 0).any() or not right.any():
        return logits
    distance = float(_at(ndimage.distance_transform_edt(~right), place))
    width = min(max(REACH * distance, LEAST * side), MOST * side, max(limit, 0.5))
    y, x = np.mgrid[:side, :side] - place[:, None, None]
    bump = np.exp(-(y**2 + x**2) / (2 * width**2))
    return logits + sign * short / _at(bump, place) * bump


def _at(plane: NDArray[np.float64], place: NDArray[np.float64]) -> float:
    """Value between cells, as masks are interpolated."""
    return float(ndimage.map_coordinates(plane, place[:, None], order=1, mode="nearest")[0])
