"""Parts lists of lifeless figures: cars, bikes with riders, nameless things; as in `anatomy`."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic.anatomy import rider
from napari_sam_i2v.training.synthetic.figures import Part
from napari_sam_i2v.training.synthetic.limbs import Made, blob, limb, profile, still
from napari_sam_i2v.training.synthetic.motion import (
    Stage,
    evolve,
)
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, tile_grid
from napari_sam_i2v.training.synthetic.palette import any_colour, near_colour
from napari_sam_i2v.training.synthetic.shapes import (
    ANGLES,
    Star,
    polygon_radii,
)


def _wheel(stage: Stage, at: tuple[float, float], radius: float) -> Part:
    """Make a turning wheel: tyre, rim with spokes, hub."""
    rng = stage.rng
    n = int(np.clip(round(radius * 2.5), 24, 200))
    mu, mv = tile_grid(n)
    rho, turn = np.sqrt(mu * mu + mv * mv), np.arctan2(mv, mu)
    rim = rng.uniform(0.45, 0.85)
    spokes = np.cos(turn * int(rng.integers(3, 12))) > rng.uniform(-0.5, 0.9)
    inner = np.where(spokes[None], any_colour(rng)[:, None, None], any_colour(rng)[:, None, None])
    tyre = (np.array([0.08, 0.08, 0.09]) * rng.uniform(0.3, 3))[:, None, None]
    hub = any_colour(rng)[:, None, None]
    tile = np.where(rho < rim, np.where(rho < rim * 0.25, hub, inner), tyre)
    round_ = np.ones((stage.frames, ANGLES), np.float32)
    spin = np.cumsum(stage.steps) * rng.normal(0, 0.5)
    shape = Star(still(stage, (radius, radius)), round_)
    return Part(shape, tile.astype(np.float32), still(stage, at), spin)


_CAR = np.array(
    [[-1, 0.25], [-1, -0.1], [-0.8, -0.17], [-0.5, -0.5], [0.2, -0.52], [0.5, -0.17], [0.97, -0.05],
     [1, 0.25]]
)  # fmt: skip


def car(stage: Stage, radius: float) -> Made:
    """Make a car, van or bus from the side: body, windows, lights, wheels, lettering."""
    rng = stage.rng
    points = _CAR * np.array([1.0, rng.uniform(0.7, 1.3)]) + rng.normal(0, 0.03, _CAR.shape)
    if chance(rng, 0.3):  # a van: the nose as high as the roof
        points[5] = [rng.uniform(0.7, 0.95), points[4, 1] * rng.uniform(0.7, 1)]
        points[2:4, 0] = [-0.97, -0.9]
    paint_, glass = any_colour(rng), any_colour(rng) * np.float32(rng.uniform(0.1, 0.6))
    body = profile(stage, points, radius, paint_)
    size = radius * rng.uniform(0.14, 0.24)
    floor = float(points[0, 1]) * radius
    wheels = [_wheel(stage, (u * radius, floor), size) for u in (-0.62, 0.62)]
    return [body, *_fittings(stage, points, radius, paint_, glass), *wheels], floor + size


def _fittings(
    stage: Stage, points: np.ndarray, radius: float, paint_: np.ndarray, glass: np.ndarray
) -> list[Part]:
    """Make windows, lights, bumper and stickers of a car."""
    rng = stage.rng
    low, high = float(points[2, 1]) - 0.02, float(points[3:5, 1].max()) + 0.06
    back, front = points[3, 0] + 0.02, points[4, 0] - 0.02
    cut = rng.uniform(0.3, 0.7) * (front - back) + back
    nose = min(0.18, float(points[5, 0]) - front)
    panes = [
        [[back - 0.15, low], [back, high], [cut - 0.03, high], [cut - 0.03, low]],
        [[cut + 0.03, low], [cut + 0.03, high], [front, high], [front + nose, low]],
    ]
    parts = [profile(stage, np.array(pane), radius, glass) for pane in panes if low > high + 0.05]
    for side in (-0.93, 0.93):
        at = still(stage, (side * radius, rng.uniform(-0.02, 0.12) * radius))
        parts.append(blob(stage, at, (radius * 0.05, radius * 0.04), any_colour(rng)))
    for _ in range(int(rng.choice([0, 0, 1, 3, 6]))):
        at = still(stage, (rng.uniform(-0.8, 0.8) * radius, rng.uniform(-0.1, 0.2) * radius))
        half = radius * rng.uniform(0.03, 0.18)
        parts.append(blob(stage, at, (half, half * rng.uniform(0.2, 1)), any_colour(rng)))
    ends = np.zeros(stage.frames)
    sill = still(stage, (-0.95 * radius, float(points[0, 1]) * radius))
    strip = near_colour(rng, paint_, 0.3)
    parts.append(limb(stage, sill, (ends,), (1.9 * radius,), (radius * 0.04,) * 2, strip)[0])
    return parts


def bike(stage: Stage, radius: float) -> Made:
    """Make a bicycle or motorcycle, mostly with a rider."""
    rng = stage.rng
    wheel, base = radius * rng.uniform(0.24, 0.36), radius * rng.uniform(0.45, 0.6)
    low = radius * 0.3
    parts = [_wheel(stage, (side * base, low), wheel) for side in (-1, 1)]
    hub = [np.array([side * base, low]) for side in (-1.0, 1.0)]
    seat, bar = np.array([-0.35 * base, -0.35 * radius]), np.array([0.6 * base, -0.45 * radius])
    crank = np.array([0.0, low * 0.7])
    thick = radius * log_uniform(rng, 0.02, 0.1)
    colour = any_colour(rng)
    back, front = hub
    frame = ((back, seat), (seat, bar), (bar, front), (crank, seat), (crank, bar), (back, crank))
    for a, b in frame:
        shade = any_colour(rng) if chance(rng, 0.3) else colour
        parts.append(_bar(stage, a, b, thick, shade))
    if chance(rng, 0.6):  # an engine and a tank
        at = still(stage, (0, 0.05 * radius))
        parts.append(blob(stage, at, (0.3 * radius, 0.2 * radius), any_colour(rng), lobes=0.3))
        parts.append(blob(stage, at - [0, radius * 0.25], (0.3 * radius, 0.12 * radius), colour))
    if chance(rng, 0.85):
        parts += rider(stage, still(stage, seat), radius * rng.uniform(0.7, 1.0))
    return parts, low + wheel


def _bar(stage: Stage, a: np.ndarray, b: np.ndarray, thick: float, colour: np.ndarray) -> Part:
    """Make a straight tube from a to b."""
    angle = np.full(stage.frames, np.arctan2(b[1] - a[1], b[0] - a[0]))
    length = float(np.hypot(*(b - a)))
    return limb(stage, still(stage, a), (angle,), (length,), (thick, thick), colour)[0]


def thing(stage: Stage, radius: float) -> Made:
    """Make something nameless: a core of any outline, limbs behind, unlike pieces on it."""
    rng = stage.rng
    colour = any_colour(rng)
    aspect = np.sqrt(1 + abs(rng.normal()) * 0.7)
    axes = (radius * 0.75 * aspect, radius * 0.75 / aspect)
    core = blob(stage, still(stage, (0, 0)), axes, colour, lobes=log_uniform(rng, 0.03, 0.45))
    if chance(rng, 0.35):
        radii = polygon_radii(rng, stage.frames, int(rng.integers(3, 8)))
        core = Part(Star(still(stage, axes), radii), core.tile, core.offset, core.angle)
    limbs = [_any_limb(stage, radius, colour) for _ in range(int(rng.choice([0, 0, 1, 2, 4])))]
    pieces = []
    for _ in range(int(rng.choice([0, 0, 1, 2, 3, 5]))):
        at = still(stage, rng.normal(0, 0.3, 2) * axes)
        half = radius * log_uniform(rng, 0.08, 0.45)
        turn = float(rng.uniform(0, np.pi))
        pieces.append(
            blob(stage, at, (half, half * rng.uniform(0.3, 1)), any_colour(rng), angle=turn)
        )
    return [*limbs, core, *pieces], axes[1]


def _any_limb(stage: Stage, radius: float, colour: np.ndarray) -> Part:
    """Make a leg, neck or tail in any direction, swinging."""
    rng = stage.rng
    swing = rng.uniform(0, 0.5) * evolve(rng, stage.steps, (), log_uniform(rng, 0.02, 0.6))
    first = rng.uniform(0, 2 * np.pi) + swing
    second = first + rng.normal(0, 0.6) + 0.7 * swing
    root = 0.45 * radius * np.stack([np.cos(first), np.sin(first)], axis=1)
    w = radius * log_uniform(rng, 0.05, 0.25)
    lengths = radius * rng.uniform(0.2, 0.5, 2)
    own = any_colour(rng) if chance(rng, 0.5) else near_colour(rng, colour, 0.1)
    widths = (w * 1.3, w, w * rng.uniform(0.5, 1.5))
    return limb(stage, root, (first, second), list(lengths), widths, own)[0]
