"""Pieces that figures are made of: rounded parts, chains of segments, stiff outlines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam_i2v.training.synthetic.figures import Part
from napari_sam_i2v.training.synthetic.motion import (
    Stage,
    contour_coefficients,
    deformation_rate,
)
from napari_sam_i2v.training.synthetic.palette import surface
from napari_sam_i2v.training.synthetic.shapes import (
    ANGLES,
    Chain,
    Star,
    fourier_radii,
)

Made = tuple[list[Part], float]
"""Parts from back to front, and how far below the origin the figure stands."""


def still(stage: Stage, value: Sequence[float] | np.ndarray) -> np.ndarray:
    """Repeat a value for every frame: (T, len(value))."""
    return np.tile(np.asarray(value, float), (stage.frames, 1))


def blob(
    stage: Stage,
    at: np.ndarray,
    axes: tuple[float, float],
    colour: np.ndarray,
    *,
    angle: np.ndarray | float = 0.0,
    lobes: float = 0.1,
) -> Part:
    """Make a rounded part at `at` (T, 2) with semi-axes in pixels."""
    rng = stage.rng
    rate = deformation_rate(rng)
    weights = contour_coefficients(rng, stage.steps, lobes=lobes, rate=rate, orders=5)
    size = np.maximum(still(stage, axes), 1.0)
    tile = surface(rng, max(axes), colour)
    turn = np.broadcast_to(np.asarray(angle, float), (stage.frames,))
    return Part(Star(size, fourier_radii(weights)), tile, at, turn)


def limb(
    stage: Stage,
    root: np.ndarray,
    angles: Sequence[np.ndarray],
    lengths: Sequence[float],
    widths: Sequence[float],
    colour: np.ndarray,
) -> tuple[Part, np.ndarray]:
    """Make a chain of segments from `root` (T, 2) along `angles` (T,); also return its tip."""
    points = [root]
    for angle, length in zip(angles, lengths, strict=True):
        points.append(points[-1] + np.stack([np.cos(angle), np.sin(angle)], axis=1) * length)
    corners = np.stack(points, axis=1)
    middle = (corners.min(axis=1) + corners.max(axis=1)) / 2
    chain = Chain(corners - middle[:, None], np.maximum(np.array(widths, float), 0.8))
    tile = surface(stage.rng, float(sum(lengths)) / 2, colour)
    return Part(chain, tile, middle, np.zeros(stage.frames)), corners[:, -1]


def profile_radii(points: np.ndarray) -> np.ndarray:
    """Radius table, float32 (1, ANGLES), of a polygon (N, 2) that the origin sees all of."""
    turn = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    corners = points[np.argsort(turn)]
    turn = np.sort(turn)
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    after = np.searchsorted(turn, angle) % len(turn)
    p, q = corners[after - 1], corners[after]
    edge = q - p
    facing = np.cos(angle) * edge[:, 1] - np.sin(angle) * edge[:, 0]
    radii = (p[:, 0] * edge[:, 1] - p[:, 1] * edge[:, 0]) / np.where(facing == 0, 1e-9, facing)
    return np.clip(np.abs(radii), 0.05, 3.0).astype(np.float32)[None]


def profile(stage: Stage, points: np.ndarray, radius: float, colour: np.ndarray) -> Part:
    """Make a stiff part from its outline (N, 2) in radii."""
    middle = points.mean(axis=0)
    table = np.repeat(profile_radii(points - middle), stage.frames, axis=0)
    tile = surface(stage.rng, radius, colour)
    shape = Star(still(stage, (radius, radius)), table)
    return Part(shape, tile, still(stage, middle * radius), np.zeros(stage.frames))
