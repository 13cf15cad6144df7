from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Points

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.widget.plan import Choices, resolve
from napari_sam_i2v.widget.run import Pace, Step, TrackingError, counts, track

ORIGIN = (0.0, 0.0, 0.0)


@pytest.fixture
def plan(movie):
    points = Points([[2, 5, 6], [1, 15, 16]])
    return resolve(Choices(Image(movie), (points,)), ORIGIN)


def test_plan_counts(plan, movie):
    assert counts(plan) == "2 objects, 2 clicks, 5 frames to do"
    assert plan.object_ids == (1, 2)
    back = resolve(Choices(plan.image, (Points([[2, 5, 6]]),), direction="backward"), ORIGIN)
    assert counts(back) == "1 object, 1 click, 3 frames to do"


def test_both_ways_count_a_pass_forward_and_one_back(plan):
    points = Points([[1, 5, 6], [3, 15, 16], [5, 5, 6]], features={"object_id": [1, 2, 1]})
    both = resolve(Choices(plan.image, (points,), direction="both"), ORIGIN)
    # Forward frames 1 to 5; backward frames 2 to 0, before the first click of object 2.
    assert both.frames_to_do == 5 + 3


def test_equal_choices_make_equal_plans(plan):
    again = resolve(Choices(plan.image, (Points([[2, 5, 6], [1, 15, 16]]),)), ORIGIN)
    assert again == plan
    moved = resolve(Choices(plan.image, (Points([[2, 5, 6], [1, 15, 17]]),)), ORIGIN)
    assert moved != plan


def test_missing_choices_say_what_to_do(movie):
    with pytest.raises(ValueError, match="Open a movie first"):
        resolve(Choices(None), ORIGIN)
    with pytest.raises(PromptError, match="New clicks layer"):
        resolve(Choices(Image(movie)), ORIGIN)


def test_track_reports_readiness_then_frames(plan, fake):
    labels = np.zeros(plan.axes.shape, np.uint16)
    steps = list(track(plan, labels, fake().start))
    assert steps == [Step(None), *(Step(frame) for frame in range(1, 6))]
    assert labels[3, 5, 6] == 1
    assert labels[3, 15, 16] == 2
    assert not labels[0].any()


def test_runtime_errors_become_ours(plan, fake):
    # napari's workers swallow a RuntimeError without a signal.
    session = fake(at_frame=1, error=RuntimeError("CUDA out of memory. Tried to allocate"))
    session.go.set()
    with pytest.raises(TrackingError, match=r"ran out of memory.*fewer objects") as caught:
        list(track(plan, np.zeros(plan.axes.shape, np.uint16), session.start))
    assert not isinstance(caught.value, RuntimeError)


def test_our_own_errors_pass(plan, fake):
    session = fake(at_frame=1, error=PromptError("as it is"))
    session.go.set()
    with pytest.raises(PromptError, match=r"^as it is$"):
        list(track(plan, np.zeros(plan.axes.shape, np.uint16), session.start))


def test_pace_estimates_from_the_latest_frames():
    now = [0.0]
    pace = Pace(100, clock=lambda: now[0])
    assert str(pace) == "0 of 100 frames"
    now[0] = 50.0  # loading the model takes no part
    pace.restart()
    for _ in range(10):
        now[0] += 0.5
        pace.tick()
    assert str(pace) == "10 of 100 frames · 2.0 frames/s · 45 s left"
    for _ in range(40):
        now[0] += 2
        pace.tick()
    assert str(pace) == "50 of 100 frames · 2.0 s/frame · 1 min 40 s left"


def test_pace_grows_with_a_run_longer_than_planned():
    pace = Pace(1)
    pace.tick()
    pace.tick()
    assert (pace.done, pace.total) == (2, 2)
