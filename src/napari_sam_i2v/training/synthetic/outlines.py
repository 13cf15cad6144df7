"""Outlines of kinds of cells: with arms, ragged, rods."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, blob_shape
from napari_sam_i2v.training.synthetic.motion import Stage, deformation_rate, evolve
from napari_sam_i2v.training.synthetic.noise import fractal_noise, log_uniform
from napari_sam_i2v.training.synthetic.shapes import Chain, Shape, Star, Union


def _along(angle: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Vectors (T, 2) of given directions and lengths (T,)."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * length[:, None]


def arm(stage: Stage, radius: float, direction: float, rate: float) -> Chain:
    """Make a thin protrusion that grows and shrinks, pointing along `direction`."""
    rng = stage.rng
    length = radius * np.maximum(rng.uniform(0.6, 3.0) + evolve(rng, stage.steps, (), rate), 0.3)
    turn = direction + 0.25 * evolve(rng, stage.steps, (), rate)
    bend = turn + 0.35 * evolve(rng, stage.steps, (), rate)
    points = np.zeros((stage.frames, 3, 2))
    points[:, 1] = _along(turn, 0.5 * length + radius * 0.3)
    points[:, 2] = points[:, 1] + _along(bend, 0.5 * length)
    tip = max(0.8, radius * rng.uniform(0.04, 0.2))
    return Chain(points, np.array([radius * 0.6, max(radius * 0.25, 1.0), tip]))


def armed_shape(stage: Stage, plan: CrowdPlan, radius: float) -> Shape:
    """Make a cell body with up to four protrusions: spindles, stars, drops."""
    rng = stage.rng
    core = blob_shape(stage, plan, radius)
    count = int(rng.choice([0, 1, 2, 2, 3, 4]))
    rate = deformation_rate(rng) * 2
    first = rng.normal(0, 0.3)
    turns = [first + np.pi * (k % 2) + (k // 2) * rng.normal(0, 0.7) for k in range(count)]
    return Union(core, tuple(arm(stage, radius, float(turn), rate) for turn in turns))


def ragged_shape(stage: Stage, plan: CrowdPlan, radius: float) -> Star:
    """Make a spread cell with a ragged edge."""
    core = blob_shape(stage, plan, radius)
    n = tiles.tile_size(radius)
    cell = max(radius * stage.rng.uniform(0.15, 0.4), 2)
    rough = fractal_noise(stage.rng, (n, n), cell=cell, octaves=2)
    return Star(core.axes, core.radii, rough * np.float32(radius * 0.07))


def spread_shape(stage: Stage, plan: CrowdPlan, radius: float) -> Shape:
    """Make a ragged sheet, now and then with a tail."""
    sheet = ragged_shape(stage, plan, radius)
    rng = stage.rng
    if rng.random() < 0.6:
        return sheet
    rate = deformation_rate(rng)
    return Union(sheet, (arm(stage, radius * 0.5, float(rng.uniform(0, 2 * np.pi)), rate),))


def rod_shape(stage: Stage, plan: CrowdPlan, radius: float) -> Chain:
    """Make a bent rod that grows along its axis; `plan.aspect` is length over width, less one."""
    rng = stage.rng
    ratio = 1 + plan.aspect * rng.uniform(0.6, 1.4)
    half_width = max(radius / ratio**0.5, 1.5)
    growth = 1 + np.cumsum(stage.steps) * log_uniform(rng, 0.001, 0.04)
    half = half_width * (ratio - 1) * growth
    bend = half * 0.12 * (rng.normal() + 0.5 * evolve(rng, stage.steps, (), 0.05))
    points = np.zeros((stage.frames, 4, 2))
    for k, place in enumerate((-1.0, -0.33, 0.33, 1.0)):
        points[:, k, 0] = half * place
        points[:, k, 1] = bend * (0.5 - place**2)
    return Chain(points, np.full(4, half_width))
