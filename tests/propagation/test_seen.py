"""What goes with where an object was seen last is steady."""

from __future__ import annotations

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
