"""A beating heart in short axis: cavity, the muscle ring around it, right ventricle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body
from napari_sam_i2v.training.synthetic.chest import Tones
from napari_sam_i2v.training.synthetic.motion import Stage, beating, contour_coefficients, evolve
from napari_sam_i2v.training.synthetic.noise import chance, fractal_noise, log_uniform
from napari_sam_i2v.training.synthetic.organs import (
    Layer,
    compass,
    organ,
    outline,
    radial,
    round_the_clock,
    solid,
)
from napari_sam_i2v.training.synthetic.shapes import ANGLES, fourier_radii

CAVITY, MUSCLE, RIGHT = 1, 2, 3


@dataclass(frozen=True)
class Heart:
    """Outlines of a left ventricle as an expert draws them.

    Attributes
    ----------
    centre : np.ndarray
        (T, 2) position (y, x) in pixels, without the stage's drift.
    inner, outer : np.ndarray
        (T, ANGLES) radii of the cavity and of the muscle, in pixels.
    squeeze : np.ndarray
        (T,) contraction, 0 to 1.
    """

    centre: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    squeeze: np.ndarray

    @property
    def reach(self) -> float:
        """Mean outer radius, pixels."""
        return float(self.outer.mean())

    @property
    def wall(self) -> float:
        """Mean thickness of the muscle, pixels."""
        return float((self.outer - self.inner).mean())

    def edge(self, angle: float) -> np.ndarray:
        """Radius of the cavity in a direction, (T,)."""
        return self.inner[:, int(angle / (2 * np.pi) * ANGLES) % ANGLES]


def plan_heart(stage: Stage) -> Heart:
    """Draw size, place and beat; from the apex (thick, closing) to the base (wide)."""
    rng, size = stage.rng, stage.size
    reach = size * log_uniform(rng, 0.045, 0.19)
    radius = reach / (1 + log_uniform(rng, 0.22, 1.0))
    squeeze = beating(rng, stage.frames)
    most = rng.uniform(0.5, 0.8) if chance(rng, 0.15) else rng.uniform(0.03, 0.45)
    cavity = np.maximum(radius * (1 - most * squeeze), 2.5)
    # Between a muscle that keeps its area in the slice and one that slides through it.
    kept = np.sqrt(cavity**2 + reach**2 - radius**2)
    outer = kept + rng.uniform(0, 0.8) * (cavity + reach - radius - kept)
    bumps = contour_coefficients(rng, stage.steps, lobes=log_uniform(rng, 0.02, 0.13), rate=0.05)
    even = contour_coefficients(rng, stage.steps, lobes=log_uniform(rng, 0.01, 0.05), rate=0.05)
    inside = cavity[:, None] * fourier_radii(bumps)
    outside = outer[:, None] * fourier_radii(0.5 * bumps + even)
    outside = np.maximum(outside, inside + 0.5 * (outer - cavity)[:, None])
    sway = evolve(rng, stage.steps, (2,), 0.15) * radius * rng.uniform(0, 0.12)
    centre = size / 2 + rng.normal(0, 0.1 * size, 2) + sway
    return Heart(centre, inside, outside, squeeze)


def truth(stage: Stage, heart: Heart, *, ring: bool = True) -> list[Body]:
    """Return what is to be marked: the muscle's disc (if `ring`), and the cavity over it."""
    place, tile = heart.centre + stage.camera, np.ones((8, 8), np.float32)
    disc = solid(stage, outline(heart.outer), place, tile, ident=MUSCLE)
    hole = solid(stage, outline(heart.inner), place, tile, ident=CAVITY)
    return [disc, hole] if ring else [hole]


def heart_layers(stage: Stage, heart: Heart, tones: Tones) -> list[Layer]:
    """Return what is seen of the heart, back to front."""
    rng = stage.rng
    right = tones.right > 0.6 * tones.blood  # bright in both ventricles
    layers = _right_side(stage, heart, tones) if chance(rng, 0.9 if right else 0.55) else []
    layers += _muscle(stage, heart, tones)
    layers.append(_cavity(stage, heart, tones))
    layers += _papillary(stage, heart, tones)
    return layers + (_turbulence(stage, heart, tones) if chance(rng, 0.5) else [])


def _right_side(stage: Stage, heart: Heart, tones: Tones) -> list[Layer]:
    """A crescent with a thin wall, half hidden behind the left ventricle."""
    rng = stage.rng
    side = float(rng.uniform(0, 2 * np.pi))
    radius = heart.reach * rng.uniform(0.6, 1.15) * (1 - rng.uniform(0.05, 0.35) * heart.squeeze)
    away = compass(side) * heart.reach * rng.uniform(0.45, 1.1)
    place = heart.centre + stage.camera + away
    free = heart.wall * rng.uniform(0.1, 0.5)
    aspect, turn = rng.uniform(0.9, 2.2), side + np.pi / 2 + rng.normal(0, 0.3)
    ident = RIGHT if chance(rng, 0.35) else 0
    layers = []
    for r, grey, name in ((radius + free, tones.wall, 0), (radius, tones.right, ident)):
        body = organ(
            stage, place, r, grey=grey, ident=name, aspect=aspect, lobes=0.08,
            grain=rng.uniform(0.03, 0.3), angle=float(turn),
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(1.0, 4.0)))
    return layers


def _muscle(stage: Stage, heart: Heart, tones: Tones) -> list[Layer]:
    """The wall, on part of its circumference faint; maybe a line around it and haze inside."""
    rng, place = stage.rng, heart.centre + stage.camera
    # The drawn contour is generous: what is seen of the muscle ends before it.
    seen = heart.outer - heart.wall * rng.uniform(-0.05, 0.25)
    tile = _wall_tile(rng, heart.reach, tones)
    wall = Layer(solid(stage, outline(seen), place, tile), log_uniform(rng, 1.0, 5.0))
    layers = [wall]
    if chance(rng, 0.3):  # pericardium or fat
        line = tile * np.float32(rng.choice([0.3, tones.fat / tones.wall]))
        rim = outline(seen + rng.uniform(1.0, 0.25 * heart.wall + 1.5))
        layers.insert(0, Layer(solid(stage, rim, place, line), 2.0))
    if chance(rng, 0.4):
        glow = tones.wall + (tones.blood - tones.wall) * rng.uniform(0.1, 0.35)
        haze = outline(heart.inner + heart.wall * rng.uniform(0, 0.3))
        body = solid(stage, haze, place, np.full((8, 8), glow, np.float32))
        layers.append(Layer(body, heart.wall * rng.uniform(0.3, 1.0)))
    return layers


def _wall_tile(rng: np.random.Generator, reach: float, tones: Tones) -> np.ndarray:
    """Grey of the muscle: in some directions it fades to that of the lung."""
    tile = tones.wall * tiles.plain(
        rng, reach, grain=rng.uniform(0.03, 0.3), cell=max(reach * rng.uniform(0.08, 0.4), 2)
    )
    around = round_the_clock(rng, len(tile))
    tile *= 1 + np.float32(rng.uniform(0, 0.6)) * (around - np.float32(0.5))
    if chance(rng, 0.5):
        start = rng.uniform(0.35, 0.8)
        share = np.clip((round_the_clock(rng, len(tile)) - start) * 4, 0, 1) * rng.uniform(0.4, 0.9)
        tile += share.astype(np.float32) * (np.float32(tones.lung) - tile)
    return tile


def _cavity(stage: Stage, heart: Heart, tones: Tones) -> Layer:
    """Blood, a little smaller and rougher than the drawn contour, darker to one side."""
    rng = stage.rng
    radius = float(heart.inner.mean())
    n = tiles.tile_size(radius)
    tile = tones.blood * tiles.plain(rng, radius, grain=rng.uniform(0.01, 0.12), cell=radius * 0.5)
    fade = rng.uniform(0, 0.7) * round_the_clock(rng, n, orders=2) * radial(n) ** rng.uniform(1, 5)
    tile *= np.clip(1 - fade, 0.1, 1).astype(np.float32)
    rough = None
    if chance(rng, 0.6):
        ragged = fractal_noise(rng, (n, n), cell=max(radius * rng.uniform(0.12, 0.4), 2))
        one_side = round_the_clock(rng, n) ** 2
        rough = np.float32(radius * rng.uniform(0.02, 0.1)) * ragged * one_side
    seen = np.maximum(heart.inner * (1 - rng.uniform(-0.02, 0.1)), 1.5)
    body = solid(stage, outline(seen, rough), heart.centre + stage.camera, tile)
    gain = np.exp(rng.uniform(0, 0.1) * evolve(rng, stage.steps, (), 0.4))
    return Layer(replace(body, gain=gain), log_uniform(rng, 1.0, 4.0))


def _papillary(stage: Stage, heart: Heart, tones: Tones) -> list[Layer]:
    """Muscles in the cavity and at its edge; they count as cavity."""
    rng, place = stage.rng, heart.centre + stage.camera
    layers = []
    for _ in range(int(rng.choice([0, 0, 1, 2, 2, 3, 4]))):
        at = float(rng.uniform(0, 2 * np.pi))
        spot = place + compass(at) * heart.edge(at)[:, None] * rng.uniform(0.4, 1.0)
        radius = heart.inner.max() * rng.uniform(0.07, 0.2) * (1 + 0.2 * heart.squeeze)
        radius = np.minimum(radius, 0.35 * heart.inner.mean(axis=1))
        body = organ(
            stage, spot, radius, grey=tones.wall * rng.uniform(0.7, 1.5), lobes=0.15,
            aspect=rng.uniform(0.6, 1.7), angle=float(rng.uniform(0, np.pi)),
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(1.0, 4.0)))
    return layers


def _turbulence(stage: Stage, heart: Heart, tones: Tones) -> list[Layer]:
    """Flickering dark and bright specks on one side of the cavity's edge."""
    rng, place = stage.rng, heart.centre + stage.camera
    side, spread = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
    along = float(rng.choice([0, np.pi / 2]))
    layers = []
    for _ in range(int(rng.integers(2, 10))):
        at = float(side + rng.normal(0, spread)) % (2 * np.pi)
        spot = place + compass(at) * heart.edge(at)[:, None] * rng.uniform(0.85, 1.2)
        spot = spot + evolve(rng, stage.steps, (2,), 0.6) * heart.wall * 0.1
        grey = float(rng.choice([tones.lung, tones.wall, tones.blood]))
        body = organ(
            stage, spot, heart.reach * rng.uniform(0.03, 0.09), grey=grey, lobes=0.2,
            aspect=rng.uniform(1, 4), angle=along,
        )  # fmt: skip
        gain = np.exp(0.4 * evolve(rng, stage.steps, (), 0.6))
        layers.append(Layer(replace(body, gain=gain), rng.uniform(1.0, 3.0)))
    return layers
