from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.training.synthetic import LOOKS, contact_sheet, generate_clip
from napari_sam_i2v.training.synthetic.bodies import Body, drop_specks, make_patch
from napari_sam_i2v.training.synthetic.crowd import CrowdPlan, grow_crowd
from napari_sam_i2v.training.synthetic.motion import Stage, beating, evolve, plan_divisions
from napari_sam_i2v.training.synthetic.noise import fractal_noise, smooth_noise
from napari_sam_i2v.training.synthetic.optics import Optics, _blocks, expose, wide_blur
from napari_sam_i2v.training.synthetic.shapes import Chain, Star, fourier_radii

SMALL = {"frames": 4, "size": 128}


def quiet_stage(frames: int = 6, size: int = 128, seed: int = 0) -> Stage:
    rng = np.random.default_rng(seed)
    return Stage(rng, frames, size, np.ones(frames), np.zeros((frames, 2)))


def round_body(radius: float, centre: tuple[float, float], frames: int = 1) -> Body:
    ones = np.ones(frames)
    star = Star(np.full((frames, 2), radius), fourier_radii(np.zeros((frames, 3, 2))))
    place = np.tile(np.array(centre, float), (frames, 1))
    return Body(1, star, place, 0 * ones, ones, ones, np.ones((24, 24), np.float32))


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_gives_a_movie_with_objects(look: str) -> None:
    clip = generate_clip(3, look=look, **SMALL)
    assert clip.frames.shape[:3] == clip.labels.shape == (4, 128, 128)
    assert clip.frames.dtype == np.uint8
    assert clip.labels.dtype in (np.uint8, np.uint16)
    assert (clip.look, clip.seed) == (look, 3)
    assert clip.labels[0].any()
    assert int(clip.frames.max()) - int(clip.frames.min()) > 150  # the range is used


@pytest.mark.parametrize("look", LOOKS)
def test_same_seed_same_clip_and_another_seed_another(look: str) -> None:
    first, again = (generate_clip(5, look=look, **SMALL) for _ in range(2))
    other = generate_clip(6, look=look, **SMALL)
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.frames, other.frames)


def test_looks_are_drawn_by_seed() -> None:
    drawn = {generate_clip(seed, frames=1, size=64).look for seed in range(30)}
    assert len(drawn) >= 6
    assert drawn <= set(LOOKS)


@pytest.mark.parametrize("look", ["nuclei_sparse", "phase_spindle", "natural", "bacteria"])
def test_the_image_shows_what_the_labels_say(look: str) -> None:
    # Grey values just inside and just outside of outlines differ on most clips.
    contrast = []
    for seed in range(6):
        clip = generate_clip(seed, frames=1, size=192, look=look)
        inside = clip.labels[0] > 0
        ring = ndimage.binary_dilation(inside, iterations=5) & ~ndimage.binary_dilation(inside)
        frame = clip.frames[0].astype(float)
        contrast.append(abs(np.median(frame[inside]) - np.median(frame[ring])))
    assert np.median(contrast) > 8


def test_a_cine_wall_is_a_ring_around_the_cavity() -> None:
    clip = generate_clip(1, look="cine", **SMALL)
    cavity, wall = (clip.labels[0] == k for k in (1, 2))
    filled = ndimage.binary_fill_holes(wall)
    assert cavity.any()
    assert wall.any()
    assert (filled & cavity).sum() > 0.95 * cavity.sum()
    assert not (wall & cavity).any()


def test_a_division_gives_one_daughter_a_new_id() -> None:
    stage = quiet_stage(frames=8, size=160)
    plan = CrowdPlan(3, 14.0, speed=0.02, divide=1.0)
    bodies = grow_crowd(stage, plan, lambda radius: np.ones((24, 24), np.float32))
    by_id = {ident: [b for b in bodies if b.ident == ident] for ident in range(1, 7)}
    for ident in (1, 2, 3):
        mother, daughter = by_id[ident]
        assert mother.last == daughter.first  # the id lives on, in another body
    births = sorted(by_id[ident][0].first for ident in (4, 5, 6))
    assert births == sorted(by_id[ident][1].first for ident in (1, 2, 3))
    assert all(1 <= birth < 8 for birth in births)


def test_divisions_need_time() -> None:
    assert plan_divisions(np.random.default_rng(0), 9, 2, 1.0) == ()


def test_a_circle_is_where_and_as_large_as_asked() -> None:
    patch = make_patch(round_body(20.0, (40.0, 60.0)), 0, 128)
    assert patch is not None
    mask = np.zeros((128, 128), bool)
    mask[patch.box] = patch.level > 0
    assert mask.sum() == pytest.approx(np.pi * 400, rel=0.02)
    np.testing.assert_allclose(ndimage.center_of_mass(mask), (40, 60), atol=0.1)


def test_a_body_outside_of_the_field_is_not_drawn() -> None:
    assert make_patch(round_body(10.0, (-40.0, 60.0)), 0, 128) is None


def test_texture_coordinates_turn_with_the_body() -> None:
    body = round_body(20.0, (64.0, 64.0), frames=2)
    body.angle[1] = np.pi / 2
    first, second = (make_patch(body, t, 128) for t in (0, 1))
    assert first is not None
    assert second is not None
    # x of the first frame is y of the second: a quarter turn.
    assert first.mu[20, 30] == pytest.approx(second.mu[30, first.mu.shape[1] - 1 - 21], abs=0.1)


def test_a_chain_is_a_capsule() -> None:
    chain = Chain(np.array([[[-10.0, 0.0], [10.0, 0.0]]]), np.array([3.0, 3.0]))
    u, v = np.array([[0.0, 0.0, 13.0, 14.0]]), np.array([[0.0, 4.0, 0.0, 0.0]])
    level, _, _ = chain.level(u, v, 0)
    np.testing.assert_allclose(level, [[3, -1, 0, -1]], atol=1e-5)
    assert chain.reach(0) == pytest.approx(13)


@pytest.mark.parametrize("cell", [3.0, 20.0])
def test_noise_has_unit_strength_and_its_scale(cell: float) -> None:
    rng = np.random.default_rng(0)
    fields = [smooth_noise(rng, (128, 128), cell) for _ in range(30)]
    assert np.std(fields) == pytest.approx(1, abs=0.15)
    step = np.std(np.diff(fields, axis=1))
    assert step == pytest.approx(1.05 / cell, rel=0.4)
    assert np.std(fractal_noise(rng, (256, 256), cell=cell)) == pytest.approx(1, abs=0.25)


def test_values_evolve_at_the_given_rate() -> None:
    rng = np.random.default_rng(0)
    slow = evolve(rng, np.ones(3), (4000,), 0.01)
    fast = evolve(rng, np.ones(3), (4000,), 1.0)
    assert np.corrcoef(slow[0], slow[1])[0, 1] > 0.95
    assert abs(np.corrcoef(fast[0], fast[1])[0, 1]) < 0.1
    assert slow.std() == pytest.approx(1, abs=0.05)


def test_beating_stays_between_rest_and_full_contraction() -> None:
    rng = np.random.default_rng(2)
    beats = np.stack([beating(rng, 12) for _ in range(30)])
    assert beats.min() >= 0
    assert beats.max() <= 1
    assert np.ptp(beats, axis=1).max() > 0.9


def test_wide_blur_keeps_the_mean_and_widens_a_spot() -> None:
    image = np.zeros((101, 87), np.float32)
    image[50, 40] = 100
    blurred = wide_blur(image, 12.0)
    assert blurred.shape == image.shape
    assert blurred.sum() == pytest.approx(100, rel=0.1)
    assert blurred.max() < 0.2


def test_compression_works_on_blocks_of_eight() -> None:
    images = np.random.default_rng(0).random((1, 30, 21), dtype=np.float32)
    np.testing.assert_allclose(_blocks(images, 1e-6), images, atol=1e-4)
    changed = images.copy()
    changed[0, 10, 10] += 1
    difference = _blocks(images, 0.1) != _blocks(changed, 0.1)
    assert difference.any()
    difference[0, 8:16, 8:16] = False
    assert not difference.any()


def test_exposure_uses_one_mapping_for_the_whole_clip() -> None:
    stage = quiet_stage(frames=2, size=64)
    images = np.zeros((2, 64, 64), np.float32)
    images[1] = np.linspace(0, 1, 64, dtype=np.float32)
    steady = Optics(photons=(1e6, 1e7), read=(0.0, 0.0), flicker=0.0, defocus=0.0, invert=0.0)
    movie = expose(stage, images, steady)
    assert movie[0].mean() < 10  # a dark frame stays dark
    assert movie[1].max() > 200


def test_specks_are_dropped() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[0, 0] = 1
    labels[5:10, 5:10] = 2
    drop_specks(labels)
    assert set(np.unique(labels)) == {0, 2}


def test_contact_sheet_has_a_row_per_look_and_colour() -> None:
    sheet = contact_sheet(0, looks=["cine", "nuclei_sparse"], columns=3, frames=2, size=96)
    assert sheet.shape == (2 * 96, 3 * 96, 3)
    assert sheet.dtype == np.uint8
    assert (sheet[:, :96].std(axis=2) == 0).all()  # the first picture is bare
    assert (sheet[:, 96:].std(axis=2) > 0).any()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"look": "electron"}, "choose one of"),
        ({"frames": 0}, "frames"),
        ({"size": 10}, "size"),
    ],
)
def test_wrong_arguments_are_explained(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        generate_clip(0, **arguments)  # type: ignore[arg-type]
