"""Medical looks: cine MRI of a beating heart, ultrasound of chambers."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_sam_i2v.training.synthetic.bodies import Scene
from napari_sam_i2v.training.synthetic.chest import draw_chest, draw_tones
from napari_sam_i2v.training.synthetic.heart import heart_layers, plan_heart, truth
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.organs import mark, paint
from napari_sam_i2v.training.synthetic.ultrasound import ultrasound

__all__ = ["cine", "ultrasound"]

# A scanner's blur and noise are made here, before the field is cut: `Optics` adds hardly any.
_OPTICS = Optics(
    blur=(0.0, 0.3),
    photons=(1e5, 1e6),
    read=(0.0, 0.003),
    grain=(0.0, 0.2),
    uneven=0.0,
    flicker=0.03,
    defocus=0.0,
    invert=0.03,
    blocks=0.05,
    low=(0.01, 0.3),
    high=(0.02, 0.8),
    gamma=(0.8, 1.2),
)


def cine(stage: Stage) -> Scene:
    """Make a beating heart in its chest: cavity 1, muscle ring 2, sometimes neighbours 3 to 5."""
    rng = stage.rng
    tones, heart = draw_tones(rng), plan_heart(stage)
    chest = draw_chest(stage, heart.centre.mean(axis=0), heart.reach, tones)
    images, labels = chest.film(stage)
    paint(images, labels, heart_layers(stage, heart, tones))
    mark(labels, truth(stage, heart, ring=chance(rng, 0.96)))
    _scan(stage, images, heart.centre[0])
    return Scene(images, labels, _OPTICS)


def _scan(stage: Stage, images: np.ndarray, heart: np.ndarray) -> None:
    """Ghosts, coil sensitivity, blur, noise and the cut field of a scanner, in place."""
    rng = stage.rng
    if chance(rng, 0.35):
        _ghosts(rng, images)
    images *= _coil(rng, images.shape[1], heart)
    blur = rng.uniform(0.3, 1.3)
    for image in images:
        ndimage.gaussian_filter(image, blur, output=image, mode="nearest", truncate=3)
    _magnitude_noise(rng, images)
    if chance(rng, 0.4):
        _border(rng, images)


def _ghosts(rng: np.random.Generator, images: np.ndarray) -> None:
    """Add faint shifted copies of what pulsates, along one axis, in place."""
    moving = images - images.mean(axis=0)
    axis, shift = int(rng.integers(1, 3)), int(images.shape[1] / rng.choice([2, 3, 4]))
    for at in (shift, -shift):
        images += np.float32(log_uniform(rng, 0.02, 0.15)) * np.roll(moving, at, axis=axis)
    np.abs(images, out=images)


def _coil(rng: np.random.Generator, size: int, heart: np.ndarray) -> np.ndarray:
    """Sensitivity of a surface coil near the heart, 1 at the heart: (Y, X)."""
    at = heart + rng.normal(0, 0.35 * size, 2)
    y = (np.arange(size, dtype=np.float32) - np.float32(at[0]))[:, None]
    x = (np.arange(size, dtype=np.float32) - np.float32(at[1]))[None, :]
    depth = (np.sqrt(y * y + x * x) - np.float32(np.linalg.norm(heart - at))) / np.float32(size)
    return np.clip(np.exp(-np.float32(rng.uniform(0, 1.8)) * depth), 0.25, 2.5)


def _magnitude_noise(rng: np.random.Generator, images: np.ndarray) -> None:
    """Add noise as magnitude images have it: a floor where there is no signal; in place."""
    sigma = log_uniform(rng, 0.003, 0.045)
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    grain = rng.uniform(0, 0.9)
    if grain > 0.35:
        for plane in noise:
            ndimage.gaussian_filter(plane, grain, output=plane, mode="wrap", truncate=3)
        noise /= noise[0].std()
    noise *= np.float32(sigma)
    images += noise
    # The other channels, as one: the same noise seen from the other end of the movie.
    floor = np.float32(sigma * log_uniform(rng, 0.5, 5))
    np.hypot(images, floor + noise[::-1, ::-1, ::-1], out=images)


def _border(rng: np.random.Generator, images: np.ndarray) -> None:
    """Black out a margin with slanted sides, in place."""
    size = images.shape[1]
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slant = float(rng.normal(0, 0.08))
    half = float(rng.uniform(0.4, 0.48))
    inside = np.abs(across)[None, :] < half + slant * across[:, None]
    images *= inside if chance(rng, 0.5) else inside.T
