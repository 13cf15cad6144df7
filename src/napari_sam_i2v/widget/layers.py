"""What napari layers mean to us: which axis is time, which array is the movie, where clicks lie.

The one place where world coordinates become data coordinates. Nothing here changes a layer, but
`place`, nor the list of layers, but `add_or_replace`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import MovieError, PromptError
from napari_sam_i2v.widget.fixed_axes import FixedAxes
from napari_sam_i2v.widget.pace import count

if TYPE_CHECKING:
    from os import PathLike

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer, Points, Shapes

_METADATA = "napari_sam_i2v"
MAX_OBJECT_ID = 65_535  # labels are uint16


@dataclass(frozen=True)
class Axes:
    """How the axes of an image layer are used; rows and columns are always the last two.

    Attributes
    ----------
    time : int
        The layer's time axis.
    fixed : dict of int to int
        Data index of each axis that is neither time nor y nor x (a channel, a z plane).
    shape : tuple of int
        (T, Y, X) of the movie.
    """

    time: int
    fixed: dict[int, int]
    shape: tuple[int, int, int]


def level0(layer: Image | Labels) -> Any:
    """Return the layer's array at full resolution, as it is: numpy, dask, zarr."""
    return layer.data[0] if layer.multiscale else layer.data


def time_axis(layer: Image) -> int:
    """Return the axis called ``t`` or ``time``, else the first; y and x are the last two."""
    return next((i for i, label in enumerate(layer.axis_labels[:-2]) if _means_time(label)), 0)


def _means_time(label: object) -> bool:
    return str(label).lower() in {"t", "time"}


def _check_movie(layer: Image, shape: tuple[int, ...]) -> None:
    """Check that a layer has frames with pixels, and time not where rows and columns are."""
    if 0 in shape:
        raise MovieError(f"“{layer.name}” of shape {shape} is empty: there is nothing to track.")
    labels = layer.axis_labels
    if any(map(_means_time, labels[-2:])) and not any(map(_means_time, labels[:-2])):
        raise MovieError(
            f"The axes of “{layer.name}” are called {', '.join(map(str, labels))}, and the last "
            "two are shown as rows and columns: say which axis is time under More ▸ Axes…"
        )


def resolve_axes(layer: Image, world_point: Sequence[float]) -> Axes:
    """Say which pixels of an image layer are the movie.

    Parameters
    ----------
    layer : Image
        A layer with time, y, x and possibly more axes (and RGB).
    world_point : sequence of float
        The viewer's position, ``viewer.dims.point``: extra axes stay where their sliders are.

    Raises
    ------
    MovieError
        When the layer has no time axis, or nothing in it.
    """
    if layer.ndim < 3:
        raise MovieError(
            f"“{layer.name}” is a single picture of shape {tuple(level0(layer).shape)}; a movie "
            "has time as its first axis. Open the whole series as one layer."
        )
    shape = tuple(int(n) for n in level0(layer).shape[: layer.ndim])
    _check_movie(layer, shape)
    time = time_axis(layer)
    at = layer.world_to_data(np.asarray(world_point)[-layer.ndim :])
    fixed = {
        axis: int(np.clip(round(float(at[axis])), 0, shape[axis] - 1))
        for axis in range(layer.ndim - 2)
        if axis != time
    }
    return Axes(time, fixed, (int(shape[time]), int(shape[-2]), int(shape[-1])))


def movie_array(layer: Image, axes: Axes) -> Any:
    """Return a lazy (T, Y, X) or (T, Y, X, 3) view of the layer's full-resolution data."""
    data = level0(layer)
    if not axes.fixed:
        return data
    index = tuple(axes.fixed.get(axis, slice(None)) for axis in range(layer.ndim))
    if isinstance(data, np.ndarray):
        return data[index]
    import dask.array as da

    # A zarr array would read everything when sliced; dask reads one frame when it is asked for.
    lazy = data if isinstance(data, da.Array) else da.from_array(data)
    return lazy[index]


def contrast_limits(layer: Image) -> tuple[float, float] | None:
    """Return the layer's contrast limits, the movie's one mapping; None for RGB."""
    if layer.rgb:
        return None
    low, high = layer.contrast_limits
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Between:
    """Data coordinates of one layer as data coordinates of another.

    Attributes
    ----------
    matrix : array
        (target axes, source axes).
    offset : array
        Where the source's origin lies in the target.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __call__(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map positions (..., source axes) to (..., target axes)."""
        return positions @ self.matrix.T + self.offset


def between(source: Layer, target: Layer) -> Between:
    """Find how two layers lie to each other in the world.

    Axes are aligned at the last one, as napari does; axes that only the target has are at 0.
    """

    def through(position: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(target.world_to_data(source.data_to_world(position)), np.float64)

    origin = through(np.zeros(source.ndim))
    # Layers' transforms are affine: the unit steps say all.
    steps = [through(step) - origin for step in np.eye(source.ndim)]
    return Between(np.stack(steps, axis=1), origin)


@dataclass(frozen=True)
class Clicks:
    """Clicks on one object in one frame, in data pixels of the movie.

    Attributes
    ----------
    object_id : int
        From 1 on; the value in the labels.
    frame : int
        Frame of the movie.
    points : tuple of (float, float)
        (y, x) of each click.
    labels : tuple of int
        1 where the object is, 0 where it is not.
    """

    object_id: int
    frame: int
    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class _Click:
    object_id: int
    frame: int
    y: float
    x: float
    label: int


def read_clicks(image: Image, axes: Axes, layers: Sequence[Points]) -> tuple[Clicks, ...]:
    """Turn Points layers into clicks on the movie.

    A column ``object_id`` of a layer's features says which object a point belongs to, a column
    ``label`` whether it lies on the object (1) or not (0). Points without an object id become
    an object each, numbered after the highest id there is.

    Parameters
    ----------
    image : Image
        The layer the movie comes from.
    axes : Axes
        How its axes are used.
    layers : sequence of Points
        In the order in which objects without an id are numbered.

    Returns
    -------
    tuple of Clicks
        One per object and frame, sorted by object, then frame.

    Raises
    ------
    PromptError
        When a point lies outside the movie, or a feature cannot be used.
    """
    ids = [_object_ids(layer) for layer in layers]
    fresh = max((i for layer_ids in ids for i in layer_ids if i is not None), default=0) + 1
    clicks: list[_Click] = []
    for layer, layer_ids in zip(layers, ids, strict=True):
        labels = _labels(layer)
        for row, (frame, y, x) in enumerate(_positions(image, axes, layer)):
            object_id = layer_ids[row]
            if object_id is None:
                if labels[row] == 0:
                    raise PromptError(
                        f"“{layer.name}”: point {row + 1} has label 0 (not the object) but no "
                        "object_id. Give it the object_id of the object it corrects."
                    )
                object_id, fresh = fresh, fresh + 1
            clicks.append(_Click(object_id, frame, y, x, labels[row]))
    return _grouped(clicks)


def _grouped(clicks: Sequence[_Click]) -> tuple[Clicks, ...]:
    groups: dict[tuple[int, int], list[_Click]] = {}
    for click in clicks:
        groups.setdefault((click.object_id, click.frame), []).append(click)
    return tuple(
        Clicks(
            object_id,
            frame,
            tuple((click.y, click.x) for click in group),
            tuple(click.label for click in group),
        )
        for (object_id, frame), group in sorted(groups.items(), key=lambda item: item[0])
    )


def _positions(image: Image, axes: Axes, layer: Points) -> list[tuple[int, float, float]]:
    """Return (frame, y, x) of each point in data pixels of the image."""
    points = np.asarray(layer.data, dtype=float)
    if len(points) and layer.ndim < image.ndim:
        raise PromptError(
            f"“{layer.name}” has points with {layer.ndim} coordinates; the movie “{image.name}” "
            f"needs {image.ndim} (time first). Press “New clicks layer” and click there."
        )
    return [_position(image, axes, layer, row) for row in range(len(points))]


def _position(image: Image, axes: Axes, layer: Points, row: int) -> tuple[int, float, float]:
    world = np.asarray(layer.data_to_world(layer.data[row]))
    at = np.asarray(image.world_to_data(world[-image.ndim :]), dtype=float)
    frame, y, x = round(at[axes.time]), float(at[-2]), float(at[-1])
    n_frames, height, width = axes.shape
    if not (0 <= frame < n_frames and -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5):
        raise PromptError(
            f"“{layer.name}”: point {row + 1} (frame {frame}, y {y:.1f}, x {x:.1f}) lies outside "
            f"the movie of {count(n_frames, 'frame')} of {height} × {width} pixels. Move or "
            "delete it."
        )
    for axis, index in axes.fixed.items():
        if round(at[axis]) != index:
            raise PromptError(
                f"“{layer.name}”: point {row + 1} lies at {round(at[axis])} on axis "
                f"“{image.axis_labels[axis]}”, the slider is at {index}. One run tracks one "
                "position of that slider: move the slider, or untick the layer."
            )
    # The outer half of a border pixel belongs to it; clicks stay inside the pixel centres.
    return frame, float(np.clip(y, 0, height - 1)), float(np.clip(x, 0, width - 1))


def _object_ids(layer: Points) -> list[int | None]:
    """Return the object id of each point, None where it has none."""
    return [
        None if value is None else whole(layer, "object_id", row, value, 1, MAX_OBJECT_ID)
        for row, value in enumerate(column(layer, "object_id"))
    ]


def _labels(layer: Points) -> list[int]:
    """Return 1 (on the object, also where nothing is said) or 0 for each point."""
    return [
        1 if value is None else whole(layer, "label", row, value, 0, 1)
        for row, value in enumerate(column(layer, "label"))
    ]


def column(layer: Points | Shapes, name: str) -> list[Any]:
    """Return a feature of each point or shape, None where it has none."""
    if name not in layer.features:
        return [None] * len(layer.data)
    # NaN, None and pandas' NA all differ from themselves or are null: ask pandas.
    values = layer.features[name]
    return [None if null else value for value, null in zip(values, values.isna(), strict=True)]


def whole(
    layer: Points | Shapes, name: str, row: int, value: Any, low: int, high: int,
    *, noun: str = "point",
) -> int:  # fmt: skip
    """Return a feature's value as an int from `low` to `high`, or raise `PromptError`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (number.is_integer() and low <= number <= high):
        raise PromptError(
            f"“{layer.name}”: {name} of {noun} {row + 1} must be a whole number from {low} to "
            f"{high}, it is {value!r}. Correct it in the layer's features table."
        )
    return int(number)


def layer_data(store: Any, axes: Axes) -> Any:
    """Return the store's array, with an axis of length 1 for each fixed axis; nothing is copied."""
    array = getattr(store, "array", store)
    if not axes.fixed:
        return array
    shown = FixedAxes(array, axes.fixed)
    return array.reshape(shown.shape) if isinstance(array, np.ndarray) else shown


def placement(image: Image, axes: Axes) -> dict[str, Any]:
    """Return what puts a layer of labels where its image lies.

    Exact unless the layer is rotated or sheared across a fixed axis.
    """
    shift = np.zeros(image.ndim)
    for axis, index in axes.fixed.items():
        shift[axis] = index
    return {
        "scale": image.scale,
        "translate": np.asarray(image.translate) + np.asarray(image.scale) * shift,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "axis_labels": image.axis_labels,
        "units": image.units,
    }


def place(layer: Layer, image: Image, axes: Axes) -> None:
    """Put a layer where its image lies now."""
    for name, value in placement(image, axes).items():
        setattr(layer, name, value)


def mark(role: str, folder: str | PathLike[str]) -> dict[str, Any]:
    """Return the metadata that say what a layer of ours is, and of which session."""
    return {_METADATA: {"role": role, "folder": str(folder)}}


def left_layer(
    viewer: ViewerModel, ndim: int, role: str, folder: str | PathLike[str]
) -> Any | None:
    """Return the layer of so many axes that a session has left in the viewer, or None.

    Another movie may have the same name, and another session the same movie.
    """
    wanted = mark(role, folder)[_METADATA]
    for layer in viewer.layers:
        if layer.metadata.get(_METADATA) == wanted and layer.ndim == ndim:
            return layer
    return None


def add_or_replace(
    viewer: ViewerModel,
    layer: Layer,
    role: str,
    folder: str | PathLike[str],
    *,
    looks: Iterable[str],
) -> Any | None:
    """Add a layer, in the place and with the looks of the one that its session has left.

    Returns that one, which is gone then, or None.
    """
    layers = viewer.layers
    old, at = left_layer(viewer, layer.ndim, role, folder), len(layers)
    if old is not None:
        at = layers.index(old)
        for name in looks:
            setattr(layer, name, getattr(old, name))
        layers.remove(old)
    layers.insert(at, layer)
    return old
