"""Leica LIF files; one plane is read at a time."""

from __future__ import annotations

import math
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.source import Source, chosen_scene, native_dtype, planes_reader

_UNITS = {"T": (1.0, "second"), "Z": (1e6, "micrometer"), "Y": (1e6, "micrometer")}
_UNITS["X"] = _UNITS["Y"]


def open_lif(path: Path, *, scene: int | str | None = None) -> Source:
    """Open one image of a file; only metadata is read.

    Raises
    ------
    MovieError
        If it is damaged, an image must be chosen, or the package liffile is not installed.
    """
    liffile = library("liffile", extra="lif", what=path)
    file = liffile.LifFile(path)
    try:
        images = [one for one in file.images if not one.is_flim]
        if not images:
            raise MovieError(f"{path} holds no images")
        names = tuple(str(one.path) for one in images)
        number = chosen_scene(names, scene, path)
        planes = _Planes(file, images[number], path)
    except BaseException:
        file.close()
        raise
    return Source(
        path=path,
        name=path.name if len(names) == 1 else f"{path.name} {names[number]}",
        axes=planes.axes,
        shape=planes.shape,
        dtype=native_dtype(planes.dtype, path.name),
        read=planes_reader(planes.lead, planes.read),
        pixel=planes.steps,
        scenes=names if len(names) > 1 else (),
        scene=number,
    )


class _Planes:
    """Planes of one image.

    Attributes
    ----------
    axes, shape, dtype
        Of the image.
    lead
        Lengths of the axes before those of a plane.
    steps
        Step and unit along T, Z, Y and X.
    """

    def __init__(self, file: Any, image: Any, path: Path) -> None:
        self._lock, self._frames = threading.Lock(), image.frames
        dims, inner = tuple(self._frames.dims), tuple(self._frames.frame_dims)
        if any(len(dim) > 1 for dim in dims) or not inner or dims[-len(inner) :] != inner:
            raise MovieError(f"{path} has the axes {dims}, stored by {inner}: it cannot be read")
        self.axes, self.shape = "".join(dims), tuple(self._frames.shape)
        self.lead, self._plane = self.shape[: -len(inner)], self.shape[-len(inner) :]
        self.dtype = np.dtype(image.dtype)
        self.steps = _steps(image)
        block, needed = image.memory_block, math.prod(self.shape) * self.dtype.itemsize
        there = min(int(block.size), path.stat().st_size - int(block.offset))
        if there < needed:
            raise MovieError(
                f"{path} is truncated or damaged: the image {image.path} should be {needed} bytes "
                f"long, it has {there}"
            )
        self._finalizer = weakref.finalize(self, file.close)

    def read(self, where: tuple[int, ...]) -> np.ndarray:
        """Read the plane at a place along `lead`."""
        number = int(np.ravel_multi_index(where, self.lead)) if where else 0
        with self._lock:
            return np.asarray(self._frames[number]).reshape(self._plane)


def _steps(image: Any) -> dict[str, tuple[float, str]]:
    """Give the distance of neighbours; lengths are stored in metres and seconds."""
    steps = {}
    for axis, (factor, unit) in _UNITS.items():
        places = image.coords.get(axis)
        if places is not None and len(places) > 1:
            step = abs(float(places[1] - places[0])) * factor
            if math.isfinite(step) and step > 0:
                steps[axis] = (float(f"{step:.9g}"), unit)
    return steps
