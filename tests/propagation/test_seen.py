"""What goes with where an object was seen last is steady."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.seen import Seen
from tests.propagation.fakes import square


@pytest.fixture
def last() -> Seen:
    return Seen.of(square(20, 30, 10), 4)


def steadiness(last: Seen, found: ObjectMask) -> float:
    return last.steadiness(found.box, found.area)


def test_the_same_again_is_as_steady_as_can_be(last: Seen) -> None:
    assert steadiness(last, square(20, 30, 10)) == pytest.approx(1)
    assert (last.y, last.x, last.area, last.index) == (24.5, 34.5, 100, 4)


def test_what_moves_or_changes_size_is_less_steady(last: Seen) -> None:
    moves = [steadiness(last, square(20, 30 + dx, 10)) for dx in (0, 2, 5, 9)]
    grows = [steadiness(last, square(20, 30, side)) for side in (10, 12, 16, 40)]
    shrinks = [steadiness(last, square(20, 30, side)) for side in (10, 8, 5, 1)]
    for falling in (moves, grows, shrinks):
        assert falling == sorted(falling, reverse=True)
        assert len(set(falling)) == len(falling)


def test_an_object_that_jumps_is_not_ruled_out(last: Seen) -> None:
    near, far = (steadiness(last, square(20, x, 10)) for x in (60, 200))
    assert near == far > 0.4


def test_what_stays_is_as_sure_as_the_network_says(last: Seen) -> None:
    assert last.iou == 0.9
    for sure in (0.2, 0.9):
        assert last.expected_iou(square(20, 30, 10, sure=sure)) == pytest.approx(sure)


def test_a_mask_that_jumps_or_changes_is_worth_less(last: Seen) -> None:
    steady, moved, grown = (
        last.expected_iou(square(20, x, side)) for x, side in ((30, 10), (38, 10), (30, 25))
    )
    assert moved < 0.9 * steady
    assert grown < 0.9 * steady


def test_doubt_is_passed_on_and_fades() -> None:
    sure = []
    last = Seen.of(square(20, 30, 10, sure=0.3), 4)
    for index in range(5, 45):
        found = square(20, 30, 10)
        sure.append(last.expected_iou(found))
        last = Seen.of(replace(found, iou=sure[-1]), index)
    assert sure == sorted(sure)
    assert sure[0] < 0.4 and sure[9] < 0.75
    assert sure[-1] == pytest.approx(0.9, abs=0.02)
