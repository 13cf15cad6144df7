"""napari's reader and writer: lazy layers with their scale, and labels out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam_i2v.errors import InputError, MovieError, OutputError
from napari_sam_i2v.movies.export import save_ome_zarr
from napari_sam_i2v.movies.movie import open_movie
from napari_sam_i2v.movies.napari_io import get_reader, read_layers, write_labels

STACK = np.arange(4 * 6 * 8, dtype=np.uint8).reshape(4, 6, 8)


def save_stack(path: Path, **options: Any) -> str:
    about = {"axes": "TYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "TimeIncrement": 2.0}
    tifffile.imwrite(path, STACK, ome=True, metadata=about, **options)
    return str(path)


def test_what_is_ours(tmp_path: Path) -> None:
    assert get_reader(save_stack(tmp_path / "movie.tif")) is read_layers
    zarr.create_array(str(tmp_path / "a.zarr"), data=STACK)
    assert get_reader(str(tmp_path / "a.zarr")) is read_layers
    (tmp_path / "pictures").mkdir()
    Image.fromarray(STACK[0]).save(tmp_path / "pictures" / "0.png")
    assert get_reader(str(tmp_path / "pictures")) is read_layers


def test_what_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tif").write_text("no tiff")
    (tmp_path / "none.tif").touch()
    for path in ("empty", "text.tif", "none.tif", "missing.tif", "bad\0name.tif", "a" * 5000):
        assert get_reader(str(tmp_path / path)) is None
    assert get_reader([save_stack(tmp_path / "movie.tif")]) is None
    assert get_reader(None) is None  # type: ignore[arg-type]


def test_movie_is_a_lazy_layer(tmp_path: Path) -> None:
    path = save_stack(tmp_path / "movie.ome.tif", compression="zlib")
    ((data, meta, kind),) = read_layers(path)
    assert kind == "image" and meta["rgb"] is False
    assert data.shape == STACK.shape and data.chunks[0] == (1, 1, 1, 1)
    np.testing.assert_array_equal(data.compute(), STACK)
    assert meta["name"] == "movie.ome"
    assert meta["scale"] == (2.0, 0.5, 0.25)
    assert meta["units"] == ("second", "micrometer", "micrometer")
    assert meta["axis_labels"] == ("t", "y", "x")


def test_channels_and_depth(tmp_path: Path) -> None:
    data = np.arange(3 * 2 * 4 * 6 * 8, dtype=np.uint16).reshape(3, 2, 4, 6, 8)
    path = tmp_path / "movie.tif"
    about = {"axes": "TCZYX", "Channel": {"Name": ["BF", "RFP"]}}
    tifffile.imwrite(path, data, ome=True, metadata=about)
    ((lazy, meta, _),) = read_layers(str(path))
    # Channel and depth may come in any order; the channel axis is named.
    assert meta["channel_axis"] == 1 and meta["name"] == ["movie BF", "movie RFP"]
    assert meta["axis_labels"] == ("t", "z", "y", "x") and len(meta["scale"]) == 4
    np.testing.assert_array_equal(lazy.compute(), data)


def test_colour(tmp_path: Path) -> None:
    data = np.arange(4 * 6 * 8 * 3, dtype=np.uint8).reshape(4, 6, 8, 3)
    tifffile.imwrite(tmp_path / "movie.tif", data, photometric="rgb")
    ((lazy, meta, _),) = read_layers(str(tmp_path / "movie.tif"))
    assert meta["rgb"] is True and meta["axis_labels"] == ("t", "y", "x")
    assert meta["units"] == ("pixel", "pixel", "pixel")  # pint knows no frames
    np.testing.assert_array_equal(lazy.compute(), data)


def test_labels_of_an_image_come_along(shared_data: Path) -> None:
    path = shared_data / "formats" / "derived" / "c2c12_v05.zarr"
    (_, image, kind), (cells, meta, other) = read_layers(str(path))
    assert (kind, other) == ("image", "labels")
    assert (image["name"], meta["name"]) == ("c2c12_v05", "cells")
    expected = tifffile.imread(shared_data / "c2c12" / "labels.tif")
    np.testing.assert_array_equal(cells[7].compute(), expected[7])


def test_layers_can_be_added_to_napari(tmp_path: Path) -> None:
    components = pytest.importorskip("napari.components")
    viewer = components.ViewerModel()
    data = np.arange(3 * 2 * 6 * 8, dtype=np.uint16).reshape(3, 2, 6, 8)
    tifffile.imwrite(tmp_path / "movie.tif", data, imagej=True, metadata={"axes": "TCYX"})
    for layer, meta, _ in read_layers(str(tmp_path / "movie.tif")):
        viewer.add_image(layer, **meta)
    for layer, meta, _ in read_layers(save_stack(tmp_path / "one.tif")):
        viewer.add_image(layer, **meta)
    save_ome_zarr(STACK, tmp_path / "out.zarr", scale=(2.0, 0.5, 0.5))
    for layer, meta, kind in read_layers(str(tmp_path / "out.zarr")):
        assert kind == "labels"
        viewer.add_labels(layer, **meta)
    names = [layer.name for layer in viewer.layers]
    assert names == ["movie channel 0", "movie channel 1", "one", "out"]
    assert tuple(viewer.layers["one"].axis_labels) == ("t", "y", "x")
    assert tuple(viewer.layers["out"].scale) == (2.0, 0.5, 0.5)


@pytest.mark.parametrize("ending", ["tif", "tiff", "zarr"])
def test_write_labels(tmp_path: Path, ending: str) -> None:
    layers = pytest.importorskip("napari.layers")
    units = ("second", "micrometer", "micrometer")
    layer = layers.Labels(STACK.astype(np.int64), scale=(2.0, 0.5, 0.25), units=units)
    data, meta, _ = layer.as_layer_data_tuple()
    path = str(tmp_path / f"out.{ending}")
    for _ in range(2):  # the second time replaces, as napari has asked the user
        assert write_labels(path, data, meta) == [path]
    movie = open_movie(path)
    np.testing.assert_array_equal(np.asarray(movie), STACK)
    assert movie.scale == pytest.approx((2.0, 0.5, 0.25))
    assert movie.units == units
    assert [kind for _, _, kind in read_layers(path)] == ["labels"]


def test_write_labels_of_other_shapes(tmp_path: Path) -> None:
    path = str(tmp_path / "out.tif")
    write_labels(path, STACK[0], {"scale": (0.5, 0.25), "units": ("pixel", "pixel")})
    assert open_movie(path).shape == (1, 6, 8)
    write_labels(path, [STACK, STACK[:, ::2, ::2]], {"multiscale": True})
    assert open_movie(path).shape == STACK.shape
    with pytest.raises(InputError, match=r"\(T, Y, X\) or \(Y, X\)"):
        write_labels(path, STACK[None], {})


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
@pytest.mark.parametrize(
    ("scale", "units"),
    [((1, -0.5, 0.25), ("um", "um")), ((1, 0.5, 250), ("um", "nm"))],
    ids=["mirrored", "two units"],
)
def test_write_labels_of_a_layer_whose_steps_no_file_has(
    tmp_path: Path, ending: str, scale: tuple[float, ...], units: tuple[str, str]
) -> None:
    path = str(tmp_path / f"labels{ending}")
    write_labels(path, STACK, {"scale": scale, "units": ("s", *units)})
    movie = open_movie(path)
    assert movie.scale == pytest.approx((1, 0.5, 0.25))
    assert movie.units == ("second", "micrometer", "micrometer")


def test_write_labels_spares_folders(tmp_path: Path) -> None:
    for ending in ("tif", "zarr"):
        folder = tmp_path / f"folder.{ending}"
        folder.mkdir()
        (folder / "data").touch()
        with pytest.raises(OutputError):
            write_labels(str(folder), STACK, {})
        assert (folder / "data").exists()


# --- pyramids, kinds of files --------------------------------------------------------------------


@pytest.mark.parametrize(("edge", "multiscale"), [(4096, True), (64, False)])
def test_large_images_with_a_pyramid_are_multiscale(
    tmp_path: Path, edge: int, multiscale: bool
) -> None:
    levels = [("s0", edge), ("s1", edge // 2)]
    datasets = [
        {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [1, 1, f, f]}]}
        for f, (name, _) in enumerate(levels, 1)
    ]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space"} for name in "yx"]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.create_group(str(tmp_path / "a.zarr"), attributes={"ome": ome})
    for name, size in levels:
        group.create_array(name, shape=(3, 2, size, size), chunks=(1, 1, 64, 64), dtype="u2")
    ((data, meta, _),) = read_layers(str(tmp_path / "a.zarr"))
    assert meta.get("multiscale", False) is multiscale
    viewer = pytest.importorskip("napari.components").ViewerModel()
    first, second = viewer.add_image(data, **meta)
    assert first.multiscale is multiscale
    shapes = [one.shape for one in (second.data if multiscale else [second.data])]
    assert shapes == [(3, size, size) for _, size in levels][: len(shapes)]


@pytest.mark.parametrize("name", ["a.dcm", "a.nii", "a.mp4", "a.nd2", "a.czi", "a.lif"])
def test_other_formats_are_ours(name: str, tmp_path: Path) -> None:
    magic = {
        "a.dcm": bytes(128) + b"DICM", "a.nii": bytes(344) + b"n+1\0",
        "a.mp4": b"\0\0\0\x18ftypisom", "a.nd2": b"\xda\xce\xbe\n", "a.czi": b"ZISRAWFILE",
        "a.lif": b"p\0\0\0\1\0\0\0*",
    }  # fmt: skip
    (tmp_path / name).write_bytes(magic[name] + bytes(300))
    assert get_reader(str(tmp_path / name)) is read_layers
    with pytest.raises(MovieError):
        read_layers(str(tmp_path / name))


def test_pictures_are_left_to_napari(tmp_path: Path) -> None:
    Image.fromarray(STACK[0]).save(tmp_path / "a.png")
    assert get_reader(str(tmp_path / "a.png")) is None
