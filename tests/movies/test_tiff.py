"""TIFF movies: every layout gives the frames that were written, one at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.movies import samples

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.movie import open_movie


def numbers(*shape: int, dtype: str = "uint16") -> np.ndarray:
    return (np.arange(np.prod(shape)) * 7 % 251).reshape(shape).astype(dtype)


STACK = numbers(5, 20, 30)

WRITERS = {
    "ome": {"ome": True, "metadata": {"axes": "TYX"}},
    "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
    "imagej-depth-as-time": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "plain": {"photometric": "minisblack", "metadata": None},
    "shaped": {"photometric": "minisblack"},
    "big-endian": {"photometric": "minisblack", "byteorder": ">"},
    "bigtiff": {"photometric": "minisblack", "bigtiff": True},
    "zlib": {"photometric": "minisblack", "compression": "zlib", "predictor": True},
    "lzw": {"photometric": "minisblack", "compression": "lzw", "byteorder": ">"},
    "zstd-tiles": {"photometric": "minisblack", "compression": "zstd", "tile": (16, 16)},
}


@pytest.mark.parametrize("kind", WRITERS)
def test_single_channel_layouts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, **WRITERS[kind])
    movie = open_movie(path)
    assert movie.shape == STACK.shape
    assert movie.dims == ("T", "Y", "X")
    assert movie.dtype == np.dtype("uint16") and movie.dtype.isnative
    assert len(movie) == 5
    np.testing.assert_array_equal(movie[3], STACK[3])
    np.testing.assert_array_equal(np.asarray(movie), STACK)


@pytest.mark.parametrize("axes", ["TCZYX", "CTZYX", "ZCTYX", "TZCYX", "CZTYX", "ZTCYX"])
def test_ome_axes_in_any_order(tmp_path: Path, axes: str) -> None:
    sizes = {"T": 4, "C": 2, "Z": 3, "Y": 8, "X": 9}
    data = numbers(*(sizes[axis] for axis in axes))
    path = tmp_path / "movie.ome.tif"
    tifffile.imwrite(path, data, metadata={"axes": axes, "Channel": {"Name": ["DAPI", "GFP"]}})
    movie = open_movie(path, channel="gfp", z=2)
    expected = np.moveaxis(data, [axes.index(a) for a in "TCZ"], [0, 1, 2])[:, 1, 2]
    np.testing.assert_array_equal(np.asarray(movie), expected)


def test_pages_written_one_by_one_are_frames(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in STACK:
            writer.write(frame, contiguous=False)
    np.testing.assert_array_equal(np.asarray(open_movie(path)), STACK)


def imagej_with_one_page(path: Path) -> None:
    """Write what ImageJ writes beyond 4 GB: one page description, then all pixels."""
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"})
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        following, start = page.offset + 2 + 12 * len(page.tags), page.dataoffsets[0]
    content = bytearray(path.read_bytes()[: start + STACK.nbytes])
    content[following : following + 4] = bytes(4)
    path.write_bytes(content)


def test_imagej_stack_longer_than_its_page_list(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    imagej_with_one_page(path)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 1
    np.testing.assert_array_equal(np.asarray(open_movie(path)), STACK)


@pytest.mark.parametrize("planar", [False, True])
def test_colour(tmp_path: Path, planar: bool) -> None:
    data = numbers(4, 10, 12, 3, dtype="uint8")
    path = tmp_path / "movie.tif"
    stored = data.transpose(0, 3, 1, 2) if planar else data
    config = "separate" if planar else "contig"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=config)
    movie = open_movie(path)
    assert movie.shape == (4, 10, 12, 3)
    assert movie.dims == ("T", "Y", "X", "S")
    np.testing.assert_array_equal(np.asarray(movie), data)
    np.testing.assert_array_equal(open_movie(path, channel="green")[2], data[2, ..., 1])


def test_alpha_is_dropped(tmp_path: Path) -> None:
    data = numbers(2, 10, 12, 4, dtype="uint8")
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, data, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(open_movie(path)[1], data[1, ..., :3])


def test_one_frame_is_a_movie(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, STACK[0])
    movie = open_movie(path)
    assert movie.shape == (1, 20, 30)
    np.testing.assert_array_equal(movie[0], STACK[0])


def test_booleans_become_bytes(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, STACK > 100, photometric="minisblack")
    movie = open_movie(path)
    assert movie.dtype == np.uint8
    np.testing.assert_array_equal(movie[1], (STACK[1] > 100).astype(np.uint8))


def test_ome_scale_and_units(tmp_path: Path) -> None:
    path = tmp_path / "movie.ome.tif"
    about = {"axes": "TYX", "PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm"}
    about |= {"PhysicalSizeY": 650, "PhysicalSizeYUnit": "nm"}
    about |= {"TimeIncrement": 5, "TimeIncrementUnit": "min"}
    tifffile.imwrite(path, STACK, metadata=about)
    movie = open_movie(path)
    assert movie.scale == pytest.approx((5.0, 650.0, 650.0))
    assert movie.units == ("minute", "nanometer", "nanometer")  # one unit for y and x


def test_imagej_scale_and_units(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    about = {"axes": "TYX", "unit": "um", "finterval": 12.5}
    tifffile.imwrite(path, STACK, imagej=True, resolution=(1 / 0.325, 1 / 0.5), metadata=about)
    movie = open_movie(path)
    assert movie.scale == pytest.approx((12.5, 0.5, 0.325), rel=1e-6)
    assert movie.units == ("second", "micrometer", "micrometer")


def test_unknown_scale_is_one(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", resolution=(72, 72))
    movie = open_movie(path)
    assert movie.scale == (1.0, 1.0, 1.0)
    assert movie.units == ("frame", "pixel", "pixel")


def test_depth_taken_for_time_has_no_time_scale(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    about = {"axes": "ZYX", "unit": "um", "spacing": 3.0, "finterval": 9.0}
    tifffile.imwrite(path, STACK, imagej=True, metadata=about)
    assert open_movie(path).scale[0] == 1.0
    np.testing.assert_array_equal(open_movie(path, z=3)[0], STACK[3])


# --- laziness ------------------------------------------------------------------------------------


def poison(path: Path, *, keep: int) -> None:
    """Destroy the pixels of every page but one."""
    with tifffile.TiffFile(path) as tif:
        runs = [
            run
            for i, page in enumerate(tif.pages)
            if i != keep
            for run in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    with path.open("r+b") as file:
        for offset, count in runs:
            file.seek(offset)
            file.write(b"\xff" * count)


def test_only_the_frame_asked_for_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib")
    poison(path, keep=3)
    movie = open_movie(path)
    np.testing.assert_array_equal(movie[3], STACK[3])
    with pytest.raises(MovieError, match=r"frame 2 of .*movie\.tif cannot be read"):
        movie[2]


def test_opening_reads_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib")
    decoded = []
    real = tifffile.TiffPage.asarray

    def counted(page: tifffile.TiffPage, *args: object, **kwargs: object) -> np.ndarray:
        decoded.append(page.index)
        return real(page, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", counted)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", counted)
    movie = open_movie(path)
    assert decoded == []
    movie[4]
    assert len(decoded) == 1


def test_raw_frames_read_their_bytes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"})
    movie = open_movie(path)
    counts = []
    real = tifffile.FileHandle.read

    def counted(handle: tifffile.FileHandle, size: int = -1) -> bytes:
        counts.append(size)
        return real(handle, size)

    monkeypatch.setattr(tifffile.FileHandle, "read", counted)
    movie[2]
    assert counts == [STACK[0].nbytes]


def test_threads_get_their_own_frames(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib")
    movie = open_movie(path)
    wrong: list[int] = []

    def check(t: int) -> None:
        for _ in range(20):
            if not np.array_equal(movie[t], STACK[t]):
                wrong.append(t)

    threads = [threading.Thread(target=check, args=(t,)) for t in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- broken files --------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("kind", ["ome", "imagej", "plain", "shaped", "bigtiff", "zlib"])
def test_truncated(tmp_path: Path, kind: str, part: float) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, **WRITERS[kind])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(MovieError, match="truncated or damaged"):
        open_movie(path)


def test_truncated_imagej_stack_with_one_page(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    imagej_with_one_page(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MovieError, match="truncated or damaged"):
        open_movie(path)


def test_broken_file_prints_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", compression="zlib")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(MovieError):
        open_movie(path)
    assert caplog.records == []


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, STACK.astype("complex64"))
    with pytest.raises(MovieError, match="integer or floating-point"):
        open_movie(path)


def test_second_ome_image_is_told(tmp_path: Path) -> None:
    path = tmp_path / "movie.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(STACK, metadata={"axes": "TYX"})
        writer.write(STACK[:, :8], metadata={"axes": "TYX"})
    with pytest.warns(UserWarning, match="holds 2 images"):
        assert open_movie(path).shape == STACK.shape


# --- several files, several images ---------------------------------------------------------------


def test_ome_of_several_files(tmp_path: Path) -> None:
    path = samples.ome_multifile(tmp_path)
    movie = open_movie(path)
    assert movie.scale == (3.0, 0.5, 0.5)
    np.testing.assert_array_equal(np.asarray(movie), samples.STACK[:4])
    again = open_movie(tmp_path / "part_2.ome.tif")  # any of them opens the movie
    np.testing.assert_array_equal(again[3], samples.STACK[3])


def test_ome_with_a_missing_file(tmp_path: Path) -> None:
    path = samples.ome_multifile(tmp_path)
    (tmp_path / "part_2.ome.tif").unlink()
    with pytest.raises(MovieError, match="missing or damaged"):
        open_movie(path)


def test_ome_with_a_file_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path = samples.ome_multifile(tmp_path / "inner")
    (tmp_path / "inner" / "part_3.ome.tif").rename(tmp_path / "part_3.ome.tif")
    content = path.read_bytes().replace(b"part_3.ome.tif", b"../part_3.o.ti")
    (tmp_path / "part_3.ome.tif").rename(tmp_path / "part_3.o.ti")
    path.write_bytes(content)
    with pytest.raises(MovieError, match="outside its folder"):
        open_movie(path)


def test_one_of_several_images(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as out:
        out.write(samples.STACK[:3], metadata={"axes": "TYX", "Name": "left"})
        about = {"axes": "TYX", "Name": "right", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
        out.write(samples.STACK[3:8], metadata=about)
    with pytest.warns(UserWarning, match="choose with scene="):
        assert open_movie(path).shape == (3, 128, 192)
    right = open_movie(path, scene="right")
    assert (right.shape, right.scale[1:]) == ((5, 128, 192), (0.25, 0.25))
    np.testing.assert_array_equal(right[4], samples.STACK[7])


def test_pages_that_differ_in_their_compression_are_frames_of_one_movie(tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as out:
        for t, plane in enumerate(STACK):
            out.write(
                plane, photometric="minisblack", metadata=None,
                compression="zlib" if t % 2 else None,
            )  # fmt: skip
    movie = open_movie(path)
    np.testing.assert_array_equal(np.asarray(movie), STACK)


def test_stacks_that_were_written_as_two_stay_two(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as out:
        for stack in (STACK, STACK[::-1]):
            out.write(stack, photometric="minisblack")
    with pytest.warns(UserWarning, match="holds 2 images; the first is read"):
        np.testing.assert_array_equal(np.asarray(open_movie(path)), STACK)
    np.testing.assert_array_equal(np.asarray(open_movie(path, scene=1)), STACK[::-1])


@pytest.mark.filterwarnings("error")
def test_a_thumbnail_is_no_image_to_choose(tmp_path: Path) -> None:
    path = tmp_path / "thumbnail.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(STACK, photometric="minisblack", metadata=None)
        out.write(STACK[0, ::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
    np.testing.assert_array_equal(np.asarray(open_movie(path)), STACK)


@pytest.mark.parametrize("how", ["at once", "one by one", "mixed"])
def test_a_thumbnail_that_comes_first_is_passed_over(
    tmp_path: Path, how: str, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "thumbnail.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(STACK[0, ::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
        for t, part in enumerate([STACK] if how == "at once" else STACK):
            out.write(
                part, photometric="minisblack", metadata=None, contiguous=False,
                compression="zlib" if how == "mixed" and t % 2 else None,
            )  # fmt: skip
    movie = open_movie(path)
    np.testing.assert_array_equal(np.asarray(movie), STACK)
    assert (movie.name, [one.category for one in recwarn]) == ("thumbnail.tif", [])


def test_images_that_are_not_alike_are_told(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as out:
        out.write(STACK, photometric="minisblack", metadata=None)
        out.write(STACK[:, :8], photometric="minisblack", metadata=None)
    with pytest.warns(UserWarning, match="holds 2 images; the first is read"):
        np.testing.assert_array_equal(np.asarray(open_movie(path)), STACK)
    np.testing.assert_array_equal(np.asarray(open_movie(path, scene=1)), STACK[:, :8])


@pytest.mark.parametrize(
    ("size", "message"), [(70_000, "at most"), (25_000, "truncated or damaged")]
)
def test_size_that_the_file_cannot_have(tmp_path: Path, size: int, message: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], compression="zlib", photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages.first.tags[name].overwrite(size, dtype="I")
    with pytest.raises(MovieError, match=message):
        open_movie(path)
