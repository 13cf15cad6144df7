"""OME-Zarr and plain zarr: axes, channels, scale, labels, broken metadata."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from zarr.storage import LocalStore

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.movie import open_movie, open_source
from napari_sam_i2v.movies.ome_zarr import list_labels

DATA = np.arange(3 * 2 * 6 * 8, dtype=np.uint16).reshape(3, 2, 6, 8)
TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def multiscales(axes: str = "tcyx", level: str = "s0", **more: Any) -> list[dict]:
    named = [{"name": a, "type": TYPES[a]} for a in axes]
    for axis in named:
        if axis["name"] in "yx":
            axis["unit"] = "micrometer"
        if axis["name"] == "t":
            axis["unit"] = "second"
    steps = {"t": 2.0, "c": 1.0, "z": 3.0, "y": 0.5, "x": 0.25}
    scale = [{"type": "scale", "scale": [steps[a] for a in axes]}]
    dataset = {"path": level, "coordinateTransformations": scale}
    return [{"axes": named, "datasets": [dataset], **more}]


def write_image(
    path: Path, data: np.ndarray = DATA, *, version: str = "0.5", images: list | None = None
) -> Path:
    images = multiscales() if images is None else images
    omero = {"channels": [{"label": "BF"}, {"label": "RFP"}]}
    ome: dict[str, Any] = {"version": version, "multiscales": images, "omero": omero}
    old = version == "0.4"
    group = zarr.create_group(
        str(path), zarr_format=2 if old else 3, attributes=ome if old else {"ome": ome}
    )
    chunks = (1,) * (data.ndim - 2) + data.shape[-2:]
    group.create_array("s0", shape=data.shape, chunks=chunks, dtype=data.dtype)[:] = data
    return path


def test_a_labels_folder_that_is_no_group_holds_no_labels(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    (path / "labels" / "cells").mkdir(parents=True)
    assert list_labels(path) == ()


def test_a_step_in_time_without_a_unit_counts_frames(tmp_path: Path) -> None:
    images = multiscales("tyx")
    del images[0]["axes"][0]["unit"]
    movie = open_movie(write_image(tmp_path / "a.zarr", DATA[:, 0], images=images))
    assert (movie.scale, movie.units) == ((2.0, 0.5, 0.25), ("frame", "micrometer", "micrometer"))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_image(tmp_path: Path, version: str) -> None:
    path = write_image(tmp_path / "a.zarr", version=version)
    with pytest.raises(MovieError, match="0 = BF, 1 = RFP"):
        open_movie(path)
    movie = open_movie(path, channel="RFP")
    np.testing.assert_array_equal(np.asarray(movie), DATA[:, 1])
    assert movie.scale == (2.0, 0.5, 0.25)
    assert movie.units == ("second", "micrometer", "micrometer")
    assert not movie.is_labels


def test_scale_of_the_whole_image_multiplies(tmp_path: Path) -> None:
    more = {"coordinateTransformations": [{"type": "scale", "scale": [10.0, 1.0, 2.0, 2.0]}]}
    path = write_image(tmp_path / "a.zarr", images=multiscales(**more))
    assert open_movie(path, channel=0).scale == (20.0, 1.0, 0.5)


@pytest.mark.parametrize("axes", ["tyx", "zyx", "cyx"])
def test_subsets_of_axes(tmp_path: Path, axes: str) -> None:
    path = write_image(tmp_path / "a.zarr", DATA[:, 0], images=multiscales(axes))
    if axes == "cyx":
        assert open_movie(path, channel=1).shape == (1, 6, 8)
        return
    np.testing.assert_array_equal(np.asarray(open_movie(path)), DATA[:, 0])


def test_one_frame_reads_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.zarr")
    movie = open_movie(path, channel=1)
    keys: list[str] = []
    real = LocalStore.get

    async def counted(store: LocalStore, key: str, *args: Any, **kwargs: Any) -> Any:
        keys.append(key)
        return await real(store, key, *args, **kwargs)

    monkeypatch.setattr(LocalStore, "get", counted)
    movie[2]
    assert [key for key in keys if "/c/" in key] == ["s0/c/2/1/0/0"]


def test_missing_chunks_are_zeros(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    shutil.rmtree(path / "s0" / "c")
    assert not open_movie(path, channel=0)[1].any()


def test_damaged_chunk(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    (path / "s0" / "c" / "1" / "0" / "0" / "0").write_bytes(b"rubbish")
    movie = open_movie(path, channel=0)
    np.testing.assert_array_equal(movie[0], DATA[0, 0])
    with pytest.raises(MovieError, match="frame 1 of"):
        movie[1]


def test_plain_arrays(tmp_path: Path) -> None:
    for shape, dims in {(4, 6, 8): "TYX", (6, 8): "TYX", (4, 6, 8, 3): "TYXS"}.items():
        path = tmp_path / f"{len(shape)}.zarr"
        data = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        zarr.create_array(str(path), data=data)
        movie = open_movie(path)
        assert "".join(movie.dims) == dims
        np.testing.assert_array_equal(np.asarray(movie).reshape(shape), data)


def test_dimension_names_of_plain_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    names = ("channel", "time", "y", "x")
    zarr.create_array(str(path), data=DATA.transpose(1, 0, 2, 3), dimension_names=names)
    np.testing.assert_array_equal(np.asarray(open_movie(path, channel=1)), DATA[:, 1])


def test_unnamed_axes_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=DATA)
    with pytest.raises(MovieError, match="axes="):
        open_movie(path)
    assert open_movie(path, axes="TZYX", z=1).shape == (3, 6, 8)


@pytest.mark.parametrize("outside", ["../secret", "/etc", "..\\secret", "s0/../../secret"])
def test_pixels_outside_the_folder_are_refused(tmp_path: Path, outside: str) -> None:
    zarr.create_array(str(tmp_path / "secret"), data=DATA)
    path = write_image(tmp_path / "a.zarr", images=multiscales(level=outside))
    with pytest.raises(MovieError, match="outside its own folder"):
        open_movie(path, channel=0)


def test_labels_outside_the_folder_are_not_listed(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    names = ["cells", "../../secret", "/etc", 7]
    zarr.open_group(str(path)).create_group("labels", attributes={"ome": {"labels": names}})
    assert list_labels(path) == ("cells",)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "broken OME-Zarr metadata"),
        ([{"axes": [], "datasets": []}], "broken OME-Zarr metadata"),
        ([{"datasets": [{}]}], "broken OME-Zarr metadata"),
        (multiscales(level="s7"), "'s7' are missing"),
        (multiscales("tyx"), "names the axes TYX"),
    ],
)
def test_broken_metadata(tmp_path: Path, images: list, message: str) -> None:
    path = write_image(tmp_path / "a.zarr", images=images)
    with pytest.raises(MovieError, match=message):
        open_movie(path)


def test_broken_json(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    (path / "zarr.json").write_text('{"zarr_format": 3, ')
    with pytest.raises(MovieError, match="cannot be opened as zarr"):
        open_movie(path)


def test_group_without_image_names_its_arrays(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("raw", data=DATA)
    with pytest.raises(MovieError, match="raw"):
        open_movie(tmp_path / "a.zarr")


def test_converted_file_with_one_image(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "a.zarr"), attributes={"bioformats2raw.layout": 3})
    write_image(tmp_path / "a.zarr" / "0")
    assert open_movie(tmp_path / "a.zarr", channel=0).shape == (3, 6, 8)
    write_image(tmp_path / "a.zarr" / "1")
    with pytest.raises(MovieError, match=r"2 images: 0, 1\. Choose one with scene="):
        open_movie(tmp_path / "a.zarr", channel=0)
    assert open_movie(tmp_path / "a.zarr", channel=0, scene=1).name == "a.zarr 1"


# --- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c2c12_v04.zarr", "c2c12_v05.zarr"])
def test_sample_labels(shared_data: Path, name: str) -> None:
    path = shared_data / "formats" / "derived" / name
    assert list_labels(path) == ("cells",)
    cells = open_movie(path / "labels" / "cells")
    assert cells.is_labels
    expected = tifffile.imread(shared_data / "c2c12" / "labels.tif")
    np.testing.assert_array_equal(np.asarray(cells), expected)
    with pytest.raises(MovieError, match="labels/cells"):
        open_movie(path / "labels")


@pytest.mark.parametrize(
    ("name", "shape", "empty"),
    [
        ("image-01.zarr", (1, 1000, 1000), True),
        ("image-02.zarr", (1, 200, 200), False),
        ("image-03.zarr", (2, 100, 100), False),
        ("image-04.zarr", (2, 64, 64), True),
        ("plate-01.zarr/A/1/0", (1, 1000, 1000), True),
    ],
)
def test_published_examples(shared_data: Path, name: str, shape: tuple, empty: bool) -> None:
    folder = shared_data / "formats" / "ome_zarr_examples" / "data" / "valid"
    movie = open_movie(folder / name)
    assert movie.shape == shape
    assert movie[0].any() != empty
    assert list_labels(folder / name) == ()


def test_plate_and_well(shared_data: Path) -> None:
    plate = shared_data / "formats" / "ome_zarr_examples" / "data" / "valid" / "plate-01.zarr"
    with pytest.raises(
        MovieError, match=r"4 images: 0 = A/1/0, 1 = A/2/0, .*Choose one with scene="
    ):
        open_movie(plate)
    assert open_movie(plate, scene="B/2/0").name == "plate-01.zarr B/2/0"
    assert open_movie(plate, scene=3).name == "plate-01.zarr B/2/0"
    assert open_movie(plate / "A" / "1").name == "0"  # a well of one field
    with pytest.raises(MovieError, match="no single image 'C/1/0'"):
        open_movie(plate, scene="C/1/0")


def test_plate_that_points_outside(tmp_path: Path) -> None:
    plate = {"plate": {"wells": [{"path": "../elsewhere"}]}}
    zarr.create_group(str(tmp_path / "a.zarr"), attributes={"ome": {"version": "0.5", **plate}})
    with pytest.raises(MovieError, match="outside its own folder"):
        open_movie(tmp_path / "a.zarr")
    well = {"well": {"images": [{"path": "../../elsewhere"}]}}
    zarr.create_group(str(tmp_path / "b.zarr"), attributes={"ome": {"version": "0.5", **well}})
    with pytest.raises(MovieError, match="outside its own folder"):
        open_movie(tmp_path / "b.zarr")


@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ((10**12, 8, 8), (1, 8, 8), "declares 1000000000000 planes"),
        ((4, 10**6, 10**6), (1, 1024, 1024), "bytes per frame"),
        ((10**6, 512, 512), (10**6, 512, 512), "chunks of"),
    ],
)
def test_shapes_beyond_reason(tmp_path: Path, shape: tuple, chunks: tuple, message: str) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), shape=shape, chunks=chunks, dtype="u1")
    with pytest.raises(MovieError, match=message):
        open_movie(tmp_path / "a.zarr")


def test_pyramid_that_was_not_copied_whole(shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "formats" / "derived" / "c2c12_v05.zarr"
    copy = tmp_path / "a.zarr"
    shutil.copytree(original, copy, copy_function=shutil.copyfile)
    for folder in (copy, *(one for one in copy.rglob("*") if one.is_dir())):
        folder.chmod(0o755)
    shutil.rmtree(copy / "s2")
    source = open_source(copy)
    assert [one.shape[-1] for one in source.levels] == [117, 29, 14]
    np.testing.assert_array_equal(open_movie(copy)[3], open_movie(original)[3])
