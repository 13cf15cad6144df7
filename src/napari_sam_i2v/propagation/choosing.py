"""Which of the masks or answers: the one that goes with prompts, or with the past."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_i2v.network.mask_decoder import RawMasks, is_stable
from napari_sam_i2v.network.prompt_encoder import BOX_CORNERS
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.prompts import Prompt, clicks, positive_points
from napari_sam_i2v.propagation.seen import Seen, size_likeness
from napari_sam_i2v.propagation.view import View, bounding_box, box_overlap, within_box

__all__ = ["fitting_masks", "merit", "steady_masks"]

OBEYING = 0.3
"""Predicted IoU that it is worth to have all points on the right side of a mask's edge."""
NEAR = 0.5
"""A click that far from a mask, in units of the mask's size, may still be meant to add to it."""


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


def fitting_masks(
    raw: RawMasks,
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    confined: bool = False,
) -> Tensor:
    """Numbers (N,) of masks, first the one that its predicted IoU and the prompts agree on most.

    Points (P, 2) are (x, y) in mask pixels. A single point has three candidates; more prompts
    have the single mask, too, if it is stable. Where a box has `confined` the object, masks are
    judged by what they have inside. Where none agrees, predicted IoU decides.
    """
    first = 0 if len(points) > 1 and bool(is_stable(raw.masks[:, 0])) else 1
    masks = (raw.masks[0, first:] > 0).cpu().numpy()
    ious = raw.ious[0, first:].tolist()
    worth = [
        (iou * _agreement(mask, points, labels, confined=confined), iou)
        for iou, mask in zip(ious, masks, strict=True)
    ]
    order = sorted(range(len(worth)), key=worth.__getitem__, reverse=True)
    return torch.tensor([first + k for k in order], device=raw.masks.device)


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


def merit(
    answer: Answer, rounds: Sequence[Prompt], known: Sequence[int], tracked: ObjectMask
) -> float:
    """How good a correction seems: predicted IoU, size, what is kept, and what points say.

    `known` are areas that the object had on other frames, `tracked` is what is corrected. A click
    on a part that was missed may find that part alone, or a neighbour: hardly ever is that all
    that there is of the object. What lies far from a click that adds is no answer to it.
    """
    mask = answer.paste()
    reached = [_is_near(point, mask) for point in positive_points(rounds)]
    alike = [size_likeness(mask.area, one) for one in known if one]
    likely = max(alike, default=1.0) * _kept(mask, tracked, rounds)
    likely *= float(np.mean(reached)) ** 2 if reached else 1.0
    expected = answer.iou * likely**0.5 if answer.score > 0 else 0.0
    return expected + OBEYING * _obeyed(answer, rounds)


def _kept(mask: ObjectMask, tracked: ObjectMask, rounds: Sequence[Prompt]) -> float:
    """Share kept of what clicks leave as it is: they add to a mask, or take away from it.

    1 where a click lies far from the mask: that has followed something else.
    """
    points, positive = clicks(rounds)
    if not (len(points) and mask.area and tracked.area):
        return 1.0
    held = tracked.holds(points)
    adds, takes = points[positive & ~held], bool((~positive & held).any())
    if not all(_is_near(point, tracked) for point in adds):
        return 1.0
    areas = mask.area, tracked.area
    if len(adds):
        left = min(areas) if takes else tracked.area
    else:
        left = mask.area if takes else max(areas)
    return mask.common(tracked) / left


def _is_near(point: NDArray[np.floating], mask: ObjectMask) -> bool:
    """Whether some of a mask lies in a square around (y, x), of its own size."""
    reach = NEAR * mask.area**0.5
    low, high = np.rint(point - reach).astype(int), np.rint(point + reach).astype(int) + 1
    y0, x0 = np.clip(low - mask.box[:2], 0, None)
    y1, x1 = np.clip(high - mask.box[:2], 0, None)
    return bool(mask.mask[y0:y1, x0:x1].any())


def _obeyed(answer: Answer, rounds: Sequence[Prompt]) -> float:
    """Share of points on which an answer says what they say."""
    points, positive = clicks(rounds)
    return float((answer.paste().holds(points) == positive).mean()) if len(points) else 0.0
