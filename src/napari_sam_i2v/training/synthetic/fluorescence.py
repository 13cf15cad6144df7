"""Fluorescence looks: nuclei (sparse, crowded, dividing) and whole cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Scene
from napari_sam_i2v.training.synthetic.chromatin import (
    compact_is_bright,
    nucleus_shapes,
    nucleus_tiles,
)
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, blob_shape, grow_crowd
from napari_sam_i2v.training.synthetic.glow import Glow, draw_glow, render
from napari_sam_i2v.training.synthetic.motion import Stage, evolve
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.outlines import armed_shape, ragged_shape, spread_shape

_DIMMEST = 0.1  # of the usual brightness: fainter bodies would be labelled, but not seen


def crowd_speed(rng: np.random.Generator, fastest: float) -> float:
    """Typical distance per frame in radii, from almost none to `fastest`."""
    return log_uniform(rng, 0.01, fastest)


def unequal(rng: np.random.Generator) -> float:
    """Spread of the logarithm of brightness between neighbours: some clips differ tenfold."""
    return rng.uniform(0.5, 1.0) if chance(rng, 0.3) else rng.uniform(0.1, 0.5)


def drifting(stage: Stage, step: float) -> Stage:
    """Return the stage with a common, slowly turning motion of about `step` pixels per frame."""
    way = evolve(stage.rng, stage.steps, (2,), 0.2) * stage.steps[:, None]
    return replace(stage, camera=stage.camera + step * np.cumsum(way, axis=0))


def _ghosts(stage: Stage, plan: CrowdPlan, share: float) -> list[Body]:
    """Dim, unlabelled bodies below the focus."""
    count = int(plan.count * share)
    if not count:
        return []
    dim = CrowdPlan(count, plan.radius * 0.9, speed=plan.speed, spacing=0.5)
    bodies = grow_crowd(stage, dim, lambda r: tiles.plain(stage.rng, r, grain=0.2, cell=r))
    level = stage.rng.uniform(0.01, 0.06)
    return [replace(b, ident=0, gain=b.gain * level) for b in bodies]


def _dirt(stage: Stage, count: int) -> list[Body]:
    """Small bright unlabelled specks."""
    plan = CrowdPlan(count, log_uniform(stage.rng, 1.0, 2.5), spread=0.4, speed=0.3, spacing=0.0)
    bodies = grow_crowd(stage, plan, lambda r: np.ones((24, 24), np.float32))
    return [replace(b, ident=0, gain=b.gain * stage.rng.uniform(0.5, 3)) for b in bodies]


def _cell_bodies(stage: Stage, plan: CrowdPlan, nuclei: list[Body]) -> list[Body]:
    """Dim, unlabelled cytoplasm around some of the nuclei."""
    rng = stage.rng
    level = rng.uniform(0.04, 0.3)
    hosts = [b for b in nuclei if b.first == 0 and chance(rng, 0.5)]
    bodies = []
    for nucleus in hosts:
        shape = ragged_shape(stage, replace(plan, aspect=0.6, lobes=0.25), plan.radius * 1.9)
        tile = tiles.plain(rng, plan.radius * 1.9, grain=0.25, cell=max(plan.radius * 0.2, 1.6))
        bodies.append(replace(nucleus, ident=0, shape=shape, gain=nucleus.gain * level, tile=tile))
    return bodies


def leave_focus(stage: Stage, bodies: list[Body], share: float) -> list[Body]:
    """Let a share of the bodies cross the focal plane: the slice shrinks, fades, is gone."""
    rng = stage.rng
    return [
        _crossing(stage, b) if b.first == 0 and b.last > stage.frames and chance(rng, share) else b
        for b in bodies
    ]


def _crossing(stage: Stage, body: Body) -> Body:
    """Return a body at a height that changes steadily; at heights beyond 1 nothing is seen."""
    rng = stage.rng
    start, end = rng.uniform(-0.9, 0.9), rng.uniform(-1.5, 1.5)
    height = np.linspace(start, end, stage.frames)
    seen = np.flatnonzero(np.abs(height) < 0.93)
    width = np.sqrt(np.maximum(1 - height**2, 0.1))
    return replace(
        body,
        scale=body.scale * width,
        gain=body.gain * width ** rng.uniform(0, 3),
        last=int(seen[-1]) + 1,
    )


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


def _nuclei(stage: Stage, plan: CrowdPlan, *, most: float = 0.08) -> Scene:
    rng = stage.rng
    nuclei = grow_crowd(stage, plan, nucleus_tiles(rng), nucleus_shapes(rng, rng.uniform(0, 0.4)))
    nuclei = [replace(b, gain=np.maximum(b.gain, _DIMMEST)) for b in nuclei]
    nuclei = compact_is_bright(rng, nuclei)
    if chance(rng, 0.3):
        nuclei = leave_focus(stage, nuclei, rng.uniform(0.1, 0.6))
    bodies = _ghosts(stage, plan, rng.uniform(0.1, 0.6) if chance(rng, 0.25) else 0)
    if chance(rng, 0.3):
        bodies += _cell_bodies(stage, plan, nuclei)
    bodies += nuclei
    if chance(rng, 0.25):
        bodies += _dirt(stage, int(rng.integers(1, 8)))
    return _shown(stage, bodies, draw_glow(rng, plan.radius, most=most))


def _shown(stage: Stage, bodies: list[Body], glow: Glow) -> Scene:
    images, labels = render(stage, bodies, glow)
    return Scene(images, labels, _fluorescence_optics())


def nuclei_sparse(stage: Stage) -> Scene:
    """Few large nuclei with texture, far apart or just touching."""
    rng = stage.rng
    share = log_uniform(rng, 0.16, 0.36) if chance(rng, 0.12) else log_uniform(rng, 0.03, 0.16)
    radius = stage.size * share
    room = 0.5 * (stage.size / (2.2 * radius)) ** 2
    plan = CrowdPlan(
        count=int(np.clip(rng.integers(1, 14), 1, max(room, 1.5))),
        radius=radius,
        aspect=0.35,
        lobes=log_uniform(rng, 0.04, 0.3),
        speed=crowd_speed(rng, 0.8),
        spacing=rng.uniform(0.9, 1.3),
        divide=0.1,
        brightness=unequal(rng),
        condense=rng.uniform(0.2, 1),
        margin=-0.5,
    )
    return _nuclei(stage, plan)


def nuclei_crowded(stage: Stage) -> Scene:
    """Many small nuclei, touching and overlapping, of unequal brightness."""
    rng = stage.rng
    radius = stage.size * log_uniform(rng, 0.0125, 0.065)
    room = rng.uniform(0.25, 0.7) * (stage.size / (2 * radius)) ** 2
    coarse = chance(rng, 0.6)
    plan = CrowdPlan(
        count=int(np.clip(room, 8, 60)),
        radius=radius,
        spread=rng.uniform(0.08, 0.25),
        lobes=log_uniform(rng, 0.03, 0.15),
        speed=rng.uniform(0.2, 0.9) if coarse else crowd_speed(rng, 0.3),
        spacing=rng.uniform(0.75, 1.05),
        divide=rng.uniform(0, 0.12),
        brightness=unequal(rng),
        condense=rng.uniform(0.3, 1),
    )
    if coarse and chance(rng, 0.6):  # all of them the same way, up to a width a frame
        stage = drifting(stage, radius * rng.uniform(0.3, 1.2))
    return _nuclei(stage, plan, most=0.06)


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
        brightness=unequal(rng),
        condense=0.3,
        margin=0.0,
    )
    outlines = (blob_shape, armed_shape, ragged_shape, spread_shape)
    outline = outlines[int(rng.integers(len(outlines)))]
    roughness, nucleus = rng.uniform(0.1, 1.0), rng.uniform(-0.9, 1.5)

    def make_tile(r: float) -> np.ndarray:
        return tiles.cell(rng, r, roughness=roughness, nucleus=nucleus)

    bodies = grow_crowd(stage, plan, make_tile, outline)
    bodies = [replace(b, gain=np.maximum(b.gain, _DIMMEST)) for b in bodies]
    glow = draw_glow(rng, radius)
    rim = rng.uniform(0.2, 1.0) if chance(rng, 0.25) else 0.0
    generous = min(glow.generous, max(0.04 * radius, 1.0))  # arms are thin: less is added
    return _shown(stage, bodies, replace(glow, rim=rim, floor=0.25, generous=generous))
