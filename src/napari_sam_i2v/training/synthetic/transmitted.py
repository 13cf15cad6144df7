"""Transmitted-light looks: phase contrast, relief (DIC), bright field, bacteria."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Scene
from napari_sam_i2v.training.synthetic.compact import phase_compact
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, MakeShape, blob_shape, grow_crowd
from napari_sam_i2v.training.synthetic.dish import debris
from napari_sam_i2v.training.synthetic.fluorescence import crowd_speed
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.outlines import (
    armed_shape,
    ragged_shape,
    rod_shape,
    spread_shape,
)
from napari_sam_i2v.training.synthetic.thickness import (
    Contrast,
    Draw,
    body_draw,
    fringe_draw,
    phase_contrast,
    plain_absorption,
    relief_contrast,
    sheet_draw,
    thickness_clip,
)
from napari_sam_i2v.training.synthetic.truth import generosity


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

    bodies = debris(stage, int(rng.poisson(6)) if chance(rng, 0.6) else 0)
    return bodies + grow_crowd(stage, plan, make_tile, outline), size


def _in_halo(rng: np.random.Generator, halo: float, radius: float) -> float:
    """Distance in pixels from the edge to an outline drawn in the inner half of a halo."""
    return max(min(rng.uniform(0.05, 0.6) * halo, 0.25 * radius), 0.5)


def phase_spindle(stage: Stage) -> Scene:
    """Phase contrast: small elongated cells with protrusions, or tiny glowing ones."""
    rng = stage.rng
    if chance(rng, 0.55):
        return phase_compact(stage)
    aspect = rng.uniform(0.2, 1.2)
    bodies, radius = _cells(
        stage, radius=(0.014, 0.06), cover=(0.01, 0.2), aspect=aspect, outline=armed_shape
    )
    halo = max(radius * rng.uniform(0.3, 0.9), 2.0)
    return thickness_clip(
        stage,
        bodies,
        body_draw(rng),
        phase_contrast(rng, halo),
        strength=log_uniform(rng, 0.12, 0.5),
        generous=_in_halo(rng, halo, radius),
    )


def phase_spread(stage: Stage) -> Scene:
    """Phase contrast: large flat cells with ragged rims and thick somas, low contrast."""
    rng = stage.rng
    bodies, radius = _cells(
        stage,
        radius=(0.04, 0.2),
        cover=(0.05, 0.35),
        aspect=rng.uniform(0.3, 1.2),
        outline=spread_shape,
        roughness=(0.3, 2.0),
    )
    halo = max(radius * rng.uniform(0.1, 0.4), 2.0)
    return thickness_clip(
        stage,
        bodies,
        sheet_draw(rng),
        phase_contrast(rng, halo),
        strength=log_uniform(rng, 0.1, 0.4),
        generous=min(_in_halo(rng, halo, radius), 0.08 * radius),
    )


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
    draw = sheet_draw(rng) if chance(rng, 0.6) else body_draw(rng)
    halo = max(radius * rng.uniform(0.2, 0.6), 2.0)
    return thickness_clip(
        stage,
        bodies,
        draw,
        phase_contrast(rng, halo),
        strength=log_uniform(rng, 0.15, 0.5),
        generous=min(_in_halo(rng, halo, radius), 0.1 * radius),
    )


def relief(stage: Stage) -> Scene:
    """Differential interference contrast: cells look lit from one side."""
    rng = stage.rng
    kinds: list[MakeShape] = [blob_shape, spread_shape, armed_shape]
    bodies, radius = _cells(
        stage,
        radius=(0.03, 0.2),
        cover=(0.08, 0.5),
        aspect=rng.uniform(0.1, 0.8),
        outline=kinds[int(rng.integers(3))],
        roughness=(0.3, 1.5),
        limit=40,
    )
    return thickness_clip(
        stage,
        bodies,
        sheet_draw(rng) if chance(rng, 0.3) else body_draw(rng),
        relief_contrast(rng),
        strength=log_uniform(rng, 0.15, 0.5),
        generous=generosity(rng, 2 * radius, most=0.06),
    )


def bright_field(stage: Stage) -> Scene:
    """Bright field: outlines with fringes, faint insides; yeast to large cells."""
    rng = stage.rng
    kinds: list[MakeShape] = [blob_shape, blob_shape, armed_shape]
    bodies, radius = _cells(
        stage,
        radius=(0.02, 0.2),
        cover=(0.05, 0.5),
        aspect=rng.uniform(0.05, 0.6),
        outline=kinds[int(rng.integers(3))],
        roughness=(0.1, 1.5),
        limit=50,
    )
    return thickness_clip(
        stage,
        bodies,
        fringe_draw(rng),
        plain_absorption,
        strength=log_uniform(rng, 0.12, 0.4),
        generous=generosity(rng, 2 * radius, most=0.05),
    )


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
        spacing=(0.7, 1.1),
    )
    draw, contrast = _rod_look(rng, radius)
    return thickness_clip(
        stage,
        bodies,
        draw,
        contrast,
        strength=log_uniform(rng, 0.15, 0.5),
        generous=generosity(rng, radius, most=0.1),
    )


def _rod_look(rng: np.random.Generator, radius: float) -> tuple[Draw, Contrast]:
    """How rods are seen: phase contrast, bright field, or bright on dark."""
    kind = rng.integers(3)
    if kind == 0:
        return body_draw(rng), phase_contrast(rng, max(radius * rng.uniform(0.5, 1.5), 2.0))
    if kind == 1:
        return fringe_draw(rng), plain_absorption
    return body_draw(rng, bright=0), np.asarray
