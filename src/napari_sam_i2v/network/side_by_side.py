"""Pieces of work that do not depend on each other, side by side on torch's threads.

An operation that is split among threads is over when the slowest of them is, and what the next
one reads lies in the caches of all. Pieces that have a thread each wait for nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from threading import Lock

import torch

from napari_sam_i2v.network.device import use_threads

__all__ = ["side_by_side"]


def side_by_side(pieces: Sequence[Callable[[], None]], *, worth: bool = True) -> None:
    """Do pieces of work in any order, as many at a time as torch has threads here, and cores.

    Each runs on a single thread, and in the caller's modes: inference, autocast. The first error
    is raised, once nothing is at work any more. Where they are not `worth` it, or there is a single
    thread, they are done here, one after the other.
    """
    threads = torch.get_num_threads()
    count = min(threads, len(pieces))
    if count < 2 or not worth:
        for piece in pieces:
            piece()
        return
    left, guard, modes = iter(pieces), Lock(), _Modes()

    def work() -> None:
        with modes.again():
            while True:
                with guard:
                    piece = next(left, None)
                if piece is None:
                    return
                piece()

    workers = [_pool().submit(work) for _ in range(count)]
    try:
        errors = [worker.exception() for worker in workers]
    finally:
        torch.set_num_threads(threads)  # what threads begin with that are yet to come
    for error in errors:
        if error is not None:
            raise error


class _Modes:
    """Modes of the thread that makes it, for others: torch keeps them for each thread."""

    def __init__(self) -> None:
        self._inference = torch.is_inference_mode_enabled()
        self._gradients = torch.is_grad_enabled()
        self._cast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    @contextmanager
    def again(self) -> Iterator[None]:
        """Have them here."""
        enabled, dtype = self._cast
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(self._inference))
            modes.enter_context(torch.set_grad_enabled(self._gradients))
            modes.enter_context(torch.autocast("cpu", dtype=dtype, enabled=enabled))
            yield


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        os.cpu_count(), thread_name_prefix="sam-i2v-piece", initializer=use_threads, initargs=(1,)
    )
