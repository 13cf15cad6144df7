"""Shapes that a file declares and cannot mean: refused before anything is allocated."""

from __future__ import annotations

import math

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.source import Source

MAX_PLANE_BYTES = 4 * 2**30
"""A larger frame is refused: 65 536 × 65 536 bytes, which no camera has."""
MAX_PLANES = 10_000_000
"""More frames, channels and planes in all are refused: 46 hours at 60 frames a second."""
MAX_CHUNK_BYTES = 4 * 2**30
"""A larger chunk of a zarr array is refused: to read one frame, all of it would be decoded."""
_SMALL_PLANE = 64 * 2**20
_MAX_PACKED = 2000


def refuse_huge(source: Source) -> None:
    """Refuse a source whose planes, or their number, are beyond what can be meant.

    Raises
    ------
    MovieError
        Saying what is declared, and the limit.
    """
    whole = [axis in "YXS" for axis in source.axes]
    planes = math.prod(n for n, keep in zip(source.shape, whole, strict=True) if not keep)
    pixels = math.prod(n for n, keep in zip(source.shape, whole, strict=True) if keep)
    if planes > MAX_PLANES:
        raise MovieError(
            f"{source.path} declares {planes} planes ({source.axes} {source.shape}); at most "
            f"{MAX_PLANES} can be read: the file may be damaged"
        )
    refuse_huge_plane(source, pixels * source.dtype.itemsize)


def refuse_huge_plane(source: Source, size: int) -> None:
    """Refuse planes of `size` bytes if they are too large, by themselves or for their file."""
    if size > MAX_PLANE_BYTES:
        raise MovieError(
            f"{source.path} declares {size} bytes per frame ({source.axes} {source.shape} "
            f"{source.dtype}); at most {MAX_PLANE_BYTES} can be read: the file may be damaged"
        )
    stored = source.path.stat().st_size if source.path.is_file() else size
    if size > max(_SMALL_PLANE, _MAX_PACKED * stored):
        raise MovieError(
            f"{source.path} declares {size} bytes per frame but is {stored} bytes long: it is "
            "truncated or damaged"
        )


def refuse_huge_chunks(path: object, chunks: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse an array stored in chunks that are too large to decode one.

    Raises
    ------
    MovieError
        Saying how large they are, and the limit.
    """
    size = math.prod(chunks) * dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise MovieError(
            f"{path} is stored in chunks of {chunks}, {size} bytes each; at most "
            f"{MAX_CHUNK_BYTES} can be read: store it with one frame per chunk"
        )
