"""What is measured is what was run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.network import tiny as network

from napari_sam_i2v.job import Settings, make_job
from napari_sam_i2v.measure import speed
from napari_sam_i2v.measure.made_movie import write_movie
from napari_sam_i2v.measure.speed import Case, _waiting, measure_apart, slope
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.prompts import Prompt

ROOT = Path(__file__).parents[2]


def test_slope_is_that_after_memory_has_settled() -> None:
    grown = [10_000 * t for t in range(50)]
    assert slope([*grown, *[500_000 + 7 * t for t in range(30)]]) == pytest.approx(7)
    assert slope(grown) is None


PEAK = """
from napari_sam_i2v.measure.speed import peak_memory
before = peak_memory()
held = bytearray(b"x") * (before + 50_000_000)
assert peak_memory() >= before + 50_000_000
del held
assert peak_memory() >= before + 50_000_000  # to some pages, which Linux counts late
"""


def test_peak_is_that_of_a_process_and_does_not_go_down() -> None:
    """Of a small one: this one may have had more than is left to be taken once more."""
    subprocess.run([sys.executable, "-c", PEAK], check=True)


def test_a_click_on_a_frame_that_is_known_does_not_encode_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that runs while a frame is encoded, and then alone."""
    ticks: list[int] = []
    encoded = Engine._encoded

    def ticking(self: Engine, source: Any, index: int, views: Any) -> Any:
        ticks.append(index)
        return encoded(self, source, index, views)

    monkeypatch.setattr(Engine, "_encoded", ticking)
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: float(len(ticks))))
    settings = Settings(model=network.shared(), device="cpu", contrast=(0.0, 4000.0, 1.0))
    prompts = [Prompt(1, 0, points=np.array([[20.0, 20.0]]))]
    new, known = speed._clicks(make_job(tiny.blobs(3), prompts, settings))
    assert (new >= 1, known) == (True, 0)


def test_a_case_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    weights = tiny.write_weights(tmp_path / "tiny.safetensors")
    movie = write_movie(tmp_path / "movie.ome.zarr", 3, 48, 2)
    case = Case(
        movie=str(movie), model=str(weights), device="cpu", objects=2, size=48, frames=3, threads=1
    )
    found = measure_apart(case)
    assert (found.model["name"], found.device, found.precision) == (weights.name, "cpu", "fp32")
    assert found.threads == 1
    assert 0 < found.first_frame < found.seconds
    assert min(found.encode, found.object_step, found.click_new, found.click_known) > 0
    assert 50e6 < found.host_peak < 2e9
    assert found.frames_per_second == pytest.approx(3 / found.seconds)
    assert found.object_frames_per_second == pytest.approx(6 / found.seconds)
    assert (found.bytes_per_frame, found.device_peak, found.flops_shared, found.profile) == (
        None, None, None, None,
    )  # fmt: skip


def test_a_failure_says_why(tmp_path: Path) -> None:
    case = Case(movie=str(tmp_path / "gone.zarr"), device="cpu", objects=1, size=48, frames=2)
    with pytest.raises(RuntimeError, match=r"1 objects, 48 x 48 pixels .*gone\.zarr"):
        measure_apart(case)


def test_what_an_accelerator_has_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for name in ("cuda:1", "mps", "cpu"):
        _waiting(torch.device(name))()
    assert waited == [torch.device("cuda:1"), "mps"]


@pytest.mark.parametrize(
    "which", ["embedded", pytest.param("published", marks=pytest.mark.slow)]
)  # fmt: skip
def test_benchmarks_go_on_working(which: str) -> None:
    """Each once, without a look at the clock."""
    command = [
        sys.executable, "-m", "pytest", "benchmarks", "-k", which, "--benchmark-disable", "-q",
        "-p", "no:cacheprovider",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
