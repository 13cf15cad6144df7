"""Curves as pixels, ticks and readable colours: the arithmetic of plots. numpy only, no Qt.

A curve is painted column by column: what it covers of a column of pixels is a range of rows,
however many frames fall into it. 10,000 frames cost what 1,000 columns cost.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "column_ranges",
    "isolated",
    "mixed",
    "nice_ceiling",
    "nice_step",
    "readable",
    "short_number",
    "stroke",
]

Rgb = tuple[float, float, float]

READABLE_CONTRAST = 2.5
"""Ratio of luminances (WCAG) that a thin line needs to be seen."""
_CEILINGS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def column_ranges(
    values: NDArray[np.floating[Any]], width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the least and greatest value of a polyline in each column of pixels.

    Parameters
    ----------
    values
        (T,), NaN where the line is broken. Frame t lies at x = (t + 0.5) · width / T.
    width
        Number of columns.

    Returns
    -------
    low, high : array
        (width,) each; NaN in columns that the line does not enter.
    """
    n = len(values)
    edges = _between(values, np.arange(width + 1) * n / width - 0.5)
    low, high = np.fmin(edges[:-1], edges[1:]), np.fmax(edges[:-1], edges[1:])
    columns = ((np.arange(n) + 0.5) * width / n).astype(int)
    first = np.flatnonzero(np.diff(columns, prepend=-1))
    inside = columns[first]
    low[inside] = np.fmin(low[inside], np.fmin.reduceat(values, first))
    high[inside] = np.fmax(high[inside], np.fmax.reduceat(values, first))
    return low, high


def _between(values: NDArray[Any], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of the polyline at positions in frames; NaN in gaps and beyond the ends."""
    last = len(values) - 1
    left = np.floor(at).astype(int).clip(0, last)
    part = at - left
    right = np.minimum(left + 1, last)
    found = values[left] * (1 - part) + values[right] * part
    found = np.where(part == 0, values[left], found)  # whatever comes after
    return np.where((at >= 0) & (at <= last), found, np.nan)


def isolated(values: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Frames with a value and none on either side: a line would not show them."""
    known = np.pad(np.isfinite(values), 1)
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])


def stroke(
    image: NDArray[np.float32],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    *,
    colour: Rgb,
    thickness: float | NDArray[np.float64] = 1.5,
) -> None:
    """Paint a range of rows in each column over an image, with soft upper and lower ends.

    Parameters
    ----------
    image
        (H, W, 4) premultiplied RGBA 0 .. 1, changed in place.
    low, high
        (W,) smallest and greatest row; NaN leaves a column alone.
    colour, thickness
        Of the line; thickness in rows, one or (W,).
    """
    height, width = image.shape[:2]
    upper = np.maximum(low - np.asarray(thickness) / 2, 0)
    lower = np.minimum(high + np.asarray(thickness) / 2, height)
    columns = np.flatnonzero(upper < lower)
    if not columns.size:
        return
    top, bottom = upper[columns], lower[columns]
    first, last = np.floor(top).astype(np.int16), (np.ceil(bottom) - 1).astype(np.int16)
    begin, end = np.zeros((2, width), np.int16)
    begin[columns], end[columns] = first, last
    band = slice(int(first.min()), int(last.max()) + 1)
    rows = np.arange(band.start, band.stop, dtype=np.int16)[:, None]
    inside = (rows > begin) & (rows < end)
    # Four floats moved as one number: twice as fast.
    whole = image[band].view(np.complex128)[..., 0]
    np.copyto(whole, _opaque(colour).view(np.complex128)[0], where=inside)
    _blend(image, first, columns, colour, cover=np.minimum(first + 1, bottom) - top)
    _blend(image, last, columns, colour, cover=np.where(last > first, bottom - last, 0))


def _blend(
    image: NDArray[np.float32],
    rows: NDArray[np.integer[Any]],
    columns: NDArray[np.integer[Any]],
    colour: Rgb,
    *,
    cover: NDArray[np.float64],
) -> None:
    """Lay a colour over single pixels, no two of them the same."""
    part = cover.astype(np.float32)[:, None]
    image[rows, columns] = image[rows, columns] * (1 - part) + part * _opaque(colour)


def _opaque(colour: Rgb) -> NDArray[np.float32]:
    return np.array([*colour, 1.0], np.float32)


def nice_step(least: float) -> int:
    """Give the smallest of 1, 2, 5, 10, 20, ... that is not below `least`."""
    if least <= 1:
        return 1
    ten = 10 ** math.floor(math.log10(least))
    return next(round(step * ten) for step in (1, 2, 5, 10) if step * ten >= least * (1 - 1e-9))


def nice_ceiling(value: float) -> float:
    """Give a round number a little above `value`; 1 for nothing."""
    if not value > 0:
        return 1.0
    ten = 10.0 ** math.floor(math.log10(value))
    return next(step * ten for step in _CEILINGS if step * ten >= value * (1 - 1e-9))


def short_number(value: float) -> str:
    """Write a number in at most about five characters: 850, 1.2k, 40k, 2.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def mixed(one: Rgb, other: Rgb, part: float) -> Rgb:
    """Go from one colour towards another by a part of the way, 0 .. 1."""
    red, green, blue = (a + (b - a) * part for a, b in zip(one, other, strict=True))
    return red, green, blue


def readable(colour: Rgb, *, on: Rgb, towards: Rgb) -> Rgb:
    """Change a colour no further than needed to stand out from its background.

    It is made brighter or darker, which keeps its hue, and only then moved towards another one.
    """
    black = (0.0, 0.0, 0.0)
    brightest = mixed(black, colour, 1 / max(*colour, 1e-6))
    goal = brightest if _luminance(towards) > _luminance(on) else black
    parts = np.linspace(0, 1, 11).tolist()
    steps = [mixed(colour, goal, part) for part in parts]
    steps += [mixed(goal, towards, part) for part in parts]
    return next((c for c in steps if _contrast(c, on) >= READABLE_CONTRAST), towards)


def _contrast(one: Rgb, other: Rgb) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Rgb) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
