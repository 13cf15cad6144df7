"""A movie: frames of a file, read one at a time when they are asked for."""

from __future__ import annotations

import operator
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.axes import FramePlan, plan_frames
from napari_sam_i2v.movies.source import Source
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN

__all__ = ["Movie", "open_movie", "open_source"]

_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PICTURE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# Only to say what a refused file is: (where, bytes, name).
_FOREIGN_MAGIC = (
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"RIFF", "an AVI video"),
    (0, b"\x1aE\xdf\xa3", "a Matroska video"),
    (0, b"ZISRAW", "a Zeiss CZI file"),
    (0, b"\xda\xce\xbe\n", "a Nikon ND2 file"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (4, b"ftyp", "an MP4 or QuickTime video"),
    (4, b"moov", "a QuickTime video"),
    (4, b"mdat", "a QuickTime video"),
    (128, b"DICM", "a DICOM file"),
)


class Movie:
    """Lazy frames of one channel (or colour) of a file.

    ``movie[t]`` reads frame t, and only it, as (Y, X) or, for colour, (Y, X, 3); it may be called
    from several threads. Frames have the file's own values in native byte order (booleans as
    uint8; an alpha channel is dropped). Made by `open_movie`.

    Attributes
    ----------
    name, path
        Short name; where the file lies.
    shape, dtype, ndim, dims
        (T, Y, X) and ("T", "Y", "X"), or (T, Y, X, 3) and ("T", "Y", "X", "S").
    scale, units
        Step along (t, y, x) and its units in pint's spelling; 1.0 and ("frame", "pixel",
        "pixel") where the file does not tell.
    """

    def __init__(self, source: Source, plan: FramePlan) -> None:
        sizes = source.sizes
        self._source, self._plan = source, plan
        self.name, self.path, self.dtype = source.name, source.path, source.dtype
        colour = (3,) if plan.rgb else ()
        self.shape: tuple[int, ...] = (plan.n_frames, sizes["Y"], sizes["X"], *colour)
        self.dims: tuple[str, ...] = ("T", "Y", "X", "S")[: len(self.shape)]
        unknown = (1.0, TIME_UNKNOWN), (1.0, SPACE_UNKNOWN), (1.0, SPACE_UNKNOWN)
        step_t = source.pixel.get("T", unknown[0]) if plan.timed else unknown[0]
        steps = (step_t, source.pixel.get("Y", unknown[1]), source.pixel.get("X", unknown[2]))
        self.scale: tuple[float, float, float] = (steps[0][0], steps[1][0], steps[2][0])
        self.units: tuple[str, str, str] = (steps[0][1], steps[1][1], steps[2][1])

    @property
    def ndim(self) -> int:
        """Number of axes: 3, or 4 for colour."""
        return len(self.shape)

    @property
    def is_labels(self) -> bool:
        """Whether the file says that its values are object ids."""
        return self._source.is_labels

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[t] for t in range(len(self)))

    def __getitem__(self, t: int) -> np.ndarray:
        try:
            frame = operator.index(t)
        except TypeError:
            raise TypeError(
                f"a Movie gives one frame at a time, movie[t] with an integer t, got {t!r}; "
                "use movie.as_dask() to slice"
            ) from None
        if not -len(self) <= frame < len(self):
            raise IndexError(f"frame {frame} does not exist: {self.name} has {len(self)} frames")
        return self._read(frame % len(self))

    def _read(self, t: int) -> np.ndarray:
        try:
            stored = self._source.read(self._plan.at(t))
        except MovieError:
            raise
        except Exception as err:  # each library has its own errors for broken data
            raise MovieError(
                f"frame {t} of {self.path} cannot be read, the file may be truncated or damaged: "
                f"{type(err).__name__}: {err}"
            ) from err
        plane = stored.transpose(self._plan.transpose)
        plane = plane[..., :3] if self._plan.rgb else plane
        if plane.shape != self.shape[1:]:
            raise MovieError(
                f"frame {t} of {self.path} has shape {plane.shape}, frame 0 has {self.shape[1:]}: "
                "all frames must have one shape"
            )
        return np.ascontiguousarray(plane, dtype=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a Movie can only be turned into an array by reading (copying) it")
        return np.stack(list(self)).astype(dtype or self.dtype, copy=False)

    def as_dask(self) -> Any:
        """Give a lazy dask array of the movie's shape, one chunk per frame."""
        import dask.array as da

        chunks = ((1,) * len(self), *((size,) for size in self.shape[1:]))
        return da.map_blocks(
            lambda block_id: self[block_id[0]][None],
            chunks=chunks,
            dtype=self.dtype,
            meta=np.empty((0,) * self.ndim, self.dtype),
            name=f"movie-{uuid.uuid4().hex}",  # unique: napari caches blocks by name
        )

    def __repr__(self) -> str:
        dims = "".join(self.dims)
        return f"<Movie {self.name!r} {dims} {self.shape} {self.dtype}, scale {self.scale}>"


def open_movie(
    path: str | os.PathLike[str],
    *,
    channel: int | str | None = None,
    z: int | None = None,
    axes: str | None = None,
) -> Movie:
    """Open a movie; only metadata is read.

    Parameters
    ----------
    path
        A TIFF (OME, ImageJ or plain), an OME-Zarr image or label image, a zarr array, a picture,
        or a folder with one TIFF, PNG or JPEG per frame.
    channel
        Number or name of the channel; needed when there are several. For a colour movie
        ("red", 0, ...) one colour instead of all three.
    z
        The plane of a movie with depth. Without any other axis that may be time, Z is taken for
        time unless `z` is given.
    axes
        What the stored axes are, one letter of "TCZYXS" each, where the file does not tell.

    Raises
    ------
    MovieError
        If there is nothing, no movie, a broken file, or a choice to be made.
    """
    source = open_source(path, axes=axes)
    return Movie(source, plan_frames(source, channel=channel, z=z))


def open_source(path: str | os.PathLike[str], *, axes: str | None = None) -> Source:
    """Open what `open_movie` opens, with all its channels and planes."""
    source = _reader_for(Path(path).expanduser())
    if 0 in source.shape:
        raise MovieError(f"{source.path} holds no pixels: its shape is {source.shape}")
    return source if axes is None else source.with_axes(axes)


def _reader_for(path: Path) -> Source:
    try:
        found, folder = path.exists(), path.is_dir()
    except OSError as err:  # a folder on the way may not be entered
        raise MovieError(f"{path} cannot be read: {err.strerror or err}") from err
    if not found:
        raise MovieError(f"there is no file or folder {path}")
    if folder:
        return _open_folder(path)
    head = _first_bytes(path)
    is_dicom = head[128:] == b"DICM"  # its free first 128 bytes may pretend to be a TIFF
    if head.startswith(_TIFF_MAGIC) and not is_dicom:
        from napari_sam_i2v.movies.tiff import open_tiff

        return open_tiff(path)
    if head.startswith(_PICTURE_MAGIC):
        from napari_sam_i2v.movies.sequence import open_picture

        return open_picture(path)
    raise MovieError(_refusal(path, head))


def _open_folder(path: Path) -> Source:
    if any((path / name).is_file() for name in _ZARR_FILES):
        from napari_sam_i2v.movies.ome_zarr import open_zarr

        return open_zarr(path)
    from napari_sam_i2v.movies.sequence import open_sequence

    return open_sequence(path)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(132)
    except OSError as err:
        raise MovieError(f"{path} cannot be read: {err.strerror or err}") from err


def _refusal(path: Path, head: bytes) -> str:
    if not head:
        return f"{path} is empty"
    kinds = [name for at, magic, name in _FOREIGN_MAGIC if head[at : at + len(magic)] == magic]
    what = f"is {kinds[0]}, which is" if kinds else "is of a kind that is"
    return (
        f"{path} {what} not supported: give a TIFF, an OME-Zarr, or a folder with one TIFF, PNG or "
        "JPEG per frame (Fiji can convert it)"
    )
