"""NIfTI: axes, steps and values as the header says."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel", reason="the extra nifti is not installed")

from napari_sam_i2v.errors import MovieError  # noqa: E402
from napari_sam_i2v.movies.movie import open_movie, open_source  # noqa: E402

DATA = np.random.default_rng(5).integers(-500, 500, (30, 20, 4, 6)).astype(np.int16)  # x, y, z, t


def write(path: Path, data: np.ndarray = DATA, **header: object) -> Path:
    image = nibabel.Nifti1Image(data, np.diag([0.8, 0.9, 3, 1]))
    image.header.set_zooms((0.8, 0.9, 3.0, 0.05)[: data.ndim])
    image.header.set_xyzt_units("mm", "sec")
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.hdr"])
def test_planes_over_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.hdr":
        nibabel.save(nibabel.Nifti1Pair(DATA, np.eye(4)), tmp_path / "a.img")
    else:
        write(path)
    with pytest.raises(MovieError, match="4 z planes: choose one"):
        open_movie(path)
    movie = open_movie(path, z=2)
    assert (movie.shape, movie.dtype) == ((6, 20, 30), np.dtype(np.int16))
    np.testing.assert_array_equal(movie[5], DATA[:, :, 2, 5].T)
    np.testing.assert_array_equal(movie[0], DATA[:, :, 2, 0].T)


def test_steps(tmp_path: Path) -> None:
    movie = open_movie(write(tmp_path / "a.nii"), z=0)
    assert movie.scale == pytest.approx((0.05, 0.9, 0.8))
    assert movie.units == ("second", "millimeter", "millimeter")


def test_volume_is_a_stack(tmp_path: Path) -> None:
    movie = open_movie(write(tmp_path / "a.nii", DATA[..., 0]))
    assert movie.shape == (4, 20, 30)
    np.testing.assert_array_equal(movie[3], DATA[:, :, 3, 0].T)


def test_axes_can_be_corrected(tmp_path: Path) -> None:
    """Time in the place of depth is what many programs write."""
    path = write(tmp_path / "a.nii", DATA[:, :, :1].transpose(0, 1, 3, 2)[..., 0])
    movie = open_movie(path, axes="XYT")
    np.testing.assert_array_equal(movie[4], DATA[:, :, 0, 4].T)


def test_scaled_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(DATA, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "a.nii")
    movie = open_movie(tmp_path / "a.nii", z=1)
    assert movie.dtype == np.float32
    expected = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj)[:, :, 1, 3].T
    np.testing.assert_array_equal(movie[3], expected.astype(np.float32))


def test_colours(tmp_path: Path) -> None:
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    data = np.zeros((8, 6, 1, 3), rgb)
    data["G"][2, 4, 0, 1] = 200
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "a.nii")
    movie = open_movie(tmp_path / "a.nii")
    assert movie.shape == (3, 6, 8, 3)
    assert movie[1][4, 2].tolist() == [0, 200, 0]


@pytest.mark.parametrize("packed", [False, True])
def test_shape_beyond_the_file(tmp_path: Path, packed: bool) -> None:
    content = bytearray(write(tmp_path / "a.nii").read_bytes())
    content[42:50] = np.array([30000, 30000, 30000, 30000], "<i2").tobytes()
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(MovieError, match="bytes are announced"):
        open_movie(path, z=0)


def test_gzip_that_holds_less(tmp_path: Path) -> None:
    content = write(tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content[:-100]))
    with pytest.raises(MovieError, match="are packed in it"):
        open_movie(tmp_path / "b.nii.gz", z=0)


def test_gzip_of_several_parts(tmp_path: Path) -> None:
    content = write(tmp_path / "a.nii").read_bytes()
    parts = gzip.compress(content[:5000]) + gzip.compress(content[5000:])
    (tmp_path / "b.nii.gz").write_bytes(parts)
    np.testing.assert_array_equal(open_movie(tmp_path / "b.nii.gz", z=2)[4], DATA[:, :, 2, 4].T)


def test_header_without_pixels(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(DATA, np.eye(4)), tmp_path / "a.img")
    (tmp_path / "a.img").unlink()
    with pytest.raises(MovieError):
        open_source(tmp_path / "a.hdr")
