"""Pace and advice are in words that a user can do something with."""

from __future__ import annotations

from napari_sam_i2v.widget.pace import Pace, advice


def test_pace_estimates_from_the_latest_frames() -> None:
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


def test_pace_grows_with_a_run_longer_than_planned() -> None:
    pace = Pace(1)
    pace.tick()
    pace.tick()
    assert (pace.done, pace.total) == (2, 2)


def test_out_of_memory_says_what_to_close() -> None:
    text = advice(RuntimeError("CUDA out of memory. Tried to allocate"))
    assert "ran out of memory" in text
    assert "fewer objects" in text


def test_anything_else_asks_for_a_report() -> None:
    assert "KeyError: 'x'. Finished frames are kept." in advice(KeyError("x"))
