"""Tracking without memory, for the ablation: each frame's mask is handed to the next as a prompt.

The mask is re-cropped to the next window and given as a mask prompt, with its most interior point
as a click. Where an object is not found, its last mask is kept.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from napari_sam_i2v.network.sam_i2v import LOGIT_CLAMP, Decoded, SamI2V
from napari_sam_i2v.propagation.view import interior_point
from napari_sam_i2v.training.beginning import OFFSET
from napari_sam_i2v.training.forward import Outcome, answer_prompts, correct
from napari_sam_i2v.training.losses import frame_loss
from napari_sam_i2v.training.recrop import recrop
from napari_sam_i2v.training.samples import Batch

__all__ = ["answer_handed", "hand_over_step", "held_after", "image_feature"]


def hand_over_step(
    model: SamI2V,
    batch: Batch,
    rng: np.random.Generator,
    *,
    clicks: int = 2,
    integrator: bool = True,
) -> Outcome:
    """Train tracking by hand-over, on video features or, without integrator, on image features."""
    count, frames = batch.clips.shape[:2]
    clips = batch.clips.flatten(0, 1)
    levels = model.encode_image(clips[:, :, -1])
    encoded = model.encode_frame(clips, levels) if integrator else image_feature(levels)
    features = encoded.unflatten(0, (count, frames))
    corrected = int(rng.integers(1, frames)) if frames > 1 and rng.random() < 0.3 else -1
    total, answer, prompted_iou = answer_prompts(
        model, features[:, 0], batch.targets[:, 0], rng, clicks=clicks, masks=frames > 1
    )
    held = held_after(answer.low, answer.low)
    ious: list[Tensor] = []
    for t in range(1, frames):
        feature, target = features[:, t], batch.targets[:, t]
        held = recrop(held, batch.moves[:, t])
        answer = answer_handed(model, feature, held)
        if answer.raw is None:
            raise RuntimeError("Prompts give raw masks.")
        loss, shown = frame_loss(answer.raw, target, multimask=True)
        ious.append(shown)
        if t == corrected:
            extra, answer = correct(model, feature, target, rng, None, answer)
            loss = 0.5 * (loss + extra)
        total = total + loss
        held = held_after(answer.low, held)
    tracked = float(torch.cat(ious).nanmean()) if ious else float("nan")
    return Outcome(total / frames, prompted_iou, tracked)


def image_feature(levels: list[Tensor]) -> Tensor:
    """Feature (B, hidden_dim, h, w) that an upgraded network has without its integrator.

    That is the image trunk's, lifted as by `start_from_image`, so that the decoder, which takes
    the lift away, answers as the image SAM did.
    """
    return levels[-1] + OFFSET


def answer_handed(model: SamI2V, feature: Tensor, held: Tensor) -> Decoded:
    """Answer handed masks, logits (B, 1, m, m), and a click on each."""
    masks = (held[:, 0] > 0).cpu().numpy()
    centre = masks.shape[-1] // 2
    places = [interior_point(mask) if mask.any() else (centre, centre) for mask in masks]
    scale = model.config.image_size / masks.shape[-1]
    xy = (torch.tensor(places, dtype=torch.float32).flip(1)[:, None] + 0.5) * scale - 0.5
    labels = torch.ones(len(places), 1, dtype=torch.long, device=feature.device)
    return model.decode_prompts(
        feature, xy.to(feature.device), labels, mask_logits=held, multimask=True
    )


def held_after(low: Tensor, held: Tensor) -> Tensor:
    """Hold the newest logits (B, 1, m, m) that show an object, as a prompt: clamped, detached."""
    low = low.detach().float().clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
    held = held.detach().float().clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
    return torch.where((low > 0).flatten(1).any(1)[:, None, None, None], low, held)
