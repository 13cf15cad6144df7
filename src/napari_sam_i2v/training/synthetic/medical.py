"""Medical looks: cine MRI of a beating heart, ultrasound of chambers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Scene, blend, make_patch, stamp, texture
from napari_sam_i2v.training.synthetic.motion import Stage, beating, contour_coefficients, evolve
from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    smooth_noise,
)
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.shapes import Shape, Star, fourier_radii


def still(stage: Stage, value: float = 1.0) -> np.ndarray:
    """Return a constant per frame, (T,)."""
    return np.full(stage.frames, value)


def organ(
    stage: Stage,
    centre: np.ndarray,
    radius: np.ndarray,
    *,
    grey: float,
    ident: int = 0,
    aspect: float = 1.0,
    lobes: float = 0.06,
    grain: float = 0.1,
    angle: float = 0.0,
) -> Body:
    """Make a body of given radius (T,) around centre (T, 2), textured around `grey`."""
    rng = stage.rng
    axes = np.stack([radius * aspect**0.5, radius * aspect**-0.5], axis=1)
    weights = contour_coefficients(rng, stage.steps, lobes=lobes, rate=0.03)
    mean = float(radius.mean())
    cell = max(mean * rng.uniform(0.1, 0.5), 2)
    tile = grey * tiles.plain(rng, mean, grain=grain, cell=cell)
    turn = still(stage, angle)
    shape = Star(axes, fourier_radii(weights))
    return Body(ident, shape, centre, turn, still(stage), still(stage), tile)


def _anatomy(stage: Stage, heart: np.ndarray, radius: float, tissue: float) -> list[Body]:
    """Unlabelled surroundings: trunk, fat, lungs, liver, vessels."""
    rng, size = stage.rng, stage.size
    rest = size / 2 + rng.normal(0, size * 0.06, 2) + stage.camera
    trunk = size * rng.uniform(0.42, 0.75)
    aspect, turn = rng.uniform(0.75, 1.4), float(rng.uniform(0, np.pi))
    bodies = []
    if chance(rng, 0.8):
        fat = tissue * rng.uniform(0.8, 2.5)
        bodies.append(organ(stage, rest, still(stage, trunk), grey=fat, aspect=aspect, angle=turn))
        inner = trunk * rng.uniform(0.86, 0.97)
        bodies.append(
            organ(
                stage,
                rest,
                still(stage, inner),
                grey=tissue * rng.uniform(0.1, 1),
                aspect=aspect,
                angle=turn,
                grain=0.25,
            )
        )
    for _ in range(int(rng.integers(2, 9))):  # lungs, liver, chest wall, fat
        away = rng.normal(0, 1, 2)
        away *= radius * rng.uniform(1.6, 5) / (np.linalg.norm(away) + 1e-3)
        r = radius * log_uniform(rng, 0.4, 3)
        grey = tissue * log_uniform(rng, 0.08, 2.2)
        place = heart.mean(axis=0)[None] + away[None] + stage.camera
        bodies.append(
            organ(
                stage,
                place,
                still(stage, r),
                grey=grey,
                aspect=rng.uniform(0.4, 2.5),
                lobes=0.25,
                grain=rng.uniform(0.05, 0.35),
                angle=float(rng.uniform(0, np.pi)),
            )
        )
    return bodies


def _vessels(stage: Stage, heart: np.ndarray, radius: float) -> list[Body]:
    """Small bright or dark spots around the heart."""
    rng = stage.rng
    bodies = []
    for _ in range(int(rng.integers(0, 9))):
        turn = rng.uniform(0, 2 * np.pi)
        away = np.array([np.sin(turn), np.cos(turn)]) * radius * rng.uniform(1.9, 4.5)
        r = radius * log_uniform(rng, 0.05, 0.3)
        pulse = r * np.exp(0.15 * evolve(rng, stage.steps, (), 0.4))
        grey = float(rng.choice([0.02, 0.6, 0.9]))
        bodies.append(
            organ(
                stage,
                heart.mean(axis=0) + away + stage.camera,
                pulse,
                grey=grey,
                aspect=rng.uniform(1, 3),
                angle=float(rng.uniform(0, np.pi)),
            )
        )
    return bodies


def _heart(stage: Stage, centre: np.ndarray, radius: float, tissue: float) -> list[Body]:
    """Right ventricle, wall (id 2) and cavity (id 1) with papillary muscles, back to front."""
    rng = stage.rng
    squeeze = beating(rng, stage.frames)
    cavity = radius * (1 - rng.uniform(0.05, 0.45) * squeeze)
    wall = radius * log_uniform(rng, 0.12, 0.7)
    # The muscle keeps its area: the wall thickens as the cavity empties.
    outer = np.sqrt(cavity**2 + (radius + wall) ** 2 - radius**2)
    outer = (1 - 0.5) * outer + 0.5 * (cavity + wall)
    muscle = tissue * log_uniform(rng, 0.4, 1.5)
    blood = rng.uniform(0.7, 1.1)
    aspect, turn = rng.uniform(0.85, 1.2), float(rng.uniform(0, np.pi))
    bodies = []
    if chance(rng, 0.6):  # right ventricle: a bright crescent behind the wall
        side = rng.uniform(0, 2 * np.pi)
        away = np.array([np.sin(side), np.cos(side)]) * (radius + wall) * rng.uniform(0.6, 1.0)
        r = radius * rng.uniform(0.7, 1.3) * (1 - 0.25 * squeeze)
        bodies.append(
            organ(
                stage,
                centre + away,
                r,
                grey=blood * rng.uniform(0.4, 1.0),
                lobes=0.15,
                aspect=rng.uniform(0.6, 1.6),
                angle=float(rng.uniform(0, np.pi)),
                ident=3 if chance(rng, 0.5) else 0,
            )
        )
    wall_body = organ(
        stage,
        centre,
        outer,
        grey=muscle,
        ident=2,
        aspect=aspect,
        lobes=0.05,
        grain=rng.uniform(0.03, 0.3),
        angle=turn,
    )
    cavity_body = organ(
        stage,
        centre,
        cavity,
        grey=blood,
        ident=1,
        aspect=aspect,
        lobes=rng.uniform(0.03, 0.12),
        grain=rng.uniform(0.01, 0.12),
        angle=turn,
    )
    if chance(rng, 0.5):  # fat or pericardium: a thin line around the wall
        line = muscle * float(rng.choice([0.2, 1.8, 3.0]))
        rim = outer + rng.uniform(1.0, 0.12 * radius + 1.5)
        bodies.append(
            replace(
                wall_body,
                ident=0,
                shape=_grown(wall_body.shape, outer, rim),
                tile=wall_body.tile * np.float32(line / muscle),
            )
        )
    bodies += [wall_body, cavity_body]
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):  # papillary muscles: part of the cavity
        at = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.45, 0.8) * cavity[:, None]
        spot = centre + np.array([np.sin(at), np.cos(at)]) * reach
        r = radius * rng.uniform(0.06, 0.18) * (1 + 0.2 * squeeze)
        bodies.append(organ(stage, spot, r, grey=muscle * rng.uniform(0.8, 1.3), ident=1))
    return bodies


def _grown(shape: Shape, before: np.ndarray, after: np.ndarray) -> Shape:
    """Return the same outline, larger by after / before (T,)."""
    if not isinstance(shape, Star):
        raise TypeError(f"Only a Star can be grown, got {type(shape).__name__}.")
    return replace(shape, axes=shape.axes * (after / before)[:, None])


def cine(stage: Stage) -> Scene:
    """Make a beating bright cavity in a dark ring, amid tissue of like grey."""
    rng, size = stage.rng, stage.size
    radius = size * log_uniform(rng, 0.045, 0.22)
    start = size / 2 + rng.normal(0, 0.1 * size, 2)
    sway = evolve(rng, stage.steps, (2,), 0.15) * radius * rng.uniform(0, 0.12)
    heart = start + sway
    tissue = log_uniform(rng, 0.1, 0.5)
    bodies = _anatomy(stage, heart, radius, tissue)
    bodies += _vessels(stage, heart, radius)
    bodies += _heart(stage, heart + stage.camera, radius, tissue)
    images, labels = paint(stage, bodies, ground=rng.uniform(0, 0.05), softness=(1.0, 3.0))
    if chance(rng, 0.25):
        _border(rng, images)
    optics = Optics(
        blur=(0.5, 1.4),
        photons=(3000.0, 1e5),
        read=(0.005, 0.05),
        grain=(0.4, 1.2),
        uneven=0.6,
        defocus=0.03,
        invert=0.08,
        low=(0.01, 1.0),
        high=(0.02, 1.5),
        gamma=(0.6, 1.2),
    )
    return Scene(np.abs(images), labels, optics)


def paint(
    stage: Stage, bodies: list[Body], *, ground: float, softness: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Paint bodies back to front on a textured ground; ids likewise."""
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    base = ground * (1 + 0.3 * fractal_noise(rng, (size, size), cell=size / 6))
    soft = [float(rng.uniform(*softness)) for _ in bodies]
    for t in range(stage.frames):
        images[t] = base
        for body, edge in zip(bodies, soft, strict=True):
            patch = make_patch(body, t, size)
            if patch is None:
                continue
            blend(images[t], patch, texture(body, patch) * float(body.gain[t]), edge)
            if body.ident:
                stamp(labels[t], patch, body.ident)
        images[t] += 0.01 * smooth_noise(rng, (size, size), 5)
    return images, labels


def _border(rng: np.random.Generator, images: np.ndarray) -> None:
    """Black out a margin with slanted sides, in place."""
    size = images.shape[1]
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    slant = float(rng.normal(0, 0.08))
    half = float(rng.uniform(0.4, 0.48))
    inside = np.abs(across)[None, :] < half + slant * across[:, None]
    images *= inside if chance(rng, 0.5) else inside.T


def _sector(rng: np.random.Generator, size: int) -> np.ndarray:
    """Where a fan-shaped probe sees, times its loss with depth: (Y, X), 0 outside."""
    y = (np.arange(size, dtype=np.float32) + np.float32(size * rng.uniform(0, 0.15)))[:, None]
    x = (np.arange(size, dtype=np.float32) - np.float32(size * rng.uniform(0.4, 0.6)))[None, :]
    depth = np.sqrt(x * x + y * y) / np.float32(size)
    loss = np.exp(-np.float32(rng.uniform(0, 1.5)) * depth)
    if chance(rng, 0.3):
        return np.broadcast_to(loss, (size, size)).astype(np.float32)
    half = np.float32(rng.uniform(0.5, 0.9))
    return (loss * (np.abs(np.arctan2(x, y)) < half) * (depth < rng.uniform(0.9, 1.3))).astype(
        np.float32
    )


def _speckle(stage: Stage, images: np.ndarray) -> None:
    """Multiply by slowly changing speckle and compress the range, in place."""
    rng = stage.rng
    cell, stretch = rng.uniform(2.0, 5.0), log_uniform(rng, 1, 3)
    keep = rng.uniform(0, 0.9)
    shape = images.shape[1:]
    waves = [smooth_noise(rng, shape, cell, stretch=stretch) for _ in range(2)]
    power = np.float32(log_uniform(rng, 3, 60))
    for image in images:
        for wave in waves:
            wave *= np.float32(keep)
            wave += np.float32((1 - keep**2) ** 0.5) * smooth_noise(
                rng, shape, cell, stretch=stretch
            )
        image *= np.sqrt(waves[0] ** 2 + waves[1] ** 2) * np.float32(0.8)
        np.log1p(power * np.abs(image), out=image)
        image /= np.log1p(power)


def ultrasound(stage: Stage) -> Scene:
    """Dark beating chambers with bright walls in speckled tissue; one wall may be an object."""
    rng, size = stage.rng, stage.size
    squeeze = beating(rng, stage.frames)
    tissue = log_uniform(rng, 0.15, 0.6)
    middle = size / 2 + rng.normal(0, 0.07 * size, 2)
    unit = size * log_uniform(rng, 0.05, 0.2)
    sway = evolve(rng, stage.steps, (2,), 0.15) * unit * rng.uniform(0, 0.12) + stage.camera
    count = int(rng.integers(1, 5))
    turn = rng.uniform(0, 2 * np.pi)
    ring = chance(rng, 0.4)
    bodies = []
    for _ in range(int(rng.integers(0, 5))):
        place = rng.uniform(0, size, 2) + stage.camera
        grey = tissue * log_uniform(rng, 0.2, 2.5)
        bodies.append(
            organ(
                stage,
                place,
                still(stage, unit * rng.uniform(0.4, 2)),
                grey=grey,
                aspect=rng.uniform(0.4, 3),
                lobes=0.3,
                grain=0.3,
                angle=float(rng.uniform(0, np.pi)),
            )
        )
    for k in range(count):
        at = turn + k * 2 * np.pi / max(count, 2)
        away = np.array([np.sin(at), np.cos(at)]) * unit * (1.35 if count > 1 else 0)
        radius = unit * rng.uniform(0.6, 1.1) * (1 - rng.uniform(0.05, 0.4) * squeeze)
        wall = unit * rng.uniform(0.1, 0.45)
        aspect, angle = rng.uniform(1, 2), float(rng.uniform(0, np.pi))
        wall_ident = count + 1 if ring and k == 0 else 0
        bright = tissue * rng.uniform(0.9, 2.5)
        for r, grey, ident in (
            (radius + wall, bright, wall_ident),
            (radius, tissue * rng.uniform(0.02, 0.25), k + 1),
        ):
            bodies.append(
                organ(
                    stage,
                    middle + away + sway,
                    r,
                    grey=grey,
                    ident=ident,
                    aspect=aspect,
                    lobes=0.08,
                    grain=0.25,
                    angle=angle,
                )
            )
    images, labels = paint(stage, bodies, ground=tissue, softness=(2.0, 5.0))
    view = _sector(rng, size)
    _speckle(stage, images)
    images *= view
    labels[:, view == 0] = 0
    optics = Optics(
        blur=(0.4, 1.2),
        photons=(1e3, 1e5),
        read=(0.0, 0.03),
        uneven=0.3,
        invert=0.04,
        blocks=0.3,
        high=(0.01, 1.0),
    )
    return Scene(images, labels, optics)
