"""A pool of threads that others' work has taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from qtpy.QtCore import QRunnable, QThreadPool


class Occupied(QRunnable):
    """Another plugin's work, which goes on until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.end = threading.Event(), threading.Event()

    def run(self) -> None:
        self.begun.set()
        self.end.wait(600)


@pytest.fixture
def full_pool(qapp, qtbot) -> Iterator[QThreadPool]:
    """The pool of a machine with one core, which is taken."""
    pool = QThreadPool.globalInstance()
    assert pool is not None
    # Workers of tests before may be about to end; their places are given back on this thread.
    assert pool.waitForDone(120_000)
    qtbot.waitUntil(lambda: pool.activeThreadCount() == 0)
    most, other = pool.maxThreadCount(), Occupied()
    pool.setMaxThreadCount(1)
    pool.start(other)
    assert other.begun.wait(120)
    assert not pool.tryStart(Occupied())
    yield pool
    other.end.set()
    assert pool.waitForDone(120_000)
    pool.setMaxThreadCount(most)
