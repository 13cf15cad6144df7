"""A movie as a folder of pictures, one file per frame; and a single picture."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.source import Index, Source

_KINDS = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
# What a Pillow mode becomes: (mode to convert to, dtype of the pixels, has colours).
_MODES = {
    "1": ("L", np.uint8, False),
    "L": ("L", np.uint8, False),
    "LA": ("L", np.uint8, False),
    "I;16": ("I;16", np.uint16, False),
    "I;16B": ("I;16B", np.uint16, False),
    "I": ("I", np.int32, False),
    "F": ("F", np.float32, False),
}


def frame_files(folder: Path) -> list[Path]:
    """List the pictures of a folder in the order of their numbers (2 before 10), then names.

    Hidden files and files that are no pictures are passed over.

    Raises
    ------
    MovieError
        If there are none, or of several kinds.
    """
    try:
        entries = list(folder.iterdir())
    except OSError as err:
        raise MovieError(f"{folder} cannot be read: {err.strerror or err}") from err
    files = [
        one
        for one in entries
        if one.suffix.lower() in _KINDS and not one.name.startswith(".") and one.is_file()
    ]
    if not files:
        raise MovieError(
            f"{folder} is no movie: a folder must be an OME-Zarr, or hold one TIFF, PNG or JPEG "
            f"per frame{_inside(entries)}"
        )
    kinds = sorted({_KINDS[one.suffix.lower()] for one in files})
    if len(kinds) > 1:
        raise MovieError(
            f"{folder} holds pictures of several kinds ({', '.join(kinds)}): keep one kind"
        )
    return sorted(files, key=lambda one: (natural_key(one.stem), one.name))


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Give a sorting key in which runs of digits count as numbers.

    >>> sorted(["t10", "t2"], key=natural_key)
    ['t2', 't10']
    """
    parts = re.split(r"(\d+)", text)
    return tuple((int(part), "") if i % 2 else (-1, part) for i, part in enumerate(parts))


def open_sequence(folder: Path) -> Source:
    """Open a folder of pictures; only the first one's header is read.

    Raises
    ------
    MovieError
        If the folder holds no pictures, or several kinds of them.
    """
    files = frame_files(folder)
    first = _open_file(files[0])
    if "T" in first.axes:
        raise MovieError(
            f"{files[0]} holds {first.sizes['T']} frames; in a folder each file must hold one: "
            "open that file itself"
        )
    frames = _Frames(files, first)
    return replace(
        first,
        path=folder,
        name=folder.resolve().name,
        axes="T" + first.axes,
        shape=(len(files), *first.shape),
        read=frames.read,
    )


def open_picture(path: Path) -> Source:
    """Open one PNG or JPEG; only its header is read. Colours come from palettes too.

    Raises
    ------
    MovieError
        If it is broken.
    """
    try:
        with Image.open(path) as picture:
            (width, height), mode = picture.size, picture.mode
    except Exception as err:  # Pillow raises many kinds for broken pictures
        raise MovieError(f"{path} is no picture, truncated or damaged: {err}") from err
    target, dtype, colour = _MODES.get(mode, ("RGB", np.uint8, True))

    def read(index: Index) -> np.ndarray:
        with Image.open(path) as picture:
            pixels = np.asarray(picture if picture.mode == target else picture.convert(target))
        return pixels[tuple(slice(None) if i is None else i for i in index)]

    axes, shape = ("YXS", (height, width, 3)) if colour else ("YX", (height, width))
    return Source(
        path=path, name=path.name, axes=axes, shape=shape, dtype=np.dtype(dtype), read=read
    )


class _Frames:
    """The files of a folder as one array whose first axis counts the files."""

    def __init__(self, files: list[Path], first: Source) -> None:
        self._files, self._first = files, first

    def read(self, index: Index) -> np.ndarray:
        number, rest = index[0], index[1:]
        if number is None:
            return np.stack([self.read((k, *rest)) for k in range(len(self._files))])
        frame = self._first if number == 0 else _open_file(self._files[number])
        if (frame.axes, frame.shape, frame.dtype) != (
            self._first.axes,
            self._first.shape,
            self._first.dtype,
        ):
            raise MovieError(
                f"{frame.path} is {frame.shape} {frame.dtype} ({frame.axes}), the first file of "
                f"the folder {self._first.shape} {self._first.dtype} ({self._first.axes}): all "
                "files of a movie must be alike"
            )
        return frame.read(rest)


def _open_file(path: Path) -> Source:
    if _KINDS[path.suffix.lower()] != "TIFF":
        return open_picture(path)
    from napari_sam_i2v.movies.tiff import open_tiff

    return open_tiff(path)


def _inside(entries: list[Path]) -> str:
    """Name a subfolder worth trying, for the message about a folder without pictures."""
    folders = sorted(one.name for one in entries if one.is_dir() and not one.name.startswith("."))
    if not folders:
        return ""
    return f". It holds folders ({', '.join(folders[:5])}): open one of them"
