"""What an evaluation found, as text, Markdown or JSON.

Twice the same run gives the same numbers, but for speed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from napari_sam_i2v.measure.accuracy import ObjectAccuracy
from napari_sam_i2v.measure.calibration import Calibration
from napari_sam_i2v.measure.ctc import CtcScores
from napari_sam_i2v.measure.protocols import PROTOCOLS, Outcome, Protocol
from napari_sam_i2v.measure.tables import Table, markdown, plain

__all__ = ["Evaluation", "MovieReport", "as_json", "as_markdown", "as_text", "movie_report"]

NONE = "–"


@dataclass(frozen=True)
class MovieReport:
    """One protocol on one movie.

    Attributes
    ----------
    movie, group, protocol
        Which; see `Case`.
    j, f, tracked
        Means over the objects, and share of them with J >= 0.5.
    first_j
        Mean J on each object's first prompt's frame; None if that is annotated for none.
    false_presence
        Object-frames that were answered where the truth lacks the object.
    absent, absent_empty
        With a truth on every frame: object-frames after its prompt on which an object is gone,
        and how many of them were answered empty. None otherwise.
    rounds
        Mean J after each round.
    speed
        Object-frames per second of propagation.
    seconds
        Prompting and propagation.
    objects
        Object id -> its accuracy.
    ctc
        Measures of the Cell Tracking Challenge; None if they were not asked for.
    """

    movie: str
    group: str
    protocol: Protocol
    j: float
    f: float
    tracked: float
    first_j: float | None
    false_presence: int
    absent: int | None
    absent_empty: int | None
    rounds: tuple[float, ...]
    speed: float
    seconds: float
    objects: Mapping[int, ObjectAccuracy]
    ctc: CtcScores | None = None

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2

    @property
    def gain(self) -> float:
        """J of the last round less that of the first."""
        return self.rounds[-1] - self.rounds[0]


@dataclass(frozen=True)
class Evaluation:
    """All of one run: what was used, what came out.

    Attributes
    ----------
    model, settings
        Plain values.
    movies
        By protocol and then by movie, as they were run.
    calibration
        Of protocol click, all movies together; None if that was not run.
    """

    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    movies: Sequence[MovieReport]
    calibration: Calibration | None

    @property
    def protocols(self) -> list[Protocol]:
        """Protocols that were run, in their usual order."""
        return [name for name in PROTOCOLS if any(one.protocol == name for one in self.movies)]

    def of(self, protocol: Protocol) -> list[MovieReport]:
        """The movies of one protocol."""
        return [one for one in self.movies if one.protocol == protocol]


def movie_report(outcome: Outcome, ctc: CtcScores | None = None) -> MovieReport:
    """Sum up what a protocol gave on a case."""
    case, found = outcome.case, outcome.accuracy
    false = sum(one.false_presence for one in found.objects.values())
    first = [found.objects[ident].frame_j.get(start) for ident, start in case.starts.items()]
    judged = sum(t >= start for start in case.starts.values() for t in case.annotated)
    absent = judged - sum(one.frames for one in found.objects.values()) if case.dense else None
    return MovieReport(
        movie=case.name, group=case.group, protocol=outcome.protocol,
        j=found.j, f=found.f, tracked=found.tracked, first_j=_mean(first), false_presence=false,
        absent=absent, absent_empty=None if absent is None else absent - false,
        rounds=tuple(one.j for one in outcome.rounds),
        speed=outcome.object_frames / max(outcome.propagating, 1e-9), seconds=outcome.seconds,
        objects=found.objects, ctc=ctc,
    )  # fmt: skip


# ---- tables -----------------------------------------------------------------------------------


def as_text(evaluation: Evaluation) -> str:
    """Tables for a terminal."""
    return "\n\n".join([_heading(evaluation), *map(plain, _tables(evaluation))]) + "\n"


def as_markdown(evaluation: Evaluation) -> str:
    """Tables in Markdown, as for a model card."""
    return "\n\n".join([_heading(evaluation), *map(markdown, _tables(evaluation))]) + "\n"


def as_json(evaluation: Evaluation) -> str:
    """Everything, objects too, as JSON; what depends on the machine is under "speed"."""
    content = {
        "model": dict(evaluation.model),
        "settings": dict(evaluation.settings),
        "protocols": {name: _protocol_entry(evaluation.of(name)) for name in evaluation.protocols},
        "calibration": asdict(evaluation.calibration) if evaluation.calibration else None,
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _heading(evaluation: Evaluation) -> str:
    model, used = evaluation.model, evaluation.settings
    code = f" ({model['sha256'][:12]})" if model.get("sha256") else ""
    return (
        f"Model {model['name']}{code}, {used['device']}, {used['precision']}, "
        f"view {used['view']}, seed {used['seed']}."
    )


def _tables(evaluation: Evaluation) -> list[Table]:
    tables = [_accuracy_table(name, evaluation.of(name)) for name in evaluation.protocols]
    tables += [
        _ctc_table(evaluation.of(name))
        for name in evaluation.protocols
        if any(one.ctc for one in evaluation.of(name))
    ]
    if rounds := evaluation.of("interactive"):
        tables.append(_rounds_table(rounds))
    if len(evaluation.protocols) > 1:
        tables.append(_protocols_table(evaluation))
    tables += [
        _absent_table(evaluation.of(name))
        for name in evaluation.protocols[:1]
        if any(one.absent for one in evaluation.of(name))
    ]
    if evaluation.calibration is not None:
        tables += _calibration_tables(evaluation.calibration)
    return tables


def _accuracy_table(protocol: Protocol, movies: Sequence[MovieReport]) -> Table:
    header = (
        "movie", "objects", "J", "F", "J&F", "tracked", "false presence", "first-frame J",
        "object-frames/s", "s",
    )  # fmt: skip
    rows = [_accuracy_row(one.movie, [one]) for one in movies]
    rows += [_accuracy_row(name, some) for name, some in _means(movies)]
    return Table(f"Protocol {protocol}: {PROTOCOLS[protocol]}", header, rows)


def _accuracy_row(name: str, movies: Sequence[MovieReport]) -> list[str]:
    """One movie, or means over several: sums of what is counted."""
    work = sum(one.seconds for one in movies)
    return [
        name,
        str(sum(len(one.objects) for one in movies)),
        _number(_mean(one.j for one in movies)),
        _number(_mean(one.f for one in movies)),
        _number(_mean(one.j_and_f for one in movies)),
        _percent(_mean(one.tracked for one in movies)),
        str(sum(one.false_presence for one in movies)),
        _number(_mean(one.first_j for one in movies)),
        _number(_mean(one.speed for one in movies), 1),
        _number(work, 1),
    ]


def _ctc_table(movies: Sequence[MovieReport]) -> Table:
    def row(name: str, some: Sequence[MovieReport]) -> list[str]:
        return [name, *map(_number, _ctc_means(some).values())]

    rows = [row(one.movie, [one]) for one in movies]
    rows += [row(name, some) for name, some in _means(movies)]
    return Table(
        f"Cell Tracking Challenge measures (protocol {movies[0].protocol})",
        ("movie", "SEG", "DET", "TRA"), rows,
        "Of the prompted objects, each from its prompt on, by py-ctcmetrics; DET and TRA need a "
        "truth on every frame.",
    )  # fmt: skip


def _ctc_means(movies: Sequence[MovieReport]) -> dict[str, float | None]:
    known = [one.ctc for one in movies if one.ctc is not None]
    return {
        "SEG": _mean(one.seg for one in known),
        "DET": _mean(one.det for one in known),
        "TRA": _mean(one.tra for one in known),
    }


def _rounds_table(movies: Sequence[MovieReport]) -> Table:
    count = len(movies[0].rounds)

    def row(name: str, some: Sequence[MovieReport]) -> list[str]:
        means = [_mean(one.rounds[k] for one in some) for k in range(count)]
        return [name, *map(_number, means), f"{_mean(one.gain for one in some) or 0:+.3f}"]

    rows = [row(one.movie, [one]) for one in movies]
    rows += [row(name, some) for name, some in _means(movies)]
    header = ("movie", *(f"round {k + 1}" for k in range(count)), "gain")
    return Table("Mean J after each interactive round", header, rows)


def _protocols_table(evaluation: Evaluation) -> Table:
    names = evaluation.protocols
    by_name = {name: evaluation.of(name) for name in names}
    rows = [
        [one.movie, *(_number(by_name[name][k].j) for name in names)]
        for k, one in enumerate(by_name[names[0]])
    ]
    means = {name: dict(_means(by_name[name])) for name in names}
    rows += [
        [label, *(_number(_mean(one.j for one in means[name][label])) for name in names)]
        for label in means[names[0]]
    ]
    return Table("Mean J by protocol", ("movie", *names), rows)


def _absent_table(movies: Sequence[MovieReport]) -> Table:
    shown = [one for one in movies if one.absent]
    rows = [_absent_row(one.movie, [one]) for one in shown]
    if len(shown) > 1:
        rows.append(_absent_row("all", shown))
    return Table(
        f"Objects that are gone (protocol {movies[0].protocol})",
        ("movie", "object-frames", "answered empty"), rows,
        "Movies with a truth on every frame: after its prompt, the truth lacks the object.",
    )  # fmt: skip


def _absent_row(name: str, movies: Sequence[MovieReport]) -> list[str]:
    absent = sum(one.absent or 0 for one in movies)
    empty = sum(one.absent_empty or 0 for one in movies)
    return [name, str(absent), _percent(empty / absent if absent else None)]


def _calibration_tables(found: Calibration) -> list[Table]:
    bins = [
        [f"{b.low:.1f} to {b.high:.1f}", str(b.count), _number(b.mean_confidence),
         _number(b.mean_j)]
        for b in found.bins
    ]  # fmt: skip
    names = {"confidence": "confidence = score × IoU", "score": "score alone", "iou": "IoU alone"}
    areas = [
        [title, _number(found.auroc[key]), _number(found.auroc_within[key])]
        for key, title in names.items()
    ]
    good = found.good / found.count
    return [
        Table(
            "Calibration (protocol click): does it tell J >= 0.5 from J < 0.5?",
            ("predicted", "AUROC", "within a movie"), areas,
            f"{found.count} object-frames after the first, {good:.0%} of them with J >= 0.5; "
            f"within a movie: mean over the {found.movies_within} movies that have both kinds.",
        ),
        Table("Reliability", ("confidence", "object-frames", "mean confidence", "mean J"), bins),
    ]  # fmt: skip


def _means(movies: Sequence[MovieReport]) -> list[tuple[str, list[MovieReport]]]:
    """Groups of several movies, then all of them, each with its name."""
    groups = [
        (group, [one for one in movies if one.group == group])
        for group in dict.fromkeys(one.group for one in movies)
        if group
    ]
    named = [(f"{g}, mean of {len(some)}", some) for g, some in groups if len(some) > 1]
    if len(movies) > 1 and not any(len(some) == len(movies) for _, some in named):
        named.append((f"mean of {len(movies)} movies", list(movies)))
    return named


# ---- plain values -------------------------------------------------------------------------------


def _protocol_entry(movies: Sequence[MovieReport]) -> dict[str, Any]:
    return {
        "movies": {one.movie: _movie_entry(one) for one in movies},
        "means": {name: _mean_entry(some) for name, some in _means(movies)},
    }


def _movie_entry(one: MovieReport) -> dict[str, Any]:
    return {
        **_mean_entry([one]),
        "rounds_J": list(one.rounds),
        "absent": one.absent,
        "absent_empty": one.absent_empty,
        "speed": {"object_frames_per_second": one.speed, "seconds": one.seconds},
        "objects": {str(ident): _object_entry(found) for ident, found in one.objects.items()},
    }


def _mean_entry(movies: Sequence[MovieReport]) -> dict[str, Any]:
    return {
        "n_objects": sum(len(one.objects) for one in movies),
        "J": _mean(one.j for one in movies),
        "F": _mean(one.f for one in movies),
        "J&F": _mean(one.j_and_f for one in movies),
        "tracked": _mean(one.tracked for one in movies),
        "false_presence": sum(one.false_presence for one in movies),
        "first_frame_J": _mean(one.first_j for one in movies),
        **({"CTC": _ctc_means(movies)} if any(one.ctc for one in movies) else {}),
    }


def _object_entry(one: ObjectAccuracy) -> dict[str, Any]:
    return {
        "J": one.j, "F": one.f, "J&F": one.j_and_f,
        "frames": one.frames, "false_presence": one.false_presence,
        "frame_J": {str(t): j for t, j in one.frame_j.items()},
    }  # fmt: skip


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.0f} %"
