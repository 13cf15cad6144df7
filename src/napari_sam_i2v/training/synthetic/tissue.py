"""Closed cell layers: every place belongs to the nearest cell, with lines between them."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Scene
from napari_sam_i2v.training.synthetic.fluorescence import crowd_speed
from napari_sam_i2v.training.synthetic.motion import Stage, place, walk
from napari_sam_i2v.training.synthetic.noise import chance, fractal_noise, log_uniform, smooth_noise
from napari_sam_i2v.training.synthetic.optics import Optics


def _nearest(
    points: np.ndarray, weights: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the nearest cell and the distances to the nearest and the next, all (Y, X)."""
    first = np.full(np.broadcast_shapes(y.shape, x.shape), np.inf, np.float32)
    second = first.copy()
    owner = np.zeros(first.shape, np.uint8)
    for n, (point, weight) in enumerate(zip(points, weights, strict=True)):
        away = np.sqrt((y - np.float32(point[0])) ** 2 + (x - np.float32(point[1])) ** 2)
        away -= np.float32(weight)
        np.minimum(second, np.maximum(first, away), out=second)
        owner[away < first] = n
        np.minimum(first, away, out=first)
    return owner, first, second


def tissue(stage: Stage) -> Scene:
    """Make a cell layer: stained membranes, filled cells of unequal grey, or both."""
    rng, size = stage.rng, stage.size
    radius = size * log_uniform(rng, 0.055, 0.2)
    count = int(np.clip(1.1 * (size / (1.8 * radius)) ** 2, 3, 60))
    radii = radius * np.exp(rng.normal(0, 0.15, count))
    start = place(rng, radii, size, spacing=0.95, margin=radius)
    track = walk(stage, start, radii, speed=crowd_speed(rng, 0.25), spacing=0.9)
    weights = (radii - radius) * rng.uniform(0, 1)
    reach = radius * rng.uniform(1.0, 1.6) if chance(rng, 0.5) else np.inf
    grid = np.arange(size, dtype=np.float32)
    wobble = np.float32(radius * rng.uniform(0, 0.25))
    wave_y, wave_x = (wobble * smooth_noise(rng, (size, size), radius * 0.8) for _ in range(2))
    y, x = grid[:, None] + wave_y, grid[None, :] + wave_x
    fill = rng.uniform(0, 1) if chance(rng, 0.6) else 0.0
    grey = np.exp(rng.normal(0, 0.5, count)).astype(np.float32)
    line, width = rng.normal(0.3, 0.6), max(radius * rng.uniform(0.03, 0.12), 0.8)
    if not fill:
        line = 1.0 if line > 0 else -0.8
    grain = 1 + 0.3 * fractal_noise(rng, (size, size), cell=max(radius * 0.2, 2))
    ground = log_uniform(rng, 0.02, 0.3)
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    for t in range(stage.frames):
        owner, first, second = _nearest(track[t], weights, y, x)
        gap = np.minimum(second - first, 2 * np.maximum(reach - first, 0)) * np.float32(0.5)
        inside = first < reach
        edge = np.exp(-((gap * np.float32(1 / width)) ** 2))
        body = np.float32(fill) * grey[owner] * grain
        images[t] = np.where(inside, body * (1 - 0.5 * edge) + np.float32(line) * edge, 0) + ground
        labels[t] = np.where(inside, owner + 1, 0)
    images += max(0.0, -line)
    optics = Optics(photons=(15.0, 2000.0), read=(0.0, 0.08), bleach=0.4, low=(0.05, 3.0))
    return Scene(images, labels, optics)
