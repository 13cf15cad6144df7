"""Which of the masks or answers: the one that goes with prompts, or with the past."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_i2v.network.mask_decoder import RawMasks, is_stable
from napari_sam_i2v.network.prompt_encoder import BOX_CORNERS
from napari_sam_i2v.propagation.answer import Answer
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.seen import Seen, size_likeness
from napari_sam_i2v.propagation.view import View, bounding_box, box_overlap, within_box

__all__ = ["fitting_mask", "merit", "steady_masks"]

OBEYING = 0.3
"""Predicted IoU that it is worth to have all points on the right side of a mask's edge."""


def steady_masks(raw: RawMasks, views: Sequence[View], seen: Sequence[Seen | None]) -> Tensor:
    """Numbers (B,) of the candidates with the best predicted IoU, times steadiness."""
    masks = (raw.masks[:, 1:] > 0).cpu().numpy()
    worth = raw.ious[:, 1:].float().cpu().numpy().copy()
    for row, (view, last) in enumerate(zip(views, seen, strict=True)):
        if last is not None:
            worth[row] *= [_steadiness(mask, view, last) for mask in masks[row]]
    return torch.from_numpy(1 + worth.argmax(axis=1)).to(raw.masks.device)


def _steadiness(mask: NDArray[np.bool_], view: View, last: Seen) -> float:
    """How well a mask (m, m) of a view goes with where the object was seen last; 0 if empty."""
    box, side = bounding_box(mask), len(mask)
    if box is None:
        return 0.0
    pixel = view.height * view.width / side**2
    return last.steadiness(view.to_movie(box, side), float(mask.sum()) * pixel)


def fitting_mask(
    raw: RawMasks,
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    confined: bool = False,
) -> Tensor:
    """Number (1,) of the mask that its predicted IoU and the prompts agree on most.

    Points (P, 2) are (x, y) in mask pixels. A single point has three candidates; more prompts
    have the single mask, too, if it is stable. Where a box has `confined` the object, masks are
    judged by what they have inside.
    """
    first = 0 if len(points) > 1 and bool(is_stable(raw.masks[:, 0])) else 1
    masks = (raw.masks[0, first:] > 0).cpu().numpy()
    worth = [
        iou * _agreement(mask, points, labels, confined=confined)
        for iou, mask in zip(raw.ious[0, first:].tolist(), masks, strict=True)
    ]
    return torch.tensor([first + int(np.argmax(worth))], device=raw.masks.device)


def _agreement(
    mask: NDArray[np.bool_],
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    confined: bool,
) -> float:
    """Share of clicks that a mask agrees with, times its box's overlap with a box prompt."""
    fit = 1.0
    corners = points[np.isin(labels, BOX_CORNERS)][:, ::-1]
    if len(corners):
        given = (*corners.min(axis=0), *corners.max(axis=0))
        mask = within_box(mask, given) if confined else mask
        found = bounding_box(mask)
        fit = 0.0 if found is None else box_overlap(given, found)
    clicked = np.isin(labels, (0, 1))
    if clicked.any():
        x, y = np.clip(points[clicked].astype(int), 0, len(mask) - 1).T
        fit *= float((mask[y, x] == (labels[clicked] == 1)).mean())
    return fit if mask.any() else 0.0


def merit(answer: Answer, rounds: Sequence[Prompt], known: Sequence[int]) -> float:
    """How good an answer seems: predicted IoU, size, and whether it does what points say.

    `known` are areas that the object had on other frames. A click on a part that was missed may
    find that part alone: hardly ever is that all that there is of the object.
    """
    area = answer.paste().area
    alike = [size_likeness(area, one) for one in known if one]
    expected = answer.iou * max(alike, default=1.0) ** 0.5 if answer.score > 0 else 0.0
    return expected + OBEYING * _obeyed(answer, rounds)


def _obeyed(answer: Answer, rounds: Sequence[Prompt]) -> float:
    """Share of points on which an answer says what they say."""
    mask = answer.paste()
    right = [
        mask.holds(prompt.points) == (prompt.labels == 1)
        for prompt in rounds
        if prompt.points is not None
    ]
    return float(np.concatenate(right).mean()) if right else 0.0
