"""Masks of one frame as the window of the next shows them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.network.sam_i2v import LOGIT_CLAMP, MASK_LOGIT

__all__ = ["handed_over", "recrop"]

FORGOTTEN = 0.1
"""Share of objects that are not handed over: they are tracked from memory alone."""


def recrop(logits: Tensor, moves: Tensor) -> Tensor:
    """Show logits (B, 1, m, m) through the next windows; `moves` (B, 4) as in `samples.moved`.

    What lies outside the window before is background.
    """
    scale_y, scale_x, y, x = moves.float().unbind(1)
    zero = torch.zeros_like(y)
    rows = (torch.stack((scale_x, zero, x), dim=1), torch.stack((zero, scale_y, y), dim=1))
    grid = F.affine_grid(torch.stack(rows, dim=1), list(logits.shape), align_corners=False)
    lifted = logits.float().clamp(-LOGIT_CLAMP, LOGIT_CLAMP) + LOGIT_CLAMP
    return F.grid_sample(lifted, grid, align_corners=False) - LOGIT_CLAMP


def handed_over(low: Tensor, moves: Tensor, rng: np.random.Generator) -> Tensor:
    """What tracking is handed (B, 1, m, m) of the answers (B, 1, m, m) of the frame before.

    These are masks without doubt, as labels are, and none for some objects.
    """
    fine = F.interpolate(low.detach().float(), scale_factor=2, mode="bilinear")
    certain = torch.where(fine > 0, MASK_LOGIT, -MASK_LOGIT)
    shown = F.avg_pool2d(recrop(certain, moves).clamp(min=-MASK_LOGIT), 2)
    forgotten = torch.from_numpy(rng.random(len(low)) < FORGOTTEN).to(low.device)
    return torch.where(forgotten[:, None, None, None], -MASK_LOGIT, shown)
