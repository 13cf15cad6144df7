"""From bodies that shine to fluorescence images and the outlines that a person would draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Body, Patch, make_patch, texture
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, smooth_noise
from napari_sam_i2v.training.synthetic.optics import wide_blur
from napari_sam_i2v.training.synthetic.truth import claim, free_ground, generosity


@dataclass(frozen=True)
class Glow:
    """How the bodies of one clip shine and are outlined; brightness 1 is a usual body.

    Attributes
    ----------
    background : float
        Even light everywhere.
    rim : float
        Extra light of the edge: membranes.
    dome, floor : float
        How much the thickness of a round body shows, 0..1, and the least thickness.
    softness : float
        Width of the edge in pixels.
    skirt, reach : float
        Blurred light around a body: its strength, and how far it falls off, pixels.
    haze : float
        Share of all light that is spread widely.
    generous : float
        How far outside of the edge the label ends, pixels.
    project : bool
        Light of overlapping bodies adds up (wide field), else the brighter hides the other.
    """

    background: float = 0.05
    rim: float = 0.0
    dome: float = 0.0
    floor: float = 0.03
    softness: float = 1.5
    skirt: float = 0.0
    reach: float = 1.0
    haze: float = 0.0
    generous: float = 0.0
    project: bool = True


def draw_glow(rng: np.random.Generator, radius: float, *, most: float = 0.08) -> Glow:
    """Draw how bodies of a typical radius (pixels) shine in a clip; `most` as in `generosity`."""
    generous = generosity(rng, 2 * radius, most=most)
    # The foot of the blur lies inside of the label: people follow the outermost visible light.
    softness = 1.2 + (generous * rng.uniform(0, 1.6) if chance(rng, 0.6) else 0)
    return Glow(
        background=log_uniform(rng, 0.01, 0.25),
        rim=rng.uniform(0.1, 0.5) if chance(rng, 0.15) else 0.0,
        dome=rng.uniform(0.1, 1.0) if chance(rng, 0.6) else 0.0,
        softness=softness,
        skirt=rng.uniform(0.05, 0.35) if chance(rng, 0.6) else 0.0,
        reach=max(generous * rng.uniform(0.3, 0.8), 0.6),
        haze=rng.uniform(0.0, 0.25) if chance(rng, 0.5) else 0.0,
        generous=generous,
        project=chance(rng, 0.5),
    )


def render(stage: Stage, bodies: list[Body], glow: Glow) -> tuple[np.ndarray, np.ndarray]:
    """Draw all bodies: images float32 and labels uint8, both (T, Y, X); the brighter win."""
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    haze_width = size * rng.uniform(0.03, 0.1)
    ground = glow.background * (1 + 0.25 * smooth_noise(rng, (size, size), size / 3))
    order = sorted(bodies, key=lambda body: float(body.gain.mean()))
    for t in range(stage.frames):
        light = _frame(order, t, glow, labels[t])
        images[t] = light + ground
        if glow.haze:
            images[t] += glow.haze * wide_blur(light, haze_width)
    return images, labels


def _frame(bodies: list[Body], t: int, glow: Glow, labels: np.ndarray) -> np.ndarray:
    """Light (Y, X) of one frame; its labels are filled in place."""
    size = labels.shape[0]
    light = np.zeros((size, size), np.float32)
    nearest = free_ground(size)
    margin = 2 + max(glow.generous, glow.softness, 3 * glow.reach if glow.skirt else 0)
    for body in bodies:
        patch = make_patch(body, t, size, margin) if body.alive(t) else None
        if patch is None:
            continue
        region = light[patch.box]
        shine = emission(body, patch, t, glow)
        (np.add if glow.project else np.maximum)(region, shine, out=region)
        if body.ident:
            claim(labels, nearest, patch, body.ident, glow.generous)
    return light


def emission(body: Body, patch: Patch, t: int, glow: Glow) -> np.ndarray:
    """Light of one body on its patch."""
    gain = float(body.gain[t])
    value = texture(body, patch) * gain
    if glow.dome:
        depth = 1 - (patch.mu * patch.mu + patch.mv * patch.mv)
        value *= (1 - glow.dome) + glow.dome * np.sqrt(np.maximum(depth, glow.floor))
    if glow.rim:
        value = value + glow.rim * np.exp(-np.abs(patch.level - 1.5) * 0.6)
    value *= patch.cover(glow.softness)
    if glow.skirt:
        away = np.minimum(patch.level, 0) * np.float32(1 / glow.reach)
        value = np.maximum(value, np.float32(glow.skirt * gain) * np.exp(away))
    return value
