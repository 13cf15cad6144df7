"""The label store: planes of object ids on disk, written frame by frame, safe against crashes.

On disk it is an OME-Zarr label image with one compressed chunk per frame, which napari and any
OME-Zarr reader opens, plus one hidden file: a byte per frame that says whether it is done.
"""

from __future__ import annotations

import json
import operator
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.colours import colour_of
from napari_sam_i2v.movies.limits import MAX_PLANES, refuse_huge_chunks
from napari_sam_i2v.movies.ome_zarr import ome_attributes
from napari_sam_i2v.movies.output import OWN_KEY, make_room
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN

__all__ = ["LabelStore", "create_level"]

_KIND = "label-store"
_RECORD = ".frames_done"


class LabelStore:
    """Object ids (T, Y, X) on disk; ``store[t]`` and ``store[t] = plane`` are whole frames.

    Made by `create` or `open`. A frame counts as done once it was assigned: its chunk is renamed
    into place first, then its byte in the record is set, so a frame that is done is whole, also
    after a crash. Frames that are not done read as zeros. May be used from several threads.

    Attributes
    ----------
    path
        The folder.
    array
        The zarr array, which napari can show and paint as it is. Painting there changes the
        file, but does not make a frame done.
    """

    def __init__(self, path: Path, group: Any) -> None:
        self.path = path
        self._group = group
        # Frames without objects are written too: a copy that lost the record tells by its chunks.
        with zarr.config.set({"array.write_empty_chunks": True}):  # an array keeps it
            self.array = group["0"]
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        shape: tuple[int, int, int],
        dtype: Any = np.uint16,
        scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
        units: tuple[str, str, str] = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN),
        overwrite: bool = False,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        zarr_format: int = 3,
    ) -> LabelStore:
        """Make an empty store.

        Parameters
        ----------
        path
            The folder to make; its parent must exist.
        shape
            (T, Y, X).
        dtype
            uint16, or uint32 where ids need it.
        scale, units
            Step along (t, y, x) and its units, as `Movie` has them.
        overwrite
            Whether an older store of ours may be replaced. Nothing else is ever removed.
        metadata
            Where the labels come from (model, versions, ...); must be JSON.
        name
            The image's name in its metadata; the folder's by default.
        zarr_format
            3 for OME-Zarr 0.5; 2 for 0.4, to lie inside an image of that version.

        Raises
        ------
        InputError
            If shape, dtype or metadata cannot be used.
        OutputError
            If something is there already, or the folder cannot be made.
        """
        _check_shape(shape)
        kind = _check_dtype(dtype)
        own = {"kind": _KIND, "version": 1, "metadata": _as_json(metadata)}
        target = make_room(path, overwrite=overwrite)
        ome = _ome_metadata(name or target.stem, scale, units, zarr_format)
        try:
            group = zarr.create_group(
                str(target), zarr_format=zarr_format, attributes={OWN_KEY: own, **ome}
            )
            create_level(group, "0", shape, kind)
            (target / "0" / _RECORD).write_bytes(bytes(shape[0]))
        except OSError as err:
            raise OutputError(f"{target} cannot be written: {err.strerror or err}") from err
        return cls(target, group)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, mode: str = "r+") -> LabelStore:
        """Open a store that `create` made; `mode` "r" forbids writing.

        Raises
        ------
        InputError
            If there is no such store.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"there is no label store {folder}")
        try:
            group = zarr.open_group(str(folder), mode=mode)
            own = group.attrs.get(OWN_KEY)
            if not isinstance(own, Mapping) or own.get("kind") != _KIND:
                raise InputError(
                    f"{folder} is not a label store of napari-sam-i2v; open_movie can read it"
                )
            store = cls(folder, group)
            _check_stored(folder, store.array)
            _ = store.metadata, store.scale, store.units  # said now if they are broken
            return store
        except InputError:
            raise
        except Exception as err:  # zarr, json and key errors alike mean a broken store
            raise InputError(
                f"{folder} is no readable label store: {type(err).__name__}: {err}"
            ) from err

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X)."""
        t, y, x = self.array.shape
        return t, y, x

    @property
    def dtype(self) -> np.dtype:
        """Type of the ids: uint16 or uint32."""
        return np.dtype(self.array.dtype)

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def metadata(self) -> dict[str, Any]:
        """What was noted about the origin of the labels; assign a dict to replace it."""
        return dict(self._group.attrs[OWN_KEY]["metadata"])

    @metadata.setter
    def metadata(self, metadata: Mapping[str, Any]) -> None:
        own = {**self._group.attrs[OWN_KEY], "metadata": _as_json(metadata)}
        self._group.attrs[OWN_KEY] = own

    def colour(self, object_ids: Iterable[int]) -> None:
        """Note the colours of objects as OME-Zarr has it, for other viewers."""
        colours = [
            {"label-value": int(one), "rgba": [*colour_of(int(one)), 255]}
            for one in sorted(set(object_ids))
        ]
        ome = ome_attributes(self._group)
        image = {**ome["image-label"], "colors": colours}
        if self._group.metadata.zarr_format == 2:
            self._group.attrs["image-label"] = image
        else:
            self._group.attrs["ome"] = {**ome, "image-label": image}

    @property
    def scale(self) -> tuple[float, float, float]:
        """Step along (t, y, x)."""
        level = ome_attributes(self._group)["multiscales"][0]["datasets"][0]
        t, y, x = level["coordinateTransformations"][0]["scale"]
        return t, y, x

    @property
    def units(self) -> tuple[str, str, str]:
        """Units of `scale`."""
        axes = ome_attributes(self._group)["multiscales"][0]["axes"]
        defaults = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN)
        t, y, x = (
            str(axis.get("unit", unknown)) for axis, unknown in zip(axes, defaults, strict=True)
        )
        return t, y, x

    @property
    def done(self) -> list[int]:
        """Frames which were written, in order."""
        record = self.path / "0" / _RECORD
        flags = record.read_bytes() if record.is_file() else b""
        if len(flags) == len(self):
            return [t for t, flag in enumerate(flags) if flag]
        # A copy may have lost the hidden file; then the chunks tell.
        frames = self._chunk(0).parents[2]
        inside = frames.iterdir() if frames.is_dir() else ()
        found = [int(one.name) for one in inside if one.name.isdecimal()]
        return sorted(t for t in found if t < len(self) and self._chunk(t).is_file())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int) -> np.ndarray:
        frame = self._frame(t)
        try:
            return np.asarray(self.array[frame])
        except Exception as err:  # each codec has its own errors for broken data
            raise InputError(
                f"frame {frame} of {self.path} cannot be read, its chunk is damaged "
                f"({type(err).__name__}: {err}): track it again, or remove {self._chunk(frame)}"
            ) from err

    def __setitem__(self, t: int, plane: Any) -> None:
        frame = self._frame(t)
        ids = self._checked(np.asarray(plane))
        with self._lock:
            try:
                known = self._known()
                self.array[frame] = ids
                self._mark(frame, known)
            except OSError as err:
                raise OutputError(
                    f"frame {frame} of {self.path} cannot be written: {err.strerror or err}"
                ) from err

    def forget(self, frames: Iterable[int]) -> None:
        """Empty frames, which then are not done any more."""
        with self._lock:
            for frame in sorted({self._frame(t) for t in frames}):
                self._mark(frame, self._known(), done=False)  # first: a frame that is done is whole
                self._chunk(frame).unlink(missing_ok=True)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array[:]).astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<LabelStore {str(self.path)!r} {self.shape} {self.dtype}>"

    def _frame(self, t: int) -> int:
        try:
            frame = operator.index(t)
        except TypeError:
            raise TypeError(
                f"a LabelStore is read and written by whole frames, store[t] with an integer t, "
                f"got {t!r}; use store.array to slice"
            ) from None
        if not -len(self) <= frame < len(self):
            raise IndexError(f"frame {frame} does not exist: the store has {len(self)} frames")
        return frame % len(self)

    def _checked(self, plane: np.ndarray) -> np.ndarray:
        """Refuse planes whose ids would be changed by storing them."""
        if plane.shape != self.shape[1:]:
            raise InputError(f"a plane of labels must be {self.shape[1:]}, got {plane.shape}")
        if plane.dtype.kind not in "bui":
            raise InputError(f"labels must be integers, got {plane.dtype}")
        low, high = int(plane.min()), int(plane.max())
        if low < 0 or high > np.iinfo(self.dtype).max:
            raise InputError(
                f"ids must lie in 0..{np.iinfo(self.dtype).max} for {self.dtype} labels, got "
                f"{low}..{high}; uint32 labels hold more"
            )
        return plane.astype(self.dtype, copy=False)

    def _chunk(self, t: int) -> Path:
        return self.path / "0" / self.array.metadata.encode_chunk_key((t, 0, 0))

    def _known(self) -> list[int] | None:
        """Frames that are done, where the record of them was lost."""
        return None if (self.path / "0" / _RECORD).is_file() else self.done

    def _mark(self, frame: int, known: list[int] | None, *, done: bool = True) -> None:
        """Set one byte, which cannot be half written; first restore a record that was lost."""
        record = self.path / "0" / _RECORD
        if known is not None:
            record.write_bytes(bytes(int(t in set(known)) for t in range(len(self))))
        with record.open("r+b") as file:
            file.seek(frame)
            file.write(b"\x01" if done else b"\x00")


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or any(int(n) < 1 for n in shape):
        raise InputError(f"labels need the shape (T, Y, X), all at least 1, got {tuple(shape)}")


def _check_stored(path: Path, array: Any) -> None:
    """Refuse an array that `create` cannot have made."""
    refuse_huge_chunks(path, tuple(array.chunks), array.dtype)
    if not 0 < array.shape[0] <= MAX_PLANES or array.chunks != (1, *array.shape[1:]):
        raise InputError(
            f"{path} is damaged: labels (T, Y, X) with a chunk for each of at most {MAX_PLANES} "
            f"frames are required, it declares {array.shape} in chunks of {array.chunks}"
        )
    _check_shape(array.shape)
    _check_dtype(array.dtype)


def _check_dtype(dtype: Any) -> np.dtype:
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.uint16), np.dtype(np.uint32)):
        raise InputError(f"labels are stored as uint16 or uint32, got {kind}")
    return kind


def _as_json(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(dict(metadata or {}), sort_keys=True)))
    except (TypeError, ValueError) as err:
        raise InputError(f"metadata must be JSON (text, numbers, lists, dicts): {err}") from err


def create_level(
    group: Any, path: str, shape: tuple[int, ...], dtype: np.dtype, *, overwrite: bool = False
) -> Any:
    """Make a level of labels in a zarr group, a chunk per frame; return its array."""
    options: dict[str, Any] = {"dimension_names": ("t", "y", "x")}
    if group.metadata.zarr_format == 2:
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    return group.create_array(
        path,
        shape=tuple(shape),
        chunks=(1, *shape[1:]),
        dtype=dtype,
        fill_value=0,
        overwrite=overwrite,
        **options,
    )


def _ome_metadata(
    name: str,
    scale: tuple[float, float, float],
    units: tuple[str, str, str],
    zarr_format: int,
) -> dict[str, Any]:
    version = "0.4" if zarr_format == 2 else "0.5"
    axes = [
        {"name": axis, "type": kind}
        | ({} if unit in (TIME_UNKNOWN, SPACE_UNKNOWN) else {"unit": unit})
        for axis, kind, unit in zip("tyx", ("time", "space", "space"), units, strict=True)
    ]
    steps = [{"type": "scale", "scale": [float(step) for step in scale]}]
    level = {"path": "0", "coordinateTransformations": steps}
    image = {"name": name, "axes": axes, "datasets": [level]}
    if version == "0.4":
        return {"multiscales": [image | {"version": version}], "image-label": {"version": version}}
    ome = {"version": version, "multiscales": [image], "image-label": {"version": version}}
    return {"ome": ome}
