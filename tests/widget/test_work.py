"""The dock's worker thread among the threads of others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psygnal import Signal
from tests.widget.full_pool import Occupied, full_pool

from napari_sam_i2v.widget.work import WorkRunner

__all__ = ["full_pool"]  # a fixture

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


def test_work_is_done_while_others_have_all_threads(full_pool, qtbot) -> None:
    work = Work()
    runner = WorkRunner(work)  # type: ignore[arg-type]
    for times in (1, 2):
        before = full_pool.activeThreadCount()
        work.work_wanted.emit()
        qtbot.waitUntil(lambda: work.ended == times and not runner.running)  # noqa: B023
        assert work.said == ["done"] * times
        # And then there is as little room as before.
        qtbot.waitUntil(lambda: full_pool.activeThreadCount() == before)  # noqa: B023
        assert not full_pool.tryStart(Occupied())
    runner.close()
    assert work.closed == 1
