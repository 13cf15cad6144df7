"""A session: prompts and a movie in, tracked labels out; the state of interactive work.

The label array and the prompts are the whole state. What a pass remembers is kept while it may
still be selected, and rebuilt from labels where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam_i2v.errors import InputError, MovieError, PromptError
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.network.device import resolve_device, resolve_precision
from napari_sam_i2v.network.memory_filter import FilterStrategy
from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.propagation.compose import compose_labels
from napari_sam_i2v.propagation.confidence import ConfidenceTable
from napari_sam_i2v.propagation.engine import Answer, Engine, ObjectMask
from napari_sam_i2v.propagation.frames import (
    Contrast,
    FrameSource,
    MovieLike,
    OneChannel,
    estimate_contrast,
)
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.prompts import Prompt, PromptBook
from napari_sam_i2v.propagation.propagator import Propagator, Track
from napari_sam_i2v.propagation.view import ViewMode

__all__ = ["Direction", "FrameResult", "Session"]

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What a pass, or a preview, found on one frame.

    Attributes
    ----------
    frame
        Movie frame.
    masks
        Object id -> mask of the objects of this pass.
    labels
        (Y, X) label image of the frame as it was written, other objects included.
    """

    frame: int
    masks: dict[int, ObjectMask]
    labels: NDArray[np.unsignedinteger[Any]]


@dataclass
class _Side:
    """One direction of time: its frames, its tracks, and from where objects must be tracked."""

    propagator: Propagator
    tracks: dict[int, Track] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=dict)
    tracked: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    def done_to(self, object_id: int, index: int, n_frames: int) -> None:
        """Note that an object is up to date as far as `index`."""
        self.pending[object_id] = index + 1
        if index + 1 == n_frames:
            del self.pending[object_id]


class Session:
    """Prompt, propagate, correct.

    Parameters
    ----------
    movie
        (T, Y, X), or (T, Y, X, 3) for RGB: a `Movie`, or a numpy, dask or zarr array.
    model
        Name, file, or a network; see `load_model`.
    device
        "auto", "cpu", "cuda", "mps"; see `resolve_device`.
    precision
        "auto", "fp32", "bf16", "fp16"; see `resolve_precision`.
    view
        "auto", "frame" or "follow": look at the whole frame, or through a window that follows
        each object.
    seed
        Of memory filtering "multinomial". Same input, same seed, same labels.
    contrast
        Grey values (black, white), or these and a gamma, for the whole movie; estimated from a
        sample of frames where not given, see `estimate_contrast`.
    channel
        Of an RGB movie, use this channel (0, 1, 2) alone.
    labels
        (T, Y, X) integer array to write to, frame by frame; may hold labels already. A new
        uint16 array where not given.
    memory_filter
        "top-k" (deterministic) or "multinomial" (as published).

    Attributes
    ----------
    confidence
        How sure every answer so far is; see `ConfidenceTable`.

    Raises
    ------
    InputError
        If the movie, the labels or an option cannot be used.
    """

    def __init__(
        self,
        movie: MovieLike,
        *,
        model: str | SamI2V = "default",
        device: str = "auto",
        precision: str = "auto",
        view: ViewMode = "auto",
        seed: int = 0,
        contrast: Sequence[float] | None = None,
        channel: int | None = None,
        labels: Any = None,
        memory_filter: FilterStrategy = "top-k",
    ) -> None:
        self.movie = _checked_movie(movie, channel)
        self.n_frames, *shape = (int(n) for n in self.movie.shape[:3])
        self.shape = (self.n_frames, *shape)
        _check_choice("view", view, ("auto", "frame", "follow"))
        _check_choice("memory_filter", memory_filter, ("top-k", "multinomial"))
        self.labels = _checked_labels(labels, self.shape)
        place = resolve_device(device)
        arithmetic = resolve_precision(precision, place)
        network = load_model(model, device=place) if isinstance(model, str) else model.to(place)
        self.model = network.eval()
        self.engine = Engine(self.model, arithmetic)
        self.contrast = _checked_contrast(contrast) or estimate_contrast(self.movie)
        self.view: ViewMode = view
        self.memory_filter: FilterStrategy = memory_filter
        self.seed = seed
        self.prompts = PromptBook()
        self.confidence = ConfidenceTable(self.n_frames)
        self._sides = {reverse: self._side(reverse) for reverse in (False, True)}

    # ---- prompting ------------------------------------------------------------------------

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects in the order of their first prompt."""
        return self.prompts.object_ids

    def add_points(
        self,
        object_id: int,
        frame: int,
        *,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        box: Sequence[float] | None = None,
    ) -> FrameResult:
        """Add a round of points, with or without a box, and answer it at once.

        Parameters
        ----------
        object_id
            A new object, or one that exists; 1 to 65,535.
        frame
            Any frame, tracked or not.
        points
            (N, 2) positions (y, x) in data pixels.
        labels
            1 for positive, 0 for negative; all positive where not given.
        box
            (y0, x0, y1, x1); starts the frame's prompts over.

        Returns
        -------
        FrameResult
            With this object's mask; it is written to `labels`.

        Raises
        ------
        PromptError
            If the prompt does not fit the movie.
        """
        return self._preview(
            Prompt(
                object_id,
                frame,
                points=np.atleast_2d(np.asarray(points, np.float64)),
                labels=None if labels is None else np.atleast_1d(np.asarray(labels)),
                box=None if box is None else _as_box(box),
            )
        )

    def add_box(self, object_id: int, frame: int, *, box: Sequence[float]) -> FrameResult:
        """Prompt with a box (y0, x0, y1, x1) in data pixels; see `add_points`."""
        return self._preview(Prompt(object_id, frame, box=_as_box(box)))

    def add_mask(self, object_id: int, frame: int, *, mask: ArrayLike) -> FrameResult:
        """Prompt with a mask (Y, X), taken as it is; see `add_points`.

        An empty mask says that the object is not on this frame.
        """
        return self._preview(Prompt(object_id, frame, mask=np.asarray(mask).astype(bool)))

    def add_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Add many prompts without answering them yet; none is added if one does not fit."""
        ready = list(prompts)
        for prompt in ready:
            prompt.check_inside(self.shape)
            _check_room(self.labels, prompt.object_id)
        for prompt in ready:
            self._add(prompt)

    def preview(self, object_id: int, frame: int) -> FrameResult:
        """Answer an object's prompts on a frame, and write the mask."""
        side = self._sides[False]
        track = self._track(side, object_id)
        side.propagator.prepare(track)
        if frame not in track.answers:
            side.propagator.rewind(track, frame, self._masks(side, object_id))
        answer = side.propagator.answer(track, frame)
        return self._write(frame, {object_id: answer})

    def clear_prompts(self, object_id: int, frame: int) -> None:
        """Forget an object's prompts on a frame; later frames are then tracked anew."""
        self.prompts.clear(object_id, frame)
        if object_id not in self.prompts.object_ids:
            self._forget(object_id)
            return
        self._changed(object_id, frame)

    def remove_object(self, object_id: int) -> None:
        """Forget an object and erase it from all labels.

        Raises
        ------
        PromptError
            If there is no such object.
        """
        if object_id not in self.prompts.object_ids:
            known = ", ".join(map(str, self.object_ids)) or "none"
            raise PromptError(f"There is no object {object_id} to remove; objects are: {known}.")
        self.prompts.remove(object_id)
        self._forget(object_id)
        for frame in range(self.n_frames):
            plane = np.asarray(self.labels[frame])
            if (plane == object_id).any():
                self.labels[frame] = np.where(plane == object_id, 0, plane).astype(plane.dtype)

    # ---- propagating ----------------------------------------------------------------------

    def propagate(
        self,
        direction: Direction = "forward",
        *,
        objects: Iterable[int] | None = None,
        frames: range | None = None,
        again: bool = False,
    ) -> Iterator[FrameResult]:
        """Track objects through the movie, frame by frame.

        Parameters
        ----------
        direction
            "forward" from each object's first prompt; "backward", the same on the flipped movie,
            from its last; "both" forward from the first prompt and backward before it.
        objects
            Which objects; by default those whose prompts changed since they were tracked, from
            the changed frame on, or all of them if none did. Stopping the iteration early keeps
            what was done, and the next call goes on from there.
        frames
            Stay within these frames.
        again
            From each object's first prompt on, whatever is up to date already. Frames before a
            correction can then use it, too.

        Yields
        ------
        FrameResult
            Written to `labels` already.

        Raises
        ------
        PromptError
            If there is nothing to track, or an unknown object is named.
        """
        _check_choice("direction", direction, ("forward", "backward", "both"))
        chosen = self._chosen(objects)
        limits = self._limits(frames)
        sides = [
            (self._sides[reverse], direction == "both" and reverse)
            for reverse in (False, True)
            if direction in ("both", "backward" if reverse else "forward")
        ]
        starts = [self._starts(side, chosen, rest, pending=not again) for side, rest in sides]
        if not again and (objects is not None or not any(starts)):
            every = [self._starts(side, chosen, rest, pending=False) for side, rest in sides]
            starts = [{**a, **b} for a, b in zip(every, starts, strict=True)]
        for (side, _), begin in zip(sides, starts, strict=True):
            yield from self._pass(side, begin, limits)

    def _pass(self, side: _Side, starts: dict[int, int], limits: range) -> Iterator[FrameResult]:
        """One direction of time, from each object's start on."""
        source = side.propagator.source
        stop = source.to_movie(limits[0] if source.reverse else limits[-1]) + 1
        low = source.to_movie(limits[-1] if source.reverse else limits[0])
        starts = {o: max(s, low) for o, s in starts.items() if max(s, low) < stop}
        if not starts:
            return
        tracks = [self._track(side, object_id) for object_id in starts]
        for track in tracks:
            masks = self._masks(side, track.object_id)
            side.propagator.go_to(track, starts[track.object_id], masks)
            side.tracked.setdefault(track.object_id, np.zeros(self.n_frames, bool))
        # Frames that a range leaves out stay to be done.
        complete = {o for o, start in starts.items() if side.pending.get(o, start) >= start}
        try:
            for index, answers in side.propagator.run(tracks, starts, stop):
                result = self._write(source.to_movie(index), answers)
                for object_id in answers:
                    side.tracked[object_id][result.frame] = True
                    if object_id in complete:
                        side.done_to(object_id, index, self.n_frames)
                yield result
        finally:
            source.close()

    def _starts(
        self, side: _Side, objects: Sequence[int], before_first: bool, *, pending: bool
    ) -> dict[int, int]:
        """Index from which each object is to be tracked in one direction, if it is at all.

        With `pending`, only objects with something to be done, from there; without, all of them
        from their first prompt. `before_first` leaves out what the other direction covers.
        """
        to_index = side.propagator.source.to_movie
        starts = {}
        for object_id in objects:
            prompted = [to_index(frame) for frame in self.prompts.frames(object_id)]
            start = max(prompted) + 1 if before_first else min(prompted)
            if pending:
                start = max(start, side.pending.get(object_id, self.n_frames))
            if start < self.n_frames:
                starts[object_id] = start
        return starts

    def _chosen(self, objects: Iterable[int] | None) -> list[int]:
        known = self.prompts.object_ids
        if not known:
            raise PromptError("Nothing to track: add points, a box or a mask for an object first.")
        if objects is None:
            return list(known)
        chosen = list(objects)
        unknown = [o for o in chosen if o not in known]
        if unknown:
            raise PromptError(
                f"No prompts for object {', '.join(map(str, unknown))}; "
                f"objects are: {', '.join(map(str, known))}."
            )
        return chosen

    def _limits(self, frames: range | None) -> range:
        limits = range(self.n_frames) if frames is None else frames
        inside = len(limits) and limits.step == 1 and 0 <= limits[0] <= limits[-1] < self.n_frames
        if not inside:
            raise InputError(
                f"A range of frames within 0 to {self.n_frames - 1} is required, got {frames!r}."
            )
        return limits

    # ---- state ----------------------------------------------------------------------------

    def _side(self, reverse: bool) -> _Side:
        source = FrameSource(
            self.movie, self.contrast, self.model.config.image_size,
            reverse=reverse, keep=self.model.config.clip_length + 2,
        )  # fmt: skip
        return _Side(
            Propagator(
                self.engine, source, view=self.view, strategy=self.memory_filter, seed=self.seed
            )
        )

    def _track(self, side: _Side, object_id: int) -> Track:
        """An object's track in one direction, with its prompts as they are now."""
        track = side.tracks.get(object_id)
        if track is None:
            track = Track(object_id, MemoryBank(self.model.config))
            side.tracks[object_id] = track
        to_index = side.propagator.source.to_movie
        track.rounds = {
            to_index(frame): self.prompts.rounds(object_id, frame)
            for frame in self.prompts.frames(object_id)
        }
        return track

    def _preview(self, prompt: Prompt) -> FrameResult:
        prompt.check_inside(self.shape)
        self._add(prompt)
        return self.preview(prompt.object_id, prompt.frame)

    def _add(self, prompt: Prompt) -> None:
        object_id, frame = prompt.object_id, prompt.frame
        _check_room(self.labels, object_id)
        prompted = frame in self.prompts.frames(object_id)
        if not prompted and any(
            object_id in side.tracked and side.tracked[object_id][frame]
            for side in self._sides.values()
        ):
            prompt = replace(prompt, correction=True)
        self.prompts.add(prompt)
        self._changed(object_id, frame)

    def _changed(self, object_id: int, frame: int) -> None:
        """Mark what must be tracked again because prompts on a frame changed."""
        for side in self._sides.values():
            index = side.propagator.source.to_movie(frame)
            side.pending[object_id] = min(side.pending.get(object_id, index), index)
            track = side.tracks.get(object_id)
            if track is not None:
                track.forget_prompt(index)

    def _forget(self, object_id: int) -> None:
        for side in self._sides.values():
            side.tracks.pop(object_id, None)
            side.pending.pop(object_id, None)
            side.tracked.pop(object_id, None)
        self.confidence.forget(object_id)

    def _masks(self, side: _Side, object_id: int) -> Callable[[int], NDArray[np.bool_]]:
        """An object's mask by frame, in one direction of time, as the labels have it."""
        to_movie = side.propagator.source.to_movie
        return lambda index: np.asarray(self.labels[to_movie(index)]) == object_id

    def _write(self, frame: int, answers: dict[int, Answer]) -> FrameResult:
        masks = {object_id: answer.paste() for object_id, answer in answers.items()}
        distances = {
            object_id: min(abs(frame - prompted) for prompted in self.prompts.frames(object_id))
            for object_id in masks
        }
        plane = compose_labels(np.asarray(self.labels[frame]), masks, distances)
        self.labels[frame] = plane
        self.confidence.note(frame, masks)
        return FrameResult(frame, masks, plane)


def _as_box(box: Sequence[float]) -> tuple[float, float, float, float]:
    if len(box) != 4:
        raise PromptError(f"A box is (y0, x0, y1, x1), got {tuple(box)!r}.")
    y0, x0, y1, x1 = (float(v) for v in box)
    return y0, x0, y1, x1


def _checked_movie(movie: MovieLike, channel: int | None) -> MovieLike:
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
        return OneChannel(movie, slice(0, 3)) if rgb and shape[-1] == 4 else movie
    if not rgb or not 0 <= channel < shape[-1]:
        raise MovieError(f"There is no channel {channel} in a movie of shape {tuple(shape)}.")
    return OneChannel(movie, channel)


def _checked_labels(labels: Any, shape: tuple[int, ...]) -> Any:
    if labels is None:
        return np.zeros(shape, np.uint16)
    if tuple(labels.shape) != tuple(shape):
        raise InputError(
            f"Labels of the movie's shape {tuple(shape)} are required, got {tuple(labels.shape)}."
        )
    return labels


def _check_room(labels: Any, object_id: int) -> None:
    kind = np.dtype(labels.dtype)
    if kind.kind not in "ui" or object_id > np.iinfo(kind).max:
        raise InputError(
            f"Labels of type {kind} cannot hold object {object_id}: give uint16 labels."
        )


def _checked_contrast(given: Sequence[float] | None) -> Contrast | None:
    if given is None:
        return None
    low, high, gamma = (*(float(v) for v in given), 1.0)[:3]
    if not (np.isfinite([low, high, gamma]).all() and low < high and gamma > 0):
        raise InputError(f"Contrast limits (low, high) with low < high are required: {given!r}.")
    return Contrast(low, high, gamma)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")
