"""`napari-sam-i2v demo`: the main job on a bundled movie, its accuracy, and a picture."""

from __future__ import annotations

import argparse
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam_i2v.cli.console import PROGRAM
from napari_sam_i2v.cli.segment import track_to_file
from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.job import Job, Settings, make_job
from napari_sam_i2v.results import LabelOutput

if TYPE_CHECKING:
    from napari_sam_i2v.measure import Accuracy
    from napari_sam_i2v.sample_data import SampleMovie

FILES = ("movie.tif", "prompts.csv", "labels.tif", "overlay.png")


def run(args: argparse.Namespace) -> None:
    """Write the sample as files, run what `segment` runs on them, and judge the result."""
    from napari_sam_i2v.sample_data import sample_movie

    folder = _folder(args.output, overwrite=args.overwrite)
    sample = sample_movie(args.sample)
    job = _written_job(sample, folder, args)
    if not args.quiet:
        _introduce(sample, job)
    started = time.perf_counter()
    output = LabelOutput(folder / "labels.tif", overwrite=args.overwrite)
    path, _ = track_to_file(job, output, quiet=args.quiet)
    seconds = time.perf_counter() - started
    accuracy = _judge(sample, path)
    _draw(sample, path, accuracy, folder / "overlay.png", overwrite=args.overwrite)
    if not args.quiet:
        _report(accuracy, seconds, folder)


def _folder(wanted: Path | None, *, overwrite: bool) -> Path:
    """Folder to write to: as asked for, or the first new one of a row."""
    base = f"{PROGRAM}-demo"
    names = (base if n == 1 else f"{base}-{n}" for n in count(1))
    folder = wanted or next(Path(name) for name in names if not Path(name).exists())
    found = [name for name in FILES if (folder / name).exists()]
    if found and not overwrite:
        raise OutputError(
            f"{folder} holds {', '.join(found)} already: choose another folder, or allow "
            "overwriting with --overwrite."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}") from error
    return folder


def _written_job(sample: SampleMovie, folder: Path, args: argparse.Namespace) -> Job:
    """Write movie and clicks as a user would have them, and read them back."""
    from napari_sam_i2v.movies import open_movie, save_tiff
    from napari_sam_i2v.movies.units import TIME_UNKNOWN, unit_name
    from napari_sam_i2v.prompt_files import read_prompts, write_prompts
    from napari_sam_i2v.propagation.prompts import Prompt

    t, y, x = (unit_name(unit) or TIME_UNKNOWN for unit in sample.units)
    movie, prompts = folder / "movie.tif", folder / "prompts.csv"
    save_tiff(sample.movie, movie, scale=sample.scale, units=(t, y, x), overwrite=args.overwrite)
    clicks = (Prompt(i, frame, np.array([[y, x]])) for i, frame, y, x in sample.prompts)
    write_prompts(prompts, clicks, overwrite=args.overwrite)
    opened = open_movie(movie)
    settings = Settings(model=args.model, device=args.device, precision=args.precision)
    return make_job(opened, read_prompts(prompts, movie_shape=opened.shape), settings)


def _judge(sample: SampleMovie, labels: Path) -> Accuracy:
    from napari_sam_i2v.measure import measure_accuracy
    from napari_sam_i2v.movies import open_movie

    starts = {ident: frame for ident, frame, _, _ in sample.prompts}
    return measure_accuracy(open_movie(labels), sample.labels, starts=starts)


def _draw(
    sample: SampleMovie, labels: Path, accuracy: Accuracy, path: Path, *, overwrite: bool
) -> None:
    from napari_sam_i2v.movies import open_movie
    from napari_sam_i2v.overlay import overlay_sheet, save_picture

    title = (
        f"{sample.title}: {len(sample.prompts)} clicks, {len(sample.movie)} frames, "
        f"mean J {accuracy.j:.2f}"
    )
    unit = {"minute": "min", "second": "s"}.get(sample.units[0], sample.units[0])
    sheet = overlay_sheet(
        sample.movie, open_movie(labels), clicks=sample.prompts, title=title,
        interval=(sample.scale[0], unit),
    )  # fmt: skip
    save_picture(sheet, path, overwrite=overwrite)


def _introduce(sample: SampleMovie, job: Job) -> None:
    frames, height, width = sample.movie.shape
    print(
        f"{sample.title} (synthetic, so that the truth is known): {frames} frames of {height} × "
        f"{width} pixels, {len(sample.prompts)} objects, one click each"
    )
    print(f"tracking with {job.model['name']} ...", flush=True)


def _report(accuracy: Accuracy, seconds: float, folder: Path) -> None:
    print(f"done in {seconds:.0f} s\n\nobject      J      F  frames")
    for ident, one in accuracy.objects.items():
        print(f"{ident:>6}  {one.j:5.3f}  {one.f:5.3f}  {one.frames:6}")
    print(f"  mean  {accuracy.j:5.3f}  {accuracy.f:5.3f}")
    print(
        f"\nmean J {accuracy.j:.3f} (overlap with the truth, 1 is perfect); "
        f"{accuracy.tracked:.0%} of the objects have J >= 0.5\n"
    )
    for name, what in zip(FILES, ("the movie", "the clicks", "the result", "look at it"),
                          strict=True):  # fmt: skip
        print(f"{folder / name}  {what}")
    print(
        f"\nThe same by hand:\n  {PROGRAM} segment {folder / 'movie.tif'} "
        f"--prompts {folder / 'prompts.csv'} --output {folder / 'again.tif'}"
    )
