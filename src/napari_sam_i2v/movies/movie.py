"""A movie: frames of a file, read one at a time when they are asked for."""

from __future__ import annotations

import operator
import os
import re
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.axes import FramePlan, plan_frames
from napari_sam_i2v.movies.kinds import file_kind, folder_kind, foreign_name
from napari_sam_i2v.movies.limits import refuse_huge
from napari_sam_i2v.movies.source import Source
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN, plain_steps

__all__ = ["Movie", "open_movie", "open_source"]

_READERS = {
    # Kind of file or folder: module of this package, function, whether it may hold several images.
    "tiff": ("tiff", "open_tiff", True),
    "picture": ("sequence", "open_picture", False),
    "video": ("video", "open_video", False),
    "dicom": ("dicom", "open_dicom", False),
    "nifti": ("nifti", "open_nifti", False),
    "nd2": ("nd2", "open_nd2", True),
    "czi": ("czi", "open_czi", True),
    "lif": ("lif", "open_lif", True),
    "zarr folder": ("ome_zarr", "open_zarr", True),
    "dicom folder": ("dicom", "open_dicom_folder", False),
    "pictures folder": ("sequence", "open_sequence", False),
}
_KINDS = (
    "a TIFF, OME-Zarr, DICOM, NIfTI, AVI, MP4, MOV, MKV, ND2, CZI or LIF file, or a folder with "
    "one TIFF, PNG, JPEG or DICOM file per frame"
)

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
"""How addresses begin, as `Path` writes them; a drive of Windows has one letter."""


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
    contrast
        Grey values shown as black and white, where the file gives them (a DICOM window).
    """

    def __init__(self, source: Source, plan: FramePlan) -> None:
        sizes = source.sizes
        self._source, self._plan = source, plan
        self.name, self.path, self.dtype = source.name, source.path, source.dtype
        self.contrast = None if plan.rgb else source.contrast
        colour = (3,) if plan.rgb else ()
        self.shape: tuple[int, ...] = (plan.n_frames, sizes["Y"], sizes["X"], *colour)
        self.dims: tuple[str, ...] = ("T", "Y", "X", "S")[: len(self.shape)]
        unknown = (1.0, TIME_UNKNOWN), (1.0, SPACE_UNKNOWN), (1.0, SPACE_UNKNOWN)
        step_t = source.pixel.get("T", unknown[0]) if plan.timed else unknown[0]
        steps = (step_t, source.pixel.get("Y", unknown[1]), source.pixel.get("X", unknown[2]))
        self.scale, self.units = plain_steps(
            [step for step, _ in steps], [unit for _, unit in steps]
        )

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
        return np.require(plane, self.dtype, ["C", "W", "E"])  # the caller's own

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
    scene: int | str | None = None,
) -> Movie:
    """Open a movie; only metadata is read.

    Parameters
    ----------
    path
        A TIFF (OME, ImageJ or plain), an OME-Zarr image, label image or plate, a zarr array, a
        picture, a folder with one TIFF, PNG, JPEG or DICOM file per frame; with the extra that is
        named when it is missing, a DICOM, NIfTI, AVI, MP4, MOV, MKV, ND2, CZI or LIF file.
    channel
        Number or name of the channel; needed when there are several. For a colour movie
        ("red", 0, ...) one colour instead of all three.
    z
        The plane of a movie with depth. Without any other axis that may be time, Z is taken for
        time unless `z` is given.
    axes
        What the stored axes are, one letter of "TCZYXS" each, where the file does not tell, or
        says something wrong.
    scene
        Number or name of the image of a file with several: a position, a series, a field of a
        plate.

    Raises
    ------
    MovieError
        If there is nothing, no movie, a broken file, or a choice to be made.
    """
    source = open_source(path, axes=axes, scene=scene)
    return Movie(source, plan_frames(source, channel=channel, z=z))


def open_source(
    path: str | os.PathLike[str], *, axes: str | None = None, scene: int | str | None = None
) -> Source:
    """Open what `open_movie` opens, with all its channels and planes."""
    source = _opened(Path(path).expanduser(), scene)
    if 0 in source.shape:
        raise MovieError(f"{source.path} holds no pixels: its shape is {source.shape}")
    refuse_huge(source)
    return source if axes is None else source.with_axes(axes)


def _opened(path: Path, scene: int | str | None) -> Source:
    kind = _kind_of(path)
    module, function, several = _READERS[kind]
    if scene is not None and not several and scene not in (0, "0"):
        raise MovieError(f"{path} holds one image; scene={scene!r} is not there: leave it out")
    reader = getattr(import_module(f"napari_sam_i2v.movies.{module}"), function)
    try:
        source: Source = reader(path, scene=scene) if several else reader(path)
    except MovieError:
        raise
    except Exception as err:  # each library has its own errors for broken files
        private = module == "dicom"  # what an error says may quote a header
        detail = "" if private else f": {err}"
        raise MovieError(f"{path} is truncated or damaged: {type(err).__name__}{detail}") from (
            None if private else err
        )
    return source


def _kind_of(path: Path) -> str:
    try:
        if path.is_dir():
            return f"{folder_kind(path) or 'pictures'} folder"
        if _ADDRESS.match(str(path)):
            raise MovieError(f"{path} is an address on the web: copy the image here, and open that")
        if not path.exists():
            raise MovieError(f"there is no file or folder {path}")
        if not path.is_file():
            raise MovieError(f"{path} is neither a file nor a folder: give one of these")
        kind = file_kind(path)
    except OSError as err:  # a folder on the way may not be entered
        raise MovieError(f"{path} cannot be read: {err.strerror or err}") from err
    if kind is None:
        raise MovieError(_refusal(path))
    return kind


def _refusal(path: Path) -> str:
    if path.stat().st_size == 0:
        return f"{path} is empty"
    name = foreign_name(path)
    what = f"is {name}, which is" if name else "is of a kind that is"
    how = "unpack it first" if name and "archive" in name else "Fiji can convert it"
    return f"{path} {what} not supported: give {_KINDS} ({how})"
