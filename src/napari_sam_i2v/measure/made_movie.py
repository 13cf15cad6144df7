"""A movie of drifting discs on noise, of any length and size: something to measure speed on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_sam_i2v.propagation.prompts import Prompt

__all__ = ["clicks", "frames_of", "movie_in_memory", "write_movie"]

BACKGROUND, NOISE, BRIGHTNESS = 1000, 60, 900
LARGEST_RADIUS = 14
CHUNK = 1024
"""Side of a chunk on disk, at most."""


def clicks(side: int, objects: int) -> list[Prompt]:
    """One click on each disc on frame 0; object ids count from 1."""
    places = _places(0, side, objects)
    return [Prompt(k + 1, 0, points=np.array([place])) for k, place in enumerate(places)]


def frames_of(frames: int, side: int, objects: int) -> Iterator[NDArray[np.uint16]]:
    """Frames (side, side), one after the other.

    Discs lie on a grid, a cell of it each, and circle in it slowly; the same arguments give the
    same movie.
    """
    noise = np.random.default_rng(0).normal(BACKGROUND, NOISE, (side, side)).astype(np.uint16)
    radius = _radius(side, objects)
    for t in range(frames):
        frame = np.roll(noise, 37 * t, axis=(0, 1))
        for place in _places(t, side, objects):
            _add_disc(frame, place, radius)
        yield frame


def movie_in_memory(
    frames: int, side: int, objects: int
) -> tuple[NDArray[np.uint16], list[Prompt]]:
    """Movie (T, Y, X), and a click on each disc."""
    movie = np.empty((frames, side, side), np.uint16)
    for t, frame in enumerate(frames_of(frames, side, objects)):
        movie[t] = frame
    return movie, clicks(side, objects)


def write_movie(path: Path, frames: int, side: int, objects: int) -> Path:
    """Write a movie (T, Y, X) as OME-Zarr, a frame at a time."""
    axes = [{"name": "t", "type": "time"}, *({"name": n, "type": "space"} for n in "yx")]
    steps = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    level = {"path": "0", "coordinateTransformations": steps}
    image = {"name": path.stem, "axes": axes, "datasets": [level]}
    group = zarr.create_group(
        path, attributes={"ome": {"version": "0.5", "multiscales": [image]}}, zarr_format=3
    )
    chunk = min(side, CHUNK)
    movie = group.create_array(
        "0", shape=(frames, side, side), chunks=(1, chunk, chunk), dtype=np.uint16,
        dimension_names=("t", "y", "x"),
    )  # fmt: skip
    for t, frame in enumerate(frames_of(frames, side, objects)):
        movie[t] = frame
    return path


def _places(t: int, side: int, objects: int) -> list[tuple[float, float]]:
    """Centres (y, x) of the discs."""
    rows = int(np.ceil(np.sqrt(objects)))
    cell = side / rows
    drift = min(5.0, cell / 8)
    return [
        (
            cell * (k // rows + 0.5) + drift * float(np.sin(t / 9 + k)),
            cell * (k % rows + 0.5) + drift * float(np.cos(t / 9)),
        )
        for k in range(objects)
    ]


def _radius(side: int, objects: int) -> float:
    """Discs keep apart however many there are."""
    return min(LARGEST_RADIUS, 0.3 * side / float(np.ceil(np.sqrt(objects))))


def _add_disc(frame: NDArray[np.uint16], place: tuple[float, float], radius: float) -> None:
    cy, cx = place
    y0, x0 = (max(0, int(c - radius)) for c in place)
    part = frame[y0 : int(cy + radius) + 2, x0 : int(cx + radius) + 2]
    y, x = np.ogrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
    part[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] += BRIGHTNESS
