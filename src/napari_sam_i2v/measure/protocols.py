"""How a movie with a known truth is prompted: by clicks, a box, a mask, or in rounds.

The truth stands in for a user who looks at the result and points at the largest error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.accuracy import Accuracy, ObjectAccuracy, measure_accuracy
from napari_sam_i2v.measure.cases import Case
from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.propagation.session import FrameResult, Session
from napari_sam_i2v.propagation.view import ViewMode, bounding_box, interior_point

__all__ = [
    "PROTOCOLS",
    "ROUNDS",
    "Outcome",
    "Protocol",
    "Tracker",
    "check_protocol",
    "correction_click",
    "run_protocol",
]

Protocol = Literal["click", "clicks3", "box", "mask", "interactive"]

PROTOCOLS: dict[Protocol, str] = {
    "click": "the case's clicks: one positive click per object on its first frame",
    "clicks3": "that click and two corrections on the same frame, placed by the error",
    "box": "the true box on the first frame",
    "mask": "the true mask on the first frame",
    "interactive": "5 rounds: the click, then one correction per object on its worst frame each",
}
"""Name -> what is given."""
ROUNDS = 5
"""Of the interactive protocol; the first is protocol click."""
CORRECTIONS = 2
"""Clicks after the first of protocol clicks3."""

Mask = NDArray[np.bool_]
Watch = Callable[[Iterator[FrameResult], int], Iterator[FrameResult]]
"""Passes results on, told how many frames there will be: to show progress."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tracker:
    """A network and how it is to track; see `Session`."""

    network: SamI2V
    device: str = "auto"
    precision: str = "auto"
    view: ViewMode = "auto"
    seed: int = 0

    def session(self, movie: Any) -> Session:
        """Return a new session on a movie."""
        return Session(
            movie, model=self.network, device=self.device, precision=self.precision,
            view=self.view, seed=self.seed,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a protocol gave on a case.

    Attributes
    ----------
    labels
        (T, Y, X), after the last round.
    rounds
        Accuracy after each round; one for all protocols but interactive.
    answers
        (object id, frame) -> (score, expected IoU) of the last pass.
    object_frames
        Masks made by propagation, all rounds together.
    propagating, seconds
        Time in s, of propagation alone and with prompts and their answers.
    """

    case: Case
    protocol: Protocol
    labels: NDArray[Any]
    rounds: tuple[Accuracy, ...]
    answers: dict[tuple[int, int], tuple[float, float]]
    object_frames: int
    propagating: float
    seconds: float

    @property
    def accuracy(self) -> Accuracy:
        """Accuracy of the final labels."""
        return self.rounds[-1]


def check_protocol(case: Case, protocol: Protocol) -> None:
    """Check that the truth knows what a protocol asks it.

    Raises
    ------
    InputError
        If the first frame of an object has to be known and is not annotated.
    """
    if protocol in ("click", "interactive"):
        return
    for ident, start in case.starts.items():
        if start not in case.presence[ident]:
            raise InputError(
                f"{case.name}: protocol {protocol} needs the true mask of object {ident} on "
                f"frame {start}, its first prompt's, and the truth has none there: prompt it on "
                "an annotated frame, or choose protocol click"
            )


def run_protocol(
    case: Case, protocol: Protocol, tracker: Tracker, *, watch: Watch | None = None
) -> Outcome:
    """Prompt and track a case, and judge the result.

    Raises
    ------
    InputError
        If the case does not fit the protocol, or a frame cannot be read.
    """
    check_protocol(case, protocol)
    run = _Run(case, tracker, watch)
    rounds = _STEPS[protocol](run)
    return Outcome(
        case, protocol, np.asarray(run.session.labels), rounds, run.answers,
        run.object_frames, run.propagating, run.prompting + run.propagating,
    )  # fmt: skip


def correction_click(found: Mask, truth: Mask) -> tuple[int, int, int] | None:
    """Where a user would click to correct a mask (Y, X).

    Returns
    -------
    tuple or None
        (y, x, label): the most interior point of what is missed (label 1) or of what is there
        by mistake (label 0), whichever is larger; None if the mask is right.
    """
    missed, wrong = truth & ~found, found & ~truth
    if not (missed.any() or wrong.any()):
        return None
    positive = np.count_nonzero(missed) >= np.count_nonzero(wrong)
    y, x = interior_point(missed if positive else wrong)
    return y, x, int(positive)


class _Run:
    """A session on a case, and the clock."""

    def __init__(self, case: Case, tracker: Tracker, watch: Watch | None) -> None:
        self.case, self.watch = case, watch
        self.answers: dict[tuple[int, int], tuple[float, float]] = {}
        self.object_frames = 0
        self.propagating = self.prompting = 0.0
        self.session = tracker.session(case.movie)

    def prompt(self, ask: Callable[[], Any]) -> Any:
        """Call `ask`, which prompts, on the clock."""
        begun = time.perf_counter()
        answer = ask()
        self.prompting += time.perf_counter() - begun
        return answer

    def track(self, objects: Iterable[int]) -> Accuracy:
        """Propagate from the first prompts on, and judge all labels."""
        chosen = list(objects)
        # Offline: earlier frames may use a later correction, so all of them are tracked again.
        results: Iterator[FrameResult] = self.session.propagate(objects=chosen, again=True)
        if self.watch is not None:
            starts = self.case.starts
            first = min(starts[ident] for ident in chosen)
            results = self.watch(results, self.session.n_frames - first)
        begun = time.perf_counter()
        for result in results:
            self.object_frames += len(result.masks)
            for ident, mask in result.masks.items():
                self.answers[ident, result.frame] = (mask.score, mask.iou)
        self.propagating += time.perf_counter() - begun
        return self.judge()

    def judge(self) -> Accuracy:
        """Accuracy of the labels as they are."""
        case = self.case
        return measure_accuracy(
            self.session.labels, case.truth, starts=case.starts, frames=case.annotated
        )


# ---- protocols --------------------------------------------------------------------------------


def _click(run: _Run) -> tuple[Accuracy, ...]:
    run.prompt(lambda: run.session.add_prompts(run.case.prompts))
    return (run.track(run.case.starts),)


def _clicks3(run: _Run) -> tuple[Accuracy, ...]:
    for ident, start in run.case.starts.items():
        truth = run.case.mask(ident, start)
        first = [p for p in run.case.prompts if (p.object_id, p.frame) == (ident, start)]
        run.session.add_prompts(first)
        found = run.prompt(lambda: run.session.preview(ident, start))  # noqa: B023
        for _ in range(CORRECTIONS):
            click = correction_click(found.masks[ident].on(truth.shape), truth)
            if click is None:
                break
            found = _correct(run, ident, start, click)
    return (run.track(run.case.starts),)


def _box(run: _Run) -> tuple[Accuracy, ...]:
    for ident, start in run.case.starts.items():
        box = bounding_box(run.case.mask(ident, start))
        if box is not None:  # checked before: the truth has the object there
            run.prompt(lambda: run.session.add_box(ident, start, box=box))  # noqa: B023
    return (run.track(run.case.starts),)


def _mask(run: _Run) -> tuple[Accuracy, ...]:
    for ident, start in run.case.starts.items():
        mask = run.case.mask(ident, start)
        run.prompt(lambda: run.session.add_mask(ident, start, mask=mask))  # noqa: B023
    return (run.track(run.case.starts),)


def _interactive(run: _Run) -> tuple[Accuracy, ...]:
    rounds = [*_click(run)]
    for _ in range(ROUNDS - 1):
        # All errors are looked at before the first correction: its answer changes the labels.
        clicks = {
            ident: worst
            for ident, one in rounds[-1].objects.items()
            if (worst := _worst(run, ident, one)) is not None
        }
        for ident, (frame, click) in clicks.items():
            _correct(run, ident, frame, click)
        rounds.append(run.track(clicks) if clicks else rounds[-1])
    return tuple(rounds)


_STEPS: dict[Protocol, Callable[[_Run], tuple[Accuracy, ...]]] = {
    "click": _click, "clicks3": _clicks3, "box": _box, "mask": _mask, "interactive": _interactive,
}  # fmt: skip


def _worst(run: _Run, ident: int, one: ObjectAccuracy) -> tuple[int, tuple[int, int, int]] | None:
    """Annotated frame with an object's lowest J, the first of equals, and the click there."""
    frame = min(one.frame_j, key=lambda t: (one.frame_j[t], t))
    found = np.asarray(run.session.labels[frame]) == ident
    click = correction_click(found, run.case.mask(ident, frame))
    return None if click is None else (frame, click)


def _correct(run: _Run, ident: int, frame: int, click: tuple[int, int, int]) -> FrameResult:
    y, x, label = click
    answer: FrameResult = run.prompt(
        lambda: run.session.add_points(ident, frame, points=[(y, x)], labels=[label])
    )
    return answer
