"""Where sessions lie, and which of them is a movie's own."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.session_folder.record import SESSION, as_json, misfit, read_content

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SUFFIX = ".sam-i2v"
_DOUBLE_ENDINGS = (".ome.tif", ".ome.tiff", ".ome.btf", ".ome.zarr", ".nii.gz")
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def fingerprint(frame: ArrayLike) -> str:
    """Short text that tells the pixels of one frame from those of any other.

    Movies of one shape are common (fields of one well, layers that are all called "Image"): take
    the first frame, as it is stored.
    """
    pixels = np.ascontiguousarray(frame)
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype.str}".encode(), digest_size=16)
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def folder_beside(
    source: str | os.PathLike[str] | None, name: str, *, private: bool = False
) -> Path:
    """Where a movie's session goes by default; nothing is made.

    Parameters
    ----------
    source
        The movie's file or folder, if it has one; may lie inside a zarr.
    name
        What the movie is called.
    private
        Name the folder after that, and not after the file: its name may be a patient's.

    Returns
    -------
    Path
        ``<movie without its ending>.sam-i2v`` beside the movie (beside the outermost zarr, never
        inside), if that can be written; else a folder of this name in the user's data directory.
        It may exist, and belong to another movie: see `folder_for`.
    """
    if source is None or "://" in str(source):
        return _in_user_data(name)
    path = Path(source).expanduser().absolute()
    if not path.exists():
        return _in_user_data(name)
    outer = _outermost_zarr(path) or path
    stem = _file_name(name) if private else _stem_within(outer, path)
    beside = outer.with_name(stem + SUFFIX)
    if _can_write(beside if beside.is_dir() else beside.parent):
        return beside
    return _in_user_data(stem)


def folder_in(
    parent: str | os.PathLike[str], source: str | os.PathLike[str] | None, name: str
) -> Path:
    """Where a movie's session goes in a folder of sessions; nothing is made.

    Parameters
    ----------
    parent
        The folder of all movies' sessions; ``~`` is the user's home.
    source, name
        The movie's, as for `folder_beside`: the session's name is the same.
    """
    home = Path(parent).expanduser().absolute()
    if source is not None and "://" not in str(source):
        path = Path(source).expanduser().absolute()
        if path.exists():
            return home / (_stem_within(_outermost_zarr(path) or path, path) + SUFFIX)
    return home / (_file_name(name) + SUFFIX)


def free_folder(path: str | os.PathLike[str]) -> Path:
    """Give `path`, or else the first of "path 2", "path 3", ... that does not exist yet."""
    return next(one for one in _numbered(Path(path)) if not os.path.lexists(one))


def folder_for(path: str | os.PathLike[str], movie: Mapping[str, Any]) -> Path:
    """Give the first of "path", "path 2", ... that belongs to the movie, or does not exist yet.

    So a movie finds its own session again where several have the same name.

    Raises
    ------
    InputError
        If a session that comes first is damaged or of another version, so that it cannot be told
        whose it is.
    """
    facts = as_json(movie, "movie")
    for folder in _numbered(Path(path)):
        if not os.path.lexists(folder):
            return folder
        own = read_content(folder)["movie"] if (folder / SESSION).is_file() else None
        if own is not None and not misfit(folder, own, facts):
            return folder
    raise AssertionError("the numbers never end")


def _numbered(path: Path) -> Iterator[Path]:
    stem, suffix = path.name, ""
    if stem.endswith(SUFFIX):
        stem, suffix = stem.removesuffix(SUFFIX), SUFFIX
    yield path
    for number in count(2):
        yield path.with_name(f"{stem} {number}{suffix}")


def _stem(path: Path) -> str:
    """Name of a movie without its ending; a folder's name has one only if it is a zarr."""
    for ending in _DOUBLE_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)] or path.name
    if path.is_dir() and path.suffix.lower() not in (".zarr", ".n5"):
        return path.name
    return path.stem


def _stem_within(outer: Path, path: Path) -> str:
    """Name of a movie at `path`, which may lie inside a zarr, `outer`."""
    return "-".join((_stem(outer), *path.relative_to(outer).parts))


def _outermost_zarr(path: Path) -> Path | None:
    zarrs = [
        one
        for one in (path, *path.parents)
        if one.suffix.lower() == ".zarr" or any((one / name).is_file() for name in _ZARR_FILES)
    ]
    return zarrs[-1] if zarrs else None


def _in_user_data(name: str) -> Path:
    import platformdirs  # napari brings it

    folder = platformdirs.user_data_path("napari-sam-i2v", appauthor=False) / "sessions"
    return folder / (_file_name(name) + SUFFIX)


def _file_name(name: str) -> str:
    """Turn what a movie is called into what a file may be called."""
    allowed = "".join("_" if c in '<>:"/\\|?*' or ord(c) < 32 else c for c in name)
    return allowed.strip(" .")[:100] or "movie"


def _can_write(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
