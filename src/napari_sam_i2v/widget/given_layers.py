"""Prompts out of layers that the user drew, or a segmentation made, before."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.widget.layers import (
    MAX_OBJECT_ID,
    Axes,
    between,
    column,
    level0,
    whole,
)
from napari_sam_i2v.widget.placing import Placing

if TYPE_CHECKING:
    from napari.layers import Image

BOX_SHAPES = ("rectangle", "ellipse", "polygon")


def prompts_from_layer(
    image: Image,
    axes: Axes,
    layer: Points | Shapes | Labels,
    *,
    frame: int,
    taken: Collection[int],
) -> list[Prompt]:
    """Make prompts of a layer of points, shapes or labels.

    Parameters
    ----------
    image : Image
        The layer the movie comes from.
    axes : Axes
        How its axes are used.
    layer : Points or Shapes or Labels
        Points are clicks: a feature `label` says on (1) or off (0) the object. Rectangles, ellipses
        and polygons are boxes. A feature `object_id` names the object; without it each point or
        shape is an object of its own. Labels are a mask per value.
    frame : int
        Which frame of a Labels layer is used; where a layer without a time axis belongs.
    taken : collection of int
        Objects there are already. What has no id gets the next free one, and so do labels whose
        value is taken.

    Returns
    -------
    list of Prompt
        One per object and frame for points and labels, one per shape.

    Raises
    ------
    PromptError
        When the layer is empty (on that frame), or holds what cannot be used.
    InputError
        When it is another kind of layer.
    """
    if isinstance(layer, Labels):
        return _from_labels(image, axes, layer, frame=frame, taken=taken)
    if not isinstance(layer, Points | Shapes):
        raise InputError(
            "Prompts come from a Points, Shapes or Labels layer; "
            f"“{getattr(layer, 'name', layer)}” is none. Choose another layer."
        )
    if not len(layer.data):
        raise PromptError(f"“{layer.name}” is empty: draw on the objects first, or choose another.")
    placing = Placing(image, axes, layer, frame=frame)
    read = _from_points if isinstance(layer, Points) else _from_shapes
    return read(layer, placing, taken)


class _Ids:
    """Gives out object ids: those that were asked for, else the next free one."""

    def __init__(self, used: Iterable[int]) -> None:
        self._next = max(used, default=0) + 1

    def fresh(self) -> int:
        if self._next > MAX_OBJECT_ID:
            raise PromptError(
                f"There is no free object id up to {MAX_OBJECT_ID}. Remove objects, or give the "
                "new ones ids of your own."
            )
        self._next += 1
        return self._next - 1


def _named_ids(layer: Points | Shapes, noun: str) -> list[int | None]:
    return [
        None if value is None
        else whole(layer, "object_id", row, value, 1, MAX_OBJECT_ID, noun=noun)
        for row, value in enumerate(column(layer, "object_id"))
    ]  # fmt: skip


def _all_ids(layer: Points | Shapes, noun: str, taken: Collection[int]) -> list[int]:
    named = _named_ids(layer, noun)
    ids = _Ids([*taken, *(i for i in named if i is not None)])
    return [ids.fresh() if i is None else i for i in named]


def _from_points(layer: Points, placing: Placing, taken: Collection[int]) -> list[Prompt]:
    labels = [
        1 if value is None else whole(layer, "label", row, value, 0, 1)
        for row, value in enumerate(column(layer, "label"))
    ]
    for row, (named, label) in enumerate(zip(_named_ids(layer, "point"), labels, strict=True)):
        if named is None and label == 0:
            raise PromptError(
                f"“{layer.name}”: point {row + 1} has label 0 (not the object) but no object_id. "
                "Give it the object_id of the object it corrects."
            )
    rounds: dict[tuple[int, int], list[tuple[float, float, int]]] = {}
    for row, object_id in enumerate(_all_ids(layer, "point", taken)):
        frame, y, x = placing.point(layer.data[row], f"“{layer.name}”: point {row + 1}")
        rounds.setdefault((object_id, frame), []).append((y, x, labels[row]))
    return [
        Prompt(
            object_id,
            frame,
            points=np.array([click[:2] for click in clicks]),
            labels=np.array([click[2] for click in clicks]),
        )
        for (object_id, frame), clicks in rounds.items()
    ]


def _from_shapes(layer: Shapes, placing: Placing, taken: Collection[int]) -> list[Prompt]:
    for row, kind in enumerate(layer.shape_type):
        if kind not in BOX_SHAPES:
            raise PromptError(
                f"“{layer.name}”: shape {row + 1} is a {kind}; a box comes from a rectangle, an "
                "ellipse or a polygon. Delete it, or draw around the object."
            )
    prompts = []
    for row, object_id in enumerate(_all_ids(layer, "shape", taken)):
        frame, box = placing.box(layer.data[row], f"“{layer.name}”: shape {row + 1}")
        prompts.append(Prompt(object_id, frame, box=box))
    return prompts


def _from_labels(
    image: Image, axes: Axes, layer: Labels, *, frame: int, taken: Collection[int]
) -> list[Prompt]:
    plane = _on_movie(image, axes, layer, frame)
    values = [int(value) for value in np.unique(plane) if value != 0]
    if not values:
        raise PromptError(
            f"“{layer.name}” has no labels where frame {frame} of “{image.name}” lies. Go to a "
            "frame with labels, or check the layers' scale and position."
        )
    keep = {value for value in values if 0 < value <= MAX_OBJECT_ID} - set(taken)
    ids = _Ids([*taken, *keep])
    return [
        Prompt(value if value in keep else ids.fresh(), frame, mask=plane == value)
        for value in values
    ]


def _on_movie(image: Image, axes: Axes, layer: Labels, frame: int) -> NDArray[Any]:
    """Return the labels at each pixel of a frame (Y, X), by nearest neighbour; 0 outside."""
    if layer.ndim not in (2, image.ndim):
        raise PromptError(
            f"“{layer.name}” has {layer.ndim} axes; labels of the movie “{image.name}” need "
            f"{image.ndim} (like the movie's own), or 2 for one frame."
        )
    to_layer = between(image, layer)
    at = np.zeros(image.ndim)
    at[axes.time] = frame
    for axis, index in axes.fixed.items():
        at[axis] = index
    first, steps = to_layer(at), to_layer.matrix[:, -2:]
    plane = _plane(layer, first[:-2], steps[:-2], frame)
    return _nearest(plane, first[-2:], steps[-2:], axes.shape[1:])


def _plane(
    layer: Labels, lead: NDArray[np.float64], tilt: NDArray[np.float64], frame: int
) -> NDArray[Any]:
    """Read one plane, and only that: the layer may be a large zarr or dask array."""
    data = level0(layer)
    index = tuple(int(i) for i in np.round(lead))
    if not np.allclose(tilt, 0):
        raise PromptError(
            f"“{layer.name}” is tilted against the movie's frames: labels must lie in their plane."
        )
    if any(not 0 <= i < n for i, n in zip(index, data.shape, strict=False)):
        raise PromptError(
            f"“{layer.name}” of shape {tuple(data.shape)} has nothing on frame {frame}: that is "
            f"position {', '.join(map(str, index))} of its leading axes. Go to a frame which it "
            "has, or correct the layer's scale."
        )
    return np.asarray(data[index] if index else data)


def _nearest(
    plane: NDArray[Any],
    first: NDArray[np.float64],
    steps: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[Any]:
    """Sample a plane at first + steps @ (y, x) for all pixels (y, x) of a shape."""
    if plane.shape == shape and np.allclose(first, 0) and np.allclose(steps, np.eye(2)):
        return plane
    out = np.zeros(shape, plane.dtype)
    columns = np.arange(shape[1])
    for y in range(shape[0]):  # by rows: a map of all positions would need much memory
        rows, cols = (
            # Half goes up, always: rounding to even would drop and double pixels.
            np.floor(first[i] + steps[i, 0] * y + steps[i, 1] * columns + 0.5 + 1e-9).astype(int)
            for i in (0, 1)
        )
        inside = (rows >= 0) & (rows < plane.shape[0]) & (cols >= 0) & (cols < plane.shape[1])
        out[y, inside] = plane[rows[inside], cols[inside]]
    return out
