"""napari's reader and writer. `get_reader` is asked about every file, so imports wait."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.movies.kinds import file_kind, folder_kind
from napari_sam_i2v.movies.units import (
    SPACE_UNKNOWN,
    TIME_UNKNOWN,
    pint_unit,
    plain_steps,
    unit_name,
)

if TYPE_CHECKING:
    from napari_sam_i2v.movies.source import Source

LayerData = tuple[Any, dict[str, Any], str]

_MAX_SCENES = 16
_LARGE_PLANE = 2048  # pixels along an edge, from which a pyramid is worth a multiscale layer
_UNKNOWN = {"T": TIME_UNKNOWN}


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Give `read_layers` for whatever `open_movie` opens; None for the rest, and for pictures.

    Looks at a few bytes or names only, and never raises.
    """
    if not isinstance(path, str):
        return None
    try:
        return read_layers if _is_ours(Path(path)) else None
    except (OSError, ValueError):  # vanished, forbidden, or no path at all
        return None


def read_layers(path: str) -> list[LayerData]:
    """Open a movie as lazy layers with name, scale, units and axis labels.

    Channels become one layer each; label images, and those inside an OME-Zarr image, become
    Labels layers. All planes of a movie with depth are shown. Of a file with several images (a
    plate, positions, series) each becomes a layer, the first is shown; of one with more than
    sixteen, the first is opened, with a warning. Large images with a pyramid become multiscale
    layers.

    Raises
    ------
    MovieError
        If the file is broken.
    """
    from napari_sam_i2v.movies.movie import open_source
    from napari_sam_i2v.movies.ome_zarr import list_labels

    first = open_source(path, scene=_first_scene(path))
    layers = [_layer(first)]
    for number in _other_scenes(first):
        data, meta, kind = _layer(open_source(path, scene=number))
        layers.append((data, {**meta, "visible": False}, kind))
    if first.path.is_dir() and not first.private and layers[0][2] == "image":
        inside = [Path(path) / "labels" / name for name in list_labels(path)]
        layers += [_layer(open_source(one)) for one in inside if one.is_dir()]
    return layers


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a Labels layer (T, Y, X) or (Y, X) as .tif or .zarr, with its scale and units.

    napari has already asked whether an existing file may be replaced. Of folders, only label
    stores which this package wrote are replaced.

    Raises
    ------
    InputError
        If the layer has other axes, or no integer ids.
    OutputError
        If it cannot be written there.
    """
    from napari_sam_i2v.errors import InputError, OutputError
    from napari_sam_i2v.movies.export import save_ome_zarr, write_tiff

    labels = data[0] if meta.get("multiscale") or isinstance(data, list | tuple) else data
    if labels.ndim not in (2, 3):
        raise InputError(f"labels must be (T, Y, X) or (Y, X) to be saved, got {labels.shape}")
    scale, units = _layer_steps(meta, labels.ndim)
    labels = labels[None] if labels.ndim == 2 else labels
    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return [str(save_ome_zarr(labels, path, scale=scale, units=units, overwrite=True))]
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"{target} is a folder: choose another name")
    write_tiff(labels, target, scale=scale, units=units, metadata=None)
    return [path]


def _is_ours(path: Path) -> bool:
    if path.is_file():
        return file_kind(path) not in (None, "picture")
    return path.is_dir() and folder_kind(path) is not None


def _first_scene(path: str) -> int | None:
    """Give 0 for what may hold several images, so that none need be chosen."""
    where = Path(path)
    kind = folder_kind(where) if where.is_dir() else file_kind(where)
    return 0 if kind in ("zarr", "nd2", "czi", "lif", "tiff") else None


def _other_scenes(first: Source) -> range:
    """Give the numbers of the images to be opened besides the first."""
    if len(first.scenes) <= _MAX_SCENES:
        return range(1, len(first.scenes))
    warnings.warn(
        f"{first.path} holds {len(first.scenes)} images, from {first.scenes[0]} to "
        f"{first.scenes[-1]}; the first is opened. Open another one by its own path, or in a "
        "script with open_movie(..., scene=)",
        stacklevel=3,
    )
    return range(0)


def _layer(source: Source) -> LayerData:
    axes, data = _as_dask(source)
    channel = axes.index("C") if "C" in axes else None
    name = Path(source.name).stem
    if source.scenes:
        name = f"{source.path.stem} {source.scenes[source.scene]}"
    shown = [axis for axis in axes if axis not in "CS"]
    meta: dict[str, Any] = {
        "name": name,
        "scale": tuple(source.pixel.get(axis, (1.0, ""))[0] for axis in shown),
        "units": tuple(pint_unit(_unit(source, axis)) for axis in shown),
        "axis_labels": tuple(axis.lower() for axis in shown),
        "metadata": {} if source.private else {"path": str(source.path)},
    }
    if source.is_labels and data.dtype.kind in "ui" and channel is None:
        return data, meta, "labels"
    meta["rgb"] = "S" in axes
    if max(source.sizes["Y"], source.sizes["X"]) > _LARGE_PLANE and source.levels:
        data, meta["multiscale"] = [data, *(_as_dask(one)[1] for one in source.levels)], True
    if source.contrast is not None:
        meta["contrast_limits"] = source.contrast
    if source.inverted:
        meta["colormap"] = "gray_r"
    if channel is not None:
        known = dict(enumerate(source.channel_names))
        n = (data[0] if isinstance(data, list) else data).shape[channel]
        names = [known.get(i) or f"channel {i}" for i in range(n)]
        meta |= {"channel_axis": channel, "name": [f"{meta['name']} {name}" for name in names]}
    return data, meta, "image"


def _unit(source: Source, axis: str) -> str:
    return source.pixel.get(axis, (1.0, _UNKNOWN.get(axis, SPACE_UNKNOWN)))[1]


def _as_dask(source: Source) -> tuple[str, Any]:
    """Give axes and a lazy array, one chunk per plane; no axis of length 1 but time, y, x.

    A lone axis of unknown meaning is called T, as in `Movie`.
    """
    import dask.array as da
    import numpy as np

    whole = [axis in "YXS" for axis in source.axes]
    chunks = tuple((n,) if keep else (1,) * n for n, keep in zip(source.shape, whole, strict=True))

    def block(block_id: tuple[int, ...]) -> Any:
        index = tuple(None if keep else i for keep, i in zip(whole, block_id, strict=True))
        plane = source.read(index).astype(source.dtype, copy=False)
        return plane.reshape(
            [n if keep else 1 for n, keep in zip(source.shape, whole, strict=True)]
        )

    data = da.map_blocks(
        block,
        chunks=chunks,
        dtype=source.dtype,
        meta=np.empty((0,) * len(whole), source.dtype),
        name=f"movie-{uuid.uuid4().hex}",  # unique: napari caches blocks by name
    )
    return _arranged(source, data)


def _arranged(source: Source, data: Any) -> tuple[str, Any]:
    axes = source.axes
    if "S" in axes and source.sizes["S"] not in (3, 4):
        axes = axes.replace("S", "?" if source.sizes["S"] == 1 else "C")
    lone = [i for i, a in enumerate(axes) if data.shape[i] == 1 and a not in "TYXS"]
    data = data[tuple(0 if i in lone else slice(None) for i in range(data.ndim))]
    axes = "".join(a for i, a in enumerate(axes) if i not in lone)
    strange = [a for a in axes if a not in "TCZYXS"]
    if "T" not in axes and len(strange) == 1:
        axes = axes.replace(strange[0], "T")
    order = sorted(range(len(axes)), key=lambda i: "TCZYXS".find(axes[i]))
    return "".join(axes[i] for i in order), data.transpose(order)


def _layer_steps(meta: dict[str, Any], ndim: int) -> tuple[Any, Any]:
    """Give scale and units of (t, y, x) from a layer's attributes; time is 1 without an axis.

    A layer may be mirrored, and may have two units for y and x; a file has neither.
    """
    scale = tuple(float(step) for step in meta.get("scale") or (1.0,) * ndim)
    units = tuple(unit_name(str(unit)) or SPACE_UNKNOWN for unit in meta.get("units") or ())
    units = units if len(units) == ndim else (SPACE_UNKNOWN,) * ndim
    if ndim == 2:
        scale, units = (1.0, *scale), (TIME_UNKNOWN, *units)
    return plain_steps(scale, units)
