"""Prompts that make no sense are refused with a message that says which and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.propagation.prompts import Prompt, PromptBook, confines

SHAPE = (10, 40, 48)
POINT = np.array([[3.0, 4.0]])


def points(frame: int = 0, object_id: int = 1, *, correction: bool = False) -> Prompt:
    return Prompt(object_id, frame, points=POINT, correction=correction)


def test_values_are_put_in_order() -> None:
    prompt = Prompt(np.int64(2), np.uint8(3), points=(3, 4), box=[1, 2, 3, 4])  # type: ignore[arg-type]
    assert (prompt.object_id, prompt.frame) == (2, 3)
    assert type(prompt.object_id) is int
    assert prompt.points is not None
    assert prompt.labels is not None
    assert prompt.points.shape == (1, 2)
    assert prompt.labels.tolist() == [1]
    assert prompt.box == (1.0, 2.0, 3.0, 4.0)


def test_a_prompt_does_not_share_the_caller_s_array() -> None:
    given = POINT.copy()
    prompt = Prompt(1, 0, points=given)
    given[:] = 99
    assert prompt.points is not None
    assert prompt.points.tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs points, a box or a mask"),
        ({"points": POINT, "mask": np.ones((2, 2))}, "mask together with points"),
        ({"points": np.zeros((0, 2))}, r"shape \(N, 2\)"),
        ({"points": np.zeros((2, 3))}, r"shape \(N, 2\)"),
        ({"points": [[np.nan, 1]]}, "not a finite number"),
        ({"points": POINT, "labels": [1, 0]}, "one label per point"),
        ({"points": POINT, "labels": [2]}, "1 .positive. or 0 .negative."),
        ({"box": (1, 2, 3)}, r"box \(y0, x0, y1, x1\)"),
        ({"box": (1, 2, np.inf, 4)}, "finite"),
        ({"box": (5, 2, 5, 4)}, "y0 < y1"),
        ({"box": (1, 9, 5, 4)}, "x0 < x1"),
        ({"points": POINT, "object_id": 0}, "between 1 and 65535"),
        ({"points": POINT, "object_id": 65_536}, "between 1 and 65535"),
        ({"points": POINT, "object_id": 1.0}, "object_id must be an integer"),
        ({"points": POINT, "object_id": True}, "object_id must be an integer"),
        ({"points": POINT, "frame": -1}, "frames count from 0"),
        ({"points": POINT, "frame": "3"}, "frame must be an integer"),
    ],
)
def test_bad_prompts(values: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"object_id": 1, "frame": 0} | values
    with pytest.raises(PromptError, match=message):
        Prompt(**arguments)


@pytest.mark.parametrize(("y", "x"), [(-0.5, -0.5), (39.5, 47.5), (20, 20)])
def test_points_inside(y: float, x: float) -> None:
    Prompt(1, 9, points=np.array([[y, x]])).check_inside(SHAPE)


@pytest.mark.parametrize(("y", "x"), [(-0.6, 0), (0, -1), (40, 0), (0, 48)])
def test_points_outside(y: float, x: float) -> None:
    with pytest.raises(PromptError, match="outside the movie's 40 x 48 pixels"):
        Prompt(1, 0, points=np.array([[1, 1], [y, x]])).check_inside(SHAPE)


def test_what_reaches_past_the_border_is_cut_there() -> None:
    prompt = Prompt(1, 0, points=np.array([[-0.5, 7.5], [3.2, 9.5]]), box=(-4, -1, 12, 5))
    cut = prompt.within((3, 8, 10))
    np.testing.assert_array_equal(cut.points, [[0, 7.5], [3.2, 9]])
    assert cut.box == (0, 0, 8, 5)


def test_frames_outside() -> None:
    with pytest.raises(PromptError, match="on frame 10, but the movie has frames 0 to 9"):
        points(10).check_inside(SHAPE)


def test_mask_of_another_size() -> None:
    with pytest.raises(PromptError, match=r"mask of shape \(48, 40\)"):
        Prompt(1, 0, mask=np.ones((48, 40), bool)).check_inside(SHAPE)


def test_book_keeps_the_order_of_prompting() -> None:
    book = PromptBook([points(5, 2), points(0, 1), points(3, 2), points(5, 2)])
    assert book.object_ids == (2, 1)
    assert book.frames(2) == (5, 3)
    assert book.frames(9) == ()
    assert len(book.rounds(2, 5)) == 2
    assert len(list(book)) == 4


def test_a_box_or_a_mask_starts_over() -> None:
    box = Prompt(1, 0, box=(1, 1, 5, 5))
    book = PromptBook([points(), box, points()])
    assert [r.box for r in book.rounds(1, 0)] == [box.box, None]
    mask = Prompt(1, 0, mask=np.ones((4, 4)))
    book.add(mask)
    assert book.rounds(1, 0) == (mask,)


def test_clicks_follow_every_change() -> None:
    book = PromptBook(
        [Prompt(1, 0, points=np.array([[3, 4]])), Prompt(2, 0, points=np.array([[5, 6]]))]
    )
    counts = []

    def count() -> None:
        counts.append({i: len(points) for i, points in book.clicks(0).items()})

    count()
    book.add(Prompt(1, 0, points=np.array([[7, 8]])))
    count()
    book.undo(1, 0)
    count()
    book.clear(1, 0)
    count()
    book.remove(2)
    count()
    assert counts == [{1: 1, 2: 1}, {1: 2, 2: 1}, {1: 1, 2: 1}, {2: 1}, {}]


def test_positive_clicks_of_a_frame_that_count() -> None:
    book = PromptBook([points(), points(object_id=2), points(3, object_id=2), points(3)])
    book.add(Prompt(2, 0, points=np.array([[5, 6], [7, 8]]), labels=np.array([0, 1])))
    book.add(Prompt(3, 0, points=np.array([[1, 1]]), labels=np.array([0])))
    book.add(Prompt(1, 3, box=(0, 0, 9, 9)))
    assert {i: p.tolist() for i, p in book.clicks(0).items()} == {
        1: [[3, 4]],
        2: [[3, 4], [7, 8]],
    }
    assert book.clicks(3).keys() == {2}  # the box starts object 1 over
    assert not book.clicks(9)


def test_first_round_decides_about_correction() -> None:
    book = PromptBook([points(correction=True), points()])
    assert [r.correction for r in book.rounds(1, 0)] == [True, True]
    book = PromptBook([points(), points(correction=True)])
    assert [r.correction for r in book.rounds(1, 0)] == [False, False]


def test_undo_clear_and_remove() -> None:
    book = PromptBook([points(0), points(0), points(4), points(4, 2)])
    book.undo(1, 0)
    assert len(book.rounds(1, 0)) == 1
    book.undo(1, 0)
    assert book.frames(1) == (4,)
    book.undo(1, 0)  # nothing left
    book.clear(1, 4)
    assert book.object_ids == (2,)
    book.remove(2)
    book.clear(2, 4)
    assert list(book) == []


BOX = (10.0, 12.0, 20.0, 25.5)


@pytest.mark.parametrize(
    ("place", "label", "wanted"),
    [
        pytest.param((15, 15), 1, BOX, id="a click inside"),
        pytest.param((9.6, 25.4), 1, BOX, id="on a pixel that the box touches"),
        pytest.param((15, 26), 1, None, id="but not beside it"),
        pytest.param((30, 15), 1, None, id="a click outside means more than the box"),
        pytest.param((30, 15), 0, BOX, id="but a negative one does not"),
    ],
)
def test_a_box_confines_its_object(
    place: tuple[float, float], label: int, wanted: tuple[float, ...] | None
) -> None:
    box = Prompt(1, 0, box=BOX)
    click = Prompt(1, 0, points=np.array([place]), labels=np.array([label]))
    assert confines([box]) == BOX
    assert confines([box, click]) == wanted
    assert confines([click, click]) is None
