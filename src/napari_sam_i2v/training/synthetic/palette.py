"""Colours of natural scenes and the painted surfaces made of them; arrays are planar (3, Y, X)."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    smooth_noise,
    tile_grid,
)

_LEVELS = 128

_FAMILIES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    # ranges of hue, saturation and value
    "grass": ((0.17, 0.36), (0.25, 0.7), (0.15, 0.7)),
    "leaves": ((0.19, 0.38), (0.3, 0.85), (0.02, 0.75)),
    "earth": ((0.04, 0.14), (0.1, 0.5), (0.25, 0.85)),
    "stone": ((0.0, 1.0), (0.0, 0.12), (0.15, 0.9)),
    "water": ((0.2, 0.62), (0.15, 0.7), (0.05, 0.65)),
    "sky": ((0.53, 0.64), (0.0, 0.6), (0.65, 1.0)),
    "any": ((0.0, 1.0), (0.0, 0.8), (0.05, 0.95)),
}
FAMILIES = tuple(_FAMILIES)


def rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return a colour float32 (3,) from hue (wraps at 1), saturation and value."""
    wheel = np.abs(((hue + np.array([0, 2 / 3, 1 / 3])) % 1.0) * 6 - 3) - 1
    pure = np.clip(wheel, 0, 1)
    return (value * (1 - saturation * (1 - pure))).astype(np.float32)


def any_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour of a thing: mostly dull, some vivid, now and then black or white."""
    if chance(rng, 0.2):
        value = rng.uniform(0.02, 0.15) if chance(rng, 0.5) else rng.uniform(0.8, 1.0)
        return rgb(rng.random(), rng.uniform(0, 0.15), value)
    saturation = rng.uniform(0.5, 1.0) if chance(rng, 0.35) else rng.uniform(0.0, 0.5)
    return rgb(rng.random(), saturation, rng.uniform(0.1, 0.95))


def near_colour(rng: np.random.Generator, colour: np.ndarray, spread: float) -> np.ndarray:
    """Draw a colour that differs from another mostly in brightness, by about `spread`."""
    shift = rng.normal(0, spread) + rng.normal(0, spread * 0.35, 3)
    return np.clip(colour + shift, 0.01, 1.0).astype(np.float32)


def ramp_of(rng: np.random.Generator, family: str) -> np.ndarray:
    """Draw a ramp of colours of a family, float32 (3, levels)."""
    hues, saturations, values = _FAMILIES[family]
    hue, saturation = rng.uniform(*hues), rng.uniform(*saturations)
    dark, light = np.sort(rng.uniform(*values, 2))
    stops = [
        rgb(
            hue + rng.normal(0, 0.03),
            float(np.clip(saturation + rng.normal(0, 0.1), 0, 1)),
            float(np.clip(value + rng.normal(0, 0.04), 0.01, 1)),
        )
        for value in np.linspace(dark, light, 4)
    ]
    at = np.linspace(0, 3, _LEVELS)
    return np.stack([np.interp(at, range(4), [s[k] for s in stops]) for k in range(3)]).astype(
        np.float32
    )


def coloured(field: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    """Look a field of about -1..1 up in a ramp; float32 (3, *field.shape)."""
    index = np.clip(field * (_LEVELS / 2) + _LEVELS / 2, 0, _LEVELS - 1).astype(np.intp)
    return np.take(ramp, index, axis=1)


def surface(rng: np.random.Generator, radius: float, colour: np.ndarray) -> np.ndarray:
    """Paint the surface of a part: a colour with shading, regions of a second one, and grain.

    Returns
    -------
    np.ndarray
        float32 (3, n, n), a tile as of `sample_tile` per channel.
    """
    n = tiles.tile_size(radius)
    base = np.broadcast_to(colour[:, None, None], (3, n, n))
    if radius > 6 and chance(rng, 0.45):
        base = _regions(rng, radius, base, colour)
    return np.maximum(base * _shading(rng, n) + _highlight(rng, n), 0.0)


def _regions(
    rng: np.random.Generator, radius: float, base: np.ndarray, colour: np.ndarray
) -> np.ndarray:
    """Give parts of a surface a second colour: spots, stripes, a band."""
    other = any_colour(rng) if chance(rng, 0.5) else near_colour(rng, colour, 0.25)
    kind, n = rng.random(), base.shape[1]
    if kind < 0.5:
        share = smooth_noise(rng, (n, n), n * log_uniform(rng, 0.05, 0.5)) > rng.normal(0.3, 0.6)
    elif kind < 0.75:
        wave = tiles.stripes(rng, radius, period=log_uniform(rng, 0.15, 1.2))
        share = wave > rng.uniform(0.3, 0.8)
    else:
        slope = tiles.ramp(rng, radius)
        low = rng.uniform(-0.8, 0.5)
        share = (slope > low) & (slope < low + rng.uniform(0.1, 1.0))
    return np.where(share, other[:, None, None], base)


def _shading(rng: np.random.Generator, n: int) -> np.ndarray:
    """Brightness factor (n, n): light from one side, roundness, grain."""
    mu, mv = tile_grid(n)
    turn = rng.normal(-np.pi / 2, 0.5)  # mostly from above
    slope = float(np.cos(turn)) * mu + float(np.sin(turn)) * mv
    shade = 1 + np.float32(rng.uniform(-0.05, 0.35)) * slope
    shade -= np.float32(rng.uniform(-0.05, 0.3)) * (mu * mu + mv * mv)
    cell = log_uniform(rng, 2, max(n / 4, 3))
    grain = np.float32(log_uniform(rng, 0.01, 0.3))
    return np.maximum(shade + grain * fractal_noise(rng, (n, n), cell=cell, octaves=2), 0.1)


def _highlight(rng: np.random.Generator, n: int) -> np.ndarray | float:
    """Return a glossy spot to be added, or nothing."""
    if not chance(rng, 0.25):
        return 0.0
    mu, mv = tile_grid(n)
    x, y = rng.normal(0, 0.35), rng.uniform(-0.7, 0.1)
    sharp, long = log_uniform(rng, 3, 60), log_uniform(rng, 0.4, 3)
    return np.float32(rng.uniform(0.1, 0.6)) * np.exp(
        -sharp * ((mu - np.float32(x)) ** 2 / long + (mv - np.float32(y)) ** 2 * long)
    ).astype(np.float32)
