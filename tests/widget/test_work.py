"""The dock's worker thread among the threads of others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from psygnal import Signal
from qtpy.QtCore import QRunnable, QThreadPool

from napari_sam_i2v.widget.work import WorkRunner

pytestmark = pytest.mark.gui


class Work:
    """A controller whose work says one thing."""

    work_wanted = Signal()
    has_work = False

    def __init__(self) -> None:
        self.said: list[object] = []
        self.ended = self.closed = 0

    def run(self) -> Iterator[object]:
        yield "done"

    def handle(self, event: object) -> None:
        self.said.append(event)

    def failed(self, error: Exception) -> None:
        self.said.append(error)

    def finished(self) -> None:
        self.ended += 1

    def close(self) -> None:
        self.closed += 1


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


def test_work_is_done_while_others_have_all_threads(full_pool, qtbot) -> None:
    work = Work()
    runner = WorkRunner(work)  # type: ignore[arg-type]
    for times in (1, 2):
        before = full_pool.activeThreadCount()
        work.work_wanted.emit()
        qtbot.waitUntil(lambda: work.ended == times and not runner.running, timeout=20_000)  # noqa: B023
        assert work.said == ["done"] * times
        # And then there is as little room as before.
        qtbot.waitUntil(lambda: full_pool.activeThreadCount() == before, timeout=20_000)  # noqa: B023
        assert not full_pool.tryStart(Occupied())
    runner.close()
    assert work.closed == 1
