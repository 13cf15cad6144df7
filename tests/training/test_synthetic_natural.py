from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_i2v.network.config import get_config
from napari_sam_i2v.training import samples
from napari_sam_i2v.training.samples import Movie8, draw_sample
from napari_sam_i2v.training.synthetic import abstract, contact_sheet, generate_clip
from napari_sam_i2v.training.synthetic.figures import (
    Figure,
    Part,
    Pose,
    make_pose,
    paint,
    part_patch,
)
from napari_sam_i2v.training.synthetic.kinds import KINDS
from napari_sam_i2v.training.synthetic.limbs import profile_radii
from napari_sam_i2v.training.synthetic.motion import Stage
from napari_sam_i2v.training.synthetic.natural import Camera
from napari_sam_i2v.training.synthetic.palette import coloured, near_colour, ramp_of, rgb, surface
from napari_sam_i2v.training.synthetic.photo import photograph
from napari_sam_i2v.training.synthetic.shapes import ANGLES, Star
from napari_sam_i2v.training.synthetic.weather import Cover, make_smoke

SIZE = 160


def quiet_stage(frames: int = 3, seed: int = 0) -> Stage:
    rng = np.random.default_rng(seed)
    return Stage(rng, frames, SIZE, np.ones(frames), np.zeros((frames, 2)))


def still_pose(frames: int, at: tuple[float, float], narrow: float = 1.0) -> Pose:
    ones = np.ones(frames)
    return make_pose(np.tile(at, (frames, 1)), 0 * ones, ones, narrow * ones, flip=False)


def disc(radius: float, colour: tuple[float, float, float], at: tuple[float, float]) -> Part:
    star = Star(np.full((1, 2), radius), np.ones((1, ANGLES), np.float32))
    tile = np.broadcast_to(np.array(colour, np.float32)[:, None, None], (3, 24, 24))
    return Part(star, np.ascontiguousarray(tile), np.array([at]), np.zeros(1))


def drawn(figure: Figure, t: int = 0) -> tuple[np.ndarray, np.ndarray]:
    image, labels = np.full((3, SIZE, SIZE), 0.5, np.float32), np.zeros((SIZE, SIZE), np.uint8)
    paint(image, labels, figure, t)
    return image, labels


def test_most_clips_have_colour_and_some_are_grey() -> None:
    clips = [generate_clip(seed, frames=1, size=64, look="natural") for seed in range(30)]
    colour = [clip for clip in clips if clip.frames.ndim == 4]
    assert 15 < len(colour) < 30
    assert all(clip.frames.shape == (1, 64, 64, 3) for clip in colour)
    assert all(clip.frames.shape == (1, 64, 64) for clip in clips if clip.frames.ndim == 3)
    spread = [np.ptp(clip.frames.astype(int), axis=-1).mean() for clip in colour]
    assert np.median(spread) > 15


def test_every_other_look_stays_grey() -> None:
    assert generate_clip(0, frames=1, size=96, look="abstract").frames.ndim == 3


def test_an_object_is_one_whole_of_unlike_colours() -> None:
    within = []
    for seed in range(12):
        clip = generate_clip(seed, frames=1, size=SIZE, look="natural")
        counts = np.bincount(clip.labels.ravel(), minlength=2)
        counts[0] = 0
        mask = clip.labels[0] == counts.argmax()
        within.append(clip.frames[0][mask].astype(float).std(axis=0).mean())
    assert np.median(within) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_figure_hang_together(kind: str) -> None:
    connected = []
    for seed in range(8):
        stage = quiet_stage(frames=2, seed=seed)
        parts, foot = KINDS[kind][0](stage, 50.0)
        figure = Figure(7, tuple(parts), still_pose(2, (80, 80)), foot)
        _, labels = drawn(figure, 1)
        assert set(np.unique(labels)) == {0, 7}
        pieces, count = ndimage.label(labels)
        areas = np.bincount(pieces.ravel())[1:]
        connected.append(areas.max() / areas.sum() if count else 0)
    assert min(connected) > 0.9


def test_all_parts_of_a_figure_get_its_id_in_their_own_colours() -> None:
    parts = (disc(12, (1, 0, 0), (0, 0)), disc(9, (0, 0, 1), (18, 0)))
    image, labels = drawn(Figure(3, parts, still_pose(1, (80, 60)), 12.0))
    assert labels[80, 60] == labels[80, 78] == 3
    np.testing.assert_allclose(image[:, 80, 60], (1, 0, 0), atol=1e-5)
    np.testing.assert_allclose(image[:, 80, 78], (0, 0, 1), atol=1e-5)
    np.testing.assert_allclose(image[:, 20, 20], 0.5)


def test_a_figure_that_turns_away_gets_narrower_but_not_shorter() -> None:
    part = disc(20, (1, 0, 0), (0, 0))
    full, narrow = (
        part_patch(part, still_pose(1, (80, 80), share), 0, SIZE) for share in (1.0, 0.5)
    )
    assert full is not None
    assert narrow is not None
    inside = [patch.level > 0 for patch in (full, narrow)]
    assert inside[1].sum() == pytest.approx(inside[0].sum() / 2, rel=0.05)
    assert inside[1].any(axis=1).sum() == inside[0].any(axis=1).sum()


def test_a_reflection_is_upside_down_below_the_foot_and_no_object() -> None:
    parts = (disc(12, (1, 0, 0), (0, 0)), disc(5, (0, 0, 1), (0, -17)))
    figure = Figure(3, parts, still_pose(1, (60, 80)), 12.0)
    image, labels = drawn(figure.reflected())
    assert not labels.any()
    np.testing.assert_allclose(image[:, 84, 80], (1, 0, 0), atol=1e-5)  # 60 + 2 * 12
    np.testing.assert_allclose(image[:, 101, 80], (0, 0, 1), atol=1e-5)


def test_a_polygon_is_as_drawn() -> None:
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    radii = profile_radii(square)[0]
    np.testing.assert_allclose(radii[[0, ANGLES // 4]], 1, atol=1e-3)
    np.testing.assert_allclose(radii[[ANGLES // 8, 3 * ANGLES // 8]], 2**0.5, atol=0.02)


def test_the_scene_moves_as_the_camera_says() -> None:
    canvas = np.zeros((200, 200))
    canvas[100, 120] = 1  # the middle pixel of the picture shows canvas row 100
    camera = Camera(np.array([[0.0, 0.0], [7.0, -12.0]]), np.array([1.0, 1.0]))
    for t in range(2):
        rows, cols = camera.grid(t, SIZE, 200)
        (found,) = np.argwhere(canvas[rows][:, cols])
        expected = camera.seen(np.array([[79.5, 99.5]]), SIZE)[t]
        np.testing.assert_allclose(found, expected, atol=1)


def test_objects_change_in_size_by_half_and_more_in_some_clips() -> None:
    growth = []
    for seed in range(14):
        labels = generate_clip(seed, frames=4, size=80, look="natural").labels
        first, last = ((labels[t] == labels[labels > 0].max()).sum() for t in (0, -1))
        growth.append(abs(np.log(max(last, 1) / max(first, 1))))
    assert np.max(growth) > np.log(2)
    assert np.median(growth) < np.log(2)


def test_a_cover_hides_labels_and_picture_alike() -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, 10:20] = True
    cover = Cover(np.zeros((3, SIZE, SIZE), np.float32), mask)
    image, labels = np.ones((3, SIZE, SIZE), np.float32), np.ones((SIZE, SIZE), np.uint8)
    cover(image, labels, np.array([0.0, 30.0]), 0)
    np.testing.assert_array_equal(labels == 0, image[0] == 0)
    assert (labels[:, 40:50] == 0).all()
    assert labels.sum() == SIZE * (SIZE - 10)


def test_smoke_veils_beside_the_figure_and_leaves_the_rest() -> None:
    stage = quiet_stage()
    parts = (disc(20, (0, 0, 0), (0, 0)),)
    smoke = make_smoke(stage, Figure(1, parts, still_pose(3, (80, 80)), 20.0))
    image = np.zeros((3, SIZE, SIZE), np.float32)
    smoke(image, 0)
    assert image.max() > 0.1
    assert image.max() <= smoke.dense * smoke.colour.max() + 1e-5
    assert (image == 0).mean() > 0.3


def test_colours_are_what_their_names_say() -> None:
    np.testing.assert_allclose(rgb(0, 1, 1), (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(rgb(1 / 3, 1, 0.5), (0, 0.5, 0), atol=1e-6)
    rng = np.random.default_rng(0)
    grass = np.stack([ramp_of(rng, "grass").mean(axis=1) for _ in range(40)])
    assert (grass[:, 1] > grass[:, 2]).all()
    steps = coloured(np.array([[-1.0, 0.0, 1.0]]), ramp_of(rng, "sky"))
    assert steps.shape == (3, 1, 3)
    near = np.stack([near_colour(rng, np.full(3, 0.5), 0.05) for _ in range(60)])
    assert np.abs(near - 0.5).mean() < 0.1


def test_a_surface_keeps_about_its_colour() -> None:
    rng = np.random.default_rng(1)
    red = np.array([0.8, 0.1, 0.1], np.float32)
    tiles = [surface(rng, 30.0, red) for _ in range(20)]
    means = np.median([tile.mean(axis=(1, 2)) for tile in tiles], axis=0)
    assert means[0] > 2.5 * means[1]
    assert all(tile.shape == (3, 72, 72) and (tile >= 0).all() for tile in tiles)


def test_a_photograph_keeps_colours_apart_and_the_axes_in_order() -> None:
    images = np.zeros((2, 3, 32, 40), np.float32)
    images[:, 0], images[:, 1, :, :20], images[1] = 0.8, 0.3, images[0] * 0.5
    images[1] = images[0] * 0.5
    movie = photograph(quiet_stage(2), images)
    assert movie.shape == (2, 32, 40, 3)
    assert movie.dtype == np.uint8
    red, green, blue = (movie[0, ..., k].astype(float).mean() for k in range(3))
    assert red > green > blue
    assert movie[0].mean() > 1.3 * movie[1].mean()


def ring_clips(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [abstract._rings(quiet_stage(2, seed)) for seed in range(count)]


def test_a_ring_closes_around_its_disc() -> None:
    closed = []
    for _, labels in ring_clips(12):
        ring, disc_ = labels[0] == 1, labels[0] == 2
        if not ring.any() or not disc_.any() or (ring | disc_)[[0, -1]].any():
            continue
        if (ring | disc_)[:, [0, -1]].any() or (labels[0] > 3).any():
            continue  # cut by the border, or covered by another
        filled = ndimage.binary_fill_holes(ring)
        closed.append((filled & disc_).sum() / disc_.sum())
    assert len(closed) >= 3
    assert min(closed) > 0.99


def test_rings_are_frequent_and_of_any_thickness() -> None:
    shares = []
    for _, labels in ring_clips(30):
        ring = (labels[0] == 1).sum()
        inner = np.isin(labels[0], (2, 3)).sum()
        if ring > 50 and inner > 20:
            shares.append(ring / (ring + inner))
    assert len(shares) > 15
    assert min(shares) < 0.3
    assert max(shares) > 0.7


def test_membranes_run_along_the_borders_of_cells() -> None:
    cells, edge = abstract._tessellation(np.random.default_rng(0), 200, 40.0)
    assert len(np.unique(cells)) > 8
    assert cells.min() >= 1
    border = cells[:, 1:] != cells[:, :-1]
    assert edge[:, :-1][border].max() == 0
    assert edge.max() > 8


def test_a_hidden_texture_has_the_grey_of_its_ground() -> None:
    difference = []
    for seed in range(8):
        images, labels = abstract._textures(quiet_stage(1, seed))
        inside = labels[0] > 0
        difference.append(abs(images[0][inside].mean() - images[0][~inside].mean()))
    assert np.median(difference) < 0.1


def test_a_sample_of_a_colour_movie_keeps_its_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "FILTERED", 0.0)  # random filters mix channels
    frames = np.zeros((3, 96, 96, 3), np.uint8)
    frames[..., 0], frames[:, 30:60, 30:60, 1] = 200, 220
    labels = np.zeros((3, 96, 96), np.uint8)
    labels[:, 30:60, 30:60] = 1
    movie = Movie8.of(frames, labels)
    assert movie.frames is frames  # colour bytes pass unchanged, as in a session
    config = get_config("sam-i2v-micro")
    seen = []
    for seed in range(8):
        sample = draw_sample([movie], config, np.random.default_rng(seed), frames=2)
        clip = sample.clips[0, :, -1].astype(float)
        green, blue = (clip[k].std() for k in (1, 2))
        seen.append(green > 5 * blue)
    assert all(seen)


def test_the_sheet_shows_colour_and_grey_looks_side_by_side() -> None:
    looks = ["natural", "abstract"]
    sheet = contact_sheet(2, looks=looks, columns=3, frames=2, size=96)
    assert sheet.shape == (2 * 96, 3 * 96, 3)
    bare = generate_clip(2, look="natural", frames=2, size=96).frames[0]
    np.testing.assert_array_equal(
        sheet[:96, :96], bare if bare.ndim == 3 else np.repeat(bare[..., None], 3, axis=2)
    )
