"""Label images of a user's own movies, read one frame at a time, with the same ids in all frames.

Everything here holds paths alone until a frame is asked for, so that it can be sent to the worker
process that makes training's batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies import open_movie

__all__ = ["CellTrackingTruth", "PictureTruth", "StackTruth", "Truth", "same_identities"]

Labels = NDArray[np.integer[Any]]


class Truth(Protocol):
    """Where the objects of a movie are."""

    @property
    def path(self) -> Path:
        """Where it lies, for messages."""

    def read(self, t: int) -> tuple[Labels, frozenset[int]]:
        """Return labels (Y, X) of frame `t`, and the objects on it that were not outlined."""


@dataclass(frozen=True)
class StackTruth:
    """A TIFF (T, Y, X) of object ids."""

    path: Path

    def read(self, t: int) -> tuple[Labels, frozenset[int]]:
        """Return labels (Y, X) and nothing that is unclear."""
        return _integers(open_movie(self.path)[t], self.path), frozenset()


@dataclass(frozen=True)
class PictureTruth:
    """One picture per frame whose palette index, or grey value, is the object id (DAVIS)."""

    path: Path
    files: tuple[Path, ...]

    def read(self, t: int) -> tuple[Labels, frozenset[int]]:
        """Return labels (Y, X) and nothing that is unclear."""
        return _picture(self.files[t]), frozenset()


@dataclass(frozen=True)
class CellTrackingTruth:
    """Masks and tracking markers of the Cell Tracking Challenge.

    Attributes
    ----------
    path
        Folder of the truth, `01_GT`.
    masks
        Frame -> segmentation: `SEG/man_seg*.tif` of `01_GT`, or of `01_ST` if that has more.
    markers
        Frame -> `TRA/man_track*.tif`; used as masks where there is no segmentation at all.
    """

    path: Path
    masks: dict[int, Path]
    markers: dict[int, Path]

    def read(self, t: int) -> tuple[Labels, frozenset[int]]:
        """Return labels (Y, X), and the tracked objects that were not outlined on frame `t`."""
        if not self.masks:
            return _plane(self.markers[t]), frozenset()
        masks = _plane(self.masks[t])
        if t not in self.markers:
            return masks, frozenset()
        markers = _plane(self.markers[t])
        if markers.shape != masks.shape:
            raise InputError(
                f"{self.masks[t]} has shape {masks.shape}, {self.markers[t]} {markers.shape}: the "
                "masks and markers of a frame must have one shape."
            )
        labels = same_identities(masks, markers)
        tracked = set(np.unique(markers).tolist()) - {0}
        return labels, frozenset(tracked - set(np.unique(labels).tolist()))


def same_identities(masks: Labels, markers: Labels) -> Labels:
    """Give each mask the id of the marker that it overlaps most, both (Y, X).

    Masks without a marker have no identity and are left out; of two masks of one marker, the one
    with the larger overlap stays.
    """
    both = (masks > 0) & (markers > 0)
    pairs, counts = np.unique(np.stack((masks[both], markers[both])), axis=1, return_counts=True)
    table = np.zeros(int(masks.max(initial=0)) + 1, markers.dtype)
    matched: set[int] = set()
    for i in np.argsort(-counts, kind="stable"):
        mask, marker = (int(one) for one in pairs[:, i])
        if not table[mask] and mask not in matched:
            matched.add(mask)  # its best marker, whether or not that is still free
            table[mask] = 0 if (table == marker).any() else marker
    return table[masks]


def _plane(path: Path) -> Labels:
    movie = open_movie(path)
    if len(movie) != 1:
        raise InputError(
            f"{path} holds {len(movie)} planes: one plane (Y, X) per file is required. Movies "
            "with depth cannot be used; save one plane of each frame."
        )
    return _integers(movie[0], path)


def _picture(path: Path) -> Labels:
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
    except OSError as error:
        raise InputError(f"{path} is no picture, truncated or damaged: {error}.") from None
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    return _integers(pixels, path)


def _integers(plane: NDArray[Any], path: Path) -> Labels:
    if plane.ndim != 2 or not np.issubdtype(plane.dtype, np.integer) or plane.min(initial=0) < 0:
        raise InputError(
            f"{path}: labels must be whole numbers from 0 up, (Y, X) on each frame; got "
            f"{plane.dtype} of shape {plane.shape}. A palette PNG holds ids as palette indices; "
            "pictures in colour do not."
        )
    return plane
