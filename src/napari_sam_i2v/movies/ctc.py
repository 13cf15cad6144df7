"""Labels and lineage in the layout of the Cell Tracking Challenge, which its tools read.

A folder with a mask per frame, ``mask000.tif``, and ``res_track.txt`` with a line ``L B E P`` per
track: label, first frame, last frame, and the track that it goes on from, 0 for none. A track is
unbroken there, so an object that comes back is a new track that goes on from its first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.export import fitting_dtype, planes_of, shape_of
from napari_sam_i2v.movies.lineage import Lineage, Stretch, stretches_of
from napari_sam_i2v.movies.output import (
    OWN_KEY,
    TRACK_FILE,
    check_target,
    remove_own,
    renamed_when_whole,
)

__all__ = ["presence_of", "read_track_file", "save_ctc", "write_masks"]


def save_ctc(
    labels: Any,
    path: str | os.PathLike[str],
    *,
    lineage: Lineage | None = None,
    overwrite: bool = False,
) -> Path:
    """Write labels (T, Y, X) as a result folder of the Cell Tracking Challenge.

    One frame is held at a time; the labels are looked through twice. The masks are relabelled
    where an object is absent for a while: see `stretches_of`.

    Parameters
    ----------
    labels
        Anything with `shape` and ``labels[t]`` -> (Y, X) integers.
    path
        The folder to make; its parent must exist.
    lineage
        Divisions.
    overwrite
        Whether an older result of ours may be replaced. Nothing else ever is.

    Raises
    ------
    InputError
        If the labels are not (T, Y, X) integers, or have more than 65,535 tracks.
    OutputError
        If something is there already, or the folder cannot be written.
    """
    target = check_target(path, overwrite=overwrite)
    tracks = stretches_of(presence_of(labels), lineage)
    with renamed_when_whole(target) as part:
        part.mkdir()
        write_masks(labels, part / "mask", tracks)
        (part / TRACK_FILE).write_text(track_table(tracks), encoding="ascii", newline="\n")
        remove_own(target)
    return target


def presence_of(labels: Any) -> dict[int, list[int]]:
    """Find the frames on which each object is, reading one frame at a time.

    Raises
    ------
    InputError
        If the labels are not (T, Y, X) integers from 0 up.
    """
    found: dict[int, list[int]] = {}
    dtype = fitting_dtype(labels)
    for t, plane in enumerate(planes_of(labels, dtype)):
        for one in np.unique(plane).tolist():
            if one:
                found.setdefault(one, []).append(t)
    return found


def write_masks(
    labels: Any,
    stem: Path,
    tracks: Sequence[Stretch],
    *,
    frames: Sequence[int] | None = None,
) -> None:
    """Write a uint16 TIFF per frame, STEM000.tif, with pixels of objects as those of tracks.

    Pixels of objects that are in no track there become background.

    Parameters
    ----------
    labels
        (T, Y, X).
    stem
        Beginning of the files' paths.
    tracks
        From `stretches_of`.
    frames
        Only these.
    """
    count = shape_of(labels)[0]
    digits = max(3, len(str(count - 1)))
    for t in range(count) if frames is None else frames:
        here = {one.object_id: one.track_id for one in tracks if one.first <= t <= one.last}
        tifffile.imwrite(
            stem.with_name(f"{stem.name}{t:0{digits}d}.tif"),
            _renumbered(np.asarray(labels[t]), here),
            photometric="minisblack",
            compression="zlib",
            metadata=None,
            software=OWN_KEY,
        )


def track_table(tracks: Sequence[Stretch]) -> str:
    """Write a line ``L B E P`` per track."""
    return "".join(f"{one.track_id} {one.first} {one.last} {one.parent_id}\n" for one in tracks)


def read_track_file(path: str | os.PathLike[str]) -> dict[int, tuple[int, int]]:
    """Read the divisions in a ``res_track.txt`` or ``man_track.txt``.

    Returns
    -------
    dict
        Track -> (the track it goes on from, its first frame), of those that go on from one: the
        lineage of labels whose ids are those of the tracks.

    Raises
    ------
    InputError
        If it is no such file.
    """
    found = {}
    try:
        rows = Path(path).read_text(encoding="utf-8-sig").splitlines()
        for row in filter(str.strip, rows):
            track, first, _, parent = (int(word) for word in row.split())
            if parent:
                found[track] = (parent, first)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} must hold a line of four whole numbers per track (label, first frame, last "
            f"frame, parent), as in man_track.txt: {error}"
        ) from error
    return found


def _renumbered(plane: NDArray[Any], numbers: dict[int, int]) -> NDArray[np.uint16]:
    ids = np.unique(plane)
    new = np.array([numbers.get(int(one), 0) for one in ids], np.uint16)
    return new[np.searchsorted(ids, plane)]
