"""Objects that were found on one thing settle whose it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.contest import Contest
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import BrightEngine, discs, only, run, square

NOWHERE = ObjectMask((0, 0, 0, 0), np.zeros((0, 0), bool), 0.1, 0.5, np.zeros((0, 0), np.float16))


def seen(*masks: ObjectMask) -> dict[int, Seen | None]:
    """Objects 1, 2, ... were seen so on frame 4."""
    return {i: Seen.of(mask, 4) for i, mask in enumerate(masks, start=1)}


LEFT, RIGHT = square(20, 20), square(20, 32)


def test_what_nobody_disputes_is_left_alone() -> None:
    contest = Contest(seen(LEFT, RIGHT), 5)
    assert contest.disputed({1: [LEFT], 2: [RIGHT]}) == set()
    touching = square(20, 27)  # a third of it
    assert contest.disputed({1: [LEFT], 2: [touching]}) == set()
    assert contest.disputed({1: [LEFT], 2: [NOWHERE]}) == set()
    assert contest.disputed({1: [LEFT, LEFT]}) == set(), "an object's own answers are alike"


def test_the_nearer_object_keeps_a_thing_and_the_other_gets_its_own() -> None:
    contest = Contest(seen(LEFT, RIGHT), 5)
    claims = {1: [LEFT], 2: [LEFT, RIGHT]}
    assert contest.disputed(claims) == {1, 2}
    assert contest.share_out(claims, {}) == {1: (1, 0), 2: (2, 1)}
    # Being surer does not make up for coming from elsewhere.
    claims = {1: [square(20, 20, sure=0.6)], 2: [square(20, 20, sure=0.95), RIGHT]}
    assert contest.share_out(claims, {}) == {1: (1, 0), 2: (2, 1)}


def test_the_whole_counts_not_the_best_pair() -> None:
    # Both were nearest to the middle one; only object 1 can go left.
    middle, right = square(20, 32), square(20, 46)
    contest = Contest(seen(square(20, 28), square(20, 34)), 5)
    claims = {1: [middle, LEFT], 2: [middle, right]}
    assert contest.share_out(claims, {}) == {1: (1, 1), 2: (2, 0)}


def test_the_order_of_objects_does_not_matter() -> None:
    where = seen(LEFT, RIGHT)
    claims = {1: [LEFT], 2: [LEFT, RIGHT]}
    turned = dict(reversed(claims.items()))
    shares = [Contest(where, 5).share_out(one, {}) for one in (claims, turned)]
    assert shares[0] == shares[1]


def test_what_is_given_goes_to_nobody() -> None:
    contest = Contest(seen(LEFT), 5, [LEFT])
    assert contest.disputed({1: [LEFT]}) == {1}
    assert contest.share_out({1: [LEFT, RIGHT]}, {}) == {1: (1, 1)}
    assert contest.share_out({1: [LEFT]}, {}) == {}
    # What another object has without dispute is its own.
    assert Contest(seen(LEFT, RIGHT), 5).share_out({1: [LEFT]}, {2: [LEFT]}) == {}


def test_only_one_and_the_same_thing_is_given() -> None:
    contest = Contest(seen(LEFT), 5, [LEFT])
    assert contest.is_given(square(21, 21))
    assert not contest.is_given(RIGHT)
    # A nucleus that was pointed at is not the whole of the cell around it, nor the cell of it.
    cell = square(15, 15, 20)
    assert not contest.is_given(cell)
    assert not Contest(seen(LEFT), 5, [cell]).is_given(LEFT)
    assert not Contest(seen(LEFT), 5).is_given(LEFT)


def test_an_object_may_get_what_another_one_found() -> None:
    # Object 1 found nothing but the thing of object 3, and object 3 the one beside it, too.
    contest = Contest({**seen(LEFT, RIGHT), 3: Seen.of(LEFT, 4)}, 5)
    assert contest.share_out({1: [LEFT], 3: [LEFT, RIGHT]}, {}) == {1: (1, 0), 3: (3, 1)}
    assert contest.share_out({2: [LEFT], 3: [LEFT, RIGHT]}, {}) == {2: (3, 1), 3: (3, 0)}


def test_what_is_far_away_is_given_to_nobody() -> None:
    contest = Contest(seen(LEFT, RIGHT), 5)
    assert contest.share_out({1: [LEFT], 2: [LEFT, square(200, 200)]}, {}) == {1: (1, 0)}
    # An object that was not seen for long may be farther away.
    long_ago = Contest({1: Seen.of(LEFT, 4), 2: Seen(25, 37, 100, RIGHT.box, 0)}, 10)
    assert long_ago.share_out({1: [LEFT], 2: [LEFT, square(20, 62)]}, {})[2] == (2, 1)


def test_a_part_of_a_thing_is_not_in_dispute() -> None:
    cell, nucleus = square(10, 10, 30), square(20, 20)
    contest = Contest(seen(cell, nucleus), 5)
    assert contest.disputed({1: [cell], 2: [nucleus]}) == set()
    # A mask that was small before, and now swallows its neighbour, is.
    burst = Contest(seen(square(12, 12), nucleus), 5)
    assert burst.disputed({1: [cell], 2: [nucleus]}) == {1, 2}


class Confused(BrightEngine):
    """Tracks whatever comes first in the window; a click finds what is under it."""

    def track(
        self,
        features: Sequence[Tensor],
        views: Sequence[View],
        recalled: object,
        seen: object,
        handed: object = (),
    ) -> list[Answer]:
        return [self._part(f, v, None) for f, v in zip(features, views, strict=True)]

    def prompt(self, feature: Tensor, rounds: Sequence[Prompt], view: View, **_: object) -> Answer:
        points = rounds[-1].points
        assert points is not None
        return self._part(feature, view, view.to_network(points[:1], feature.shape[-1])[0])

    def recall_mask(self, feature: Tensor, mask: np.ndarray, view: View) -> Answer:
        where = np.argwhere(mask[view.slices]).mean(axis=0)[::-1]
        return self._part(feature, view, where * feature.shape[-1] / (view.width, view.height))

    def _part(self, feature: Tensor, view: View, xy: np.ndarray | None) -> Answer:
        parts, _ = ndimage.label(feature[0].numpy() > 100)
        wanted = 1 if xy is None else parts[int(xy[1]), int(xy[0])]
        low = torch.where(torch.from_numpy((parts == wanted) & (parts > 0))[None], 5.0, -5.0)
        score = 5.0 if bool((low > 0).any()) else -5.0
        return Answer(view, low, low, torch.ones(1), score, 0.9)


@pytest.fixture
def confused(bright: MakeSession, monkeypatch: pytest.MonkeyPatch) -> MakeSession:
    """Make a session that takes look-alikes for each other."""
    monkeypatch.setattr(session_module, "Engine", Confused)
    return bright


@pytest.fixture
def neighbours() -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Three discs in a row that hardly move, and where they are at first."""
    centres = [[(60.0, 40.0 + 18 * k + t) for k in range(3)] for t in range(6)]
    return discs(centres, (120, 140), values=(200, 201, 202)), centres[0]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_neighbours_stay_apart(
    confused: MakeSession,
    neighbours: tuple[np.ndarray, list[tuple[float, float]]],
    order: tuple[int, ...],
) -> None:
    movie, centres = neighbours
    session = confused(movie)
    for i in order:
        session.add_points(i, 0, points=centres[i - 1])
    run(session.propagate())
    for i in order:
        truth = movie == 199 + i
        own = only(session.labels, i)
        shared = (own & truth).sum(axis=(1, 2)) / (own | truth).sum(axis=(1, 2))
        assert shared.min() > 0.6, f"object {i}"


def test_a_locked_neighbour_keeps_what_is_its_own(
    confused: MakeSession,
    neighbours: tuple[np.ndarray, list[tuple[float, float]]],
) -> None:
    movie, centres = neighbours
    session = confused(movie)
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    session.locks.objects.add(1)
    session.add_points(2, 0, points=centres[1])
    before = only(session.labels, 1).copy()
    run(session.propagate())
    assert np.array_equal(only(session.labels, 1), before)
    for t in range(6):
        assert only(session.labels, 2)[t][movie[t] == 201].mean() > 0.6


def test_where_its_only_find_is_pointed_at_as_another_an_object_is_absent(
    confused: MakeSession,
    neighbours: tuple[np.ndarray, list[tuple[float, float]]],
) -> None:
    movie, centres = neighbours
    movie[movie > 200] = 0  # one disc, which becomes another object on frame 3
    session = confused(movie)
    session.add_points(1, 0, points=centres[0])
    session.add_points(2, 3, points=(centres[0][0], centres[0][1] + 3))
    run(session.propagate())
    first, second = (only(session.labels, i).any(axis=(1, 2)).tolist() for i in (1, 2))
    assert first[:4] == [True, True, True, False]
    assert second[:4] == [False, False, False, True]
    assert session.confidence.of(1)[3] < 0.5


def test_what_was_published_settles_nothing(
    confused: MakeSession,
    neighbours: tuple[np.ndarray, list[tuple[float, float]]],
) -> None:
    movie, centres = neighbours
    session = confused(movie, view="frame")
    for i in (1, 2):
        session.add_points(i, 0, points=centres[i - 1])
    run(session.propagate())
    assert not (only(session.labels, 1)[1:].any() and only(session.labels, 2)[1:].any())
