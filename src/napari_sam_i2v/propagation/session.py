"""A session: prompts and a movie in, tracked labels out; the state of interactive work.

The label array and the prompts are the whole state. What a pass remembers is kept while it may
still be selected, and rebuilt from labels where it is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.network.checkpoints import check_model, load_model
from napari_sam_i2v.network.device import resolve_device, resolve_precision
from napari_sam_i2v.network.memory_filter import FilterStrategy
from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.checks import (
    as_box,
    check_choice,
    check_room,
    checked_contrast,
    checked_labels,
    checked_movie,
)
from napari_sam_i2v.propagation.compose import compose_labels, label_masks
from napari_sam_i2v.propagation.confidence import ConfidenceTable
from napari_sam_i2v.propagation.edits import ObjectState
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import FrameSource, MovieLike, estimate_contrast
from napari_sam_i2v.propagation.kin import without_mothers
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.plan import Direction, Planner
from napari_sam_i2v.propagation.progress import Locks, Progress
from napari_sam_i2v.propagation.prompts import Prompt, PromptBook
from napari_sam_i2v.propagation.propagator import Given, Held, Propagator
from napari_sam_i2v.propagation.sizes import ALIKE, found_sizes, usual_size
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import ViewMode

__all__ = ["Direction", "FrameResult", "Session", "Until"]

Until = Literal["end", "prompted"]

MOST = 0.5
"""An object that others keep more than this share of is hidden by them."""


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
    reverse
        Whether a pass backward in time found it.
    """

    frame: int
    masks: dict[int, ObjectMask]
    labels: NDArray[np.unsignedinteger[Any]]
    reverse: bool = False

    def keepers(self, object_id: int) -> tuple[int, ...]:
        """Other objects that keep what one was found on, if that is most of it: most first."""
        found = self.masks[object_id]
        y0, x0, y1, x1 = found.box
        shown = self.labels[y0:y1, x0:x1][found.mask]
        ids, areas = np.unique(shown[(shown != 0) & (shown != object_id)], return_counts=True)
        if areas.sum() <= MOST * shown.size:
            return ()
        return tuple(ids[np.lexsort((ids, -areas))].tolist())


@dataclass
class _Side:
    """One direction of time: its frames, its tracks, and from where objects must be tracked."""

    propagator: Propagator
    progress: Progress
    tracks: dict[int, Track] = field(default_factory=dict)

    @property
    def turn(self) -> Callable[[int], int]:
        """Map a movie frame to its index in this direction, or an index to its frame."""
        return self.propagator.source.to_movie


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
    locks
        What must not change; see `Locks`.
    lives
        Object id -> the frames between which it exists, where that is known: a mother ends and
        her daughters begin at a division.
    lineage
        Daughter's object id -> (mother's, first frame after the division).

    Raises
    ------
    InputError
        If the movie, the labels or an option cannot be used.
    """

    def __init__(
        self,
        movie: MovieLike,
        *,
        model: str | Path | SamI2V = "default",
        device: str = "auto",
        precision: str = "auto",
        view: ViewMode = "auto",
        seed: int = 0,
        contrast: Sequence[float] | None = None,
        channel: int | None = None,
        labels: Any = None,
        memory_filter: FilterStrategy = "top-k",
    ) -> None:
        self.movie = checked_movie(movie, channel)
        self.n_frames, *shape = (int(n) for n in self.movie.shape[:3])
        self.shape = (self.n_frames, *shape)
        check_choice("view", view, ("auto", "frame", "follow"))
        check_choice("memory_filter", memory_filter, ("top-k", "multinomial"))
        self.labels = checked_labels(labels, self.shape)
        place = resolve_device(device)
        arithmetic = resolve_precision(precision, place)
        if isinstance(model, str | Path):
            model = load_model(model, device=place)
        self.model = check_model(model).to(place).eval()
        self.engine = Engine(self.model, arithmetic, published=view == "frame")
        self.contrast = checked_contrast(contrast) or estimate_contrast(self.movie)
        self.view: ViewMode = view
        self.memory_filter: FilterStrategy = memory_filter
        self.seed = seed
        self.prompts = PromptBook()
        self.confidence = ConfidenceTable(self.n_frames)
        self.locks = Locks()
        self.lives: dict[int, range] = {}
        self.lineage: dict[int, tuple[int, int]] = {}
        self._editions: Counter[int] = Counter()  # object id -> how often it was changed
        self._planner = Planner(self.n_frames, self.prompts, self.locks, self.lives)
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
            With this object's mask, and those of others that it is parted from, see `find`;
            they are written to `labels`.

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
                box=None if box is None else as_box(box),
            )
        )

    def add_box(self, object_id: int, frame: int, *, box: Sequence[float]) -> FrameResult:
        """Prompt with a box (y0, x0, y1, x1) in data pixels; see `add_points`."""
        return self._preview(Prompt(object_id, frame, box=as_box(box)))

    def add_mask(self, object_id: int, frame: int, *, mask: ArrayLike) -> FrameResult:
        """Prompt with a mask (Y, X), taken as it is; see `add_points`.

        An empty mask says that the object is not on this frame. Tracking takes that for known,
        too; it finds the object again where it sees it.
        """
        return self._preview(Prompt(object_id, frame, mask=np.asarray(mask).astype(bool)))

    def add_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Add many prompts without answering them yet; none is added if one does not fit.

        Raises
        ------
        PromptError
            If one does not fit the movie, or its object or frame is locked.
        """
        ready = list(prompts)
        for prompt in ready:
            self._check(prompt)
        for prompt in ready:
            self._add(prompt)

    def preview(self, object_id: int, frame: int) -> FrameResult:
        """Answer an object's prompts on a frame, and write the mask; see `find`.

        Raises
        ------
        PromptError
            If the object or the frame is locked.
        """
        self.locks.check_free([object_id], [frame])
        return self.write(frame, self.find(object_id, frame))

    def find(self, object_id: int, frame: int) -> dict[int, Answer]:
        """Answer an object's prompts on a frame, and write nothing: see `write`.

        Others whose preview there holds its clicks are answered anew: they are not that. What
        was tracked or is locked stays.
        """
        answers = {object_id: self._answer(object_id, frame)}
        clicks = self.prompts.clicks(frame)
        for other in clicks.keys() & self._sides[False].tracks.keys() - {object_id}:
            known = self._sides[False].tracks[other].answers.get(frame)
            if known is None or self.locks.holds(other, frame) or self._tracked(other, frame):
                continue
            swallowed = known.paste().holds(clicks.get(object_id, np.empty((0, 2)))).any()
            if swallowed and not known.heeds(self._others_clicks(other, frame)):
                answers[other] = self._answer(other, frame)
        return answers

    def _answer(self, object_id: int, frame: int) -> Answer:
        side = self._sides[False]
        track = self._track(side, object_id)
        known = set(track.answers)
        side.propagator.prepare(track)
        if frame not in track.answers or set(track.answers) - known:
            self._editions[object_id] += 1  # a pass under way would go on from elsewhere
        if frame not in track.answers:
            side.propagator.rewind(track, frame, self._masks(side, object_id))
        return side.propagator.answer(track, frame)

    def clear_prompts(self, object_id: int, frame: int) -> None:
        """Forget an object's prompts on a frame; later frames are then tracked anew."""
        self.set_prompts(object_id, frame, ())

    def set_prompts(self, object_id: int, frame: int, prompts: Sequence[Prompt]) -> None:
        """Replace an object's prompts on a frame by these rounds, not answered yet.

        Raises
        ------
        PromptError
            If one does not fit the movie, or belongs elsewhere, or object or frame are locked.
        """
        self.locks.check_free([object_id], [frame])
        for prompt in prompts:
            if (prompt.object_id, prompt.frame) != (object_id, frame):
                raise PromptError(
                    f"Prompts of object {object_id} on frame {frame} are required, got one of "
                    f"object {prompt.object_id} on frame {prompt.frame}."
                )
            prompt.check_inside(self.shape)
        check_room(self.labels, object_id)
        correction = self._corrects(object_id, frame)
        self.prompts.clear(object_id, frame)
        for prompt in prompts:
            self.prompts.add(replace(prompt.within(self.shape), correction=correction))
        if object_id not in self.prompts.object_ids:
            self._forget(object_id)
        else:
            self._changed(object_id, frame)

    def remove_object(self, object_id: int) -> None:
        """Forget an object and erase it from all labels.

        Raises
        ------
        PromptError
            If there is no such object, or it is locked or on a locked frame.
        """
        if object_id not in self.prompts.object_ids:
            known = ", ".join(map(str, self.object_ids)) or "none"
            raise PromptError(f"There is no object {object_id} to remove; objects are: {known}.")
        self.check_erasable(object_id)
        self.put(object_id, None)
        self.erase(object_id, range(self.n_frames))

    def check_erasable(self, object_id: int, frames: Iterable[int] | None = None) -> None:
        """Check that neither an object nor a frame that it is on is locked; else `PromptError`.

        Of all frames, or of some.
        """
        asked = self.locks.frames if frames is None else self.locks.frames.intersection(frames)
        on = [f for f in asked if (np.asarray(self.labels[f]) == object_id).any()]
        self.locks.check_free([object_id], on)

    def erase(self, object_id: int, frames: Iterable[int]) -> None:
        """Erase an object's pixels on some frames; its prompts stay.

        Raises
        ------
        PromptError
            If it is locked, or on one of them that is.
        """
        chosen = list(frames)
        self.check_erasable(object_id, chosen)
        for frame in chosen:
            plane = np.asarray(self.labels[frame])
            if (plane == object_id).any():
                left = np.where(plane == object_id, 0, plane).astype(plane.dtype)
                self.labels[frame] = left
                self.confidence.recount(frame, left)

    # ---- propagating ----------------------------------------------------------------------

    def propagate(
        self,
        direction: Direction = "forward",
        *,
        objects: Iterable[int] | None = None,
        frames: range | None = None,
        again: bool = False,
        until: Until = "end",
    ) -> Iterator[FrameResult]:
        """Track objects through the movie, frame by frame.

        Parameters
        ----------
        direction
            "forward" from each object's first prompt; "backward", the same on the flipped movie,
            from its last; "both" forward from the first prompt and backward before it. An empty
            mask (see `add_mask`) is nothing to begin from.
        objects
            Which objects; by default those whose prompts changed since they were tracked, from
            the changed frame on, or all of them if none did. Stopping the iteration early keeps
            what was done, and the next call goes on from there.
        frames
            Stay within these frames.
        again
            From each object's first prompt on, whatever is up to date already. Frames before a
            correction can then use it, too.
        until
            "end", or "prompted": each object stops before its next prompted or locked frame, and
            what comes after stays as it is.

        Locked objects are left out, locked frames stay as they are.

        Yields
        ------
        FrameResult
            Written to `labels` already.

        Raises
        ------
        PromptError
            If there is nothing to track, or an unknown object is named. And if an object was
            changed between two frames of the pass: its memory is of before. What was reported is
            kept, and the next call goes on from there.
        """
        check_choice("direction", direction, ("forward", "backward", "both"))
        check_choice("until", until, ("end", "prompted"))
        limits = self._planner.limits(frames)
        plan = self._planner.starts(self._sides, direction, objects, again=again)
        for reverse, starts in plan.items():
            yield from self._pass(self._sides[reverse], starts, limits, until)

    def frames_to_do(
        self,
        direction: Direction = "forward",
        *,
        objects: Iterable[int] | None = None,
        frames: range | None = None,
    ) -> int:
        """How many frames `propagate` would report; both ways, some are reported twice."""
        limits, total = self._planner.limits(frames), 0
        plan = self._planner.starts(self._sides, direction, objects, again=False)
        for reverse, starts in plan.items():
            spans = self._planner.spans(self._sides[reverse], starts, limits).values()
            total += max((stop for _, stop in spans), default=0)
            total -= min((first for first, _ in spans), default=0)
        return total

    def _pass(
        self, side: _Side, starts: dict[int, int], limits: range, until: Until
    ) -> Iterator[FrameResult]:
        """One direction of time, from each object's start on."""
        source, progress, planner = side.propagator.source, side.progress, self._planner
        spans = planner.spans(side, starts, limits)
        if not spans:
            return
        # Frames that a range leaves out stay to be done.
        whole = {
            o for o, (start, _) in spans.items()
            if start <= max(starts[o], progress.pending.get(o, start))
        }  # fmt: skip
        ends = {o: stop for o, (_, stop) in spans.items()}
        if until == "prompted":
            ends = {o: planner.next_fixed(side, o, *span) for o, span in spans.items()}
        # What comes after is not to be tracked now, or ever.
        final = {o for o in ends if ends[o] < spans[o][1] or ends[o] == planner.life(side, o)[1]}
        begins = {o: start for o, (start, _) in spans.items()}
        ready = {}
        for object_id in sorted(spans):
            # One after the other: what was found of one says how large the next may be.
            track = ready[object_id] = self._track(side, object_id)
            side.propagator.go_to(track, begins[object_id], self._masks(side, object_id))
        tracks = [ready[object_id] for object_id in spans]
        held, given = self._held(side), self._given(side)
        editions = {o: self._editions[o] for o in spans}
        # Batches, and so the last bits of features, must not depend on where the pass begins.
        self.engine.forget(source)
        try:
            for index, answers in side.propagator.run(tracks, begins, ends, held=held, given=given):
                result = self.write(source.to_movie(index), answers, reverse=source.reverse)
                for object_id in answers:
                    progress.answered(object_id, result.frame)
                for object_id in whole & {o for o in spans if begins[o] <= index < ends[o]}:
                    progress.done_to(object_id, index)
                    if object_id in final and index + 1 == ends[object_id]:
                        progress.complete(object_id)
                yield result
                self._check_unchanged({o: e for o, e in editions.items() if ends[o] > index + 1})
        finally:
            self.engine.ahead.wait()  # nobody reads the movie any more
            source.close()

    def _check_unchanged(self, editions: Mapping[int, int]) -> None:
        """Check that nobody changed an object of a pass under way."""
        changed = [o for o, edition in editions.items() if self._editions[o] != edition]
        if found := sorted({*changed, *self.locks.objects.intersection(editions)}):
            raise PromptError(
                f"Object {found[0]} was changed while it was tracked. The frames that were "
                "reported are kept: call propagate again, which goes on from what changed."
            )

    def _held(self, side: _Side) -> Held:
        """Masks that locks keep as they are."""
        to_movie = side.turn

        def held(object_id: int, index: int) -> NDArray[np.bool_] | None:
            if not self.locks.holds(object_id, to_movie(index)):
                return None
            return np.asarray(self.labels[to_movie(index)]) == object_id

        return held

    def _given(self, side: _Side) -> Given:
        """Masks of locked objects, which are in no pass."""
        to_movie = side.turn

        def given(index: int) -> list[ObjectMask]:
            locked = self.locks.objects
            return label_masks(np.asarray(self.labels[to_movie(index)]), locked) if locked else []

        return given

    # ---- state ----------------------------------------------------------------------------

    def pending(self, direction: Direction = "forward") -> tuple[int, ...]:
        """Objects with frames to be tracked in a direction of time, ascending."""
        check_choice("direction", direction, ("forward", "backward", "both"))
        return self._planner.pending(self._sides, direction)

    def progress(self, *, reverse: bool = False) -> Progress:
        """What is done in one direction of time."""
        return self._sides[reverse].progress

    def take(self, object_id: int) -> ObjectState:
        """Return all that is known of an object but its pixels."""
        return ObjectState(
            prompts=tuple(p for p in self.prompts if p.object_id == object_id),
            forward=self._sides[False].progress.take(object_id),
            backward=self._sides[True].progress.take(object_id),
            confidence=self.confidence.take(object_id),
            life=self.lives.get(object_id),
            origin=self.lineage.get(object_id),
            locked=object_id in self.locks.objects,
        )

    def memories(self, object_id: int) -> tuple[Track | None, Track | None]:
        """Return copies of what is remembered of an object, forward and backward in time."""
        tracks = (self._sides[reverse].tracks.get(object_id) for reverse in (False, True))
        forward, backward = (None if track is None else track.copy() for track in tracks)
        return forward, backward

    def remind(self, object_id: int, memories: tuple[Track | None, Track | None]) -> None:
        """Set what is remembered of an object, after `put`; see `memories`."""
        for reverse, track in zip((False, True), memories, strict=True):
            if track is not None:
                self._sides[reverse].tracks[object_id] = track.copy()

    def put(self, object_id: int, state: ObjectState | None) -> None:
        """Set what is known of an object, as `take` gave it; None forgets it.

        Its pixels are not touched; what it remembers is rebuilt from labels when it is needed,
        unless `remind` gives it back.
        """
        self.prompts.remove(object_id)
        self._forget(object_id)
        self._forget_kin(object_id)
        if state is None:
            # Whoever gets this id next is nobody's mother.
            self.lineage = without_mothers(self.lineage, [object_id])
            return
        for prompt in state.prompts:
            self.prompts.add(prompt)
        self._sides[False].progress.put(object_id, state.forward)
        self._sides[True].progress.put(object_id, state.backward)
        self.confidence.put(object_id, state.confidence)
        if state.life is not None:
            self.lives[object_id] = state.life
        if state.origin is not None:
            self.lineage[object_id] = state.origin
        if state.locked:
            self.locks.objects.add(object_id)

    def _side(self, reverse: bool) -> _Side:
        source = FrameSource(
            self.movie, self.contrast, self.model.config.image_size,
            reverse=reverse, keep=self.model.config.clip_length + 2,
        )  # fmt: skip
        return _Side(
            Propagator(
                self.engine, source, view=self.view, strategy=self.memory_filter, seed=self.seed
            ),
            Progress(self.n_frames),
        )

    def _track(self, side: _Side, object_id: int) -> Track:
        """An object's track in one direction, with its prompts as they are now."""
        track = side.tracks.get(object_id)
        if track is None:
            track = Track(object_id, MemoryBank(self.model.config))
            side.tracks[object_id] = track
        frames, to_index = self.prompts.frames(object_id), side.turn
        track.set_prompts(
            {to_index(frame): self.prompts.rounds(object_id, frame) for frame in frames},
            {to_index(frame): self._others_clicks(object_id, frame) for frame in frames},
        )
        if track.usual is None:
            track.usual = self._usual(object_id)
        return track

    def _usual(self, object_id: int) -> float:
        """Size that the objects before one have in common, 0 if none.

        Asked once for an object, so that no later change of another one changes it.
        """
        if self.view == "frame":
            return 0.0
        for side in self._sides.values():
            track = side.tracks.get(object_id)
            if track is not None and track.usual is not None:
                return track.usual
        before = sorted(other for other in self.object_ids if other < object_id)[-ALIKE:]
        tracks = [side.tracks for side in self._sides.values()]
        return usual_size(found_sizes(before, tracks, self.prompts, self.labels)) or 0.0

    def _others_clicks(self, object_id: int, frame: int) -> NDArray[np.float64]:
        """Positive clicks (N, 2) of other objects on a frame, as far as they count."""
        clicks = {} if self.view == "frame" else self.prompts.clicks(frame)
        others = (points for other, points in clicks.items() if other != object_id)
        return np.concatenate([np.empty((0, 2)), *others])

    def _preview(self, prompt: Prompt) -> FrameResult:
        self._check(prompt)
        self._add(prompt)
        return self.preview(prompt.object_id, prompt.frame)

    def _check(self, prompt: Prompt) -> None:
        """Check that a prompt fits the movie, and may change its object on its frame."""
        prompt.check_inside(self.shape)
        check_room(self.labels, prompt.object_id)
        self.locks.check_free([prompt.object_id], [prompt.frame])

    def _add(self, prompt: Prompt) -> None:
        object_id, frame = prompt.object_id, prompt.frame
        prompt = prompt.within(self.shape)
        if frame not in self.prompts.frames(object_id) and self._corrects(object_id, frame):
            prompt = replace(prompt, correction=True)
        self.prompts.add(prompt)
        self._changed(object_id, frame)

    def _corrects(self, object_id: int, frame: int) -> bool:
        """Whether prompts on a frame correct what was tracked there."""
        if frame in self.prompts.frames(object_id):
            return self.prompts.rounds(object_id, frame)[0].correction
        return self._tracked(object_id, frame)

    def _tracked(self, object_id: int, frame: int) -> bool:
        """Whether a pass, in whatever direction, has been on a frame of an object."""
        return any(side.progress.was_tracked(object_id, frame) for side in self._sides.values())

    def _changed(self, object_id: int, frame: int) -> None:
        """Mark what must be tracked again because prompts on a frame changed."""
        self._editions[object_id] += 1
        for side in self._sides.values():
            index = side.turn(frame)
            side.progress.changed(object_id, index)
            track = side.tracks.get(object_id)
            if track is not None:
                track.forget_prompt(index)

    def _forget(self, object_id: int) -> None:
        self._editions[object_id] += 1
        for side in self._sides.values():
            side.tracks.pop(object_id, None)
            side.progress.forget(object_id)
        self.confidence.forget(object_id)

    def _forget_kin(self, object_id: int) -> None:
        self.locks.objects.discard(object_id)
        self.lives.pop(object_id, None)
        self.lineage.pop(object_id, None)

    def _masks(self, side: _Side, object_id: int) -> Callable[[int], NDArray[np.bool_]]:
        """An object's mask by frame, in one direction of time, as the labels have it."""
        to_movie = side.turn
        return lambda index: np.asarray(self.labels[to_movie(index)]) == object_id

    def write(
        self, frame: int, answers: dict[int, Answer], *, reverse: bool = False
    ) -> FrameResult:
        """Write answers of a frame to the labels; locked and other objects keep their pixels."""
        masks = {object_id: answer.paste() for object_id, answer in answers.items()}
        distances = {
            object_id: min(abs(frame - prompted) for prompted in self.prompts.frames(object_id))
            for object_id in masks
        }
        plane = compose_labels(
            np.asarray(self.labels[frame]), masks, distances, self.prompts.clicks(frame)
        )
        self.labels[frame] = plane
        self.confidence.note(frame, masks, plane)
        return FrameResult(frame, masks, plane, reverse)
