"""Figures: coloured parts that move together under one identity, posed by a matrix per frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Patch
from napari_sam_i2v.training.synthetic.noise import TILE_REACH
from napari_sam_i2v.training.synthetic.shapes import Shape


@dataclass(frozen=True)
class Part:
    """One part of a figure, in the figure's own coordinates (u along, v down, pixels).

    Attributes
    ----------
    shape : Shape
        Outline around the part's own origin.
    tile : np.ndarray
        float32 (3, n, n) surface, looked up with the material coordinates.
    offset : np.ndarray
        (T, 2) place (u, v) of the part's origin.
    angle : np.ndarray
        (T,) rotation in radians, as a wheel spins.
    """

    shape: Shape
    tile: np.ndarray
    offset: np.ndarray
    angle: np.ndarray


@dataclass(frozen=True)
class Pose:
    """Where a figure is: `centre` (T, 2) as (y, x), `matrix` (T, 2, 2) from (u, v) to (x, y)."""

    centre: np.ndarray
    matrix: np.ndarray

    def mirrored(self, foot: float) -> Pose:
        """The pose of a reflection in a level surface `foot` figure pixels below the centre."""
        down = self.matrix[:, 1, 1] * foot
        centre = self.centre + np.stack([2 * down, np.zeros_like(down)], axis=1)
        return Pose(centre, self.matrix * np.array([[1.0], [-1.0]]))


@dataclass(frozen=True)
class Figure:
    """Parts from back to front, with one label; 0 is a figure that is seen but is no object.

    `foot` is how far below the origin it stands, in figure pixels; `soft` is the width of its
    edges in pixels.
    """

    ident: int
    parts: tuple[Part, ...]
    pose: Pose
    foot: float
    soft: float = 1.2

    def reflected(self) -> Figure:
        """Return its unlabelled mirror image below its foot."""
        return replace(self, ident=0, pose=self.pose.mirrored(self.foot), soft=self.soft + 2)


def make_pose(
    centre: np.ndarray, angle: np.ndarray, scale: np.ndarray, narrow: np.ndarray, *, flip: bool
) -> Pose:
    """Pose from (T,) rotation, size and foreshortening of the figure's length."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([c, -s], axis=1), np.stack([s, c], axis=1)], axis=1)
    along = scale * narrow * (-1 if flip else 1)
    return Pose(centre, turn * np.stack([along, scale], axis=1)[:, None, :])


def part_patch(part: Part, pose: Pose, t: int, size: int, margin: float = 3.0) -> Patch | None:
    """Draw a part's level in its box, or None where it lies outside of the field."""
    # Plain floats: this runs a thousand times per clip, mostly on small boxes.
    x, y, (a, b, c, d) = _placed(part, pose, t)
    reach = part.shape.reach(t)
    wide, tall = reach * math.hypot(a, b) + margin, reach * math.hypot(c, d) + margin
    x0, x1 = max(0, int(x - wide)), min(size, int(x + wide) + 2)
    y0, y1 = max(0, int(y - tall)), min(size, int(y + tall) + 2)
    if y0 >= y1 or x0 >= x1:
        return None
    dx = np.arange(x0 - x, x1 - x - 0.5, dtype=np.float32)[None, :]
    dy = np.arange(y0 - y, y1 - y - 0.5, dtype=np.float32)[:, None]
    area = a * d - b * c
    level, mu, mv = part.shape.level(
        (d / area) * dx - (b / area) * dy, (a / area) * dy - (c / area) * dx, t
    )
    return Patch((slice(y0, y1), slice(x0, x1)), level * math.sqrt(abs(area)), mu, mv)


def _placed(part: Part, pose: Pose, t: int) -> tuple[float, float, tuple[float, ...]]:
    """Place (x, y) of a part's origin, and its matrix from (u, v) to (x, y) row by row."""
    (p, q), (r, s) = pose.matrix[t].tolist()
    u, v = part.offset[t].tolist()
    y, x = pose.centre[t].tolist()
    turn = float(part.angle[t])
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = (p * cos + q * sin, q * cos - p * sin, r * cos + s * sin, s * cos - r * sin)
    return x + p * u + q * v, y + r * u + s * v, matrix


def part_colours(part: Part, patch: Patch) -> np.ndarray:
    """Return the part's surface on a patch, float32 (3, h, w)."""
    n = part.tile.shape[1]
    half = np.float32(n / 2 / TILE_REACH)
    row = np.clip(patch.mv * half + np.float32(n / 2), 0, n - 1).astype(np.int32)
    col = np.clip(patch.mu * half + np.float32(n / 2), 0, n - 1).astype(np.int32)
    return np.take(part.tile.reshape(3, -1), row * n + col, axis=1)


def paint(
    image: np.ndarray, labels: np.ndarray | None, figure: Figure, t: int, *, opacity: float = 1.0
) -> None:
    """Paint a figure over an image (3, Y, X), and its id over the labels (Y, X), in place."""
    size = image.shape[1]
    for part in figure.parts:
        patch = part_patch(part, figure.pose, t, size)
        if patch is None:
            continue
        region = image[(slice(None), *patch.box)]
        cover = patch.cover(figure.soft) * np.float32(opacity)
        region += cover * (part_colours(part, patch) - region)
        if labels is not None:
            labels[patch.box][patch.level > 0] = figure.ident
