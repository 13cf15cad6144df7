"""Parts of a user's own movies, small enough to be kept: which part depends on a number alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies import Movie
from napari_sam_i2v.movies.labelled import OwnMovie, check_shape, find_movies
from napari_sam_i2v.propagation.frames import Contrast, estimate_contrast
from napari_sam_i2v.propagation.view import View, bounding_box, box_size, window
from napari_sam_i2v.training.samples import MIN_PIXELS, Movie8

__all__ = ["OwnMovies"]

MARGIN = 2.5
"""A part is at least this many times as large as the object around which it is cut."""
LONGEST, LARGEST = 16, 512
"""Frames and pixels a side of a part, at most."""
TRIES = 60
"""Draws before a set of movies is said to show nothing."""
OPEN_AT_ONCE = 8


class OwnMovies:
    """Parts of the movies in some folders.

    Parameters
    ----------
    folders
        See `napari_sam_i2v.movies.labelled`.
    seed
        With a number, decides what is drawn.
    frames, size
        Of a part, at most; larger objects are shown at a reduced size.
    least
        Movies with fewer annotated frames in a row are left out: 2 to train tracking.

    Raises
    ------
    InputError
        If the folders hold no movie of use.
    """

    def __init__(
        self, folders: Sequence[str | Path], *, seed: int, frames: int, size: int, least: int = 1
    ) -> None:
        self.seed, self.least = seed, least
        self.frames, self.size = min(frames, LONGEST), min(size, LARGEST)
        found = find_movies(folders)
        self.movies = [movie for movie in found if movie.longest >= least]
        if not self.movies:
            raise InputError(
                f"Tracking needs movies with at least {least} annotated frames whose objects keep "
                f"their ids; the {len(found)} in {', '.join(map(str, folders))} have fewer. Train "
                "the image step alone ([video] steps = 0), or add annotated frames."
            )
        self._opened: OrderedDict[int, tuple[Movie, Contrast | None]] = OrderedDict()

    def draw(self, number: int) -> Movie8:
        """Cut part `number` out of a movie: a few annotated frames around an object.

        Raises
        ------
        InputError
            If no object is found in many draws.
        """
        rng = np.random.default_rng((self.seed, number, 2))
        for _ in range(TRIES):
            part = self._try(rng)
            if part is not None:
                return part
        raise InputError(
            f"No object of at least {MIN_PIXELS} pixels was found in {TRIES} parts of "
            f"{', '.join(movie.name for movie in self.movies[:5])}: check the labels."
        )

    def _try(self, rng: np.random.Generator) -> Movie8 | None:
        which = int(rng.integers(len(self.movies)))
        movie = self.movies[which]
        steps = self._steps(movie, rng)
        frames, contrast = self._open(which)
        labels = _clear_labels(movie, steps, frames.shape[1:3])
        around = labels[int(rng.integers(len(steps)))]
        ids, counts = np.unique(around, return_counts=True)
        ids = ids[(ids > 0) & (counts >= MIN_PIXELS)]
        if not len(ids):
            return None
        view = self._view(around == rng.choice(ids), rng)
        cut = np.stack([_reduced(plane[view.slices], self.size, labels=True) for plane in labels])
        if np.unique(cut[cut > 0], return_counts=True)[1].max(initial=0) < MIN_PIXELS:
            return None
        planes = [frames[t][view.slices] for t in steps]
        if contrast is not None:
            planes = [contrast.as_bytes(plane) for plane in planes]
        return Movie8(np.stack([_reduced(plane, self.size) for plane in planes]), _compact(cut))

    def _steps(self, movie: OwnMovie, rng: np.random.Generator) -> tuple[int, ...]:
        """Annotated frames in a row, of one run that is long enough."""
        runs = [run for run in movie.runs if len(run) >= self.least]
        run = runs[int(rng.integers(len(runs)))]
        length = min(self.frames, len(run))
        start = int(rng.integers(len(run) - length + 1))
        return run[start : start + length]

    def _view(self, mask: NDArray[np.bool_], rng: np.random.Generator) -> View:
        """Where to cut: around an object, which lies anywhere in the middle half."""
        box = bounding_box(mask)
        if box is None:
            raise ValueError("A part is cut around an object.")
        side = max(float(self.size), MARGIN * box_size(box))
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        return window(centre + rng.uniform(-0.25, 0.25, 2) * side, side, mask.shape)

    def _open(self, which: int) -> tuple[Movie, Contrast | None]:
        """Frames of a movie, and the contrast that a session would give all of it."""
        if which not in self._opened:
            frames = self.movies[which].open()
            self._opened[which] = frames, estimate_contrast(frames)
            if len(self._opened) > OPEN_AT_ONCE:
                self._opened.popitem(last=False)
        return self._opened[which]

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind when sent to a worker process."""
        return self.__dict__ | {"_opened": OrderedDict()}


def _clear_labels(movie: OwnMovie, steps: Sequence[int], shape: tuple[int, ...]) -> NDArray[Any]:
    """Labels (T, Y, X), without the objects that were not outlined on all frames they are on."""
    planes, unclear = zip(*(movie.truth.read(t) for t in steps), strict=True)
    for t, plane in zip(steps, planes, strict=True):
        check_shape(movie, shape, plane.shape, movie.truth.path, on=f" on frame {t}")
    labels = np.stack(planes)
    doubtful = frozenset().union(*unclear)
    if doubtful:
        labels = np.where(np.isin(labels, list(doubtful)), 0, labels)
    return labels


def _reduced(plane: NDArray[Any], size: int, *, labels: bool = False) -> NDArray[Any]:
    """Scale down to at most `size` pixels a side."""
    factor = size / max(plane.shape[:2])
    if factor >= 1:
        return plane
    rows, columns = (max(1, round(extent * factor)) for extent in plane.shape[:2])
    if labels:
        y = ((np.arange(rows) + 0.5) * plane.shape[0] / rows).astype(int)
        x = ((np.arange(columns) + 0.5) * plane.shape[1] / columns).astype(int)
        return plane[np.ix_(y, x)]
    return np.asarray(Image.fromarray(plane).resize((columns, rows), Image.Resampling.BOX))


def _compact(labels: NDArray[Any]) -> NDArray[Any]:
    """Number objects from 1 in as few bits as they need."""
    ids = np.unique(labels)
    if ids[0]:
        ids = np.concatenate(([0], ids))
    kind = np.uint8 if len(ids) <= 256 else np.uint32
    return np.searchsorted(ids, labels).astype(kind)
