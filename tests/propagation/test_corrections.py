"""A later correction tracks its object again from its frame on, and touches nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.propagation.answer import Answer
from napari_sam_i2v.propagation.choosing import merit
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.propagator import Propagator
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.view import View
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import BrightEngine, discs, noise, only, run


def three(session: Session, frame: int = 0) -> None:
    """Prompt objects 1, 2 and 3."""
    for object_id, point in ((1, (20, 20)), (2, (10, 30)), (3, (30, 10))):
        session.add_points(object_id, frame, points=point)


@pytest.fixture
def rebuilt(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(object, index) of every memory that is rebuilt from labels."""
    made: list[tuple[int, int]] = []
    original = Propagator._rebuild

    def spy(self: Propagator, track: Any, index: int, mask: Any) -> None:
        made.append((track.object_id, index))
        original(self, track, index, mask)

    monkeypatch.setattr(Propagator, "_rebuild", spy)
    return made


@pytest.mark.parametrize("preview", [True, False])
def test_others_and_earlier_frames_stay_byte_identical(make: MakeSession, preview: bool) -> None:
    session = make()
    three(session)
    run(session.propagate())
    before = session.labels.copy()
    if preview:
        session.add_points(2, 5, points=(35, 40))
    else:
        session.add_prompts([Prompt(2, 5, points=np.array([[35, 40]]))])
    results = list(session.propagate())
    assert [r.frame for r in results] == list(range(5, 12))
    assert all(list(r.masks) == [2] for r in results)
    np.testing.assert_array_equal(session.labels[:5], before[:5])
    for object_id in (1, 3):
        kept, now = only(before, object_id), only(session.labels, object_id)
        np.testing.assert_array_equal(kept, now)
        assert kept[5:].any()
    changed = (only(session.labels[5:], 2) != only(before[5:], 2)).any(axis=(1, 2))
    assert changed[0]
    assert changed.sum() > 3


def test_only_the_corrected_frames_are_written(make: MakeSession) -> None:
    class Store:
        """Labels that note which frames are written."""

        def __init__(self) -> None:
            self.array = np.zeros((12, 40, 48), np.uint16)
            self.shape, self.dtype = self.array.shape, self.array.dtype
            self.written: list[int] = []

        def __getitem__(self, t: int) -> np.ndarray:
            return self.array[t]

        def __setitem__(self, t: int, plane: np.ndarray) -> None:
            self.written.append(t)
            self.array[t] = plane

    store = Store()
    session = make(labels=store)
    three(session)
    run(session.propagate())
    store.written.clear()
    session.add_points(1, 9, points=(35, 40))
    run(session.propagate())
    assert store.written == [9, 9, 10, 11]


def test_correction_during_a_paused_pass(make: MakeSession) -> None:
    """Frames done are corrected, frames to come follow from there; the others go on."""
    session = make()
    three(session)
    pass_ = session.propagate()
    for _ in range(8):
        next(pass_)
    pass_.close()
    before = session.labels.copy()
    session.add_points(1, 3, points=(35, 40))
    results = list(session.propagate())
    assert [r.frame for r in results] == list(range(3, 12))
    assert [sorted(r.masks) for r in results] == [[1]] * 5 + [[1, 2, 3]] * 4
    np.testing.assert_array_equal(session.labels[:3], before[:3])
    assert (only(session.labels[:8], 2) == only(before[:8], 2)).all()


CHANGES: dict[str, Callable[[Session], Any]] = {
    "corrected before": lambda s: s.add_points(1, 3, points=(35, 40)),
    "corrected after": lambda s: s.add_points(1, 9, points=(35, 40)),
    "cleared": lambda s: s.clear_prompts(1, 3),
    "removed": lambda s: s.remove_object(1),
    "locked": lambda s: s.locks.objects.add(1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_pass_does_not_go_on_with_an_object_that_was_changed(
    make: MakeSession, what: str
) -> None:
    session, whole = make(), make()
    for one in (session, whole):
        three(one)
        one.add_points(1, 3, points=(22, 22))
    reported = []
    with pytest.raises(PromptError, match=r"Object 1 was changed while it was tracked.*call prop"):
        for result in session.propagate():
            reported.append(result.frame)
            if result.frame == 6:
                CHANGES[what](session)
    assert reported == list(range(7))
    run(session.propagate())
    for result in (pass_ := whole.propagate()):
        if result.frame == 6:
            pass_.close()
    CHANGES[what](whole)
    run(whole.propagate())
    np.testing.assert_array_equal(session.labels, whole.labels)


def test_a_change_on_the_last_frame_of_a_pass_is_no_error(make: MakeSession) -> None:
    session = make()
    three(session)
    for result in session.propagate():
        if result.frame == 11:
            session.add_points(1, 5, points=(35, 40))
    assert session.pending() == (1,)


def test_a_pass_does_not_go_on_where_an_object_of_it_is_answered_anew(
    make: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a click on another object parts them: its window is then elsewhere."""
    session = make()
    three(session)
    session.add_prompts([Prompt(1, 9, points=np.array([[35, 40]]))])
    pass_ = session.propagate()
    for _ in range(3):
        next(pass_)
    session._sides[False].tracks[1].forget_prompt(9)
    session._answer(1, 9)
    with pytest.raises(PromptError, match="Object 1 was changed while it was tracked"):
        run(pass_)


def test_a_pass_goes_on_where_another_object_is_prompted(make: MakeSession) -> None:
    session = make()
    three(session)
    for result in session.propagate():
        if result.frame == 4:
            session.add_points(4, 2, points=(5, 5))
    assert session.pending() == (4,)


def test_correction_after_a_long_pass_rebuilds_memory(
    make: MakeSession, rebuilt: list[tuple[int, int]], selections: list[Any]
) -> None:
    """Rolling memory reaches 20 frames back; what was before is remembered by its labels."""
    session = make(noise(34))
    three(session)
    run(session.propagate(frames=range(0, 32)))
    assert not rebuilt
    session.labels[:, 30:38, 35:45] = 2  # masks of a random network may cover one another
    selections.clear()
    session.add_points(2, 10, points=(35, 40))
    assert {object_id for object_id, _ in rebuilt} == {2}
    assert {8, 9} <= {index for _, index in rebuilt}
    assert all(0 < index < 10 for _, index in rebuilt)
    assert len(rebuilt) <= 10
    _, frame, chosen = selections[0]
    assert frame == 10
    assert chosen.frames[0] == 0
    assert chosen.frames[-2:] == (8, 9)
    made = len(rebuilt)
    selections.clear()
    run(session.propagate(frames=range(0, 14)))
    assert len(rebuilt) == made, "the pass uses what the preview has rebuilt"
    assert [frame for _, frame, _ in selections] == list(range(11, 14))


def test_new_session_on_existing_labels(
    make: MakeSession, rebuilt: list[tuple[int, int]], selections: list[Any]
) -> None:
    movie = noise(20)
    old = make(movie)
    three(old)
    run(old.propagate())
    old.labels[:, 16:24, 16:24] = 1  # masks of a random network may cover one another
    before = old.labels.copy()
    new = make(movie, labels=old.labels)
    new.add_prompts([Prompt(1, 0, points=np.array([[20, 20]]))])
    selections.clear()
    assert run(new.propagate(frames=range(12, 20))) == list(range(12, 20))
    assert {10, 11} <= {index for _, index in rebuilt}
    assert all(object_id == 1 and 0 < index < 12 for object_id, index in rebuilt)
    assert len(rebuilt) <= 10, "only frames that filtering looks for are encoded again"
    _, frame, chosen = selections[0]
    assert frame == 12
    assert chosen.frames[-2:] == (10, 11)
    assert chosen.frames[0] == 0
    np.testing.assert_array_equal(new.labels[:12], before[:12])
    for object_id in (2, 3):
        np.testing.assert_array_equal(only(new.labels, object_id), only(before, object_id))


def test_backward_rebuilds_from_later_frames(
    make: MakeSession, rebuilt: list[tuple[int, int]]
) -> None:
    movie = noise(20)
    old = make(movie)
    old.add_points(1, 19, points=(20, 20))
    run(old.propagate("backward"))
    new = make(movie, labels=old.labels)
    new.add_prompts([Prompt(1, 19, points=np.array([[20, 20]]))])
    assert run(new.propagate("backward", frames=range(0, 5))) == list(range(4, -1, -1))
    assert {index for _, index in rebuilt} >= {13, 14}, "movie frames 6 and 5, flipped"
    assert all(0 < index < 15 for _, index in rebuilt)


def test_frames_without_the_object_are_not_remembered(make: MakeSession) -> None:
    movie = noise(12)
    session = make(movie, labels=np.zeros(movie.shape, np.uint16))
    session.add_prompts([Prompt(1, 0, points=np.array([[20, 20]]))])
    results = list(session.propagate(frames=range(8, 10)))
    assert [r.frame for r in results] == [8, 9]
    assert not session.labels[1:8].any()


def test_clearing_a_correction_tracks_from_there_again(make: MakeSession) -> None:
    session, plain = make(), make()
    for each in (session, plain):
        each.add_points(1, 0, points=(20, 20))
        run(each.propagate())
    session.add_points(1, 5, points=(35, 40))
    run(session.propagate())
    assert (session.labels != plain.labels).any()
    session.clear_prompts(1, 5)
    assert run(session.propagate()) == list(range(5, 12))
    np.testing.assert_array_equal(session.labels, plain.labels)


def test_clearing_the_last_prompt_forgets_the_object(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    session.clear_prompts(1, 0)
    assert session.object_ids == ()


def test_clearing_the_first_prompt_leaves_the_correction(make: MakeSession) -> None:
    """A correction then has no memory to see, and is answered like a first prompt."""
    session = make()
    session.add_points(1, 0, points=(20, 20))
    run(session.propagate())
    session.add_points(1, 5, points=(35, 40))
    session.clear_prompts(1, 0)
    assert run(session.propagate()) == list(range(5, 12))


def test_empty_mask_says_that_the_object_is_gone(make: MakeSession) -> None:
    session = make()
    three(session)
    run(session.propagate())
    before = session.labels.copy()
    result = session.add_mask(1, 6, mask=np.zeros((40, 48), bool))
    assert result.masks[1].area == 0
    assert result.masks[1].score < 0.5
    assert not only(session.labels[6], 1).any()
    np.testing.assert_array_equal(only(session.labels[6], 2), only(before[6], 2))


def test_mask_correction_is_taken_as_it_is(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    run(session.propagate())
    mask = np.zeros((40, 48), bool)
    mask[8:24, 12:36] = True
    session.add_mask(1, 6, mask=mask)
    run(session.propagate())
    overlap = (only(session.labels[6], 1) & mask).sum() / (only(session.labels[6], 1) | mask).sum()
    assert overlap > 0.9


def test_both_uses_a_correction_before_the_first_prompt(
    make: MakeSession, selections: list[Any]
) -> None:
    """Frames before the correction are tracked from it, not from what was there before."""
    session = make()
    session.add_points(1, 6, points=(20, 20))
    run(session.propagate("both"))
    session.add_points(1, 3, points=(35, 40))
    selections.clear()
    frames = run(session.propagate("both"))
    assert sorted(set(frames)) == [0, 1, 2, *range(3, 12)]
    side = session._sides[True]
    corrected = side.propagator.source.to_movie(3)
    mine = [entry for entry in selections if entry[0] is side.tracks[1].bank]
    before = [chosen for _, frame, chosen in mine if frame > corrected]
    assert before
    for chosen in before:
        places = dict(zip(chosen.frames, chosen.time_positions, strict=True))
        assert places.get(corrected) == 0, "the correction is a conditioning frame"


def test_a_range_that_skips_the_corrected_frame_keeps_the_rest_to_do(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    run(session.propagate())
    session.add_points(1, 4, points=(35, 40))
    run(session.propagate(frames=range(8, 10)))
    assert set(run(session.propagate())) >= {5, 6, 7}


def test_again_goes_over_all_frames_and_keeps_the_correction(make: MakeSession) -> None:
    session = make()
    three(session)
    run(session.propagate())
    session.add_points(1, 6, points=(20, 24))
    corrected = session.labels[6] == 1
    assert run(session.propagate(objects=[1], again=True)) == list(range(session.n_frames))
    np.testing.assert_array_equal(session.labels[6] == 1, corrected)
    part = session.propagate(objects=[2], frames=range(2, 4), again=True)
    assert run(part) == [2, 3]


def answered(side: int, *, iou: float, score: float = 5.0) -> Answer:
    """Answer with a square of a given side in the corner of a frame of 64 x 64 pixels."""
    low = torch.full((1, 64, 64), -5.0)
    low[:, :side, :side] = 5.0
    return Answer(View.whole((64, 64)), low, low, torch.zeros(1), score, iou)


def test_a_click_on_a_missed_part_does_not_turn_an_object_into_that_part() -> None:
    inside, beside = ([clicked(at, at)] for at in (2, 50))
    whole, part = answered(40, iou=0.5), answered(4, iou=0.9)
    same = whole.paste(), part.paste()  # as if it had been tracked so
    assert merit(part, inside, [1600], same[1]) < merit(whole, beside, [1600], same[0])
    # Where nothing is known of its size, or it has been as small before, the surer one is taken.
    for known in ([], [1600, 16]):
        assert merit(part, inside, known, same[1]) > merit(whole, inside, known, same[0])
    assert merit(answered(4, iou=0.9, score=-5.0), beside, [], same[1]) == 0


def clicked(y: float, x: float, *, on: bool = True) -> Prompt:
    return Prompt(1, 3, points=np.array([[y, x]], float), labels=np.array([int(on)]))


@pytest.mark.parametrize(
    ("clicks", "keeps"),
    [
        pytest.param([(21, 10, True)], True, id="a click beside adds"),
        pytest.param([(36, 10, True)], False, id="one far away says that it is somewhere else"),
        pytest.param([(15, 15, False)], True, id="a click on it takes away"),
        pytest.param([(21, 10, True), (15, 15, False)], True, id="both"),
        pytest.param([(10, 10, True)], True, id="what agrees says nothing new"),
    ],
)
def test_a_correction_changes_the_mask_and_does_not_look_for_another_thing(
    clicks: list[tuple[float, float, bool]], keeps: bool
) -> None:
    rounds = [clicked(y, x, on=on) for y, x, on in clicks]
    tracked = answered(20, iou=0.6).paste()
    changed, other = answered(22, iou=0.6), answered(20, iou=0.85)
    changed.low[:, 14:, 14:] = -5.0  # obeys, as the other does
    other = replace(other, low=other.low.roll((18, 0), (1, 2)))
    found = max((changed, other), key=lambda one: merit(one, rounds, [400], tracked))
    assert (found is changed) == keeps


class Offering(BrightEngine):
    """Offers all that is not on the object, too, and first."""

    def offers(self, *args: Any, **kwargs: Any) -> list[Answer]:
        found = self.prompt(*args, **kwargs)
        return [replace(found, low=-found.low, iou=0.99), found]


def test_a_correction_takes_what_goes_with_the_past_of_all_that_is_offered(
    bright: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam_i2v.propagation.session.Engine", Offering)
    session = bright(discs([[(60.0, 50.0)]] * 5, (120, 120), radius=9))
    session.add_points(1, 0, points=(60, 50))
    run(session.propagate())
    before = session.labels[3] == 1
    session.add_points(1, 3, points=(64, 50))
    found = session.labels[3] == 1
    assert (found & before).sum() > 0.9 * (found | before).sum()


@pytest.mark.parametrize("on", [True, False])
def test_a_correction_is_obeyed_even_where_the_network_does_not(
    bright: MakeSession, on: bool
) -> None:
    session = bright(discs([[(60.0, 50.0)]] * 5, (120, 120), radius=9))
    session.add_points(1, 0, points=(60, 50))
    run(session.propagate())
    disc = session.labels[3] == 1
    place = (60, 62) if on else (60, 54)
    assert disc[place] != on
    # Each click is told where the disc is, too: the network's answer is the disc again.
    session.add_points(1, 3, points=[(60, 47), place], labels=[1, int(on)])
    found = session.labels[3] == 1
    assert found[place] == on
    assert found[60, 47]
    assert 0 < (found ^ disc).sum() < 0.5 * disc.sum()


def test_what_lies_far_from_a_click_is_no_answer_to_it() -> None:
    here, there = answered(12, iou=0.95), answered(12, iou=0.3)
    there = replace(there, low=there.low.roll((40, 40), (1, 2)))
    tracked, known = here.paste(), [144]
    beside = [clicked(13, 6)], [clicked(45, 45)]
    found = [max((here, there), key=lambda one: merit(one, r, known, tracked)) for r in beside]
    assert found[0] is here
    assert found[1] is there
