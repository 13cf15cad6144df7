"""The next frame is looked at while this one is answered, on a thread of its own.

What a small network does for one object is too little to keep many threads busy. Two things at
a time, each on half of torch's threads, take less time than one after the other on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import torch

from napari_sam_i2v.network.device import use_threads

__all__ = ["THREAD", "Lookahead"]

THREAD = "sam-i2v-ahead"
"""How the names of threads that look ahead begin."""

_Value = TypeVar("_Value")


class Lookahead:
    """Does one thing at a time beside its caller, on half of torch's threads.

    Whoever uses what it uses calls `wait` first: nothing depends on who is the faster one.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._count = 0
        self._job: Future[object] | None = None
        self._all: int | None = None

    @property
    def threads(self) -> int:
        """Torch's threads, those of both sides."""
        return self._all or torch.get_num_threads()

    def do(self, work: Callable[[], _Value]) -> _Value:
        """Do something there, and wait for it."""
        self.wait()
        return self._ready().submit(work).result()

    @contextmanager
    def doing(self, work: Callable[[], object] | None) -> Iterator[None]:
        """Do something there, if anything, while the body runs on the other half of the threads.

        It may take longer than the body; see `wait`.
        """
        self.wait()
        pool, self._all = self._ready(), self.threads
        torch.set_num_threads(max(1, self._all - self._count))
        try:
            if work is not None:
                self._job = pool.submit(work)
            yield
        finally:
            torch.set_num_threads(self._all)
            self._all = None

    def wait(self) -> None:
        """Wait until what was begun is done, or has failed: who needs it meets the error again."""
        if self._job is not None:
            with suppress(Exception):
                self._job.result()
            self._job = None

    def _ready(self) -> ThreadPoolExecutor:
        """Its thread, with the number of torch's threads that it may use."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=THREAD)
        count, own = max(1, self.threads // 2), torch.get_num_threads()
        if count != self._count:
            self._pool.submit(use_threads, count).result()
            self._count = count
            torch.set_num_threads(own)  # what threads begin with that are yet to come
        return self._pool
