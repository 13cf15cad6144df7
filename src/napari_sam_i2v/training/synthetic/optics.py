"""From an ideal image to what a camera records: light, focus, noise, defects, contrast."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, resample, smooth_noise

Range = tuple[float, float]


@dataclass(frozen=True)
class Optics:
    """Ranges from which a clip's imaging is drawn; images are about 0 (dark) to 1 (bright).

    Attributes
    ----------
    blur : tuple of float
        Standard deviation of the point spread, pixels.
    photons : tuple of float
        Photons at brightness 1: shot noise (drawn log-uniformly).
    read : tuple of float
        Standard deviation of the additive noise.
    grain : tuple of float
        Correlation length of the noise, pixels; below 0.3 it is white.
    uneven : float
        Strength of vignetting and uneven light.
    flicker : float
        Relative change of the light from frame to frame in some clips.
    bleach : float
        Largest share of the light lost over the clip.
    defocus : float
        Probability that focus drifts or is lost on a frame.
    invert : float
        Probability of inverted contrast.
    gamma : tuple of float
        Exponent applied after the contrast stretch.
    blocks : float
        Probability of JPEG-like compression.
    low, high : tuple of float
        Percent of pixels clipped at the dark and at the bright end (drawn log-uniformly).
    saturate : float
        Probability that the brightest objects are clipped, far beyond `high`.
    coarse : float
        Probability of few grey values: a faint movie in a camera's 8 or 12 bits.
    """

    blur: Range = (0.5, 1.5)
    photons: Range = (30.0, 3000.0)
    read: Range = (0.0, 0.04)
    grain: Range = (0.0, 0.6)
    uneven: float = 0.3
    flicker: float = 0.06
    bleach: float = 0.0
    defocus: float = 0.12
    invert: float = 0.06
    gamma: Range = (0.8, 1.25)
    blocks: float = 0.1
    low: Range = (0.01, 2.0)
    high: Range = (0.01, 1.0)
    saturate: float = 0.05
    coarse: float = 0.08


def wide_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a wide Gaussian, worked out on a coarser grid; shape kept."""
    step = int(max(1, min(sigma // 2, 8)))
    if step == 1:
        return ndimage.gaussian_filter(image, sigma)
    size_y, size_x = image.shape
    coarse = np.pad(image, ((0, -size_y % step), (0, -size_x % step)), mode="edge")
    coarse = coarse.reshape(coarse.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    coarse = ndimage.gaussian_filter(coarse, sigma / step, mode="nearest")
    rows = (np.arange(size_y) + 0.5) / step - 0.5
    cols = (np.arange(size_x) + 0.5) / step - 0.5
    return resample(coarse, rows, cols)


def expose(stage: Stage, images: np.ndarray, optics: Optics) -> np.ndarray:
    """Record ideal images and map them to 8 bits, as a viewer's contrast limits do.

    Parameters
    ----------
    stage : Stage
        The clip's randomness and sampling.
    images : np.ndarray
        float32 (T, Y, X), overwritten.
    optics : Optics
        Ranges of the imaging conditions.

    Returns
    -------
    np.ndarray
        uint8 (T, Y, X).
    """
    rng = stage.rng
    images = record(stage, images, optics)
    if chance(rng, optics.invert):
        np.negative(images, out=images)
    _stretch(rng, images, optics)
    if chance(rng, optics.coarse):
        levels = np.float32(log_uniform(rng, 12, 100))
        images = np.round(images * levels) / levels
    if chance(rng, optics.blocks):
        images = _blocks(images, log_uniform(rng, 0.006, 0.05))
    return (np.clip(images, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def record(stage: Stage, images: np.ndarray, optics: Optics) -> np.ndarray:
    """Light, focus and noise of a camera, in place; brightness stays about 0 to 1."""
    rng = stage.rng
    images *= _light(rng, images.shape[1:], optics.uneven)
    images *= _dimming(stage, optics)[:, None, None]
    _focus(stage, images, optics)
    _noise(rng, images, optics)
    if chance(rng, 0.05):
        _hot_pixels(rng, images)
    return images


def _light(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """Illumination around 1: smooth variation, a slope and vignetting."""
    strength = strength * rng.random() ** 2
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    slope = float(rng.normal()) * y + float(rng.normal()) * x
    ring = -float(rng.uniform(0, 1)) * (y * y + x * x)
    field = 0.6 * slope + ring + 0.5 * smooth_noise(rng, shape, shape[0] / 2)
    return np.clip(1 + np.float32(strength) * field, 0.15, 3).astype(np.float32)


def _dimming(stage: Stage, optics: Optics) -> np.ndarray:
    """Brightness factor per frame: bleaching, lamp flicker, sometimes one dark frame."""
    rng = stage.rng
    gone = optics.bleach * rng.random()
    factor = (1 - gone) ** (np.arange(stage.frames) / max(stage.frames - 1, 1))
    if chance(rng, 0.25):
        factor = factor * np.exp(rng.normal(0, optics.flicker, stage.frames))
    if optics.bleach and chance(rng, 0.04):
        factor[rng.integers(stage.frames)] *= rng.uniform(0.3, 0.6)
    return factor.astype(np.float32)


def _focus(stage: Stage, images: np.ndarray, optics: Optics) -> None:
    """Blur every frame in place; focus may drift or be lost for a frame."""
    rng = stage.rng
    sigma = np.full(stage.frames, rng.uniform(*optics.blur))
    if chance(rng, optics.defocus):
        start, end = (float(s) for s in rng.normal(0, 1.2, 2))
        sigma += np.abs(np.linspace(start, end, stage.frames))
    if chance(rng, optics.defocus / 2):
        sigma[rng.integers(stage.frames)] += rng.uniform(1, 3)
    for t, s in enumerate(sigma):
        if s > 0.35:
            ndimage.gaussian_filter(images[t], s, output=images[t], mode="nearest", truncate=3)


def _noise(rng: np.random.Generator, images: np.ndarray, optics: Optics) -> None:
    """Add shot and read noise in place."""
    photons = log_uniform(rng, *optics.photons)
    read = rng.uniform(*optics.read)
    grain = rng.uniform(*optics.grain)
    for frame in images:  # one at a time: it stays in the cache
        noise = rng.standard_normal(frame.shape, dtype=np.float32)
        if grain > 0.3:
            ndimage.gaussian_filter(noise, grain, output=noise, mode="wrap", truncate=3)
            noise /= noise[::4].std()
        strength = np.maximum(frame, 0)
        strength *= np.float32(1 / photons)
        strength += np.float32(read * read)
        noise *= np.sqrt(strength, out=strength)
        frame += noise


def _hot_pixels(rng: np.random.Generator, images: np.ndarray) -> None:
    """Set a few pixels to a fixed bright value on all frames, in place."""
    count = int(rng.integers(1, 40))
    rows, cols = rng.integers(0, images.shape[1:], (count, 2)).T
    images[:, rows, cols] = rng.uniform(0.6, 1.5, count).astype(np.float32)


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """Return the orthonormal 8-point cosine transform, float32 (8, 8)."""
    k, n = np.arange(8)[:, None], np.arange(8)[None, :]
    table = np.cos(np.pi * k * (2 * n + 1) / 16) * 0.5
    table[0] *= 2**-0.5
    return table.astype(np.float32)


def _blocks(images: np.ndarray, step: float) -> np.ndarray:
    """Quantise 8 x 8 block cosine coefficients, more coarsely at high frequencies."""
    frames, size_y, size_x = images.shape
    padded = np.pad(images, ((0, 0), (0, -size_y % 8), (0, -size_x % 8)), mode="edge")
    table = _cosines()
    tall, wide = padded.shape[1] // 8, padded.shape[2] // 8
    coded = padded.reshape(frames, tall, 8, wide, 8) @ table.T
    coded = np.ascontiguousarray(coded.swapaxes(2, 4)) @ table.T  # now (..., x freq, ..., y freq)
    k = np.arange(8, dtype=np.float32)
    quantum = (np.float32(step) * (1 + k[:, None] + k[None, :]))[None, None, :, None, :]
    coded = np.round(coded / quantum) * quantum
    plain = np.ascontiguousarray((coded @ table).swapaxes(2, 4)) @ table
    return plain.reshape(padded.shape)[:, :size_y, :size_x]


def _stretch(rng: np.random.Generator, images: np.ndarray, optics: Optics) -> None:
    """Map the clip's robust range to 0..1 in place, with one mapping for all frames."""
    sample = images[:, 1::3, 1::3]
    low = log_uniform(rng, *optics.low)
    clipped = log_uniform(rng, *optics.high)
    if chance(rng, optics.saturate):
        clipped = max(clipped, log_uniform(rng, 1.0, 8.0))
    high = 100 - clipped
    lo, hi = (float(p) for p in np.percentile(sample, [low, high]))
    images -= np.float32(lo)
    images *= np.float32(1 / max(hi - lo, 1e-6))
    np.clip(images, 0, 1, out=images)
    gamma = rng.uniform(*optics.gamma)
    if abs(gamma - 1) > 0.05:
        np.power(images, np.float32(gamma), out=images)
