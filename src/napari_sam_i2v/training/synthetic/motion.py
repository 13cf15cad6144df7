"""How things move: sampling in time, camera drift, crowds that push each other and divide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, smooth_curve


@dataclass(frozen=True)
class Stage:
    """What all bodies of a clip share.

    Attributes
    ----------
    rng : np.random.Generator
        The clip's only source of randomness.
    frames, size : int
        Number of frames; height and width in pixels.
    steps : np.ndarray
        (T,) time since the previous frame; 1 is usual, more where frames were dropped.
    camera : np.ndarray
        (T, 2) shift (y, x) of everything, in pixels.
    """

    rng: np.random.Generator
    frames: int
    size: int
    steps: np.ndarray
    camera: np.ndarray


def make_stage(rng: np.random.Generator, frames: int, size: int) -> Stage:
    """Draw the sampling in time and the stage drift of a clip."""
    steps = np.ones(frames)
    if chance(rng, 0.15):
        steps[rng.integers(frames)] = rng.uniform(2, 4)
    return Stage(rng, frames, size, steps, stage_drift(rng, steps, size))


def stage_drift(rng: np.random.Generator, steps: np.ndarray, size: int) -> np.ndarray:
    """Shift of the field per frame, (T, 2): mostly none, else drift, jitter or a jump."""
    shift = np.zeros((len(steps), 2))
    if chance(rng, 0.3):
        shift += np.cumsum(steps)[:, None] * rng.normal(0, 0.004 * size, 2)
    if chance(rng, 0.2):
        shift += rng.normal(0, 0.004 * size, shift.shape)
    if chance(rng, 0.12):
        shift[rng.integers(len(steps)) :] += rng.normal(0, 0.03 * size, 2)
    return shift


def evolve(
    rng: np.random.Generator, steps: np.ndarray, shape: tuple[int, ...], rate: float
) -> np.ndarray:
    """Unit-variance values that forget their past at `rate` per frame, (T, *shape)."""
    values = np.empty((len(steps), *shape))
    values[0] = rng.standard_normal(shape)
    for t in range(1, len(steps)):
        forget = min(rate * steps[t], 1.0)
        keep = 1 - forget
        values[t] = keep * values[t - 1] + (1 - keep**2) ** 0.5 * rng.standard_normal(shape)
    return values


def deformation_rate(rng: np.random.Generator) -> float:
    """How fast outlines change: mostly slowly, sometimes quickly."""
    return log_uniform(rng, 0.002, 0.12) if chance(rng, 0.85) else log_uniform(rng, 0.1, 0.5)


def contour_coefficients(
    rng: np.random.Generator, steps: np.ndarray, *, lobes: float, rate: float, orders: int = 5
) -> np.ndarray:
    """Fourier weights (T, orders, 2) of a slowly changing outline; `lobes` is their strength."""
    strength = lobes * np.arange(2, orders + 2) ** -1.2
    weights = evolve(rng, steps, (orders, 2), rate) * strength[None, :, None]
    if chance(rng, 0.05) and len(steps) > 2:  # a sudden change of shape
        weights[rng.integers(1, len(steps)) :] += rng.standard_normal((orders, 2)) * (
            strength[:, None] * 0.6
        )
    return weights


def place(
    rng: np.random.Generator, radii: np.ndarray, size: int, *, spacing: float, margin: float = 0.0
) -> np.ndarray:
    """Start positions (N, 2), each the least crowded of several draws.

    Parameters
    ----------
    rng : np.random.Generator
        Source of randomness.
    radii : np.ndarray
        (N,) radii in pixels.
    size : int
        Height and width of the field.
    spacing : float
        Wanted distance of two centres, in sums of their radii.
    margin : float
        How far outside (positive) or inside (negative) of the field a centre may lie, pixels.
    """
    points = np.empty((len(radii), 2))
    for n, radius in enumerate(radii):
        draws = rng.uniform(-margin, size + margin, (24, 2))
        if n:
            gap = np.linalg.norm(draws[:, None] - points[None, :n], axis=2)
            free = (gap - spacing * (radius + radii[:n])).min(axis=1)
            good = np.flatnonzero(free > 0)
            points[n] = draws[good[0] if len(good) else int(free.argmax())]
        else:
            points[n] = draws[0]
    return points


@dataclass(frozen=True)
class Division:
    """Body `mother` divides on `frame` along `angle`; `daughter` appears there."""

    mother: int
    daughter: int
    frame: int
    angle: float


def plan_divisions(
    rng: np.random.Generator, count: int, frames: int, share: float
) -> tuple[Division, ...]:
    """Let about `share` of the first `count` bodies divide; daughters get new indices."""
    mothers = np.flatnonzero(rng.random(count) < share)
    if frames < 3:
        return ()
    return tuple(
        Division(int(m), count + k, int(rng.integers(1, frames)), float(rng.uniform(0, np.pi)))
        for k, m in enumerate(mothers)
    )


def walk(
    stage: Stage,
    start: np.ndarray,
    radii: np.ndarray,
    *,
    speed: float,
    spacing: float,
    divisions: tuple[Division, ...] = (),
) -> np.ndarray:
    """Simulate persistent random walks with soft repulsion.

    Parameters
    ----------
    stage : Stage
        Time steps and drift.
    start : np.ndarray
        (N, 2) start positions, daughters' rows unused.
    radii : np.ndarray
        (N,) radii in pixels.
    speed : float
        Typical distance per frame, in radii.
    spacing : float
        Centres closer than this many sums of radii push each other apart; 0 = none.
    divisions : tuple of Division
        Planned divisions.

    Returns
    -------
    np.ndarray
        (T, N, 2) positions (y, x) including the stage's drift.
    """
    rng, count = stage.rng, len(start)
    alive = np.ones(count, bool)
    alive[[d.daughter for d in divisions]] = False
    own = speed * radii * np.exp(rng.normal(0, 0.5, count))
    velocity = rng.standard_normal((count, 2)) * own[:, None]
    velocity += rng.standard_normal(2) * speed * radii.mean() * (0.7 if chance(rng, 0.3) else 0)
    points = start.astype(float).copy()
    track = np.empty((stage.frames, count, 2))
    for t, step in enumerate(stage.steps):
        if t:
            kick = rng.standard_normal((count, 2)) * own[:, None]
            velocity = 0.85 * velocity + 0.5 * kick
            points = points + velocity * step
        for d in divisions:
            if d.frame == t:
                _part(points, radii, d)
                alive[d.daughter] = True
        for _ in range(2):
            _repel(points, radii, alive, spacing)
        track[t] = points
    return track + stage.camera[:, None]


def _part(points: np.ndarray, radii: np.ndarray, division: Division) -> None:
    """Put the daughters on both sides of the mother's place."""
    m, d = division.mother, division.daughter
    offset = np.array([np.sin(division.angle), np.cos(division.angle)]) * radii[m] * 0.6
    points[d] = points[m] - offset
    points[m] = points[m] + offset


def _repel(points: np.ndarray, radii: np.ndarray, alive: np.ndarray, spacing: float) -> None:
    """Move overlapping pairs apart by half of their overlap, in place."""
    if spacing <= 0 or alive.sum() < 2:
        return
    live = np.flatnonzero(alive)
    gap = points[live][:, None] - points[live][None]
    distance = np.linalg.norm(gap, axis=2) + 1e-6
    np.fill_diagonal(distance, np.inf)
    overlap = np.maximum(spacing * (radii[live][:, None] + radii[live][None]) - distance, 0)
    points[live] += ((gap / distance[..., None]) * overlap[..., None] * 0.25).sum(axis=1)


def turning(stage: Stage, count: int) -> np.ndarray:
    """Angles (T, N): random start, slow turning at a speed drawn per clip."""
    rng = stage.rng
    rate = log_uniform(rng, 0.002, 0.15)
    turn = np.cumsum(evolve(rng, stage.steps, (count,), 0.3) * stage.steps[:, None] * rate, axis=0)
    return rng.uniform(0, 2 * np.pi, count) + turn


def beating(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Contraction (T,) between 0 and 1: a part of a cycle up to two cycles, seen over the clip."""
    cycles = rng.uniform(0.3, 1.6) if chance(rng, 0.8) else rng.uniform(0.02, 0.3)
    phase = (rng.random() + np.arange(frames) / max(frames, 2) * cycles) % 1.0
    systole = rng.uniform(0.3, 0.5)
    rise = np.sin(np.pi / 2 * np.clip(phase / systole, 0, 1)) ** 2
    fall = np.cos(np.pi / 2 * np.clip((phase - systole) / (1 - systole), 0, 1)) ** 2
    return np.where(phase < systole, rise, fall)


def flicker(rng: np.random.Generator, frames: int, strength: float) -> np.ndarray:
    """Slowly varying factor (T,) around 1."""
    return np.exp(strength * smooth_curve(rng, frames, max(1, frames // 3)))
