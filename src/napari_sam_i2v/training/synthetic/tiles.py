"""Textures of bodies: small square tiles with values around 1."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic.noise import fractal_noise, smooth_noise, tile_grid


def tile_size(radius: float) -> int:
    """Tile size for a body of the given radius: about one tile pixel per movie pixel."""
    return int(np.clip(round(radius * 2.5 / 8) * 8, 24, 240))


def plain(rng: np.random.Generator, radius: float, *, grain: float, cell: float) -> np.ndarray:
    """Mild smooth variation of relative strength `grain` over `cell` pixels."""
    n = tile_size(radius)
    return 1 + np.float32(grain) * fractal_noise(rng, (n, n), cell=cell, octaves=2)


def spots(
    rng: np.random.Generator, radius: float, *, count: int, width: float, strength: float
) -> np.ndarray:
    """Soft round spots of `width` (in radii) to be added to a tile (negative: holes)."""
    n = tile_size(radius)
    mu, mv = tile_grid(n)
    total = np.zeros((n, n), np.float32)
    for _ in range(count):
        at, r = rng.normal(0, 0.38, 2), max(width * rng.uniform(0.6, 1.5), 0.5 / radius)
        ratio = rng.uniform(0.6, 1.6)
        distance = ((mu - at[0]) / (r * ratio)) ** 2 + ((mv - at[1]) * ratio / r) ** 2
        total = np.maximum(total, np.clip(1.5 - distance, 0, 1).astype(np.float32))
    return total * np.float32(strength)


def grains(rng: np.random.Generator, radius: float, *, cell: float, strength: float) -> np.ndarray:
    """Bright specks on a darker ground, as condensed chromatin has."""
    n = tile_size(radius)
    field = fractal_noise(rng, (n, n), cell=cell, octaves=2)
    return np.float32(strength) * np.maximum(field, 0) ** 1.5 + np.float32(1 - 0.4 * strength)


def patches(rng: np.random.Generator, radius: float, *, cell: float, levels: int) -> np.ndarray:
    """Piecewise constant regions with sharp borders, values 0..1."""
    n = tile_size(radius)
    field = smooth_noise(rng, (n, n), cell)
    steps = np.searchsorted(np.sort(rng.normal(0, 0.7, levels - 1)), field)
    return rng.uniform(0, 1, levels).astype(np.float32)[steps]


def stripes(rng: np.random.Generator, radius: float, *, period: float) -> np.ndarray:
    """Wavy stripes, values 0..1; `period` in radii."""
    n = tile_size(radius)
    mu, mv = tile_grid(n)
    turn = rng.uniform(0, np.pi)
    phase = (mu * np.cos(turn) + mv * np.sin(turn)) * (2 * np.pi / period)
    bend = smooth_noise(rng, (n, n), n / 2)
    return (0.5 + 0.5 * np.sin(phase + bend)).astype(np.float32)


def ramp(rng: np.random.Generator, radius: float) -> np.ndarray:
    """Return a linear shade from about -1 to 1 across the body in a random direction."""
    mu, mv = tile_grid(tile_size(radius))
    turn = rng.uniform(0, 2 * np.pi)
    return (mu * np.cos(turn) + mv * np.sin(turn)).astype(np.float32)


def cell(
    rng: np.random.Generator, radius: float, *, roughness: float, nucleus: float
) -> np.ndarray:
    """Cytoplasm with granules, and a nucleus brighter (or darker) by about `nucleus`."""
    tile = plain(rng, radius, grain=0.3 * roughness, cell=max(radius * 0.2, 1.6))
    count = int(rng.integers(0, 16))
    tile += spots(rng, radius, count=count, width=0.06, strength=float(rng.normal(0, 0.8)))
    mu, mv = tile_grid(tile.shape[0])
    y, x = (float(c) for c in rng.normal(0, 0.12, 2))
    inside = np.clip((0.38 - np.sqrt((mu - x) ** 2 + (mv - y) ** 2)) * 8, 0, 1)
    return np.maximum(tile + np.float32(nucleus * rng.uniform(0.6, 1.2)) * inside, 0.02)
