"""Abstract grey looks: rings and discs, line drawings, textures, cells divided by membranes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import (
    Body,
    Patch,
    Scene,
    blend,
    make_patch,
    stamp,
    texture,
)
from napari_sam_i2v.training.synthetic.motion import (
    Stage,
    beating,
    contour_coefficients,
    deformation_rate,
    evolve,
    place,
    turning,
    walk,
)
from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    smooth_noise,
)
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.shapes import Star, fourier_radii

_OPTICS = Optics(
    blur=(0.3, 2.0), photons=(60.0, 5e3), read=(0.0, 0.04), grain=(0.0, 1.2), uneven=0.5,
    invert=0.3,
)  # fmt: skip

Painted = tuple[np.ndarray, np.ndarray]


def abstract(stage: Stage) -> Scene:
    """Draw one of the abstract worlds."""
    makers: list[tuple[Callable[[Stage], Painted], float]] = [
        (_rings, 0.6),
        (_drawings, 0.12),
        (_textures, 0.13),
        (_membranes, 0.15),
    ]
    pick = stage.rng.choice(len(makers), p=[weight for _, weight in makers])
    return Scene(*makers[int(pick)][0](stage), _OPTICS)


def _ground(stage: Stage) -> np.ndarray:
    """Background (Y, X): plain or with smooth, patchy or grainy structure."""
    rng, shape = stage.rng, (stage.size, stage.size)
    field = np.full(shape, rng.uniform(0.1, 0.9), np.float32)
    field += np.float32(log_uniform(rng, 0.01, 0.25)) * fractal_noise(
        rng, shape, cell=log_uniform(rng, 4, stage.size / 2), octaves=3
    )
    if chance(rng, 0.3):
        region = smooth_noise(rng, shape, stage.size / rng.uniform(2, 8)) > rng.normal(0, 0.7)
        field += np.float32(rng.normal(0, 0.2)) * region
    return field


def _outline(stage: Stage, radius: float, *, pulse: float = 0.0, lobes: float = 0.1) -> Star:
    """Make a closed outline that deforms, and beats with a relative stroke of `pulse`."""
    rng = stage.rng
    rate = deformation_rate(rng)
    aspect = np.sqrt(1 + abs(rng.normal()) * 0.25)
    size = radius * (1 - pulse * beating(rng, stage.frames))
    weights = contour_coefficients(rng, stage.steps, lobes=lobes, rate=rate, orders=5)
    return Star(np.stack([size * aspect, size / aspect], axis=1), fourier_radii(weights))


def _skin(rng: np.random.Generator, radius: float, grey: float) -> np.ndarray:
    """Surface around a grey: plain, grainy, shaded or patchy."""
    n = tiles.tile_size(radius)
    cell = log_uniform(rng, 2, max(n / 3, 4))
    tile = grey + np.float32(log_uniform(rng, 0.005, 0.15)) * fractal_noise(
        rng, (n, n), cell=cell, octaves=2
    )
    if chance(rng, 0.3):
        tile += np.float32(rng.normal(0, 0.1)) * tiles.ramp(rng, radius)
    if chance(rng, 0.15):
        spots = tiles.spots(rng, radius, count=int(rng.integers(1, 9)), width=0.1, strength=1.0)
        tile += np.float32(rng.normal(0, 0.2)) * spots
    return tile.astype(np.float32)


@dataclass(frozen=True)
class Ring:
    """Nested regions from the outermost in: bodies with ids, shapes of one centre."""

    bodies: tuple[Body, ...]
    soft: float


def _within(outer: Star, share: np.ndarray, own: np.ndarray) -> Star:
    """Return an outline inside another: the outer one at a share (T,), a little on its own."""
    radii = outer.radii * (1 - np.abs(own[:, None] * (outer.radii - 1)))
    return Star(outer.axes * share[:, None], radii.astype(np.float32))


def _ring(stage: Stage, first: int, radius: float, path: np.ndarray, greys: np.ndarray) -> Ring:
    """Make a disc in a ring (at times in another ring); ids count from `first` inwards.

    The middle may look like the ground around the whole, and may be left without an id.
    """
    rng = stage.rng
    pulse = rng.uniform(0, 0.35) if chance(rng, 0.5) else 0.0
    outline = _outline(stage, radius, pulse=pulse, lobes=log_uniform(rng, 0.01, 0.3))
    layers = int(rng.choice([2, 2, 2, 3]))
    thin = pulse * beating(rng, stage.frames)
    share = np.ones(stage.frames)
    angle, still = turning(stage, 1)[:, 0], np.ones(stage.frames)
    bodies = []
    for k in range(layers):
        body = Body(first + k, outline, path, angle, still, still, _skin(rng, radius, greys[k]))
        bodies.append(body)
        wall = np.clip(log_uniform(rng, 0.08, 0.6) * (1 + thin), 2.5 / radius, 0.8)
        share = np.maximum(1 - wall, 0.12)
        offset = rng.uniform(-0.5, 0.5, 2) * radius * (1 - share.max()) * 0.6
        path = path + offset
        outline = _within(outline, share, rng.uniform(0, 0.8) * still)
        radius = radius * float(share.mean())
    if chance(rng, 0.1):
        bodies[-1] = replace(bodies[-1], ident=0)
    return Ring(tuple(bodies), float(rng.uniform(0.8, 4.0)))


def _paths(stage: Stage, radii: np.ndarray) -> np.ndarray:
    """Places (T, N, 2) of bodies that wander and push each other."""
    rng = stage.rng
    start = place(rng, radii, stage.size, spacing=1.1, margin=float(-0.3 * radii.min()))
    return walk(stage, start, radii, speed=log_uniform(rng, 0.005, 0.2), spacing=1.05)


def _radii(stage: Stage, largest: float) -> np.ndarray:
    """Sizes of a few large or many small bodies."""
    rng = stage.rng
    count = int(rng.choice([1, 1, 2, 3, 6, 12]))
    typical = stage.size * log_uniform(rng, 0.1, largest) / count**0.4
    return np.maximum(typical * np.exp(rng.normal(0, 0.2, count)), 7.0)


def _rings(stage: Stage) -> Painted:
    """Rings around discs: any thickness, bright, dark or as the ground; beside plain blobs."""
    rng = stage.rng
    ground = _ground(stage)
    radii = _radii(stage, 0.42)
    paths = _paths(stage, radii)
    greys = rng.uniform(0, 1, 3)
    greys[1] = greys[0] + rng.choice([-1, 1]) * rng.uniform(0.15, 0.6)
    if chance(rng, 0.35):
        greys[1] = float(ground.mean())
    if chance(rng, 0.3):  # the ring is told from the ground by its inner edge or a line alone
        greys[0] = float(ground.mean()) + rng.normal(0, 0.05)
    rings = [
        _ring(stage, 1 + 3 * k, float(radius), paths[:, k], greys + rng.normal(0, 0.04, 3))
        for k, radius in enumerate(radii)
    ]
    rim = rng.choice([-1, 1]) * rng.uniform(0.1, 0.5) if chance(rng, 0.3) else 0.0
    width = rng.uniform(1.0, 4.0)
    return _paint(stage, ground, rings, rim=float(rim), width=float(width))


def _drawings(stage: Stage) -> Painted:
    """Bodies with the grey of their ground, told by a thin line or a halo alone."""
    rng = stage.rng
    ground = _ground(stage)
    radii = _radii(stage, 0.35)
    paths = _paths(stage, radii)
    angle, still = turning(stage, len(radii)), np.ones(stage.frames)
    bodies = []
    for k, radius in enumerate(radii):
        outline = _outline(stage, float(radius), lobes=log_uniform(rng, 0.02, 0.4))
        tile = _skin(rng, float(radius), float(ground.mean()) + rng.normal(0, 0.02))
        body = Body(k + 1, outline, paths[:, k], angle[:, k], still, still, tile)
        bodies.append(Ring((body,), float(rng.uniform(0.8, 3.0))))
    rim = rng.choice([-1, 1]) * rng.uniform(0.35, 0.9)
    return _paint(stage, ground, bodies, rim=float(rim), width=float(rng.uniform(0.8, 3.0)))


def _paint(
    stage: Stage, ground: np.ndarray, rings: list[Ring], *, rim: float, width: float
) -> Painted:
    """Paint nested bodies on the ground; `rim` is the brightness of lines along outlines."""
    images = np.repeat(ground[None], stage.frames, axis=0)
    labels = np.zeros(images.shape, np.uint8)
    for t in range(stage.frames):
        for ring in rings:
            for body in ring.bodies:
                patch = make_patch(body, t, stage.size, margin=8.0)
                if patch is None:
                    continue
                blend(images[t], patch, texture(body, patch), ring.soft)
                if rim:
                    images[t][patch.box] += _line(patch, width) * np.float32(rim)
                stamp(labels[t], patch, body.ident)
    return np.maximum(images, 0), labels


def _line(patch: Patch, width: float) -> np.ndarray:
    """Strength 0..1 of a soft line of `width` pixels along the outline."""
    return np.exp(-((patch.level * np.float32(1 / width)) ** 2))


def _textures(stage: Stage) -> Painted:
    """Regions that have the mean grey of their ground and another texture."""
    rng, size = stage.rng, stage.size
    grey, strength = rng.uniform(0.3, 0.7), log_uniform(rng, 0.08, 0.3)
    # Cells of unlike size, so that the texture can be told where it is all there is to see.
    fine, coarse = log_uniform(rng, 2.2, 4), log_uniform(rng, 7, 14)
    inside, around = (fine, coarse) if chance(rng, 0.5) else (coarse, fine)
    ground = grey + strength * _grain(rng, size, around)
    radii = np.maximum(_radii(stage, 0.4), 26.0)
    paths = _paths(stage, radii)
    angle, still = turning(stage, len(radii)), np.ones(stage.frames)
    alike = _grain(rng, 240, inside)
    bodies = []
    for k, radius in enumerate(radii):
        n = tiles.tile_size(float(radius))
        sheet = alike if chance(rng, 0.6) else _grain(rng, 240, inside)
        tile = grey + np.float32(strength * rng.uniform(0.6, 1.6)) * sheet[:n, :n]
        outline = _outline(stage, float(radius), lobes=log_uniform(rng, 0.02, 0.4))
        body = Body(k + 1, outline, paths[:, k], angle[:, k], still, still, tile)
        bodies.append(Ring((body,), float(rng.uniform(0.8, 3.0))))
    return _paint(stage, ground.astype(np.float32), bodies, rim=0.0, width=1.0)


def _grain(rng: np.random.Generator, size: int, cell: float) -> np.ndarray:
    """Texture (size, size) of unit strength: grain, streaks, spots or stripes."""
    field = smooth_noise(rng, (size, size), cell, stretch=log_uniform(rng, 0.4, 2.5))
    kind = rng.random()
    if kind < 0.25:
        field = (field > rng.normal(0.3, 0.5)).astype(np.float32) * 2 - 1
    elif kind < 0.45:
        field = np.sin(field * np.float32(rng.uniform(1.5, 4))) * np.float32(1.4)
    return field * np.float32(rng.uniform(0.5, 1.2))


def _membranes(stage: Stage) -> Painted:
    """Cells that fill the field, divided by bright or dark lines, flowing and swelling."""
    rng, size = stage.rng, stage.size
    spacing = size * log_uniform(rng, 0.07, 0.3)
    wide = int(size * 1.25)
    cells, edge = _tessellation(rng, wide, spacing)
    fill = rng.uniform(0.2, 0.8) + log_uniform(rng, 0.005, 0.2) * rng.standard_normal(256)
    picture = fill.astype(np.float32)[cells]
    cell = log_uniform(rng, 2, spacing)
    picture += np.float32(log_uniform(rng, 0.01, 0.15)) * smooth_noise(rng, (wide, wide), cell)
    width = log_uniform(rng, 0.8, max(spacing * 0.12, 1.2))
    line = np.exp(-((edge / np.float32(width)) ** 2))
    picture += np.float32(rng.choice([-1, 1]) * rng.uniform(0.25, 0.9)) * line
    truth = np.where(edge < width * rng.choice([0.0, 0.7]), 0, cells).astype(np.uint8)
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.empty(images.shape, np.uint8)
    for t, (rows, cols) in enumerate(_flow(stage, wide, spacing)):
        images[t], labels[t] = picture[rows, cols], truth[rows, cols]
    return np.maximum(images, 0), labels


def _tessellation(
    rng: np.random.Generator, wide: int, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cells (wide, wide) with ids 1..250 and the distance to the nearest border, in pixels."""
    count = int(np.clip((wide / spacing) ** 2, 6, 250))
    seeds = place(rng, np.full(count, spacing / 2), wide, spacing=rng.uniform(0.3, 0.9))
    bend = spacing * rng.uniform(0, 0.2)
    half = wide // 2
    axis = (np.arange(half) + 0.5) * (wide / half)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    for k in range(2):
        points[..., k] += bend * smooth_noise(rng, (half, half), spacing / 4)
    near = cKDTree(seeds).query(points.reshape(-1, 2))[1].reshape(half, half) + 1
    index = np.minimum((np.arange(wide) * half) // wide, half - 1)
    cells = ndimage.median_filter(near[index][:, index].astype(np.uint8), 3)
    border = np.zeros(cells.shape, bool)
    border[:-1] |= cells[:-1] != cells[1:]
    border[:, :-1] |= cells[:, :-1] != cells[:, 1:]
    return cells, ndimage.distance_transform_edt(~border).astype(np.float32)


def _flow(stage: Stage, wide: int, spacing: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns (Y, X) of a wider picture seen on every frame: drift and deformation."""
    rng, size = stage.rng, stage.size
    margin = (wide - size) / 2
    speed = log_uniform(rng, 0.002, 0.15) * spacing
    drift = np.cumsum(evolve(rng, stage.steps, (2,), 0.1) * speed, axis=0) + stage.camera
    base = np.arange(size, dtype=np.float32)
    cell, strength = spacing * rng.uniform(0.8, 3), spacing * log_uniform(rng, 0.01, 0.35)
    bends = [smooth_noise(rng, (size, size), cell) * np.float32(strength) for _ in range(4)]
    phase = np.cumsum(stage.steps) * log_uniform(rng, 0.02, 0.8) + rng.uniform(0, 6)
    seen = []
    for t in range(stage.frames):
        c, s = np.float32(np.cos(phase[t])), np.float32(np.sin(phase[t]))
        rows = base[:, None] + np.float32(margin + drift[t, 0]) + c * bends[0] + s * bends[1]
        cols = base[None, :] + np.float32(margin + drift[t, 1]) + c * bends[2] + s * bends[3]
        seen.append(tuple(np.clip(np.rint(g), 0, wide - 1).astype(np.intp) for g in (rows, cols)))
    return seen
