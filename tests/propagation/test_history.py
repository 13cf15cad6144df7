"""Undo and redo bring back labels, and what objects remember, to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.propagation import history as history_module
from napari_sam_i2v.propagation.history import History, RecordedLabels
from napari_sam_i2v.propagation.session import Session
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import noise, run

FRAMES = 34
"""Longer than memory reaches."""


class Worked:
    """A session with a history, on a network that answers corrections from memory."""

    def __init__(self, make: MakeSession) -> None:
        labels = RecordedLabels(np.zeros((FRAMES, 40, 48), np.uint16))
        self.session: Session = make(noise(FRAMES), labels=labels)
        self.history = History(self.session)

    def click(self, frame: int, y: float, x: float) -> None:
        with self.history.step("click", [1]):
            self.session.add_points(1, frame, points=(y, x))

    def track(self, direction: str = "forward") -> None:
        with self.history.step("tracking", [1]):
            run(self.session.propagate(direction))  # type: ignore[arg-type]

    @property
    def planes(self) -> np.ndarray:
        return np.stack([self.session.labels[t] for t in range(FRAMES)])


@pytest.fixture
def worked(make: MakeSession) -> Worked:
    """Clicked, tracked, corrected on a later frame, tracked."""
    worked = Worked(make)
    worked.click(0, 20, 20)
    worked.track()
    worked.click(25, 35, 40)
    worked.track()
    return worked


def test_a_correction_that_is_redone_keeps_its_answer_and_what_follows(worked: Worked) -> None:
    before = worked.planes
    worked.history.undo()
    worked.history.undo()
    assert (worked.planes != before).any()
    worked.history.redo()
    np.testing.assert_array_equal(worked.planes[25], before[25])
    worked.track()
    np.testing.assert_array_equal(worked.planes, before)


def test_a_pass_that_was_undone_gives_the_same_again(worked: Worked) -> None:
    before = worked.planes
    worked.history.undo()
    worked.track()
    np.testing.assert_array_equal(worked.planes, before)


def test_going_far_back_and_on_again_gives_the_same(worked: Worked) -> None:
    before = worked.planes
    while worked.history.undo():
        pass
    assert not worked.planes.any()
    for _ in range(3):
        worked.history.redo()
    worked.track()
    np.testing.assert_array_equal(worked.planes, before)


def test_what_is_undone_is_not_remembered(worked: Worked, make: MakeSession) -> None:
    plain = Worked(make)
    plain.click(0, 20, 20)
    plain.track()
    worked.history.undo()
    worked.history.undo()
    for each in (plain, worked):
        each.click(28, 10, 10)
        each.track()
    np.testing.assert_array_equal(worked.planes, plain.planes)


def test_memories_are_bounded(make: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = Worked(make)
    for frame in range(12):
        worked.click(frame, 20, 20)
    kept = [bool(step.memories) for step in worked.history._undo]
    assert kept == [False] * 4 + [True] * 8
    monkeypatch.setattr(history_module, "MAX_REMEMBERED_BYTES", 0)
    worked.click(12, 20, 20)
    assert not any(step.memories for step in worked.history._undo[:-1])
    worked.history.undo()  # still possible
    worked.history.undo()
    assert worked.session.prompts.frames(1) == tuple(range(11))
