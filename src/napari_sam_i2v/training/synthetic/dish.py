"""What lies around cells in transmitted light: uneven ground, dust out of focus, debris."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Body
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, grow_crowd
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, fractal_noise, log_uniform, smooth_noise


def dish(stage: Stage, strength: float) -> np.ndarray:
    """Background of a culture dish around 0, (Y, X), weaker than the cells' `strength`."""
    rng, size = stage.rng, stage.size
    field = log_uniform(rng, 0.03, 0.35) * smooth_noise(rng, (size, size), size / 2)
    cell = log_uniform(rng, 3, 40)
    field += log_uniform(rng, 0.005, 0.08) * fractal_noise(rng, (size, size), cell=cell, octaves=3)
    if chance(rng, 0.35):
        field += _slope(rng, size) * log_uniform(rng, 0.1, 0.8)
    for _ in range(int(rng.poisson(3))):
        _add_dust(rng, field, log_uniform(rng, 0.01, 0.1) * size)
    return (field * np.float32(strength)).astype(np.float32)


def _slope(rng: np.random.Generator, size: int) -> np.ndarray:
    """Light that rises from one side to the other, -1 to 1, (Y, X)."""
    turn = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return axis[:, None] * np.float32(np.sin(turn)) + axis[None, :] * np.float32(np.cos(turn))


def _add_dust(rng: np.random.Generator, field: np.ndarray, radius: float) -> None:
    """Add one out-of-focus ring, capsule or smear to the field, in place."""
    size = field.shape[0]
    centre = rng.uniform(0, size, 2)
    long = radius * rng.uniform(0.5, 2) if chance(rng, 0.3) else 0.0
    (y0, x0), (y1, x1) = (
        np.clip(centre + s * (2.2 * radius + long + 3), 0, size).astype(int) for s in (-1, 1)
    )
    y = (np.arange(y0, y1, dtype=np.float32) - np.float32(centre[0]))[:, None]
    x = (np.arange(x0, x1, dtype=np.float32) - np.float32(centre[1]))[None, :]
    beyond = np.maximum(np.abs(x) - np.float32(long), 0)
    distance = np.sqrt(y * y * np.float32(rng.uniform(0.6, 1.6)) + beyond * beyond)
    thick = np.float32(rng.uniform(0.1, 0.3) * radius + 1)
    ring = np.exp(-(((distance - np.float32(radius)) / thick) ** 2))
    if chance(rng, 0.6):  # seen from one side only
        turn = rng.uniform(0, 2 * np.pi)
        reach = radius + long
        ring = ring * (y * np.float32(np.sin(turn) / reach) + x * np.float32(np.cos(turn) / reach))
    field[y0:y1, x0:x1] += np.float32(rng.normal(0, 0.35)) * ring


def debris(stage: Stage, count: int) -> list[Body]:
    """Small unlabelled specks that lie on the dish; those of negative gain are bright."""
    if not count:
        return []
    radius = log_uniform(stage.rng, 0.8, 3.0)
    plan = CrowdPlan(count, radius, spread=0.5, lobes=0.4, speed=0.01, spacing=0.0)
    bodies = grow_crowd(stage, plan, lambda r: np.ones((24, 24), np.float32))
    sign = stage.rng.choice([-0.4, 1.0, 1.0], len(bodies))
    return [replace(b, ident=0, gain=b.gain * s) for b, s in zip(bodies, sign, strict=True)]
