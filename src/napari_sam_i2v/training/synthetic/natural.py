"""Natural-video looks: textured objects with parts before textured ground, a moving camera."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Scene, blend, make_patch, stamp, texture
from napari_sam_i2v.training.synthetic.motion import (
    Stage,
    contour_coefficients,
    deformation_rate,
    evolve,
)
from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    resample,
    smooth_noise,
)
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.shapes import (
    Chain,
    Shape,
    Star,
    fourier_radii,
    polygon_radii,
)


def scenery(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paint a background (Y, X) around 0..1: regions of unlike grey and texture, edges, poles."""
    field = 0.5 + 0.18 * fractal_noise(rng, (size, size), cell=size / rng.uniform(2, 6), octaves=3)
    y = np.linspace(-1, 1, size, dtype=np.float32)[:, None]
    for _ in range(int(rng.integers(0, 5))):  # large regions with their own texture
        region = smooth_noise(rng, (size, size), size / rng.uniform(1.5, 8))
        mask = region + 4 * float(rng.normal(0, 0.6)) * y > rng.normal(0, 0.8)
        stretch = log_uniform(rng, 0.2, 5)
        cell = log_uniform(rng, 2, size / 6)
        rough = smooth_noise(rng, (size, size), cell, stretch=stretch)
        field = np.where(mask, rng.uniform(0, 1) + log_uniform(rng, 0.01, 0.2) * rough, field)
    fine = log_uniform(rng, 0.005, 0.1)
    field = field + fine * smooth_noise(rng, (size, size), log_uniform(rng, 2, 8))
    for _ in range(int(rng.poisson(4))):
        _structure(rng, field)
    return field.astype(np.float32)


def _structure(rng: np.random.Generator, field: np.ndarray) -> None:
    """Add one box, pole or line, or a row or grid of them (windows, fences), in place."""
    size = field.shape[0]
    h, w = (int(log_uniform(rng, 2, size * 0.5)) for _ in range(2))
    top, left = (int(k) for k in rng.integers(0, size, 2))
    shade = np.float32(rng.normal(0, 0.25))
    repeat = chance(rng, 0.3)
    rows, cols = (int(k) for k in rng.integers(1, 6, 2)) if repeat else (1, 1)
    for row in range(rows):
        for col in range(cols):
            y, x = top + int(row * h * 1.7), left + int(col * w * 1.7)
            field[y : y + h, x : x + w] += shade


def _furnish(stage: Stage, canvas: np.ndarray, count: int) -> None:
    """Paint things that look like objects but are part of the scenery, in place."""
    rng, size = stage.rng, canvas.shape[0]
    for _ in range(count):
        radius = stage.size * log_uniform(rng, 0.02, 0.2)
        path = np.tile(rng.uniform(0, size, 2), (stage.frames, 1))
        for body in _object(stage, 0, radius, path, float(rng.uniform(0, 1))):
            patch = make_patch(body, 0, size)
            if patch is not None:
                blend(canvas, patch, texture(body, patch), 1.5)


def object_tile(rng: np.random.Generator, radius: float, grey: float) -> np.ndarray:
    """Surface of an object: shading, regions, stripes or grain around a grey."""
    n = tiles.tile_size(radius)
    tile = np.full((n, n), grey, np.float32)
    tile += np.float32(rng.normal(0, 0.12)) * tiles.ramp(rng, radius)
    if chance(rng, 0.5):
        cell, levels = n * rng.uniform(0.15, 0.5), int(rng.integers(2, 5))
        part = tiles.patches(rng, radius, cell=cell, levels=levels)
        tile += np.float32(rng.uniform(0.1, 0.6)) * (part - 0.5)
    if chance(rng, 0.15):
        wave = tiles.stripes(rng, radius, period=log_uniform(rng, 0.15, 0.8))
        tile += np.float32(rng.uniform(0.1, 0.5)) * (wave - 0.5)
    cell = log_uniform(rng, 2, max(n / 4, 3))
    tile += np.float32(log_uniform(rng, 0.01, 0.15)) * fractal_noise(
        rng, (n, n), cell=cell, octaves=2
    )
    return tile


def _core(stage: Stage, radius: float) -> Shape:
    """Make the main part: a blob, an ellipse or a polygon."""
    rng = stage.rng
    rate = deformation_rate(rng)
    aspect = 1 + abs(rng.normal()) * 0.6
    stretch = np.sqrt(aspect) * np.exp(0.08 * evolve(rng, stage.steps, (), rate))
    axes = np.stack([radius * stretch, radius / stretch], axis=1)
    if chance(rng, 0.25):
        return Star(axes, polygon_radii(rng, stage.frames, int(rng.integers(3, 8))))
    lobes = log_uniform(rng, 0.03, 0.45)
    weights = contour_coefficients(rng, stage.steps, lobes=lobes, rate=rate, orders=7)
    return Star(axes, fourier_radii(weights))


def _limb(stage: Stage, radius: float) -> Chain:
    """Make a leg, neck or tail rooted in the main part, swinging."""
    rng = stage.rng
    swing = rng.uniform(0, 0.6) * evolve(rng, stage.steps, (), log_uniform(rng, 0.02, 0.6))
    first = rng.uniform(0, 2 * np.pi) + swing
    second = first + rng.normal(0, 0.5) + 0.7 * swing
    length = radius * rng.uniform(0.4, 1.1)
    points = np.zeros((stage.frames, 4, 2))
    root = radius * 0.5
    points[:, 0] = np.stack([np.cos(first), np.sin(first)], axis=1) * root
    points[:, 1] = points[:, 0] * (1 + length / root * 0.5)
    points[:, 2] = points[:, 1] + np.stack([np.cos(second), np.sin(second)], 1) * length * 0.5
    points[:, 3] = points[:, 2] + np.stack([np.cos(second), np.sin(second)], 1) * length * 0.15
    width = radius * rng.uniform(0.06, 0.25)
    return Chain(points, np.maximum(width * np.array([1.3, 1, 0.8, rng.uniform(0.6, 2)]), 1.0))


def _object(stage: Stage, ident: int, radius: float, path: np.ndarray, grey: float) -> list[Body]:
    """Make an object as bodies of one id: limbs behind, the main part in front."""
    rng = stage.rng
    turn = rng.uniform(0, 2 * np.pi) + np.cumsum(
        evolve(rng, stage.steps, (), 0.3) * stage.steps * log_uniform(rng, 0.003, 0.15)
    )
    zoom = np.exp(np.cumsum(evolve(rng, stage.steps, (), 0.1) * log_uniform(rng, 0.002, 0.06)))
    light = np.ones(stage.frames)
    limbs = int(rng.choice([0, 0, 1, 2, 4, 5]))
    bodies = [
        Body(
            ident,
            _limb(stage, radius),
            path,
            turn,
            zoom,
            light,
            object_tile(rng, radius, grey + float(rng.normal(0, 0.12))),
        )
        for _ in range(limbs)
    ]
    tile = object_tile(rng, radius, grey)
    return [*bodies, Body(ident, _core(stage, radius), path, turn, zoom, light, tile)]


def _path(stage: Stage, radius: float) -> np.ndarray:
    """Positions (T, 2) of an object in the world: any speed up to about its width a frame."""
    rng, size = stage.rng, stage.size
    speed = log_uniform(rng, 0.005, 0.7) * radius
    velocity = rng.standard_normal(2) * speed
    sway = np.cumsum(evolve(rng, stage.steps, (2,), 0.3) * speed * 0.5, axis=0)
    middle = stage.frames / 2
    time = (np.cumsum(stage.steps) - middle)[:, None]
    return rng.uniform(0.12 * size, 0.88 * size, 2) + time * velocity + sway - sway[len(sway) // 2]


def _pan(stage: Stage) -> np.ndarray:
    """Camera shift (T, 2) in pixels."""
    rng, size = stage.rng, stage.size
    if chance(rng, 0.25):
        return stage.camera
    speed = log_uniform(rng, 0.0005, 0.03) * size
    shift = np.cumsum(evolve(rng, stage.steps, (2,), 0.15) * speed, axis=0)
    return shift - shift[stage.frames // 2]


def natural(stage: Stage) -> Scene:
    """One to five textured objects, some alike, before a textured ground."""
    rng, size = stage.rng, stage.size
    canvas = scenery(rng, int(size * 1.5))
    _furnish(stage, canvas, int(rng.choice([0, 0, 2, 5, 9])))
    pan = _pan(stage)
    count = int(rng.choice([1, 1, 2, 3, 4, 6]))
    alike = chance(rng, 0.35)
    grey = rng.uniform(0.05, 0.95)
    objects: list[list[Body]] = []
    for k in range(count):
        radius = size * log_uniform(rng, 0.03, 0.42 if count < 4 else 0.18)
        shade = grey + rng.normal(0, 0.03) if alike else rng.uniform(0, 1)
        objects.append(_object(stage, k + 1, radius, _path(stage, radius) + pan, float(shade)))
    if chance(rng, 0.3):
        objects.append(_occluder(stage, pan))
    images, labels = _compose(stage, canvas, pan, objects)
    optics = Optics(
        blur=(0.3, 1.1),
        photons=(300.0, 1e4),
        read=(0.0, 0.02),
        uneven=0.2,
        invert=0.05,
        blocks=0.5,
        low=(0.01, 1.5),
        high=(0.01, 1.5),
    )
    return Scene(images, labels, optics)


def _occluder(stage: Stage, pan: np.ndarray) -> list[Body]:
    """Make a bar or post in front of everything; it hides and is no object."""
    rng, size = stage.rng, stage.size
    turn = float(rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.2))
    half = size * log_uniform(rng, 0.008, 0.05)
    reach = np.array([[-size, 0.0], [size, 0.0]])
    shape = Chain(np.broadcast_to(reach, (stage.frames, 2, 2)), np.array([half, half]))
    path = rng.uniform(0.2 * size, 0.8 * size, 2) + pan * rng.uniform(1, 1.6)
    tile = object_tile(rng, size / 3, float(rng.uniform(0, 1)))
    still = np.ones(stage.frames)
    return [Body(0, shape, path, turn * still, still, still, tile)]


def _compose(
    stage: Stage, canvas: np.ndarray, pan: np.ndarray, objects: list[list[Body]]
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the scene frame by frame, with soft shadows under some objects."""
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    soft = [float(rng.uniform(0.8, 2.0)) for _ in objects]
    shadow = [float(rng.uniform(0.2, 0.6)) if chance(rng, 0.3) else 0.0 for _ in objects]
    fall = rng.normal(0, 0.25, 2)
    grid = np.arange(size) + (canvas.shape[0] - size) / 2
    zoom = np.exp(np.linspace(-0.5, 0.5, stage.frames) * rng.normal(0, 0.04))
    for t in range(stage.frames):
        rows, cols = ((grid - canvas.shape[0] / 2) / zoom[t] + canvas.shape[0] / 2 for _ in "yx")
        images[t] = resample(canvas, rows - pan[t, 0], cols - pan[t, 1])
        for parts, edge, dark in zip(objects, soft, shadow, strict=True):
            if dark and parts[-1].ident:
                _shade(images[t], parts[-1], t, size, fall, dark)
            for body in parts:
                patch = make_patch(body, t, size)
                if patch is not None:
                    blend(images[t], patch, texture(body, patch), edge)
                    stamp(labels[t], patch, body.ident)
    np.clip(images, 0, 1.3, out=images)
    return images, labels


def _shade(image: np.ndarray, body: Body, t: int, size: int, fall: np.ndarray, dark: float) -> None:
    """Darken the ground beside a body, in place."""
    offset = body.centre + fall * body.shape.reach(t)
    cast = Body(0, body.shape, offset, body.angle, body.scale, body.gain, body.tile)
    patch = make_patch(cast, t, size, margin=6)
    if patch is not None:
        image[patch.box] *= 1 - np.float32(dark) * patch.cover(8.0)
