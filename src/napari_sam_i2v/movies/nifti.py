"""NIfTI: volumes over time, read a plane at a time.

Arrays are stored (x, y, z, t): rows of a frame are y, columns x. Nothing is turned or mirrored.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.source import Index, Source, native_dtype
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, unit_name

_AXES = "XYZTC"
_MAX_DEFLATED = 1032  # no deflate stream is shorter than its content by more


def open_nifti(path: Path) -> Source:
    """Open a .nii, .nii.gz or .hdr with its .img; only the header is read.

    Values are scaled as the header says, to float32; unscaled ones stay as they are stored.

    Raises
    ------
    MovieError
        If it is damaged, or nibabel is not installed.
    """
    nibabel = library("nibabel", extra="nifti", what=path)
    try:
        image = nibabel.load(path, mmap=False)  # a file cut short would end the program
        stored = image.get_data_dtype()
        steps = _steps(image.header)
    except Exception as err:  # nibabel raises many kinds for broken headers
        raise MovieError(f"{path} is truncated or damaged: {type(err).__name__}: {err}") from err
    shape = tuple(int(n) for n in image.shape)
    if not 2 <= len(shape) <= len(_AXES) or min(shape) < 0:
        raise MovieError(f"{path} has the shape {shape}; (X, Y), with Z, T and C, can be read")
    _check_length(path, image, shape, stored)
    data, colours = image.dataobj, stored.names
    scaled = (float(data.slope), float(data.inter)) not in ((1.0, 0.0),)
    number = np.dtype(np.float32) if scaled else stored
    axes = _AXES[: len(shape)] + ("S" if colours else "")

    def read(index: Index) -> np.ndarray:
        at = tuple(slice(None) if i is None else i for i in index)
        if colours:
            pixels = np.asarray(data[at[:-1]])
            return np.stack([pixels[one] for one in colours], axis=-1)[..., at[-1]]
        return np.asarray(data[at], dtype=number)

    return Source(
        path=path,
        name=path.name,
        axes=axes,
        shape=(*shape, len(colours)) if colours else shape,
        dtype=native_dtype(stored[0] if colours else number, path.name),
        read=read,
        pixel={axis: step for axis, step in steps.items() if axis in axes},
    )


def _check_length(path: Path, image: Any, shape: tuple[int, ...], stored: np.dtype) -> None:
    """See whether all voxels can be in the file, without reading them."""
    pixels = Path(image.file_map["image"].filename or path)
    if not pixels.is_file():
        raise MovieError(f"{path} is incomplete: its pixels {pixels} are missing")
    needed = int(image.dataobj.offset) + math.prod(shape) * stored.itemsize
    size = pixels.stat().st_size
    packed = pixels.suffix.lower() in (".gz", ".bz2", ".zst")
    if needed > size * (_MAX_DEFLATED if packed else 1):
        raise MovieError(
            f"{path} is truncated or damaged: {needed} bytes are announced, the file has {size}"
        )
    if pixels.suffix.lower() == ".gz":
        _check_gzip_length(path, pixels, needed)


def _check_gzip_length(path: Path, pixels: Path, needed: int) -> None:
    """Compare the length that a gzip file's last bytes tell (modulo 4 GiB)."""
    with pixels.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise MovieError(f"{path} is truncated or damaged: it is no gzip file")
        file.seek(-4, 2)
        told = int.from_bytes(file.read(4), "little")
    if told < needed % 2**32 and needed < 2**32:
        with gzip.open(pixels) as stream:  # several parts tell the last one's length only
            stream.seek(needed - 1)
            if stream.read(1):
                return
        raise MovieError(
            f"{path} is truncated or damaged: {needed} bytes are announced, {told} are packed in it"
        )


def _steps(header: Any) -> dict[str, tuple[float, str]]:
    """Give the voxel size, and the time between volumes, as far as the header tells.

    A step of 1 without a unit is what programs write that know nothing.
    """
    space, time = (unit_name(name) for name in _units(header))
    steps = {}
    for axis, step in zip(_AXES[:4], header.get_zooms(), strict=False):
        unit = time if axis == "T" else space
        known = math.isfinite(step) and step > 0 and (unit or (axis != "T" and step != 1))
        if known:
            steps[axis] = (float(f"{step:.6g}"), unit or SPACE_UNKNOWN)
    return steps


def _units(header: Any) -> tuple[str, str]:
    """Give the spellings of the header's units: mm, micron, meter; sec, msec, usec."""
    space, time = header.get_xyzt_units()
    spelled = {"sec": "s", "msec": "ms", "usec": "us"}
    return space, spelled.get(time, "")
