"""From ideal colour images to what a video camera records: light, focus, noise, compression."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.optics import _blocks


def photograph(stage: Stage, images: np.ndarray) -> np.ndarray:
    """Record a colour movie.

    Parameters
    ----------
    stage : Stage
        The clip's randomness.
    images : np.ndarray
        float32 (T, 3, Y, X) in about 0..1, overwritten.

    Returns
    -------
    np.ndarray
        uint8 (T, Y, X, 3).
    """
    rng = stage.rng
    _light(stage, images)
    _focus(stage, images)
    _noise(rng, images)
    if chance(rng, 0.2):
        frames, channels, tall, wide = images.shape
        step = log_uniform(rng, 0.006, 0.05)
        images = _blocks(images.reshape(-1, tall, wide), step).reshape(frames, channels, tall, wide)
    images *= 255
    images += 0.5
    np.clip(images, 0, 255, out=images)
    return np.ascontiguousarray(images.astype(np.uint8).transpose(0, 2, 3, 1))


def _light(stage: Stage, images: np.ndarray) -> None:
    """Colour cast, contrast, brightness, vignetting and flicker, in place."""
    rng, (tall, wide) = stage.rng, images.shape[2:]
    level = rng.uniform(0.25, 0.6) / max(float(images[:, :, ::4, ::4].mean()), 0.05)
    gain = np.exp(rng.normal(0, 0.08, 3)) * np.clip(level, 0.6, 2.2)
    haze = rng.uniform(0, 0.35) if chance(rng, 0.2) else 0.0
    wave = np.exp(rng.normal(0, 0.03, stage.frames)) if chance(rng, 0.3) else 1.0
    factor = (np.ones((stage.frames, 1)) * gain * (1 - haze)) * np.reshape(wave, (-1, 1))
    y, x = np.linspace(-1, 1, tall)[:, None], np.linspace(-1, 1, wide)[None, :]
    field = 1 - rng.uniform(0, 0.2) * (y * y + x * x)
    images *= field.astype(np.float32)
    images *= factor.astype(np.float32)[..., None, None]
    if haze:
        images += np.float32(haze * rng.uniform(0.6, 1))


def _focus(stage: Stage, images: np.ndarray) -> None:
    """Blur a little, now and then a lot, in place."""
    rng = stage.rng
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        _soften(images, rng.uniform(0.05, 0.25))
    if chance(rng, 0.05):
        sigma = rng.uniform(0.8, 2.0)
        for frame in images:
            ndimage.gaussian_filter(frame, (0, sigma, sigma), output=frame, truncate=2)


def _soften(images: np.ndarray, weight: float) -> None:
    """Mix every pixel with its neighbours along both axes, in place."""
    w = np.float32(weight)
    for frame in images:
        frame[:, :, 1:-1] += w * (frame[:, :, 2:] + frame[:, :, :-2] - 2 * frame[:, :, 1:-1])
        frame[:, 1:-1] += w * (frame[:, 2:] + frame[:, :-2] - 2 * frame[:, 1:-1])


def _noise(rng: np.random.Generator, images: np.ndarray) -> None:
    """Add noise in place; one sheet of it is shifted from frame to frame, which is cheaper."""
    strength = np.float32(log_uniform(rng, 0.002, 0.04))
    sheet = strength * rng.standard_normal(images.shape[1:], dtype=np.float32)
    for frame in images:
        shift = rng.integers(0, images.shape[2], 2)
        frame += np.roll(sheet, shift, axis=(1, 2))
