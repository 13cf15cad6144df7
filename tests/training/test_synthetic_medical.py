from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_i2v.training.synthetic import SyntheticClip, generate_clip
from napari_sam_i2v.training.synthetic.chest import draw_chest, draw_tones
from napari_sam_i2v.training.synthetic.heart import CAVITY, MUSCLE, plan_heart, truth
from napari_sam_i2v.training.synthetic.medical import _magnitude_noise
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.organs import Layer, mark, organ, paint

SEEDS = range(24)


@lru_cache(maxsize=1)
def clips() -> list[SyntheticClip]:
    return [generate_clip(seed, frames=4, size=192, look="cine") for seed in SEEDS]


def stage(seed: int, *, frames: int = 6, size: int = 256) -> Stage:
    rng = np.random.default_rng(seed)
    return Stage(rng, frames, size, np.ones(frames), np.zeros((frames, 2)))


def areas(clip: SyntheticClip, ident: int) -> np.ndarray:
    return (clip.labels == ident).sum(axis=(1, 2))


@pytest.mark.parametrize("seed", range(12))
def test_the_muscle_surrounds_the_cavity_on_every_frame(seed: int) -> None:
    theatre = stage(seed)
    labels = np.zeros((6, 256, 256), np.uint8)
    mark(labels, truth(theatre, plan_heart(theatre)))
    for plane in labels:
        cavity = plane == CAVITY
        assert cavity.any()
        around = ndimage.binary_dilation(cavity, np.ones((3, 3))) & ~cavity
        assert (plane[around] == MUSCLE).all()


def test_nearly_every_clip_has_a_ring_and_every_clip_a_cavity() -> None:
    rings = [bool(areas(clip, MUSCLE).all()) for clip in clips()]
    assert sum(rings) >= 0.85 * len(rings)
    assert all(areas(clip, CAVITY).any() for clip in clips())


def test_ids_are_those_documented_and_stay_with_their_place() -> None:
    for clip in clips():
        assert set(np.unique(clip.labels)) <= set(range(6))
        for ident in (CAVITY, MUSCLE):
            seen = [plane == ident for plane in clip.labels if (plane == ident).any()]
            middles = np.array([ndimage.center_of_mass(mask) for mask in seen])
            reach = np.sqrt(max(areas(clip, MUSCLE).max(), areas(clip, CAVITY).max()))
            steps = np.linalg.norm(np.diff(middles, axis=0), axis=1)
            assert (steps < reach + 0.1 * 192).all()


def test_hearts_contract() -> None:
    change = [areas(clip, CAVITY).min() / areas(clip, CAVITY).max() for clip in clips()]
    assert np.median(change) < 0.8
    assert min(change) < 0.5  # some lose half of their area


def test_the_wall_thickens_as_the_cavity_empties() -> None:
    for seed in range(20):
        heart = plan_heart(stage(seed, frames=8))
        thickness = (heart.outer - heart.inner).mean(axis=1)
        full, empty = heart.squeeze.argmin(), heart.squeeze.argmax()
        assert thickness[empty] >= 0.95 * thickness[full]


def test_sizes_and_thicknesses_span_apex_to_base() -> None:
    hearts = [plan_heart(stage(seed, frames=1)) for seed in range(60)]
    diameters = [2 * heart.reach for heart in hearts]
    shares = [heart.wall / heart.reach for heart in hearts]
    assert min(diameters) < 30
    assert max(diameters) > 80
    assert min(shares) < 0.25
    assert max(shares) > 0.4


def test_grey_values_are_skewed_as_in_real_scans() -> None:
    # The median is far below the brightest blood in most clips, but not in all.
    share = []
    for clip in clips():
        low, middle, high = np.percentile(clip.frames, [0.3, 50, 99.7])
        share.append((middle - low) / (high - low))
    assert 0.02 < np.median(share) < 0.25
    assert min(share) < 0.1
    assert max(share) > 0.15


def test_the_cavity_differs_from_its_wall_and_the_wall_is_faint_in_some() -> None:
    inner, outer = [], []
    for clip in clips():
        frame, plane = clip.frames[0].astype(float), clip.labels[0]
        disc = ndimage.binary_fill_holes(np.isin(plane, (CAVITY, MUSCLE)))
        beyond = ndimage.binary_dilation(disc, iterations=4) & ~disc
        wall = np.median(frame[plane == MUSCLE]) if (plane == MUSCLE).any() else np.nan
        inner.append(abs(np.median(frame[plane == CAVITY]) - wall))
        outer.append(abs(np.median(frame[beyond]) - wall))
    assert np.nanmedian(inner) > 60
    assert np.nanmedian(outer) > 8
    assert np.nanmedian(outer) < 0.7 * np.nanmedian(inner)


def test_what_is_painted_over_is_no_longer_labelled() -> None:
    theatre = stage(0, frames=1, size=64)
    images, labels = np.zeros((1, 64, 64), np.float32), np.zeros((1, 64, 64), np.uint8)
    back, front = (
        organ(theatre, np.array([32.0, x]), 10.0, grey=1.0, ident=ident, lobes=0.0)
        for x, ident in ((28.0, 4), (38.0, 0))
    )
    paint(images, labels, [Layer(back, 1.0), Layer(front, 1.0)])
    assert labels[0, 32, 20] == 4
    assert labels[0, 32, 32] == 0


def test_the_chest_follows_the_camera() -> None:
    theatre = stage(4, frames=2, size=128)
    chest = draw_chest(theatre, np.array([64.0, 64.0]), 20.0, draw_tones(theatre.rng))
    theatre.camera[1] = (0, 12)
    images, labels = chest.film(theatre)
    assert images.shape == labels.shape == (2, 128, 128)
    first, second = (images[0][:, 20:100], images[1])
    errors = [np.abs(second[:, 20 + k : 100 + k] - first).mean() for k in range(0, 25)]
    assert 7 <= int(np.argmin(errors)) <= 17  # up to breathing


def test_empty_places_have_a_noise_floor_and_no_negative_value() -> None:
    images = np.zeros((3, 64, 64), np.float32)
    _magnitude_noise(np.random.default_rng(1), images)
    assert images.min() >= 0
    assert images.mean() > images.std() > 0


def test_chambers_are_darker_than_what_surrounds_them() -> None:
    darker = []
    for seed in range(12):
        clip = generate_clip(seed, frames=1, size=160, look="ultrasound")
        frame, chamber = clip.frames[0], clip.labels[0] == 1
        if chamber.any():
            beyond = ndimage.binary_dilation(chamber, iterations=8) & (clip.labels[0] == 0)
            darker.append(frame[chamber].mean() < frame[beyond].mean())
    assert np.mean(darker) > 0.7
