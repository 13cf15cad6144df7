"""The worker's side of the dock: a queue of jobs, and one pass that they may interrupt.

Everything that a session does happens in `Desk.run`, on one thread at a time. Clicks are answered
between two frames of a pass, which then goes on. What is yielded are small facts: planes are in
the label store already.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_sam_i2v.errors import SamI2VError
from napari_sam_i2v.widget.pace import TrackingError, advice, count

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.propagation.session import Direction, Until
    from napari_sam_i2v.workbench import ObjectStatus, Workbench

__all__ = ["Desk", "Event", "Found", "Job", "PassRequest", "Passed", "Said", "Stood", "Wrote"]


TELL_EVERY_S = 0.7
"""How often the object list and the curves are brought up to date during a pass."""


@dataclass(frozen=True)
class Wrote:
    """Frames whose labels changed."""

    frames: tuple[int, ...]


@dataclass(frozen=True)
class Passed:
    """A frame of a pass is done; `done` of `total`. The first is (-1, 0, total)."""

    frame: int
    done: int
    total: int


@dataclass(frozen=True)
class Stood:
    """Where the session stands now.

    `show` asks to show these prompts in place of what the layers hold; `passing` are the objects
    of the pass that is under way. `done` is the number of the latest job that this knows of.
    """

    objects: tuple[ObjectStatus, ...]
    prompts: tuple[Prompt, ...]
    undo: str | None
    redo: str | None
    locked_frames: frozenset[int]
    show: bool
    passing: frozenset[int] = frozenset()
    done: int = 0


@dataclass(frozen=True)
class Said:
    """A sentence for the user; a problem is one that asks to do something.

    One that is `passing` holds until the next prompt is answered. Without text it takes away such
    a one, and no other.
    """

    text: str
    problem: bool = False
    passing: bool = False


@dataclass(frozen=True)
class Found:
    """What a job made for the main thread."""

    name: str
    value: Any


Event = Wrote | Passed | Stood | Said | Found


@dataclass(frozen=True)
class Job:
    """Something to be done to a workbench.

    Attributes
    ----------
    act
        Does it, and gives the frames that it wrote, or events.
    key
        A later job of the same key makes this one void.
    shows
        Whether prompt layers must be shown anew afterwards.
    joined
        Given the older job that this one makes void before it began, one that does both.
    number
        Given by the desk.
    """

    act: Callable[[Workbench], Iterable[int | Event]]
    key: Any = None
    shows: bool = False
    joined: Callable[[Job], Job] | None = None
    number: int = 0


@dataclass(frozen=True)
class PassRequest:
    """What is to be tracked; see `Workbench.propagate`. `anew` also where nothing changed."""

    direction: Direction
    objects: tuple[int, ...] | None = None
    frames: range | None = None
    until: Until = "end"
    anew: bool = False


def _spared_core() -> AbstractContextManager[None]:
    from napari_sam_i2v.network.device import spared_core  # torch, which is there by now

    return spared_core()


class Desk:
    """Jobs in, events out.

    Parameters
    ----------
    open_bench
        Makes the workbench, on the worker's thread: loads the model.
    greeting
        What is said once it is made, before its own notes.
    """

    def __init__(self, open_bench: Callable[[], Workbench], greeting: str = "") -> None:
        self._open, self._greeting = open_bench, greeting
        self.bench: Workbench | None = None
        self._jobs: deque[Job] = deque()
        self._guard = threading.Lock()
        self._latest: dict[Any, int] = {}
        self._count = 0
        self._begun = 0  # number of the latest job that was begun
        self._request: PassRequest | None = None
        self._pass: Iterator[Any] | None = None
        self._passing: frozenset[int] = frozenset()
        self._done = 0
        self._total = 0
        self._outcome: Literal["", "Cancelled."] = ""
        self._told = 0.0

    # ---- main thread ------------------------------------------------------------------------

    def put(self, job: Job) -> int:
        """Queue a job; returns its number.

        An older one of the same key that has not begun is dropped, or both become one; not where
        a job without a key stands between: that may take back what the older one does.
        """
        with self._guard:
            self._count += 1
            if job.key is not None:
                self._latest[job.key] = self._count
                if (older := self._replaceable(job.key)) is not None:
                    self._jobs.remove(older)
                    job = job if job.joined is None else job.joined(older)
            self._jobs.append(replace(job, number=self._count))
            return self._count

    def _replaceable(self, key: Any) -> Job | None:
        for job in reversed(self._jobs):
            if job.key is None:
                return None
            if job.key == key:
                return job
        return None

    def wanted(self, key: Any) -> Callable[[], bool]:
        """Return whether the latest job of a key is still the latest, to be asked later."""
        number = self._latest.get(key, 0)
        return lambda: self._latest.get(key, 0) == number

    def begin(self, request: PassRequest) -> None:
        """Begin a pass once what is queued is done."""
        with self._guard:
            self._request, self._done, self._total, self._outcome = request, 0, 0, ""

    def cancel(self) -> None:
        """Stop the pass after the frame in work."""
        with self._guard:
            if self._request is not None:
                self._request, self._outcome = None, "Cancelled."

    @property
    def tracking(self) -> bool:
        """Whether a pass is under way, or wanted."""
        return self._request is not None or self._pass is not None

    @property
    def has_work(self) -> bool:
        """Whether a worker is needed."""
        return self.bench is None or bool(self._jobs) or self.tracking

    # ---- worker thread ----------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Do what there is to do; ends when nothing is left.

        Raises
        ------
        SamI2VError
            If the workbench cannot be made: the model's file, the device or the precision is wrong.
        TrackingError
            If anything fails for a reason that is not the user's input.
        """
        try:
            if self.bench is None:
                yield Said("Loading the model…")
                self.bench = self._open()
                yield Said(" ".join(filter(None, (self._greeting, *self.bench.notes))))
                yield self._stand(show=True)
            while True:
                if (job := self._next()) is not None:
                    yield from self._do(job)
                elif self._request is not None:
                    yield from self._advance(self._request)
                elif self._pass is not None:
                    yield from self._end(self._outcome or "Done.")
                else:
                    return
        except SamI2VError as error:
            self._drop()
            if self.bench is None:
                raise  # there is nothing to go on with: it would be tried again for ever
            yield Said(str(error), problem=True)
            yield self._stand(show=False)
        except GeneratorExit:
            raise
        except Exception as error:
            self._drop()
            if self.bench is not None:
                yield self._stand(show=True)  # the layers may show what could not be done
            raise TrackingError(advice(error)) from error
        finally:
            self._pause()

    def _next(self) -> Job | None:
        with self._guard:
            return self._jobs.popleft() if self._jobs else None

    def _do(self, job: Job) -> Iterator[Event]:
        assert self.bench is not None
        self._pause()
        self._begun, show = job.number, job.shows
        try:
            for made in job.act(self.bench):
                yield Wrote((made,)) if isinstance(made, int) else made
        except SamI2VError as error:
            show = True  # the layers may show what was refused
            yield Said(str(error), problem=True)
        yield self._stand(show=show)

    def _advance(self, request: PassRequest) -> Iterator[Event]:
        """One frame of the pass, which is begun, or begun again, if need be."""
        if self._pass is None and not self._start(request):
            done = self._done > 0
            self._request = None
            yield Said("Done." if done else "Everything is tracked already.")
            return
        if self._pass is None:
            return
        if not self._done:
            yield Passed(-1, 0, self._total)
            yield self._stand(show=False)
        try:
            with _spared_core():  # clicks, which somebody waits for, are answered with all cores
                result = next(self._pass)
        except StopIteration:
            self._request = None
            yield from self._end("Done.")
            return
        except SamI2VError:
            self._request = None
            raise
        self._done += 1
        yield Passed(result.frame, self._done, max(self._total, self._done))
        if time.monotonic() - self._told > TELL_EVERY_S:
            yield self._stand(show=False)

    def _start(self, request: PassRequest) -> bool:
        """Begin a pass, or go on with it; False when nothing is to be done."""
        assert self.bench is not None
        session = self.bench.session
        objects = request.objects
        if not request.anew or self._done:
            pending = session.pending(request.direction)
            objects = tuple(o for o in pending if request.objects is None or o in request.objects)
            if not objects and session.object_ids:
                return False
        left = session.frames_to_do(request.direction, objects=objects, frames=request.frames)
        if not left:
            return False
        self._total = self._done + left
        free = {*session.object_ids} - session.locks.objects
        self._passing = frozenset(free if objects is None else objects)
        self._pass = self.bench.propagate(
            request.direction, objects=objects, frames=request.frames, until=request.until
        )
        return True

    def _end(self, outcome: str) -> Iterator[Event]:
        said = f"{outcome} {count(self._done, 'frame')} tracked."  # another may begin from here on
        self._pause()
        yield self._stand(show=False)  # first: the list must not show what was before the pass
        yield Said(said)

    def _pause(self) -> None:
        """Close the pass; what it did is kept, and it can be gone on with."""
        if self._pass is not None:
            closing = getattr(self._pass, "close", None)
            self._pass = None
            if closing is not None:
                closing()

    def _drop(self) -> None:
        """Give the pass up; jobs that wait are another matter, and will be done."""
        with self._guard:
            self._request = None

    def _stand(self, *, show: bool) -> Stood:
        assert self.bench is not None
        self._told = time.monotonic()
        session, history = self.bench.session, self.bench.history
        return Stood(
            self.bench.status(), tuple(session.prompts), history.undo_name, history.redo_name,
            frozenset(session.locks.frames), show,
            frozenset() if self._request is None else self._passing,
            self._begun,
        )  # fmt: skip
