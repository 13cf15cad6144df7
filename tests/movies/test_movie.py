"""Opening anything: choices, refusals and the Movie itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.movie import open_movie

STACK = np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8)


@pytest.fixture
def two_channels(tmp_path: Path) -> Path:
    path = tmp_path / "two.ome.tif"
    data = np.stack([STACK, 255 - STACK], axis=1)
    tifffile.imwrite(path, data, metadata={"axes": "TCYX", "Channel": {"Name": ["BF", "RFP"]}})
    return path


@pytest.fixture
def movie_file(tmp_path: Path) -> Path:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"})
    return path


# --- choices -------------------------------------------------------------------------------------


def test_channel_must_be_chosen(two_channels: Path) -> None:
    with pytest.raises(MovieError, match=r"2 channels: 0 = BF, 1 = RFP"):
        open_movie(two_channels)


@pytest.mark.parametrize("channel", [1, "1", "RFP", "rfp", np.int64(1)])
def test_channel_by_number_or_name(two_channels: Path, channel: int | str) -> None:
    np.testing.assert_array_equal(open_movie(two_channels, channel=channel)[2], 255 - STACK[2])


@pytest.mark.parametrize("channel", [2, -1, "DAPI", "7"])
def test_channel_that_is_not_there(two_channels: Path, channel: int | str) -> None:
    with pytest.raises(MovieError, match="it has 0 = BF, 1 = RFP"):
        open_movie(two_channels, channel=channel)


def test_channel_of_a_movie_without_channels(movie_file: Path) -> None:
    assert open_movie(movie_file, channel=0).shape == STACK.shape
    with pytest.raises(MovieError, match="no single channel 1"):
        open_movie(movie_file, channel=1)


def test_plane_must_be_chosen_and_exist(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, np.stack([STACK] * 3, 1), imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(MovieError, match="3 z planes: choose one"):
        open_movie(path)
    with pytest.raises(MovieError, match=r"z must lie in 0\.\.2"):
        open_movie(path, z=3)
    assert open_movie(path, z=2).shape == STACK.shape


def test_axes_named_by_the_user(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    data = np.arange(3 * 4 * 6 * 8, dtype=np.uint16).reshape(3, 4, 6, 8)
    tifffile.imwrite(path, data, photometric="minisblack")
    with pytest.raises(MovieError, match="axes='TCYX'"):
        open_movie(path)
    np.testing.assert_array_equal(open_movie(path, axes="ctyx", channel=2)[1], data[2, 1])
    np.testing.assert_array_equal(open_movie(path, axes="TZYX", z=3)[1], data[1, 3])


def test_axes_may_turn_the_array_around(movie_file: Path) -> None:
    movie = open_movie(movie_file, axes="YXT")
    assert movie.shape == (8, 4, 6)
    np.testing.assert_array_equal(movie[5], STACK[..., 5])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("YX", "one letter per stored axis, 3"),
        ("TQX", "only the letters"),
        ("TTX", "once"),
        ("TCX", "hold Y and X"),
    ],
)
def test_axes_that_do_not_fit(movie_file: Path, axes: str, message: str) -> None:
    with pytest.raises(MovieError, match=message):
        open_movie(movie_file, axes=axes)


# --- refusals ------------------------------------------------------------------------------------


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match=r"there is no file or folder .*nowhere\.tif"):
        open_movie(tmp_path / "nowhere.tif")


@pytest.mark.parametrize("address", ["http://localhost:8000/a.zarr", "s3://images/a.zarr"])
def test_addresses_on_the_web(address: str) -> None:
    with pytest.raises(MovieError, match="an address on the web: copy the image"):
        open_movie(address)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "movie.tif")
    with pytest.raises(MovieError, match="neither a file nor a folder"):
        open_movie(tmp_path / "movie.tif")


def test_folder_that_is_no_movie(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(MovieError, match=r"is no movie.*It holds folders \(inside\)"):
        open_movie(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world, no movie", "is of a kind that is not supported"),
        (b"PK\x03\x04" + bytes(200), r"is a zip archive.*\(unpack it first\)"),
        (b"II*\x00\xff\xff", "truncated or damaged"),
        (b"\x89PNG\r\n\x1a\nrubbish", "truncated or damaged"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "movie.tif"  # the content counts, not the ending
    path.write_bytes(content)
    with pytest.raises(MovieError, match=message):
        open_movie(path)


def test_content_counts_not_the_ending(movie_file: Path) -> None:
    other = movie_file.rename(movie_file.with_suffix(".dat"))
    np.testing.assert_array_equal(open_movie(str(other))[1], STACK[1])


# --- the movie -----------------------------------------------------------------------------------


def test_indexing(movie_file: Path) -> None:
    movie = open_movie(movie_file)
    np.testing.assert_array_equal(movie[-1], STACK[-1])
    np.testing.assert_array_equal(movie[np.int32(2)], STACK[2])
    assert [frame.sum() for frame in movie] == [frame.sum() for frame in STACK]
    for bad in (4, -5):
        with pytest.raises(IndexError, match="has 4 frames"):
            movie[bad]
    for wrong in (slice(0, 2), (0, 1), 1.0, "1"):
        with pytest.raises(TypeError, match="one frame at a time"):
            movie[wrong]  # type: ignore[index]


def test_dask_is_lazy(movie_file: Path) -> None:
    movie = open_movie(movie_file)
    read: list[int] = []
    real = movie._read
    movie._read = lambda t: (read.append(t), real(t))[1]  # type: ignore[method-assign]
    lazy = movie.as_dask()
    assert lazy.shape == STACK.shape and lazy.dtype == STACK.dtype and read == []
    np.testing.assert_array_equal(lazy[2:4, 1].compute(), STACK[2:4, 1])
    assert sorted(read) == [2, 3]


def test_frames_are_writable_copies(movie_file: Path) -> None:
    movie = open_movie(movie_file)
    movie[0][:] = 0
    np.testing.assert_array_equal(movie[0], STACK[0])


def test_repr_names_the_facts(movie_file: Path) -> None:
    assert "movie.tif" in repr(open_movie(movie_file))


def test_no_heavy_imports() -> None:
    code = (
        "import sys, napari_sam_i2v.movies as m; m.open_movie, m.LabelStore, m.save_tiff; "
        "import napari_sam_i2v.movies.napari_io, napari_sam_i2v.movies.sequence; "
        "print({'torch', 'qtpy', 'napari', 'PyQt6', 'dask'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- folders of pictures -------------------------------------------------------------------------


def save_pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for value, name in enumerate(names):
        Image.fromarray(np.full((6, 8), value, np.uint8)).save(folder / name)
    return folder


def test_numbers_order_the_frames(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", ["f1.png", "f2.png", "f10.png", "f11.png", "f100.png"])
    (folder / "._f1.png").write_bytes(b"left by a Mac")
    (folder / "Thumbs.db").write_bytes(b"left by Windows")
    movie = open_movie(folder)
    assert [int(frame[0, 0]) for frame in movie] == [0, 1, 2, 3, 4]
    assert movie.name == "a"


def test_a_common_number_before_does_not_disturb(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", ["2012_T1.png", "2012_T9.png", "2012_T10.png"])
    assert [int(frame[0, 0]) for frame in open_movie(folder)] == [0, 1, 2]


def test_only_the_first_header_is_read(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", ["0.png", "1.png", "2.png"])
    (folder / "1.png").write_bytes(b"broken")
    movie = open_movie(folder)
    assert int(movie[2][0, 0]) == 2
    with pytest.raises(MovieError, match=r"1\.png"):
        movie[1]


def test_frames_of_different_sizes(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", ["0.png", "1.png"])
    Image.fromarray(np.zeros((7, 8), np.uint8)).save(folder / "1.png")
    with pytest.raises(MovieError, match="must be alike"):
        open_movie(folder)[1]


def test_mixed_kinds(tmp_path: Path) -> None:
    folder = save_pictures(tmp_path / "a", ["0.png", "1.jpg"])
    with pytest.raises(MovieError, match=r"several kinds \(JPEG, PNG\)"):
        open_movie(folder)


def test_tiff_files_with_channels(tmp_path: Path) -> None:
    for t in range(4):
        data = np.stack([STACK[t], 255 - STACK[t]])
        tifffile.imwrite(tmp_path / f"t{t}.tif", data, imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(MovieError, match="2 channels"):
        open_movie(tmp_path)
    np.testing.assert_array_equal(open_movie(tmp_path, channel=1)[3], 255 - STACK[3])


def test_folder_of_movies_is_refused(movie_file: Path) -> None:
    with pytest.raises(MovieError, match=r"movie\.tif holds 4 frames"):
        open_movie(movie_file.parent)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "I;16", "1"])
def test_picture_modes(tmp_path: Path, mode: str) -> None:
    grey = np.where(np.arange(48).reshape(6, 8) % 3 == 0, 255, 0).astype(np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 4)
    else:
        picture = Image.fromarray(grey).convert("RGB" if mode == "P" else "L").convert(mode)
    picture.save(tmp_path / "one.png")
    movie = open_movie(tmp_path / "one.png")
    colour = mode in ("RGB", "RGBA", "P")
    assert movie.shape == (1, 6, 8, 3) if colour else (1, 6, 8)
    frame = movie[0][..., 1] if colour else movie[0]
    np.testing.assert_array_equal(frame, grey.astype(int) * (4 if mode == "I;16" else 1))


# --- what lies in shared/data --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "scale", "units"),
    [
        ("formats/derived/c2c12.ome.tif", (10, 234, 234), "u1", (50, 1, 1), "minute pixel pixel"),
        (
            "formats/derived/c2c12_imagej.tif",
            (10, 234, 234),
            "u1",
            (3000, 1, 1),
            "second pixel pixel",
        ),
        ("formats/derived/c2c12_bigendian_pages.tif", (10, 234, 234), "u1", (1, 1, 1), ""),
        ("formats/derived/c2c12_v04.zarr", (10, 234, 234), "u1", (1, 1, 1), ""),
        ("formats/derived/c2c12_v05.zarr", (10, 234, 234), "u1", (1, 1, 1), ""),
        (
            "formats/xyt_golgi_imagej.tif",
            (30, 137, 147),
            "f4",
            (59.86, 0.3514353, 0.3514353),
            "second micrometer micrometer",
        ),
        ("formats/xyt_8bit_polyp.tif", (3, 313, 313), "u1", (1, 1, 1), ""),
        ("formats/mitocheck_image_sequence", (30, 190, 211), "u1", (1, 1, 1), ""),
        ("davis/JPEGImages/480p/dog", (60, 480, 854, 3), "u1", (1, 1, 1), ""),
        ("cho01_z0/movie.tif", (92, 443, 512), "u1", (1, 1, 1), ""),
    ],
)
def test_samples(
    shared_data: Path, name: str, shape: tuple, dtype: str, scale: tuple, units: str
) -> None:
    movie = open_movie(shared_data / name)
    assert (movie.shape, movie.dtype) == (shape, np.dtype(dtype))
    assert movie.scale == pytest.approx(scale, rel=1e-6)
    assert " ".join(movie.units) == (units or "frame pixel pixel")
    assert movie[len(movie) - 1].shape == shape[1:]
    assert movie[0].std() > 0


@pytest.mark.parametrize(
    "name",
    [
        "c2c12.ome.tif",
        "c2c12_imagej.tif",
        "c2c12_bigendian_pages.tif",
        "c2c12_v04.zarr",
        "c2c12_v05.zarr",
    ],
)
def test_samples_agree(shared_data: Path, name: str) -> None:
    movie = open_movie(shared_data / "formats" / "derived" / name)
    expected = tifffile.imread(shared_data / "c2c12" / "movie.tif")
    np.testing.assert_array_equal(movie[7], expected[7])


def test_sample_sequence_is_in_order(shared_data: Path) -> None:
    folder = shared_data / "formats" / "mitocheck_image_sequence"
    files = sorted(folder.glob("*.tif"))
    np.testing.assert_array_equal(open_movie(folder)[19], tifffile.imread(files[19]))


def test_sample_with_depth(shared_data: Path) -> None:
    path = shared_data / "formats" / "derived" / "cine_tzyx_imagej.tif"
    movie = open_movie(path, z=1)
    expected = tifffile.imread(shared_data / "cine_z4" / "movie.tif")
    np.testing.assert_array_equal(movie[11], expected[11])


def test_scene_of_a_file_with_one_image(movie_file: Path) -> None:
    assert open_movie(movie_file, scene=0).shape == STACK.shape
    with pytest.raises(MovieError, match="no single image 2"):
        open_movie(movie_file, scene=2)


def test_empty_array_is_refused(tmp_path: Path) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), shape=(0, 4, 4), chunks=(1, 4, 4), dtype="u1")
    with pytest.raises(MovieError, match="no pixels"):
        open_movie(tmp_path / "a.zarr")
