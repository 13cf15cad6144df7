"""What the network is trained on: masks, predicted IoUs and object presence, as published."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.network.mask_decoder import RawMasks

__all__ = ["MASK_WEIGHT", "candidate_losses", "frame_loss", "soft_iou"]

MASK_WEIGHT = 20.0
"""Weight of the focal loss; dice, IoU and presence have weight 1."""
OTHERS = 0.02
"""Weight of the other candidates' masks, so that they stay alive."""
LEFT_OUT = 0.4
"""Share of objects of which a candidate is left out."""
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


def candidate_losses(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Focal and dice loss, each (B, M), of logits (B, M, h, w) against targets (B, 1, h, w)."""
    target = target.expand_as(logits)
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    agreement = probability * target + (1 - probability) * (1 - target)
    alpha = FOCAL_ALPHA * target + (1 - FOCAL_ALPHA) * (1 - target)
    focal = (alpha * (1 - agreement) ** FOCAL_GAMMA * entropy).flatten(2).mean(-1)
    overlap = 2 * (probability * target).flatten(2).sum(-1)
    total = probability.flatten(2).sum(-1) + target.flatten(2).sum(-1)
    return focal, 1 - (overlap + 1) / (total + 1)


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union (B, M) of thresholded logits with a target of at least a half."""
    mask, truth = logits > 0, (target >= 0.5).expand_as(logits)
    union = (mask | truth).flatten(2).sum(-1)
    return (mask & truth).flatten(2).sum(-1) / union.clamp(min=1)


def frame_loss(
    raw: RawMasks, target: Tensor, *, multimask: bool, rng: np.random.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Loss of one frame's answer.

    Parameters
    ----------
    raw
        The decoder's masks for B objects.
    target
        (B, 1, h, w) true share of each pixel, on a grid of any size.
    multimask
        Whether the three candidates (of which the best one learns the mask) or the single mask
        answers.
    rng
        Leaves out a candidate of some objects at random. Otherwise one candidate that is ahead
        early on gets all there is to learn, and an ambiguous click has but one answer.

    Returns
    -------
    tuple of Tensor
        The summed loss, averaged over objects, and the IoU (B,) of the mask that would have
        been shown; NaN for absent objects.
    """
    chosen = slice(1, None) if multimask else slice(0, 1)
    logits = F.interpolate(raw.masks[:, chosen].float(), size=target.shape[-2:], mode="bilinear")
    present = (target.flatten(1).amax(1) >= 0.5).float()
    focal, dice = candidate_losses(logits, target)
    mask_loss = MASK_WEIGHT * focal + dice
    with torch.no_grad():
        true_iou = soft_iou(logits, target)
    predicted = raw.ious[:, chosen].float()
    # Predicted IoUs of every candidate learn; the mask of the best only.
    iou_loss = (predicted - true_iou).abs().mean(1)
    standing = mask_loss + _left_out(mask_loss, rng)
    best = standing.min(dim=1).values + OTHERS * mask_loss.mean(dim=1)
    per_object = present * (best + iou_loss)
    score = F.binary_cross_entropy_with_logits(raw.score[:, 0].float(), present, reduction="none")
    shown = true_iou.gather(1, predicted.argmax(1, keepdim=True))[:, 0]
    shown = torch.where(present > 0, shown, torch.nan)
    return (per_object + score).mean(), shown.detach()


def _left_out(losses: Tensor, rng: np.random.Generator | None) -> Tensor:
    """Infinity at the candidates (B, M) that are left out, 0 elsewhere."""
    penalty = torch.zeros_like(losses)
    count, candidates = losses.shape
    if rng is None or candidates == 1:
        return penalty
    drop = torch.from_numpy(rng.random(count) < LEFT_OUT).to(losses.device)
    which = torch.from_numpy(rng.integers(candidates, size=count)).to(losses.device)
    penalty[drop, which[drop]] = torch.inf
    return penalty
