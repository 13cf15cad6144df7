"""One run of the engine for the widget: a generator of small steps, and its pace.

The generator runs in a worker thread. It touches no layer, and it yields numbers only: the
planes are written to the store from here, so that no queue of planes grows when the window is
slower than the network.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from napari_sam_i2v.errors import SamI2VError
from napari_sam_i2v.widget.plan import Direction, Plan


class TrackingError(Exception):
    """A run stopped for a reason that is not the user's input.

    Not a `RuntimeError`: napari's workers swallow those without a signal, and the widget would
    wait for ever.
    """


class FrameDone(Protocol):
    """What a run needs to know of a `FrameResult`."""

    @property
    def frame(self) -> int:
        """Frame that was finished."""


class SessionLike(Protocol):
    """What a run needs of a `propagation.session.Session`."""

    def propagate(self, direction: Direction) -> Iterable[FrameDone]:
        """Write frame after frame into the labels and report each."""


Start = Callable[[Plan, Any], SessionLike]


@dataclass(frozen=True)
class Step:
    """A sign of life of a run: a frame was finished, or (None) the model is ready."""

    frame: int | None


def start_session(plan: Plan, labels: Any) -> SessionLike:
    """Open the real session for a plan; imports torch and loads the model.

    Parameters
    ----------
    plan : Plan
        The resolved run.
    labels : array-like
        (T, Y, X), written frame by frame.
    """
    import numpy as np

    from napari_sam_i2v.propagation.frames import estimate_contrast
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.propagation.session import Session

    contrast = estimate_contrast(plan.movie, limits=plan.contrast)
    session = Session(
        plan.movie, model=plan.model, view=plan.view, labels=labels,
        contrast=None if contrast is None else contrast.values,
    )  # fmt: skip
    session.add_prompts(
        Prompt(
            object_id=clicks.object_id,
            frame=clicks.frame,
            points=np.asarray(clicks.points, dtype=float),
            labels=np.asarray(clicks.labels, dtype=int),
        )
        for clicks in plan.clicks
    )
    return session


def track(plan: Plan, labels: Any, start: Start = start_session) -> Iterator[Step]:
    """Run a plan; yields when the model is ready and after each frame.

    Parameters
    ----------
    plan : Plan
        The resolved run.
    labels : array-like
        (T, Y, X), written frame by frame.
    start : callable
        Opens the session.

    Raises
    ------
    SamI2VError
        As the session raises it: something given cannot be used.
    TrackingError
        For everything else, with what to do next.
    """
    try:
        session = start(plan, labels)
        yield Step(None)
        for result in session.propagate(plan.direction):
            yield Step(int(result.frame))
    except SamI2VError:
        raise
    except Exception as error:
        raise TrackingError(advice(error)) from error


def advice(error: Exception) -> str:
    """Say what happened and what to do next."""
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return (
            f"Tracking ran out of memory ({what}). Finished frames are kept. Close other "
            "programs that use memory or the graphics card, or track fewer objects at a time."
        )
    return (
        f"Tracking stopped: {what}. Finished frames are kept. If it happens again, please "
        "report it with the traceback."
    )


class Pace:
    """Counts finished frames and estimates the time left from the latest ones.

    Parameters
    ----------
    total : int
        Frames to do.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.total = max(total, 1)
        self.done = 0
        self._clock = clock
        # The latest frames only: the first are slow, and the machine may get busy or free.
        self._times: deque[float] = deque([clock()], maxlen=20)

    def restart(self) -> None:
        """Forget the time so far: the model has been loaded, frames begin now."""
        self._times.clear()
        self._times.append(self._clock())

    def tick(self) -> None:
        """Count a frame."""
        self.done += 1
        self.total = max(self.total, self.done)
        self._times.append(self._clock())

    @property
    def rate(self) -> float | None:
        """Frames per second, None before the first frame."""
        seconds = self._times[-1] - self._times[0]
        return (len(self._times) - 1) / seconds if seconds > 0 else None

    def __str__(self) -> str:
        text = f"{self.done} of {count(self.total, 'frame')}"
        if self.rate is None:
            return text
        left = (self.total - self.done) / self.rate
        return f"{text} · {_rate(self.rate)} · {_duration(left)} left"


def count(number: int, noun: str) -> str:
    """Return ``1 frame``, ``2 frames``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return f"{per_second:.1f} frames/s"
    return f"{1 / per_second:.1f} s/frame"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def counts(plan: Plan) -> str:
    """Return what a plan will do in one line, e.g. ``3 objects, 4 clicks, 20 frames``."""
    clicks: Iterable[int] = (len(clicks.points) for clicks in plan.clicks)
    return ", ".join(
        (
            count(len(plan.object_ids), "object"),
            count(sum(clicks), "click"),
            f"{count(plan.frames_to_do, 'frame')} to do",
        )
    )
