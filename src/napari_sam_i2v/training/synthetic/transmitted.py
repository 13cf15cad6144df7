"""Transmitted-light looks: phase contrast, relief (DIC), bright field, bacteria."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Patch, Scene, make_patch, stamp, texture
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, MakeShape, blob_shape, grow_crowd
from napari_sam_i2v.training.synthetic.fluorescence import crowd_speed
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    smooth_noise,
)
from napari_sam_i2v.training.synthetic.optics import Optics, wide_blur
from napari_sam_i2v.training.synthetic.outlines import (
    armed_shape,
    ragged_shape,
    rod_shape,
    spread_shape,
)

Draw = Callable[[Body, Patch, int], np.ndarray]
Contrast = Callable[[np.ndarray], np.ndarray]  # thickness (Y, X) -> change of brightness (Y, X)


def _dish(stage: Stage, strength: float) -> np.ndarray:
    """Background of a culture dish around 0, (Y, X), weaker than the cells' `strength`."""
    rng, size = stage.rng, stage.size
    field = log_uniform(rng, 0.03, 0.5) * smooth_noise(rng, (size, size), size / 2)
    cell = log_uniform(rng, 3, 40)
    field += log_uniform(rng, 0.005, 0.1) * fractal_noise(rng, (size, size), cell=cell, octaves=3)
    for _ in range(int(rng.poisson(3))):
        _dust(rng, field)
    return (field * np.float32(strength)).astype(np.float32)


def _dust(rng: np.random.Generator, field: np.ndarray) -> None:
    """Add one out-of-focus ring or smear to the field, in place."""
    size = field.shape[0]
    radius = log_uniform(rng, 0.01, 0.08) * size
    centre = rng.uniform(0, size, 2)
    y = (np.arange(size, dtype=np.float32) - np.float32(centre[0]))[:, None]
    x = (np.arange(size, dtype=np.float32) - np.float32(centre[1]))[None, :]
    distance = np.sqrt(y * y * np.float32(rng.uniform(0.6, 1.6)) + x * x)
    ring = np.exp(-(((distance - np.float32(radius)) / np.float32(0.25 * radius + 1)) ** 2))
    if chance(rng, 0.5):  # seen from one side only
        turn = rng.uniform(0, 2 * np.pi)
        ring = ring * (
            y * np.float32(np.sin(turn) / radius) + x * np.float32(np.cos(turn) / radius)
        )
    field += np.float32(rng.normal(0, 0.25)) * ring


def _debris(stage: Stage, count: int) -> list[Body]:
    """Small unlabelled specks that lie on the dish."""
    if not count:
        return []
    radius = log_uniform(stage.rng, 1.0, 3.0)
    plan = CrowdPlan(count, radius, spread=0.5, lobes=0.4, speed=0.01, spacing=0.0)
    bodies = grow_crowd(stage, plan, lambda r: np.ones((24, 24), np.float32))
    sign = stage.rng.choice([-0.4, 1.0, 1.0], len(bodies))
    return [replace(b, ident=0, gain=b.gain * s) for b, s in zip(bodies, sign, strict=True)]


def _thickness_clip(
    stage: Stage, bodies: list[Body], draw: Draw, contrast: Contrast, strength: float
) -> Scene:
    """Pile up the bodies' thickness, turn it into contrast and record it."""
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    ground = 0.5 + _dish(stage, strength)
    restless = rng.uniform(0, 0.06) * strength
    for t in range(stage.frames):
        thick = np.zeros((size, size), np.float32)
        for body in bodies:
            patch = make_patch(body, t, size, margin=8.0) if body.alive(t) else None
            if patch is None:
                continue
            region = thick[patch.box]
            region += draw(body, patch, t) - 0.6 * patch.cover(1.5) * region
            if body.ident:
                stamp(labels[t], patch, body.ident)
        images[t] = ground + np.float32(strength) * contrast(thick)
        images[t] += np.float32(restless) * smooth_noise(rng, (size, size), 6)
    np.maximum(images, 0, out=images)
    return Scene(images, labels, _optics(strength))


def _optics(strength: float) -> Optics:
    """Imaging with noise below the contrast of the cells."""
    return Optics(
        blur=(0.4, 1.3),
        photons=(0.5 / (0.1 * strength) ** 2, 0.5 / (0.015 * strength) ** 2),
        read=(0.0, 0.04 * strength),
        flicker=0.12 * strength,
        uneven=min(0.4, 0.8 * strength),
        invert=0.08,
        low=(0.01, 1.0),
        high=(0.01, 1.0),
    )


def _phase_contrast(rng: np.random.Generator, halo: float) -> Contrast:
    """Thick is dark, and light is lost from a wide neighbourhood: the bright halo."""
    share, gain = rng.uniform(0.2, 0.5), np.float32(rng.uniform(0.9, 1.8))

    def contrast(thick: np.ndarray) -> np.ndarray:
        lost = (1 - share) * wide_blur(thick, halo) + share * wide_blur(thick, halo * 0.4)
        return gain * lost - thick

    return contrast


def _relief(rng: np.random.Generator) -> Contrast:
    """Brightness follows the slope of the thickness in one direction."""
    turn = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(1.0, 3.0)
    dy, dx = (round(float(c)) for c in (reach * np.sin(turn), reach * np.cos(turn)))
    dy = dy or int(dx == 0)
    edge = 4
    flat = rng.uniform(0, 0.15)

    def contrast(thick: np.ndarray) -> np.ndarray:
        smooth = wide_blur(thick, 1.0)
        wide = np.pad(smooth, edge, mode="edge")
        tall, broad = smooth.shape
        slope = smooth - wide[edge + dy : edge + dy + tall, edge + dx : edge + dx + broad]
        return 1.2 * slope - np.float32(flat) * smooth

    return contrast


def _plain_absorption(thick: np.ndarray) -> np.ndarray:
    return -thick


def _body_draw(rng: np.random.Generator, bright: float | None = None) -> Draw:
    """Thickness of compact cells: plateau or dome with texture; a share is bright inside."""
    dome = rng.uniform(0.0, 1.0)
    if bright is None:
        bright = rng.uniform(0, 0.5) if chance(rng, 0.6) else 0.0
    rounded: dict[int, bool] = {}

    def draw(body: Body, patch: Patch, t: int) -> np.ndarray:
        inverse = rounded.setdefault(body.ident, bool(rng.random() < bright))
        depth = np.sqrt(np.maximum(patch.level, 0)) * 0.5
        value = ((1 - dome) + dome * depth) * texture(body, patch) * float(body.gain[t])
        if inverse:  # a rounded cell: bright inside, dark edge
            value = 1.2 * np.exp(-((patch.level - 1) ** 2) * 0.2) - value
        return patch.cover(1.5) * value

    return draw


def _sheet_draw(rng: np.random.Generator) -> Draw:
    """Thickness of spread cells: a thin sheet with a dark rim, and a thick soma somewhere."""
    thin, rim = rng.uniform(0.05, 0.4), rng.uniform(0.3, 1.0)
    somas: dict[int, np.ndarray] = {}

    def draw(body: Body, patch: Patch, t: int) -> np.ndarray:
        if body.ident not in somas:
            somas[body.ident] = np.append(
                rng.normal(0, 0.25, 2), rng.uniform([0.25, 0.3], [0.6, 2])
            )
        y, x, r, height = (float(c) for c in somas[body.ident])
        away = np.sqrt((patch.mu - x) ** 2 + (patch.mv - y) ** 2)
        soma = np.clip((r - away) * (2.5 / r), 0, 1) * height
        grain = texture(body, patch)
        edge = np.exp(-np.abs(patch.level - 1.5) * 0.45) * rim * grain
        return patch.cover(1.5) * ((thin + soma) * grain + edge) * float(body.gain[t])

    return draw


def _fringe_draw(rng: np.random.Generator) -> Draw:
    """Bright field: diffraction fringes along the outline, little inside."""
    period, decay = rng.uniform(4, 12), rng.uniform(2, 5)
    phase = rng.uniform(-1, 1)
    inside = rng.normal(0, 0.35)

    def draw(body: Body, patch: Patch, t: int) -> np.ndarray:
        fringe = np.cos(patch.level * np.float32(2 * np.pi / period) + np.float32(phase))
        fringe *= np.exp(-np.abs(patch.level) * np.float32(1 / decay))
        cover = patch.cover(1.5)
        grain = texture(body, patch)
        return (fringe + cover * (inside + 0.5 * (grain - 1))) * float(body.gain[t])

    return draw


def _cells(
    stage: Stage,
    *,
    radius: tuple[float, float],
    cover: tuple[float, float],
    aspect: float,
    outline: MakeShape,
    roughness: tuple[float, float] = (0.2, 1.2),
    limit: int = 30,
    end_on: bool = False,
    spacing: tuple[float, float] = (0.9, 1.4),
) -> tuple[list[Body], float]:
    """Debris and a crowd of cells of a common kind; also their mean radius in pixels."""
    rng = stage.rng
    size = stage.size * log_uniform(rng, *radius)
    room = rng.uniform(*cover) * (stage.size / (2 * size)) ** 2
    plan = CrowdPlan(
        count=int(np.clip(room, 1, limit)),
        radius=size,
        spread=rng.uniform(0.1, 0.3),
        aspect=aspect,
        lobes=log_uniform(rng, 0.06, 0.4),
        speed=crowd_speed(rng, 1.3),
        spacing=rng.uniform(*spacing),
        divide=rng.uniform(0, 0.15),
        brightness=0.2,
        condense=0.0 if end_on else 0.3,
        end_on=end_on,
        margin=0.0,
    )
    rough, nucleus = rng.uniform(*roughness), rng.normal(0, 0.3)

    def make_tile(r: float) -> np.ndarray:
        return tiles.cell(rng, r, roughness=rough, nucleus=nucleus)

    bodies = _debris(stage, int(rng.poisson(6)) if chance(rng, 0.6) else 0)
    return bodies + grow_crowd(stage, plan, make_tile, outline), size


def phase_spindle(stage: Stage) -> Scene:
    """Phase contrast: small elongated cells with protrusions and bright halos."""
    rng = stage.rng
    aspect = rng.uniform(0.2, 1.2)
    bodies, radius = _cells(
        stage, radius=(0.014, 0.06), cover=(0.01, 0.2), aspect=aspect, outline=armed_shape
    )
    halo = max(radius * rng.uniform(0.3, 0.9), 2.0)
    strength = log_uniform(rng, 0.12, 0.5)
    return _thickness_clip(stage, bodies, _body_draw(rng), _phase_contrast(rng, halo), strength)


def phase_spread(stage: Stage) -> Scene:
    """Phase contrast: large flat cells with ragged rims and thick somas, low contrast."""
    rng = stage.rng
    bodies, radius = _cells(
        stage,
        radius=(0.04, 0.16),
        cover=(0.05, 0.35),
        aspect=rng.uniform(0.3, 1.2),
        outline=spread_shape,
        roughness=(0.5, 2.0),
    )
    halo = max(radius * rng.uniform(0.15, 0.5), 2.0)
    strength = log_uniform(rng, 0.1, 0.4)
    return _thickness_clip(stage, bodies, _sheet_draw(rng), _phase_contrast(rng, halo), strength)


def phase_packed(stage: Stage) -> Scene:
    """Phase contrast: a nearly closed layer of textured cells."""
    rng = stage.rng
    outline: MakeShape = blob_shape if chance(rng, 0.5) else ragged_shape
    bodies, radius = _cells(
        stage,
        radius=(0.03, 0.1),
        cover=(0.4, 0.8),
        aspect=rng.uniform(0.1, 0.8),
        outline=outline,
        roughness=(0.4, 2.0),
        limit=60,
        spacing=(0.85, 1.0),
    )
    draw = _sheet_draw(rng) if chance(rng, 0.6) else _body_draw(rng)
    halo = max(radius * rng.uniform(0.2, 0.6), 2.0)
    strength = log_uniform(rng, 0.15, 0.5)
    return _thickness_clip(stage, bodies, draw, _phase_contrast(rng, halo), strength)


def relief(stage: Stage) -> Scene:
    """Differential interference contrast: cells look lit from one side."""
    rng = stage.rng
    kinds: list[MakeShape] = [blob_shape, spread_shape, armed_shape]
    bodies, _ = _cells(
        stage,
        radius=(0.03, 0.15),
        cover=(0.08, 0.5),
        aspect=rng.uniform(0.1, 0.8),
        outline=kinds[int(rng.integers(3))],
        roughness=(0.3, 1.5),
        limit=40,
    )
    draw = _sheet_draw(rng) if chance(rng, 0.3) else _body_draw(rng)
    return _thickness_clip(stage, bodies, draw, _relief(rng), log_uniform(rng, 0.15, 0.5))


def bright_field(stage: Stage) -> Scene:
    """Bright field: outlines with fringes, faint insides; yeast to large cells."""
    rng = stage.rng
    kinds: list[MakeShape] = [blob_shape, blob_shape, armed_shape]
    bodies, _ = _cells(
        stage,
        radius=(0.02, 0.14),
        cover=(0.05, 0.5),
        aspect=rng.uniform(0.05, 0.6),
        outline=kinds[int(rng.integers(3))],
        roughness=(0.1, 1.5),
        limit=50,
    )
    strength = log_uniform(rng, 0.12, 0.4)
    return _thickness_clip(stage, bodies, _fringe_draw(rng), _plain_absorption, strength)


def bacteria(stage: Stage) -> Scene:
    """Rods that grow and divide end to end: phase contrast, fluorescence or bright field."""
    rng = stage.rng
    bodies, radius = _cells(
        stage,
        radius=(0.014, 0.06),
        cover=(0.05, 0.5),
        aspect=rng.uniform(0.8, 3.5),
        outline=rod_shape,
        roughness=(0.0, 0.5),
        limit=60,
        end_on=True,
        spacing=(0.85, 1.1),
    )
    strength = log_uniform(rng, 0.15, 0.5)
    kind = rng.integers(3)
    if kind == 0:
        contrast = _phase_contrast(rng, max(radius * rng.uniform(0.5, 1.5), 2.0))
        return _thickness_clip(stage, bodies, _body_draw(rng), contrast, strength)
    if kind == 1:
        return _thickness_clip(stage, bodies, _fringe_draw(rng), _plain_absorption, strength)
    return _thickness_clip(stage, bodies, _body_draw(rng, bright=0), np.asarray, strength)
