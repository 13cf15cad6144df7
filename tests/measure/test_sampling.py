"""Samples of where a thread is name our modules."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from napari_sam_i2v.measure import sampling
from napari_sam_i2v.measure.sampling import ELSEWHERE, module_of, sampled
from napari_sam_i2v.network import attention, mask_decoder
from napari_sam_i2v.propagation import motion
from napari_sam_i2v.propagation.ahead import Lookahead


def stack(*files: str) -> Any:
    """A stack of frames, innermost first."""
    frame: Any = None
    for file in reversed(files):
        frame = SimpleNamespace(f_code=SimpleNamespace(co_filename=file), f_back=frame)
    return cast(Any, frame)


def test_time_in_other_libraries_counts_for_whoever_called_them() -> None:
    assert module_of(stack(np.__file__, motion.__file__, __file__)) == "propagation/motion.py"
    assert module_of(stack(np.__file__)) == ELSEWHERE


def test_attention_counts_for_whoever_attends() -> None:
    found = module_of(stack(attention.__file__, mask_decoder.__file__))
    assert found == "network/mask_decoder.py"


class Looks:
    """Counts how often the sampler has looked, and waits for it."""

    def __init__(self) -> None:
        self.count = 0

    def _current_frames(self) -> dict[int, Any]:
        self.count += 1
        return dict(sys._current_frames())

    def until(self, count: int, work: Callable[[], object]) -> None:
        """Work until the sampler has looked some times more: on a busy machine it comes seldom."""
        last, deadline = self.count + count, time.monotonic() + 120
        while self.count < last:
            assert time.monotonic() < deadline
            work()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(sampling, "sys", looks)
    return looks


def test_shares_add_up_and_are_there_only_if_wanted(looks: Looks) -> None:
    matrix = np.random.default_rng(0).normal(size=(50, 50))
    with sampled() as shares:
        looks.until(5, lambda: np.linalg.svd(matrix))
    assert sum(shares.values()) == pytest.approx(1)
    with sampled(wanted=False) as none:
        pass
    assert none == {}


def test_the_thread_that_looks_ahead_counts_and_waiting_for_it_does_not(looks: Looks) -> None:
    pictures = np.random.default_rng(0).normal(size=(2, 64, 64))
    ahead, at_work = Lookahead(), 60
    with sampled() as shares:
        ahead.do(lambda: looks.until(at_work, lambda: motion.correlated_shift(*pictures, reach=32)))
    # What was before that thread had begun, and after it had ended, is nobody's work.
    assert shares["propagation/motion.py"] * looks.count > 0.8 * at_work
    assert shares.get(sampling.WAITING, 0) * looks.count < looks.count - 0.8 * at_work
