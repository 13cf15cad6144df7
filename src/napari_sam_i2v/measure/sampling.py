"""Where time goes: every few milliseconds, which module of ours is at work.

Unlike a profiler of the network's layers, this covers reading, moving windows, composing and
writing too, and slows nothing down.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

import napari_sam_i2v
from napari_sam_i2v.propagation.ahead import THREAD

__all__ = ["module_of", "sampled"]

EVERY = 0.005
"""Seconds between samples."""
SERVANTS = {"network/attention.py", "network/grid_attention.py"}
"""Modules that work for several others: their time counts for whoever called them."""
ELSEWHERE = "other"
WAITING = "propagation/ahead.py"


@contextmanager
def sampled(*, wanted: bool = True) -> Iterator[dict[str, float]]:
    """Sample the calling thread; the dict given fills with module -> share of time at the end.

    The thread that looks ahead for it counts, too.

    On a GPU, work goes on after the call that asked for it: start Python with
    `CUDA_LAUNCH_BLOCKING=1` to see it where it belongs.
    """
    shares: dict[str, float] = {}
    if not wanted:
        yield shares
        return
    counts: Counter[str] = Counter()
    done = threading.Event()
    caller = threading.current_thread()

    def sample() -> None:
        while not done.wait(EVERY):
            frames = sys._current_frames()
            ahead = [t for t in threading.enumerate() if t.name.startswith(THREAD)]
            at_work = {module_of(frames.get(t.ident or 0)) for t in ahead} - {ELSEWHERE}
            named = module_of(frames.get(caller.ident or 0))
            # Whoever waits for the other is not at work.
            counts.update(at_work if at_work and named == WAITING else [named, *at_work])

    sampler = threading.Thread(target=sample, name="sam-i2v-sampler", daemon=True)
    sampler.start()
    try:
        yield shares
    finally:
        done.set()
        sampler.join()
        total = max(counts.total(), 1)
        shares.update({name: count / total for name, count in counts.most_common()})


def module_of(frame: FrameType | None) -> str:
    """Module of ours, as in docs/architecture.md, in which a thread is at work."""
    while frame is not None:
        name = _module(frame.f_code.co_filename)
        if name and name not in SERVANTS:
            return name
        frame = frame.f_back
    return ELSEWHERE


@cache
def _module(file: str) -> str:
    """Path below our package; empty for others' files."""
    path, root = Path(file), Path(napari_sam_i2v.__file__).parent
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
