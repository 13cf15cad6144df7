"""The one worker thread of a controller: started when there is work, let go of when closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QCoreApplication, QObject, QThreadPool

if TYPE_CHECKING:
    from napari_sam_i2v.widget.tracking import TrackController

__all__ = ["WorkError", "WorkRunner", "start_on_top"]


class WorkError(Exception):
    """The worker stopped for a reason that is not the user's input.

    Not a `RuntimeError` (which torch raises, of exhausted memory too): napari's workers swallow
    those without a signal, and the dock would wait for ever.
    """


class WorkRunner(QObject):
    """Runs `controller.run` in a thread whenever it asks for it.

    That thread comes on top of others', see `start_on_top`: a click is answered while a pass in
    another window, or another plugin, has them all.

    It belongs to the application, not to the dock: it must see the end of a worker whose dock was
    closed, because only then the controller may let go of its files.
    """

    def __init__(self, controller: TrackController) -> None:
        super().__init__(QCoreApplication.instance())
        self._controller = controller
        self._worker: Any = None
        self._closed = self._failed = False
        self._then: list[Callable[[], object]] = []
        controller.work_wanted.connect(self.start)

    @property
    def running(self) -> bool:
        """Whether a worker is alive."""
        return self._worker is not None

    def start(self) -> None:
        """Start a worker if none is alive."""
        if self._worker is None and not self._closed:
            self._start()

    def _start(self) -> None:
        # Left to the worker, an error is raised again in a slot, and without napari's hooks
        # PyQt ends the program there: the controller shows errors.
        worker = create_worker(_guarded, self._controller.run, _ignore_errors=True)
        worker.yielded.connect(self._on_yielded)
        worker.errored.connect(self._on_errored)
        worker.finished.connect(self._on_finished)
        self._worker, self._failed = worker, False
        start_on_top(worker)

    def when_idle(self, action: Callable[[], object]) -> None:
        """Stop a pass, do what was asked for, then do something; at once if nothing runs."""
        if self._worker is None:
            action()
            return
        self._then.append(action)
        self._controller.cancel()

    def close(self) -> None:
        """Stop, close the controller, and be no more."""
        if self._closed:
            return
        self._closed = True
        self._controller.work_wanted.disconnect(self.start)
        self.when_idle(self._controller.close)
        if self._worker is None:
            self.deleteLater()

    def _on_yielded(self, event: object) -> None:
        if not self._closed:
            self._controller.handle(event)

    def _on_errored(self, error: Exception) -> None:
        self._failed = True
        if not self._closed:
            self._controller.failed(error)

    def _on_finished(self) -> None:
        self._worker = None
        if not self._closed:
            self._controller.finished()
        if self._then and self._controller.has_work and not self._failed:
            self._start()  # what was asked for at the very last is done, too
            return
        then, self._then = self._then, []
        for action in then:
            action()
        if self._closed:
            self.deleteLater()
        elif self._controller.has_work:
            self.start()


def start_on_top(worker: Any) -> None:
    """Start a worker in a thread on top of those that napari's workers may have.

    These are as many as there are cores: on a small machine, what takes long would hold up others,
    and be held up by them.
    """
    pool = QThreadPool.globalInstance()
    if pool is None:
        raise RuntimeError("Qt has no thread pool: there is no application.")
    pool.releaseThread()  # room for one more, until it ends
    worker.finished.connect(pool.reserveThread)
    worker.start()


def _guarded(run: Callable[[], Iterator[object]]) -> Iterator[object]:
    """Give errors a type that the worker reports."""
    try:
        yield from run()
    except RuntimeError as error:
        raise WorkError(str(error)) from error
