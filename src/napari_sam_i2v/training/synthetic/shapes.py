"""Outlines that change with time, as level functions in a body's own coordinates.

A level is about the distance to the outline in pixels, positive inside. Material coordinates
(mu, mv) run over about -1..1 inside the outline and follow its deformation, so a texture looked
up with them moves with the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from napari_sam_i2v.training.synthetic.noise import sample_tile

ANGLES = 1024  # entries of a radius table; a power of two, so that wrapping is a bit mask


class Shape(Protocol):
    """What a body needs of an outline."""

    def reach(self, t: int) -> float:
        """Largest distance of the outline from the origin on frame t, in pixels."""

    def level(
        self, u: np.ndarray, v: np.ndarray, t: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Level and material coordinates at body coordinates u (along), v (across), pixels."""


@dataclass(frozen=True)
class Star:
    """A star-convex outline: a radius per angle, stretched along two axes.

    Attributes
    ----------
    axes : np.ndarray
        (T, 2) semi-axes in pixels.
    radii : np.ndarray
        float32 (T, ANGLES) relative radii around 1.
    rough : np.ndarray or None
        Square tile added to the level (pixels): ragged, not star-convex edges.
    """

    axes: np.ndarray
    radii: np.ndarray
    rough: np.ndarray | None = None

    def reach(self, t: int) -> float:
        """Largest distance of the outline from the origin on frame t, in pixels."""
        extra = 0.0 if self.rough is None else float(np.abs(self.rough).max())
        return float(self.axes[t].max() * self.radii[t].max()) + extra

    def level(
        self, u: np.ndarray, v: np.ndarray, t: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Level and material coordinates at body coordinates u (along), v (across), pixels."""
        a, b = (float(axis) for axis in self.axes[t])
        un, vn = u * (1 / a), v * (1 / b)
        rho = np.sqrt(un * un + vn * vn) + np.float32(1e-4)
        angle = (np.arctan2(vn, un) * np.float32(ANGLES / (2 * np.pi))).astype(np.int32)
        radius = self.radii[t][angle & (ANGLES - 1)]
        if abs(a - b) < 0.02 * a:
            level = (radius - rho) * a
        else:  # divide by the gradient of rho, so that the level is a distance
            slope = np.sqrt((un * un) * (1 / a**2) + (vn * vn) * (1 / b**2)) + np.float32(1e-6)
            level = (radius - rho) * rho / slope
        mu, mv = un / radius, vn / radius
        if self.rough is not None:
            level = level + sample_tile(self.rough, mu, mv)
        return level, mu, mv


def _segment_level(
    u: np.ndarray, v: np.ndarray, p: np.ndarray, q: np.ndarray, width: tuple[float, float]
) -> np.ndarray:
    """Level of a tapered capsule from p to q (pixels) with half-widths width[0] and width[1]."""
    du, dv = float(q[0] - p[0]), float(q[1] - p[1])
    ru, rv = u - float(p[0]), v - float(p[1])
    along = np.clip((ru * du + rv * dv) * (1 / (du * du + dv * dv + 1e-6)), 0, 1)
    across_u, across_v = ru - along * du, rv - along * dv
    radius = width[0] + along * (width[1] - width[0])
    return radius - np.sqrt(across_u * across_u + across_v * across_v)


@dataclass(frozen=True)
class Chain:
    """Tapered capsules in a row: rods, worms, arms and limbs.

    Attributes
    ----------
    points : np.ndarray
        (T, M, 2) corners as (u, v) in pixels.
    widths : np.ndarray
        (M,) half-widths at the corners, in pixels.
    """

    points: np.ndarray
    widths: np.ndarray

    def reach(self, t: int) -> float:
        """Largest distance of the outline from the origin on frame t, in pixels."""
        return float((np.hypot(*self.points[t].T) + self.widths).max())

    def level(
        self, u: np.ndarray, v: np.ndarray, t: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Level and material coordinates at body coordinates u (along), v (across), pixels."""
        points, widths = self.points[t], [float(w) for w in self.widths]
        level = _segment_level(u, v, points[0], points[1], (widths[0], widths[1]))
        for k in range(1, len(points) - 1):
            pair = (widths[k], widths[k + 1])
            np.maximum(level, _segment_level(u, v, points[k], points[k + 1], pair), out=level)
        scale = 1 / self.reach(t)
        return level, u * scale, v * scale


@dataclass(frozen=True)
class Union:
    """A core with further parts grown out of it: cells with protrusions."""

    core: Star
    parts: tuple[Chain, ...]

    def reach(self, t: int) -> float:
        """Largest distance of the outline from the origin on frame t, in pixels."""
        return max([self.core.reach(t), *(part.reach(t) for part in self.parts)])

    def level(
        self, u: np.ndarray, v: np.ndarray, t: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Level and material coordinates at body coordinates u (along), v (across), pixels."""
        level, mu, mv = self.core.level(u, v, t)
        for part in self.parts:
            level = np.maximum(level, part.level(u, v, t)[0])
        return level, mu, mv


def fourier_radii(coefficients: np.ndarray) -> np.ndarray:
    """Radius tables from Fourier coefficients.

    Parameters
    ----------
    coefficients : np.ndarray
        (T, N, 2) cosine and sine weights of the orders 2 .. N + 1.

    Returns
    -------
    np.ndarray
        float32 (T, ANGLES), kept within 0.35 .. 1.9.
    """
    weights = coefficients.reshape(len(coefficients), -1).astype(np.float32)
    return np.clip(weights @ _waves(coefficients.shape[1]) + np.float32(1), 0.35, 1.9)


@lru_cache(maxsize=8)
def _waves(orders: int) -> np.ndarray:
    """Cosine and sine of the orders 2, 3, ... over all angles, float32 (2 * orders, ANGLES)."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    turns = np.outer(np.arange(2, orders + 2), angle)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).reshape(-1, ANGLES).astype(np.float32)


def polygon_radii(rng: np.random.Generator, frames: int, corners: int) -> np.ndarray:
    """Radius tables, float32 (T, ANGLES), of one random convex polygon."""
    turn = (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) * (2 * np.pi / corners)
    distance = rng.uniform(0.75, 1.0, corners)
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    facing = np.cos(angle[None, :] - turn[:, None]) / distance[:, None]
    radii = 1 / np.maximum(facing.max(axis=0), 0.5)
    return np.broadcast_to(radii.astype(np.float32), (frames, ANGLES))
