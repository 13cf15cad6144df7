"""What a session is given, checked; errors say what is required, what was got, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_sam_i2v.errors import InputError, MovieError, PromptError
from napari_sam_i2v.propagation.frames import Contrast, MovieLike, OneChannel, without_alpha


def as_box(box: Sequence[float]) -> tuple[float, float, float, float]:
    """Return a box of four numbers (y0, x0, y1, x1); `PromptError` for anything else."""
    if len(box) != 4:
        raise PromptError(f"A box is (y0, x0, y1, x1), got {tuple(box)!r}.")
    y0, x0, y1, x1 = (float(v) for v in box)
    return y0, x0, y1, x1


def checked_movie(movie: MovieLike, channel: int | None) -> MovieLike:
    """Return a movie of axes (T, Y, X) or (T, Y, X, 3), or one channel of it; else `MovieError`."""
    shape = getattr(movie, "shape", None)
    if shape is None:
        movie = np.asarray(movie)
        shape = movie.shape
    rgb = len(shape) == 4 and shape[-1] in (3, 4)
    if not (len(shape) == 3 or rgb) or 0 in shape:
        raise MovieError(
            "A movie needs the axes (T, Y, X), or (T, Y, X, 3) for RGB, none of them empty; got "
            f"the shape {tuple(shape)}. Choose one channel or one z first."
        )
    if channel is None:
        return without_alpha(movie)
    if not rgb or not 0 <= channel < shape[-1]:
        raise MovieError(f"There is no channel {channel} in a movie of shape {tuple(shape)}.")
    return OneChannel(movie, channel)


def checked_labels(labels: Any, shape: tuple[int, ...]) -> Any:
    """Return labels of the movie's shape, new ones where not given; else `InputError`."""
    if labels is None:
        return np.zeros(shape, np.uint16)
    if not (hasattr(labels, "shape") and hasattr(labels, "dtype")):
        raise InputError(f"Labels must be an array to write to, got {type(labels).__name__}.")
    if isinstance(labels, np.ndarray) and not labels.flags.writeable:
        raise InputError("Labels must be an array to write to, this one is read-only: copy it.")
    if tuple(labels.shape) != tuple(shape):
        raise InputError(
            f"Labels of the movie's shape {tuple(shape)} are required, got {tuple(labels.shape)}."
        )
    return labels


def check_room(labels: Any, object_id: int) -> None:
    """Check that labels can hold an object id; else `InputError`."""
    kind = np.dtype(labels.dtype)
    if kind.kind not in "ui" or object_id > np.iinfo(kind).max:
        raise InputError(
            f"Labels of type {kind} cannot hold object {object_id}: give uint16 labels."
        )


def checked_contrast(given: Sequence[float] | None) -> Contrast | None:
    """Return a contrast mapping from (low, high[, gamma]); `InputError` where it is none."""
    if given is None:
        return None
    low, high, gamma = (*(float(v) for v in given), 1.0)[:3]
    if not (np.isfinite([low, high, gamma]).all() and low < high and gamma > 0):
        raise InputError(f"Contrast limits (low, high) with low < high are required: {given!r}.")
    return Contrast(low, high, gamma)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Check that an option is one of its choices; else `InputError`."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
