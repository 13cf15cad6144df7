"""What was pointed out before says how large the next object is likely to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.propagator import Propagator
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.sizes import LEAST, size_weight, usual_size
from napari_sam_i2v.propagation.view import View, box_size
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import BrightEngine, discs, noise, run

SHAPE = (200, 240)
PLACES = [(40.0, 40.0), (40.0, 120.0), (40.0, 200.0), (140.0, 60.0), (140.0, 160.0)]


@pytest.mark.parametrize(
    ("sizes", "usual"),
    [
        pytest.param([], None, id="of nothing"),
        pytest.param([20, 21], None, id="two are not enough"),
        pytest.param([20, 22, 21], 21, id="three that agree"),
        pytest.param([20, 22, 90, 21, 10], 21, id="exceptions do not matter"),
        pytest.param([10, 21, 60], None, id="three that do not agree"),
    ],
)
def test_the_usual_size_is_what_most_agree_on(sizes: list[float], usual: float | None) -> None:
    assert usual_size(sizes) == usual


def test_the_usual_size_does_not_depend_on_the_unit() -> None:
    sizes = [20.0, 22, 90, 21, 10]
    assert usual_size([3 * size for size in sizes]) == 3 * (usual_size(sizes) or 0)


def test_a_size_weighs_less_the_further_it_is_from_the_usual() -> None:
    weights = [size_weight(size, 20) for size in (20, 24, 30, 50, 400)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == 1
    assert weights[-1] == LEAST > 0.5, "what looks twice as good is taken all the same"
    assert size_weight(10, 20) == pytest.approx(size_weight(40, 20))


class NestedEngine(BrightEngine):
    """Sees a nucleus, of which it is surer, and the cell around it wherever it is asked to look."""

    def try_views(self, source: Any, index: int, prompt: Any, views: Sequence[View]) -> Any:
        y, x = prompt.points[0]
        side = self.config.mask_size

        def disc(view: View, radius: float) -> torch.Tensor:
            rows = view.y + (torch.arange(side) + 0.5) * view.height / side - y
            columns = view.x + (torch.arange(side) + 0.5) * view.width / side - x
            return 5.0 * (radius**2 - rows[:, None] ** 2 - columns**2).sign()

        return [
            (view, torch.stack((disc(view, 8), disc(view, 25))), torch.tensor([0.9, 0.8]), 5.0)
            for view in views
        ]


@pytest.mark.parametrize(("usual", "size"), [(None, 16), (0.0, 16), (50.0, 50), (15.0, 16)])
def test_of_what_a_click_may_mean_the_usual_is_taken(
    bright: MakeSession, monkeypatch: pytest.MonkeyPatch, usual: float | None, size: float
) -> None:
    monkeypatch.setattr("napari_sam_i2v.propagation.session.Engine", NestedEngine)
    session = bright(noise(1, *SHAPE))
    prompt = Prompt(1, 0, points=np.array([PLACES[0]]))
    found = session._side(False).propagator._probe(prompt, 0, usual)
    assert box_size(found) == pytest.approx(size, rel=0.15)


@pytest.mark.parametrize("usual", [None, 16.0])
def test_a_click_outside_of_what_was_looked_at_widens_the_look(
    bright: MakeSession, monkeypatch: pytest.MonkeyPatch, usual: float | None
) -> None:
    monkeypatch.setattr("napari_sam_i2v.propagation.session.Engine", NestedEngine)
    session = bright(noise(1, *SHAPE))
    first = Prompt(1, 0, points=np.array([(100.0, 60.0)]))
    propagator = session._side(False).propagator
    near = propagator.first_view([first], 0, usual=usual)
    beside, far, off = (
        replace(first, points=np.array([place]), labels=np.array([label]))
        for place, label in (((104.0, 64.0), 1), ((110.0, 170.0), 1), ((110.0, 170.0), 0))
    )
    assert propagator.first_view([first, beside], 0, usual=usual) == near
    assert propagator.first_view([first, off], 0, usual=usual) == near
    wide = propagator.first_view([first, beside, far], 0, usual=usual)
    for y, x in ((100, 60), (104, 64), (110, 170)):
        assert wide.y <= y <= wide.y + wide.height
        assert wide.x <= x <= wide.x + wide.width
    assert near.x + near.width < 170


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The usual size of every first look from here on."""
    sizes: list[float | None] = []
    original = Propagator.first_view

    def spy(self: Any, rounds: Any, index: int, *, usual: float | None = None) -> View:
        sizes.append(usual)
        return original(self, rounds, index, usual=usual)

    monkeypatch.setattr(Propagator, "first_view", spy)
    return sizes


def cells(bright: MakeSession, frames: int = 3, **options: Any) -> Session:
    """A session on five discs of one size, each as bright as no other."""
    values = (60, 90, 120, 150, 180)
    return bright(discs([PLACES] * frames, SHAPE, radius=9, values=values), **options)


def click(session: Session, *objects: int) -> None:
    """Click on some of the discs, which are objects 1 to 5."""
    for i in objects:
        session.add_points(i, 0, points=PLACES[i - 1])


def test_the_fourth_click_knows_how_large_the_others_are(
    bright: MakeSession, asked: list[float | None]
) -> None:
    session = cells(bright)
    click(session, 1, 2, 3, 4, 5)
    assert asked[:3] == [0, 0, 0]
    assert asked[3:] == pytest.approx([19, 19], abs=2)


def test_boxes_and_masks_say_it_too(bright: MakeSession, asked: list[float | None]) -> None:
    session = cells(bright)
    for i, (y, x) in enumerate(PLACES[:2], start=1):
        session.add_box(i, 0, box=(y - 10, x - 10, y + 11, x + 11))
    mask = np.zeros(SHAPE, bool)
    mask[130:150, 50:70] = True
    session.add_mask(3, 0, mask=mask)
    session.add_points(4, 0, points=PLACES[4])
    assert asked[-1] == pytest.approx(20, abs=1)


def test_what_becomes_of_others_later_changes_nothing(
    bright: MakeSession, asked: list[float | None]
) -> None:
    session = cells(bright)
    click(session, 1, 2, 3, 4, 5)
    known = asked[-1]
    assert known
    for i in (1, 2, 3):
        session.remove_object(i)
    asked.clear()
    run(session.propagate("backward", objects=[5], again=True))
    assert asked == [known], "backward as it was forward"
    session.remove_object(5)
    click(session, 5)
    assert asked[-1] == 0, "a new object is another matter"
    click(session, 1, 2, 3)
    asked.clear()
    run(session.propagate("backward", objects=[5], again=True))
    assert asked == [0], "whatever came since"


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5), (5, 3, 1, 2, 4)])
def test_in_a_pass_the_order_of_prompting_does_not_matter(
    bright: MakeSession, asked: list[float | None], order: Sequence[int]
) -> None:
    session = cells(bright)
    book = cells(bright)
    click(book, *order)
    asked.clear()
    session.add_prompts(book.prompts)
    run(session.propagate())
    assert sorted(size or 0 for size in asked) == pytest.approx([0, 0, 0, 19, 19], abs=2)
    assert session._sides[False].tracks[5].usual == pytest.approx(19, abs=2)
    assert session._sides[False].tracks[1].usual == 0


def test_labels_say_it_where_nothing_is_remembered(
    bright: MakeSession, asked: list[float | None]
) -> None:
    first = cells(bright)
    click(first, 1, 2, 3)
    again = cells(bright, labels=np.asarray(first.labels))
    again.add_prompts(first.prompts)
    click(again, 4)
    assert asked[-1] == pytest.approx(19, abs=2)


def test_what_was_published_asks_nobody(bright: MakeSession, asked: list[float | None]) -> None:
    session = cells(bright, view="frame")
    click(session, 1, 2, 3, 4, 5)
    assert set(asked) == {0}
