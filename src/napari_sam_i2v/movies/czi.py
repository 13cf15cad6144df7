"""Zeiss CZI files, through Zeiss' own library; one plane is read at a time."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.source import Source, chosen_scene, planes_reader

_LEAD = "TCZ"
_DTYPES = {
    "Gray8": (np.uint8, False),
    "Gray16": (np.uint16, False),
    "Gray32Float": (np.float32, False),
    "Bgr24": (np.uint8, True),
    "Bgr48": (np.uint16, True),
    "Bgr96Float": (np.float32, True),
}


def open_czi(path: Path, *, scene: int | str | None = None) -> Source:
    """Open one scene of a file at full resolution; only metadata is read.

    Raises
    ------
    MovieError
        If it is damaged, a scene must be chosen, or the package pylibCZIrw is not installed.
    """
    czi = library("pylibCZIrw.czi", extra="czi", what=path)
    with ExitStack() as stack:
        document = stack.enter_context(czi.open_czi(str(path)))
        planes = _Planes(document, path, scene)
        about = planes.about()
        planes.closes(stack.pop_all())
    colour = (3,) if planes.colour else ()
    return Source(
        path=path,
        name=path.name if len(planes.scenes) < 2 else f"{path.name} {planes.scenes[planes.scene]}",
        axes="".join(planes.lead) + "YX" + "S" * planes.colour,
        shape=(*planes.lead.values(), planes.area[3], planes.area[2], *colour),
        dtype=planes.dtype,
        read=planes_reader(tuple(planes.lead.values()), planes.read),
        channel_names=_channel_names(about),
        pixel=_steps(about),
        scenes=planes.scenes if len(planes.scenes) > 1 else (),
        scene=planes.scene,
    )


class _Planes:
    """Planes of one scene.

    Attributes
    ----------
    lead
        Lengths of the axes before Y and X.
    area
        (x, y, width, height) of the scene.
    scenes, scene
        Names of the file's scenes, and which this is.
    dtype, colour
        Of the first channel.
    """

    def __init__(self, document: Any, path: Path, scene: int | str | None) -> None:
        self._document, self._lock = document, threading.Lock()
        box = document.total_bounding_box_no_pyramid
        self._start = {a: first for a, (first, _) in box.items() if a not in "XY"}
        extent = {a: stop - first for a, (first, stop) in box.items()}
        self.lead = {a: extent[a] for a in _LEAD if a in extent}
        self.lead |= {a: n for a, n in extent.items() if a not in "XYTCZ" and n > 1}
        self._rest = {a: 0 for a in extent if a not in self.lead and a not in "XYB"}
        areas = document.scenes_bounding_rectangle_no_pyramid
        self.scenes = tuple(f"scene {number}" for number in areas) or ("scene 0",)
        self.scene = chosen_scene(self.scenes, scene, path)
        self._number = list(areas)[self.scene] if areas else None
        area = areas[self._number] if areas else document.total_bounding_rectangle_no_pyramid
        self.area = (int(area.x), int(area.y), int(area.w), int(area.h))
        kind = document.get_channel_pixel_type(self._start.get("C", 0))
        if kind not in _DTYPES:
            raise MovieError(f"{path} has pixels of the kind {kind}, which cannot be read")
        number, self.colour = _DTYPES[kind]
        self.dtype = np.dtype(number)

    def about(self) -> Mapping[str, Any]:
        """Give the file's metadata."""
        image = self._document.metadata.get("ImageDocument") or {}
        return image.get("Metadata") or {}

    def closes(self, stack: ExitStack) -> None:
        """Close the file when these planes are no longer used."""
        self._finalizer = weakref.finalize(self, stack.close)

    def read(self, where: tuple[int, ...]) -> np.ndarray:
        """Read the plane at a place along `lead`: (Y, X), or (Y, X, 3) as RGB."""
        at = dict(zip(self.lead, where, strict=True)) | self._rest
        plane = {axis: index + self._start.get(axis, 0) for axis, index in at.items()}
        with self._lock:
            pixels = self._document.read(roi=self.area, plane=plane, scene=self._number)
        return pixels[..., ::-1] if self.colour else pixels[..., 0]


def _steps(about: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Give the pixel size, which is stored in metres, and the interval of an even time series."""
    found = {}
    for one in _listed(_at(about, "Scaling", "Items", "Distance")):
        step = _positive(one.get("Value"))
        if step and one.get("@Id") in ("X", "Y", "Z"):
            found[one["@Id"]] = (float(f"{step * 1e6:.9g}"), "micrometer")
    times = _at(about, "Information", "Image", "Dimensions", "T", "Positions", "Interval")
    if isinstance(times, Mapping) and (step := _positive(times.get("Increment"))):
        found["T"] = (step, "second")
    return found


def _channel_names(about: Mapping[str, Any]) -> tuple[str, ...]:
    channels = _listed(_at(about, "Information", "Image", "Dimensions", "Channels", "Channel"))
    names = tuple(str(one.get("@Name") or "") for one in channels)
    return names if any(names) else ()


def _at(about: Any, *keys: str) -> Any:
    for key in keys:
        about = about.get(key) if isinstance(about, Mapping) else None
    return about


def _listed(value: Any) -> list[Mapping[str, Any]]:
    """Give what XML holds once or several times as a list."""
    several = value if isinstance(value, list) else [value]
    return [one for one in several if isinstance(one, Mapping)]


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
