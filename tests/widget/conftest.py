"""A session without a network, for the widget's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from napari_sam_i2v.widget.plan import Plan


@dataclass(frozen=True)
class FakeResult:
    frame: int


class FakeSession:
    """Paints a square of 3 × 3 around every object's first click, in each frame.

    `at_frame` holds the run before that frame until `go` is set, so that a test can cancel
    there without sleeping.
    """

    def __init__(self, *, at_frame: int | None = None, error: Exception | None = None) -> None:
        self.at_frame = at_frame
        self.error = error
        self.held, self.go = threading.Event(), threading.Event()
        self.threads: set[str] = set()
        self.plan: Plan | None = None
        self.labels: Any = None

    def start(self, plan: Plan, labels: Any) -> FakeSession:
        self.plan, self.labels = plan, labels
        return self

    def propagate(self, direction: str) -> Iterator[FakeResult]:
        n_frames = self.plan.axes.shape[0]
        frames = range(self.plan.first_frame, n_frames)
        if direction == "backward":
            frames = range(max(clicks.frame for clicks in self.plan.clicks), -1, -1)
        for frame in frames:
            if frame == self.at_frame:
                self.held.set()
                assert self.go.wait(30)
                if self.error is not None:
                    raise self.error
            self.threads.add(threading.current_thread().name)
            self.labels[frame] = self.plane()
            yield FakeResult(frame)

    def plane(self) -> np.ndarray:
        plane = np.zeros(self.plan.axes.shape[1:], np.uint16)
        for clicks in self.plan.clicks:
            y, x = (round(value) for value in clicks.points[0])
            plane[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = clicks.object_id
        return plane


@pytest.fixture
def fake() -> type[FakeSession]:
    return FakeSession


@pytest.fixture
def movie() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (6, 30, 40), dtype=np.uint16)
