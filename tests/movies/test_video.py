"""Video: frame k is the k-th that is shown, from wherever one comes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="the extra video is not installed")

from tests.movies.samples import matroska, mp4_uneven  # noqa: E402

from napari_sam_i2v.errors import MovieError  # noqa: E402
from napari_sam_i2v.movies import video as module  # noqa: E402
from napari_sam_i2v.movies.movie import open_movie  # noqa: E402


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]


def write_grey(path: Path, frames: np.ndarray, pixels: str) -> Path:
    """A lossless video of grey frames (T, Y, X)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        for one in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format=pixels)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("write", [mp4_uneven, matroska])
def test_every_frame_in_any_order(tmp_path: Path, write, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two frames only, so that nearly every one is decoded anew."""
    monkeypatch.setattr(module, "_CACHE_BYTES", 2 * 128 * 192 * 3)
    path = write(tmp_path)
    expected = decoded(path)
    movie = open_movie(path)
    assert len(movie) == len(expected)
    everywhere = np.random.default_rng(0).permutation(len(movie))
    backwards = range(len(movie) - 1, -1, -1)
    for t in (*everywhere, *backwards, *range(len(movie)), 5, 5):
        np.testing.assert_array_equal(movie[t], expected[t], err_msg=f"frame {t}")


def test_several_threads(tmp_path: Path) -> None:
    path = mp4_uneven(tmp_path)
    expected, movie = decoded(path), open_movie(path)
    order = np.random.default_rng(1).integers(0, len(movie), 60)
    with ThreadPoolExecutor(4) as pool:
        for t, frame in zip(order, pool.map(lambda t: movie[t], order), strict=True):
            np.testing.assert_array_equal(frame, expected[t])


def test_frames_that_are_read_are_the_callers(tmp_path: Path) -> None:
    movie = open_movie(matroska(tmp_path))
    first = movie[3]
    first[:] = 0
    assert movie[3].any()


@pytest.mark.parametrize(
    ("pixels", "dtype"), [("gray", np.uint8), ("gray16le", np.uint16), ("gray10le", np.uint16)]
)
def test_grey_stays_grey(tmp_path: Path, pixels: str, dtype: type) -> None:
    top = {"gray": 255, "gray16le": 65535, "gray10le": 1023}[pixels]
    frames = np.random.default_rng(2).integers(0, top, (5, 16, 24)).astype(dtype)
    movie = open_movie(write_grey(tmp_path / "a.mkv", frames, pixels))
    assert (movie.shape, movie.dtype) == (frames.shape, np.dtype(dtype))
    if pixels != "gray10le":  # ten bits are spread over sixteen
        np.testing.assert_array_equal(np.asarray(movie), frames)


def test_speed_of_the_playback_is_not_the_interval_of_the_recording(tmp_path: Path) -> None:
    assert open_movie(matroska(tmp_path)).units == ("frame", "pixel", "pixel")


def test_packets_without_times(tmp_path: Path) -> None:
    """Frames are counted where packets do not tell when they are shown: H.264 in an AVI."""
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        stream.codec_context.max_b_frames, stream.codec_context.gop_size = 2, 8
        for k in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((128, 192, 3), 10 * k, np.uint8))
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    expected, movie = decoded(path), open_movie(path)
    assert len(movie) == len(expected)
    for t in (len(expected) - 1, 3, 4, 0):
        np.testing.assert_array_equal(movie[t], expected[t])


def test_one_colour(tmp_path: Path) -> None:
    path = matroska(tmp_path)
    np.testing.assert_array_equal(open_movie(path, channel="green")[4], decoded(path)[4][..., 1])


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MovieError, match="holds no video"):
        open_movie(path)


def test_rubbish_that_looks_like_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(400))
    with pytest.raises(MovieError, match="truncated or damaged"):
        open_movie(path)
