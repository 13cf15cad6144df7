"""The next frame is encoded while this one is answered, and nothing else depends on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.measure.made_movie import movie_in_memory
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.propagation.ahead import THREAD, Lookahead
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.motion import FieldMotion
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.view import View
from tests.network import tiny
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import CountingMovie, noise, run

FRAMES = 12


@pytest.fixture(params=[2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch has; every test must leave it at that."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    left = torch.get_num_threads()
    with ThreadPoolExecutor(1) as new:
        begins_with = new.submit(torch.get_num_threads).result()
    torch.set_num_threads(before)
    assert (left, begins_with) == (request.param, request.param)


# ---- one thing beside another --------------------------------------------------------------


def test_both_sides_share_the_threads(threads: int) -> None:
    ahead, there = Lookahead(), []
    for _ in range(2):
        with ahead.doing(lambda: there.append(torch.get_num_threads())):
            assert torch.get_num_threads() == threads - threads // 2
            assert ahead.threads == threads
        ahead.wait()
    assert there == [threads // 2] * 2
    assert ahead.do(torch.get_num_threads) == threads // 2
    torch.set_num_threads(threads + 2)
    assert ahead.do(torch.get_num_threads) == (threads + 2) // 2
    torch.set_num_threads(threads)


def test_it_is_done_while_the_body_runs(threads: int) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(60)

    ahead = Lookahead()
    with ahead.doing(work):
        assert begun.wait(60)
        may_end.set()
    ahead.wait()
    with ahead.doing(None):
        assert torch.get_num_threads() == threads - threads // 2


def test_one_thing_is_done_at_a_time(threads: int) -> None:
    ahead, order = Lookahead(), []
    with ahead.doing(lambda: order.append("ahead")):
        assert ahead.do(lambda: order.append("asked for")) is None
        order.append("body")
    assert order == ["ahead", "asked for", "body"]


def test_an_error_is_met_by_whoever_asks(threads: int) -> None:
    def fails() -> None:
        raise MovieError("frame 3")

    ahead = Lookahead()
    with ahead.doing(fails):
        pass
    ahead.wait()
    with pytest.raises(MovieError, match="frame 3"):
        ahead.do(fails)
    with pytest.raises(ValueError, match="body"), ahead.doing(None):
        raise ValueError("body")


# ---- the next frame ------------------------------------------------------------------------


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, View, bool]]:
    """Note every frame and view that is encoded, and whether it was on the thread ahead."""
    calls: list[tuple[int, View, bool]] = []
    original = Engine._encoded

    def spied(self: Engine, source: Any, index: int, views: Sequence[View]) -> Tensor:
        aside = threading.current_thread().name.startswith(THREAD)
        calls.extend((index, view, aside) for view in views)
        return original(self, source, index, views)

    monkeypatch.setattr(Engine, "_encoded", spied)
    return calls


def tracked(make: MakeSession, **options: Any) -> tuple[Session, np.ndarray]:
    """A session with one drifting disc, and its labels once it was tracked."""
    session = begun(make, **options)
    run(session.propagate())
    return session, np.array(session.labels)


def begun(make: MakeSession, **options: Any) -> Session:
    """A session in which a drifting disc is clicked; through windows, the small network sees it."""
    movie, prompts = movie_in_memory(3 * FRAMES, 160, 1)
    session = make(movie[::3], **({"view": "follow", "model": load_model(device="cpu")} | options))
    session.add_prompts(prompts)
    return session


def test_a_frame_is_encoded_once_on_the_other_thread(
    make: MakeSession, threads: int, encoded: list[tuple[int, View, bool]]
) -> None:
    tracked(make, view="frame", model=tiny.shared())
    assert [index for index, _, _ in encoded] == list(range(FRAMES))
    assert [aside for _, _, aside in encoded] == [False] + [True] * (FRAMES - 1)


def test_nothing_depends_on_what_was_foreseen(
    make: MakeSession, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not where windows move, and not at all in the last bits of features."""
    seen: list[Tensor] = []
    views: list[View] = []
    track = Engine.track

    def spied(self: Engine, features: Sequence[Tensor], *args: Any) -> Any:
        seen.extend(features)
        views.extend(args[0])
        return track(self, features, *args)

    monkeypatch.setattr(Engine, "track", spied)
    _, foreseen = tracked(make)
    assert 3 < len(set(views)) < FRAMES - 3, "some windows must move, and others stay"
    wanted, seen = seen, []
    doing = Lookahead.doing
    monkeypatch.setattr(Lookahead, "doing", lambda self, work: doing(self, None))
    _, unforeseen = tracked(make)
    assert foreseen.any()
    np.testing.assert_array_equal(foreseen, unforeseen)
    assert len(seen) == len(wanted) == FRAMES - 1
    assert all(torch.equal(one, other) for one, other in zip(seen, wanted, strict=True))


def test_a_restless_window_is_not_foreseen(
    make: MakeSession, threads: int, encoded: list[tuple[int, View, bool]]
) -> None:
    """Of an object on its way, every guess would be wrong."""
    session = begun(make)
    encoded.clear()
    run(session.propagate())
    views = [[view for at, view, _ in encoded if at == index] for index in range(FRAMES)]
    moved = [index for index in range(2, FRAMES) if views[index][-1] != views[index - 1][-1]]
    in_vain = [index for index in range(4, FRAMES) if len(views[index]) > 1]
    assert in_vain
    assert {index for index in in_vain if {index - 1, index - 2} <= {*moved}} == set()


def test_a_pass_that_is_stopped_and_goes_on_ends_as_a_whole_one(
    make: MakeSession, threads: int
) -> None:
    _, whole = tracked(make)
    session = begun(make)
    for stop in (1, 3, 4):
        results = session.propagate()
        for _ in range(stop):
            next(results)
        results.close()
        assert torch.get_num_threads() == threads
    run(session.propagate())
    np.testing.assert_array_equal(session.labels, whole)


def test_nobody_reads_the_movie_of_a_pass_that_was_stopped(make: MakeSession, threads: int) -> None:
    movie = CountingMovie(noise())
    session = make(movie, view="frame", contrast=(0, 255))
    session.add_points(1, 0, points=(20, 24))
    results = session.propagate()
    for _ in range(4):
        next(results)
    results.close()
    assert session.engine.ahead._job is None
    reads = movie.reads.total()
    time.sleep(0.2)
    assert movie.reads.total() == reads


def test_a_frame_that_cannot_be_read_is_met_when_it_is_due(make: MakeSession, threads: int) -> None:
    movie = CountingMovie(noise(), unreadable=[6])
    session = make(movie, view="frame", contrast=(0, 255))
    session.add_points(1, 0, points=(20, 24))
    results = session.propagate()
    frames = [next(results).frame for _ in range(6)]
    assert frames == list(range(6))
    with pytest.raises(MovieError, match="Frame 6"):
        next(results)


@pytest.mark.parametrize("objects", [1, 2])
def test_many_objects_have_all_threads(
    make: MakeSession, threads: int, encoded: list[tuple[int, View, bool]], objects: int
) -> None:
    """What is too large to go beside something else is done by itself."""
    session = make(model=tiny.build(image_size=256), view="frame")
    for number in range(objects):
        session.add_points(1 + number, 0, points=(20, 20 + 4 * number))
    encoded.clear()
    run(session.propagate())
    assert {aside for index, _, aside in encoded if index > 1} == {objects == 1}


def test_windows_are_moved_ahead_too(
    make: MakeSession, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []
    original = FieldMotion._picture

    def spied(self: FieldMotion, index: int, view: View) -> np.ndarray:
        asked.append((index, threading.current_thread().name.startswith(THREAD)))
        return original(self, index, view)

    monkeypatch.setattr(FieldMotion, "_picture", spied)
    tracked(make)
    assert any(aside for _, aside in asked)


def test_one_thread_does_all(make: MakeSession, encoded: list[tuple[int, View, bool]]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tracked(make, view="frame", model=tiny.shared())
    finally:
        torch.set_num_threads(before)
    assert not any(aside for _, _, aside in encoded)
