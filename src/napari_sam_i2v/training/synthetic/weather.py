"""What lies over or under the figures of a natural scene: shadows, poles, foliage, smoke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam_i2v.training.synthetic.figures import Figure
from napari_sam_i2v.training.synthetic.motion import Stage, evolve
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, smooth_noise
from napari_sam_i2v.training.synthetic.palette import FAMILIES, coloured, ramp_of


def _clipped_box(
    size: int, centre: tuple[float, float], half: tuple[float, float]
) -> tuple[slice, slice]:
    """Rows and columns of a box (y, x), clipped to the field."""
    return tuple(
        slice(max(0, int(c - h)), max(0, min(size, int(c + h) + 1)))
        for c, h in zip(centre, half, strict=True)
    )  # type: ignore[return-value]


def _offsets(
    box: tuple[slice, slice], centre: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances (h, 1) and (1, w) from a centre within a box."""
    rows, cols = (
        (np.arange(s.start, s.stop) - c).astype(np.float32)
        for s, c in zip(box, centre, strict=True)
    )
    return rows[:, None], cols[None, :]


def cast_shadow(image: np.ndarray, figure: Figure, t: int, dark: float) -> None:
    """Darken a flat oval of ground under a figure's feet, in place."""
    matrix, (y, x) = figure.pose.matrix[t], figure.pose.centre[t]
    wide = 1.1 * float(np.abs(matrix[0]).max()) * max(figure.foot, 1.0) + 4
    centre = (float(y + abs(matrix[1, 1]) * figure.foot), float(x) + 0.2 * wide)
    box = _clipped_box(image.shape[1], centre, (0.3 * wide, wide))
    if box[0].start >= box[0].stop or box[1].start >= box[1].stop:
        return
    dy, dx = _offsets(box, centre)
    share = np.clip(2 - 2 * ((dy / (0.3 * wide)) ** 2 + (dx / wide) ** 2), 0, 1)
    image[(slice(None), *box)] *= 1 - np.float32(dark) * share


@dataclass(frozen=True)
class Cover:
    """Something near the camera that hides what is behind: `tile` (3, n, n), `mask` (n, n)."""

    tile: np.ndarray
    mask: np.ndarray

    def __call__(self, image: np.ndarray, labels: np.ndarray, at: np.ndarray, t: int) -> None:
        """Draw over image and labels with its corner at `at` (y, x), repeating; in place."""
        n, size = self.mask.shape[0], image.shape[1]
        rows, cols = ((np.arange(size) - round(float(a))) % n for a in at)
        hidden = self.mask[rows][:, cols]
        image[:, hidden] = self.tile[:, rows][:, :, cols][:, hidden]
        labels[hidden] = 0


def make_cover(stage: Stage) -> Cover:
    """Make a pole, bars of a fence, or foliage that reaches into the picture."""
    rng = stage.rng
    n = int(stage.size * 1.3)
    ramp = ramp_of(rng, str(rng.choice(FAMILIES)))
    along = np.arange(n, dtype=np.float32)
    if chance(rng, 0.7):
        slant = rng.normal(0, 0.15) * along[:, None]
        across = (along[None, :] + slant - rng.uniform(0, n)) % n
        half = stage.size * log_uniform(rng, 0.01, 0.07)
        mask = np.abs(across - n / 2) < half
        if chance(rng, 0.25):
            mask |= np.abs(across - n / 2 + n * rng.uniform(0.1, 0.4)) < half
        shade = np.broadcast_to((across - n / 2) / np.float32(half), (n, n))
        field = 0.4 * shade + 0.2 * smooth_noise(rng, (n, n), log_uniform(rng, 2, 30))
        flip = chance(rng, 0.35)
        return Cover(coloured(field.T if flip else field, ramp), mask.T if flip else mask)
    field = smooth_noise(rng, (n, n), log_uniform(rng, 4, 20))
    where = smooth_noise(rng, (n, n), n / 4)
    mask = field + 1.5 * where > rng.uniform(2.0, 3.2)
    return Cover(coloured(0.5 * field - 0.3, ramp), mask)


@dataclass(frozen=True)
class Smoke:
    """A cloud that follows a figure: colour (3,), noise (n, n), places and half-widths (T, 2)."""

    colour: np.ndarray
    sheet: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    dense: float

    def __call__(self, image: np.ndarray, t: int) -> None:
        """Mix the cloud into the image, in place."""
        (y, x), (tall, wide) = self.centre[t], self.half[t]
        box = _clipped_box(image.shape[1], (y, x), (tall, wide))
        if box[0].start >= box[0].stop or box[1].start >= box[1].stop:
            return
        dy, dx = _offsets(box, (y, x))
        rows = (dy[:, 0].astype(int) + 5 * t) % self.sheet.shape[0]
        cols = dx[0].astype(int) % self.sheet.shape[1]
        puff = self.sheet[rows][:, cols]
        round_ = np.clip(1 - (dy / tall) ** 2 - (dx / wide) ** 2, 0, 1)
        share = np.clip(round_ * (2 + puff), 0, 1)
        region = image[(slice(None), *box)]
        region += np.float32(self.dense) * share * (self.colour[:, None, None] - region)


def make_smoke(stage: Stage, figure: Figure) -> Smoke:
    """Make smoke, dust or spray beside a figure, growing and drifting."""
    rng, size = stage.rng, stage.size
    sheet = smooth_noise(rng, (size, size), log_uniform(rng, 8, 40))
    scale = max(figure.foot, size * 0.05)
    side = rng.normal(0, 0.8, 2) * scale * (0.5, 1.5)
    drift = np.cumsum(evolve(rng, stage.steps, (2,), 0.1), axis=0) * scale * 0.05
    growth = np.exp(np.linspace(-0.4, 0.4, stage.frames) * rng.normal(0, 1))[:, None]
    half = scale * np.array([rng.uniform(0.5, 1.5), rng.uniform(0.8, 3.0)]) * growth
    colour = (rng.uniform(0.5, 1.0) + rng.normal(0, 0.05, 3)).astype(np.float32)
    dense = float(rng.uniform(0.2, 0.8))
    return Smoke(colour, sheet, figure.pose.centre + side + drift, np.maximum(half, 4), dense)
