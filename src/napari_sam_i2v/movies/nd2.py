"""Nikon ND2 files; one picture of all channels is read at a time."""

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

_POSITION = "P"


def open_nd2(path: Path, *, scene: int | str | None = None) -> Source:
    """Open one position of a file; only metadata is read.

    Raises
    ------
    MovieError
        If it is damaged, a position must be chosen, or the package nd2 is not installed.
    """
    nd2 = library("nd2", extra="nd2", what=path)
    file = nd2.ND2File(path)
    try:
        return _source(path, file, scene)
    except BaseException:
        file.close()
        raise


def _source(path: Path, file: Any, scene: int | str | None) -> Source:
    sizes = dict(file.sizes)
    lead = {axis: n for axis, n in sizes.items() if axis not in "CYXS"}
    frame = {axis: n for axis, n in sizes.items() if axis in "CYXS"}
    taken = _taken(path, lead, int(file.attributes.sequenceCount))
    names = _position_names(file, taken.get(_POSITION, 1))
    position = chosen_scene(names, scene, path)
    pictures = _Pictures(file, taken, tuple(frame.values()), position)
    rest = {axis: n for axis, n in taken.items() if axis != _POSITION}
    return Source(
        path=path,
        name=path.name if len(names) == 1 else f"{path.name} {names[position]}",
        axes="".join([*rest, *frame]),
        shape=(*rest.values(), *frame.values()),
        dtype=native_dtype(file.dtype, path.name),
        read=planes_reader(tuple(rest.values()), pictures.read),
        channel_names=tuple(one.channel.name for one in file.metadata.channels or ()),
        pixel=_steps(file),
        scenes=names if len(names) > 1 else (),
        scene=position,
    )


class _Pictures:
    """Pictures of one position, by their place along the other axes."""

    def __init__(
        self, file: Any, lead: dict[str, int], shape: tuple[int, ...], position: int
    ) -> None:
        self._file, self._lock = file, threading.Lock()
        self._finalizer = weakref.finalize(self, file.close)
        self._lead, self._shape, self._position = lead, shape, position

    def read(self, where: tuple[int, ...]) -> np.ndarray:
        """Read all channels at a place."""
        others = iter(where)
        at = [self._position if axis == _POSITION else next(others) for axis in self._lead]
        number = int(np.ravel_multi_index(at, tuple(self._lead.values()))) if at else 0
        with self._lock:  # a copy: what the library gives is a view of the mapped file
            return np.array(self._file.read_frame(number)).reshape(self._shape)


def _taken(path: Path, lead: dict[str, int], pictures: int) -> dict[str, int]:
    """Give the axes' lengths as far as pictures were taken: the last round may be missing."""
    planned = math.prod(lead.values())
    if pictures >= planned or not lead:
        return lead
    first, *inner = lead.items()
    rounds = pictures // math.prod(n for _, n in inner)
    if rounds == 0:
        raise MovieError(f"{path} holds {pictures} of {planned} pictures, which make no movie")
    return {first[0]: rounds, **dict(inner)}


def _position_names(file: Any, n: int) -> tuple[str, ...]:
    """Name the positions as the microscope did, else by number."""
    points: list[Any] = []
    for loop in file.experiment:
        if loop.type == "XYPosLoop":
            points = list(loop.parameters.points)
    known = [getattr(one, "name", None) for one in points[:n]] + [None] * (n - len(points))
    return tuple(name or f"position {i}" for i, name in enumerate(known))


def _steps(file: Any) -> dict[str, tuple[float, str]]:
    voxel = file.voxel_size()
    steps = {
        axis: (float(step), "micrometer")
        for axis, step in (("Z", voxel.z), ("Y", voxel.y), ("X", voxel.x))
        if math.isfinite(step) and step > 0
    }
    for loop in file.experiment:
        period = getattr(loop.parameters, "periodMs", 0.0) or 0.0
        if loop.type == "TimeLoop" and period > 0:
            steps["T"] = (period / 1000, "second")
    return steps
