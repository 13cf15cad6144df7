"""Nuclei: their textures and their outlines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, MakeShape, MakeTile, blob_shape
from napari_sam_i2v.training.synthetic.motion import Stage, deformation_rate, evolve
from napari_sam_i2v.training.synthetic.noise import chance, fractal_noise, tile_grid
from napari_sam_i2v.training.synthetic.shapes import ANGLES, Chain, Shape, Star

_KINDS = ("smooth", "grains", "puncta", "foci", "holes")


def nucleus_tiles(rng: np.random.Generator) -> MakeTile:
    """Textures of nuclei: smooth, grained or with puncta; most have dark nucleoli."""
    mixed = chance(rng, 0.5)
    usual = str(rng.choice(_KINDS))
    contrast = rng.uniform(0.3, 1.0)
    holes = rng.uniform(0, 1)

    def make(radius: float) -> np.ndarray:
        kind = str(rng.choice(_KINDS)) if mixed else usual
        tile = _chromatin(rng, radius, kind, contrast)
        if kind == "holes" or chance(rng, holes):
            tile = tile * (1 - nucleoli(rng, radius) * min(1.0, contrast + 0.2))
        return np.maximum(tile, 0.05)

    return make


def _chromatin(rng: np.random.Generator, radius: float, kind: str, contrast: float) -> np.ndarray:
    """Texture of one nucleus without its nucleoli, around 1."""
    cell = max(radius * rng.uniform(0.1, 0.3), 1.6)
    if kind in ("smooth", "holes"):
        return tiles.plain(rng, radius, grain=0.12 * contrast, cell=cell * 2)
    if kind == "grains":
        return tiles.grains(rng, radius, cell=cell, strength=rng.uniform(0.5, 1.2) * contrast)
    if kind == "puncta":
        tile = tiles.plain(rng, radius, grain=0.3 * contrast, cell=cell)
        count = int(rng.integers(8, 30))
        return tile + tiles.spots(rng, radius, count=count, width=0.07, strength=contrast + 0.3)
    return _foci(rng, radius, contrast)


def _foci(rng: np.random.Generator, radius: float, contrast: float) -> np.ndarray:
    """Dim ground with bright foci, often along the rim or in one corner."""
    n = tiles.tile_size(radius)
    mu, mv = tile_grid(n)
    reach = np.sqrt(mu * mu + mv * mv)
    field = fractal_noise(rng, (n, n), cell=max(radius * rng.uniform(0.06, 0.12), 1.5), octaves=2)
    if chance(rng, 0.5):
        where = np.exp(-(((reach - 0.88) / 0.12) ** 2))
    else:
        where = 0.4 + 0.8 * fractal_noise(rng, (n, n), cell=n / 4, octaves=1)
    sharp = np.clip(field - rng.uniform(0.3, 1.0), 0, 1.2) * np.clip(where, 0, 1.5)
    ground = tiles.plain(rng, radius, grain=0.25 * contrast, cell=max(radius * 0.15, 1.6))
    return (ground * rng.uniform(0.3, 0.7) + rng.uniform(1, 3) * sharp).astype(np.float32)


def nucleoli(rng: np.random.Generator, radius: float) -> np.ndarray:
    """Depth 0..0.85 of dark round or bar-like holes, sharp-edged; a tile."""
    n = tiles.tile_size(radius)
    mu, mv = tile_grid(n)
    depth = np.zeros((n, n), np.float32)
    sharp = rng.uniform(2, 8) * max(radius / 20, 0.5)
    for _ in range(int(rng.integers(1, 7))):
        at, turn = rng.normal(0, 0.33, 2), rng.uniform(0, np.pi)
        half = rng.uniform(0.05, 0.2)
        long = half * (rng.uniform(1.5, 3.5) if chance(rng, 0.3) else rng.uniform(1, 1.4))
        c, s = float(np.cos(turn)), float(np.sin(turn))
        u, v = (mu - at[0]) * c + (mv - at[1]) * s, (mv - at[1]) * c - (mu - at[0]) * s
        inside = 1 - np.sqrt((u / long) ** 2 + (v / half) ** 2)
        depth = np.maximum(depth, rng.uniform(0.3, 0.85) * np.clip(inside * sharp, 0, 1))
    return depth.astype(np.float32)


def nucleus_shapes(rng: np.random.Generator, odd: float) -> MakeShape:
    """Outlines of which a share `odd` are no plain blobs: kidneys, lobes, bars, fragments."""

    def make(stage: Stage, plan: CrowdPlan, radius: float) -> Shape:
        if not chance(rng, odd):
            return blob_shape(stage, plan, radius)
        draw = rng.random()
        if draw < 0.55:
            return notched_shape(stage, plan, radius)
        if draw < 0.75:
            return bar_shape(stage, radius)
        return beads_shape(stage, radius)

    return make


def notched_shape(stage: Stage, plan: CrowdPlan, radius: float) -> Star:
    """Make a blob with one to three dents that come and go slowly: kidneys, lobed nuclei."""
    rng = stage.rng
    blob = blob_shape(stage, plan, radius)
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    radii = blob.radii.copy()
    rate = deformation_rate(rng)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        at, width = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.6)
        away = np.abs((angle - at + np.pi) % (2 * np.pi) - np.pi)
        depth = np.clip(0.35 + 0.15 * evolve(rng, stage.steps, (), rate), 0, 0.6)
        radii *= (1 - depth[:, None] * np.exp(-((away / width) ** 2))).astype(np.float32)
    return Star(blob.axes, radii)


def bar_shape(stage: Stage, radius: float) -> Chain:
    """Make a short bent rod: chromosomes lined up for a division."""
    rng = stage.rng
    half = radius * rng.uniform(0.7, 1.0)
    points = np.zeros((stage.frames, 3, 2))
    points[:, 0, 0], points[:, 2, 0] = -half, half
    points[:, 1, 1] = radius * 0.15 * rng.normal()
    thick = max(radius * rng.uniform(0.25, 0.4), 1.5)
    return Chain(points, np.array([0.8 * thick, thick, 0.8 * thick]))


def beads_shape(stage: Stage, radius: float) -> Chain:
    """Make a heap of drops: the fragments of a dying nucleus."""
    rng = stage.rng
    count = int(rng.integers(3, 6))
    points = np.cumsum(rng.normal(0, 0.45 * radius, (count, 2)), axis=0)
    points -= points.mean(axis=0)
    jitter = 0.08 * radius * evolve(rng, stage.steps, (count, 2), 0.3)
    widths = np.maximum(radius * rng.uniform(0.12, 0.5, count), 1.2)
    return Chain(points[None] + jitter, widths)


def compact_is_bright(rng: np.random.Generator, bodies: list[Body]) -> list[Body]:
    """Return the bodies with those brightened whose chromatin is condensed: bars and heaps."""
    gains = [rng.uniform(1.3, 3) if isinstance(b.shape, Chain) else 1.0 for b in bodies]
    return [replace(b, gain=b.gain * g) for b, g in zip(bodies, gains, strict=True)]
