"""What is clicked on belongs to the object, or does not, as the click says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam_i2v.propagation.answer import Answer
from napari_sam_i2v.propagation.obeying import obeying
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.view import View

SIDE = 64
WHOLE = View(0, 0, SIDE, SIDE)
VIEWS = [
    pytest.param(WHOLE, id="a cell is a pixel"),
    pytest.param(View(7, 5, 40, 40), id="a pixel is larger"),
    pytest.param(View(30, 100, 200, 240), id="a pixel is smaller"),
]


def answer(view: View = WHOLE, *, edge: float = 10.0) -> Answer:
    """A square in the middle; logits rise by 1 per cell, up to `edge` on either side."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    depth = np.clip(16 - np.maximum(abs(y), abs(x)), -edge, edge)
    low = torch.from_numpy(depth[None].astype(np.float32))
    return Answer(view, low, low, torch.zeros(1), 5.0, 0.9)


def click(view: View, y: float, x: float, *, on: bool = True) -> Prompt:
    """A click at a place that is given in shares of the view."""
    place = np.rint([[view.y + y * (view.height - 1), view.x + x * (view.width - 1)]])
    return Prompt(1, 0, points=place, labels=np.array([int(on)]))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("y", "x", "on"),
    [
        pytest.param(0.5, 0.8, True, id="just outside"),
        pytest.param(0.02, 0.98, True, id="in the corner"),
        pytest.param(0.5, 0.7, False, id="just inside"),
        pytest.param(0.5, 0.5, False, id="in the middle"),
    ],
)
def test_a_click_is_on_the_side_it_says(view: View, y: float, x: float, on: bool) -> None:
    one = click(view, y, x, on=on)
    before, after = answer(view), obeying(answer(view), [one])
    assert before.paste().holds(one.points)[0] != on
    assert after.paste().holds(one.points)[0] == on
    # It is a correction, not another object: what is far from the click and its edge stays.
    shape = (view.y + view.height, view.x + view.width)
    changed = after.paste().on(shape) ^ before.paste().on(shape)
    assert 0 < changed.sum() < 0.3 * before.paste().area
    assert (after.paste().area > before.paste().area) == on


def test_what_is_obeyed_already_stays_as_it_is() -> None:
    found = answer()
    rounds = [click(WHOLE, 0.5, 0.5), click(WHOLE, 0.1, 0.1, on=False)]
    assert obeying(found, rounds) is found
    assert obeying(found, [Prompt(1, 0, box=(1, 1, 40, 40))]) is found


def test_what_the_network_is_sure_of_gives_way_less() -> None:
    one = click(WHOLE, 0.5, 0.85)
    areas = [obeying(answer(edge=edge), [one]).paste().area for edge in (1.0, 10.0)]
    assert areas[0] > areas[1] > answer().paste().area


@pytest.mark.parametrize("apart", [1, 2, 6])
def test_opposite_clicks_side_by_side_are_both_obeyed(apart: int) -> None:
    added = Prompt(1, 0, points=np.array([[32.0, 50.0]]))
    kept_out = Prompt(1, 0, points=np.array([[32.0 + apart, 50.0]]), labels=np.array([0]))
    for rounds in ([added, kept_out], [kept_out, added]):
        mask = obeying(answer(), rounds).paste()
        assert mask.holds(added.points)[0]
        assert not mask.holds(kept_out.points)[0]


def test_nothing_is_bent_where_there_is_nothing_to_bend() -> None:
    outside = Prompt(1, 0, points=np.array([[70.0, 70.0]]))
    beside = [click(WHOLE, 0.5, 0.85)]
    assert obeying(found := answer(), [outside]) is found
    empty = replace(answer(), low=torch.full((1, SIDE, SIDE), -5.0))
    assert obeying(empty, beside) is empty
    painted = replace(answer(), exact=np.ones((64, 64), bool))
    assert obeying(painted, beside) is painted
