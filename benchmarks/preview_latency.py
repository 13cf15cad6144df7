"""How soon does a click show its mask? Seconds from a click to the mask in the label store.

    python benchmarks/preview_latency.py [--side 1024] [--clicks 20] [--threads 2]

Each click prompts a new object on another frame of a movie made in memory, through the dock's own
workbench: several scales are looked at, the mask is written, prompts and state are kept on disk.
The window's own work (events, drawing) is not in the figures. The first click warms up.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_sam_i2v.measure.made_movie import movie_in_memory
from napari_sam_i2v.propagation.history import RecordedLabels
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.session_folder import SessionFolder
from napari_sam_i2v.workbench import Workbench

FRAMES = 8


def latencies(side: int, clicks: int, folder: Path) -> list[float]:
    """Seconds of each click after the first."""
    movie, prompts = movie_in_memory(FRAMES, side, clicks + 1)
    kept = SessionFolder.create(
        folder, shape=movie.shape, scale=(1, 1, 1), units=("", "", ""), movie={}
    )
    with kept:
        session = Session(movie, device="cpu", labels=RecordedLabels(kept.labels))
        bench = Workbench(session, kept, {})
        taken = []
        for i, prompt in enumerate(prompts):
            frame = i % FRAMES
            click = Prompt(prompt.object_id, frame, points=prompt.points)
            begin = time.perf_counter()
            bench.set_prompts(prompt.object_id, frame, [click])
            taken.append(time.perf_counter() - begin)
    return taken[1:]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        taken = latencies(given.side, given.clicks, Path(scratch) / "s.sam-i2v")
    middle, worst = float(np.median(taken)), max(taken)
    print(
        f"{given.side} x {given.side}, {given.threads} threads, {platform.machine()}: "
        f"median {middle:.3f} s, slowest {worst:.3f} s of {len(taken)} clicks"
    )


if __name__ == "__main__":
    main()
