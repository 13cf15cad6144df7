"""What the network is shown: one contrast for a movie, published resizing, lazy reading."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from PIL import Image

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.network.sam_i2v import IMAGE_MEAN, IMAGE_STD
from napari_sam_i2v.propagation.frames import (
    Contrast,
    FrameSource,
    OneChannel,
    estimate_contrast,
    network_image,
    normalise,
)
from napari_sam_i2v.propagation.view import View
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import CountingMovie, noise, run

WHOLE = View.whole((40, 48))


# ---- contrast ------------------------------------------------------------------------------


def test_contrast_is_one_for_the_whole_movie() -> None:
    """A movie that gets brighter stays so: frames are not stretched one by one."""
    movie = np.stack([np.full((40, 48), 100 * t, np.uint16) for t in range(1, 11)])
    contrast = estimate_contrast(movie)
    assert contrast is not None
    means = [network_image(frame, WHOLE, 8, contrast).mean() for frame in movie]
    assert np.all(np.diff(means) > 10)
    assert means[0] < 20
    assert means[-1] > 235


def test_contrast_is_robust_to_a_few_hot_pixels() -> None:
    rng = np.random.default_rng(0)
    movie = rng.integers(1000, 2000, (5, 100, 100)).astype(np.uint16)
    movie[:, 0, :5] = 65535
    contrast = estimate_contrast(movie)
    assert contrast is not None
    assert 990 < contrast.low < 1020
    assert 1980 < contrast.high < 2010


def test_contrast_samples_frames_of_the_whole_movie() -> None:
    movie = CountingMovie(noise(200))
    estimate_contrast(movie)
    assert set(movie.reads.values()) == {1}
    assert len(movie.reads) <= 16
    assert {0, 199} <= set(movie.reads)


def test_rgb_bytes_pass_unchanged() -> None:
    assert estimate_contrast(np.zeros((3, 8, 8, 3), np.uint8)) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_grey_movies_of_every_type_span_the_range(dtype: type) -> None:
    movie = (np.linspace(0, 100, 3 * 40 * 48).reshape(3, 40, 48)).astype(dtype)
    contrast = estimate_contrast(movie)
    assert contrast is not None
    shown = np.stack([network_image(frame, WHOLE, 16, contrast) for frame in movie])
    assert shown.min() < 5
    assert shown.max() > 250
    assert shown.dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "offset", "step"),
    [(np.uint32, 3e9, 1), (np.int32, -2e9, 1), (np.float64, 1e9, 0.01), (np.float64, 1e60, 1e58),
     (np.float64, 0, 1e-34)],
)  # fmt: skip
def test_a_small_range_on_a_large_offset_is_seen(dtype: type, offset: float, step: float) -> None:
    plain = np.linspace(0, 100, 3 * 40 * 48).reshape(3, 40, 48).round()
    movie = (plain * step + offset).astype(dtype)
    shown, wanted = (
        network_image(frames[1], WHOLE, 16, estimate_contrast(frames)) for frames in (movie, plain)
    )
    np.testing.assert_allclose(shown, wanted, atol=0.1)


def test_how_opaque_pixels_are_does_not_change_the_contrast() -> None:
    colours = np.random.default_rng(0).integers(100, 200, (2, 40, 48, 3)).astype(np.uint16)
    opaque = np.full_like(colours[..., :1], 65535)
    assert estimate_contrast(np.concatenate((colours, opaque), axis=-1)) == estimate_contrast(
        colours
    )


def test_rgb_of_16_bits_is_mapped() -> None:
    movie = np.random.default_rng(0).integers(0, 4000, (2, 40, 48, 3)).astype(np.uint16)
    contrast = estimate_contrast(movie)
    assert contrast is not None
    image = network_image(movie[0], WHOLE, 32, contrast)
    assert image.shape == (3, 32, 32)
    assert image.max() > 128
    assert (image[0] != image[1]).any()


def test_nan_and_infinity() -> None:
    movie = np.random.default_rng(0).random((4, 40, 48))
    movie[:, :10] = np.nan
    movie[:, 10, 0] = np.inf
    movie[:, 10, 1] = -np.inf
    contrast = estimate_contrast(movie)
    assert contrast is not None
    assert 0 <= contrast.low < contrast.high <= 1
    mapped = contrast.apply(movie[0])
    assert np.isfinite(mapped).all()
    assert (mapped[:10] == 0).all()
    assert mapped[10, 0] == 255
    assert mapped[10, 1] == 0
    assert np.isfinite(network_image(movie[0], WHOLE, 16, contrast)).all()


@pytest.mark.parametrize("value", [0, 7, 65535, 1e30])
def test_constant_movie(value: float) -> None:
    movie = np.full((3, 40, 48), value, np.uint16 if value < 1e5 else np.float64)
    contrast = estimate_contrast(movie)
    assert contrast is not None
    assert contrast.high > contrast.low
    assert np.unique(network_image(movie[0], WHOLE, 16, contrast)).size == 1


def test_nothing_but_nan_is_refused() -> None:
    with pytest.raises(MovieError, match="finite grey values"):
        estimate_contrast(np.full((3, 8, 8), np.nan))


def test_sparse_movie_keeps_its_objects() -> None:
    """Both percentiles fall on the background."""
    movie = np.zeros((3, 100, 100), np.uint16)
    movie[:, 50, 50:60] = 500
    contrast = estimate_contrast(movie)
    assert contrast is not None and (contrast.low, contrast.high) == (0, 500)


def test_given_contrast_clips() -> None:
    mapped = Contrast(100, 200).apply(np.array([[0, 100, 150, 200, 900]], np.uint16))
    np.testing.assert_allclose(mapped, [[0, 0, 127.5, 255, 255]])


def test_labels_do_not_depend_on_the_grey_scale(make: MakeSession) -> None:
    """8 bits, 16 bits and floats of the same movie look the same to the network."""
    labels = []
    for movie in (noise(6), noise(6).astype(np.uint16) * 200, noise(6) / 16 - 3):
        session = make(movie)
        session.add_points(1, 0, points=(20, 20))
        run(session.propagate(frames=range(0, 3)))
        labels.append(session.labels)
    assert (labels[0] != labels[1]).mean() < 0.01
    assert (labels[0] != labels[2]).mean() < 0.01


# ---- images --------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [WHOLE, View(5, 7, 20, 31)])
@pytest.mark.parametrize("size", [16, 64])
def test_rgb_is_resized_as_published(view: View, size: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    wanted = Image.fromarray(frame[view.slices]).resize((size, size), Image.Resampling.BICUBIC)
    image = network_image(frame, view, size, None)
    np.testing.assert_array_equal(image, np.asarray(wanted).transpose(2, 0, 1))


def test_grey_is_three_equal_planes() -> None:
    frame = noise(1)[0]
    image = network_image(frame, WHOLE, 32, Contrast(0, 255))
    assert image.shape == (3, 32, 32)
    assert (image[0] == image[1]).all()
    assert (image[0] == image[2]).all()
    wanted = Image.fromarray(frame).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(image[0], np.asarray(wanted), atol=2.5)


def test_normalised_as_published() -> None:
    images = torch.rand(2, 3, 4, 4) * 255
    wanted = torch.stack(
        [(images[:, c] / 255 - IMAGE_MEAN[c]) / IMAGE_STD[c] for c in range(3)], dim=1
    )
    torch.testing.assert_close(normalise(images), wanted)


def test_one_grey_plane_is_normalised_as_three() -> None:
    plane = torch.rand(1, 4, 4) * 255
    torch.testing.assert_close(normalise(plane), normalise(plane.expand(3, 4, 4)), rtol=0, atol=0)


@pytest.mark.parametrize("gamma", [0.4, 0.71, 1.0])
def test_brightened_by_a_power_that_leaves_black_and_white(gamma: float) -> None:
    image = np.linspace(0, 255, 100, dtype=np.float32)
    before = image.copy()
    bright = Contrast(0, 255, gamma).brighten(image)
    wanted = 255 * (image.astype(np.float64) / 255) ** gamma
    np.testing.assert_allclose(bright, wanted, rtol=0, atol=1e-3)
    assert (bright[0], bright[-1]) == (0, 255)
    np.testing.assert_array_equal(image, before)


def test_clip_has_its_axes_in_order() -> None:
    movie = noise(5)
    source = FrameSource(movie, Contrast(0, 255), 16)
    views = [WHOLE, View(0, 0, 32, 32)]
    clip = source.clip([1, 2, 2], views)
    assert clip.shape == (2, 3, 3, 16, 16)
    for v, view in enumerate(views):
        for i, t in enumerate((1, 2, 2)):
            image = torch.from_numpy(network_image(movie[t], view, 16, Contrast(0, 255)).copy())
            torch.testing.assert_close(clip[v, :, i], normalise(image))


# ---- reading -------------------------------------------------------------------------------


def test_flipped_source() -> None:
    movie = noise(5)
    source = FrameSource(movie, None, 16, reverse=True)
    assert [source.to_movie(i) for i in range(5)] == [4, 3, 2, 1, 0]
    np.testing.assert_array_equal(source.frame(0), movie[4])


def test_frames_are_read_once_and_kept_for_a_while() -> None:
    movie = CountingMovie(noise(20))
    source = FrameSource(movie, None, 16, keep=4)
    for t in range(20):
        for recent in range(max(0, t - 2), t + 1):
            source.frame(recent)
    assert set(movie.reads.values()) == {1}
    assert len(source._cache) == 4
    source.frame(0)
    assert movie.reads[0] == 2


def test_reading_ahead_reads_once() -> None:
    movie = CountingMovie(noise(6))
    source = FrameSource(movie, None, 16)
    source.read_ahead(3)
    source.read_ahead(3)
    np.testing.assert_array_equal(source.frame(3), movie.movie[3])
    source.read_ahead(3)
    for outside in (-1, 6, 100):
        source.read_ahead(outside)
    source.close()
    assert movie.reads == {3: 1}
    source.read_ahead(4)  # a source may be used again
    np.testing.assert_array_equal(source.frame(4), movie.movie[4])
    source.close()


def test_unreadable_frame_is_named_by_its_movie_frame() -> None:
    source = FrameSource(CountingMovie(noise(5), unreadable=[3]), None, 16, reverse=True)
    source.read_ahead(1)
    with pytest.raises(MovieError, match=r"Frame 3 .*OSError: broken page"):
        source.frame(1)
    source.close()
    np.testing.assert_array_equal(source.frame(0), noise(5)[4])


def test_dask_movie(make: MakeSession) -> None:
    movie = noise(4)
    labels = []
    for each in (movie, da.from_array(movie, chunks=(1, -1, -1))):
        session = make(each)
        session.add_points(1, 0, points=(20, 20))
        run(session.propagate())
        labels.append(session.labels)
    np.testing.assert_array_equal(*labels)


def test_one_channel_is_lazy() -> None:
    rgb = CountingMovie(np.stack([noise(6, seed=s) for s in range(3)], axis=-1))
    one = OneChannel(rgb, 1)
    assert one.shape == (6, 40, 48)
    assert not rgb.reads
    np.testing.assert_array_equal(one[2], noise(6, seed=1)[2])
    assert rgb.reads == {2: 1}


def test_dark_movies_are_brightened_and_others_left() -> None:
    rng = np.random.default_rng(0)
    bright = rng.integers(0, 255, (2, 40, 40)).astype(np.uint8)
    dark = (255 * (bright / 255.0) ** 6).astype(np.uint8)
    usual, darker = estimate_contrast(bright), estimate_contrast(dark)
    assert usual is not None and usual.gamma == 1
    assert darker is not None and 0.4 <= darker.gamma < 0.7
    plain = network_image(dark[0], View.whole((40, 40)), 32, Contrast(darker.low, darker.high))
    seen = network_image(dark[0], View.whole((40, 40)), 32, darker)
    assert seen.mean() > 1.3 * plain.mean()
    assert seen.min() >= 0 and seen.max() <= 255
    np.testing.assert_array_equal(
        np.argsort(plain[0].ravel()[:20]), np.argsort(seen[0].ravel()[:20])
    )


def test_given_limits_are_kept_and_unreadable_frames_left_out() -> None:
    class Broken:
        shape, dtype = (3, 8, 8), np.dtype(np.uint16)

        def __getitem__(self, t: int) -> np.ndarray:
            if t == 1:
                raise MovieError("frame 1 cannot be read")
            return np.full((8, 8), 30, np.uint16)

    contrast = estimate_contrast(Broken(), limits=(0, 100))
    assert contrast is not None and (contrast.low, contrast.high) == (0, 100)
    assert contrast.gamma < 1
    with pytest.raises(MovieError):
        estimate_contrast(Broken())
