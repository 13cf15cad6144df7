"""Objects that were found on one thing are asked again, and share things out; see `contest`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from torch import Tensor

from napari_sam_i2v.network.memory_filter import Selection
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.contest import Contest
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import FrameSource
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import View

__all__ = ["Found", "Tracker", "settle"]

Found = tuple[Tensor, Answer]
"""What the network looked at, and what it answered."""


class Tracker(Protocol):
    """What settling asks of a pass."""

    engine: Engine
    source: FrameSource

    def recall(self, track: Track, index: int, feature: Tensor) -> tuple[MemoryBank, Selection]:
        """Give what an object remembers on a frame."""
        ...

    def placed(self, box: Sequence[float]) -> View:
        """Choose the view of an object with a box (y0, x0, y1, x1)."""
        ...


def settle(
    tracker: Tracker,
    tracks: Sequence[Track],
    index: int,
    found: Sequence[Found],
    given: Sequence[ObjectMask],
) -> list[Found]:
    """Ask objects that are on the same thing for other answers, and share the things out.

    Parameters
    ----------
    tracker
        The pass.
    tracks
        Objects that were tracked on frame `index`.
    found
        What was found of each.
    given
        Masks of things that belong to others for certain.

    Returns
    -------
    list
        What is found of each now; objects that nobody disputes keep what they had, and those that
        were found on nothing but a given thing are absent.
    """
    by_id = {track.object_id: track for track in tracks}
    answered = {i: [one] for i, one in zip(by_id, found, strict=True)}
    contest = Contest({i: track.seen for i, track in by_id.items()}, index, given)
    asked: set[int] = set()

    def claims(objects: Iterable[int]) -> dict[int, list[ObjectMask]]:
        return {i: [answer.paste() for _, answer in answered[i]] for i in objects}

    while new := contest.disputed(claims(by_id)) - asked:
        # Their other answers may dispute what was nobody else's before.
        asked |= new
        for i, others in _other_answers(tracker, [by_id[i] for i in sorted(new)], index).items():
            answered[i] += others
    shares = contest.share_out(claims(asked), claims(by_id.keys() - asked)) if asked else {}
    settled = {i: one[0] for i, one in answered.items()}
    for i, (owner, number) in shares.items():
        one = answered[owner][number]
        settled[i] = one if owner == i else _taken_over(tracker, one[1], index)
    for i in asked - shares.keys():
        feature, answer = settled[i]
        if contest.is_given(answer.paste()):
            # All that it was found on is another's: remembered as its own, it would lead astray.
            settled[i] = feature, tracker.engine.absent(answer)
    return list(settled.values())


def _other_answers(tracker: Tracker, tracks: Sequence[Track], index: int) -> dict[int, list[Found]]:
    """What lies where objects were seen last, for itself and with what each remembers."""
    known = [(t, t.view, t.seen) for t in tracks if t.view is not None and t.seen is not None]
    if not known:
        return {}
    engine, views = tracker.engine, [view for _, view, _ in known]
    places = np.array([(seen.y, seen.x) for _, _, seen in known])
    features = engine.encode(tracker.source, index, views)
    recalled = [
        tracker.recall(track, index, feature)
        for (track, _, _), feature in zip(known, features, strict=True)
    ]
    alone = engine.click(features, views, places)
    aware = engine.click(features, views, places, recalled)
    return {
        track.object_id: [(feature, one), (feature, other)]
        for (track, _, _), feature, one, other in zip(known, features, alone, aware, strict=True)
    }


def _taken_over(tracker: Tracker, answer: Answer, index: int) -> Found:
    """Another object's answer as the answer of an object that was not found there itself."""
    mask = answer.paste()
    view = tracker.placed(mask.box)
    feature = tracker.engine.encode(tracker.source, index, [view])[0]
    taken = tracker.engine.recall_mask(feature, mask.on(tracker.source.shape), view)
    return feature, replace(taken, score=answer.score, iou=answer.iou)
