"""One pass in one direction of time: frames in, answers out, one frame at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
from torch import Tensor

from napari_sam_i2v.network.memory_filter import FilterStrategy, Selection
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.choosing import merit
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import FrameSource
from napari_sam_i2v.propagation.memory_bank import MemoryBank, MemoryEntry
from napari_sam_i2v.propagation.motion import FieldMotion
from napari_sam_i2v.propagation.obeying import obeying
from napari_sam_i2v.propagation.prompts import Prompt, points_out, positive_points
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.settling import settle
from napari_sam_i2v.propagation.sizes import size_weight
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import (
    Box,
    View,
    ViewMode,
    bounding_box,
    box_size,
    click_views,
    place,
    steady,
    window,
)

__all__ = ["MaskAt", "Propagator"]

MaskAt = Callable[[int], np.ndarray]
"""Index in a pass's direction of time -> an object's mask (Y, X)."""

Held = Callable[[int, int], np.ndarray | None]
"""Object id, index -> the mask (Y, X) that must stay, or None."""

Given = Callable[[int], list[ObjectMask]]
"""Index -> masks of objects outside the pass."""

SMOOTHING = 0.4
"""Weight of the newest size in the size that sets a window's side."""
RESTLESS = 2
"""Moves of a window in a row after which it is not expected to stay on the next frame."""
KEPT_PROBES = 64
"""First clicks whose object's box is kept, once it was looked for."""
GROWTH_WHEN_LOST = 1.15
"""Factor by which a window grows on each frame without its object, up to twice."""
GOOD_FILL = (0.1, 0.7)
"""Share of a window's side that an object should take up when a click's window is chosen."""


class Propagator:
    """Runs tracks over a movie.

    Parameters
    ----------
    engine
        The network.
    source
        Frames in the direction of this pass.
    view
        "auto", "frame" or "follow"; see `napari_sam_i2v.propagation.view`.
    strategy, seed
        Memory filtering; the seed matters to "multinomial" alone.
    """

    def __init__(
        self,
        engine: Engine,
        source: FrameSource,
        *,
        view: ViewMode = "auto",
        strategy: FilterStrategy = "top-k",
        seed: int = 0,
    ) -> None:
        self.engine, self.source = engine, source
        self.view_mode: ViewMode = view
        self.strategy: FilterStrategy = strategy
        self.seed = seed
        self._motion = FieldMotion(source)
        self._probed: dict[tuple[object, ...], Sequence[float]] = {}

    def run(
        self,
        tracks: Sequence[Track],
        starts: Mapping[int, int],
        stops: Mapping[int, int],
        *,
        held: Held | None = None,
        given: Given | None = None,
    ) -> Iterator[tuple[int, dict[int, Answer]]]:
        """Propagate.

        Parameters
        ----------
        tracks
            Objects of this pass, each brought to its start by `go_to`.
        starts, stops
            Object id -> first index to give an answer for, and the one after the last.
        held
            Masks that must stay: such a frame is not answered, but remembered.
        given
            Masks of objects that are not in this pass: what they are on is nobody else's.

        Yields
        ------
        tuple
            An index, and the answers of the objects that have started by then.
        """
        first = min(starts[track.object_id] for track in tracks)
        end = max(stops[track.object_id] for track in tracks)
        for index in range(first, end):
            self.source.read_ahead(index + 1)
            active = [t for t in tracks if starts[t.object_id] <= index < stops[t.object_id]]
            masks = {t.object_id: held(t.object_id, index) for t in active} if held else {}
            free = [track for track in active if masks.get(track.object_id) is None]
            stay = [
                self._hold(track, index, mask)
                for track in active
                if (mask := masks.get(track.object_id)) is not None
            ]
            others = [] if given is None else given(index)
            certain = [*others, *(mask for mask in stay if mask is not None)]
            yield index, self.step(free, index, certain, ahead=index + 1 < end)

    def _hold(self, track: Track, index: int, mask: np.ndarray) -> ObjectMask | None:
        """Remember a frame on which the object's mask (Y, X) is given; that mask, if not empty.

        What prompts there say is remembered as well, and written nowhere.
        """
        if index in track.rounds:
            self.answer(track, index)
        else:
            self._rebuild(track, index, mask)
        return self._look_at(track, index, mask)

    def prepare(self, track: Track) -> None:
        """Answer an object's prompts that need no memory, so that every frame can use them."""
        for index in track.rounds:
            if index not in track.bank.permanent and not self._corrects(track, index):
                self.answer(track, index)
                track.at = None  # the window is where that prompt is, not where a pass has come to

    def step(
        self,
        tracks: Sequence[Track],
        index: int,
        given: Sequence[ObjectMask] = (),
        *,
        ahead: bool = False,
    ) -> dict[int, Answer]:
        """Answer one frame for all objects of a pass; `given` masks are others' for certain.

        With `ahead`, the next frame may be looked at meanwhile.
        """
        prompted = [track for track in tracks if index in track.rounds]
        tracked = [track for track in tracks if index not in track.rounds]
        answers = {track.object_id: self.answer(track, index) for track in prompted}
        answers |= self._track(
            tracked, index, [*given, *(answer.paste() for answer in answers.values())], ahead=ahead
        )
        for track in tracks:
            answer = answers[track.object_id]
            self._follow(track, answer, index, anew=index in track.rounds)
            track.moves = 0 if track.view == answer.view else track.moves + 1
        return answers

    def answer(self, track: Track, index: int) -> Answer:
        """Answer the prompts of an object on a frame, and remember the answer for good."""
        if index in track.answers:
            return track.answers[index]
        rounds = track.rounds[index]
        if self._corrects(track, index) and track.bank.conditioning(index):
            feature, answer = self._corrected(track, index)
        else:
            feature, answer = self._found(track, index)
        answer = self._parted(track, index, feature, answer)
        if self.view_mode != "frame":
            answer = obeying(answer, rounds)
        answer = replace(answer, exact=rounds[-1].mask)
        track.bank.remember(
            index, self._prompted_entry(rounds, index, feature, answer), prompted=True
        )
        track.answers[index] = answer
        self._follow(track, answer, index, anew=True)
        return answer

    def _corrected(self, track: Track, index: int) -> tuple[Tensor, Answer]:
        """Feature and answer of prompts that correct what tracking would say.

        Where tracking went wrong, what is remembered may hold a click back. Unless the view is
        "frame", which does what was published, the prompts are therefore answered without
        memory and by themselves, too, and the best answer is taken.
        """
        rounds = track.rounds[index]
        expected = self._expected([track], index)[0]
        view = self._tracking_view(expected, rounds)
        feature = self.engine.encode(self.source, index, [view])[0]
        recalled = self.recall(track, index, feature)
        handed = self._handed(track, None if view == expected else view)
        tracked = self.engine.track([feature], [view], [recalled], [track.seen], [handed])[0]
        ask = partial(self.engine.offers, rounds=rounds, previous=tracked.low)
        found = [(feature, one) for one in ask(feature, view=view, recalled=recalled)]
        if self.view_mode != "frame" and all(prompt.mask is None for prompt in rounds):
            found += [(feature, one) for one in ask(feature, view=view)]
            if points_out(rounds):
                feature, view = self._first_look(track, index)
                found += [(feature, one) for one in self.engine.offers(feature, rounds, view)]
        known = [a.paste().area for x, a in track.answers.items() if x != index]
        known += [] if track.seen is None else [track.seen.area]
        before = tracked.paste()
        return max(found, key=lambda one: merit(one[1], rounds, known, before))

    def _parted(self, track: Track, index: int, feature: Tensor, answer: Answer) -> Answer:
        """Answer again where what was found holds others' clicks, with these held against it.

        That is taken if it holds fewer of them, and not less of the object's own clicks.
        """
        rounds, found = track.rounds[index], answer.paste()
        clicks = track.others.get(index, np.empty((0, 2)))
        against = clicks[found.holds(clicks)]
        if not len(against) or rounds[-1].mask is not None:
            return answer
        prompt = Prompt(
            track.object_id, rounds[0].frame, points=against, labels=np.zeros(len(against), int)
        )
        parted = self.engine.prompt(feature, [*rounds, prompt], answer.view)
        mask, own = parted.paste(), positive_points(rounds)
        better = mask.holds(against).sum() < len(against)
        better &= bool((mask.holds(own) >= found.holds(own)).all()) and mask.area > 0
        heeded = tuple((float(y), float(x)) for y, x in against)
        return replace(parted if better else answer, heeded=heeded)

    def _found(self, track: Track, index: int) -> tuple[Tensor, Answer]:
        """Feature and answer of prompts that are all that is known of an object."""
        feature, view = self._first_look(track, index)
        return feature, self.engine.prompt(feature, track.rounds[index], view)

    def _first_look(self, track: Track, index: int) -> tuple[Tensor, View]:
        """Where to look for an object that is known from its prompts alone; feature and view."""
        rounds = track.rounds[index]
        view = self._near_view(rounds) or self.first_view(rounds, index, usual=track.usual)
        return self.engine.encode(self.source, index, [view])[0], view

    def _near_view(self, rounds: Sequence[Prompt]) -> View | None:
        """Nearer window around a first box, whose object's size is known; None without one."""
        box, scale = rounds[0].box, self.engine.config.box_scale
        if box is None or not scale or self.view_mode == "frame":
            return None
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        view = window(centre, scale * box_size(box), self.source.shape)
        points = [prompt.points for prompt in rounds if prompt.points is not None]
        masked = any(prompt.mask is not None for prompt in rounds)
        return None if masked or not all(_holds(view, p) for p in points) else view

    def _prompted_entry(
        self, rounds: Sequence[Prompt], index: int, feature: Tensor, answer: Answer
    ) -> MemoryEntry:
        """Memory of a prompted frame; what a box was answered with, as it looks in tracking."""
        mask = answer.paste()
        if rounds[0].box is not None and self.view_mode != "frame" and mask.area:
            view = self.placed(mask.box)
            feature = self.engine.encode(self.source, index, [view])[0]
            answer = self.engine.recall_mask(feature, mask.on(self.source.shape), view)
        return self.engine.remember([feature], [answer], prompted=True)[0]

    def go_to(self, track: Track, index: int, mask_at: MaskAt) -> None:
        """Make an object ready for a pass that starts at `index`: its prompts, memory and window.

        Prompts that need no memory are answered all, corrections those before `index`; later
        ones when the pass comes to them. See `rewind` for `mask_at`.
        """
        self.prepare(track)
        for earlier in sorted(x for x in track.rounds if x < index and x not in track.answers):
            self.rewind(track, earlier, mask_at)
            self.answer(track, earlier)
        self.rewind(track, index, mask_at)

    def rewind(self, track: Track, index: int, mask_at: MaskAt) -> None:
        """Bring an object's memory and window to where they were before `index`.

        What is not remembered any more is rebuilt from masks: the most recent frames, and some
        spread over those before them that filtering could reach.

        Parameters
        ----------
        track
            Its memories of `index` and later are dropped, but for prompted ones.
        index
            The next frame to be answered.
        mask_at
            Gives the object's mask (Y, X) on a frame.
        """
        track.bank.forget_from(index)
        for missing in self._missing(track, index):
            self._rebuild(track, missing, mask_at(missing))
        if track.at != index - 1 and index > 0:
            self._look_back(track, index, mask_at)

    def _look_back(self, track: Track, index: int, mask_at: MaskAt) -> None:
        """Place an object's window for `index` where the object was last seen, not too long ago.

        If that is nowhere, the prompt nearest in time says where to look.
        """
        track.seen = track.before = None
        for earlier in range(index - 1, max(index - 1 - track.bank.reach, -1), -1):
            if self._seen(track, earlier, mask_at):
                self._lose(track, index - 1 - earlier)
                track.before = track.before if earlier == index - 1 else None
                break
        else:
            shown = [x for x, answer in track.answers.items() if answer.paste().area]
            if shown:
                nearest = min(shown, key=lambda x: (abs(x - index), x))
                self._follow(track, track.answers[nearest], nearest, anew=True)
                track.before = None
        track.at = index - 1

    def _seen(self, track: Track, index: int, mask_at: MaskAt) -> bool:
        """Place an object's window where the object was on a frame; whether it was there."""
        if index not in track.answers:
            return self._look_at(track, index, mask_at(index)) is not None
        answer = track.answers[index]
        if answer.paste().area:
            self._follow(track, answer, index, anew=True)
        return bool(answer.paste().area)

    def _look_at(self, track: Track, index: int, mask: np.ndarray) -> ObjectMask | None:
        """Place an object's window on what is known to be its mask (Y, X); None if empty."""
        track.before = found = ObjectMask.given(mask)
        if found is not None:
            track.view, track.size, track.lost = self.placed(found.box), box_size(found.box), 0
            track.at, track.seen = index, Seen.of(found, index)
        return found

    def _missing(self, track: Track, index: int) -> list[int]:
        """Frames before `index` whose memory ought to be there and is not, ascending."""
        config, known = self.engine.config, {*track.bank.rolling, *track.bank.permanent}
        first = min((x for x in track.rounds if x < index), default=index) + 1
        if first >= index or index - 1 in known:
            return []
        recent = index - config.local_window
        distant = range(max(first, recent - config.global_window), recent)
        step = max(1, len(distant) // config.global_picks)
        near = range(max(first, index - config.local_picks), index)
        return sorted({*near, *distant[::-1][::step]} - known)

    def _rebuild(self, track: Track, index: int, mask: np.ndarray) -> None:
        """Remember a frame from its mask (Y, X), as if it had just been tracked."""
        box = bounding_box(mask)
        if box is None:
            return
        view = self.placed(box)
        feature = self.engine.encode(self.source, index, [view])[0]
        answer = self.engine.recall_mask(feature, mask, view)
        entry = self.engine.remember([feature], [answer], prompted=False)[0]
        track.bank.remember(index, entry, prompted=False)

    def first_view(
        self, rounds: Sequence[Prompt], index: int, *, usual: float | None = None
    ) -> View:
        """Choose where to look for an object that is known from its prompts alone.

        `usual` is the size, in pixels, that others like it have, if that is known. All positive
        clicks are in the view.
        """
        shape = self.source.shape
        if self.view_mode == "frame":
            return View.whole(shape)
        for prompt in rounds:
            if prompt.mask is not None:
                box = bounding_box(prompt.mask)
                return View.whole(shape) if box is None else self.placed(box)
            if prompt.box is not None:
                return self.placed(prompt.box)
        view = self.placed(self._probe(rounds[0], index, usual))
        clicked = positive_points(rounds)
        if len(clicked) and not _holds(view, clicked):
            # It is larger than it seemed to be, and than others are.
            every = replace(rounds[0], points=clicked, labels=np.ones(len(clicked), int))
            found = np.reshape(self._probe(every, index, None), (2, 2))
            reached = np.concatenate((found, clicked))
            view = self.placed((*reached.min(axis=0), *reached.max(axis=0)))
        return view

    # ---- windows --------------------------------------------------------------------------

    def _probe(self, prompt: Prompt, index: int, usual: float | None) -> Sequence[float]:
        """Estimate a clicked object's box by looking at several scales around the click.

        Further clicks on an object ask for that of the first one again: it is kept.
        """
        points, labels = prompt.points, prompt.labels
        if points is None or labels is None:
            raise ValueError("A prompt with points is required.")
        key = (index, points.tobytes(), labels.tobytes(), usual)
        if key not in self._probed:
            while len(self._probed) >= KEPT_PROBES:
                del self._probed[next(iter(self._probed))]
            self._probed[key] = self._box_around(prompt, points, labels, index, usual)
        return self._probed[key]

    def _box_around(
        self,
        prompt: Prompt,
        points: np.ndarray,
        labels: np.ndarray,
        index: int,
        usual: float | None,
    ) -> Sequence[float]:
        """The box (y0, x0, y1, x1) that fits best its window, of all that are tried."""
        positive = points[labels == 1] if (labels == 1).any() else points
        centre = positive.mean(axis=0)
        views = click_views(centre, self.source.shape)
        views = [v for v in views if _holds(v, points)] or [View.whole(self.source.shape)]
        best: Sequence[float] = (0, 0, *self.source.shape)
        best_fit = -1.0
        for view, masks, ious, score in self.engine.try_views(self.source, index, prompt, views):
            for logits, iou in zip(masks, ious.tolist(), strict=True):
                inside = (logits > 0).cpu().numpy()
                box = bounding_box(inside)
                if box is None:
                    continue
                fit = iou * _fit(box, inside.shape[0], view, self.source.shape)
                fit *= 1.0 if score > 0 else 0.5
                found = view.to_movie(box, inside.shape[0])
                if usual:
                    fit *= size_weight(box_size(found), usual)
                if fit > best_fit:
                    best, best_fit = found, fit
        return best

    def placed(self, box: Sequence[float]) -> View:
        """Choose the view of an object with a box (y0, x0, y1, x1)."""
        config = self.engine.config
        return place(
            box, self.source.shape,
            scale=config.window_scale, below=config.follow_below, mode=self.view_mode,
        )  # fmt: skip

    def _expected(self, tracks: Sequence[Track], index: int) -> list[View]:
        """Where tracked objects are looked at: where they were, moved along with the movie."""
        self.engine.ahead.wait()
        return self._moved([t.view or View.whole(self.source.shape) for t in tracks], index)

    def _moved(self, views: list[View], index: int) -> list[View]:
        """Views of the frame before, moved along with the movie to this one."""
        return views if self.view_mode == "frame" else self._motion.moved(index, views)

    def _handed(self, track: Track, view: View | None = None) -> np.ndarray | None:
        """An object's mask on the frame before, as `view` shows it; None if there is none.

        Without a `view`, as the window shows it that has moved along with the movie: things are
        then where they were in the window before.
        """
        config, placed = self.engine.config, view or track.view or View.whole(self.source.shape)
        if not config.fine_dim or track.before is None:
            return None
        return track.before.shown(placed, config.mask_size)

    def _tracking_view(self, view: View, rounds: Sequence[Prompt]) -> View:
        """Where a tracked object that is expected in `view` is looked at.

        That is where it is prompted if that lies elsewhere.
        """
        shape = self.source.shape
        for prompt in rounds:
            if prompt.mask is not None:
                box: Box | None = bounding_box(prompt.mask)
                return view if box is None else self.placed(box)
            if prompt.box is not None:
                return self.placed(prompt.box)
            if prompt.points is not None and not _holds(view, prompt.points):
                centre = prompt.points.mean(axis=0)
                return window(centre, max(view.height, view.width), shape)
        return view

    def _follow(self, track: Track, answer: Answer, index: int, *, anew: bool) -> None:
        """Move an object's window to where it was just seen.

        `anew` forgets the size that it had: after a prompt, which says where the object is.
        """
        track.at = index
        shape = self.source.shape
        mask = answer.paste()
        track.before = mask if mask.area else None
        if not mask.area:
            # "Not here", said where nothing was tracked, is no place to look at.
            if track.view is None or View.whole(shape) not in (track.view, answer.view):
                track.view = answer.view
            self._lose(track, 1)
            return
        size, track.seen = box_size(mask.box), Seen.of(mask, index)
        if anew or not track.size:
            track.size = size
        else:
            track.size += SMOOTHING * (size - track.size)
        track.lost = 0
        whole = track.view == View.whole(shape) or (anew and answer.view == View.whole(shape))
        if self.view_mode == "frame" or (whole and self.view_mode != "follow" and not anew):
            track.view = View.whole(shape)
            return
        half = track.size / 2
        y, x = (mask.box[0] + mask.box[2]) / 2, (mask.box[1] + mask.box[3]) / 2
        placed = self.placed((y - half, x - half, y + half, x + half))
        track.view = placed if anew else steady(answer.view, placed)

    def _lose(self, track: Track, frames: int) -> None:
        """Let the window of an object that was not seen on some more frames stay and grow."""
        track.lost += frames
        shape = self.source.shape
        if track.view is None or track.view == View.whole(shape):
            return
        if track.lost and track.size:
            grown = track.size * self.engine.config.window_scale
            grown *= min(GROWTH_WHEN_LOST**track.lost, 2.0)
            track.view = window(track.view.centre, grown, shape)

    # ---- memory ---------------------------------------------------------------------------

    def _track(
        self, tracks: Sequence[Track], index: int, given: Sequence[ObjectMask], *, ahead: bool
    ) -> dict[int, Answer]:
        """Track objects on a frame that has no prompt of theirs, and remember the answers."""
        if not tracks:
            return {}
        views = self._expected(tracks, index)
        # More objects keep all threads busy by themselves.
        beside = len(tracks) == 1 and tracks[0].moves < RESTLESS and self.engine.foresees
        features = self.engine.encode(self.source, index, views, beside=beside)
        tracked_next = ahead and index + 1 not in tracks[0].rounds
        with (
            self.engine.foreseeing(
                self.source,
                index + 1,
                (lambda: self._moved(views, index + 1)) if tracked_next else None,
            )
            if beside
            else nullcontext()
        ):
            answers = self._followed(tracks, index, list(zip(views, features, strict=True)), given)
        return {track.object_id: a for track, a in zip(tracks, answers, strict=True)}

    def _followed(
        self,
        tracks: Sequence[Track],
        index: int,
        looks: Sequence[tuple[View, Tensor]],
        given: Sequence[ObjectMask],
    ) -> list[Answer]:
        """Find objects in what each is looked at through, and remember the answers."""
        views, features = [view for view, _ in looks], [feature for _, feature in looks]
        recalled = [
            self.recall(track, index, feature)
            for track, feature in zip(tracks, features, strict=True)
        ]
        seen, handed = [t.seen for t in tracks], [self._handed(t) for t in tracks]
        answers = self.engine.track(features, views, recalled, seen, handed)
        found = list(zip(features, answers, strict=True))
        if self.view_mode != "frame":
            found = settle(self, tracks, index, found, given)
            found = [
                (feature, _doubted(answer, track.seen))
                for track, (feature, answer) in zip(tracks, found, strict=True)
            ]
        features, answers = [one for one, _ in found], [one for _, one in found]
        entries = self.engine.remember(features, answers, prompted=False)
        for track, entry in zip(tracks, entries, strict=True):
            track.bank.remember(index, entry, prompted=False)
        return answers

    def recall(self, track: Track, index: int, feature: Tensor) -> tuple[MemoryBank, Selection]:
        """Choose what an object remembers on a frame, whose feature through its view is given."""
        key = f"{self.seed}/{track.object_id}/{self.source.to_movie(index)}/{self.source.reverse}"
        selection = track.bank.filter(
            index, feature, strategy=self.strategy, seed=zlib.crc32(key.encode())
        )
        if selection is None:
            raise ValueError(f"Object {track.object_id} has no prompt to be tracked from.")
        return track.bank, selection

    @staticmethod
    def _corrects(track: Track, index: int) -> bool:
        return track.rounds[index][0].correction


def _doubted(answer: Answer, seen: Seen | None) -> Answer:
    """A tracked answer, with what is to be expected of it after what was seen last."""
    mask = answer.paste()
    return answer if seen is None or not mask.area else answer.expecting(seen.expected_iou(mask))


def _holds(view: View, points: np.ndarray) -> bool:
    low, high = (view.y, view.x), (view.y + view.height, view.x + view.width)
    return bool((points >= np.array(low) - 0.5).all() and (points <= np.array(high)).all())


def _fit(box: Box, side: int, view: View, shape: Sequence[int]) -> float:
    """How well a window suits what was found in it: cut off or tiny objects suit badly."""
    share = box_size(box) / side
    low, high = GOOD_FILL
    fit = 1.0
    if share < low:
        fit *= share / low
    if share > high and view != View.whole(shape):
        fit *= 0.6
    cut = [
        box[0] == 0 and view.y > 0,
        box[1] == 0 and view.x > 0,
        box[2] == side and view.y + view.height < shape[0],
        box[3] == side and view.x + view.width < shape[1],
    ]
    return fit * (0.5 if any(cut) else 1.0)
