"""Samples of where a thread is name our modules."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

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


def test_shares_add_up_and_are_there_only_if_wanted() -> None:
    with sampled() as shares:
        np.linalg.svd(np.random.default_rng(0).normal(size=(500, 500)))
    assert sum(shares.values()) == pytest.approx(1)
    with sampled(wanted=False) as none:
        pass
    assert none == {}


def test_the_thread_that_looks_ahead_counts_and_waiting_for_it_does_not() -> None:
    pictures = np.random.default_rng(0).normal(size=(2, 64, 64))

    def work() -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            motion.correlated_shift(*pictures, reach=32)

    ahead = Lookahead()
    with sampled() as shares:
        ahead.do(work)
    assert shares["propagation/motion.py"] > 0.8
