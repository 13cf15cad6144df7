"""Natural-video looks: figures of many colours before scenery, seen by a moving camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_sam_i2v.training.synthetic.bodies import Scene
from napari_sam_i2v.training.synthetic.figures import Figure, make_pose, paint
from napari_sam_i2v.training.synthetic.ground import scenery
from napari_sam_i2v.training.synthetic.kinds import KINDS
from napari_sam_i2v.training.synthetic.motion import Stage, evolve
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.optics import Optics
from napari_sam_i2v.training.synthetic.weather import (
    cast_shadow,
    make_cover,
    make_smoke,
)

_GREY = 0.15
"""Share of clips without colour."""

_OPTICS = Optics(
    blur=(0.3, 1.1), photons=(300.0, 1e4), read=(0.0, 0.02), uneven=0.2, invert=0.05, blocks=0.5,
    low=(0.01, 1.5), high=(0.01, 1.5),
)  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """How the scenery moves in the picture: `shift` (T, 2) in pixels (y, x), `zoom` (T,)."""

    shift: np.ndarray
    zoom: np.ndarray

    def grid(self, t: int, size: int, length: int) -> list[np.ndarray]:
        """Canvas rows and columns seen by the pixels; the canvas goes on mirrored."""
        middle = (size - 1) / 2
        axes = []
        for k in range(2):
            at = (np.arange(size) - middle) / self.zoom[t] + length / 2 - self.shift[t, k]
            last = length - 1
            axes.append((last - np.abs(np.floor(at + 0.5) % (2 * last) - last)).astype(int))
        return axes

    def seen(self, points: np.ndarray, size: int, depth: float = 1.0) -> np.ndarray:
        """Places (T, 2) in the picture of fixed points of the scene (T or 1, 2)."""
        middle = (size - 1) / 2
        return middle + (points - middle + depth * self.shift) * self.zoom[:, None]


def natural(stage: Stage) -> Scene:
    """One to six figures of many colours, some alike, before scenery of any kind."""
    rng, size = stage.rng, stage.size
    canvas = scenery(rng, int(size * 1.4))
    camera = _camera(stage)
    figures = _figures(stage, camera)
    images, labels = _compose(stage, canvas, camera, figures)
    if chance(rng, _GREY):
        share = rng.dirichlet([3, 5, 2]).astype(np.float32)
        return Scene(np.tensordot(images, share, axes=((1,), (0,))), labels, _OPTICS)
    return Scene(images, labels, _OPTICS)


def _camera(stage: Stage) -> Camera:
    """Draw a camera: still, shaking, panning slowly or fast, zooming."""
    rng, size = stage.rng, stage.size
    shift = np.zeros((stage.frames, 2))
    time = np.cumsum(stage.steps) - stage.frames / 2
    if chance(rng, 0.7):
        speed = log_uniform(rng, 0.001, 0.08) * size
        heading = rng.standard_normal(2) * (0.4, 1.0)
        shift += time[:, None] * heading * speed
        shift += np.cumsum(evolve(rng, stage.steps, (2,), 0.3) * speed * 0.4, axis=0)
    if chance(rng, 0.4):
        shift += rng.normal(0, log_uniform(rng, 0.001, 0.015) * size, shift.shape)
    rate = rng.normal(0, 0.2) if chance(rng, 0.4) else 0.0
    zoom = np.exp(rate * np.linspace(-1, 1, stage.frames) + 0.1)
    return Camera(shift, zoom)


def _figures(stage: Stage, camera: Camera) -> list[Figure]:
    """Draw what stands in the scene, from far to near: bystanders without ids, and objects."""
    rng = stage.rng
    count = int(rng.choice([1, 1, 1, 1, 2, 2, 3, 4]))
    names, weights = list(KINDS), np.array([weight for _, weight in KINDS.values()])
    kinds = rng.choice(names, count, p=weights / weights.sum())
    if chance(rng, 0.4):
        kinds[:] = kinds[0]
    low, high = (0.07, 0.5) if count < 3 else (0.05, 0.25)
    radii = stage.size * np.exp(rng.uniform(np.log(low), np.log(high), count))
    bystanders = [
        _figure(stage, camera, 0, str(rng.choice(names)), stage.size * log_uniform(rng, 0.02, 0.1))
        for _ in range(int(rng.choice([0, 0, 1, 2])))
    ]
    objects = [
        _figure(stage, camera, k + 1, str(kinds[k]), float(radii[k])) for k in np.argsort(radii)
    ]
    return bystanders + objects


def _figure(stage: Stage, camera: Camera, ident: int, kind: str, radius: float) -> Figure:
    """Draw a figure and its way; what has no id stands still in the scene."""
    rng = stage.rng
    parts, foot = KINDS[kind][0](stage, radius)
    upright = kind != "thing"
    turn = rng.normal(0, 0.12 if upright else 2.0)
    spin = log_uniform(rng, 0.002, 0.05 if upright else 0.15)
    angle = turn + np.cumsum(evolve(rng, stage.steps, (), 0.3) * stage.steps * spin)
    line = np.linspace(-1, 1, stage.frames)
    grow = rng.normal(0, 0.25) if chance(rng, 0.5) else rng.normal(0, 0.05)
    scale = np.exp(grow * line + 0.01 * evolve(rng, stage.steps, (), 0.5))
    if not ident:
        at = rng.uniform(-0.1, 1.1, (1, 2)) * stage.size
        pose = make_pose(
            camera.seen(at, stage.size), 0 * line + turn, camera.zoom, 0 * line + 1, flip=False
        )
        return Figure(0, tuple(parts), pose, foot)
    aspect = np.exp(-np.abs(rng.normal(0, 0.3) + rng.normal(0, 0.35) * line))
    centre = _way(stage, camera, radius)
    pose = make_pose(centre, angle, scale, np.maximum(aspect, 0.35), flip=chance(rng, 0.5))
    return Figure(ident, tuple(parts), pose, foot, soft=float(rng.uniform(0.8, 2.0)))


def _way(stage: Stage, camera: Camera, radius: float) -> np.ndarray:
    """Places (T, 2) of an object in the picture: followed by the camera, crossing, or at rest."""
    rng, size = stage.rng, stage.size
    time = (np.cumsum(stage.steps) - stage.frames / 2)[:, None]
    speed = log_uniform(rng, 0.005, 0.5) * radius
    sway = np.cumsum(evolve(rng, stage.steps, (2,), 0.3) * speed * 0.4, axis=0)
    own = time * rng.standard_normal(2) * (0.5, 1.0) * speed + sway - sway[len(sway) // 2]
    edge = 0.0 if chance(rng, 0.15) else 0.2
    middle = rng.uniform(edge, 1 - edge, (1, 2)) * size
    if chance(rng, 0.5):
        return middle + own
    return camera.seen(middle, size) + own


def _compose(
    stage: Stage, canvas: np.ndarray, camera: Camera, figures: list[Figure]
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the scene frame by frame; images (T, 3, Y, X), labels (T, Y, X)."""
    rng, size = stage.rng, stage.size
    images = np.empty((stage.frames, 3, size, size), np.float32)
    labels = np.zeros((stage.frames, size, size), np.uint8)
    shadow = [rng.uniform(0.2, 0.7) if chance(rng, 0.5) else 0.0 for _ in figures]
    mirror = [float(rng.uniform(0.15, 0.5)) if chance(rng, 0.1) else 0.0 for _ in figures]
    covers = [make_cover(stage) for _ in range(int(rng.choice([0, 0, 0, 1, 2])))]
    smoke = make_smoke(stage, figures[-1]) if chance(rng, 0.2) else None
    streak = chance(rng, 0.3)
    for t in range(stage.frames):
        rows, cols = camera.grid(t, size, canvas.shape[1])
        images[t] = canvas[:, rows][:, :, cols]
        if streak:
            _streak(images[t], camera, t)
        for figure, dark, shine in zip(figures, shadow, mirror, strict=True):
            if dark:
                cast_shadow(images[t], figure, t, dark)
            if shine:
                paint(images[t], None, figure.reflected(), t, opacity=shine)
            paint(images[t], labels[t], figure, t)
        for cover in covers:
            cover(images[t], labels[t], camera.seen(np.zeros((1, 2)), size, 1.3)[t], t)
        if smoke is not None:
            smoke(images[t], t)
    return images, labels


def _streak(image: np.ndarray, camera: Camera, t: int) -> None:
    """Blur the scenery along the camera's fastest axis, as a long exposure does, in place."""
    step = np.gradient(camera.shift, axis=0)[t] if len(camera.shift) > 1 else np.zeros(2)
    axis = int(np.abs(step).argmax())
    length = int(min(abs(step[axis]) * 0.6, 25))
    if length >= 2:
        ndimage.uniform_filter1d(image, length, axis=axis + 1, output=image, mode="nearest")
