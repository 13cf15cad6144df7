"""A pass reads what it needs, gives results one by one, and keeps a bounded amount."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from napari_sam_i2v.propagation.prompts import Prompt
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import CountingMovie, EndlessMovie, noise, run


def click(object_id: int, frame: int, y: float = 20, x: float = 20) -> Prompt:
    return Prompt(object_id, frame, points=np.array([[y, x]]))


def test_making_a_session_reads_nothing_where_contrast_is_given(make: MakeSession) -> None:
    movie = CountingMovie(noise(100))
    make(movie, contrast=(0, 255))
    assert not movie.reads


def test_a_prompt_reads_its_clip_only(make: MakeSession) -> None:
    movie = CountingMovie(noise(100))
    session = make(movie, contrast=(0, 255))
    session.add_points(1, 50, points=(20, 20))
    assert set(movie.reads) == {48, 49, 50}


@pytest.mark.parametrize(
    ("direction", "needed"), [("forward", range(18, 40)), ("backward", range(0, 23))]
)
def test_a_pass_reads_each_frame_once(make: MakeSession, direction: Any, needed: range) -> None:
    movie = CountingMovie(noise(40))
    session = make(movie, contrast=(0, 255))
    session.add_prompts([click(1, 20), click(2, 20, 10, 30)])
    run(session.propagate(direction))
    assert set(movie.reads) == set(needed)
    assert set(movie.reads.values()) == {1}


def test_a_range_reads_its_frames_only(make: MakeSession) -> None:
    movie = CountingMovie(noise(100))
    session = make(movie, contrast=(0, 255))
    session.add_prompts([click(1, 10)])
    run(session.propagate(frames=range(10, 14)))
    # One frame is read ahead of the last.
    assert set(range(8, 14)) <= set(movie.reads) <= set(range(8, 15))


def test_results_come_one_by_one(make: MakeSession) -> None:
    movie = CountingMovie(noise(100))
    session = make(movie, contrast=(0, 255))
    session.add_prompts([click(1, 0)])
    pass_ = session.propagate()
    for t in range(5):
        result = next(pass_)
        assert result.frame == t
        assert max(movie.reads) <= t + 1, "at most one frame is read ahead"
        assert session.labels[t].any()
        assert not session.labels[t + 1 :].any()
    pass_.close()


def test_nothing_runs_before_the_first_result_is_asked_for(make: MakeSession) -> None:
    movie = CountingMovie(noise(100))
    session = make(movie, contrast=(0, 255))
    session.add_prompts([click(1, 0)])
    session.propagate()
    assert not movie.reads


@pytest.mark.parametrize(("direction", "frames"), [("forward", 200), ("backward", 60)])
def test_what_is_kept_does_not_grow_with_the_movie(
    make: MakeSession, direction: Any, frames: int
) -> None:
    session = make(EndlessMovie(frames), contrast=(0, 255), view="follow")
    session.add_prompts([click(1, 0), click(1, frames - 1)])
    side = session._sides[direction == "backward"]
    source, reach = side.propagator.source, session.model.config.local_window + 16
    tensors = []
    for i, _ in enumerate(session.propagate(direction)):
        assert len(source._cache) <= source.keep
        assert len(source._images) <= source.keep
        assert len(source._ahead) <= 1
        for track in side.tracks.values():
            assert len(track.bank.rolling) <= reach
            assert len(track.bank.permanent) == 2
            assert len(track.answers) == 2
        if i in (40, frames - 5):
            session.engine.ahead.wait()  # what the next frame's look takes comes and goes
            gc.collect()
            tensors.append(sum(type(o) is Tensor for o in gc.get_objects()))
    assert len(tensors) == 2
    assert tensors[1] - tensors[0] <= 2, "less than a tensor in five frames"
