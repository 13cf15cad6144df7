"""Does memory grow with the length of a movie? Peak memory of `segment` on a short and a long one.

    python benchmarks/streaming_memory.py [--frames 200 2000] [--objects 5] [--side 512]

Both movies are made here, frame by frame, as OME-Zarr of drifting discs. Each is segmented by
the command line in a process of its own, whose peak resident memory the system reports.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_sam_i2v.measure.made_movie import clicks, write_movie


def write_clicks(path: Path, side: int, objects: int) -> Path:
    """Write a click on each disc."""
    rows = [f"{one.object_id},0,{y:.1f},{x:.1f},1"
            for one in clicks(side, objects) for y, x in np.asarray(one.points)]  # fmt: skip
    path.write_text("\n".join(["object_id,frame,y,x,label", *rows]) + "\n")
    return path


def peak_memory(movie: Path, prompts: Path, output: Path) -> tuple[float, float]:
    """Segment in a process of its own; return its peak memory in MB and its seconds."""
    command = [sys.executable, "-m", "napari_sam_i2v", "segment", str(movie)]
    command += ["--prompts", str(prompts), "--output", str(output), "--device", "cpu", "--quiet"]
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"segment failed with exit code {process.returncode}")
    return usage.ru_maxrss / 1024, time.monotonic() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; "
          f"{options.objects} objects, {options.side} x {options.side} pixels")  # fmt: skip
    peaks = []
    for frames in options.frames:
        with tempfile.TemporaryDirectory() as folder:
            movie = write_movie(
                Path(folder) / "movie.ome.zarr", frames, options.side, options.objects
            )
            prompts = write_clicks(Path(folder) / "clicks.csv", options.side, options.objects)
            peak, seconds = peak_memory(movie, prompts, Path(folder) / "labels.zarr")
        peaks.append(peak)
        rate = frames * options.objects / seconds
        print(f"{frames:6d} frames: peak {peak:7.1f} MB, {seconds:6.1f} s, "
              f"{rate:.1f} object-frames/s")  # fmt: skip
    print(f"longest minus shortest: {max(peaks) - min(peaks):.1f} MB")


if __name__ == "__main__":
    main()
