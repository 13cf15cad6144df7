"""Do the long cases hold? Many objects, many frames, large frames, against what they must reach.

    python benchmarks/long_cases.py CASE [CASE ...] [--part 1] [--json FILE.json]

    objects   100 objects, 1024 x 1024, 200 frames: at least 30 object-frames/s in all
    frames    10,000 frames, 512 x 512, 5 objects: at most 2 kB more per frame, peak below 2 GB
    pixels    4096 x 4096 uint16, 50 frames, 50 objects: peak below 4 GB
    crowd     100 and 500 objects, 2048 x 2048, 20 frames: no more time per object with 500

Reading from OME-Zarr and writing to a label store are in the figures. `--part 0.1` runs a tenth of
the frames, to see that a case works; the bars are for whole ones. Each case runs in a process of
its own, as `napari-sam-i2v benchmark` does it. Movies are made in TMPDIR: `frames` needs 5 GB.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_sam_i2v.measure.made_movie import write_movie
from napari_sam_i2v.measure.speed import SETTLED, Case, Speed, measure_apart
from napari_sam_i2v.measure.speed_report import as_json, machine, tables
from napari_sam_i2v.measure.tables import plain

GROWTH = 2000
"""Bytes per frame by which memory may grow."""
LEAST_FRAMES = 2


@dataclass(frozen=True)
class Long:
    """A case: `objects` are run one number after the other, and judged together."""

    objects: Sequence[int]
    size: int
    frames: int
    bar: str
    holds: Callable[[Sequence[Speed]], bool]
    settled: bool = False


def seconds_per_object(one: Speed) -> float:
    """Seconds of a pass for each object."""
    return one.seconds / one.objects


def is_flat(found: Sequence[Speed]) -> bool:
    """Whether memory hardly grows, and is little."""
    growth = found[0].bytes_per_frame
    return growth is not None and growth <= GROWTH and found[0].host_peak < 2e9


CASES = {
    "objects": Long([100], 1024, 200, "at least 30 object-frames/s",
                    lambda found: found[0].object_frames_per_second >= 30),
    "frames": Long([5], 512, 10_000, "at most 2 kB per frame, peak below 2 GB", is_flat,
                   settled=True),
    "pixels": Long([50], 4096, 50, "peak below 4 GB", lambda found: found[0].host_peak < 4e9),
    "crowd": Long([100, 500], 2048, 20, "no more seconds per object with 500 than with 100",
                  lambda found: seconds_per_object(found[1]) <= seconds_per_object(found[0])),
}  # fmt: skip


def run(long: Long, given: argparse.Namespace) -> list[Speed]:
    """Measure a case, or a part of its frames."""
    least = SETTLED + 20 if long.settled else LEAST_FRAMES
    frames = max(least, round(given.part * long.frames))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for objects in long.objects:
            movie = write_movie(Path(folder) / "movie.ome.zarr", frames, long.size, objects)
            case = Case(
                movie=str(movie), model=given.model, device=given.device,
                precision=given.precision, objects=objects, size=long.size, frames=frames,
                threads=given.threads, profile=given.profile,
            )  # fmt: skip
            found.append(measure_apart(case))
            shutil.rmtree(movie)
    return found


def main() -> None:
    """Run the cases; print a table, and whether each holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="+", choices=CASES)
    parser.add_argument("--part", type=float, default=1, help="of the frames, 0 to 1")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    everything: list[Speed] = []
    for name in given.case:
        found = run(CASES[name], given)
        everything += found
        print("\n\n".join(plain(table) for table in tables(machine(), found)))
        print(f"{name}: {CASES[name].bar}: {'yes' if CASES[name].holds(found) else 'no'}"
              f"{'' if given.part >= 1 else ' (a part of the frames)'}\n", flush=True)  # fmt: skip
    if given.json is not None:
        given.json.write_text(as_json(machine(), everything))


if __name__ == "__main__":
    main()
