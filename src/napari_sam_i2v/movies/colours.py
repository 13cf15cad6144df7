"""A colour for every object, the same in pictures, movies and label files."""

from __future__ import annotations

import colorsys


def colour_of(object_id: int) -> tuple[int, int, int]:
    """Bright colour of an object, RGB; neighbouring ids are far apart."""
    hue = (0.08 + object_id * 0.618034) % 1.0
    light = (0.62, 0.72)[object_id // 7 % 2]
    r, g, b = colorsys.hls_to_rgb(hue, light, 0.95)
    return round(255 * r), round(255 * g), round(255 * b)
