"""`napari-sam-i2v benchmark`: how fast tracking is here, and what memory it takes."""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam_i2v.cli.console import Failed, Interrupted, sentences
from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.output import check_text, write_text

if TYPE_CHECKING:
    from napari_sam_i2v.measure.speed import Case, Speed


def run(args: argparse.Namespace) -> None:
    """Check everything, measure case by case, then report."""
    from napari_sam_i2v.measure.speed_report import as_json, machine, tables
    from napari_sam_i2v.measure.tables import plain

    if args.json is not None:
        check_text(args.json, suffix=".json", overwrite=args.overwrite)
    elif args.quiet:
        raise InputError("--quiet prints no table: name a file for it with --json.")
    _check_places(args)
    found = list(_measured(args))
    if args.json is not None:
        write_text(args.json, as_json(machine(), found), overwrite=args.overwrite)
    if not args.quiet:
        print("\n\n".join(plain(table) for table in tables(machine(), found)))


def _check_places(args: argparse.Namespace) -> None:
    """Refuse models, devices and precisions that are not there before anything is measured."""
    from napari_sam_i2v.network.checkpoints import load_model
    from napari_sam_i2v.network.device import resolve_device, resolve_precision

    for device in args.device:
        resolve_precision(args.precision, resolve_device(device))
    for model in args.model:
        load_model(model, device="cpu")


def _measured(args: argparse.Namespace) -> Iterator[Speed]:
    from napari_sam_i2v.measure.speed import measure_apart

    counted: set[str] = set()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for case in _cases(args, Path(folder), counted):
                if not args.quiet:
                    print(_progress_line(case), file=sys.stderr, flush=True)
                yield measure_apart(case)
                counted.add(case.model)
    except KeyboardInterrupt:
        raise Interrupted("nothing was written") from None
    except RuntimeError as error:
        raise Failed(sentences(str(error), "Nothing was written.")) from error


def _cases(args: argparse.Namespace, folder: Path, counted: set[str]) -> Iterator[Case]:
    """Every combination; a movie is made when the first case needs it, and removed after."""
    from napari_sam_i2v.measure.made_movie import write_movie
    from napari_sam_i2v.measure.speed import Case

    for size, objects in itertools.product(args.size, args.objects):
        movie = write_movie(folder / "movie.ome.zarr", args.frames, size, objects)
        for model, device in itertools.product(args.model, args.device):
            yield Case(
                movie=str(movie), model=model, device=device, precision=args.precision,
                objects=objects, size=size, frames=args.frames, threads=args.threads,
                flops=model not in counted, profile=args.profile,
            )  # fmt: skip
        shutil.rmtree(movie)


def _progress_line(case: Case) -> str:
    return (
        f"{case.model}, {case.device}: {case.objects} objects, {case.frames} frames of "
        f"{case.size} x {case.size} pixels"
    )
