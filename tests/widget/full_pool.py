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
        self.end.wait(30)


@pytest.fixture
def full_pool(qapp) -> Iterator[QThreadPool]:
    """The pool of a machine with one core, which is taken."""
    pool = QThreadPool.globalInstance()
    assert pool is not None
    most, other = pool.maxThreadCount(), Occupied()
    pool.setMaxThreadCount(pool.activeThreadCount() + 1)
    pool.start(other)
    assert other.begun.wait(20)
    assert not pool.tryStart(Occupied())
    yield pool
    other.end.set()
    pool.setMaxThreadCount(most)
