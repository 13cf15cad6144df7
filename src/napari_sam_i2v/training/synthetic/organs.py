"""Parts of medical movies: organs as bodies, painted back to front with soft edges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, blend, make_patch, stamp, texture
from napari_sam_i2v.training.synthetic.motion import Stage, contour_coefficients
from napari_sam_i2v.training.synthetic.noise import TILE_REACH, tile_grid
from napari_sam_i2v.training.synthetic.shapes import Shape, Star, fourier_radii


class Layer(NamedTuple):
    """A body and the width of its edge in pixels; painted over what lies behind it."""

    body: Body
    edge: float


def still(stage: Stage, value: float = 1.0) -> np.ndarray:
    """Return a constant per frame, (T,)."""
    return np.full(stage.frames, value)


def compass(angle: float) -> np.ndarray:
    """Return the unit vector (y, x) that points along an angle, as bodies count angles."""
    return np.array([np.sin(angle), np.cos(angle)])


def organ(
    stage: Stage,
    centre: np.ndarray,
    radius: np.ndarray | float,
    *,
    grey: float,
    ident: int = 0,
    aspect: float = 1.0,
    lobes: float = 0.06,
    grain: float = 0.1,
    angle: float = 0.0,
) -> Body:
    """Make a body of radius (T,) around centre (T, 2) or (2,), textured around `grey`."""
    rng = stage.rng
    size = np.broadcast_to(np.asarray(radius, float), (stage.frames,))
    place = np.broadcast_to(centre, (stage.frames, 2))
    axes = np.stack([size * aspect**0.5, size * aspect**-0.5], axis=1)
    weights = contour_coefficients(rng, stage.steps, lobes=lobes, rate=0.03)
    mean = float(size.mean())
    tile = grey * tiles.plain(rng, mean, grain=grain, cell=max(mean * rng.uniform(0.1, 0.5), 2))
    return solid(stage, Star(axes, fourier_radii(weights)), place, tile, ident=ident, angle=angle)


def solid(
    stage: Stage,
    shape: Shape,
    centre: np.ndarray,
    tile: np.ndarray,
    *,
    ident: int = 0,
    angle: float = 0.0,
) -> Body:
    """Make a body that neither turns nor fades; centre (T, 2)."""
    return Body(ident, shape, centre, still(stage, angle), still(stage), still(stage), tile)


def outline(radii: np.ndarray, rough: np.ndarray | None = None) -> Star:
    """Return the outline with these radii in pixels, (T, ANGLES)."""
    return Star(np.ones((len(radii), 2)), radii.astype(np.float32), rough)


def round_the_clock(rng: np.random.Generator, n: int, *, orders: int = 3) -> np.ndarray:
    """Return an (n, n) tile that varies with direction only, smoothly from 0 to 1."""
    mu, mv = tile_grid(n)
    angle = np.arctan2(mv, mu)
    waves = sum(
        np.cos(k * angle + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.4, 1) / k
        for k in range(1, orders + 1)
    )
    field = np.asarray(waves, np.float32)
    return (field - field.min()) / np.float32(np.ptp(field))


def radial(n: int) -> np.ndarray:
    """Return an (n, n) tile of the distance from its centre; 1 on a body's outline."""
    mu, mv = tile_grid(n)
    return np.minimum(np.hypot(mu, mv), np.float32(TILE_REACH))


def paint(images: np.ndarray, labels: np.ndarray, layers: Iterable[Layer]) -> None:
    """Paint layers over images (T, Y, X), and ids over labels, in place."""
    size = images.shape[1]
    for body, edge in layers:
        for t in range(len(images)):
            patch = make_patch(body, t, size, margin=edge / 2 + 1)
            if patch is None:
                continue
            blend(images[t], patch, texture(body, patch) * np.float32(body.gain[t]), edge)
            stamp(labels[t], patch, body.ident)  # 0 hides what lies behind


def mark(labels: np.ndarray, bodies: Iterable[Body]) -> None:
    """Write the ids of bodies over labels (T, Y, X) in place, without showing them."""
    for body in bodies:
        for t in range(len(labels)):
            patch = make_patch(body, t, labels.shape[1])
            if patch is not None:
                stamp(labels[t], patch, body.ident)
