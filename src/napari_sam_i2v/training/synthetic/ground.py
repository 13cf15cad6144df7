"""Backgrounds of natural scenes: ground and sky, foliage, water, walls, houses, fences."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    smooth_curve,
    smooth_noise,
)
from napari_sam_i2v.training.synthetic.palette import any_colour, coloured, ramp_of

_LAYERS = {  # what may lie above what, from the top of the picture down
    "field": ("sky", "leaves", "grass"),
    "road": ("sky", "stone", "stone"),
    "yard": ("stone", "earth"),
    "lake": ("leaves", "earth", "water"),
    "sea": ("sky", "water"),
    "track": ("sky", "leaves", "earth"),
    "forest": ("leaves", "leaves", "grass"),
    "lawn": ("grass",),
    "sand": ("earth",),
    "pond": ("water",),
    "air": ("sky",),
    "studio": ("any",),
    "room": ("any", "any"),
    "mix": ("any", "any", "any"),
}


def scenery(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paint a background, float32 (3, size, size) in about 0..1."""
    layers = _LAYERS[str(rng.choice(list(_LAYERS)))]
    canvas = _material(rng, layers[0], (size, size))
    edges = np.sort(rng.uniform(0.2, 0.75, len(layers) - 1)) * size
    for family, edge in zip(layers[1:], edges, strict=True):
        _lay(rng, canvas, family, float(edge))
    for _ in range(int(rng.poisson(3))):
        _structure(rng, canvas)
    if chance(rng, 0.35):
        _patchwork(rng, canvas)
    return canvas


def _lay(rng: np.random.Generator, canvas: np.ndarray, family: str, edge: float) -> None:
    """Cover everything below a straight, bumpy or slanted edge with a material, in place."""
    size = canvas.shape[1]
    bumps = log_uniform(rng, 0.5, size * 0.06) if chance(rng, 0.6) else 0.0
    line = edge + bumps * smooth_curve(rng, size, int(log_uniform(rng, 3, size / 6)))
    line = line + np.linspace(-1, 1, size) * rng.normal(0, 0.04) * size
    top = int(np.clip(line.min(), 0, size - 8))
    layer = _material(rng, family, (size - top, size))
    below = (np.arange(top, size)[:, None] - line[None, :]).clip(-0.5, 0.5).astype(np.float32) + 0.5
    if chance(rng, 0.4):  # a darker or brighter rim: a kerb, a bank, a shadow
        near = np.exp(-np.abs(np.arange(top, size)[:, None] - line) / log_uniform(rng, 1, 12))
        layer *= 1 + np.float32(rng.normal(0, 0.4)) * near.astype(np.float32)
    canvas[:, top:] += below * (layer - canvas[:, top:])


def _material(rng: np.random.Generator, family: str, shape: tuple[int, int]) -> np.ndarray:
    """Paint a surface of a family, float32 (3, *shape)."""
    field = _FIELDS.get(family, _plain)(rng, shape)
    slope = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(rng.normal(0, 0.3))
    return coloured(field + slope, ramp_of(rng, family))


def _plain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Wall, stone or anything: large variation, fine grain, perhaps stripes or tiles."""
    field = np.float32(rng.uniform(0.05, 0.6)) * smooth_noise(
        rng, shape, log_uniform(rng, 10, 160), stretch=log_uniform(rng, 0.3, 4)
    )
    field += np.float32(log_uniform(rng, 0.01, 0.3)) * _fine(rng, shape, log_uniform(rng, 1.5, 6))
    if chance(rng, 0.25):
        period, thick = log_uniform(rng, 6, 60), rng.uniform(0.1, 0.5)
        axis = np.arange(shape[int(rng.integers(2))]) % period < period * thick
        line = axis[None, :] if len(axis) == shape[1] and chance(rng, 0.5) else None
        line = axis[: shape[0], None] if line is None and len(axis) >= shape[0] else line
        if line is not None:
            field += np.float32(rng.normal(0, 0.5)) * line
    return field


def _leafy(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Foliage: contrasty leaves on large lights and darks, perhaps trunks."""
    cell = log_uniform(rng, 3, 14)
    field = np.float32(rng.uniform(0.3, 0.8)) * _fine(rng, shape, cell)
    field += np.float32(rng.uniform(0.2, 0.6)) * smooth_noise(rng, shape, log_uniform(rng, 20, 90))
    if chance(rng, 0.4):
        trunks = smooth_curve(rng, shape[1], max(4, int(shape[1] / log_uniform(rng, 6, 40))))
        field -= np.float32(rng.uniform(0.3, 1)) * (trunks > 0.9)[None, :].astype(np.float32)
    return field


def _rippled(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Water: flat waves, and bright reflections with sharp borders."""
    waves = smooth_noise(rng, shape, log_uniform(rng, 4, 16), stretch=log_uniform(rng, 2, 10))
    field = np.float32(rng.uniform(0.1, 0.5)) * waves
    field += np.float32(rng.uniform(0.1, 0.5)) * smooth_noise(rng, shape, 70, stretch=0.7)
    if chance(rng, 0.5):
        field += np.float32(rng.uniform(0.3, 1)) * (waves > rng.uniform(0.8, 1.8))
    return field


def _grainy(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Grass, sand or soil: grain, large patches, perhaps tracks."""
    field = np.float32(log_uniform(rng, 0.05, 0.7)) * _fine(rng, shape, log_uniform(rng, 1.5, 8))
    cell = log_uniform(rng, 20, 150)
    wide = smooth_noise(rng, shape, cell, stretch=log_uniform(rng, 1, 5))
    field += np.float32(rng.uniform(0.05, 0.6)) * wide
    if chance(rng, 0.3):
        field += np.float32(rng.normal(0, 0.5)) * (np.abs(wide) < rng.uniform(0.05, 0.3))
    return field


def _cloudy(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Sky: a smooth gradient, perhaps clouds."""
    if chance(rng, 0.4):
        return np.full(shape, rng.uniform(-0.8, 0.8), np.float32)
    cell = log_uniform(rng, 30, 120)
    clouds = fractal_noise(rng, shape, cell=cell, octaves=4)
    sharp = log_uniform(rng, 0.4, 3)
    return np.clip(clouds * np.float32(sharp) + np.float32(rng.normal(-0.3, 0.6)), -0.8, 1)


_FIELDS = {
    "grass": _grainy,
    "earth": _grainy,
    "leaves": _leafy,
    "water": _rippled,
    "sky": _cloudy,
}


def _fine(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Two octaves of noise; of fine one a quarter is made and mirrored, which is much cheaper."""
    if cell > 5:  # large enough for the symmetry to be seen
        return fractal_noise(rng, shape, cell=cell, octaves=2)
    part = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    quarter = fractal_noise(rng, part, cell=cell, octaves=2)
    half = np.concatenate([quarter, quarter[:, ::-1]], axis=1)
    return np.concatenate([half, half[::-1, ::-1]], axis=0)[: shape[0], : shape[1]]


def _structure(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Add a house with windows, a fence, a pole or a box, in place."""
    size = canvas.shape[1]
    tall, wide = (log_uniform(rng, 0.01, 0.5) * size for _ in range(2))
    top, left = (float(rng.uniform(-0.1, 0.9)) * size for _ in range(2))
    colour = any_colour(rng)
    if chance(rng, 0.6):
        _box(canvas, top, left, tall, wide, colour, opacity=rng.uniform(0.6, 1.0))
    if chance(rng, 0.5):
        rows, cols = (int(k) for k in rng.integers(1, 9, 2))
        share = rng.uniform(0.3, 0.8, 2)
        other = any_colour(rng)
        for r in range(rows):
            for c in range(cols):
                y, x = top + (r + 0.2) * tall / rows, left + (c + 0.2) * wide / cols
                _box(canvas, y, x, tall / rows * share[0], wide / cols * share[1], other)


def _box(
    canvas: np.ndarray,
    top: float,
    left: float,
    tall: float,
    wide: float,
    colour: np.ndarray,
    *,
    opacity: float = 1.0,
) -> None:
    """Fill a box, in place."""
    y, x = max(int(top), 0), max(int(left), 0)
    region = canvas[:, y : max(int(top + tall), y), x : max(int(left + wide), x)]
    region += np.float32(opacity) * (colour[:, None, None] - region)


def _patchwork(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Tint or darken large areas with sharp borders: shadows, paving, painted ground; in place."""
    size = canvas.shape[1]
    for _ in range(int(rng.integers(1, 4))):
        stretch = log_uniform(rng, 0.3, 6)
        field = smooth_noise(rng, (size, size), size / rng.uniform(2, 10), stretch=stretch)
        tint = 1 + rng.normal(0, 0.3) + rng.normal(0, 0.1, 3)
        sharp = np.float32(log_uniform(rng, 1, 40))
        share = np.clip((field - np.float32(rng.normal(0.3, 0.6))) * sharp, 0, 1)
        canvas *= 1 + share * (tint.astype(np.float32)[:, None, None] - 1)
