"""Training samples look like what a tracker sees: windows that follow, targets that fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tests.network import tiny

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.sam_i2v import IMAGE_MEAN, IMAGE_STD
from napari_sam_i2v.propagation.view import View
from napari_sam_i2v.training import samples
from napari_sam_i2v.training.pool import RollingPool
from napari_sam_i2v.training.recipe import DataPlan
from napari_sam_i2v.training.samples import (
    Movie8,
    _draw_frames,
    _follow,
    _from_an_object,
    draw_batch,
    draw_sample,
)

CONFIG = tiny.config(window_scale=2.5)


def moving(frames: int = 10, *, rgb: bool = False, speed: float = 4) -> Movie8:
    """A bright disc with a dim neighbour, drifting to the right."""
    y, x = np.mgrid[:96, :96]
    images = np.zeros((frames, 96, 96), np.uint8)
    labels = np.zeros((frames, 96, 96), np.uint16)
    for t in range(frames):
        inside = (y - 48) ** 2 + (x - (25 + speed * t)) ** 2 <= 100
        images[t][inside], labels[t][inside] = 220, 3
    return Movie8(np.stack([images] * 3, axis=-1) if rgb else images, labels)


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("frames", [1, 4])
def test_shapes(frames: int, rgb: bool) -> None:
    sample = draw_sample([moving(rgb=rgb)], CONFIG, np.random.default_rng(0), frames=frames)
    assert sample.clips.shape == (frames, 3, CONFIG.clip_length, 64, 64)
    assert sample.clips.dtype == np.uint8
    assert sample.targets.shape == (frames, 1, 32, 32)
    assert sample.targets.dtype == np.float32
    assert 0 <= sample.targets.min() <= sample.targets.max() <= 1


@pytest.mark.parametrize("shown", [1, 2, 3])
def test_objects_in_the_middle_of_short_movies_alone(shown: int) -> None:
    movie = moving(5)
    movie.labels[np.arange(5) != shown] = 0
    sample = draw_sample([movie], CONFIG, np.random.default_rng(0), frames=5)
    assert sample.targets[0].max() >= 0.5
    assert not sample.targets[1:].any()
    _, steps, ids = _from_an_object([movie], 5, np.random.default_rng(0))
    assert ids.tolist() == [3]
    onward = range(shown, 5) if shown <= 2 else range(shown, -1, -1)
    assert steps.tolist() == [*onward, *[onward[-1]] * (5 - len(onward))]


def test_movies_that_show_nothing() -> None:
    movie = moving(5)
    movie.labels[:] = 0
    with pytest.raises(InputError, match="No object of at least 12 pixels"):
        draw_sample([movie], CONFIG, np.random.default_rng(0), frames=5)


@pytest.mark.parametrize("seed", range(12))
def test_the_object_is_shown_and_its_target_fits_the_picture(seed: int) -> None:
    sample = draw_sample([moving()], CONFIG, np.random.default_rng(seed), frames=4)
    assert sample.targets[0].max() >= 0.5
    for clip, target in zip(sample.clips, sample.targets, strict=True):
        inside = target[0] >= 0.9
        if inside.sum() < 4:
            continue
        picture = clip[0, -1].reshape(32, 2, 32, 2).mean(axis=(1, 3))
        outside = target[0] <= 0.1
        contrast = picture[inside].mean() - picture[outside].mean()
        assert abs(contrast) > 60, "inverted or not, the target is where the object is"


@pytest.mark.parametrize("seed", range(12))
def test_windows_keep_the_object_in_view(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "AWAY", 0.0)
    sample = draw_sample([moving()], CONFIG, np.random.default_rng(seed), frames=5)
    assert (sample.targets.max(axis=(1, 2, 3)) >= 0.5).all()


def test_windows_lag_one_frame_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MOVED_ALONG", 0.0)
    movie = moving(8)
    masks = movie.labels == 3
    shifts = []
    for seed in range(20):
        views, _ = _follow(movie.frames, masks, CONFIG, np.random.default_rng(seed))
        assert len(views) == 8
        if views[0] == View.whole((96, 96)):
            continue
        for view in views:
            assert 0 <= view.y <= 96 - view.height
            assert 0 <= view.x <= 96 - view.width
        centres = [v.x + v.width / 2 for v in views if v.x > 0 and v.x + v.width < 96]
        shifts.append(np.mean(np.diff(centres)) if len(centres) > 3 else np.nan)
    assert len(shifts) > 10
    assert 2 < np.nanmean(shifts) < 6, "as fast as the object"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_windows_move_along_with_a_drifting_field(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOVED_ALONG", share)
    monkeypatch.setattr(samples, "AWAY", 0.0)
    monkeypatch.setattr(samples, "JITTERY", 0.0)
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(160, 160)), 3)
    field = (255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
    step = 6  # half of the object's size
    frames = np.stack([field[:, step * t : step * t + 96] for t in range(6)])
    masks = np.zeros(frames.shape, bool)
    for t in range(6):
        masks[t, 42:54, 70 - step * t : 82 - step * t] = True
    behind = []
    for seed in range(10):
        views, placed = _follow(frames, masks, CONFIG, np.random.default_rng(seed))
        if views[0] == View.whole((96, 96)):
            continue
        assert (views == placed) == (share == 0)
        behind += [v.x + v.width / 2 - (76 - step * t) for t, v in enumerate(views) if t]
    expected = step if share == 0 else 0
    assert abs(np.median(behind) - expected) <= 2, "large shifts come out a little short"


def test_a_window_stays_while_its_object_is_gone() -> None:
    movie = moving(6, speed=0)
    masks = movie.labels == 3
    masks[2:] = False
    views, _ = _follow(movie.frames, masks, CONFIG, np.random.default_rng(1))
    centres = np.array([(v.y + v.height / 2, v.x + v.width / 2) for v in views[2:]])
    assert np.ptp(centres, axis=0).max() < 8


def test_frames_are_strided_and_reversed() -> None:
    drawn = [_draw_frames(20, 4, np.random.default_rng(seed)).tolist() for seed in range(200)]
    steps = {tuple(np.unique(np.diff(frames)).tolist()) for frames in drawn}
    assert steps == {(1,), (-1,), (2,), (-2,)}
    assert {f for frames in drawn for f in frames} == set(range(20))
    forward = sum(frames[0] < frames[-1] for frames in drawn)
    assert 70 < forward < 130


@pytest.mark.parametrize(("available", "wanted"), [(1, 1), (1, 4), (3, 5), (5, 5), (6, 5), (8, 1)])
def test_short_movies(available: int, wanted: int) -> None:
    for seed in range(30):
        frames = _draw_frames(available, wanted, np.random.default_rng(seed))
        assert len(frames) == wanted
        assert 0 <= frames.min() <= frames.max() < available
        assert len(np.unique(frames)) == min(available, wanted)


def test_objects_come_from_every_movie() -> None:
    bright, dark = moving(), moving()
    dark = Movie8(dark.frames // 8, dark.labels)
    rng = np.random.default_rng(0)
    peaks = [draw_sample([bright, dark], CONFIG, rng, frames=1).clips.max() for _ in range(20)]
    assert min(peaks) < 128 < max(peaks)


@pytest.mark.parametrize("rgb", [False, True])
def test_filters_change_pictures_and_keep_what_they_show(
    rgb: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "FILTERED", 1.0)
    rng = np.random.default_rng(0)
    scene = ndimage.gaussian_filter(rng.random((3 if rgb else 1, 64, 64)), (0, 2, 2))
    scene = (60 + 120 * (scene - scene.min()) / np.ptp(scene)).astype(np.uint8)
    clips = np.empty((2, 3, 3, 64, 64), np.uint8)
    clips[:] = np.broadcast_to(scene, (3, 64, 64))[None, :, None]
    changed = 0
    for seed in range(20):
        found = samples._Filter(np.random.default_rng(seed))(clips)
        assert found.shape == clips.shape and found.dtype == np.uint8
        assert (found == found[:1, :, :1]).all(), "one filter for all frames"
        assert rgb or (found == found[:, :1]).all(), "grey stays grey"
        assert abs(found.mean() - clips.mean()) < 5 and 0.5 < found.std() / clips.std() < 1.5
        changed += bool(np.abs(found.astype(int) - clips).mean() > 5)
    assert changed > 10
    monkeypatch.setattr(samples, "FILTERED", 0.0)
    assert samples._Filter(np.random.default_rng(0))(clips) is clips


def test_batch_is_normalised() -> None:
    batch = draw_batch([moving()], CONFIG, np.random.default_rng(0), size=3, frames=2)
    assert batch.clips.shape == (3, 2, 3, CONFIG.clip_length, 64, 64)
    assert batch.targets.shape == (3, 2, 1, 32, 32)
    low = [-m / s for m, s in zip(IMAGE_MEAN, IMAGE_STD, strict=True)]
    high = [(1 - m) / s for m, s in zip(IMAGE_MEAN, IMAGE_STD, strict=True)]
    for c in range(3):
        plane = batch.clips[:, :, c]
        assert low[c] - 1e-4 <= plane.min() <= plane.max() <= high[c] + 1e-4


def test_same_seed_same_batch() -> None:
    movies = [moving(), moving(rgb=True)]
    a, b, c = (
        draw_batch(movies, CONFIG, np.random.default_rng(seed), size=2, frames=2)
        for seed in (5, 5, 6)
    )
    assert a.clips.equal(b.clips)
    assert a.targets.equal(b.targets)
    assert not a.clips.equal(c.clips)


def test_pool_depends_on_the_step_alone() -> None:
    plan = DataPlan(frames=2, size=64, kept=3, fresh=1)
    through = RollingPool(plan)
    for step in range(4):
        movies = through.at(step)
        assert len(movies) == 3
    resumed = RollingPool(plan).at(3)
    for a, b in zip(movies, resumed, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.labels, b.labels)
    first = RollingPool(plan).at(0)
    assert not np.array_equal(first[0].frames, resumed[0].frames)
