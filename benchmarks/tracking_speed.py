"""How fast is tracking? Frames per second of a session, by number of objects and of CPU threads.

    python benchmarks/tracking_speed.py [--objects 1 10] [--threads 1 2] [--frames 100] [--side 512]

The movie of drifting discs is made in memory; reading and writing files is not in the figures:
`napari-sam-i2v benchmark` has them in.
One line per case: frames/s, object-frames/s, and the ratio to the first line.
"""

from __future__ import annotations

import argparse
import platform
import time

import torch

from napari_sam_i2v.measure.made_movie import movie_in_memory
from napari_sam_i2v.propagation.session import Session

WARM_UP = 5


def speed(model: str, frames: int, side: int, objects: int) -> float:
    """Frames per second after the first few."""
    movie, prompts = movie_in_memory(frames, side, objects)
    session = Session(movie, model=model, device="cpu")
    session.add_prompts(prompts)
    results = session.propagate()
    for _ in range(WARM_UP):
        next(results)
    started = time.perf_counter()
    left = sum(1 for _ in results)
    return left / (time.perf_counter() - started)


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
          f"{args.frames} frames of {args.side} x {args.side}")  # fmt: skip
    print("threads  objects  frames/s  object-frames/s  ratio")
    first = 0.0
    for threads in args.threads:
        torch.set_num_threads(threads)
        for objects in args.objects:
            rate = speed(args.model, args.frames, args.side, objects)
            first = first or rate * objects
            print(f"{threads:7}  {objects:7}  {rate:8.1f}  {rate * objects:15.1f}  "
                  f"{rate * objects / first:5.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
