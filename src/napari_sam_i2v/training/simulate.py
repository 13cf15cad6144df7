"""A simulated user: first prompts, and corrections placed where the answer is wrong."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_i2v.network.prompt_encoder import BOX_CORNERS
from napari_sam_i2v.propagation.view import interior_point

__all__ = ["PromptKind", "box_prompt", "correction_click", "first_click"]

PromptKind = Literal["click", "box", "mask"]


def first_click(targets: Tensor, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """One positive click per object: its most interior point, or anywhere on it.

    Maps targets (B, 1, h, w) to points (B, 1, 2) in network pixels (x, y) and labels (B, 1).
    """
    points = []
    for target in targets[:, 0].cpu().numpy():
        mask = target >= 0.5
        if not mask.any():
            mask = target >= target.max()
        interior = rng.random() < 0.5
        points.append(interior_point(mask) if interior else _any_point(mask, rng))
    return _as_prompt(points, np.ones(len(points)), targets, size)


def correction_click(
    logits: Tensor, targets: Tensor, size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """One click per object in the larger error region: positive if missed, negative if false.

    Half of the clicks sit at the region's most interior point, half anywhere in it.
    """
    resized = torch.nn.functional.interpolate(
        logits.float(), size=targets.shape[-2:], mode="bilinear"
    )
    points, labels = [], []
    for answer, target in zip(
        (resized[:, 0] > 0).cpu().numpy(), (targets[:, 0] >= 0.5).cpu().numpy(), strict=True
    ):
        missed, false = target & ~answer, answer & ~target
        if not missed.any() and not false.any():
            missed = target if target.any() else np.ones_like(target)
            false = ~missed if not target.any() else false
        positive = missed.sum() >= false.sum() and target.any()
        region = missed if positive else (false if false.any() else ~target)
        points.append(interior_point(region) if rng.random() < 0.5 else _any_point(region, rng))
        labels.append(float(positive))
    return _as_prompt(points, np.array(labels), targets, size)


def box_prompt(targets: Tensor, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A loosely drawn box per object as two corner points (B, 2, 2) with labels (B, 2)."""
    corners = []
    for target in targets[:, 0].cpu().numpy():
        rows, columns = np.nonzero(target >= min(0.5, target.max()))
        low = np.array([columns.min(), rows.min()], float)
        high = np.array([columns.max() + 1, rows.max() + 1], float)
        loose = np.minimum(0.1 * (high - low), 0.1 * target.shape[0])
        corners.append([low + rng.normal(0, 0.5, 2) * loose, high + rng.normal(0, 0.5, 2) * loose])
    scale = size / targets.shape[-1]
    points = torch.tensor(np.array(corners) * scale, dtype=torch.float32, device=targets.device)
    labels = torch.tensor([BOX_CORNERS] * len(corners), device=targets.device)
    return points.clamp(0, size), labels


def _any_point(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    i = rng.integers(len(rows))
    return int(rows[i]), int(columns[i])


def _as_prompt(
    points: list[tuple[int, int]], labels: NDArray[np.floating], targets: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    scale = size / targets.shape[-1]
    xy = (np.array(points, float)[:, ::-1] + 0.5) * scale - 0.5
    device = targets.device
    return (
        torch.tensor(xy.copy(), dtype=torch.float32, device=device)[:, None],
        torch.tensor(labels, dtype=torch.long, device=device)[:, None],
    )
