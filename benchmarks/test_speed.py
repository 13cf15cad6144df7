"""Parts of a frame, and whole frames, for pytest-benchmark: to compare ways, or commits.

    python -m pytest benchmarks                                     a table
    python -m pytest benchmarks -k embedded --benchmark-autosave    keep the figures of this commit
    python -m pytest benchmarks -k embedded --benchmark-compare     and compare those of another

Of a group, the number in brackets is the ratio to its best. Let the machine be idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.straightforward import Frame, Straightforward, remembered

from napari_sam_i2v.job import Job, Settings, make_job
from napari_sam_i2v.measure.made_movie import movie_in_memory
from napari_sam_i2v.measure.parts import Parts
from napari_sam_i2v.network import SamI2V, get_config
from napari_sam_i2v.network.device import Precision, autocast
from napari_sam_i2v.propagation.session import Session

FRAMES, SIDE, OBJECTS = 60, 512, 10
WARM_UP = 5


@pytest.fixture(scope="module")
def job() -> Job:
    """Drifting discs, a click on each, and the embedded network."""
    return make_job(*movie_in_memory(FRAMES, SIDE, OBJECTS), Settings(device="cpu"))


@pytest.fixture(scope="module")
def parts(job: Job) -> Iterator[Parts]:
    """What a frame is made of."""
    found = Parts(job)
    yield found
    found.close()


# ---- the embedded network ---------------------------------------------------------------------


@pytest.mark.benchmark(group="embedded: encode one view")
def test_embedded_encode(benchmark: Any, parts: Parts) -> None:
    """A view of a frame that is not known."""
    frames = cycle(range(parts.n_frames))
    benchmark.pedantic(lambda: parts.encode(next(frames)), rounds=20, warmup_rounds=WARM_UP)


@pytest.mark.benchmark(group="embedded: follow and remember, full memory")
@pytest.mark.parametrize("objects", [1, 8])
def test_embedded_step(benchmark: Any, parts: Parts, objects: int) -> None:
    """Objects of one view."""
    benchmark.pedantic(parts.step(objects), rounds=20, warmup_rounds=WARM_UP)


@pytest.mark.benchmark(group="embedded: from a click to its mask")
@pytest.mark.parametrize("known", [False, True], ids=["new frame", "known frame"])
def test_embedded_click(benchmark: Any, job: Job, known: bool) -> None:
    """A first click, which looks at a frame anew, or a second one beside it."""
    session = Session(job.movie, model=job.network, device="cpu")
    frames = iter(range(FRAMES))

    def clicked() -> tuple[tuple[Any, ...], dict[str, Any]]:
        frame = next(frames)
        place = np.asarray(job.prompts[frame % OBJECTS].points)
        if known:
            session.add_points(1, frame, points=place)
            place = place + 2
        return (1, frame), {"points": place}

    benchmark.pedantic(session.add_points, setup=clicked, rounds=10, warmup_rounds=2)


@pytest.mark.benchmark(group="embedded: a frame of a pass")
@pytest.mark.parametrize("objects", [1, OBJECTS])
def test_embedded_pass(benchmark: Any, job: Job, objects: int) -> None:
    """Read, encode, follow, compose; each object looks through a window of its own."""
    session = Session(job.movie, model=job.network, device="cpu")
    session.add_prompts(job.prompts[:objects])
    results = session.propagate()
    benchmark.pedantic(lambda: next(results), rounds=30, warmup_rounds=WARM_UP)


# ---- the published architecture ---------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> SamI2V:
    """The published network with random weights: what a frame costs does not depend on them."""
    torch.manual_seed(0)
    return SamI2V(get_config("sam-i2v")).eval().requires_grad_(False)


@pytest.mark.benchmark(group="sam-i2v: a steady frame of one object")
@pytest.mark.parametrize(
    ("way", "precision"), [("as written", "fp32"), ("ours", "fp32"), ("ours", "bf16")]
)
def test_published_frame(benchmark: Any, published: SamI2V, way: str, precision: Precision) -> None:
    """Encode it, find the object with full memory, remember it; see `straightforward.py`."""
    network = published
    if way == "as written":
        network = Straightforward(published.config).eval().requires_grad_(False)
        network.load_state_dict(published.state_dict())
    frame = Frame(network, remembered(network, 1), at_once=1)
    with torch.inference_mode(), autocast(torch.device("cpu"), precision):
        benchmark.pedantic(frame.run, rounds=3, warmup_rounds=1)
