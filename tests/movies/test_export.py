"""Labels to TIFF and OME-Zarr: the same values, scale and bytes; never half a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies import export
from napari_sam_i2v.movies.colours import colour_of
from napari_sam_i2v.movies.export import save_ome_zarr, save_tiff
from napari_sam_i2v.movies.labels import LabelStore
from napari_sam_i2v.movies.movie import open_movie
from napari_sam_i2v.movies.ome_zarr import list_labels

LABELS = np.random.default_rng(1).integers(0, 900, (4, 30, 40)).astype(np.uint16)
SCALE, UNITS = (300.0, 0.5, 0.25), ("second", "micrometer", "micrometer")


class Streamed:
    """An array that can only be read by frames, and tells which were."""

    def __init__(self, data: np.ndarray, fail_at: int | None = None) -> None:
        self.data, self.fail_at, self.read = data, fail_at, []
        self.shape, self.dtype = data.shape, data.dtype

    def __getitem__(self, t: int) -> np.ndarray:
        if t == self.fail_at:
            raise RuntimeError("frame lost")
        self.read.append(t)
        return self.data[t]


@pytest.mark.parametrize("save", [save_tiff, save_ome_zarr])
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int64"])
def test_round_trip(tmp_path: Path, save: Callable[..., Path], dtype: str) -> None:
    path = tmp_path / ("out.tif" if save is save_tiff else "out.zarr")
    data = LABELS.astype(dtype)
    if dtype == "uint32":
        data[0, 0, 0] = 100_000
    assert save(data, path, scale=SCALE, units=UNITS, metadata={"model": "x"}) == path
    movie = open_movie(path)
    assert movie.dtype == (np.uint32 if dtype == "uint32" else np.uint16)
    np.testing.assert_array_equal(np.asarray(movie), data)
    assert movie.scale == pytest.approx(SCALE, rel=1e-6)
    assert movie.units == UNITS


@pytest.mark.parametrize(
    "units", [("minute", "nanometer", "nanometer"), ("hour", "millimeter", "millimeter"), None]
)
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_units_survive_tiff(tmp_path: Path, units: tuple | None, dtype: str) -> None:
    data = LABELS.astype(dtype)
    data[0, 0, 0] = 60_000 if dtype == "uint16" else 100_000
    options: dict[str, Any] = {"units": units, "scale": (2.0, 0.5, 0.5)} if units else {}
    movie = open_movie(save_tiff(data, tmp_path / "out.tif", **options))
    if not units:
        assert (movie.scale, movie.units) == ((1.0, 1.0, 1.0), ("frame", "pixel", "pixel"))
    elif units[0] == "hour" and dtype == "uint16":  # ImageJ has no hours
        assert (movie.scale[0], movie.units[0]) == (120.0, "minute")
    else:
        assert (movie.scale, movie.units) == ((2.0, 0.5, 0.5), units)


@pytest.mark.parametrize(
    ("unit", "step", "expected"),
    [
        ("microsecond", 250.0, (0.25, "millisecond")),
        ("millisecond", 40.0, (40.0, "millisecond")),
        ("day", 2.0, (2880.0, "minute")),
    ],
)
def test_intervals_in_units_that_imagej_lacks(
    tmp_path: Path, unit: str, step: float, expected: tuple[float, str]
) -> None:
    path = save_tiff(
        LABELS, tmp_path / "out.tif", scale=(step, 1, 1), units=(unit, "pixel", "pixel")
    )
    movie = open_movie(path)
    assert movie.scale[0] == pytest.approx(expected[0])
    assert movie.units[0] == expected[1]


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_steps_without_a_unit_survive_tiff(tmp_path: Path, dtype: str) -> None:
    data = LABELS.astype(dtype)
    data[0, 0, 0] = 60_000 if dtype == "uint16" else 100_000
    units = ("frame", "pixel", "pixel")
    movie = open_movie(save_tiff(data, tmp_path / "out.tif", scale=(2, 0.5, 0.25), units=units))
    interval = 2 if dtype == "uint16" else 1  # OME has no unit for what is counted
    assert (movie.scale, movie.units) == ((interval, 0.5, 0.25), units)


@pytest.mark.parametrize(
    ("unit", "step", "expected"),
    [
        ("meter", 1e-10, (0.1, "nanometer")),
        ("meter", 6.5e-7, (0.65, "micrometer")),
        ("millimeter", 2e-4, (0.2, "micrometer")),
        ("micrometer", 0.004, (0.004, "micrometer")),
        ("nanometer", 1e-4, (1e-4, "nanometer")),
    ],
)
def test_tiny_steps_are_written_in_a_finer_unit(
    tmp_path: Path, unit: str, step: float, expected: tuple[float, str]
) -> None:
    scale, units = (1.0, step, 2 * step), ("frame", unit, unit)
    movie = open_movie(save_tiff(LABELS, tmp_path / "out.tif", scale=scale, units=units))
    assert movie.scale[1:] == pytest.approx((expected[0], 2 * expected[0]), rel=1e-6)
    assert movie.units[1:] == (expected[1],) * 2


def test_steps_too_tiny_for_a_tiff_do_not_stop_it(tmp_path: Path) -> None:
    path = save_tiff(LABELS, tmp_path / "out.tif", scale=(1, 1e-12, 1e-12))
    assert open_movie(path).scale == (1, 1, 1)


def test_other_programs_see_an_imagej_hyperstack(tmp_path: Path) -> None:
    path = save_tiff(LABELS, tmp_path / "out.tif", metadata={"model": "x", "seed": 0})
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej and tif.series[0].axes == "TYX"
        assert tif.imagej_metadata["Info"] == '{"model": "x", "seed": 0}'
        assert tif.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert tif.pages[0].software == "napari-sam-i2v"
    assert tifffile.imread(path).dtype == np.uint16


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_same_labels_same_bytes(tmp_path: Path, dtype: str) -> None:
    data = LABELS.astype(dtype)
    data[0, 0, 0] = 100_000 if dtype == "uint32" else 1
    contents = []
    for name in ("a.tif", "b.tif"):
        save_tiff(data, tmp_path / name, scale=SCALE, units=UNITS, metadata={"b": 1, "a": 2})
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert b"20" + b"26:" not in contents[0]


def test_same_labels_same_zarr(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = save_ome_zarr(LABELS, tmp_path / name / "out.zarr", metadata={"b": 1})
        files = sorted(p for p in path.rglob("*") if p.is_file())
        found.append([(str(p.relative_to(path)), p.read_bytes()) for p in files])
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "store", "bool"])
def test_kinds_of_labels(tmp_path: Path, kind: str) -> None:
    labels: Any = LABELS
    if kind == "dask":
        labels = da.from_array(LABELS, chunks=(1, 30, 40))
    elif kind == "zarr":
        labels = zarr.array(LABELS, store={})
    elif kind == "store":
        labels = LabelStore.create(tmp_path / "s.zarr", shape=LABELS.shape)
        for t, plane in enumerate(LABELS):
            labels[t] = plane
    elif kind == "bool":
        labels = LABELS > 400
    path = save_tiff(labels, tmp_path / "out.tif")
    expected = labels if kind == "bool" else LABELS
    np.testing.assert_array_equal(tifffile.imread(path), expected)


def test_frames_are_streamed_once_and_in_order(tmp_path: Path) -> None:
    labels = Streamed(LABELS)
    save_tiff(labels, tmp_path / "out.tif")
    assert labels.read == [0, 1, 2, 3]


def test_one_frame(tmp_path: Path) -> None:
    path = save_tiff(LABELS[:1], tmp_path / "out.tif")
    assert open_movie(path).shape == (1, 30, 40)


def test_big_stacks_are_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_CLASSIC_LIMIT", 1000)
    path = save_tiff(LABELS, tmp_path / "out.tif", scale=SCALE, units=UNITS)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff and tif.is_ome
    movie = open_movie(path)
    np.testing.assert_array_equal(np.asarray(movie), LABELS)
    assert (movie.scale, movie.units) == (SCALE, UNITS)


@pytest.mark.parametrize("save", [save_tiff, save_ome_zarr])
def test_failure_leaves_the_old_and_no_rest(tmp_path: Path, save: Callable[..., Path]) -> None:
    path = tmp_path / ("out.tif" if save is save_tiff else "out.zarr")
    save(LABELS, path)
    with pytest.raises(RuntimeError, match="frame lost"):
        save(Streamed(LABELS, fail_at=2), path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(np.asarray(open_movie(path)), LABELS)


@pytest.mark.parametrize("save", [save_tiff, save_ome_zarr])
def test_overwrite(tmp_path: Path, save: Callable[..., Path]) -> None:
    path = tmp_path / ("out.tif" if save is save_tiff else "out.zarr")
    save(LABELS, path)
    with pytest.raises(OutputError, match="exists"):
        save(LABELS + 1, path)
    save(LABELS + 1, path, overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_movie(path)), LABELS + 1)


def test_a_movie_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, LABELS, imagej=True)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="not a TIFF which napari-sam-i2v wrote"):
        save_tiff(LABELS, path, overwrite=True)
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "folder.tif" / "a").touch()
    with pytest.raises(OutputError, match="not a result which napari-sam-i2v wrote"):
        save_tiff(LABELS, tmp_path / "folder.tif", overwrite=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((1, 2, 3)), "integers"),
        (np.zeros((2, 3), "u2"), r"\(T, Y, X\)"),
        (np.full((1, 2, 3), -1), "0..4294967295"),
        (np.full((1, 2, 3), 2**33), "0..4294967295"),
    ],
)
@pytest.mark.parametrize("save", [save_tiff, save_ome_zarr])
def test_labels_that_cannot_be_saved(
    tmp_path: Path, save: Callable[..., Path], labels: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        save(labels, tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_inside_an_image(tmp_path: Path, zarr_format: int) -> None:
    image = {"axes": [{"name": a} for a in "tyx"], "datasets": [{"path": "0"}]}
    ome: dict[str, Any] = {"multiscales": [image]}
    group = zarr.create_group(
        str(tmp_path / "movie.zarr"),
        zarr_format=zarr_format,
        attributes=ome if zarr_format == 2 else {"ome": ome},
    )
    group.create_array("0", data=LABELS)
    for name in ("cells", "nuclei"):
        save_ome_zarr(LABELS, tmp_path / "movie.zarr" / "labels" / name)
    assert list_labels(tmp_path / "movie.zarr") == ("cells", "nuclei")
    movie = open_movie(tmp_path / "movie.zarr" / "labels" / "nuclei")
    assert movie.is_labels
    np.testing.assert_array_equal(np.asarray(movie), LABELS)
    inside = zarr.open_group(str(tmp_path / "movie.zarr" / "labels" / "cells"), mode="r")
    assert inside.metadata.zarr_format == zarr_format


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_object_has_its_colour_as_ome_zarr_has_it(tmp_path: Path, zarr_format: int) -> None:
    image = zarr.create_group(str(tmp_path / "image.zarr"), zarr_format=zarr_format)
    multiscales = [{"axes": [{"name": one} for one in "tyx"], "datasets": [{"path": "0"}]}]
    ome = {"multiscales": multiscales}
    image.attrs.update(ome if zarr_format == 2 else {"ome": {"version": "0.5", **ome}})
    (tmp_path / "image.zarr" / "labels").mkdir()
    labels = np.zeros((2, 4, 5), np.uint16)
    labels[0, 0], labels[1, 2] = 3, 900
    path = save_ome_zarr(labels, tmp_path / "image.zarr" / "labels" / "cells")
    attributes = dict(zarr.open_group(str(path), mode="r").attrs)
    found = (attributes if zarr_format == 2 else attributes["ome"])["image-label"]
    assert [one["label-value"] for one in found["colors"]] == [3, 900]
    assert [tuple(one["rgba"]) for one in found["colors"]] == [
        (*colour_of(i), 255) for i in (3, 900)
    ]
    assert found["version"] == ("0.4" if zarr_format == 2 else "0.5")
    assert list_labels(tmp_path / "image.zarr") == ("cells",)


def test_an_independent_reader_finds_colours_axes_and_scale(tmp_path: Path) -> None:
    yaozarrs = pytest.importorskip("yaozarrs", reason="the extra test installs yaozarrs")
    path = save_ome_zarr(LABELS, tmp_path / "cells.zarr", scale=SCALE, units=UNITS)
    found = yaozarrs.open_group(str(path)).ome_metadata()
    assert [one.label_value for one in found.image_label.colors] == np.unique(LABELS)[1:].tolist()
    (image,) = found.multiscales
    assert [(one.name, one.unit) for one in image.axes] == list(zip("tyx", UNITS, strict=True))
    assert tuple(image.datasets[0].coordinateTransformations[0].scale) == SCALE
