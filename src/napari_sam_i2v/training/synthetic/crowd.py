"""Crowds of like bodies: nuclei, cells and rods that move, change shape, grow and divide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Body
from napari_sam_i2v.training.synthetic.motion import (
    Division,
    Stage,
    contour_coefficients,
    deformation_rate,
    evolve,
    flicker,
    place,
    plan_divisions,
    turning,
    walk,
)
from napari_sam_i2v.training.synthetic.shapes import Shape, Star, fourier_radii


@dataclass(frozen=True)
class CrowdPlan:
    """What a crowd is like.

    Attributes
    ----------
    count : int
        Bodies at the start, daughters not counted.
    radius, spread : float
        Mean radius in pixels and the standard deviation of its logarithm.
    aspect : float
        Typical excess of length over width.
    lobes : float
        Strength of the outline's irregularity.
    speed : float
        Distance per frame in radii.
    spacing : float
        Centres keep this many sums of radii apart (soft); below 1 they overlap.
    divide : float
        Share of bodies that divide during the clip.
    brightness : float
        Standard deviation of the logarithm of the brightness between bodies.
    condense : float
        How strongly a body shrinks to a bright bar around its division, 0..1.
    end_on : bool
        Daughters lie end to end, as rods do, instead of side by side.
    margin : float
        How far outside of the field a body may start, in radii.
    """

    count: int
    radius: float
    spread: float = 0.15
    aspect: float = 0.25
    lobes: float = 0.12
    speed: float = 0.1
    spacing: float = 1.0
    divide: float = 0.0
    brightness: float = 0.3
    condense: float = 0.7
    end_on: bool = False
    margin: float = 0.3


MakeTile = Callable[[float], np.ndarray]
MakeShape = Callable[[Stage, CrowdPlan, float], Shape]


def blob_shape(stage: Stage, plan: CrowdPlan, radius: float) -> Star:
    """Make a slowly changing, about elliptic outline."""
    rng, steps = stage.rng, stage.steps
    rate = deformation_rate(rng)
    aspect = 1 + abs(rng.normal()) * plan.aspect
    stretch = np.sqrt(aspect) * np.exp(0.06 * evolve(rng, steps, (), rate))
    axes = np.stack([radius * stretch, radius / stretch], axis=1)
    weights = contour_coefficients(rng, steps, lobes=plan.lobes, rate=rate)
    return Star(axes, fourier_radii(weights))


def grow_crowd(
    stage: Stage, plan: CrowdPlan, make_tile: MakeTile, make_shape: MakeShape = blob_shape
) -> list[Body]:
    """Make the bodies of a crowd, ids 1 .. N in order of appearance.

    Parameters
    ----------
    stage : Stage
        Time steps, drift and randomness.
    plan : CrowdPlan
        What the crowd is like.
    make_tile : callable
        radius -> texture tile.
    make_shape : callable
        (stage, plan, radius) -> outline.
    """
    rng = stage.rng
    divisions = plan_divisions(rng, plan.count, stage.frames, plan.divide)
    radii = plan.radius * np.exp(rng.normal(0, plan.spread, plan.count))
    radii = np.append(radii, [0.78 * radii[d.mother] for d in divisions])
    start = place(rng, radii, stage.size, spacing=plan.spacing, margin=plan.margin * plan.radius)
    track = walk(stage, start, radii, speed=plan.speed, spacing=plan.spacing, divisions=divisions)
    angles = turning(stage, len(radii))
    bright = np.exp(rng.normal(0, plan.brightness, len(radii)))
    by_mother = {d.mother: d for d in divisions}
    bodies: list[Body] = []
    for n in range(plan.count):
        body = Body(
            ident=n + 1,
            shape=make_shape(stage, plan, float(radii[n])),
            centre=track[:, n],
            angle=angles[:, n],
            scale=np.exp(0.04 * evolve(rng, stage.steps, (), 0.1)),
            gain=bright[n] * flicker(rng, stage.frames, 0.06),
            tile=make_tile(float(radii[n])),
        )
        if n in by_mother:
            bodies += _divided(
                stage, plan, body, by_mother[n], track, float(radii[n]), make_tile, make_shape
            )
        else:
            bodies.append(body)
    return bodies


def _divided(
    stage: Stage,
    plan: CrowdPlan,
    mother: Body,
    division: Division,
    track: np.ndarray,
    radius: float,
    make_tile: MakeTile,
    make_shape: MakeShape,
) -> list[Body]:
    """Make the mother until its division, then two daughters: one keeps the id."""
    since = np.arange(stage.frames) - division.frame
    condensed = plan.condense * np.exp(-0.5 * np.maximum(np.abs(since + 0.5) - 1, 0) ** 2)
    angle = mother.angle - mother.angle[division.frame] + division.angle
    angle = angle if plan.end_on else angle + np.pi / 2
    radius = 0.78 * radius
    scale = mother.scale * (1 - 0.25 * condensed)
    gain = mother.gain * (1 + 1.2 * condensed)
    bar = _Barred(mother.shape, 1 + 0.5 * condensed)
    parts = [
        Body(mother.ident, bar, mother.centre, angle, scale, gain, mother.tile, 0, division.frame)
    ]
    for ident, n in ((mother.ident, division.mother), (division.daughter + 1, division.daughter)):
        shape = _Barred(make_shape(stage, plan, radius), 1 + 0.4 * condensed)
        size = (1 - 0.2 * condensed) * (1 + 0.02 * np.maximum(since, 0))
        parts.append(
            Body(ident, shape, track[:, n], angle, size, gain, make_tile(radius), division.frame)
        )
    return parts


@dataclass(frozen=True)
class _Barred:
    """A shape stretched along u and squeezed along v by a factor per frame."""

    shape: Shape
    stretch: np.ndarray

    def reach(self, t: int) -> float:
        return self.shape.reach(t) * float(self.stretch[t])

    def level(
        self, u: np.ndarray, v: np.ndarray, t: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = float(self.stretch[t])
        level, mu, mv = self.shape.level(u * (1 / k), v * k, t)
        return level * (1 / k), mu, mv
