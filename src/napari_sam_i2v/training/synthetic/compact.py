"""Phase contrast at low magnification: small cells that round up, glow and spread again."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic import tiles
from napari_sam_i2v.training.synthetic.bodies import Body, Patch, Scene, texture
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, MakeShape, grow_crowd
from napari_sam_i2v.training.synthetic.dish import debris
from napari_sam_i2v.training.synthetic.motion import Stage, contour_coefficients, evolve
from napari_sam_i2v.training.synthetic.noise import chance, log_uniform
from napari_sam_i2v.training.synthetic.outlines import arm
from napari_sam_i2v.training.synthetic.shapes import Chain, Shape, Star, Union, fourier_radii
from napari_sam_i2v.training.synthetic.thickness import Draw, thickness_clip


def morphing_shape(rng: np.random.Generator) -> MakeShape:
    """Outlines that change between a disc and a spindle with thin ends, often fast."""
    rate = log_uniform(rng, 0.02, 1.0)
    slender, usual = rng.uniform(1.8, 4.5), rng.normal(0, 1)

    def make(stage: Stage, plan: CrowdPlan, radius: float) -> Shape:
        spread = 1 / (1 + np.exp(-2.5 * (evolve(rng, stage.steps, (), rate) + usual)))
        stretch = 1 + spread * (slender * rng.uniform(0.6, 1.3) - 1)
        axes = radius * np.stack([stretch**0.75, stretch**-0.4], axis=1)
        lobes = contour_coefficients(rng, stage.steps, lobes=plan.lobes, rate=rate)
        radii = fourier_radii(lobes * (0.2 + spread)[:, None, None])
        turns = rng.normal(0, 0.2) + np.pi * np.arange(int(rng.choice([0, 0, 1, 2, 2, 3])))
        arms = [arm(stage, radius * 0.6, float(a + rng.normal(0, 0.25)), rate) for a in turns]
        beyond = [rng.uniform(0.7, 1.5) * stretch**0.75 * spread for _ in arms]
        tails = zip(arms, beyond, strict=True)
        return Union(
            Star(axes, radii),
            tuple(Chain(a.points * far[:, None, None], 0.7 * a.widths) for a, far in tails),
        )

    return make


def half_width(body: Body, patch: Patch, t: int) -> float:
    """Half of a body's width in pixels, as if it were an ellipse as long as it reaches."""
    area = float(np.count_nonzero(patch.level > 0))
    return area / (np.pi * body.shape.reach(t) * float(body.scale[t]))


def roundness(body: Body, patch: Patch, t: int) -> float:
    """How round a body is on a frame: 1 a disc, 0 a spindle."""
    ratio = half_width(body, patch, t) / (body.shape.reach(t) * float(body.scale[t]))
    return float(np.clip((ratio - 0.2) / 0.45, 0, 1))


def glowing_draw(rng: np.random.Generator, width: float) -> Draw:
    """Brightness of small cells: a white ring or blob, black inside; spindles are dark.

    Spindles and flat cells may be black along their middle only, in a faint veil: people outline
    the veil. `width` is that of the halo in pixels, whose middle lies at the edge of a disc.
    """
    round_glow, flat_glow = rng.uniform(1.2, 4.0), rng.uniform(0.3, 1.5)
    depth, inset = rng.uniform(0.6, 2.0), rng.uniform(0, 0.4)
    one_sided, coreless = rng.uniform(0, 0.9), rng.uniform(0, 0.5)
    uneven, shift = rng.uniform(0, 0.9), rng.uniform(0, 0.5)
    slim, veil = rng.uniform(0, 0.7), rng.normal(0, 0.35)
    traits: dict[int, tuple[float, bool]] = {}

    def draw(body: Body, patch: Patch, t: int) -> np.ndarray:
        level = patch.level
        if not body.ident:
            return (0.5 * np.exp(-((level + 1.5) ** 2)) - 1.5 * patch.cover()) * body.gain[t]
        turn, blob = traits.setdefault(
            body.ident, (rng.uniform(0, 2 * np.pi), bool(rng.random() < coreless))
        )
        disc, inner = roundness(body, patch, t), half_width(body, patch, t)
        glow = disc * round_glow + (1 - disc) * flat_glow
        middle = disc * inset * inner - (1 - disc) * 0.5 * width
        shell = np.exp(-(((level - middle) * (1 / width)) ** 2))
        facing = np.clip(patch.mu * float(np.cos(turn)) + patch.mv * float(np.sin(turn)), -1, 1)
        shell *= glow * np.clip(1 + one_sided * facing, 0.05, 2)
        grain = texture(body, patch)
        ragged = level + inner * (uneven * (grain - 1) - shift * facing)
        ragged = np.minimum(ragged, level + 1)  # the core never leaves the cell
        edge = max(middle, 0) + 0.3 * width * disc + (1 - disc) * slim * inner
        inside = np.clip((ragged - edge) * 0.6, 0, 1)
        core = 0.7 * glow if blob and disc > 0.5 else -depth
        around = shell + (1 - disc) * veil * grain * patch.cover()
        return (around * (1 - inside) + inside * core * grain) * body.gain[t]

    return draw


def phase_compact(stage: Stage) -> Scene:
    """Phase contrast: tiny glowing cells and dark spindles on a noisy, sloping ground."""
    rng, size = stage.rng, stage.size
    radius = size * log_uniform(rng, 0.011, 0.035)
    width = float(np.clip(radius * rng.uniform(0.2, 0.5), 1.2, 5))
    coarse = chance(rng, 0.5)
    plan = CrowdPlan(
        count=int(rng.integers(3, 30)),
        radius=radius,
        spread=rng.uniform(0.1, 0.25),
        lobes=log_uniform(rng, 0.06, 0.3),
        speed=rng.uniform(0.4, 1.5) if coarse else log_uniform(rng, 0.02, 0.6),
        spacing=rng.uniform(0.95, 1.4),
        divide=rng.uniform(0, 0.2),
        brightness=0.2,
        condense=0.0,
        margin=0.0,
    )
    rough = rng.uniform(0.2, 1.0)

    def make_tile(r: float) -> np.ndarray:
        return tiles.cell(rng, r, roughness=rough, nucleus=0.0)

    bodies = debris(stage, int(rng.poisson(10)) if chance(rng, 0.7) else 0)
    bodies += grow_crowd(stage, plan, make_tile, morphing_shape(rng))
    generous = max(width * rng.uniform(0.3, 1.2), 0.6)
    return thickness_clip(
        stage,
        bodies,
        glowing_draw(rng, width),
        np.asarray,
        strength=log_uniform(rng, 0.1, 0.35),
        generous=generous,
    )
