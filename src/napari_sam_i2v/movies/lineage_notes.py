"""Divisions inside the files of labels that we write, and in those of others."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sam_i2v.movies.ctc import read_track_file
from napari_sam_i2v.movies.lineage import Lineage
from napari_sam_i2v.movies.output import TRACK_FILE

__all__ = ["has_tracks", "lineage_note", "read_lineage"]

_KEY = "lineage"


def lineage_note(lineage: Lineage) -> dict[str, Any]:
    """Give divisions as metadata for `save_tiff` and `save_ome_zarr`; empty where there are none.

    >>> lineage_note({5: (3, 12)})
    {'lineage': {'5': [3, 12]}}
    """
    return {_KEY: {str(d): list(origin) for d, origin in lineage.items()}} if lineage else {}


def read_lineage(path: str | os.PathLike[str]) -> dict[int, tuple[int, int]]:
    """Find the divisions that are noted with labels: ours, or of the Cell Tracking Challenge.

    Parameters
    ----------
    path
        A TIFF or OME-Zarr of labels, a folder of masks with ``res_track.txt`` or
        ``man_track.txt``, or such a text file itself.

    Returns
    -------
    dict
        Daughter -> (parent, frame); empty where nothing is noted.

    Raises
    ------
    InputError
        If a text file is no track file.
    """
    where = Path(path).expanduser()
    if (text := _track_file(where)) is not None:
        return read_track_file(text)
    return _from_note(_zarr_note(where) if where.is_dir() else _tiff_note(where))


def has_tracks(path: str | os.PathLike[str]) -> bool:
    """Whether a path, or the folder there, is a text of tracks that lists any."""
    text = _track_file(Path(path).expanduser())
    return text is not None and bool(text.read_text(encoding="utf-8-sig").strip())


def _track_file(where: Path) -> Path | None:
    """Find the text of tracks that a path is, or that lies in the folder there."""
    if where.is_dir():
        inside = (where / name for name in (TRACK_FILE, "man_track.txt"))
        return next((text for text in inside if text.is_file()), None)
    return where if where.suffix.lower() == ".txt" else None


def _from_note(note: Any) -> dict[int, tuple[int, int]]:
    """Divisions of a note; a note of another kind says nothing about them."""
    try:
        return {int(d): (int(p), int(frame)) for d, (p, frame) in note[_KEY].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _zarr_note(folder: Path) -> Any:
    from napari_sam_i2v.errors import InputError
    from napari_sam_i2v.movies.labels import LabelStore

    try:
        return LabelStore.open(folder, mode="r").metadata
    except InputError:
        return None  # not ours


def _tiff_note(path: Path) -> Any:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            ours: Mapping[str, Any] = tif.imagej_metadata or {}
            text = ours.get("Info") or _ome_description(tif.ome_metadata)
        return json.loads(text or "null")
    except (OSError, ValueError, TypeError, SyntaxError, tifffile.TiffFileError):
        return None  # no TIFF, or none of ours


def _ome_description(xml: str | None) -> str | None:
    from xml.etree import ElementTree

    if xml is None:
        return None
    return ElementTree.fromstring(xml).findtext(".//{*}Description")
