"""One training sample through the network: the image step and the video step (paper, sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.network.memory_filter import Selection, select
from napari_sam_i2v.network.sam_i2v import LOGIT_CLAMP, Decoded, Memory, SamI2V
from napari_sam_i2v.training.losses import frame_loss
from napari_sam_i2v.training.recrop import handed_over
from napari_sam_i2v.training.samples import Batch
from napari_sam_i2v.training.simulate import box_prompt, correction_click, first_click

__all__ = ["Outcome", "answer_prompts", "correct", "image_step", "video_step"]

CLICK_SHARE, BOX_SHARE = 0.5, 0.28
"""How first prompts are shared out: clicks, boxes, the rest masks."""
CORRECTED_SHARE, MOST_CORRECTIONS = 0.5, 3
"""Share of clips with corrections on one or two tracked frames, and clicks on each at most."""


@dataclass(frozen=True)
class Outcome:
    """Loss of a batch, IoU on the prompted frame, mean IoU over the frames after it."""

    loss: Tensor
    prompted_iou: float
    tracked_iou: float


@dataclass
class _Remembered:
    spatial: Tensor
    foreground: Tensor
    pointer: Tensor


def image_step(
    model: SamI2V, batch: Batch, rng: np.random.Generator, *, clicks: int = 3
) -> Outcome:
    """Train the image SAM on every frame of a batch by itself: no integrator, no memory."""
    clips, targets = batch.clips.flatten(0, 1), batch.targets.flatten(0, 1)
    feature = model.encode_image(clips[:, :, -1])[-1]
    visible = targets.flatten(1).amax(1) >= 0.5
    feature, targets = feature[visible], targets[visible]
    loss, _, iou = answer_prompts(model, feature, targets, rng, clicks=clicks, masks=False)
    return Outcome(loss, iou, float("nan"))


def video_step(
    model: SamI2V,
    batch: Batch,
    rng: np.random.Generator,
    *,
    clicks: int = 2,
    memory_prompts: bool = True,
) -> Outcome:
    """Train tracking: prompts on the first frame, memory from there, now and then a correction.

    Without `memory_prompts`, an ablation, memory conditions features and makes no prompt tokens.
    """
    count, frames = batch.clips.shape[:2]
    clips = batch.clips.flatten(0, 1)
    levels = model.encode_image(clips[:, :, -1])
    features = model.encode_frame(clips, levels).unflatten(0, (count, frames))
    bank: dict[int, _Remembered] = {}
    conditioning = [0]
    corrected = _corrected_frames(frames, rng)
    total = features.new_zeros(())
    ious: list[Tensor] = []
    prompted_iou = float("nan")
    for t in range(frames):
        feature, target = features[:, t], batch.targets[:, t]
        if t == 0:
            loss, answer, prompted_iou = answer_prompts(
                model, feature, target, rng, clicks=clicks, masks=frames > 1
            )
        else:
            memory = _recall(model, bank, conditioning, t, rng)
            handed = None
            if model.config.fine_dim:
                handed = handed_over(answer.low, batch.moves[:, t], rng)
            answer = model.track(feature, memory, handed, memory_prompts=memory_prompts)
            if answer.raw is None:
                raise RuntimeError("Tracking gives raw masks.")
            loss, shown = frame_loss(answer.raw, target, multimask=True)
            ious.append(shown)
            if t in corrected:
                seen = feature if memory_prompts else _conditioned(model, feature, memory)
                told = memory if memory_prompts else None
                extra, answer = correct(model, seen, target, rng, told, answer)
                loss = 0.5 * (loss + extra)
                conditioning.append(t)
        total = total + loss
        if t + 1 < frames:
            bank[t] = _remember(model, feature, answer, prompted=t in conditioning)
    tracked = float(torch.cat(ious).nanmean()) if ious else float("nan")
    return Outcome(total / frames, prompted_iou, tracked)


def _corrected_frames(frames: int, rng: np.random.Generator) -> list[int]:
    """One or two tracked frames that get corrections, or none."""
    later = rng.permutation(np.arange(1, frames))
    count = int(rng.integers(1, 3)) if rng.random() < CORRECTED_SHARE else 0
    return [int(t) for t in later[:count]]


def answer_prompts(
    model: SamI2V,
    feature: Tensor,
    target: Tensor,
    rng: np.random.Generator,
    *,
    clicks: int,
    masks: bool,
) -> tuple[Tensor, Decoded, float]:
    """Answer a first prompt, then up to `clicks` corrections; the mean loss of all answers."""
    size = model.config.image_size
    kind = rng.random()
    if kind >= CLICK_SHARE + BOX_SHARE and masks:
        return _given_mask(model, feature, target)
    make = first_click if kind < CLICK_SHARE else box_prompt
    points, labels = make(target, size, rng)
    rounds = 1 + int(rng.integers(clicks + 1))
    losses: list[Tensor] = []
    previous: Tensor | None = None
    for _ in range(rounds):
        if previous is not None:
            points, labels = _another(points, labels, previous, target, size, rng)
        multimask = points.shape[1] <= 1
        answer = model.decode_prompts(
            feature, points, labels, mask_logits=previous, multimask=multimask
        )
        if answer.raw is None:
            raise RuntimeError("Prompts give raw masks.")
        loss, shown = frame_loss(answer.raw, target, multimask=multimask, rng=rng)
        losses.append(loss)
        previous = answer.low.detach().clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
    return torch.stack(losses).mean(), answer, float(shown.nanmean())


def _another(
    points: Tensor,
    labels: Tensor,
    low: Tensor,
    target: Tensor,
    size: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    more, kinds = correction_click(low, target, size, rng)
    return torch.cat((points, more), dim=1), torch.cat((labels, kinds), dim=1)


def _given_mask(model: SamI2V, feature: Tensor, target: Tensor) -> tuple[Tensor, Decoded, float]:
    """A mask prompt is its own answer; only what is remembered of it learns, on later frames."""
    side = model.config.image_size
    mask = (F.interpolate(target, size=(side, side), mode="bilinear") >= 0.5).float()
    return feature.new_zeros(()), model.use_mask(feature, mask), float("nan")


def _conditioned(model: SamI2V, feature: Tensor, memory: Memory) -> Tensor:
    """Feature that is conditioned on memory already, to be decoded as one that has none."""
    none = model.no_mem_embed.transpose(1, 2)[..., None]  # what decoding without memory adds
    seen = model.condition(feature, model.recall(memory)) - none
    return torch.cat((seen, feature[:, model.config.hidden_dim :]), dim=1)


def correct(
    model: SamI2V,
    feature: Tensor,
    target: Tensor,
    rng: np.random.Generator,
    memory: Memory | None,
    answer: Decoded,
) -> tuple[Tensor, Decoded]:
    """Up to three correction clicks on a tracked frame, each seeing memory and the last mask."""
    size = model.config.image_size
    points, labels = correction_click(answer.low.detach(), target, size, rng)
    losses: list[Tensor] = []
    for n in range(1 + int(rng.integers(MOST_CORRECTIONS))):
        if n:
            points, labels = _another(points, labels, answer.low.detach(), target, size, rng)
        multimask = points.shape[1] <= 1
        answer = model.decode_prompts(
            feature, points, labels, memory=memory, multimask=multimask,
            mask_logits=answer.low.detach().clamp(-LOGIT_CLAMP, LOGIT_CLAMP),
        )  # fmt: skip
        if answer.raw is None:
            raise RuntimeError("Prompts give raw masks.")
        losses.append(frame_loss(answer.raw, target, multimask=multimask)[0])
    return torch.stack(losses).mean(), answer


def _remember(model: SamI2V, feature: Tensor, answer: Decoded, *, prompted: bool) -> _Remembered:
    high = model.upsample(answer.low)
    spatial = model.remember(feature, high, answer.score, prompted=prompted)
    return _Remembered(spatial.float(), model.foreground(answer.low), answer.pointer.float())


def _recall(
    model: SamI2V,
    bank: dict[int, _Remembered],
    conditioning: list[int],
    t: int,
    rng: np.random.Generator,
) -> Memory:
    """Memory for frame `t`, drawn as filtering would, with windows short enough for a clip."""
    cfg = model.config
    others = [x for x in bank if x not in conditioning]
    recent = int(rng.integers(2, cfg.local_window + 1))
    local = _draw([x for x in others if x >= t - recent], cfg.local_picks, rng)
    older = _draw([x for x in others if x < t - recent], cfg.global_picks, rng)
    chosen = select(cfg, t, conditioning=conditioning, global_picks=older, local_picks=local)
    return stack_memory(
        [bank[x] for x in chosen.frames], [bank[x].pointer for x in chosen.pointer_frames], chosen
    )


def _draw(frames: list[int], count: int, rng: np.random.Generator) -> list[int]:
    chosen = rng.permutation(len(frames))[:count]
    return sorted(frames[i] for i in chosen)


def stack_memory(entries: list[_Remembered], pointers: list[Tensor], chosen: Selection) -> Memory:
    """Memory of a batch whose objects all remember the same frames."""
    batch, device = entries[0].spatial.shape[0], entries[0].spatial.device

    def row(values: tuple[float, ...], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device).expand(batch, -1)

    return Memory(
        spatial=torch.stack([e.spatial for e in entries], dim=1),
        foreground=torch.stack([e.foreground for e in entries], dim=1),
        time_positions=row(chosen.time_positions, torch.long),
        copies=row(chosen.copies, torch.float32),
        pointers=torch.stack(pointers, dim=1),
        pointer_values=row(chosen.pointer_values, torch.float32),
        pointer_copies=row(chosen.pointer_copies, torch.float32),
    )
