"""Objects that are clicked on one frame do not take each other's things."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.answer import Answer
from napari_sam_i2v.propagation.compose import compose_labels
from napari_sam_i2v.propagation.history import History, RecordedLabels
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.view import View
from tests.network import tiny
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import BrightEngine, discs, only, run, square

LEFT, RIGHT = (30, 28), (30, 40)
"""Two touching discs, which look like one thing."""
MOVIE = discs([[LEFT, RIGHT]] * 4, (60, 72), radius=6, values=(200, 200))
EMPTY = np.zeros((20, 30), np.uint16)


def at(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


# ---- label image --------------------------------------------------------------------------------


def test_what_two_clicked_objects_have_in_common_goes_to_the_nearer_click() -> None:
    masks = {1: square(4, 2, 12, sure=0.5), 2: square(4, 8, 12)}
    result = compose_labels(EMPTY, masks, {1: 0, 2: 0}, {1: at((10, 9)), 2: at((10, 13))})
    assert (result[4:16, 2:12] == 1).all()
    assert (result[4:16, 12:20] == 2).all()


def test_it_all_goes_to_the_one_click_that_lies_in_it() -> None:
    masks = {1: square(4, 2, 12, sure=0.5), 2: square(4, 8, 12)}
    result = compose_labels(EMPTY, masks, {1: 0, 2: 0}, {1: at((10, 9)), 2: at((10, 18))})
    assert (result[4:16, 2:14] == 1).all()
    assert (result[4:16, 14:20] == 2).all()


def test_clicks_elsewhere_leave_it_to_the_more_confident() -> None:
    masks = {1: square(4, 2, 12, sure=0.5), 2: square(4, 8, 12)}
    clicks = {1: at((10, 4)), 2: at((10, 18))}
    result = compose_labels(EMPTY, masks, {1: 0, 2: 0}, clicks)
    np.testing.assert_array_equal(result, compose_labels(EMPTY, masks, {1: 0, 2: 0}))
    assert (result[4:16, 8:20] == 2).all()


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_the_order_of_objects_does_not_matter(order: tuple[int, ...]) -> None:
    masks = {1: square(4, 2, 12), 2: square(4, 8, 12), 3: square(2, 6, 10)}
    clicks = {1: at((6, 9)), 2: at((10, 13)), 3: at((5, 8), (6, 12))}
    wanted = compose_labels(EMPTY, masks, {}, clicks)
    found = compose_labels(
        EMPTY, {i: masks[i] for i in order}, {}, {i: clicks[i] for i in reversed(order)}
    )
    np.testing.assert_array_equal(found, wanted)
    assert (found[6, 9], found[10, 13], found[5, 8]) == (1, 2, 3)


# ---- answers ------------------------------------------------------------------------------------


class PartingEngine(BrightEngine):
    """Leaves out what is nearer to a negative click than to the last positive one."""

    asked: list[tuple[int, int]]
    """Object id and number of rounds of every prompt."""
    stubborn = False
    """Whether it leaves out what is nearer to the positive one instead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked = []

    def prompt(
        self, feature: Tensor, rounds: Sequence[Prompt], view: View, **options: Any
    ) -> Answer:
        self.asked.append((rounds[0].object_id, len(rounds)))
        answer = super().prompt(feature, rounds[:1], view, **options)
        side = feature.shape[-1]
        against = [r for r in rounds if r.labels is not None and not r.labels.all()]
        if not against or rounds[0].points is None:
            return answer
        x, y = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="xy")

        def distance(prompt: Prompt) -> Tensor:
            assert prompt.points is not None
            places = view.to_network(prompt.points, side)
            return torch.stack([(x - px) ** 2 + (y - py) ** 2 for px, py in places]).amin(dim=0)

        farther = distance(against[-1]) < distance(rounds[0])
        low = torch.where(farther ^ self.stubborn, -5.0, answer.low[0])[None]
        return Answer(view, low, low, answer.pointer, answer.score, answer.iou)


@pytest.fixture
def parting(make: MakeSession, monkeypatch: pytest.MonkeyPatch) -> MakeSession:
    monkeypatch.setattr(session_module, "Engine", PartingEngine)

    def build(**options: Any) -> Session:
        defaults = {"view": "follow", "contrast": (0, 255), "model": tiny.shared_fine()}
        return make(MOVIE, **(defaults | options))

    return build


def parted(session: Session) -> list[int]:
    """Objects against which others' clicks were held since the last time, ascending."""
    assert isinstance(session.engine, PartingEngine)
    found = sorted(i for i, rounds in session.engine.asked if rounds > 1)
    session.engine.asked.clear()
    return found


def clicks() -> list[Prompt]:
    return [Prompt(1, 0, points=at(LEFT)), Prompt(2, 0, points=at(RIGHT))]


def shares(session: Session) -> list[tuple[int, int]]:
    """Pixels of the left disc and of the right one that each object has on the first frame."""
    plane = np.asarray(session.labels[0])
    halves = plane[:, :34], plane[:, 34:]
    return [(int((halves[0] == i).sum()), int((halves[1] == i).sum())) for i in (1, 2)]


def test_each_click_says_what_the_other_object_is_not(parting: MakeSession) -> None:
    session = parting()
    session.add_prompts(clicks())
    run(session.propagate())
    (own, taken), (taken_too, own_too) = shares(session)
    assert min(own, own_too) > 90
    assert max(taken, taken_too) < 10
    assert parted(session) == [1, 2]


def test_alone_it_is_all_that_looks_like_one_thing(parting: MakeSession) -> None:
    session = parting()
    session.add_prompts(clicks()[:1])
    run(session.propagate())
    assert min(shares(session)[0]) > 90
    assert not parted(session)


def test_clicks_that_come_later_are_heeded_too(parting: MakeSession) -> None:
    once, by_turns = parting(), parting()
    once.add_prompts(clicks())
    for prompt in clicks():
        assert prompt.points is not None
        by_turns.add_points(prompt.object_id, 0, points=prompt.points)
    for session in (once, by_turns):
        run(session.propagate())
    np.testing.assert_array_equal(by_turns.labels, once.labels)


def test_a_heeded_click_is_not_asked_about_again(parting: MakeSession) -> None:
    session = parting()
    session.add_prompts(clicks())
    run(session.propagate())
    parted(session)
    run(session.propagate(again=True))
    session.add_points(3, 0, points=(5, 5))  # nobody's thing
    run(session.propagate(objects=[1, 2, 3], again=True))
    assert not parted(session)


def test_a_click_that_is_gone_is_not_heeded(parting: MakeSession) -> None:
    session = parting()
    session.add_prompts(clicks())
    run(session.propagate())
    session.remove_object(2)
    run(session.propagate(again=True))
    assert min(shares(session)[0]) > 90


def test_the_answer_stays_if_it_would_lose_its_own_click(
    parting: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartingEngine, "stubborn", True)
    session = parting()
    session.add_prompts(clicks())
    run(session.propagate())
    assert parted(session) == [1, 2]
    for object_id, place in ((1, LEFT), (2, RIGHT)):
        assert session.labels[0][place] == object_id
    run(session.propagate(again=True))
    assert not parted(session)


def test_what_a_user_painted_stays(parting: MakeSession) -> None:
    session = parting()
    painted = MOVIE[0] > 0
    session.add_mask(1, 0, mask=painted)
    session.add_prompts(clicks()[1:])
    run(session.propagate())
    assert not parted(session)
    np.testing.assert_array_equal(only(session.labels[0], 1), painted)


def test_the_published_view_does_as_published(parting: MakeSession) -> None:
    session = parting(view="frame")
    session.add_prompts(clicks())
    run(session.propagate())
    assert not parted(session)
    assert only(session.labels[0], 1).any()


# ---- previews -----------------------------------------------------------------------------------


def test_a_click_on_what_a_preview_swallowed_takes_it_at_once(parting: MakeSession) -> None:
    session = parting()
    session.add_points(1, 0, points=LEFT)
    assert min(shares(session)[0]) > 90
    result = session.add_points(2, 0, points=RIGHT)
    assert set(result.masks) == {1, 2}
    (own, taken), (taken_too, own_too) = shares(session)
    assert min(own, own_too) > 90
    assert max(taken, taken_too) < 10


def test_what_was_tracked_stays_when_something_on_it_is_clicked(parting: MakeSession) -> None:
    session = parting()
    session.add_points(1, 0, points=LEFT)
    run(session.propagate())
    before = session.labels.copy()
    result = session.add_points(2, 0, points=RIGHT)
    assert set(result.masks) == {2}
    np.testing.assert_array_equal(only(session.labels, 1), only(before, 1))


def test_what_is_locked_stays_when_something_on_it_is_clicked(parting: MakeSession) -> None:
    session = parting()
    session.add_points(1, 0, points=LEFT)
    before = session.labels.copy()
    session.locks.objects.add(1)
    session.add_points(2, 0, points=RIGHT)
    np.testing.assert_array_equal(only(session.labels, 1), only(before, 1))


def test_undone_a_click_gives_back_what_it_took(parting: MakeSession) -> None:
    session = parting(labels=RecordedLabels(np.zeros(MOVIE.shape, np.uint16)))
    history = History(session)
    with history.step("click", [1]):
        session.add_points(1, 0, points=LEFT)
    before, sure = np.asarray(session.labels[0]).copy(), session.confidence.area(1)
    with history.step("click", [2]):
        session.set_prompts(2, 0, clicks()[1:])
        answers = session.find(2, 0)
        history.include(answers)
        session.write(0, answers)
    assert (session.labels[0] != before).any()
    history.undo()
    np.testing.assert_array_equal(session.labels[0], before)
    np.testing.assert_array_equal(session.confidence.area(1), sure)
    run(session.propagate())
    assert min(shares(session)[0]) > 90


def test_only_an_open_step_includes_more(parting: MakeSession) -> None:
    session = parting(labels=RecordedLabels(np.zeros(MOVIE.shape, np.uint16)))
    with pytest.raises(RuntimeError, match="No step is open"):
        History(session).include([1])
