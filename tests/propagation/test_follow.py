"""Windows that follow objects, on an engine that sees only what its window shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.view import View, box_size
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import BrightEngine, discs, only, run

SHAPE = (200, 240)


def drifting(frames: int = 30, speed: float = 5) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """A small disc that crosses the frame, and where it is."""
    centres = [(40.0 + 3 * t, 30.0 + speed * t) for t in range(frames)]
    return discs([[c] for c in centres], SHAPE), centres


def engine(session: Session) -> BrightEngine:
    assert isinstance(session.engine, BrightEngine)
    return session.engine


def found(
    labels: np.ndarray, movie: np.ndarray, object_id: int = 1, value: int = 200
) -> list[float]:
    """IoU with the truth on each frame."""
    own, truth = only(labels, object_id), movie == value
    both, either = (own & truth).sum(axis=(1, 2)), (own | truth).sum(axis=(1, 2))
    return (both / np.maximum(either, 1)).tolist()


@pytest.mark.parametrize("view", ["follow", "auto"])
def test_windows_follow_a_drifting_object(bright: MakeSession, view: str) -> None:
    movie, centres = drifting()
    session = bright(movie, view=view)
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7
    looked = dict(engine(session).looked)
    assert sorted(looked) == list(range(1, 30))
    for t, window in looked.items():
        assert window != View.whole(SHAPE)
        assert 0 <= window.y <= SHAPE[0] - window.height
        assert 0 <= window.x <= SHAPE[1] - window.width
        y, x = centres[t - 1]  # where the object was a frame ago
        assert abs(window.y + window.height / 2 - y) < 8
        assert abs(window.x + window.width / 2 - x) < 8
    sides = {max(window.height, window.width) for window in looked.values()}
    assert max(sides) - min(sides) <= 6, "the side follows the object's size smoothly"


def test_windows_follow_backward(bright: MakeSession) -> None:
    movie, centres = drifting()
    session = bright(movie)
    session.add_points(1, 29, points=centres[29])
    run(session.propagate("backward"))
    assert min(found(session.labels, movie)) > 0.7


def test_windows_of_several_objects_are_their_own(bright: MakeSession) -> None:
    tracks = [[(40 + 4 * t, 30.0), (170.0, 200 - 5 * t)] for t in range(25)]
    movie = discs(tracks, SHAPE, values=(120, 200))
    session = bright(movie)
    session.add_points(1, 0, points=tracks[0][0])
    session.add_points(2, 0, points=tracks[0][1])
    run(session.propagate())
    assert min(found(session.labels, movie, 1, 120)) > 0.7
    assert min(found(session.labels, movie, 2, 200)) > 0.7


def test_large_objects_are_seen_on_the_whole_frame(bright: MakeSession) -> None:
    movie = discs([[(100, 60 + 2 * t)] for t in range(8)], SHAPE, radius=50)
    session = bright(movie, view="auto")
    session.add_points(1, 0, points=(100, 60))
    run(session.propagate())
    assert {view for _, view in engine(session).looked} == {View.whole(SHAPE)}
    assert min(found(session.labels, movie)) > 0.9


def test_view_frame_never_uses_a_window(bright: MakeSession) -> None:
    movie, centres = drifting(10)
    session = bright(movie, view="frame")
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    assert {view for _, view in engine(session).looked} == {View.whole(SHAPE)}


def test_a_window_grows_while_its_object_is_lost_and_finds_it_again(bright: MakeSession) -> None:
    centres = [(100.0, 60.0)] * 3 + [(-50.0, -50.0)] * 4 + [(100.0, 82.0)] * 3
    movie = discs([[c] for c in centres], SHAPE)
    session = bright(movie)
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    looked = dict(engine(session).looked)
    sides = [looked[t].height for t in range(3, 8)]
    assert sides == sorted(sides)
    assert sides[-1] > sides[0]
    assert sides[-1] <= 2.2 * sides[0], "but not without end"
    assert not session.labels[3:7].any()
    assert found(session.labels, movie)[8] > 0.7


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_boxes_and_masks_place_the_first_window(bright: MakeSession, kind: str) -> None:
    movie, centres = drifting(6)
    session = bright(movie)
    (y, x) = centres[0]
    if kind == "box":
        session.add_box(1, 0, box=(y - 6, x - 6, y + 7, x + 7))
    else:
        session.add_mask(1, 0, mask=movie[0] > 0)
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7


@pytest.mark.parametrize("scale", [0.0, 2.0])
def test_a_box_is_answered_from_near_and_remembered_as_it_is_tracked(
    bright: MakeSession, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    movie, centres = drifting(4)
    session = bright(movie)
    session.engine.config = replace(session.engine.config, box_scale=scale)
    answered: list[View] = []
    remembered: list[View] = []
    prompt, remember = BrightEngine.prompt, BrightEngine.remember

    def spied_prompt(self: Any, feature: Any, rounds: Any, view: View, **options: Any) -> Answer:
        answered.append(view)
        return prompt(self, feature, rounds, view, **options)

    def spied_remember(self: Any, features: Any, answers: Any, **options: Any) -> Any:
        remembered.extend(answer.view for answer in answers)
        return remember(self, features, answers, **options)

    monkeypatch.setattr(BrightEngine, "prompt", spied_prompt)
    monkeypatch.setattr(BrightEngine, "remember", spied_remember)
    (y, x) = centres[0]
    result = session.add_box(1, 0, box=(y - 20, x - 20, y + 20, x + 20))
    tracked = round(session.engine.config.window_scale * box_size(result.masks[1].box))
    assert answered[0].height == (80 if scale else round(session.engine.config.window_scale * 40))
    assert remembered[0].height == tracked
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7


def test_a_click_beside_a_box_is_seen_too(bright: MakeSession) -> None:
    movie, centres = drifting(1)
    session = bright(movie)
    session.engine.config = replace(session.engine.config, box_scale=1.0)
    (y, x) = centres[0]
    beside = Prompt(object_id=1, frame=0, points=[(y + 25, x)], labels=[0])
    box = Prompt(object_id=1, frame=0, box=(y - 8, x - 8, y + 8, x + 8))
    side = session._side(False).propagator
    assert side._near_view([box]) is not None
    assert side._near_view([box, beside]) is None


def test_results_outside_a_window_are_background(bright: MakeSession) -> None:
    """Something as bright elsewhere is not the object."""
    tracks = [[(40.0, 40.0), (160.0, 200.0)] for _ in range(4)]
    movie = discs(tracks, SHAPE, values=(200, 200))
    session = bright(movie)
    session.add_points(1, 0, points=(40, 40))
    run(session.propagate())
    assert not only(session.labels[:, 100:], 1).any()


def test_masks_at_the_frame_s_edge(bright: MakeSession) -> None:
    movie = discs([[(2.0, 2.0)], [(1.0, 4.0)], [(0.0, 8.0)]], SHAPE)
    session = bright(movie)
    result = session.add_points(1, 0, points=(2, 2))
    mask: ObjectMask = result.masks[1]
    assert mask.box[:2] == (0, 0)
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.6


# ---- where a window is when a pass does not begin at the beginning -------------------------


def test_going_on_after_a_stop(bright: MakeSession) -> None:
    movie, centres = drifting()
    session = bright(movie)
    session.add_points(1, 0, points=centres[0])
    pass_ = session.propagate()
    for _ in range(10):
        next(pass_)
    pass_.close()
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7


def test_a_prompt_far_ahead_does_not_move_the_window(bright: MakeSession) -> None:
    movie, centres = drifting()
    session = bright(movie)
    session.add_points(1, 0, points=centres[0])
    pass_ = session.propagate()
    for _ in range(10):
        next(pass_)
    pass_.close()
    session.add_points(1, 25, points=centres[25])
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7


@pytest.mark.parametrize("order", [(0, 25), (25, 0)])
def test_several_prompts_from_the_start(bright: MakeSession, order: tuple[int, int]) -> None:
    movie, centres = drifting()
    session = bright(movie)
    session.add_prompts([Prompt(1, t, points=np.array([centres[t]])) for t in order])
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7


@pytest.mark.parametrize("frames", [12, 30])
def test_corrections_look_where_the_object_was(bright: MakeSession, frames: int) -> None:
    """With rolling memory still there, and with rolling memory long gone."""
    movie, centres = drifting(frames)
    session = bright(movie)
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    engine(session).looked.clear()
    session.add_points(1, 4, points=centres[4])
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7
    y, x = centres[3]
    window = engine(session).looked[0][1]
    assert abs(window.y + window.height / 2 - y) < 8
    assert abs(window.x + window.width / 2 - x) < 8


def test_clearing_a_correction_takes_the_window_back(bright: MakeSession) -> None:
    movie, centres = drifting(15)
    session = bright(movie)
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    session.add_points(1, 5, points=centres[5])
    run(session.propagate())
    session.clear_prompts(1, 5)
    run(session.propagate())
    assert min(found(session.labels, movie)) > 0.7


def test_a_new_session_begins_where_the_labels_are(bright: MakeSession) -> None:
    movie, centres = drifting()
    old = bright(movie)
    old.add_points(1, 0, points=centres[0])
    run(old.propagate(frames=range(0, 20)))
    new = bright(movie, labels=old.labels)
    new.add_prompts([Prompt(1, 0, points=np.array([centres[0]]))])
    run(new.propagate(frames=range(20, 30)))
    assert min(found(new.labels, movie)) > 0.7


def test_a_correction_elsewhere_moves_the_window_there(bright: MakeSession) -> None:
    """The object had been lost to another one: the click says where it really is."""
    tracks = [[(40.0, 40.0), (160.0, 200.0)] for _ in range(10)]
    movie = discs(tracks, SHAPE, values=(200, 200))
    session = bright(movie)
    session.add_points(1, 0, points=(40, 40))
    run(session.propagate())
    session.add_points(1, 5, points=(160, 200))
    run(session.propagate())
    assert only(session.labels[5:, 100:], 1).any(axis=(1, 2)).all()
    assert not only(session.labels[5:, :100], 1).any()


def test_a_jump_is_doubted_and_so_is_what_follows_from_it(bright: MakeSession) -> None:
    centres = [(100.0, 60.0)] * 4 + [(100.0, 96.0)] * 4
    session = bright(discs([[c] for c in centres], (200, 240), radius=12))
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    sure = session.confidence.of(1)
    assert np.isfinite(sure).all() and session.labels[4:].any(axis=(1, 2)).all()
    assert sure[:4] == pytest.approx(sure[0], rel=0.05)
    assert sure[4] < 0.8 * sure[3]
    assert (sure[5:] < 0.9 * sure[3]).all(), "though the network is as sure as before"
    # A prompt says where it is: from there on there is nothing to doubt.
    session.add_points(1, 5, points=centres[5])
    run(session.propagate())
    assert (session.confidence.of(1)[5:] > 0.95 * sure[3]).all()


def test_as_published_the_network_is_taken_at_its_word(bright: MakeSession) -> None:
    centres = [(100.0, 60.0)] * 3 + [(100.0, 120.0)] * 3
    session = bright(discs([[c] for c in centres], (200, 240), radius=12), view="frame")
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    assert session.confidence.of(1) == pytest.approx(session.confidence.of(1)[0])


def test_further_clicks_do_not_look_for_the_first_one_again(
    bright: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []
    original = BrightEngine.try_views

    def spy(self: BrightEngine, source: Any, index: int, prompt: Prompt, views: Any) -> Any:
        assert prompt.points is not None
        asked.append((index, float(prompt.points[0, 0])))
        return original(self, source, index, prompt, views)

    monkeypatch.setattr(BrightEngine, "try_views", spy)
    session = bright(discs([[(60.0, 50.0)]] * 5, (120, 120), radius=9))
    session.add_points(1, 0, points=(60, 50))
    session.add_points(1, 0, points=(62, 52))
    session.add_points(1, 0, points=(100, 100), labels=[0])
    assert asked == [(0, 60.0)]
    session.add_points(2, 0, points=(61, 50))
    session.add_points(3, 2, points=(60, 50))
    assert asked == [(0, 60.0), (0, 61.0), (2, 60.0)]
