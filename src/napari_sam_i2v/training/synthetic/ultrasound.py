"""Ultrasound of chambers: dark, with bright walls, in speckled tissue seen through a fan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Scene
from napari_sam_i2v.training.synthetic.motion import Stage, beating, evolve
from napari_sam_i2v.training.synthetic.noise import (
    chance,
    fractal_noise,
    log_uniform,
    smooth_noise,
)
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.organs import (
    Layer,
    compass,
    organ,
    paint,
    round_the_clock,
)

OPTICS = Optics(
    blur=(0.4, 1.2),
    photons=(1e3, 1e5),
    read=(0.0, 0.03),
    uneven=0.3,
    invert=0.04,
    blocks=0.3,
    high=(0.01, 1.0),
)


def ultrasound(stage: Stage) -> Scene:
    """Dark beating chambers with bright walls in speckled tissue; one wall may be an object."""
    rng, size = stage.rng, stage.size
    tissue = log_uniform(rng, 0.15, 0.6)
    unit = size * log_uniform(rng, 0.06, 0.22)
    ground = tissue * (1 + 0.3 * fractal_noise(rng, (size, size), cell=size / 6))
    images = np.repeat(ground.astype(np.float32)[None], stage.frames, axis=0)
    labels = np.zeros(images.shape, np.uint8)
    paint(images, labels, _clutter(stage, unit, tissue) + _chambers(stage, unit, tissue))
    view = _sector(rng, size)
    _speckle(stage, images)
    images *= view
    labels[:, view == 0] = 0
    return Scene(images, labels, OPTICS)


def _clutter(stage: Stage, unit: float, tissue: float) -> list[Layer]:
    """Unlabelled lumps of tissue."""
    rng = stage.rng
    layers = []
    for _ in range(int(rng.integers(0, 5))):
        body = organ(
            stage, rng.uniform(0, stage.size, 2) + stage.camera, unit * rng.uniform(0.4, 2),
            grey=tissue * log_uniform(rng, 0.2, 2.5), aspect=rng.uniform(0.4, 3), lobes=0.3,
            grain=0.3, angle=float(rng.uniform(0, np.pi)),
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(2, 5)))
    return layers


def _chambers(stage: Stage, unit: float, tissue: float) -> list[Layer]:
    """One to four chambers around a middle, each a dark body on a bright one."""
    rng, size = stage.rng, stage.size
    squeeze = beating(rng, stage.frames)
    sway = evolve(rng, stage.steps, (2,), 0.15) * unit * rng.uniform(0, 0.12)
    middle = size / 2 + rng.normal(0, 0.07 * size, 2) + sway + stage.camera
    count = int(rng.integers(1, 5))
    turn, ring = rng.uniform(0, 2 * np.pi), chance(rng, 0.55)
    layers = []
    for k in range(count):
        away = compass(turn + k * 2 * np.pi / max(count, 2)) * unit * (1.35 if count > 1 else 0)
        names = (count + 1 if ring and k == 0 else 0, k + 1)
        layers += _chamber(stage, middle + away, unit, squeeze, names, tissue)
    return layers


def _chamber(
    stage: Stage,
    centre: np.ndarray,
    unit: float,
    squeeze: np.ndarray,
    names: tuple[int, int],
    tissue: float,
) -> list[Layer]:
    """Bright wall (id names[0]) and dark inside (names[1])."""
    rng = stage.rng
    radius = unit * rng.uniform(0.6, 1.1) * (1 - rng.uniform(0.05, 0.4) * squeeze)
    wall = unit * rng.uniform(0.1, 0.45)
    aspect, angle = rng.uniform(1, 2), float(rng.uniform(0, np.pi))
    greys = tissue * rng.uniform(0.9, 2.5), tissue * rng.uniform(0.02, 0.25)
    layers = []
    for r, grey, ident in zip((radius + wall, radius), greys, names, strict=True):
        body = organ(
            stage, centre, r, grey=grey, ident=ident, aspect=aspect, lobes=0.08, grain=0.25,
            angle=angle,
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(2, 5)))
    shell = layers[0].body
    if chance(rng, 0.5):  # where the beam runs along the wall, the wall drops out
        lost = round_the_clock(rng, len(shell.tile)) * np.float32(rng.uniform(0.3, 0.9))
        layers[0] = layers[0]._replace(body=replace(shell, tile=shell.tile * (1 - lost)))
    return layers


def _sector(rng: np.random.Generator, size: int) -> np.ndarray:
    """Where a fan-shaped probe sees, times its losses: (Y, X), 0 outside."""
    y = (np.arange(size, dtype=np.float32) + np.float32(size * rng.uniform(0, 0.15)))[:, None]
    x = (np.arange(size, dtype=np.float32) - np.float32(size * rng.uniform(0.4, 0.6)))[None, :]
    depth, angle = np.sqrt(x * x + y * y) / np.float32(size), np.arctan2(x, y)
    gain = np.exp(-np.float32(rng.uniform(0, 1.5)) * depth) * _shadows(rng, angle, depth)
    if chance(rng, 0.3):
        return gain
    seen = (np.abs(angle) < rng.uniform(0.5, 0.9)) & (depth < rng.uniform(0.9, 1.3))
    return gain * seen


def _shadows(rng: np.random.Generator, angle: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Loss behind ribs and air: dark stripes away from the probe, never quite black."""
    gain = np.ones(angle.shape, np.float32)
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
        middle, width = rng.uniform(-0.8, 0.8), log_uniform(rng, 0.02, 0.15)
        begin, dark = rng.uniform(-0.2, 0.6), rng.uniform(0.3, 0.9)
        stripe = np.exp(-(((angle - np.float32(middle)) / np.float32(width)) ** 2))
        gain *= 1 - np.float32(dark) * stripe * np.clip((depth - np.float32(begin)) * 8, 0, 1)
    return gain


def _speckle(stage: Stage, images: np.ndarray) -> None:
    """Multiply by slowly changing speckle and compress the range, in place."""
    rng = stage.rng
    cell, stretch = rng.uniform(2.0, 5.0), log_uniform(rng, 1, 3)
    keep = rng.uniform(0, 0.9)
    shape = images.shape[1:]
    waves = [smooth_noise(rng, shape, cell, stretch=stretch) for _ in range(2)]
    power = np.float32(log_uniform(rng, 3, 60))
    fresh = np.float32((1 - keep**2) ** 0.5)
    for image in images:
        for wave in waves:
            wave *= np.float32(keep)
            wave += fresh * smooth_noise(rng, shape, cell, stretch=stretch)
        image *= np.sqrt(waves[0] ** 2 + waves[1] ** 2) * np.float32(0.8)
        np.log1p(power * np.abs(image), out=image)
        image /= np.log1p(power)
