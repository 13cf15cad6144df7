"""What every reader returns: the stored array as it is, read plane by plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_sam_i2v.errors import MovieError

AXES = "TCZYXS"
"""The letters of axes: time, channel, depth, row, column, colour sample."""

Index = tuple[int | None, ...]
"""One entry per stored axis: an index, or None for the whole axis."""


@dataclass(frozen=True)
class Source:
    """A stored array of any axes; nothing but its metadata has been read.

    Attributes
    ----------
    path, name
        Where it lies; its short name, for messages and layers.
    axes, shape
        One letter and one length per stored axis. Letters outside `AXES` are axes of unknown
        meaning.
    dtype
        Native byte order; as `read` returns it.
    read
        Gives the array at an index; the axes which are whole there, in stored order.
    channel_names
        Names of the channels, where the file gives them.
    pixel
        Step and unit along an axis (keys among T, Z, Y, X), where the file gives them.
    is_labels
        Whether the file says that its values are object ids.
    """

    path: Path
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[Index], np.ndarray]
    channel_names: tuple[str, ...] = ()
    pixel: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    is_labels: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis, by its letter."""
        return dict(zip(self.axes, self.shape, strict=True))

    def with_axes(self, axes: str) -> Source:
        """Give the same source with the axes named by the caller.

        Raises
        ------
        MovieError
            If the letters do not fit the stored array.
        """
        letters = axes.strip().upper()
        check_axes(letters, self)
        return replace(self, axes=letters)


def check_axes(letters: str, source: Source) -> None:
    """Refuse axes which the caller named and which do not fit the stored array."""
    got = f"{source.name} is stored as {source.shape} (axes {source.axes}), got axes={letters!r}"
    if len(letters) != len(source.shape):
        raise MovieError(
            f"axes needs one letter per stored axis, {len(source.shape)} of them: {got}"
        )
    if unknown := sorted(set(letters) - set(AXES)):
        raise MovieError(f"axes may hold only the letters {AXES}, not {''.join(unknown)}: {got}")
    if len(set(letters)) != len(letters):
        raise MovieError(f"axes must name each axis once: {got}")
    if not {"Y", "X"} <= set(letters):
        raise MovieError(f"axes must hold Y and X: {got}")


def native_dtype(dtype: np.dtype, name: str) -> np.dtype:
    """Give the dtype frames are handed out in: native byte order, and uint8 for booleans.

    Raises
    ------
    MovieError
        If the values are not plain numbers.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "uif":
        raise MovieError(
            f"a movie needs integer or floating-point pixels, {name} has {dtype}: convert it first"
        )
    return dtype.newbyteorder("=")
