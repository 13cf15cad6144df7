"""Bodies: an outline with an identity, a pose per frame and a texture, drawn in a local box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from napari_sam_i2v.training.synthetic.noise import sample_tile
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.shapes import Shape


@dataclass(frozen=True)
class Body:
    """One object, or one part of it, over the frames `first` .. `last` - 1.

    Attributes
    ----------
    ident : int
        Label; 0 for things that are seen but are no object.
    shape : Shape
        Outline in body coordinates.
    centre : np.ndarray
        (T, 2) position (y, x) in pixels.
    angle, scale, gain : np.ndarray
        (T,) rotation in radians, size factor and brightness factor.
    tile : np.ndarray
        Square texture around 1, looked up with the material coordinates.
    """

    ident: int
    shape: Shape
    centre: np.ndarray
    angle: np.ndarray
    scale: np.ndarray
    gain: np.ndarray
    tile: np.ndarray
    first: int = 0
    last: int = 1 << 30

    def alive(self, t: int) -> bool:
        """Return whether the body exists on frame t."""
        return self.first <= t < self.last


class Patch(NamedTuple):
    """A body on one frame, in its own box of the field; arrays (h, w), level in pixels."""

    box: tuple[slice, slice]
    level: np.ndarray
    mu: np.ndarray
    mv: np.ndarray

    def cover(self, softness: float = 1.0) -> np.ndarray:
        """Opacity 0..1 with an edge `softness` pixels wide."""
        return np.clip(self.level * (1 / softness) + np.float32(0.5), 0, 1)


class Scene(NamedTuple):
    """What a look makes: ideal images float32 (T, Y, X), labels uint8, and how to record them."""

    images: np.ndarray
    labels: np.ndarray
    optics: Optics


def make_patch(body: Body, t: int, size: int, margin: float = 3.0) -> Patch | None:
    """Draw a body's level in its box, or None where it lies outside of the field."""
    scale = float(body.scale[t])
    reach = body.shape.reach(t) * scale + margin
    y, x = (float(c) for c in body.centre[t])
    y0, y1 = max(0, int(y - reach)), min(size, int(y + reach) + 2)
    x0, x1 = max(0, int(x - reach)), min(size, int(x + reach) + 2)
    if y0 >= y1 or x0 >= x1:
        return None
    dy = (np.arange(y0, y1, dtype=np.float32) - np.float32(y))[:, None]
    dx = (np.arange(x0, x1, dtype=np.float32) - np.float32(x))[None, :]
    c, s = float(np.cos(body.angle[t])) / scale, float(np.sin(body.angle[t])) / scale
    level, mu, mv = body.shape.level(c * dx + s * dy, c * dy - s * dx, t)
    return Patch((slice(y0, y1), slice(x0, x1)), level * scale, mu, mv)


def texture(body: Body, patch: Patch) -> np.ndarray:
    """Return the body's texture on a patch, float32 (h, w)."""
    return sample_tile(body.tile, patch.mu, patch.mv)


def stamp(labels: np.ndarray, patch: Patch, ident: int) -> None:
    """Write an id where the patch is inside; 0 erases (an occluder)."""
    labels[patch.box][patch.level > 0] = ident


def blend(image: np.ndarray, patch: Patch, value: np.ndarray | float, softness: float) -> None:
    """Paint `value` over the image with soft edges."""
    region = image[patch.box]
    region += patch.cover(softness) * (value - region)


def drop_specks(labels: np.ndarray, least: int = 6) -> None:
    """Erase objects of fewer than `least` visible pixels from a (Y, X) label image."""
    area = np.bincount(labels.ravel())
    few = np.flatnonzero((area > 0) & (area < least))
    if len(few):
        labels[np.isin(labels, few)] = 0
