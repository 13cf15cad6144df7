"""Does memory grow with the length of a movie? Peak memory of `segment` on a short and a long one.

    python benchmarks/streaming_memory.py [--frames 200 2000] [--objects 5] [--side 512]

Both movies are made here, frame by frame, as zarr arrays of drifting discs. Each is segmented by
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
import zarr


def make_movie(path: Path, frames: int, side: int, objects: int) -> Path:
    """Write a movie (T, Y, X) of bright discs on noise, and a click on each; return the clicks."""
    movie = zarr.create_array(
        path, shape=(frames, side, side), chunks=(1, side, side), dtype="uint16"
    )
    y, x = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).normal(1000, 60, (side, side))
    rows = ["object_id,frame,y,x,label"]
    for k in range(objects):
        cy, cx = _place(k, 0, side, objects)
        rows.append(f"{k + 1},0,{cy:.1f},{cx:.1f},1")
    for t in range(frames):
        frame = np.roll(noise, 37 * t, axis=(0, 1))
        for k in range(objects):
            cy, cx = _place(k, t, side, objects)
            frame[(y - cy) ** 2 + (x - cx) ** 2 <= 14**2] += 900
        movie[t] = frame.astype(np.uint16)
    clicks = path.with_suffix(".csv")
    clicks.write_text("\n".join(rows) + "\n")
    return clicks


def _place(k: int, t: int, side: int, objects: int) -> tuple[float, float]:
    angle = 2 * np.pi * (k / objects + t / 1000)
    return side * (0.5 + 0.3 * np.sin(angle)), side * (0.5 + 0.3 * np.cos(angle))


def peak_memory(movie: Path, clicks: Path, output: Path) -> tuple[float, float]:
    """Segment in a process of its own; return its peak memory in MB and its seconds."""
    command = [sys.executable, "-m", "napari_sam_i2v", "segment", str(movie)]
    command += ["--prompts", str(clicks), "--output", str(output), "--device", "cpu", "--quiet"]
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
            movie = Path(folder) / "movie.zarr"
            clicks = make_movie(movie, frames, options.side, options.objects)
            peak, seconds = peak_memory(movie, clicks, Path(folder) / "labels.zarr")
        peaks.append(peak)
        rate = frames * options.objects / seconds
        print(f"{frames:6d} frames: peak {peak:7.1f} MB, {seconds:6.1f} s, "
              f"{rate:.1f} object-frames/s")  # fmt: skip
    print(f"longest minus shortest: {max(peaks) - min(peaks):.1f} MB")


if __name__ == "__main__":
    main()
