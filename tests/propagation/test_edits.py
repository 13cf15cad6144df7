"""Swapping, merging and dividing objects sticks, in labels and in prompts."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.propagation.edits import divide, merge, swap
from napari_sam_i2v.propagation.history import History, RecordedLabels
from napari_sam_i2v.propagation.session import Session
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import discs, only, run

CENTRES = [[(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t)] for t in range(10)]


@pytest.fixture
def pair(bright: MakeSession) -> Session:
    """Two discs, tracked, on labels that can be undone."""
    labels = RecordedLabels(np.zeros((10, 64, 64), np.uint16))
    session = bright(discs(CENTRES, (64, 64), values=(200, 120)), labels=labels)
    session.add_points(1, 0, points=(16, 10))
    session.add_points(2, 0, points=(48, 50))
    run(session.propagate())
    return session


def planes(session: Session) -> np.ndarray:
    return np.stack([session.labels[t] for t in range(session.n_frames)])


def test_swap_exchanges_pixels_from_a_frame_on(pair: Session) -> None:
    before = planes(pair)
    assert list(swap(pair, 1, 2, frame=4)) == list(range(4, 10))
    now = planes(pair)
    np.testing.assert_array_equal(now[:4], before[:4])
    np.testing.assert_array_equal(only(now[4:], 1), only(before[4:], 2))
    np.testing.assert_array_equal(only(now[4:], 2), only(before[4:], 1))
    assert pair.pending() == ()


def test_a_swap_sticks_when_everything_is_tracked_again(pair: Session) -> None:
    swapped = only(planes(pair)[4], 2).copy()
    list(swap(pair, 1, 2, frame=4))
    run(pair.propagate(again=True))
    np.testing.assert_array_equal(only(planes(pair)[4], 1), swapped)


def test_swap_moves_what_is_left_to_be_done(pair: Session) -> None:
    pair.add_points(1, 6, points=(16, 22))
    assert pair.pending() == (1,)
    list(swap(pair, 1, 2, frame=3))
    assert pair.pending() == (2,)
    assert pair.prompts.frames(2) == (0, 3, 6)


def test_merge_gives_all_pixels_and_frames_to_one(pair: Session) -> None:
    before = planes(pair)
    list(merge(pair, 2, into=1))
    assert pair.object_ids == (1,)
    np.testing.assert_array_equal(planes(pair) == 1, before > 0)
    mask = pair.prompts.rounds(1, 0)[0].mask
    assert mask is not None
    np.testing.assert_array_equal(mask, before[0] > 0)


def test_divide_ends_the_mother_and_hands_her_pixels_to_the_first_daughter(pair: Session) -> None:
    before = planes(pair)
    list(divide(pair, 1, frame=6, daughters=[3, 4]))
    now = planes(pair)
    assert not only(now[6:], 1).any()
    np.testing.assert_array_equal(only(now[6:], 3), only(before[6:], 1))
    assert pair.lineage == {3: (1, 6), 4: (1, 6)}
    assert (pair.lives[1], pair.lives[4]) == (range(0, 6), range(6, 10))
    run(pair.propagate(again=True))
    assert not only(planes(pair)[6:], 1).any()
    assert only(planes(pair)[6:], 3).any(axis=(1, 2)).all()
    assert not only(planes(pair)[:6], 3).any()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: swap(s, 1, 1, frame=2), "Two objects are needed"),
        (lambda s: swap(s, 1, 7, frame=2), "There is no object 7; objects are: 1, 2"),
        (lambda s: merge(s, 2, into=2), "Two objects are needed"),
        (lambda s: divide(s, 1, frame=0, daughters=[5]), "a frame from 1 to 9"),
        (lambda s: divide(s, 1, frame=3, daughters=[2]), "2 exists already"),
    ],
)
def test_impossible_edits_change_nothing(pair: Session, edit: object, message: str) -> None:
    before = planes(pair)
    with pytest.raises(PromptError, match=message):
        list(edit(pair))  # type: ignore[operator]
    np.testing.assert_array_equal(planes(pair), before)
    assert pair.object_ids == (1, 2)


def test_locked_frames_and_objects_refuse_edits(pair: Session) -> None:
    pair.locks.objects.add(2)
    with pytest.raises(PromptError, match="Object 2 is locked"):
        list(swap(pair, 1, 2, frame=2))
    pair.locks.objects.clear()
    pair.locks.lock_frames([8])
    with pytest.raises(PromptError, match="Frame 8 is locked"):
        list(swap(pair, 1, 2, frame=2))


def test_undo_and_redo_of_every_edit_give_back_every_byte(pair: Session) -> None:
    history = History(pair)
    states = [planes(pair)]
    with history.step("swap 1 and 2", (1, 2)):
        list(swap(pair, 1, 2, frame=4))
    states.append(planes(pair))
    with history.step("divide 2", (2, 3, 4)):
        list(divide(pair, 2, frame=6, daughters=[3, 4]))
    states.append(planes(pair))
    with history.step("merge 3 into 1", (1, 3)):
        list(merge(pair, 3, into=1))
    states.append(planes(pair))
    for state, name in zip(states[-2::-1], ("merge 3 into 1", "divide 2", "swap 1 and 2"),
                           strict=True):  # fmt: skip
        assert history.undo_name == name
        step = history.undo()
        assert step is not None
        np.testing.assert_array_equal(planes(pair), state)
    assert pair.object_ids == (1, 2)
    assert pair.lineage == {}
    assert history.undo() is None
    for state in states[1:]:
        history.redo()
        np.testing.assert_array_equal(planes(pair), state)
    assert pair.object_ids == (2, 1)


def test_undo_of_a_click_and_of_a_pass(pair: Session) -> None:
    history = History(pair)
    before = planes(pair)
    with history.step("click", [1]):
        pair.add_points(1, 5, points=(48, 40))
    with history.step("track", [1]):
        run(pair.propagate())
    after = planes(pair)
    assert (after != before).any()
    history.undo()
    assert pair.pending() == (1,)
    history.undo()
    np.testing.assert_array_equal(planes(pair), before)
    assert pair.pending() == ()
    assert pair.prompts.frames(1) == (0,)
    history.redo()
    history.redo()
    np.testing.assert_array_equal(planes(pair), after)


def test_a_new_step_forgets_what_was_undone_and_empty_steps_are_dropped(pair: Session) -> None:
    history = History(pair)
    with history.step("nothing", [1]):
        pass
    assert history.undo_name is None
    with history.step("click", [1]):
        pair.add_points(1, 5, points=(16, 20))
    history.undo()
    with history.step("lock", [1]):
        pair.locks.lock_frames([3])
    assert history.redo_name is None
    history.undo()
    assert pair.locks.frames == set()


def test_a_step_that_fails_can_be_undone_as_far_as_it_came(pair: Session) -> None:
    history, before = History(pair), planes(pair)
    with pytest.raises(RuntimeError, match="full disk"), history.step("track", [1]):
        next(iter(pair.propagate(again=True)))
        pair.labels[3] = np.zeros((64, 64), np.uint16)
        raise RuntimeError("full disk")
    history.undo()
    np.testing.assert_array_equal(planes(pair), before)


def test_a_mother_who_has_ended_cannot_divide_later(pair: Session) -> None:
    list(divide(pair, 1, frame=5, daughters=[3, 4]))
    with pytest.raises(PromptError, match="from 1 to 4, got 2 daughters on frame 7"):
        list(divide(pair, 1, frame=7, daughters=[5, 6]))
    with pytest.raises(PromptError, match="Object 3 is known to exist on frames 5 to 9 only"):
        list(divide(pair, 3, frame=5, daughters=[5, 6]))
    with pytest.raises(PromptError, match="4 exists already"):
        list(divide(pair, 3, frame=7, daughters=[4, 5]))
    assert pair.lineage == {3: (1, 5), 4: (1, 5)}
    run(pair.propagate(again=True))


def test_an_earlier_division_hands_the_later_one_to_the_first_daughter(pair: Session) -> None:
    list(divide(pair, 1, frame=6, daughters=[3, 4]))
    list(divide(pair, 1, frame=3, daughters=[5, 6]))
    assert pair.lineage == {5: (1, 3), 6: (1, 3), 3: (5, 6), 4: (5, 6)}
    assert (pair.lives[1], pair.lives[5], pair.lives[3]) == (range(3), range(3, 6), range(6, 10))
    assert pair.lives[6] == range(3, 10)  # the other one lives on


def test_a_division_is_taken_back_by_merging(pair: Session) -> None:
    before = planes(pair)
    list(divide(pair, 1, frame=5, daughters=[3, 4]))
    list(merge(pair, 3, into=1))
    assert pair.lives[1] == range(10)
    assert pair.lineage == {4: (1, 5)}
    pair.add_points(1, 8, points=CENTRES[8][0])
    np.testing.assert_array_equal(only(planes(pair)[:8], 1), only(before[:8], 1))
    assert [r.frame for r in pair.propagate(objects=[1])] == [8, 9]


def test_daughters_of_one_that_is_merged_are_the_other_s(pair: Session) -> None:
    list(divide(pair, 1, frame=5, daughters=[3, 4]))
    list(merge(pair, 1, into=2))
    assert pair.lineage == {3: (2, 5), 4: (2, 5)}
    assert 2 not in pair.lives  # that one had no limit


def test_a_swap_hands_later_divisions_and_the_end_to_the_other(pair: Session) -> None:
    list(divide(pair, 1, frame=5, daughters=[3, 4]))
    list(swap(pair, 1, 2, frame=2))
    assert pair.lineage == {3: (2, 5), 4: (2, 5)}
    assert (pair.lives[1], pair.lives[2]) == (range(10), range(5))
    assert [r.frame for r in pair.propagate(objects=[1], again=True)][-1] == 9
    assert [r.frame for r in pair.propagate(objects=[2], again=True)][-1] == 4
    list(swap(pair, 1, 2, frame=5))  # what was before it is hers still
    assert pair.lineage == {3: (2, 5), 4: (2, 5)}


def test_whoever_gets_the_id_of_a_removed_mother_is_no_mother(pair: Session) -> None:
    list(divide(pair, 1, frame=5, daughters=[3, 4]))
    pair.remove_object(1)
    assert pair.lineage == {}
    assert pair.lives == {3: range(5, 10), 4: range(5, 10)}
    list(divide(pair, 3, frame=8, daughters=[1, 5]))
    assert pair.lineage == {1: (3, 8), 5: (3, 8)}


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: list(swap(s, 1, 2, frame=2)),
        lambda s: list(merge(s, 3, into=1)),
        lambda s: list(merge(s, 1, into=2)),
        lambda s: list(divide(s, 1, frame=3, daughters=[5, 6])),
        lambda s: s.remove_object(1),
    ],
)
def test_undo_and_redo_give_back_who_came_of_whom(pair: Session, edit: object) -> None:
    history, (a, b) = History(pair), (1, 2)
    list(divide(pair, 1, frame=6, daughters=[3, 4]))
    kin = [(dict(pair.lives), dict(pair.lineage))]
    with history.step("edit", (a, b, 3, 5, 6)):
        edit(pair)  # type: ignore[operator]
    kin.append((dict(pair.lives), dict(pair.lineage)))
    assert kin[0] != kin[1]
    history.undo()
    assert (pair.lives, pair.lineage) == kin[0]
    history.redo()
    assert (pair.lives, pair.lineage) == kin[1]


@pytest.fixture
def crossed(pair: Session) -> Session:
    """As `pair`; the second object is clicked late, the first is not seen on frame 5."""
    pair.remove_object(2)
    pair.add_points(2, 8, points=CENTRES[8][1])
    run(pair.propagate("both", objects=[2]))
    pair.erase(1, [5])
    return pair


def test_a_swap_where_one_is_not_seen_leaves_it_a_prompt(crossed: Session) -> None:
    list(swap(crossed, 1, 2, frame=5))
    assert crossed.object_ids == (1, 2)
    assert crossed.prompts.frames(2) == (6,)
    mask = crossed.prompts.rounds(2, 6)[0].mask
    assert mask is not None
    np.testing.assert_array_equal(mask, only(crossed.labels[6], 2))


def test_a_swap_with_one_that_is_not_seen_again_leaves_it_what_was_before(
    crossed: Session,
) -> None:
    crossed.erase(1, range(5, 10))
    list(swap(crossed, 1, 2, frame=5))
    assert crossed.prompts.frames(2) == (4,)


def test_a_division_where_the_mother_is_not_seen_leaves_the_heir_a_prompt(
    crossed: Session,
) -> None:
    list(divide(crossed, 1, frame=5, daughters=[3, 4]))
    assert crossed.prompts.frames(3) == (6,)


def test_nothing_stays_of_an_object_that_a_swap_leaves_no_pixels(crossed: Session) -> None:
    history = History(crossed)
    crossed.erase(1, range(5, 10))
    crossed.erase(2, range(5))
    list(crossed.propagate("backward", objects=[2], frames=range(6, 9)))
    before = known(crossed)
    with history.step("swap", (1, 2)):
        list(swap(crossed, 1, 2, frame=5))
    after = known(crossed)
    assert crossed.object_ids == (1,)
    assert 2 not in crossed.confidence.object_ids
    assert all(2 not in crossed.progress(reverse=r).pending for r in (False, True))
    history.undo()
    assert known(crossed) == before
    history.redo()
    assert known(crossed) == after


def known(session: Session) -> object:
    """All that is to come back."""
    states = {i: session.take(i) for i in (1, 2)}
    return (
        planes(session).tobytes(),
        [(i, p.frame, p.correction) for i, state in states.items() for p in state.prompts],
        [dict(session.progress(reverse=r).pending) for r in (False, True)],
        [None if s.confidence is None else s.confidence.tobytes() for s in states.values()],
        [None if d.tracked is None else d.tracked.tobytes()
         for s in states.values() for d in (s.forward, s.backward)],
    )  # fmt: skip


def test_a_lock_of_an_object_to_come_is_redone(pair: Session) -> None:
    history = History(pair)
    with history.step("lock", [7]):
        pair.locks.objects.add(7)
    history.undo()
    assert not pair.locks.objects
    history.redo()
    assert pair.locks.objects == {7}


def test_erased_pixels_do_not_count(pair: Session) -> None:
    pair.erase(1, [5])
    assert pair.confidence.area(1)[5] == 0
