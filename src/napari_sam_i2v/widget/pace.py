"""How fast it goes and how long it takes, in words; what to say when it stops."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class TrackingError(Exception):
    """A run stopped for a reason that is not the user's input.

    Not a `RuntimeError`: napari's workers swallow those without a signal, and the dock would wait
    for ever.
    """


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
