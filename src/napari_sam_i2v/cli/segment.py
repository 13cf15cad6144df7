"""`napari-sam-i2v segment`: a movie and prompts in, a file of labels out."""

from __future__ import annotations

import argparse
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam_i2v.cli.console import Failed, Interrupted, sentences, stop_on_ctrl_c
from napari_sam_i2v.cli.export import (
    check_apart,
    checked_exports,
    division_lines,
    write_exports,
)
from napari_sam_i2v.errors import OutputError, SamI2VError
from napari_sam_i2v.exports import Tracked, open_tracked
from napari_sam_i2v.job import Job, Settings, make_job, parse_frames
from napari_sam_i2v.movies.output import check_text, write_text
from napari_sam_i2v.results import LabelOutput

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.confidence import ConfidenceTable, FrameConfidence

SHOWN_DOUBTS = 8


def run(args: argparse.Namespace) -> None:
    """Check everything, then track."""
    output = LabelOutput(args.output, overwrite=args.overwrite, resume=args.resume)
    if args.confidence is not None:
        check_text(args.confidence, suffix=".csv", overwrite=args.overwrite)
    exports = checked_exports(args.export, has_movie=True, overwrite=args.overwrite)
    _check_apart(args, output, [path for _, path in exports])
    job = _checked_job(args)
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    from napari_sam_i2v.propagation.confidence import ConfidenceTable

    confidence = ConfidenceTable(job.shape[0])
    try:
        path, frames = track_to_file(job, output, quiet=args.quiet, confidence=confidence)
    except (Failed, Interrupted) as stopped:
        problems = _write_confidence(args, confidence)
        raise type(stopped)(sentences(str(stopped), *problems)) from stopped
    problems = _write_confidence(args, confidence)
    tracked = _tracked(job, path, args.movie, confidence)
    said, unwritten = write_exports(tracked, exports, overwrite=args.overwrite)
    if not args.quiet:
        objects = len({prompt.object_id for prompt in job.prompts})
        named = f"{objects} object{'' if objects == 1 else 's'}"
        print(f"{path}: {named}, {frames} of {job.shape[0]} frames tracked")
        for line in (*said, *doubts(confidence), *division_lines(tracked)):
            print(line)
    if problems := [*problems, *unwritten]:
        raise Failed(sentences(f"The labels are in {path}", *problems))


def _write_confidence(args: argparse.Namespace, confidence: ConfidenceTable) -> list[str]:
    """Write how sure the answers are, if asked; return what went wrong."""
    if args.confidence is not None and confidence.object_ids:
        try:
            write_text(args.confidence, confidence.as_csv(), overwrite=args.overwrite)
        except OutputError as error:
            return [f"{args.confidence} was not written: {error}"]
    return []


def _check_apart(args: argparse.Namespace, output: LabelOutput, exports: list[Path]) -> None:
    """Refuse results that would take the place of what is read, or of each other."""
    written = [*dict.fromkeys((output.path, output.store_path)), *exports]
    if args.confidence is not None:
        written.append(args.confidence)
    check_apart(written=written, read=[args.movie, args.prompts])


def _tracked(job: Job, labels: Path, movie: Path, confidence: ConfidenceTable) -> Tracked:
    """The result with what is known about it."""
    return replace(
        open_tracked(labels), movie=job.movie, movie_path=movie, confidence=confidence,
        metadata=job.provenance(), scale=job.scale, units=job.units,
    )  # fmt: skip


def doubts(confidence: ConfidenceTable) -> list[str]:
    """Lines that say where to look first: each object's first doubtful frame."""
    first: dict[int, FrameConfidence] = {}
    for one in confidence.doubtful():
        first.setdefault(one.object_id, one)
    lines = [
        f"  object {one.object_id} from frame {one.frame} "
        + (f"(confidence {one.confidence:.2f})" if one.area else "(not found)")
        for one in first.values()
    ]
    more = len(lines) - SHOWN_DOUBTS
    rest = [f"  and {more} more objects; --confidence FILE.csv has all"] if more > 0 else []
    return ["worth a look:", *lines[:SHOWN_DOUBTS], *rest] if lines else []


def track_to_file(
    job: Job, output: LabelOutput, *, quiet: bool, confidence: ConfidenceTable | None = None
) -> tuple[Path, int]:
    """Run a job into a file; return it and the number of frames tracked.

    `confidence` takes down how sure the answers are.

    Raises
    ------
    Interrupted, Failed
        With a sentence that says what was kept.
    """
    from napari_sam_i2v.scripting import with_progress

    try:
        job = job.with_contrast()
        store = output.open(
            shape=job.shape,
            scale=job.scale,
            units=job.units,
            metadata=job.provenance(),
            object_ids={prompt.object_id for prompt in job.prompts},
        )
        run = job.run(store, output.record, resume=output.resume)
        with stop_on_ctrl_c() as wished, closing(run) as results:
            for result in with_progress(results, job.steps, show=False if quiet else None):
                if confidence is not None:
                    confidence.note(result.frame, result.masks, result.labels)
                if wished():
                    raise KeyboardInterrupt
        frames = len(output.frames_done)
        if confidence is not None and output.record is not None and output.resume:
            output.record.tell(confidence)
        return output.finish(), frames
    except KeyboardInterrupt:
        raise Interrupted(_kept(output)) from None
    except SamI2VError as error:
        raise Failed(sentences(str(error), _kept(output))) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error} (--debug shows where)."
        raise Failed(f"{what} {_kept(output)}") from error


def _checked_job(args: argparse.Namespace) -> Job:
    from napari_sam_i2v.movies.movie import open_movie
    from napari_sam_i2v.prompt_files import read_prompts

    movie = open_movie(args.movie, channel=args.channel, z=args.z, axes=args.axes, scene=args.scene)
    prompts = read_prompts(args.prompts, movie_shape=movie.shape, z=args.z)
    frames = parse_frames(args.frames, len(movie)) if args.frames is not None else None
    settings = Settings(
        model=args.model, device=args.device, precision=args.precision,
        direction=args.direction, frames=frames, view=args.view,
        memory_filter=args.memory_filter, seed=args.seed,
        contrast=tuple(args.contrast) if args.contrast else movie.contrast,
        channel=int(args.channel) if (args.channel or "").isdecimal() else args.channel,
        z=args.z, axes=args.axes, scene=args.scene,
    )  # fmt: skip
    return make_job(movie, prompts, settings)


def _kept(output: LabelOutput) -> str:
    """Keep what a stopped run has finished, and say so."""
    done = len(output.frames_done)
    frames = f"{done} finished frame{'' if done == 1 else 's'}"
    try:
        path = output.keep()
    except Exception as error:  # whatever it is, the place of hours of work must be said
        return f"{frames} left in {output.store_path}, which could not be converted ({error})."
    if path is None:
        return "No frame was finished, nothing was written."
    if path != output.path:
        return f"{frames} kept in {path}; {output.path} is as it was."
    return f"{frames} kept in {path}."
