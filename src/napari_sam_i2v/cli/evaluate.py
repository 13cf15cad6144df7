"""`napari-sam-i2v evaluate`: how well a model does on movies with a known truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.cli.console import Failed, say_error, sentences
from napari_sam_i2v.errors import InputError, SamI2VError
from napari_sam_i2v.job import Settings, make_job
from napari_sam_i2v.movies.output import check_text, write_text

if TYPE_CHECKING:
    from napari_sam_i2v.measure.cases import Case
    from napari_sam_i2v.measure.ctc import CtcScores
    from napari_sam_i2v.measure.protocols import Outcome, Protocol, Tracker
    from napari_sam_i2v.measure.report import Evaluation


def run(args: argparse.Namespace) -> None:
    """Check everything, run all protocols on all movies, then report."""
    from napari_sam_i2v.measure.cases import load_cases
    from napari_sam_i2v.measure.ctc import check_ctc
    from napari_sam_i2v.measure.protocols import check_protocol
    from napari_sam_i2v.measure.report import as_json, as_markdown, as_text

    files = _checked_files(args)
    if args.ctc:
        check_ctc()
    say = _silent if args.quiet else _say
    cases = load_cases(args.data, note=partial(say_error, kind="note") if not args.quiet else None)
    for protocol in args.protocol:
        for case in cases:
            check_protocol(case, protocol)
    evaluation = _evaluate(cases, args, say)
    for kind, file in files.items():
        text = {"json": as_json, "markdown": as_markdown}[kind](evaluation)
        write_text(file, text, overwrite=args.overwrite)
    if not args.quiet:
        print(as_text(evaluation), end="")


def _checked_files(args: argparse.Namespace) -> dict[str, Any]:
    """Files to write, by kind, none of which is in the way of an older one."""
    files = {"json": args.json, "markdown": args.markdown}
    for (kind, file), suffix in zip(files.items(), (".json", ".md"), strict=True):
        if file is not None:
            files[kind] = check_text(file, suffix=suffix, overwrite=args.overwrite)
    wanted = {kind: file for kind, file in files.items() if file is not None}
    if args.quiet and not wanted:
        raise InputError("--quiet prints no table: name a file for it with --json or --markdown.")
    return wanted


def _evaluate(
    cases: Sequence[Case], args: argparse.Namespace, say: Callable[[str], None]
) -> Evaluation:
    from napari_sam_i2v.measure.calibration import Sample, calibrate, samples
    from napari_sam_i2v.measure.report import Evaluation, MovieReport, movie_report

    tracker, model, settings = _tracker(cases[0], args)
    reports: list[MovieReport] = []
    rows: list[Sample] = []
    for protocol in args.protocol:
        for case in cases:
            outcome = _outcome(case, protocol, tracker, quiet=args.quiet)
            reports.append(movie_report(outcome, _ctc(outcome) if args.ctc else None))
            if protocol == "click":
                rows += samples(outcome)
            say(_progress_line(reports[-1]))
    return Evaluation(model, settings, reports, calibrate(rows))


def _tracker(
    case: Case, args: argparse.Namespace
) -> tuple[Tracker, dict[str, Any], dict[str, Any]]:
    """Load the network, once for all; and what to note about it and the settings."""
    import torch

    from napari_sam_i2v.measure.protocols import Tracker
    from napari_sam_i2v.network.device import resolve_device, resolve_precision

    chosen = Settings(
        model=args.model, device=args.device, precision=args.precision, view=args.view,
        seed=args.seed,
    )  # fmt: skip
    job = make_job(case.movie, case.prompts, chosen)
    device = resolve_device(args.device)
    tracker = Tracker(
        network=job.network, device=args.device, precision=args.precision, view=args.view,
        seed=args.seed,
    )  # fmt: skip
    settings = {
        "device": device.type,
        "precision": resolve_precision(args.precision, device),
        "view": args.view,
        "seed": args.seed,
        "threads": torch.get_num_threads(),
    }
    return tracker, job.model, settings


def _outcome(case: Case, protocol: Protocol, tracker: Tracker, *, quiet: bool) -> Outcome:
    from napari_sam_i2v.measure.protocols import run_protocol
    from napari_sam_i2v.scripting import with_progress

    def watch(results: Iterator[Any], total: int) -> Iterator[Any]:
        return with_progress(results, total, show=False if quiet else None)

    try:
        return run_protocol(case, protocol, tracker, watch=watch)
    except SamI2VError as error:
        what = f"{case.name}, protocol {protocol}: {error}"
        raise Failed(sentences(what, "Nothing was written.")) from error


def _ctc(outcome: Outcome) -> CtcScores:
    from napari_sam_i2v.measure.ctc import ctc_scores

    case = outcome.case
    return ctc_scores(outcome.labels, case.truth, starts=case.starts, frames=case.annotated)


def _progress_line(report: Any) -> str:
    return (
        f"{report.protocol} {report.movie}: J {report.j:.3f}, {len(report.objects)} objects, "
        f"{report.seconds:.0f} s"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    pass
