"""Label stacks to TIFF and OME-Zarr: streamed frame by frame, renamed into place when whole."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.labels import LabelStore, _as_json
from napari_sam_i2v.movies.levels import match_levels
from napari_sam_i2v.movies.ome_zarr import ome_attributes
from napari_sam_i2v.movies.output import (
    OWN_KEY,
    check_target,
    remove_own,
    renamed_when_whole,
)
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN

__all__ = [
    "check_labels_target", "enter_in_labels", "image_around", "labels_group", "save_ome_zarr",
    "save_tiff",
]  # fmt: skip

Triple = tuple[float, float, float]
Units = tuple[str, str, str]
_NO_UNITS: Units = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN)
# ImageJ files are classic TIFF: offsets end at 4 GiB. Bigger stacks become OME BigTIFF.
_CLASSIC_LIMIT = 2**32 - 2**25
_IMAGEJ_TIME = {
    "microsecond": ("ms", 1e-3),
    "millisecond": ("ms", 1.0),
    "second": ("sec", 1.0),
    "minute": ("min", 1.0),
    "hour": ("min", 60.0),
    "day": ("min", 1440.0),
}
"""Unit -> ImageJ's name of one that it knows, and how many of those it is."""
_FINER = {
    "meter": ("micrometer", 1e6),
    "centimeter": ("micrometer", 1e4),
    "millimeter": ("micrometer", 1e3),
    "micrometer": ("nanometer", 1e3),
}
_FINE_ENOUGH = 1e-3
# A resolution is a fraction of 32-bit numbers.
_MAX_RESOLUTION = 2**32 - 1
_OME_UNITS = {
    "second": "s",
    "millisecond": "ms",
    "microsecond": "µs",
    "minute": "min",
    "hour": "h",
    "day": "d",
    "micrometer": "µm",
    "nanometer": "nm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
    "angstrom": "Å",
}


def save_tiff(
    labels: Any,
    path: str | os.PathLike[str],
    *,
    scale: Triple = (1.0, 1.0, 1.0),
    units: Units = _NO_UNITS,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write labels (T, Y, X) as a zlib-compressed TIFF with axes TYX.

    An ImageJ hyperstack of uint16; OME BigTIFF where ids pass 65535 or the stack 4 GB. One frame
    is held at a time. The same input gives the same bytes: no date, no random id.

    Parameters
    ----------
    labels
        Anything with `shape` and ``labels[t]`` -> (Y, X) integers: numpy, dask, zarr, LabelStore.
    path
        The file; its folder must exist. It is written beside and renamed when whole.
    scale, units
        Step along (t, y, x) and its units, as `Movie` has them.
    metadata
        Where the labels come from; kept as JSON in the file's description (ImageJ: Info).
    overwrite
        Whether an older TIFF of ours may be replaced. Nothing else ever is.

    Raises
    ------
    InputError
        If the labels are not (T, Y, X) integers that fit 32 bits.
    OutputError
        If something is there already, or the file cannot be written.
    """
    target = check_target(path, overwrite=overwrite)
    write_tiff(labels, target, scale=scale, units=units, metadata=metadata)
    return target


def write_tiff(
    labels: Any, target: Path, *, scale: Triple, units: Units, metadata: Mapping[str, Any] | None
) -> None:
    """Write like `save_tiff`, replacing whatever file is at `target`: the caller has asked."""
    shape, dtype = shape_of(labels), fitting_dtype(labels)
    small = shape[0] * shape[1] * shape[2] * dtype.itemsize < _CLASSIC_LIMIT
    imagej = small and dtype.itemsize == 2
    note = json.dumps(_as_json(metadata), sort_keys=True) if metadata else ""
    head = _imagej_head(scale, units, note) if imagej else _ome_head(shape, scale, units, note)
    with renamed_when_whole(target) as part:
        tifffile.imwrite(
            part,
            planes_of(labels, dtype),
            shape=shape,
            dtype=dtype,
            imagej=imagej,
            ome=not imagej,
            bigtiff=not small,
            photometric="minisblack",
            compression="zlib",
            compressionargs={"level": 6},
            maxworkers=1,
            software=OWN_KEY,
            **head,
        )


def save_ome_zarr(
    labels: Any,
    path: str | os.PathLike[str],
    *,
    scale: Triple = (1.0, 1.0, 1.0),
    units: Units = _NO_UNITS,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write labels (T, Y, X) as an OME-Zarr label image (a `LabelStore` that is all done).

    With a colour for every object, that of `colour_of`.

    At IMAGE.zarr/labels/NAME of an OME-Zarr image it takes that image's version (0.4 or 0.5) and
    is entered in the image's list of labels. Parameters and errors are those of `save_tiff`.
    """
    image = image_around(Path(path).expanduser())
    if image is not None:
        labels_group(image)
    target = check_target(path, overwrite=overwrite)
    dtype = fitting_dtype(labels)
    with renamed_when_whole(target) as part:
        store = LabelStore.create(
            part,
            shape=shape_of(labels),
            dtype=dtype,
            scale=scale,
            units=units,
            metadata=metadata,
            name=target.stem,
            zarr_format=image.metadata.zarr_format if image is not None else 3,
        )
        ids: set[int] = set()
        for t, plane in enumerate(planes_of(labels, dtype)):
            store[t] = plane
            ids.update(np.unique(plane).tolist())
        store.colour(ids - {0})
        remove_own(target)
    if image is not None:
        enter_in_labels(image, target.name)
    return target


def fitting_dtype(labels: Any) -> np.dtype:
    """Give uint16, or uint32 where ids need it; wide types are looked through frame by frame.

    Raises
    ------
    InputError
        If the labels are no integers, negative, or too large.
    """
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "bui":
        raise InputError(f"labels must be integers, got {dtype}")
    if dtype.kind != "i" and dtype.itemsize <= 2:
        return np.dtype(np.uint16)
    low = high = 0
    for t in range(shape_of(labels)[0]):
        plane = np.asarray(labels[t])
        low, high = min(low, int(plane.min())), max(high, int(plane.max()))
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise InputError(f"ids must lie in 0..{np.iinfo(np.uint32).max}, got {low}..{high}")
    return np.dtype(np.uint16 if high <= np.iinfo(np.uint16).max else np.uint32)


def shape_of(labels: Any) -> tuple[int, int, int]:
    """Give (T, Y, X).

    Raises
    ------
    InputError
        If the labels are not (T, Y, X), or empty.
    """
    shape = tuple(int(n) for n in labels.shape)
    if len(shape) != 3 or 0 in shape:
        raise InputError(f"labels need the shape (T, Y, X), all at least 1, got {shape}")
    return shape[0], shape[1], shape[2]


def planes_of(labels: Any, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Give frame by frame (Y, X) in a type that `fitting_dtype` found."""
    return (np.asarray(labels[t]).astype(dtype, copy=False) for t in range(labels.shape[0]))


def _imagej_head(scale: Triple, units: Units, note: str) -> dict[str, Any]:
    head: dict[str, Any] = {"axes": "TYX"}
    if units[0] in _IMAGEJ_TIME:
        tunit, times = _IMAGEJ_TIME[units[0]]
        head |= {"finterval": float(scale[0]) * times, "tunit": tunit}
    elif scale[0] != 1 and units[0] == TIME_UNKNOWN:
        head |= {"finterval": float(scale[0]), "tunit": TIME_UNKNOWN}
    y, x, unit = _in_fine_unit(float(scale[1]), float(scale[2]), units[2])
    if unit != SPACE_UNKNOWN or _has_plain_steps(y, x):
        head["unit"] = "micron" if unit == "micrometer" else unit
    if note:
        head["Info"] = note
    resolution = tuple(min(1 / step, _MAX_RESOLUTION) for step in (x, y))
    return {"metadata": head, "resolution": resolution}


def _has_plain_steps(y: float, x: float) -> bool:
    """Whether steps without a unit, as napari's layers have them, say more than that of a pixel."""
    return (y, x) != (1, 1) and min(y, x) > 1 / _MAX_RESOLUTION


def _in_fine_unit(y: float, x: float, unit: str) -> tuple[float, float, str]:
    """Give steps in a unit in which they are not tiny, as those of electron microscopes in metres.

    A TIFF keeps pixels per unit as a fraction, in which tiny steps have no room.
    """
    while min(y, x) < _FINE_ENOUGH and unit in _FINER:
        unit, times = _FINER[unit]
        y, x = y * times, x * times
    return y, x, unit


def _ome_head(shape: tuple[int, ...], scale: Triple, units: Units, note: str) -> dict[str, Any]:
    head: dict[str, Any] = {"axes": "TYX", "Creator": OWN_KEY}
    # OME wants an id per file; this one follows from the content's description alone.
    head["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, repr((shape, scale, units, note))))
    keys = ("TimeIncrement", "PhysicalSizeY", "PhysicalSizeX")
    for key, step, unit in zip(keys, scale, units, strict=True):
        if unit in _OME_UNITS:
            head |= {key: float(step), f"{key}Unit": _OME_UNITS[unit]}
        elif unit == SPACE_UNKNOWN and step != 1:
            head |= {key: float(step), f"{key}Unit": SPACE_UNKNOWN}
    if note:
        head["Description"] = note
    return {"metadata": head}


def check_labels_target(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Check like `check_target`, but the `labels` folder of an OME-Zarr image may be missing.

    It is made when something is written.
    """
    target = Path(path).expanduser()
    if not target.parent.is_dir() and image_around(target) is not None:
        return target
    return check_target(target, overwrite=overwrite)


def image_around(target: Path) -> Any:
    """Find the OME-Zarr image in whose `labels` folder the target lies; None if in none."""
    labels = target.resolve().parent
    if labels.name != "labels":
        return None
    try:
        # What was consolidated knows nothing of labels that were written since.
        group = zarr.open_group(str(labels.parent), mode="r+", use_consolidated=False)
    except (OSError, ValueError, KeyError):
        return None
    return group if "multiscales" in ome_attributes(group) else None


def labels_group(image: Any) -> Any:
    """Give the group of an image's labels, made if it is missing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        return image.require_group("labels")
    except OSError as err:
        where = image.store.root / "labels"
        raise OutputError(f"{where} cannot be written: {err.strerror or err}") from err


def enter_in_labels(image: Any, name: str) -> None:
    """Add a name to an image's list of labels, keeping what else is written there.

    The labels get as many levels as the image has.
    """
    labels = labels_group(image)
    match_levels(image, name)
    names = list(ome_attributes(labels).get("labels") or [])
    if name in names:
        return
    if image.metadata.zarr_format == 2:
        labels.attrs["labels"] = [*names, name]
    else:
        labels.attrs["ome"] = {"version": "0.5", **ome_attributes(labels), "labels": [*names, name]}
