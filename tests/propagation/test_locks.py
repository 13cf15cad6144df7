"""Locked objects and frames stay, passes stop where they are told to, lifetimes end tracks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import discs, only, run

CENTRES = [[(20.0, 10.0 + 2 * t), (44.0, 50.0 - 2 * t)] for t in range(10)]


@pytest.fixture
def pair(bright: MakeSession) -> Session:
    """Two discs that pass each other, prompted on frame 0 and not tracked."""
    session = bright(discs(CENTRES, (64, 64), values=(200, 120)))
    session.add_points(1, 0, points=(20, 10))
    session.add_points(2, 0, points=(44, 50))
    return session


def test_a_locked_object_keeps_its_pixels_and_is_left_out(pair: Session) -> None:
    run(pair.propagate())
    before = pair.labels.copy()
    pair.locks.objects.add(2)
    pair.add_points(1, 4, points=(20, 18))
    results = list(pair.propagate())
    assert {o for r in results for o in r.masks} == {1}
    np.testing.assert_array_equal(only(pair.labels, 2), only(before, 2))
    with pytest.raises(PromptError, match="Object 2 is locked: unlock it"):
        run(pair.propagate(objects=[2]))
    pair.locks.objects.add(1)
    with pytest.raises(PromptError, match="All objects are locked"):
        run(pair.propagate())


def test_a_locked_frame_is_byte_identical_and_tracked_through(pair: Session) -> None:
    run(pair.propagate())
    pair.labels[5][:] = 0
    pair.labels[5][30:34, 30:34] = 1
    before = pair.labels[5].copy()
    pair.locks.lock_frames([5])
    run(pair.propagate(again=True))
    np.testing.assert_array_equal(pair.labels[5], before)
    assert only(pair.labels[6], 1).any()
    assert pair.pending() == ()
    pair.locks.lock_frames([5], locked=False)
    run(pair.propagate(again=True))
    assert (pair.labels[5] != before).any()


def test_a_locked_frame_with_an_objects_only_prompt_is_tracked_through(pair: Session) -> None:
    run(pair.propagate())
    pair.add_points(1, 5, points=(20, 20))  # a correction
    pair.clear_prompts(1, 0)
    pair.locks.lock_frames([5])
    before = pair.labels[5].copy()
    run(pair.propagate(objects=[1]))
    run(pair.propagate("backward", objects=[1]))
    np.testing.assert_array_equal(pair.labels[5], before)
    assert only(pair.labels[[3, 7]], 1).any(axis=(1, 2)).all()


def test_what_is_locked_takes_no_prompt_and_is_not_erased(pair: Session) -> None:
    run(pair.propagate())
    before, known = pair.labels.copy(), list(pair.prompts)
    pair.locks.lock_frames([5])
    pair.locks.objects.add(2)
    point = np.array([[20.0, 20.0]])
    for refused in (
        lambda: pair.add_points(1, 5, points=point),
        lambda: pair.add_points(2, 4, points=point),
        lambda: pair.add_prompts([Prompt(3, 1, points=point), Prompt(3, 5, points=point)]),
        lambda: pair.set_prompts(2, 0, ()),
        lambda: pair.remove_object(1),
        lambda: pair.remove_object(2),
        lambda: pair.erase(1, [4, 5]),
        lambda: pair.preview(2, 0),
    ):
        with pytest.raises(PromptError, match=r"(Frame 5|Object 2) is locked: unlock it first"):
            refused()
    np.testing.assert_array_equal(pair.labels, before)
    assert [p.frame for p in pair.prompts] == [p.frame for p in known]
    pair.erase(1, [4])
    assert not only(pair.labels[4], 1).any()


def test_a_frame_that_is_locked_between_two_frames_of_a_pass_stays(pair: Session) -> None:
    run(pair.propagate())
    pair.labels[7][:] = 0
    for result in pair.propagate(again=True):
        if result.frame == 4:
            pair.locks.lock_frames([7])
    assert not pair.labels[7].any()
    assert only(pair.labels[8], 1).any()


def test_until_prompted_stops_before_the_next_prompt_and_leaves_the_rest(pair: Session) -> None:
    run(pair.propagate())
    pair.add_points(1, 6, points=(20, 22))
    run(pair.propagate())
    before = pair.labels.copy()
    pair.add_points(1, 2, points=(20, 14))
    frames = [r.frame for r in pair.propagate(until="prompted")]
    assert frames == [2, 3, 4, 5]
    np.testing.assert_array_equal(pair.labels[6:], before[6:])
    assert pair.pending() == ()


def test_until_prompted_stops_before_a_locked_frame(pair: Session) -> None:
    pair.locks.lock_frames([7])
    assert [r.frame for r in pair.propagate(until="prompted")] == list(range(7))


def test_a_range_still_leaves_the_rest_to_be_done_though_a_prompt_follows(pair: Session) -> None:
    pair.add_points(1, 5, points=(20, 20))
    run(pair.propagate(frames=range(0, 5)))
    assert pair.pending() == (1, 2)
    assert [r.frame for r in pair.propagate()] == list(range(5, 10))


def test_an_unknown_until_is_refused(pair: Session) -> None:
    with pytest.raises(InputError, match="until must be one of end, prompted"):
        run(pair.propagate(until="never"))  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_lifetime_bounds_a_track_both_ways(bright: MakeSession, direction: str) -> None:
    session = bright(discs([[(20.0, 20.0)]] * 10, (64, 64)))
    session.add_points(1, 5, points=(20, 20))
    session.lives[1] = range(3, 8)
    frames = [r.frame for r in session.propagate(direction)]  # type: ignore[arg-type]
    assert frames == ([5, 6, 7] if direction == "forward" else [5, 4, 3])
    assert session.pending(direction) == ()  # type: ignore[arg-type]
    assert not session.labels[[0, 1, 2, 8, 9]].any()


def test_set_prompts_replaces_rounds_and_marks_what_must_be_tracked(pair: Session) -> None:
    run(pair.propagate())
    assert pair.pending() == ()
    old = pair.prompts.rounds(1, 0)
    pair.set_prompts(1, 0, old)
    assert pair.pending() == (1,)
    assert not pair.prompts.rounds(1, 0)[0].correction
    with pytest.raises(PromptError, match="got one of object 1 on frame 0"):
        pair.set_prompts(2, 3, old)
    pair.set_prompts(1, 0, ())
    assert pair.object_ids == (2,)


def test_a_painted_mask_is_written_pixel_by_pixel(make: MakeSession) -> None:
    session = make()
    checks = np.indices((40, 48)).sum(axis=0) % 2 == 0
    session.add_mask(1, 0, mask=checks)
    np.testing.assert_array_equal(only(session.labels[0], 1), checks)
    session.add_points(2, 0, points=(20, 20))
    np.testing.assert_array_equal(only(session.labels[0], 1), checks)
    run(session.propagate())
    np.testing.assert_array_equal(only(session.labels[0], 1), checks)


def test_keepers_are_those_who_keep_most_of_what_an_object_was_found_on(pair: Session) -> None:
    run(pair.propagate())
    mine = pair.labels[4] == 1
    found = pair.add_points(3, 4, points=(20, 18))
    assert found.keepers(3) == (1,)
    # Two keep it together, the one with more of it first; another that keeps little is no reason.
    rows, columns = np.nonzero(mine)
    half = len(rows) // 2
    pair.labels[4][rows[: half + 4], columns[: half + 4]] = 2
    assert pair.preview(3, 4).keepers(3) == (2, 1)
    pair.labels[4][mine] = 0
    pair.labels[4][rows[:half], columns[:half]] = 2
    assert pair.preview(3, 4).keepers(3) == ()
    assert pair.preview(2, 0).keepers(2) == ()


def test_an_object_that_is_not_there_is_hidden_by_nobody(pair: Session) -> None:
    run(pair.propagate())
    absent = pair.add_mask(2, 4, mask=np.zeros((64, 64), bool))
    assert absent.keepers(2) == ()
