"""What every reader returns: the stored array as it is, read plane by plane."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_sam_i2v.errors import MovieError

AXES = "TCZYXS"
"""The letters of axes: time, channel, depth, row, column, colour sample."""

_LISTED = 10

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
    scenes, scene
        Names of the images of the file (positions, series, fields of a plate), and which of them
        this one is; empty and 0 where there is only one.
    contrast
        Grey values shown as black and white, where the file gives them.
    inverted
        Whether low values are meant to be shown bright.
    levels
        The same image, smaller and smaller, where the file holds that (a pyramid).
    private
        Whether names around the file may tell whose pictures these are: `name` does not, and the
        path is kept out of what is written.
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
    scenes: tuple[str, ...] = ()
    scene: int = 0
    contrast: tuple[float, float] | None = None
    inverted: bool = False
    levels: tuple[Source, ...] = ()
    private: bool = False

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
        levels = tuple(replace(one, axes=letters) for one in self.levels)
        return replace(self, axes=letters, levels=levels)


def planes_reader(
    lead: tuple[int, ...], plane: Callable[[tuple[int, ...]], np.ndarray]
) -> Callable[[Index], np.ndarray]:
    """Make `Source.read` from what reads one plane.

    Parameters
    ----------
    lead
        Lengths of the axes before those of a plane.
    plane
        Gives the plane at a place along them.
    """

    def read(index: Index) -> np.ndarray:
        at, tail = index[: len(lead)], index[len(lead) :]
        cut = tuple(slice(None) if i is None else i for i in tail)
        choices = [range(n) if i is None else (i,) for i, n in zip(at, lead, strict=True)]
        planes = [plane(where)[cut] for where in itertools.product(*choices)]
        whole = [n for i, n in zip(at, lead, strict=True) if i is None]
        stacked = planes[0] if len(planes) == 1 else np.stack(planes)
        return stacked.reshape(*whole, *planes[0].shape)

    return read


def chosen_scene(names: Sequence[str], scene: int | str | None, path: Path) -> int:
    """Give the number of the image that was asked for, by number (also as text) or name.

    Raises
    ------
    MovieError
        If there are several and none was chosen, or the chosen one is not there.
    """
    if scene is None and len(names) == 1:
        return 0
    shown = list(enumerate(names))
    shown = shown if len(shown) <= _LISTED else [*shown[: _LISTED - 1], shown[-1]]
    listed = ", ".join(name if name == str(i) else f"{i} = {name}" for i, name in shown)
    if scene is None:
        raise MovieError(
            f"{path} holds {len(names)} images: {listed}. Choose one with scene=NUMBER or NAME"
        )
    number = scene
    if isinstance(number, str):
        if list(names).count(number) == 1:
            return list(names).index(number)
        number = int(number) if number.strip().isdecimal() else -1
    if not 0 <= number < len(names):
        raise MovieError(f"{path} has no single image {scene!r}; it has {listed}")
    return number


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
