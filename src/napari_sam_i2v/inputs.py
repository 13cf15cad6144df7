"""Whatever a caller calls a movie or prompts, as the engine takes them; the one edge of scripts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.job import plain
from napari_sam_i2v.movies.units import plain_steps

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.widget.layers import Axes

__all__ = ["MovieInput", "open_input", "points_to_prompts"]


@dataclass(frozen=True)
class MovieInput:
    """A movie as the engine reads it, and the napari Image layer it came from, if it did.

    Attributes
    ----------
    pixels
        (T, Y, X) or (T, Y, X, 3): a `Movie` or an array, not read yet.
    image, axes
        The Image layer, and which of its axes are time, y and x.
    contrast
        The layer's contrast limits, or what the file says; None where the movie's own percentiles
        are to be used.
    z
        The plane that was chosen of a movie with depth.
    """

    pixels: Any
    image: Any = None
    axes: Axes | None = None
    contrast: tuple[float, float] | None = None
    z: int | None = None

    def prompts(self, given: Any) -> list[Prompt]:
        """Prompts from a file, `Prompt`s, points (N, 3), a label image, or Points layers.

        Points of layers go through world coordinates where the movie is a layer too; otherwise
        they are data pixels (frame, y, x). A Labels layer counts as its array. Rectangles of Shapes
        layers are boxes; they need the movie's layer.
        """
        several = list(given) if isinstance(given, list | tuple) else [given]
        if len(several) == 1 and _is_layer(several[0], "selected_label"):
            given, several = several[0].data, []
        elif any(_is_layer(one, "shape_type") for one in several):
            return self._boxes(several)
        if self.image is not None and several and all(_is_layer(g, "features") for g in several):
            return points_to_prompts(several, image=self.image, axes=self.axes)
        return _prompts(given, tuple(self.pixels.shape), self.z)

    def _boxes(self, layers: Sequence[Any]) -> list[Prompt]:
        """Boxes of Shapes layers."""
        from napari_sam_i2v.widget.given_layers import prompts_from_layer

        image, axes = self.image, self.axes
        if image is None or axes is None or not all(_is_layer(x, "shape_type") for x in layers):
            raise PromptError(
                "Shapes layers are taken by themselves, and where the movie is an Image layer. "
                "Give the layers that they lie on, or boxes: Prompt(object_id, frame, box=...)."
            )
        prompts: list[Prompt] = []
        for layer in layers:
            taken = {one.object_id for one in prompts}
            prompts += prompts_from_layer(image, axes, layer, frame=0, taken=taken)
        return prompts

    def labels_layer(self, labels: Any) -> Any:
        """Return a napari Labels layer (in no viewer yet) that lies on the movie."""
        from napari.layers import Labels

        from napari_sam_i2v.widget.layers import layer_data, placement

        if self.image is None or self.axes is None:
            scale = getattr(self.pixels, "scale", (1.0, 1.0, 1.0))
            name = getattr(self.pixels, "name", "movie")
            return Labels(getattr(labels, "array", labels), name=f"{name} tracked", scale=scale,
                          axis_labels=("t", "y", "x"))  # fmt: skip
        placed = placement(self.image, self.axes)
        data = layer_data(labels, self.axes)
        return Labels(data, name=f"{self.image.name} tracked", **placed)


def open_input(
    movie: Any,
    *,
    channel: int | str | None = None,
    z: int | None = None,
    axes: str | None = None,
    scene: int | str | None = None,
) -> MovieInput:
    """Open a file or folder, an array, a `Movie` or a napari Image layer as a movie.

    Parameters
    ----------
    movie
        See `segment`. No frame is read.
    channel, z, axes, scene
        Which part of it, where there are several; see `segment`.

    Raises
    ------
    InputError
        If it is no movie, or if what is chosen is not in it.
    """
    channel, z, scene = plain(channel), plain(z), plain(scene)
    if not _is_layer(movie, "contrast_limits"):
        opened = _opened(movie, channel, z, axes, scene)
        return MovieInput(opened, contrast=getattr(opened, "contrast", None), z=z)
    from napari_sam_i2v.widget.layers import contrast_limits, movie_array

    if axes is not None or scene is not None:
        raise InputError(
            "axes and scene choose what is read from a file; of a layer, set its axis_labels, and "
            "choose the layer."
        )
    found = _layer_axes(movie, channel, z)
    pixels = _LayerMovie(movie, found, movie_array(movie, found))
    if movie.rgb and channel is not None:
        pixels.data = _one_colour(pixels.data, channel)
    return MovieInput(pixels, movie, found, contrast_limits(movie), z)


def points_to_prompts(
    layers: Any | Sequence[Any], *, image: Any = None, axes: Axes | None = None
) -> list[Prompt]:
    """Turn napari Points layers into prompts.

    Parameters
    ----------
    layers
        One Points layer, or several.
    image, axes
        The Image layer that they lie on, and which of its axes are time, y and x; then points go
        through world coordinates. Without, they are data pixels (frame, y, x).

    Raises
    ------
    PromptError
        If a point or a feature cannot be used.
    """
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.widget.layers import Axes, read_clicks

    chosen = list(layers) if isinstance(layers, list | tuple) else [layers]
    if image is None:
        image, chosen = _plain_image(), [_plain_points(layer) for layer in chosen]
        axes = Axes(0, {}, (2**31, 2**31, 2**31))  # whether they lie inside is checked later
    if axes is None:
        raise InputError("An image layer needs its axes: see napari_sam_i2v.widget.layers.")
    return [
        Prompt(one.object_id, one.frame, np.array(one.points, float), np.array(one.labels))
        for one in read_clicks(image, axes, chosen)
    ]


# ---- movies and prompts -----------------------------------------------------------------------


def _opened(
    movie: Any,
    channel: int | str | None,
    z: int | None,
    axes: str | None,
    scene: int | str | None,
) -> Any:
    """Movie or array (T, Y, X[, 3]) of what the caller calls a movie."""
    from napari_sam_i2v.movies.movie import open_movie

    if isinstance(movie, str | os.PathLike):
        return open_movie(movie, channel=channel, z=z, axes=axes, scene=scene)
    if z is not None or axes is not None or scene is not None:
        raise InputError(
            "z, axes and scene choose what is read from a file; of an array, give the (T, Y, X) "
            "part."
        )
    pixels = movie if hasattr(movie, "shape") else np.asarray(movie)
    if getattr(getattr(pixels, "dtype", None), "kind", "f") not in "buif":
        raise InputError(
            f"A movie needs grey values, whole or decimal numbers; it holds {pixels.dtype}."
        )
    return _one_colour(pixels, channel)


def _one_colour(pixels: Any, channel: int | str | None) -> Any:
    if channel is None:
        return pixels
    colours = pixels.shape[3] if len(pixels.shape) == 4 else 0
    if not isinstance(channel, int) or not 0 <= channel < colours:
        raise InputError(
            f"The channel of an array is the number of a colour of (T, Y, X, 3), got {channel!r} "
            f"for the shape {tuple(pixels.shape)}. Give the (T, Y, X) part of the channel."
        )
    from napari_sam_i2v.propagation.frames import OneChannel

    return OneChannel(pixels, channel)


def _prompts(given: Any, shape: tuple[int, ...], z: int | None) -> list[Prompt]:
    """Prompts of whatever says where the objects are."""
    from napari_sam_i2v.prompt_files import read_prompts
    from napari_sam_i2v.propagation.prompts import Prompt

    if isinstance(given, str | os.PathLike) or hasattr(given, "to_csv"):
        return read_prompts(given, movie_shape=shape, z=z)
    if isinstance(given, Prompt):
        return [given]
    if _is_layer(given, "features"):
        return points_to_prompts(given)
    if not hasattr(given, "shape") and isinstance(given, Iterable):
        given = list(given)
        if given and all(isinstance(one, Prompt) for one in given):
            return given
        if given and all(_is_layer(one, "features") for one in given):
            return points_to_prompts(given)
    return _array_prompts(given, shape)


def _array_prompts(given: Any, shape: tuple[int, ...]) -> list[Prompt]:
    from napari_sam_i2v.prompt_files import read_prompts
    from napari_sam_i2v.propagation.prompts import Prompt

    array = _as_array(given)
    if tuple(array.shape) in (tuple(shape[:3]), tuple(shape[1:3])):
        return read_prompts(array, movie_shape=shape)
    if len(array.shape) != 2 or array.shape[1] != 3 or np.dtype(array.dtype).kind not in "iuf":
        raise PromptError(
            "Prompts must be a file, a table with the columns of one, a list of Prompt, points "
            "(N, 3) as (frame, y, x), a label image of the movie's size "
            f"{tuple(shape[:3])}, or Points layers; got "
            f"{type(given).__name__} of shape {tuple(array.shape)}."
        )
    rows = np.asarray(array, float)
    if not np.isfinite(rows).all():
        raise PromptError("Points (frame, y, x) must be finite numbers.")
    if len(between := rows[rows[:, 0] != np.round(rows[:, 0]), 0]):
        raise PromptError(
            f"Points are (frame, y, x) with a whole number for the frame; got {between[0]:g}."
        )
    return [
        Prompt(i, int(frame), np.array([[y, x]])) for i, (frame, y, x) in enumerate(rows, start=1)
    ]


def _as_array(given: Any) -> Any:
    """Give an array of numpy's kind, as lazy as it is; of text where it is something else."""
    try:
        np.dtype(given.dtype)
    except (AttributeError, TypeError):
        try:
            return np.asarray(given)
        except (ValueError, TypeError):  # rows of several lengths, or of several kinds
            return np.array([str(type(given))])
    return given


def _is_layer(thing: Any, attribute: str) -> bool:
    """Whether something is a napari layer of the kind that has an attribute."""
    return hasattr(thing, "data_to_world") and hasattr(thing, attribute)


def _plain_image() -> Any:
    return SimpleNamespace(
        name="the movie", ndim=3, axis_labels=("t", "y", "x"), world_to_data=lambda at: at
    )


def _plain_points(layer: Any) -> Any:
    return SimpleNamespace(
        name=layer.name, data=layer.data, ndim=layer.ndim, features=layer.features,
        data_to_world=lambda at: at,
    )  # fmt: skip


# ---- napari layers ----------------------------------------------------------------------------


class _LayerMovie:
    """The movie in an Image layer, with the names and steps that a file would have."""

    def __init__(self, image: Any, axes: Axes, data: Any) -> None:
        shown = (axes.time, image.ndim - 2, image.ndim - 1)
        self.name, self.data = str(image.name), data
        units = [_unit(image.units[axis]) for axis in shown]
        self.scale, self.units = plain_steps([image.scale[axis] for axis in shown], units)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.data.dtype)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.data[index])


def _unit(unit: Any) -> str:
    return str(getattr(unit, "units", unit))


def _layer_axes(image: Any, channel: int | str | None, z: int | None) -> Axes:
    """Axes of a layer; `channel` and `z` say where those that are not time, y, x stand."""
    from napari_sam_i2v.widget.layers import level0, resolve_axes, time_axis

    at = np.zeros(image.ndim)
    extra = [axis for axis in range(image.ndim - 2) if axis != time_axis(image)]
    for axis in extra:
        at[axis] = _position(image, axis, channel, z, alone=len(extra) == 1)
        if not 0 <= at[axis] < level0(image).shape[axis]:
            raise InputError(
                f"Axis “{image.axis_labels[axis]}” of “{image.name}” has "
                f"{level0(image).shape[axis]} positions; there is no {at[axis]:g}."
            )
    return resolve_axes(image, image.data_to_world(at))


def _position(
    image: Any, axis: int, channel: int | str | None, z: int | None, *, alone: bool
) -> int:
    name = str(image.axis_labels[axis]).lower()
    given = z if name in ("z", "depth") else channel
    if alone and given is None and name not in ("z", "depth", "c", "channel"):
        given = z  # an unnamed axis is whichever was given
    if not isinstance(given, int):
        raise InputError(
            f"“{image.name}” has a further axis “{image.axis_labels[axis]}”: say which position "
            "with channel= or z= (a number)."
        )
    return given
