"""`segment`: the whole job in one call, from files, arrays or napari layers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.job import Direction, Filter, Job, Settings, ViewMode, make_job
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN
from napari_sam_i2v.results import LabelOutput

if TYPE_CHECKING:
    from napari_sam_i2v.network.sam_i2v import SamI2V
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.widget.layers import Axes

__all__ = ["points_to_prompts", "segment"]


def segment(
    movie: Any,
    prompts: Any,
    *,
    model: str | Path | SamI2V = "default",
    output: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    direction: Direction = "forward",
    frames: range | tuple[int, int] | None = None,
    channel: int | str | None = None,
    z: int | None = None,
    axes: str | None = None,
    view: ViewMode = "auto",
    seed: int = 0,
    contrast: tuple[float, float] | None = None,
    memory_filter: Filter = "top-k",
    overwrite: bool = False,
    progress: bool = False,
) -> Any:
    """Track prompted objects through a movie.

    Parameters
    ----------
    movie
        A file or folder (see `open_movie`), a `Movie`, an array (T, Y, X) or (T, Y, X, 3), or a
        napari Image layer.
    prompts
        A file (CSV, JSON or label image, see `napari_sam_i2v.prompt_files`), a list of `Prompt`,
        an array of points (N, 3) as (frame, y, x) with an object for each, a label image (Y, X)
        or (T, Y, X), or one or several napari Points layers with the optional features
        `object_id` and `label` (1 on the object, 0 not).
    model
        Name, file, or a network; see `load_model`.
    output
        Write the labels here, frame by frame: .tif, .tiff or .zarr. Needed for movies whose
        labels do not fit into memory.
    device, precision, direction, view, seed, memory_filter
        As for `Session` and `Session.propagate`.
    frames
        Stay within a range (or, as a tuple, from A up to B, not included); the labels still have
        the movie's shape, with zeros elsewhere.
    channel, z
        Of a movie with several. For an array (T, Y, X, 3), `channel` is the colour.
    axes
        What the axes of a file are, where it does not tell; see `open_movie`.
    contrast
        Grey values (black, white) for the whole movie. By default an Image layer's contrast
        limits, else robust percentiles.
    overwrite
        Whether an older result of ours at `output` may be replaced.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    labels
        (T, Y, X), 0 is background and values are the prompts' object ids. For an Image layer a
        napari Labels layer that lies on it (it belongs to no viewer yet). Otherwise a uint16
        numpy array, or with `output` a lazy array of that file: zarr, or dask for a TIFF.

    Raises
    ------
    InputError
        If something given cannot be used; nothing is written then.
    OutputError
        If the output cannot be written. Finished frames are kept.

    Notes
    -----
    Points of a Points layer are converted from world to data coordinates when the movie is an
    Image layer. For any other movie they are taken as data pixels, whatever the layer's scale.
    """
    target = None if output is None else LabelOutput(output, overwrite=overwrite)
    settings = Settings(
        model=model, device=device, precision=precision, direction=direction,
        frames=range(*frames) if isinstance(frames, tuple) else frames,
        view=view, memory_filter=memory_filter, seed=seed, contrast=contrast,
        channel=channel, z=z, axes=axes,
    )  # fmt: skip
    if _is_layer(movie, "contrast_limits"):
        return _segment_layer(movie, prompts, settings, target, progress)
    pixels = _opened(movie, settings)
    job = make_job(pixels, _prompts(prompts, tuple(pixels.shape)), settings)
    return _tracked(job, target, progress)


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


def _opened(movie: Any, settings: Settings) -> Any:
    """Movie or array (T, Y, X[, 3]) of what the caller calls a movie."""
    from napari_sam_i2v.movies.movie import open_movie

    if isinstance(movie, str | os.PathLike):
        return open_movie(movie, channel=settings.channel, z=settings.z, axes=settings.axes)
    if settings.z is not None or settings.axes is not None:
        raise InputError(
            "z and axes choose what is read from a file; of an array, give the (T, Y, X) part."
        )
    pixels = movie if hasattr(movie, "shape") else np.asarray(movie)
    return _one_colour(pixels, settings.channel)


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


def _prompts(given: Any, shape: tuple[int, ...]) -> list[Prompt]:
    """Prompts of whatever says where the objects are."""
    from napari_sam_i2v.prompt_files import read_prompts
    from napari_sam_i2v.propagation.prompts import Prompt

    if isinstance(given, str | os.PathLike):
        return read_prompts(given, movie_shape=shape)
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

    array = given if hasattr(given, "shape") else np.asarray(given)
    if tuple(array.shape) in (tuple(shape[:3]), tuple(shape[1:3])):
        return read_prompts(array, movie_shape=shape)
    if len(array.shape) != 2 or array.shape[1] != 3 or np.dtype(array.dtype).kind not in "iuf":
        raise PromptError(
            "Prompts must be a file, a list of Prompt, points (N, 3) as (frame, y, x), a label "
            f"image of the movie's size {tuple(shape[:3])}, or Points layers; got "
            f"{type(given).__name__} of shape {tuple(array.shape)}."
        )
    rows = np.asarray(array, float)
    if not np.isfinite(rows).all():
        raise PromptError("Points (frame, y, x) must be finite numbers.")
    return [
        Prompt(i, round(float(frame)), np.array([[y, x]]))
        for i, (frame, y, x) in enumerate(rows, start=1)
    ]


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


# ---- running ----------------------------------------------------------------------------------


def _tracked(job: Job, target: LabelOutput | None, progress: bool) -> Any:
    """Run a job into memory or a file, and return the labels."""
    job = job.with_contrast()
    if target is None:
        labels = np.zeros(job.shape, np.uint16)
        _drain(job, labels, progress)
        return labels
    store = target.open(
        shape=job.shape, scale=job.scale, units=job.units, metadata=job.provenance()
    )
    try:
        _drain(job, store, progress)
    except BaseException:
        target.keep()
        raise
    return _lazy(target.finish())


def _drain(job: Job, labels: Any, progress: bool) -> None:
    for _ in with_progress(job.run(labels), job.steps, show=progress):
        pass


def with_progress(results: Iterator[Any], total: int, *, show: bool | None) -> Iterator[Any]:
    """Show a progress bar on stderr; `show` None means on a terminal only."""
    from tqdm import tqdm

    disabled = None if show is None else not show
    yield from tqdm(results, total=total, unit="frame", disable=disabled, leave=False)


def _lazy(path: Path) -> Any:
    """Labels of a finished file, sliceable without reading it all."""
    if path.suffix.lower() == ".zarr":
        from napari_sam_i2v.movies.labels import LabelStore

        return LabelStore.open(path).array
    from napari_sam_i2v.movies.movie import open_movie

    return open_movie(path).as_dask()


# ---- napari layers ----------------------------------------------------------------------------


def _segment_layer(
    image: Any, prompts: Any, settings: Settings, target: LabelOutput | None, progress: bool
) -> Any:
    """Track in an Image layer; return a Labels layer that lies on it."""
    from napari_sam_i2v.widget.layers import contrast_limits, movie_array

    if settings.axes is not None:
        raise InputError("axes names those of a file; of a layer, set its axis_labels.")
    axes = _layer_axes(image, settings)
    pixels = _LayerMovie(image, axes, movie_array(image, axes))
    if image.rgb and settings.channel is not None:
        pixels.data = _one_colour(pixels.data, settings.channel)
    chosen = prompts if isinstance(prompts, list | tuple) else [prompts]
    layers = chosen and all(_is_layer(one, "features") for one in chosen)
    if layers:
        ready = points_to_prompts(chosen, image=image, axes=axes)
    else:
        ready = _prompts(prompts, pixels.shape)
    if settings.contrast is None:
        settings = replace(settings, contrast=contrast_limits(image))
    labels = _tracked(make_job(pixels, ready, settings), target, progress)
    return _labels_layer(image, axes, labels)


class _LayerMovie:
    """The movie in an Image layer, with the names and steps that a file would have."""

    def __init__(self, image: Any, axes: Axes, data: Any) -> None:
        shown = (axes.time, image.ndim - 2, image.ndim - 1)
        self.name, self.data = str(image.name), data
        self.scale = tuple(float(image.scale[axis]) for axis in shown)
        t, y, x = (_unit(image.units[axis]) for axis in shown)
        # To napari, which knows no frames, the unit of an uncalibrated time axis is a pixel.
        self.units = (TIME_UNKNOWN if t == SPACE_UNKNOWN else t, y, x)

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


def _layer_axes(image: Any, settings: Settings) -> Axes:
    """Axes of a layer; `channel` and `z` say where those that are not time, y, x stand."""
    from napari_sam_i2v.widget.layers import level0, resolve_axes, time_axis

    at = np.zeros(image.ndim)
    extra = [axis for axis in range(image.ndim - 2) if axis != time_axis(image)]
    for axis in extra:
        at[axis] = _position(image, axis, settings, alone=len(extra) == 1)
        if not 0 <= at[axis] < level0(image).shape[axis]:
            raise InputError(
                f"Axis “{image.axis_labels[axis]}” of “{image.name}” has "
                f"{level0(image).shape[axis]} positions; there is no {at[axis]:g}."
            )
    return resolve_axes(image, image.data_to_world(at))


def _position(image: Any, axis: int, settings: Settings, *, alone: bool) -> int:
    name = str(image.axis_labels[axis]).lower()
    given = settings.z if name in ("z", "depth") else settings.channel
    if alone and given is None and name not in ("z", "depth", "c", "channel"):
        given = settings.z  # an unnamed axis is whichever was given
    if not isinstance(given, int):
        raise InputError(
            f"“{image.name}” has a further axis “{image.axis_labels[axis]}”: say which position "
            "with channel= or z= (a number)."
        )
    return given


def _labels_layer(image: Any, axes: Axes, labels: Any) -> Any:
    from napari.layers import Labels

    from napari_sam_i2v.widget.controller import _layer_data, _translate

    data = labels if not axes.fixed else _layer_data(np.asarray(labels), axes)
    return Labels(
        data,
        name=f"{image.name} tracked",
        scale=image.scale,
        translate=_translate(image, axes),
        rotate=image.rotate,
        shear=image.shear,
        affine=image.affine,
        axis_labels=image.axis_labels,
        units=image.units,
    )
