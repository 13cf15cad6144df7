"""Which of the masks that the network offers: the one that goes with prompts, or with the past."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_i2v.network.mask_decoder import RawMasks, is_stable
from napari_sam_i2v.network.prompt_encoder import BOX_CORNERS
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View, bounding_box, box_overlap

__all__ = ["fitting_mask", "steady_masks"]


def steady_masks(raw: RawMasks, views: Sequence[View], seen: Sequence[Seen | None]) -> Tensor:
    """Numbers (B,) of the candidates with the best predicted IoU, times steadiness."""
    masks = (raw.masks[:, 1:] > 0).cpu().numpy()
    worth = raw.ious[:, 1:].float().cpu().numpy().copy()
    for row, (view, last) in enumerate(zip(views, seen, strict=True)):
        if last is None:
            continue
        side = masks.shape[-1]
        pixel = view.height * view.width / side**2
        for column, mask in enumerate(masks[row]):
            box = bounding_box(mask)
            if box is not None:
                area = float(mask.sum()) * pixel
                worth[row, column] *= last.steadiness(view.to_movie(box, side), area)
            else:
                worth[row, column] = 0
    return torch.from_numpy(1 + worth.argmax(axis=1)).to(raw.masks.device)


def fitting_mask(
    raw: RawMasks, points: NDArray[np.floating], labels: NDArray[np.integer]
) -> Tensor:
    """Number (1,) of the mask that its predicted IoU and the prompts agree on most.

    Points (P, 2) are (x, y) in mask pixels. A single point has three candidates; more prompts
    have the single mask, too, if it is stable.
    """
    first = 0 if len(points) > 1 and bool(is_stable(raw.masks[:, 0])) else 1
    masks = (raw.masks[0, first:] > 0).cpu().numpy()
    worth = [
        iou * _agreement(mask, points, labels)
        for iou, mask in zip(raw.ious[0, first:].tolist(), masks, strict=True)
    ]
    return torch.tensor([first + int(np.argmax(worth))], device=raw.masks.device)


def _agreement(
    mask: NDArray[np.bool_], points: NDArray[np.floating], labels: NDArray[np.integer]
) -> float:
    """Share of clicks that a mask agrees with, times its box's overlap with a box prompt."""
    box = bounding_box(mask)
    if box is None:
        return 0.0
    fit = 1.0
    corners = points[np.isin(labels, BOX_CORNERS)]
    if len(corners):
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
        fit = box_overlap((y0, x0, y1, x1), box)
    clicked = np.isin(labels, (0, 1))
    if clicked.any():
        x, y = np.clip(points[clicked].astype(int), 0, len(mask) - 1).T
        fit *= float((mask[y, x] == (labels[clicked] == 1)).mean())
    return fit
