"""`napari-sam-i2v segment`: a movie and prompts in, a file of labels out."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from napari_sam_i2v.cli.console import Failed, Interrupted, stop_on_ctrl_c
from napari_sam_i2v.errors import SamI2VError
from napari_sam_i2v.job import Job, Settings, make_job, parse_frames
from napari_sam_i2v.results import LabelOutput


def run(args: argparse.Namespace) -> None:
    """Check everything, then track."""
    output = LabelOutput(args.output, overwrite=args.overwrite)
    job = _checked_job(args)
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    path, frames = track_to_file(job, output, quiet=args.quiet)
    if not args.quiet:
        objects = len({prompt.object_id for prompt in job.prompts})
        named = f"{objects} object{'' if objects == 1 else 's'}"
        print(f"{path}: {named}, {frames} of {job.shape[0]} frames tracked")


def track_to_file(job: Job, output: LabelOutput, *, quiet: bool) -> tuple[Path, int]:
    """Run a job into a file; return it and the number of frames tracked.

    Raises
    ------
    Interrupted, Failed
        With a sentence that says what was kept.
    """
    from napari_sam_i2v.scripting import with_progress

    try:
        job = job.with_contrast()
        store = output.open(
            shape=job.shape, scale=job.scale, units=job.units, metadata=job.provenance()
        )
        with stop_on_ctrl_c() as wished, closing(job.run(store)) as results:
            for _ in with_progress(results, job.steps, show=False if quiet else None):
                if wished():
                    raise KeyboardInterrupt
        frames = len(output.frames_done)
        return output.finish(), frames
    except KeyboardInterrupt:
        raise Interrupted(_kept(output)) from None
    except SamI2VError as error:
        raise Failed(f"{error} {_kept(output)}") from error
    except Exception as error:
        what = f"{type(error).__name__}: {error} (--debug shows where)."
        raise Failed(f"{what} {_kept(output)}") from error


def _checked_job(args: argparse.Namespace) -> Job:
    from napari_sam_i2v.movies.movie import open_movie
    from napari_sam_i2v.prompt_files import read_prompts

    channel = int(args.channel) if (args.channel or "").isdecimal() else args.channel
    movie = open_movie(args.movie, channel=channel, z=args.z, axes=args.axes)
    prompts = read_prompts(args.prompts, movie_shape=movie.shape)
    frames = parse_frames(args.frames, len(movie)) if args.frames is not None else None
    settings = Settings(
        model=args.model, device=args.device, precision=args.precision,
        direction=args.direction, frames=frames, view=args.view,
        memory_filter=args.memory_filter, seed=args.seed,
        contrast=tuple(args.contrast) if args.contrast else None,
        channel=channel, z=args.z, axes=args.axes,
    )  # fmt: skip
    return make_job(movie, prompts, settings)


def _kept(output: LabelOutput) -> str:
    """Keep what a stopped run has finished, and say so."""
    done = len(output.frames_done)
    frames = f"{done} finished frame{'' if done == 1 else 's'}"
    try:
        path = output.keep()
    except (SamI2VError, OSError) as error:
        return f"{frames} left in {output.store_path}, which could not be converted ({error})."
    if path is None:
        return "No frame was finished, nothing was written."
    if path != output.path:
        return f"{frames} kept in {path}; {output.path} is as it was."
    return f"{frames} kept in {path}."
