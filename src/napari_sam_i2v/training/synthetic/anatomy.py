"""Parts lists of living figures: animals, riders, people and birds.

Every maker gets the stage and a radius in pixels and returns parts from back to front, facing
along u with v pointing down, and how far below the origin the figure stands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam_i2v.training.synthetic.figures import Part
from napari_sam_i2v.training.synthetic.limbs import Made, blob, limb, still
from napari_sam_i2v.training.synthetic.motion import (
    Stage,
    evolve,
)
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.palette import any_colour, near_colour


def _gait(stage: Stage, phase: float, swing: float, pace: float) -> np.ndarray:
    """Angle (T,) of a leg that swings about straight down."""
    return np.pi / 2 + swing * np.sin(pace * np.cumsum(stage.steps) + phase)


def _legs(
    stage: Stage, roots: Sequence[float], v: float, length: float, width: float, colour: np.ndarray
) -> list[Part]:
    """Make walking legs of two segments, rooted at (root, v)."""
    rng = stage.rng
    swing, pace = rng.uniform(0.05, 0.8), log_uniform(rng, 0.05, 1.5)
    foot = near_colour(rng, colour, 0.2) if chance(rng, 0.3) else colour
    parts = []
    for root in roots:
        upper = _gait(stage, rng.uniform(0, 2 * np.pi), swing, pace)
        lower = upper + rng.uniform(-0.1, 0.5) + 0.5 * (upper - np.pi / 2)
        widths = (width * 1.5, width, width * 0.7)
        part, tip = limb(
            stage, still(stage, (root, v)), (upper, lower), (length / 2,) * 2, widths, colour
        )
        toe = limb(stage, tip, (lower - 1.2,), (width * 1.2,), (width * 0.8, width * 0.6), foot)[0]
        parts += [toe, part]
    return parts


def animal(stage: Stage, radius: float) -> Made:
    """Make a four-legged animal, perhaps with a rider."""
    rng = stage.rng
    coat = any_colour(rng)
    long, deep = radius * rng.uniform(0.45, 0.6), radius * rng.uniform(0.18, 0.3)
    leg, wide = radius * rng.uniform(0.35, 0.7), radius * rng.uniform(0.04, 0.08)
    roots = (-0.75 * long, 0.75 * long)
    far = _legs(stage, roots, 0.3 * deep, leg, wide, coat * np.float32(0.7))
    near = _legs(stage, roots, 0.4 * deep, leg, wide, near_colour(rng, coat, 0.05))
    rise = rng.uniform(-1.4, 0.5) + rng.uniform(0.05, 0.4) * evolve(rng, stage.steps, (), 0.2)
    base = still(stage, (0.8 * long, -0.3 * deep))
    stem = radius * rng.uniform(0.15, 0.5)
    neck, tip = limb(stage, base, (rise,), (stem,), (deep * 0.7, deep * 0.45), coat)
    wag = np.pi + rng.uniform(-0.9, 0.9) + 0.4 * evolve(rng, stage.steps, (), 0.3)
    thin = radius * rng.uniform(0.02, 0.1)
    end = still(stage, (-0.95 * long, -0.2 * deep))
    tail_colour = near_colour(rng, coat, 0.15)
    tail = limb(stage, end, (wag, wag + 0.4), (stem * 0.6,) * 2, (thin, thin, thin), tail_colour)
    body = blob(stage, still(stage, (0, 0)), (long, deep), coat, lobes=0.12)
    parts = [*far, tail[0], neck, body, *near, *_head(stage, tip, rise + 0.9, deep * 0.55, coat)]
    if chance(rng, 0.3):
        parts += rider(stage, still(stage, (-0.1 * long, -deep)), radius * rng.uniform(0.4, 0.7))
    return parts, 0.35 * deep + leg


def _head(
    stage: Stage, at: np.ndarray, angle: np.ndarray, size: float, coat: np.ndarray
) -> list[Part]:
    """Make a head with muzzle and ear."""
    rng = stage.rng
    snout = size * rng.uniform(0.8, 1.8)
    muzzle = near_colour(rng, coat, 0.2)
    nose = limb(stage, at, (angle,), (snout,), (size * 0.7, size * 0.4), muzzle)[0]
    skull = blob(stage, at, (size, size * 0.85), near_colour(rng, coat, 0.05), angle=angle)
    back = angle + np.pi + rng.uniform(-0.9, 0.9)
    ear = limb(stage, at, (back,), (size * 1.2,), (size * 0.4, size * 0.2), muzzle)[0]
    return [nose, skull, ear]


def rider(stage: Stage, seat: np.ndarray, tall: float) -> list[Part]:
    """Make a sitting person of unlike clothes: leg, trunk, arm, head or helmet."""
    rng = stage.rng
    trousers, shirt, skin, hat = (any_colour(rng) for _ in range(4))
    lean = -np.pi / 2 + rng.uniform(-0.2, 0.7) + 0.12 * evolve(rng, stage.steps, (), 0.2)
    thigh = rng.uniform(0.1, 1.0) + 0.1 * evolve(rng, stage.steps, (), 0.2)
    w = tall * 0.11
    leg, foot = limb(
        stage, seat, (thigh, thigh + 1.1), (tall * 0.4, tall * 0.35), (w, w, w * 0.7), trousers
    )
    boot = limb(stage, foot, (thigh + 0.2,), (w * 1.4,), (w * 0.7, w * 0.6), any_colour(rng))[0]
    trunk, neck = limb(stage, seat, (lean,), (tall * 0.5,), (w * 1.2, w * 1.5), shirt)
    reach = rng.uniform(0.0, 1.2) + 0.15 * evolve(rng, stage.steps, (), 0.2)
    arm = limb(
        stage, neck, (reach + 0.4, reach - 0.4), (tall * 0.25,) * 2, (w * 0.7, w * 0.6, w / 2), skin
    )[0]
    up = np.stack([np.cos(lean), np.sin(lean)], axis=1) * tall * 0.17
    head = blob(stage, neck + up, (tall * 0.13, tall * 0.13), hat, lobes=0.05)
    return [boot, leg, trunk, head, arm]


def person(stage: Stage, radius: float) -> Made:
    """Make a walking person."""
    rng = stage.rng
    shirt, trousers = any_colour(rng), any_colour(rng)
    skin = near_colour(rng, np.array([0.75, 0.55, 0.42], np.float32), 0.12)
    w = radius * rng.uniform(0.07, 0.14)
    legs = _legs(stage, (-0.5 * w, 0.5 * w), 0.05 * radius, 0.9 * radius, w * 0.7, trousers)
    hip, lean = still(stage, (0, 0.1 * radius)), -np.pi / 2 + rng.normal(0, 0.15)
    tilt = lean + 0.08 * evolve(rng, stage.steps, (), 0.2)
    trunk, neck = limb(stage, hip, (tilt,), (radius * 0.65,), (w * 1.4, w * 1.7), shirt)
    arms = []
    for _ in range(2):
        swing = _gait(stage, rng.uniform(0, 6), rng.uniform(0, 1.2), log_uniform(rng, 0.05, 1.5))
        bent = swing - rng.uniform(0, 1.2)
        part, hand = limb(
            stage, neck, (swing, bent), (radius * 0.3,) * 2, (w * 0.7, w * 0.5, w * 0.4), shirt
        )
        arms += [part, blob(stage, hand, (w * 0.55, w * 0.45), skin)]
    top = neck + np.array([0, -radius * 0.22])
    head = [blob(stage, top, (w * 0.9, w * 1.15), skin)]
    head.append(blob(stage, top - [0.2 * w, 0.5 * w], (w * 0.95, w * 0.75), any_colour(rng)))
    return [*arms[:2], *legs, trunk, *head, *arms[2:]], 0.97 * radius


def bird(stage: Stage, radius: float) -> Made:
    """Make a bird: a drop-like body with a wing, a curved neck, a head with a beak."""
    rng = stage.rng
    plumage = any_colour(rng)
    long, deep = radius * rng.uniform(0.5, 0.65), radius * rng.uniform(0.2, 0.33)
    body = blob(stage, still(stage, (-0.1 * radius, 0)), (long, deep), plumage, lobes=0.12)
    end = still(stage, (-0.6 * long, -0.2 * deep))
    back = np.pi + rng.uniform(-0.1, 0.5) + 0.05 * evolve(rng, stage.steps, (), 0.2)
    tail = limb(stage, end, (back,), (long * 0.7,), (deep * 0.7, deep * 0.15), plumage)[0]
    wing_at = still(stage, (-0.3 * radius, -0.3 * deep))
    wing = blob(
        stage, wing_at, (long * 0.6, deep * 0.6), near_colour(rng, plumage, 0.15), lobes=0.3
    )
    bend = -0.3 - rng.uniform(0, 0.6) + 0.1 * evolve(rng, stage.steps, (), 0.2)
    stem, w = radius * rng.uniform(0.15, 0.38), deep * rng.uniform(0.25, 0.45)
    root = still(stage, (0.6 * long, -0.1 * deep))
    turns = (bend, bend - 1.0, bend - 1.5)
    neck, tip = limb(stage, root, turns, (stem,) * 3, (w * 1.6, w, w * 0.8, w * 0.8), plumage)
    aim = rng.uniform(-0.1, 0.6) + 0.1 * evolve(rng, stage.steps, (), 0.2)
    beak = limb(stage, tip, (aim,), (w * rng.uniform(1.5, 3),), (w * 0.5, w * 0.2), any_colour(rng))
    skull = near_colour(rng, plumage, 0.1) if chance(rng, 0.7) else any_colour(rng)
    head = blob(stage, tip, (w * 1.1, w * 0.9), skull, angle=aim)
    return [tail, neck, body, wing, beak[0], head], deep * 0.6
