"""Transmitted light: the thickness of bodies, and the contrasts that microscopes make of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Body, Patch, Scene, make_patch, texture
from napari_sam_i2v.training.synthetic.dish import dish
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, smooth_noise
from napari_sam_i2v.training.synthetic.optics import Optics, wide_blur
from napari_sam_i2v.training.synthetic.truth import claim, free_ground

Draw = Callable[[Body, Patch, int], np.ndarray]
Contrast = Callable[[np.ndarray], np.ndarray]  # thickness (Y, X) -> change of brightness (Y, X)


def thickness_clip(
    stage: Stage,
    bodies: list[Body],
    draw: Draw,
    contrast: Contrast,
    *,
    strength: float,
    generous: float = 0.0,
) -> Scene:
    """Pile up the bodies' thickness, turn it into contrast and record it.

    Parameters
    ----------
    stage : Stage
        Sampling and randomness.
    bodies : list of Body
        Later ones lie on top.
    draw : callable
        (body, patch, frame) -> thickness on the patch.
    contrast : callable
        Thickness (Y, X) -> change of brightness (Y, X).
    strength : float
        How bright thickness 1 becomes on a ground of 0.5.
    generous : float
        How far outside of the edge labels end, pixels.
    """
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    ground = 0.5 + dish(stage, strength)
    restless = rng.uniform(0, 0.06) * strength
    for t in range(stage.frames):
        thick = _pile(bodies, t, draw, labels[t], generous)
        images[t] = ground + np.float32(strength) * contrast(thick)
        images[t] += np.float32(restless) * smooth_noise(rng, (size, size), 6)
    np.maximum(images, 0, out=images)
    return Scene(images, labels, _optics(strength))


def _pile(
    bodies: list[Body], t: int, draw: Draw, labels: np.ndarray, generous: float
) -> np.ndarray:
    """Thickness (Y, X) of one frame; its labels are filled in place."""
    size = labels.shape[0]
    thick = np.zeros((size, size), np.float32)
    nearest = free_ground(size)
    for body in bodies:
        margin = 4.0 if body.ident == 0 else 8.0 + generous
        patch = make_patch(body, t, size, margin) if body.alive(t) else None
        if patch is None:
            continue
        region = thick[patch.box]
        region += draw(body, patch, t) - 0.6 * patch.cover(1.5) * region
        if body.ident:
            claim(labels, nearest, patch, body.ident, generous)
    return thick


def _optics(strength: float) -> Optics:
    """Imaging with noise below the contrast of the cells."""
    return Optics(
        blur=(0.4, 1.3),
        photons=(0.5 / (0.1 * strength) ** 2, 0.5 / (0.015 * strength) ** 2),
        read=(0.0, 0.04 * strength),
        flicker=0.12 * strength,
        uneven=min(0.3, 0.6 * strength),
        invert=0.08,
        low=(0.01, 1.0),
        high=(0.01, 1.0),
    )


def phase_contrast(rng: np.random.Generator, halo: float) -> Contrast:
    """Thick is dark, and light is lost from a wide neighbourhood: the bright halo."""
    share, gain = rng.uniform(0.2, 0.5), np.float32(rng.uniform(0.9, 1.8))

    def contrast(thick: np.ndarray) -> np.ndarray:
        lost = (1 - share) * wide_blur(thick, halo) + share * wide_blur(thick, halo * 0.4)
        return gain * lost - thick

    return contrast


def relief_contrast(rng: np.random.Generator) -> Contrast:
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


def plain_absorption(thick: np.ndarray) -> np.ndarray:
    """Thick is dark."""
    return -thick


def body_draw(rng: np.random.Generator, bright: float | None = None) -> Draw:
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


def sheet_draw(rng: np.random.Generator) -> Draw:
    """Thickness of spread cells: a thin sheet, an edge dark in places, a thick soma somewhere."""
    thin, rim = log_uniform(rng, 0.03, 0.4), rng.uniform(0.2, 1.0)
    broken = rng.uniform(0, 1) if chance(rng, 0.7) else 0.0
    somas: dict[int, np.ndarray] = {}

    def draw(body: Body, patch: Patch, t: int) -> np.ndarray:
        if body.ident not in somas:
            somas[body.ident] = np.append(
                rng.normal(0, 0.25, 2), rng.uniform([0.25, 0.3, 0], [0.6, 2, 2 * np.pi])
            )
        y, x, r, height, turn = (float(c) for c in somas[body.ident])
        away = np.sqrt((patch.mu - x) ** 2 + (patch.mv - y) ** 2)
        soma = np.clip((r - away) * (2.5 / r), 0, 1) * height
        grain = texture(body, patch)
        edge = np.exp(-np.abs(patch.level - 1.5) * 0.45) * rim * grain
        if broken:  # the leading edge is dark, the rest fades into the ground
            facing = patch.mu * float(np.cos(turn)) + patch.mv * float(np.sin(turn))
            edge = edge * np.clip(1 + broken * (1.5 * facing - 0.5), 0.05, 2)
        return patch.cover(1.5) * ((thin + soma) * grain + edge) * float(body.gain[t])

    return draw


def fringe_draw(rng: np.random.Generator) -> Draw:
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
