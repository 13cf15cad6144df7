"""What befalls a run from outside: a disk that is full, a source that goes, a device too small."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_sam_i2v import cli
from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.movies import LabelStore
from napari_sam_i2v.network.sam_i2v import SamI2V
from tests import tiny

FRAMES = 8


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a movie of one picture per frame, and clicks."""
    monkeypatch.chdir(tmp_path)
    Path("movie").mkdir()
    for t, frame in enumerate(tiny.blobs(FRAMES)):
        tifffile.imwrite(f"movie/t{t}.tif", frame)
    tiny.write_clicks(Path("clicks.csv"))
    return tmp_path


class Command:
    """`segment` in this process; `said` is its last line on stderr."""

    def __init__(self, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.weights, self.capsys = weights, capsys
        self.said = ""

    def __call__(self, out: str, *more: str) -> int:
        code = cli.main([
            "segment", "movie", "--prompts", "clicks.csv", "--output", out, "--model",
            str(self.weights), "--device", "cpu", "--contrast", "0", "4000", *more,
        ])  # fmt: skip
        lines = self.capsys.readouterr().err.splitlines()
        assert len(lines) <= 1, lines
        self.said = lines[0] if lines else ""
        return code


@pytest.fixture
def segment(here: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(weights, capsys)


def fail_after(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, calls: int, error: Exception
) -> None:
    """Let a method fail from some call on, once it has been called often enough."""
    original, count = getattr(owner, name), [0]

    def limited(*args, **given):
        count[0] += 1
        if count[0] > calls:
            raise error
        return original(*args, **given)

    monkeypatch.setattr(owner, name, limited)


@pytest.mark.parametrize("out", ["labels.tif", "labels.zarr"])
def test_a_disk_that_fills_up_keeps_finished_frames_and_they_are_gone_on_with(
    segment: Command, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    assert segment(f"whole-{out}") == 0
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        fail_after(patch, LabelStore, "_mark", 3, full)
        assert segment(out) == 1
    assert "No space left on device" in segment.said
    assert "3 finished frames kept in" in segment.said
    if out.endswith(".zarr"):
        store = LabelStore.open(out)
        assert len(store.done) == 3
        whole = LabelStore.open(f"whole-{out}")
        assert all((store[t] == whole[t]).all() for t in store.done)
        assert segment(out, "--resume") == 0
        np.testing.assert_array_equal(np.asarray(LabelStore.open(out)), np.asarray(whole))
    else:
        assert len(tifffile.imread(out)) == FRAMES


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True
    )
    if not made or made.returncode:
        pytest.skip("a small disk can be made by root on Linux only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("free", [0, 60_000, 300_000])
def test_a_really_full_disk(segment: Command, small_disk: Path, free: int) -> None:
    block = os.urandom(4096)
    with (small_disk / "filler").open("wb", buffering=0) as file:
        while shutil.disk_usage(small_disk).free > free:
            file.write(block)
    code = segment(str(small_disk / "labels.zarr"))
    assert code in (1, 2)
    assert "space" in segment.said
    if (small_disk / "labels.zarr").exists():
        store = LabelStore.open(small_disk / "labels.zarr", mode="r")
        assert all(store[t].shape == (tiny.SIZE, tiny.SIZE) for t in store.done)
    assert not [one for one in small_disk.iterdir() if one.suffix in (".lock", ".part")]


def test_a_source_that_is_unplugged_in_the_middle_and_back_again(
    segment: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segment("whole.zarr") == 0
    original = LabelStore._mark

    def unplug(store, frame, known, **given):
        original(store, frame, known, **given)
        if frame == 2:
            Path("movie").rename("unplugged")

    with monkeypatch.context() as patch:
        patch.setattr(LabelStore, "_mark", unplug)
        assert segment("labels.zarr") == 1
    assert "No such file" in segment.said
    assert "finished frames kept in labels.zarr" in segment.said
    assert LabelStore.open("labels.zarr").done[:3] == [0, 1, 2]
    Path("unplugged").rename("movie")
    assert segment("labels.zarr", "--resume") == 0
    np.testing.assert_array_equal(
        np.asarray(LabelStore.open("labels.zarr")), np.asarray(LabelStore.open("whole.zarr"))
    )


def test_an_unreadable_frame_in_the_middle(segment: Command) -> None:
    Path("movie/t5.tif").write_bytes(b"II*\x00")
    assert segment("labels.zarr") == 1
    assert "t5.tif" in segment.said
    assert LabelStore.open("labels.zarr").done == [0, 1, 2, 3, 4]
    assert segment("before.tif", "--frames", "0:5") == 0, "a range leaves it out"


@pytest.mark.parametrize("out", ["labels.tif", "labels.zarr"])
def test_a_folder_that_cannot_be_written_to(
    segment: Command, here: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    original = os.open

    def refused(path, flags, *more, **given):  # root may write anywhere
        if flags & os.O_CREAT and Path(os.fspath(path)).parent.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return original(path, flags, *more, **given)

    Path("locked").mkdir()
    monkeypatch.setattr(os, "open", refused)
    assert segment(f"locked/{out}") in (1, 2)
    assert "Permission denied" in segment.said
    assert not list(Path("locked").iterdir())


def test_a_device_with_too_little_memory_for_all_takes_fewer_at_once(
    segment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segment("whole.zarr") == 0
    original = SamI2V.track

    def track(model, feature, memory, handed=None):
        if len(memory.copies) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return original(model, feature, memory, handed)

    monkeypatch.setattr(SamI2V, "track", track)
    assert segment("labels.zarr") == 0
    found, whole = (np.asarray(LabelStore.open(f"{n}.zarr")) for n in ("labels", "whole"))
    assert (found != whole).mean() < 1e-3


def test_a_device_with_too_little_memory_for_one_object(
    segment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
    fail_after(monkeypatch, SamI2V, "track", 4, error)
    assert segment("labels.zarr") == 1
    assert "not enough memory for one object at a time" in segment.said
    assert "kept in labels.zarr" in segment.said
    assert LabelStore.open("labels.zarr").done


def test_a_chunk_that_was_damaged_is_named(tmp_path: Path) -> None:
    store = LabelStore.create(tmp_path / "labels.zarr", shape=(3, 8, 8))
    for t in range(3):
        store[t] = np.full((8, 8), t, np.uint16)
    (tmp_path / "labels.zarr" / "0" / "c" / "1" / "0" / "0").write_bytes(b"rubbish")
    again = LabelStore.open(tmp_path / "labels.zarr")
    with pytest.raises(ValueError, match=r"frame 1 of .* its chunk is damaged"):
        again[1]
    assert again[2].max() == 2


def test_errors_of_the_disk_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LabelStore.create(tmp_path / "labels.zarr", shape=(3, 8, 8))
    fail_after(monkeypatch, LabelStore, "_mark", 0, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OutputError, match=r"frame 0 of .* cannot be written: Input/output error"):
        store[0] = np.zeros((8, 8), np.uint16)
