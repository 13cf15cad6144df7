"""What lies around the heart in an MRI slice: chest wall, lungs, liver, fat and vessels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.motion import Stage, evolve
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform, resample
from napari_sam_i2v.training.synthetic.organs import Layer, compass, organ, paint

LIVER, VESSEL = 4, 5
PAD = 24


@dataclass(frozen=True)
class Tones:
    """Grey values of a scan; 1 is about the brightest blood."""

    blood: float
    right: float
    wall: float
    tissue: float
    liver: float
    lung: float
    fat: float


def draw_tones(rng: np.random.Generator) -> Tones:
    """Draw a kind of scan: gradient echo, balanced (SSFP), low contrast or black blood."""
    kind = rng.choice(4, p=[0.46, 0.38, 0.1, 0.06])
    lung = log_uniform(rng, 0.01, 0.09)
    if kind == 0:  # inflowing blood outshines all; fat is suppressed
        wall = log_uniform(rng, 0.09, 0.32)
        right, fat = log_uniform(rng, 0.14, 1.0), wall * log_uniform(rng, 0.4, 2)
        blood = rng.uniform(0.8, 1.1)
    elif kind == 1:
        wall, blood = rng.uniform(0.14, 0.45), rng.uniform(0.7, 1.05)
        right, fat = blood * rng.uniform(0.7, 1.1), rng.uniform(0.5, 1.3)
    elif kind == 2:
        wall, blood = rng.uniform(0.3, 0.5), rng.uniform(0.55, 0.85)
        right, fat = blood * rng.uniform(0.8, 1.1), rng.uniform(0.4, 1.1)
    else:
        wall, blood = rng.uniform(0.3, 0.8), log_uniform(rng, 0.02, 0.12)
        right, fat = blood * rng.uniform(0.7, 2), rng.uniform(0.5, 1.2)
    tissue, liver = (wall * log_uniform(rng, 0.5, 1.6) for _ in range(2))
    return Tones(blood, float(right), wall, tissue, liver, lung, float(fat))


@dataclass(frozen=True)
class Chest:
    """A still picture (N, N) and its labels, `PAD` pixels wider than the field on all sides."""

    picture: np.ndarray
    labels: np.ndarray

    def film(self, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture and the labels on every frame, (T, Y, X), moved by breathing."""
        rng, size = stage.rng, stage.size
        axis = np.arange(size) + PAD
        breath = evolve(rng, stage.steps, (2,), 0.3) * rng.uniform(0, 1.5)
        pull = np.linspace(0, 1, size) if chance(rng, 0.5) else np.ones(size)
        images = np.empty((stage.frames, size, size), np.float32)
        labels = np.empty((stage.frames, size, size), np.uint8)
        for t in range(stage.frames):
            rows, cols = (
                np.clip(axis - stage.camera[t, k] - breath[t, k] * pull, 0, size + 2 * PAD - 2)
                for k in (0, 1)
            )
            images[t] = resample(self.picture, rows, cols)
            labels[t] = self.labels[np.ix_(np.rint(rows).astype(int), np.rint(cols).astype(int))]
        return images, labels


def draw_chest(stage: Stage, heart: np.ndarray, reach: float, tones: Tones) -> Chest:
    """Draw the surroundings of a heart of outer radius `reach` at `heart` (2,), in pixels."""
    size = stage.size + 2 * PAD
    still = replace(stage, frames=1, size=size, steps=np.ones(1), camera=np.zeros((1, 2)))
    at = heart + PAD
    layers = _trunk(still, at, reach, tones) if chance(stage.rng, 0.85) else []
    ground = tones.lung if layers else log_uniform(stage.rng, tones.lung, tones.tissue)
    layers += _organs(still, at, reach, tones)
    layers += _vessels(still, at, reach, tones)
    images = np.full((1, size, size), 0.0 if layers else ground, np.float32)
    labels = np.zeros((1, size, size), np.uint8)
    paint(images, labels, layers)
    return Chest(images[0], labels[0])


def _trunk(stage: Stage, heart: np.ndarray, reach: float, tones: Tones) -> list[Layer]:
    """Skin, fat, muscle with ribs, and the dark inside; the heart lies behind the front."""
    rng = stage.rng
    radius = max(stage.size * rng.uniform(0.26, 0.6), 1.8 * reach)
    wall = radius * rng.uniform(0.06, 0.3)
    front = float(rng.uniform(0, 2 * np.pi))
    aspect = rng.uniform(0.8, 1.5)
    # Half-width of the trunk towards the front, which is the short side of a wide chest.
    depth = radius * aspect**-0.5
    gap = reach * rng.uniform(0.7, 1.7)
    centre = heart - compass(front) * max(depth - wall - gap, 0)
    turn = front + np.pi / 2
    layers = []
    for cut, grey, grain in _sheets(rng, wall, tones):
        body = organ(
            stage, centre, radius - cut, grey=grey, aspect=aspect, grain=grain, angle=turn,
            lobes=rng.uniform(0.01, 0.05),
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(1.0, 3.0)))
    ribs = _ribs(stage, centre, (radius, wall), aspect, turn, tones)
    return layers[:-1] + ribs + layers[-1:]


def _sheets(
    rng: np.random.Generator, wall: float, tones: Tones
) -> list[tuple[float, float, float]]:
    """Depth below the skin, grey and grain of the chest wall's layers, the inside last."""
    skin = wall * rng.uniform(0.1, 0.6)
    sheets = [(0.0, tones.fat, 0.15), (skin, tones.tissue, 0.3)]
    depth = skin
    for _ in range(int(rng.integers(0, 4))):  # fascia and bundles of muscle
        depth += (wall - depth) * rng.uniform(0.15, 0.5)
        line = rng.uniform(0.8, 2.5)
        sheets.append((depth, float(rng.choice([tones.lung, tones.fat, 0.5 * tones.tissue])), 0.4))
        sheets.append((depth + line, tones.tissue * rng.uniform(0.7, 1.3), 0.3))
    return [*sheets, (max(wall, depth + 1), tones.lung * rng.uniform(0.7, 1.5), 0.3)]


def _ribs(
    stage: Stage,
    centre: np.ndarray,
    size: tuple[float, float],
    aspect: float,
    turn: float,
    tones: Tones,
) -> list[Layer]:
    """Flat spots in the chest wall, along it."""
    rng, (radius, wall) = stage.rng, size
    layers = []
    for _ in range(int(rng.integers(0, 9))):
        at = rng.uniform(0, 2 * np.pi)
        along, across = np.cos(at) * aspect**0.5, np.sin(at) * aspect**-0.5
        out = compass(turn) * along + compass(turn + np.pi / 2) * across
        spot = centre + out * (radius - wall * rng.uniform(0.5, 1.0))
        tangent = turn + np.arctan2(np.cos(at) * aspect**-0.5, -np.sin(at) * aspect**0.5)
        grey = tones.tissue * float(rng.choice([0.3, 0.6, 1.5, 2.5]))
        body = organ(
            stage, spot, wall * rng.uniform(0.1, 0.35), grey=grey, aspect=rng.uniform(1.5, 4),
            angle=float(tangent), lobes=0.2,
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(1.0, 3.0)))
    return layers


def _organs(stage: Stage, heart: np.ndarray, reach: float, tones: Tones) -> list[Layer]:
    """Large neighbours of the heart, some of which touch it: liver, stomach, fat, other lung."""
    rng = stage.rng
    layers = []
    for k in range(int(rng.integers(1, 6))):
        away = compass(float(rng.uniform(0, 2 * np.pi)))
        radius = reach * log_uniform(rng, 0.4, 4) if k else reach * rng.uniform(1.5, 4)
        place = heart + away * (radius + reach * rng.uniform(0.6, 1.6))
        greys = (tones.liver, tones.liver, tones.tissue, tones.wall, tones.fat, tones.lung)
        ident = LIVER if k == 0 and chance(rng, 0.1) else 0
        body = organ(
            stage, place, radius, grey=greys[rng.integers(6)], aspect=rng.uniform(0.6, 1.6),
            lobes=rng.uniform(0.03, 0.2), grain=rng.uniform(0.03, 0.25), ident=ident,
            angle=float(rng.uniform(0, np.pi)),
        )  # fmt: skip
        inner = tiles.spots(rng, radius, count=int(rng.integers(0, 20)), width=0.05, strength=1.0)
        body = replace(body, tile=body.tile * (1 + inner * np.float32(rng.uniform(-0.6, 1.2))))
        layers.append(Layer(body, rng.uniform(1.0, 3.0)))
    return layers


def _vessels(stage: Stage, heart: np.ndarray, reach: float, tones: Tones) -> list[Layer]:
    """Small bright, sometimes dark, spots and short strokes; one may be an object."""
    rng = stage.rng
    layers = []
    for k in range(int(rng.integers(0, 12))):
        away = compass(float(rng.uniform(0, 2 * np.pi))) * reach * rng.uniform(1.15, 4.5)
        radius = max(reach * log_uniform(rng, 0.04, 0.3), 1.2)
        grey = float(rng.choice([tones.lung, tones.right, tones.blood, 1.4 * tones.blood]))
        ident = VESSEL if k == 0 and radius > 4 and chance(rng, 0.3) else 0
        body = organ(
            stage, heart + away, radius, grey=grey, aspect=log_uniform(rng, 1, 5), ident=ident,
            angle=float(rng.uniform(0, np.pi)), lobes=0.15,
        )  # fmt: skip
        layers.append(Layer(body, rng.uniform(1.0, 2.5)))
    return layers
