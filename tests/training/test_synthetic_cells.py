"""Properties of the synthetic cells: what shines, what is outlined, and how it changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_i2v.training.synthetic import generate_clip
from napari_sam_i2v.training.synthetic.bodies import Body, make_patch
from napari_sam_i2v.training.synthetic.chromatin import notched_shape, nucleoli, nucleus_tiles
from napari_sam_i2v.training.synthetic.compact import (
    glowing_draw,
    morphing_shape,
    phase_compact,
    roundness,
)
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, blob_shape, grow_crowd
from napari_sam_i2v.training.synthetic.fluorescence import drifting, leave_focus
from napari_sam_i2v.training.synthetic.glow import Glow, emission, render
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.optics import Optics, expose
from napari_sam_i2v.training.synthetic.shapes import ANGLES, Star
from napari_sam_i2v.training.synthetic.truth import claim, free_ground, generosity

CELLS = (
    "nuclei_sparse",
    "nuclei_crowded",
    "nuclei_dividing",
    "cytoplasm",
    "phase_spindle",
    "phase_spread",
    "phase_packed",
    "relief",
    "bright_field",
    "bacteria",
    "tissue",
)


def quiet_stage(frames: int = 6, size: int = 128, seed: int = 0) -> Stage:
    rng = np.random.default_rng(seed)
    return Stage(rng, frames, size, np.ones(frames), np.zeros((frames, 2)))


def disc(radius: float, centre: tuple[float, float], *, ident: int = 1, frames: int = 1) -> Body:
    ones = np.ones(frames)
    star = Star(np.full((frames, 2), radius), np.ones((frames, ANGLES), np.float32))
    place = np.tile(np.array(centre, float), (frames, 1))
    return Body(ident, star, place, 0 * ones, ones, ones, np.ones((24, 24), np.float32))


@pytest.mark.parametrize("look", CELLS)
def test_no_look_is_ever_empty(look: str) -> None:
    for seed in range(12):
        clip = generate_clip(seed, frames=2, size=96, look=look)
        assert clip.labels[0].any(), seed
        assert np.ptp(clip.frames) > 100, seed


def test_outlines_are_generous_by_a_few_percent_of_the_diameter() -> None:
    rng = np.random.default_rng(0)
    large = np.array([generosity(rng, 100.0) for _ in range(300)])
    assert large.max() <= 8
    assert 3 < large.mean() < 4.5
    small = np.array([generosity(rng, 8.0) for _ in range(300)])
    assert small.min() >= 0.2
    assert small.max() <= 0.8


def test_a_label_ends_as_far_outside_as_asked() -> None:
    _, labels = render(quiet_stage(1), [disc(20.0, (64.0, 64.0))], Glow(generous=3.0))
    assert (labels[0] == 1).sum() == pytest.approx(np.pi * 23**2, rel=0.02)


def test_a_label_covers_all_of_the_light_but_its_foot() -> None:
    glow = Glow(background=0.0, softness=4.0, skirt=0.2, reach=1.0, generous=3.0)
    images, labels = render(quiet_stage(1), [disc(20.0, (64.0, 64.0))], glow)
    bright = images[0] > 0.5 * images[0].max()
    assert (labels[0] > 0)[bright].all()
    assert bright.sum() < 0.85 * (labels[0] > 0).sum()
    assert images[0][labels[0] == 0].max() < 0.1


def test_ground_between_two_bodies_goes_to_the_nearer() -> None:
    labels, nearest = np.zeros((64, 64), np.uint8), free_ground(64)
    for ident, x in ((1, 20.0), (2, 44.0)):
        patch = make_patch(disc(10.0, (32.0, x), ident=ident), 0, 64, 8.0)
        assert patch is not None
        claim(labels, nearest, patch, ident, 5.0)
    assert labels[32, 31] == 1
    assert labels[32, 33] == 2
    assert (labels == 1).sum() == pytest.approx((labels == 2).sum(), abs=40)


def test_of_overlapping_bodies_the_later_is_whole() -> None:
    labels, nearest = np.zeros((64, 64), np.uint8), free_ground(64)
    for ident, x in ((1, 28.0), (2, 36.0)):
        patch = make_patch(disc(10.0, (32.0, x), ident=ident), 0, 64, 5.0)
        assert patch is not None
        claim(labels, nearest, patch, ident, 0.5)
    assert labels[32, 28] == 2
    assert (labels == 2).sum() >= np.pi * 100 * 0.97


def test_a_round_body_is_darker_at_its_rim() -> None:
    body = disc(20.0, (64.0, 64.0))
    patch = make_patch(body, 0, 128, 6.0)
    assert patch is not None
    light = emission(body, patch, 0, Glow(dome=1.0))
    depth = patch.level
    means = [light[(depth > a) & (depth < a + 2)].mean() for a in (0, 3, 8, 16)]
    assert means == sorted(means)
    assert means[0] < 0.5 * means[-1]


def test_brightness_follows_real_nuclei_inside_of_the_labels() -> None:
    # In real movies the area above half of the brightness is 0.75 to 1 of the annotated area.
    shares = []
    for seed in range(10):
        clip = generate_clip(seed + 50, frames=1, size=256, look="nuclei_sparse")
        frame = ndimage.gaussian_filter(clip.frames[0].astype(float), 1)
        for ident in np.unique(clip.labels[0])[1:4]:
            mask = clip.labels[0] == ident
            around = ndimage.binary_dilation(mask, iterations=6) & (clip.labels[0] == 0)
            dark, bright = np.median(frame[around]), np.median(frame[mask])
            shares.append(((frame - dark) / (bright - dark) > 0.5)[mask].mean())
    assert 0.7 < np.median(shares) < 0.97


def test_nucleoli_are_holes_in_brightness_only() -> None:
    rng = np.random.default_rng(1)
    depth = nucleoli(rng, 40.0)
    assert depth.min() >= 0
    assert 0.25 < depth.max() <= 0.86
    assert 0.002 < (depth > 0.1).mean() < 0.5
    tile = nucleus_tiles(rng)(30.0)
    assert tile.min() > 0


def test_a_kidney_has_a_dent() -> None:
    stage = quiet_stage(1, seed=3)
    plan = CrowdPlan(1, 20.0, lobes=0.0, aspect=0.0)
    blob = blob_shape(quiet_stage(1, seed=3), plan, 20.0)
    kidney = notched_shape(stage, plan, 20.0)
    assert kidney.radii.min() < 0.85 * blob.radii.min()
    assert kidney.radii.max() == pytest.approx(blob.radii.max(), rel=0.05)


def test_a_body_that_leaves_the_focus_shrinks_and_fades() -> None:
    stage = quiet_stage(8)
    bodies = [disc(10.0, (64.0, 64.0), ident=k + 1, frames=8) for k in range(60)]
    crossed = leave_focus(stage, bodies, 1.0)
    assert all(1 <= b.last <= 8 for b in crossed)
    assert any(b.last < 8 for b in crossed)  # some are gone before the end
    gone = next(b for b in crossed if b.last < 8)
    assert gone.scale[gone.last - 1] < gone.scale.max()
    assert leave_focus(stage, bodies, 0.0) == bodies


def test_a_drifting_crowd_moves_together() -> None:
    stage = drifting(quiet_stage(6, seed=4), 10.0)
    plan = CrowdPlan(5, 8.0, speed=0.01, spacing=0.0)
    bodies = grow_crowd(stage, plan, lambda r: np.ones((24, 24), np.float32))
    steps = np.stack([np.diff(b.centre, axis=0) for b in bodies])
    assert np.abs(steps).max() > 3
    assert np.abs(steps - steps.mean(axis=0)).max() < 1


def test_small_cells_round_up_and_spread_again() -> None:
    lowest, highest = 1.0, 0.0
    for seed in range(6):
        stage = quiet_stage(12, seed=seed)
        shape = morphing_shape(stage.rng)(stage, CrowdPlan(1, 10.0, lobes=0.1), 10.0)
        ones = np.ones(12)
        place = np.full((12, 2), 64.0)
        body = Body(1, shape, place, 0 * ones, ones, ones, np.ones((24, 24), np.float32))
        for t in range(12):
            patch = make_patch(body, t, 128)
            assert patch is not None
            value = roundness(body, patch, t)
            lowest, highest = min(lowest, value), max(highest, value)
    assert lowest < 0.2
    assert highest > 0.8


def test_a_rounded_cell_has_a_bright_ring_at_its_edge() -> None:
    body = disc(8.0, (64.0, 64.0))
    patch = make_patch(body, 0, 128, 10.0)
    assert patch is not None
    for seed in range(8):
        light = glowing_draw(np.random.default_rng(seed), 2.0)(body, patch, 0)
        ring = light[np.abs(patch.level) < 1].mean()
        assert ring > 0.3
        assert ring > light[patch.level < -6].mean() + 0.2


def test_small_cells_keep_their_ids_and_specks_have_none() -> None:
    scene = phase_compact(quiet_stage(4, size=160, seed=2))
    first, last = (set(np.unique(scene.labels[t])) - {0} for t in (0, 3))
    assert len(first & last) >= 2
    for ident in first & last:
        assert (scene.labels[0] == ident).sum() < 0.1 * 160**2


def test_few_grey_values_when_asked() -> None:
    images = np.random.default_rng(0).random((2, 64, 64), dtype=np.float32)
    optics = Optics(coarse=1.0, blocks=0.0)
    movie = expose(quiet_stage(2, size=64), images, optics)
    assert len(np.unique(movie)) <= 101
