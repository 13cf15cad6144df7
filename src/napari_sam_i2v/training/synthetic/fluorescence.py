"""Fluorescence looks: nuclei (sparse, crowded, dividing) and whole cells."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Patch, Scene, make_patch, stamp, texture
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, MakeTile, blob_shape, grow_crowd
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, smooth_noise
from napari_sam_i2v.training.synthetic.optics import Optics, wide_blur
from napari_sam_i2v.training.synthetic.outlines import armed_shape, ragged_shape, spread_shape

Pair = tuple[np.ndarray, np.ndarray]  # images float32 and labels uint8, both (T, Y, X)


def crowd_speed(rng: np.random.Generator, fastest: float) -> float:
    """Typical distance per frame in radii, from almost none to `fastest`."""
    return log_uniform(rng, 0.01, fastest)


def nucleus_tiles(rng: np.random.Generator) -> MakeTile:
    """Textures of nuclei: smooth with dark nucleoli, chromatin grains, or a dim mix."""
    mixed = chance(rng, 0.4)
    usual = rng.integers(3)
    contrast = rng.uniform(0.3, 1.0)

    def make(radius: float) -> np.ndarray:
        kind = rng.integers(3) if mixed else usual
        cell = max(radius * rng.uniform(0.12, 0.3), 1.6)
        if kind == 0:
            tile = tiles.plain(rng, radius, grain=0.1 * contrast, cell=cell * 2)
        elif kind == 1:
            tile = tiles.grains(rng, radius, cell=cell, strength=rng.uniform(0.5, 1.2) * contrast)
        else:
            tile = tiles.plain(rng, radius, grain=0.3 * contrast, cell=cell)
            tile += tiles.spots(rng, radius, count=int(rng.integers(8, 30)), width=0.07, strength=1)
        if chance(rng, 0.6):
            count = int(rng.integers(1, 5))
            holes = tiles.spots(rng, radius, count=count, width=0.2, strength=contrast * 0.6)
            tile *= 1 - np.clip(holes, 0, 0.9)
        return np.maximum(tile, 0.03)

    return make


def _render(
    stage: Stage, bodies: list[Body], *, background: float, rim: float, dome: float
) -> Pair:
    """Add up the light of all bodies; later bodies win the labels."""
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    haze = rng.uniform(0.0, 0.25) if chance(rng, 0.6) else 0.0
    haze_width = size * rng.uniform(0.03, 0.1)
    ground = background * (1 + 0.25 * smooth_noise(rng, (size, size), size / 3))
    order = sorted(bodies, key=lambda body: float(body.gain.mean()))
    for t in range(stage.frames):
        light = np.zeros((size, size), np.float32)
        for body in order:
            patch = make_patch(body, t, size) if body.alive(t) else None
            if patch is not None:
                light[patch.box] += _emission(body, patch, t, rim, dome)
                if body.ident:
                    stamp(labels[t], patch, body.ident)
        images[t] = light + ground
        if haze:
            images[t] += haze * wide_blur(light, haze_width)
    return images, labels


def _emission(body: Body, patch: Patch, t: int, rim: float, dome: float) -> np.ndarray:
    """Light of one body on its patch: `dome` dims it towards the edge, `rim` lights the edge."""
    value = texture(body, patch) * float(body.gain[t])
    if dome:
        depth = 1 - np.minimum(patch.mu * patch.mu + patch.mv * patch.mv, 0.85)
        value *= (1 - dome) + dome * np.sqrt(depth)
    if rim:
        value = value + rim * np.exp(-np.abs(patch.level - 1.5) * 0.6)
    return patch.cover(1.5) * value


def _ghosts(stage: Stage, plan: CrowdPlan, share: float) -> list[Body]:
    """Dim, unlabelled bodies below the focus."""
    count = int(plan.count * share)
    if not count:
        return []
    dim = CrowdPlan(count, plan.radius * 0.9, speed=plan.speed, spacing=0.5)
    bodies = grow_crowd(stage, dim, lambda r: tiles.plain(stage.rng, r, grain=0.2, cell=r))
    level = stage.rng.uniform(0.02, 0.1)
    return [Body(0, b.shape, b.centre, b.angle, b.scale, b.gain * level, b.tile) for b in bodies]


def _fluorescence_optics() -> Optics:
    return Optics(
        blur=(0.4, 1.6),
        photons=(8.0, 1500.0),
        read=(0.0, 0.05),
        bleach=0.5,
        invert=0.04,
        gamma=(0.7, 1.3),
        high=(0.01, 1.5),
        low=(0.05, 5.0),
        uneven=0.4,
    )


def _nuclei(stage: Stage, plan: CrowdPlan) -> Scene:
    rng = stage.rng
    bodies = _ghosts(stage, plan, rng.uniform(0.1, 0.6) if chance(rng, 0.3) else 0)
    bodies += grow_crowd(stage, plan, nucleus_tiles(rng))
    background = log_uniform(rng, 0.01, 0.25)
    rim = rng.uniform(0.1, 0.5) if chance(rng, 0.15) else 0.0
    dome = rng.uniform(0, 0.9) if chance(rng, 0.5) else 0.0
    images, labels = _render(stage, bodies, background=background, rim=rim, dome=dome)
    return Scene(images, labels, _fluorescence_optics())


def nuclei_sparse(stage: Stage) -> Scene:
    """Few large nuclei with texture, far apart or just touching."""
    rng = stage.rng
    radius = stage.size * log_uniform(rng, 0.03, 0.16)
    room = 0.5 * (stage.size / (2.2 * radius)) ** 2
    plan = CrowdPlan(
        count=int(np.clip(rng.integers(1, 14), 1, max(room, 1.5))),
        radius=radius,
        aspect=0.35,
        lobes=log_uniform(rng, 0.05, 0.35),
        speed=crowd_speed(rng, 0.8),
        spacing=rng.uniform(0.95, 1.3),
        divide=0.1,
        brightness=rng.uniform(0.1, 0.6),
        condense=rng.uniform(0.2, 1),
        margin=-0.5,
    )
    return _nuclei(stage, plan)


def nuclei_crowded(stage: Stage) -> Scene:
    """Many small nuclei, touching and overlapping, of unequal brightness."""
    rng = stage.rng
    radius = stage.size * log_uniform(rng, 0.016, 0.065)
    room = rng.uniform(0.25, 0.7) * (stage.size / (2 * radius)) ** 2
    plan = CrowdPlan(
        count=int(np.clip(room, 8, 60)),
        radius=radius,
        spread=rng.uniform(0.08, 0.25),
        lobes=log_uniform(rng, 0.03, 0.15),
        speed=crowd_speed(rng, 0.5),
        spacing=rng.uniform(0.75, 1.05),
        divide=rng.uniform(0, 0.12),
        brightness=rng.uniform(0.1, 0.5),
        condense=rng.uniform(0.3, 1),
    )
    return _nuclei(stage, plan)


def nuclei_dividing(stage: Stage) -> Scene:
    """Nuclei of which many divide."""
    rng = stage.rng
    radius = stage.size * log_uniform(rng, 0.02, 0.08)
    room = 0.35 * (stage.size / (2 * radius)) ** 2
    plan = CrowdPlan(
        count=int(np.clip(rng.integers(3, 30), 2, max(room, 2))),
        radius=radius,
        lobes=log_uniform(rng, 0.03, 0.2),
        speed=crowd_speed(rng, 0.4),
        spacing=rng.uniform(0.9, 1.2),
        divide=rng.uniform(0.25, 0.7),
        brightness=rng.uniform(0.1, 0.4),
        condense=rng.uniform(0.3, 1),
    )
    return _nuclei(stage, plan)


def cytoplasm(stage: Stage) -> Scene:
    """Whole cells, spread, with or without arms, some with a dark or bright nucleus."""
    rng = stage.rng
    radius = stage.size * log_uniform(rng, 0.025, 0.13)
    room = rng.uniform(0.1, 0.45) * (stage.size / (2 * radius)) ** 2
    plan = CrowdPlan(
        count=int(np.clip(room, 1, 40)),
        radius=radius,
        spread=0.2,
        aspect=rng.uniform(0.1, 0.9),
        lobes=log_uniform(rng, 0.08, 0.4),
        speed=crowd_speed(rng, 0.6),
        spacing=rng.uniform(0.85, 1.3),
        divide=rng.uniform(0, 0.1),
        brightness=rng.uniform(0.1, 0.6),
        condense=0.3,
        margin=0.0,
    )
    outlines = (blob_shape, armed_shape, ragged_shape, spread_shape)
    outline = outlines[int(rng.integers(len(outlines)))]
    roughness, nucleus = rng.uniform(0.1, 1.0), rng.uniform(-0.9, 1.5)

    def make_tile(r: float) -> np.ndarray:
        return tiles.cell(rng, r, roughness=roughness, nucleus=nucleus)

    bodies = grow_crowd(stage, plan, make_tile, outline)
    background = log_uniform(rng, 0.01, 0.25)
    rim = rng.uniform(0.2, 1.0) if chance(rng, 0.25) else 0.0
    images, labels = _render(stage, bodies, background=background, rim=rim, dome=rng.uniform(0, 1))
    return Scene(images, labels, _fluorescence_optics())
