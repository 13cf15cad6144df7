from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.job import Job, Settings, make_job
from napari_sam_i2v.movies import LabelStore
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.results import LabelOutput
from napari_sam_i2v.resuming import folder_of
from napari_sam_i2v.session_folder import FolderInUseError
from tests import tiny
from tests.killed_segment import LATE_CLICKS, digest

FRAMES = 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes, to kill many of them")
@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_resumed_gives_the_labels_of_a_whole_run(
    tmp_path: Path, kills: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_segment", str(tmp_path), str(kills), "6"],
        stdout=subprocess.PIPE, text=True, check=True, timeout=900,
    )  # fmt: skip
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["different"] == []
    assert said["kills"] == kills
    assert said["mid_run"] > kills // 2, "too few were killed at work: nothing is shown"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    clicks = tiny.write_clicks(tmp_path_factory.mktemp("clicks") / "clicks.csv", LATE_CLICKS)
    settings = Settings(model=load_model(device="cpu"), device="cpu", direction="both")
    return make_job(tiny.blobs(FRAMES), read_prompts(clicks), settings).with_contrast()


def output(path: Path, job: Job, **options: bool) -> LabelOutput:
    """An output that is open for a job."""
    out = LabelOutput(path, **options)
    out.open(shape=job.shape, scale=job.scale, units=job.units, metadata=job.provenance())
    return out


def stopped(path: Path, job: Job, frames: int) -> None:
    """Leave what a process leaves that is killed after some frames."""
    out = output(path, job)
    run = job.run(LabelStore.open(out.store_path), out.record)
    for _ in range(frames):
        next(run)
    run.close()
    out._let_go()  # as the end of a process does


def resumed(path: Path, job: Job) -> tuple[np.ndarray, int]:
    """Labels, and how many frames were tracked for them."""
    out = output(path, job, resume=True)
    frames = len(list(job.run(LabelStore.open(out.store_path), out.record, resume=out.resume)))
    out.finish()
    return np.asarray(LabelStore.open(path)), frames


@pytest.fixture(scope="module")
def whole(job: Job, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    labels, _ = resumed(tmp_path_factory.mktemp("whole") / "labels.zarr", job)
    assert {1, 2} <= set(np.unique(labels))
    return labels


@pytest.mark.parametrize("frames", [1, 5, 8, 11])
def test_a_run_goes_on_where_it_was(
    tmp_path: Path, job: Job, whole: np.ndarray, frames: int
) -> None:
    path = tmp_path / "labels.zarr"
    stopped(path, job, frames)
    labels, more = resumed(path, job)
    np.testing.assert_array_equal(labels, whole)
    assert more < job.steps, "it began anew"
    assert not folder_of(path).exists()
    assert not list(tmp_path.glob(".*")), "a lock, or a part"


def snapshot_of(path: Path) -> int:
    """Number of the snapshot that a file was written for; clocks are too coarse to tell."""
    if path.suffix == ".safetensors":
        return int(path.name.split("-")[0])
    return int(json.loads(json.loads(path.read_bytes())["content"])["number"])


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("which", ["state-*.json", "*.safetensors"])
@pytest.mark.parametrize("how_many", ["one", "all"])
def test_a_damaged_snapshot_does_not_count(
    tmp_path: Path, job: Job, whole: np.ndarray, which: str, how_many: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("napari_sam_i2v.snapshots.SHARE", 1e9)  # one on every frame
    path = tmp_path / "labels.zarr"
    stopped(path, job, 10)
    found = sorted((folder_of(path) / "memory").glob(which), key=snapshot_of)
    for one in found if how_many == "all" else found[-1:]:
        damage(one)
    labels, more = resumed(path, job)
    np.testing.assert_array_equal(labels, whole)
    assert (more >= job.steps) == (how_many == "all")


def test_snapshots_are_bounded_by_what_is_remembered(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam_i2v.snapshots.SHARE", 1e9)
    from dataclasses import replace

    network = load_model(device="cpu")
    network.config = replace(network.config, local_window=2, global_window=2)
    short = make_job(tiny.blobs(24), list(job.prompts), Settings(
        model=network, device="cpu", contrast=(200.0, 3200.0, 1.0),
    ))  # fmt: skip
    path, sizes = tmp_path / "labels.zarr", []
    out = output(path, short)
    for _ in short.run(LabelStore.open(path), out.record):
        memory = folder_of(path) / "memory"
        sizes.append(sum(one.stat().st_size for one in memory.iterdir()))
    out.finish()
    assert max(sizes[12:]) <= 1.05 * max(sizes[6:12]), "it grows with the movie"


def test_a_run_goes_on_only_as_it_began(tmp_path: Path, job: Job) -> None:
    path = tmp_path / "labels.zarr"
    stopped(path, job, 2)
    other = Job(job.movie, job.prompts[:1], job.settings, job.network, job.model)
    before = digest(path)
    with pytest.raises(InputError, match="begun with another prompts"):
        output(path, other, resume=True)
    assert digest(path) == before


def test_without_anything_left_it_begins_and_a_result_is_not_touched(
    tmp_path: Path, job: Job, whole: np.ndarray
) -> None:
    path = tmp_path / "labels.tif"
    out = output(path, job, resume=True)
    list(job.run(LabelStore.open(out.store_path), out.record, resume=out.resume))
    out.finish()
    np.testing.assert_array_equal(tifffile.imread(path), whole)
    with pytest.raises(OutputError, match="nothing is left to be resumed"):
        LabelOutput(path, resume=True)


def test_two_on_one_output_and_two_on_different_ones(tmp_path: Path, job: Job) -> None:
    first = output(tmp_path / "a.zarr", job)
    second = output(tmp_path / "b.zarr", job)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(FolderInUseError, match=r"a\.zarr is open already"):
            LabelOutput(tmp_path / "a.zarr", **options)
    late = LabelOutput(tmp_path / "c.zarr")  # checked before the other one began
    third = output(tmp_path / "c.zarr", job)
    with pytest.raises(FolderInUseError):
        late.open(shape=job.shape, scale=job.scale, units=job.units, metadata={})
    for out in (first, second, third):
        assert len(list(job.run(LabelStore.open(out.store_path), out.record))) == job.steps
        out.finish()
    assert digest(tmp_path / "a.zarr" / "0") == digest(tmp_path / "b.zarr" / "0")


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock of an output."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from napari_sam_i2v.session_folder.lock import FolderLock\n"
        "lock = FolderLock.take(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".labels.tif.lock")], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_a_killed_one_is_not_in_the_way(
    tmp_path: Path, busy: subprocess.Popen, job: Job
) -> None:
    with pytest.raises(FolderInUseError, match=f"in use by process {busy.pid}"):
        LabelOutput(tmp_path / "labels.tif", overwrite=True)
    busy.kill()
    busy.wait()
    output(tmp_path / "labels.tif", job).keep()
    assert not list(tmp_path.iterdir())


def test_a_thread_more_changes_next_to_nothing(job: Job, whole: np.ndarray) -> None:
    import torch

    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            labels = np.zeros(job.shape, np.uint16)
            list(job.run(labels))
            found.append(labels)
    finally:
        torch.set_num_threads(before)
    assert (found[0] != found[1]).mean() <= 1e-4


def test_a_mask_prompt_survives(tmp_path: Path) -> None:
    mask = np.zeros((tiny.SIZE, tiny.SIZE), bool)
    mask[6:18, 8:20] = True
    job = make_job(
        tiny.blobs(6),
        [Prompt(3, 1, mask=mask)],
        Settings(model=load_model(device="cpu"), device="cpu"),
    ).with_contrast()
    labels, _ = resumed(tmp_path / "whole.zarr", job)
    stopped(tmp_path / "labels.zarr", job, 2)
    shutil.copytree(tmp_path / "labels.zarr", tmp_path / "moved.zarr")
    for name in ("labels.zarr", "moved.zarr"):
        np.testing.assert_array_equal(resumed(tmp_path / name, job)[0], labels)
