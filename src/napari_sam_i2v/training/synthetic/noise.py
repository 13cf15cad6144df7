"""Smooth random fields and small texture tiles, made cheaply from coarse random grids."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_UNIT_STD_2D = 0.479  # std of a cubic B-spline surface over independent unit normals
_UNIT_STD_1D = 0.692
TILE_REACH = 1.25  # a tile covers material coordinates from -TILE_REACH to TILE_REACH


@lru_cache(maxsize=192)
def _spline_weights(length: int, cells: int) -> np.ndarray:
    """Cubic B-spline weights, shape (length, cells + 3): coarse grid -> fine grid."""
    position = (np.arange(length) + 0.5) / length * cells
    index = np.minimum(position.astype(int), cells - 1)
    f = position - index
    weights = np.zeros((length, cells + 3), np.float32)
    rows = np.arange(length)
    cubic = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    for k, weight in enumerate(cubic):
        weights[rows, index + k] = weight / 6
    return weights


def _cells(length: int, cell: float) -> int:
    return max(1, min(round(length / cell), length))


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, *, stretch: float = 1.0
) -> np.ndarray:
    """Return a smooth field of about zero mean and unit std that varies over `cell` pixels.

    `stretch` makes the features that many times longer along x than along y.

    Returns
    -------
    np.ndarray
        float32 (Y, X).
    """
    wy = _spline_weights(shape[0], _cells(shape[0], cell / stretch**0.5))
    wx = _spline_weights(shape[1], _cells(shape[1], cell * stretch**0.5))
    coarse = rng.standard_normal((wy.shape[1], wx.shape[1]), dtype=np.float32)
    return (wy @ coarse @ wx.T) * np.float32(1 / _UNIT_STD_2D)


def fractal_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    cell: float,
    octaves: int = 3,
    gain: float = 0.5,
) -> np.ndarray:
    """Sum `octaves` of smooth noise, each half as large and `gain` times as strong; unit std."""
    total = np.zeros(shape, np.float32)
    power = 0.0
    for k in range(octaves):
        total += smooth_noise(rng, shape, max(cell / 2**k, 1.5)) * np.float32(gain**k)
        power += gain ** (2 * k)
    return total * np.float32(power**-0.5)


def smooth_curve(rng: np.random.Generator, length: int, cells: int) -> np.ndarray:
    """Return a smooth random curve, float64 (length,), of about zero mean and unit std."""
    weights = _spline_weights(length, max(1, min(cells, length)))
    return (weights @ rng.standard_normal(weights.shape[1])) / _UNIT_STD_1D


def sample_tile(tile: np.ndarray, mu: np.ndarray, mv: np.ndarray) -> np.ndarray:
    """Look a square tile up at material coordinates (each about -1..1), nearest neighbour."""
    n = tile.shape[0]
    half, middle = np.float32(n / 2 / TILE_REACH), np.float32(n / 2)
    row, col = (
        np.minimum(np.maximum(m * half + middle, 0), n - 1).astype(np.int32) for m in (mv, mu)
    )
    row *= n
    row += col
    return tile.reshape(-1)[row]


def tile_grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Material coordinates (mu, mv) of a tile's pixels, shapes (1, n) and (n, 1)."""
    axis = ((np.arange(n, dtype=np.float32) + 0.5) / n * 2 - 1) * np.float32(TILE_REACH)
    return axis[None, :], axis[:, None]


def resample(canvas: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Bilinear look-up of a canvas at the grid rows x cols; float32 (len(rows), len(cols))."""
    rows = np.clip(rows, 0, canvas.shape[0] - 1.001)
    cols = np.clip(cols, 0, canvas.shape[1] - 1.001)
    r, c = rows.astype(int), cols.astype(int)
    fr = (rows - r).astype(np.float32)[:, None]
    fc = (cols - c).astype(np.float32)[None, :]
    band = canvas[r] * (1 - fr) + canvas[r + 1] * fr
    return band[:, c] * (1 - fc) + band[:, c + 1] * fc


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from low..high, evenly in the logarithm."""
    low, high = sorted((low, high))
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)
