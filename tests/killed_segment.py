"""Kills `segment` at random moments, goes on with --resume, and says whether anything differs.

Run in a process of its own: it forks children that have everything imported already, so that
thirty kills take a minute. One line of JSON at the end.

    python -m tests.killed_segment FOLDER KILLS SEED
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import psutil

from tests import tiny

FRAMES = 10
TICK_S = 0.01
"""In which a process's time is counted."""
LATE_CLICKS = ((1, 2, 13, 14), (2, 6, 33, 33), (2, 8, 33, 34))
"""Objects that begin on different frames: going both ways there is something to do before them."""


def digest(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def start(argv: list[str]) -> int:
    """Run `segment` in a child; give its process id."""
    pid = os.fork()
    if pid == 0:
        from napari_sam_i2v import cli

        os._exit(cli.main(argv))
    return pid


def ends(pid: int, seconds: float | None = None) -> int | None:
    """Wait for a child to end by itself; kill it once it has worked for some seconds.

    Of the processor, so that a moment is the same one of its work however busy the machine is.

    Returns
    -------
    int or None
        Exit code; None if it was killed.
    """
    child, deadline = psutil.Process(pid), time.monotonic() + 600
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if seconds is not None and worked(child) >= seconds - seconds % TICK_S:
            time.sleep(seconds % TICK_S)
            break
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert time.monotonic() < deadline, "it does not end"
    return None


def worked(process: psutil.Process) -> float:
    """Seconds for which a process has had a processor."""
    try:
        times = process.cpu_times()
    except psutil.ZombieProcess:  # macOS tells nothing of one that has just ended
        return 0.0
    return float(times.user + times.system)


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    import torch

    import napari_sam_i2v.cli.segment
    import napari_sam_i2v.movies.export
    import napari_sam_i2v.propagation.session
    import napari_sam_i2v.scripting  # noqa: F401

    torch.set_num_threads(1)
    os.chdir(folder)
    tiny.write_movie(Path("movie.tif"), tiny.blobs(FRAMES))
    tiny.write_clicks(Path("clicks.csv"), LATE_CLICKS)
    draw = random.Random(seed)
    kinds = [("labels.tif", "both"), ("labels.zarr", "both"), ("labels.zarr", "forward")]
    whole, took = {}, {}
    for out, direction in kinds:
        before = os.times()
        name = f"whole-{direction}-{out}"
        assert ends(start(command(name, direction))) == 0
        after = os.times()
        took[out, direction] = after[2] + after[3] - before[2] - before[3]  # what children worked
        # The same name below, because the labels hold it.
        whole[out, direction] = name
    said = {"kills": 0, "runs": 0, "mid_run": 0, "different": []}
    while said["kills"] < kills:
        kind = kinds[said["runs"] % len(kinds)]
        place = Path(f"{said['runs']}")
        place.mkdir()
        out = str(place / whole[kind])
        said["runs"] += 1
        while True:
            moment = draw.uniform(0, took[kind])
            if said["kills"] >= kills:
                moment = None
            before = Path(f"{out}.partial.zarr").exists() or Path(out).exists()
            code = ends(start(command(out, kind[1], "--resume")), moment)
            if code is not None:
                break
            said["kills"] += 1
            said["mid_run"] += Path(f"{out}.partial.zarr").exists() or Path(out).exists()
        done_before = code == 2 and before and not Path(f"{out}.partial.zarr").exists()
        if (code != 0 and not done_before) or digest(Path(out)) != digest(Path(whole[kind])):
            said["different"].append([*kind, code])
        if code == 0 and [one.name for one in place.iterdir() if one.suffix == ".part"]:
            said["different"].append([*kind, "a part was left"])
    return said


def command(out: str, direction: str, *more: str) -> list[str]:
    return [
        "segment", "movie.tif", "--prompts", "clicks.csv", "--output", out, "--device", "cpu",
        "--threads", "1", "--quiet", "--direction", direction, *more,
    ]  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
