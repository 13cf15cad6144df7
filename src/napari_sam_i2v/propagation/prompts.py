"""Prompts: what a user points at. Points, boxes and masks per object and frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import PromptError

__all__ = [
    "MAX_OBJECT_ID",
    "Prompt",
    "PromptBook",
    "clicks",
    "confines",
    "points_out",
    "positive_points",
]

MAX_OBJECT_ID = 65_535
"""Label images are written as uint16."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """One round of prompting of one object on one frame.

    Rounds on the same frame build on each other: later points are added to earlier ones, and the
    network is shown its previous answer. A box or a mask starts over.

    Attributes
    ----------
    object_id
        1 to 65,535: the value of the object in the label image.
    frame
        Movie frame.
    points
        (N, 2) positions (y, x) in data pixels.
    labels
        (N,) 1 for a positive point, 0 for a negative one; all positive where not given.
    box
        (y0, x0, y1, x1) in data pixels.
    mask
        (Y, X) bool, the whole frame; an empty mask says that the object is not there.
    correction
        Whether the frame had been tracked already: the answer then uses the object's memory.

    Raises
    ------
    PromptError
        If nothing is prompted, or a value makes no sense.
    """

    object_id: int
    frame: int
    points: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None
    correction: bool = False

    def __post_init__(self) -> None:
        self._check_ids()
        if self.points is None and self.box is None and self.mask is None:
            raise self._error("needs points, a box or a mask; it has none")
        if self.mask is not None and (self.points is not None or self.box is not None):
            raise self._error("has a mask together with points or a box: give one of them")
        if self.points is not None:
            self._set_points()
        if self.box is not None:
            self._set_box()
        if self.mask is not None:
            self._set_mask()

    @cached_property
    def absent(self) -> bool:
        """Whether this says that the object is not on the frame: an empty mask."""
        return self.mask is not None and not self.mask.any()

    def check_inside(self, shape: Sequence[int]) -> None:
        """Check the prompt against a movie of shape (T, Y, X).

        Raises
        ------
        PromptError
            If its frame or a position lies outside.
        """
        frames, height, width = shape[:3]
        if self.frame >= frames:
            raise self._error(
                f"is on frame {self.frame}, but the movie has frames 0 to {frames - 1}"
            )
        if self.mask is not None and self.mask.shape != (height, width):
            raise self._error(
                f"has a mask of shape {self.mask.shape}; the movie's frames are {height} x {width}"
            )
        if self.box is not None and not self._overlaps(height, width):
            raise self._error(f"has a box {self.box} outside the movie's {height} x {width} pixels")
        for y, x in self._positions():
            if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
                raise self._error(
                    f"points at y={y:g}, x={x:g}, outside the movie's {height} x {width} pixels "
                    "(positions are y, x in data pixels, not in calibrated units)"
                )

    def within(self, shape: Sequence[int]) -> Prompt:
        """Return the prompt with what reaches past a movie of shape (T, Y, X) cut at its border.

        A point on the outer half of a border pixel lies on that pixel.
        """
        _, height, width = shape[:3]
        points = self.points
        if points is not None:
            points = np.clip(points, 0, (height - 1, width - 1))
        box = self.box
        if box is not None:
            box = max(box[0], 0), max(box[1], 0), min(box[2], height), min(box[3], width)
        return replace(self, points=points, box=box)

    def _overlaps(self, height: int, width: int) -> bool:
        y0, x0, y1, x1 = self.box or (0, 0, 0, 0)
        return y0 < height and x0 < width and y1 > 0 and x1 > 0

    def _positions(self) -> list[tuple[float, float]]:
        if self.points is not None:
            return [(float(y), float(x)) for y, x in self.points]
        return []

    def _check_ids(self) -> None:
        for name in ("object_id", "frame"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise PromptError(f"A prompt's {name} must be an integer, got {value!r}.")
            self._set(name, int(value))
        if not 1 <= self.object_id <= MAX_OBJECT_ID:
            raise PromptError(
                f"Object ids must lie between 1 and {MAX_OBJECT_ID}, got {self.object_id}: "
                "0 is the background."
            )
        if self.frame < 0:
            raise self._error(f"is on frame {self.frame}; frames count from 0")

    def _set_points(self) -> None:
        points = np.array(self.points, np.float64)
        if points.ndim == 1 and points.size == 2:
            points = points[None]
        if points.ndim != 2 or points.shape[1] != 2 or not len(points):
            raise self._error(f"needs points of shape (N, 2) as (y, x), got shape {points.shape}")
        if not np.isfinite(points).all():
            raise self._error("has a position that is not a finite number")
        given = np.ones(len(points)) if self.labels is None else np.asarray(self.labels)
        if given.shape != (len(points),) or not np.isin(given, (0, 1)).all():
            raise self._error(
                "needs one label per point, 1 (positive) or 0 (negative), got "
                f"{given.tolist()!r} for {len(points)} points"
            )
        self._set("points", points)
        self._set("labels", given.astype(np.int64))

    def _set_box(self) -> None:
        box = np.asarray(self.box, np.float64)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise self._error(f"needs a box (y0, x0, y1, x1) of finite numbers, got {self.box!r}")
        y0, x0, y1, x1 = (float(v) for v in box)
        if y1 <= y0 or x1 <= x0:
            raise self._error(f"needs a box with y0 < y1 and x0 < x1, got {self.box!r}")
        self._set("box", (y0, x0, y1, x1))

    def _set_mask(self) -> None:
        mask = np.asarray(self.mask).astype(bool)
        # "Not here" on many frames takes no memory.
        self._set("mask", mask if mask.any() else np.broadcast_to(np.False_, mask.shape))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _error(self, what: str) -> PromptError:
        return PromptError(f"The prompt of object {self.object_id} on frame {self.frame} {what}.")


class PromptBook:
    """All rounds of prompting, by object and frame, in the order in which they were given."""

    def __init__(self, prompts: Iterable[Prompt] = ()) -> None:
        self._rounds: dict[int, dict[int, list[Prompt]]] = {}
        self._clicks: dict[int, dict[int, NDArray[np.float64]]] = {}  # until something changes
        for prompt in prompts:
            self.add(prompt)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects in the order of their first prompt."""
        return tuple(self._rounds)

    def frames(self, object_id: int) -> tuple[int, ...]:
        """Frames on which an object is prompted, in the order of prompting."""
        return tuple(self._rounds.get(object_id, ()))

    def rounds(self, object_id: int, frame: int) -> tuple[Prompt, ...]:
        """Rounds that matter on a frame: those from the last box or mask on.

        An empty mask says that the object is not there. Points off the object add nothing to
        that; a point on it takes it back.
        """
        rounds = self._rounds.get(object_id, {}).get(frame, [])
        starts = [i for i, r in enumerate(rounds) if r.box is not None or r.mask is not None]
        counting = tuple(rounds[starts[-1] :] if starts else rounds)
        if not counting or not counting[0].absent:
            return counting
        return counting[1:] if len(positive_points(counting[1:])) else counting[:1]

    def is_absent(self, object_id: int, frame: int) -> bool:
        """Whether a frame's prompts say that the object is not there."""
        rounds = self.rounds(object_id, frame)
        return bool(rounds) and rounds[0].absent

    def shown(self, object_id: int) -> tuple[int, ...]:
        """Frames whose prompts show the object, in the order of prompting."""
        return tuple(f for f in self.frames(object_id) if not self.is_absent(object_id, f))

    def clicks(self, frame: int) -> Mapping[int, NDArray[np.float64]]:
        """Object id -> its positive points (N, 2) on a frame, of objects that have some there."""
        # A pass asks for them once for each object.
        if frame not in self._clicks:
            self._clicks[frame] = self._find_clicks(frame)
        return MappingProxyType(self._clicks[frame])

    def _find_clicks(self, frame: int) -> dict[int, NDArray[np.float64]]:
        found = {}
        for object_id, frames in self._rounds.items():
            if frame not in frames:
                continue
            points = positive_points(self.rounds(object_id, frame))
            if len(points):
                found[object_id] = points
        return found

    def add(self, prompt: Prompt) -> None:
        """Add a round. The first round on a frame decides whether it is a correction."""
        self._clicks.pop(prompt.frame, None)
        rounds = self._rounds.setdefault(prompt.object_id, {}).setdefault(prompt.frame, [])
        if rounds and rounds[0].correction != prompt.correction:
            prompt = replace(prompt, correction=rounds[0].correction)
        rounds.append(prompt)

    def undo(self, object_id: int, frame: int) -> None:
        """Take the last round on a frame back."""
        self._clicks.pop(frame, None)
        rounds = self._rounds.get(object_id, {}).get(frame)
        if rounds:
            rounds.pop()
            if not rounds:
                self.clear(object_id, frame)

    def clear(self, object_id: int, frame: int) -> None:
        """Forget an object's prompts on a frame; an object without prompts is gone."""
        self._clicks.pop(frame, None)
        frames = self._rounds.get(object_id, {})
        frames.pop(frame, None)
        if not frames:
            self._rounds.pop(object_id, None)

    def remove(self, object_id: int) -> None:
        """Forget an object."""
        self._clicks.clear()
        self._rounds.pop(object_id, None)

    def __iter__(self) -> Iterator[Prompt]:
        """Iterate over all rounds."""
        for frames in self._rounds.values():
            for rounds in frames.values():
                yield from rounds


def clicks(rounds: Iterable[Prompt]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Points (N, 2) of some rounds, and which of them are positive (N,)."""
    some = [(r.points, r.labels == 1) for r in rounds if r.points is not None]
    points = np.concatenate([np.empty((0, 2)), *(points for points, _ in some)])
    return points, np.concatenate([np.empty(0, bool), *(positive for _, positive in some)])


def positive_points(rounds: Iterable[Prompt]) -> NDArray[np.float64]:
    """Positive points (N, 2) of some rounds."""
    points, positive = clicks(rounds)
    return points[positive]


def points_out(rounds: Sequence[Prompt]) -> bool:
    """Whether points or boxes say where the object is, and not only where it is not."""
    return any(prompt.box is not None for prompt in rounds) or len(positive_points(rounds)) > 0


def confines(rounds: Sequence[Prompt]) -> tuple[float, float, float, float] | None:
    """The box (y0, x0, y1, x1) that rounds of prompts confine their object to; None without one.

    None, too, if a positive point lies outside: whoever clicks there means more than the box.
    """
    box = rounds[0].box
    if box is None:
        return None
    # By the pixels that it touches: pixel i reaches from i - 0.5 to i + 0.5.
    low, high = np.floor(box[:2]) - 0.5, np.ceil(box[2:]) - 0.5
    positive = positive_points(rounds)
    return box if ((positive >= low) & (positive <= high)).all() else None
