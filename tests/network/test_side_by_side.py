"""Pieces of work side by side: all are done, once, on one thread each, as the caller would."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from napari_sam_i2v.network.side_by_side import side_by_side


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    with ThreadPoolExecutor(1) as new:  # threads to come begin with the same
        assert new.submit(torch.get_num_threads).result() == request.param
    torch.set_num_threads(before)


def test_every_piece_is_done_once(threads: int) -> None:
    done: list[int] = []
    side_by_side([partial(done.append, i) for i in range(50)])
    assert sorted(done) == list(range(50))
    side_by_side([])


def test_as_many_at_a_time_as_torch_has_threads(threads: int) -> None:
    at_once = min(threads, os.cpu_count() or 1)
    meeting = threading.Barrier(at_once)

    def piece() -> None:
        meeting.wait(60)  # one fewer would wait for ever
        assert threads == 1 or torch.get_num_threads() == 1

    side_by_side([piece] * (4 * at_once))


def test_the_first_error_is_raised_when_nothing_is_at_work_any_more(threads: int) -> None:
    done: list[int] = []

    def piece(i: int) -> None:
        if i == 3:
            raise ValueError("piece 3")
        done.append(i)

    with pytest.raises(ValueError, match="piece 3"):
        side_by_side([partial(piece, i) for i in range(20)])
    assert set(done) >= {0, 1, 2}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_modes_are_the_caller_s(threads: int, inference: bool, dtype: torch.dtype | None) -> None:
    found: list[tuple[bool, bool, torch.dtype]] = []
    one = torch.ones(2, 2)

    def piece() -> None:
        found.append(
            (torch.is_inference_mode_enabled(), torch.is_grad_enabled(), (one @ one).dtype)
        )

    with torch.inference_mode(inference), torch.autocast("cpu", dtype, enabled=dtype is not None):
        side_by_side([piece] * 4)
    assert found == [(inference, not inference, dtype or torch.float32)] * 4
    found.clear()
    with torch.no_grad():
        side_by_side([piece] * 4)
    assert found == [(False, False, torch.float32)] * 4
