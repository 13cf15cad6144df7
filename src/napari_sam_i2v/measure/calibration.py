"""Does a low confidence mean a wrong mask? Measured over annotated frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.accuracy import TRACKED_FROM
from napari_sam_i2v.measure.protocols import Outcome

__all__ = [
    "Calibration",
    "ReliabilityBin",
    "Sample",
    "auroc",
    "calibrate",
    "reliability",
    "samples",
]

BINS = 5


@dataclass(frozen=True)
class Sample:
    """One object on one annotated frame after its first.

    Attributes
    ----------
    movie, object_id, frame
        Where.
    score, iou
        The result's probability that the object is there, and expected IoU of its mask.
    j
        What the mask is worth.
    """

    movie: str
    object_id: int
    frame: int
    score: float
    iou: float
    j: float

    @property
    def confidence(self) -> float:
        """Score times expected IoU: what a result is sorted by."""
        return self.score * self.iou

    @property
    def good(self) -> bool:
        """Whether J is at least 0.5."""
        return self.j >= TRACKED_FROM


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples whose confidence lies in [low, high), the last bin with its end; means or None."""

    low: float
    high: float
    count: int
    mean_confidence: float | None
    mean_j: float | None


@dataclass(frozen=True)
class Calibration:
    """How well confidence tells good masks (J >= 0.5) from bad ones.

    Attributes
    ----------
    count, good
        Samples, and how many of them are good.
    auroc
        "confidence", "score", "iou" -> probability that a good sample has the higher value than
        a bad one; None if all are good, or none is.
    auroc_within
        The same, mean over the movies that have both kinds: what differs between movies does
        not help there.
    movies_within
        How many they are.
    bins
        By confidence.
    """

    count: int
    good: int
    auroc: dict[str, float | None]
    auroc_within: dict[str, float | None]
    movies_within: int
    bins: tuple[ReliabilityBin, ...]


def samples(outcome: Outcome) -> list[Sample]:
    """Objects on the annotated frames after their first prompt's on which the truth has them."""
    case = outcome.case
    found = []
    for ident, one in outcome.accuracy.objects.items():
        for frame, j in one.frame_j.items():
            if frame > case.starts[ident]:
                score, iou = outcome.answers[ident, frame]
                found.append(Sample(case.name, ident, frame, score, iou, j))
    return found


def calibrate(rows: Sequence[Sample]) -> Calibration | None:
    """Summarise samples; None if there are none."""
    if not rows:
        return None
    by_movie: dict[str, list[Sample]] = {}
    for row in rows:
        by_movie.setdefault(row.movie, []).append(row)
    within = [one for one in map(_aurocs, by_movie.values()) if one["confidence"] is not None]
    return Calibration(
        count=len(rows),
        good=sum(row.good for row in rows),
        auroc=_aurocs(rows),
        auroc_within={name: _mean(one[name] for one in within) for name in _aurocs(rows)},
        movies_within=len(within),
        bins=reliability([r.confidence for r in rows], [r.j for r in rows]),
    )


def auroc(values: ArrayLike, positive: ArrayLike) -> float | None:
    """Area under the ROC curve: probability that a positive has a higher value than a negative.

    Parameters
    ----------
    values
        (N,) numbers; pairs of equal ones count half.
    positive
        (N,) bool.

    Returns
    -------
    float or None
        None where there are no positives, or no negatives.

    Raises
    ------
    InputError
        If the shapes differ, or a value is not a number.
    """
    numbers, truth = np.asarray(values, np.float64), np.asarray(positive, bool)
    if numbers.ndim != 1 or numbers.shape != truth.shape or np.isnan(numbers).any():
        raise InputError(
            "As many values, all of them numbers, as truths are required (N,); got shapes "
            f"{numbers.shape} and {truth.shape}."
        )
    n_positive = int(truth.sum())
    n_negative = len(truth) - n_positive
    if not (n_positive and n_negative):
        return None
    # Mann and Whitney's U from the positives' ranks; equal values share their mean rank.
    _, where, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    u = ranks[truth].sum() - n_positive * (n_positive + 1) / 2
    return float(u / (n_positive * n_negative))


def reliability(
    confidence: ArrayLike, j: ArrayLike, *, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Mean J by confidence, in `bins` bins of equal width over 0 .. 1.

    `confidence` and `j` are (N,); confidence beyond 0 .. 1 counts in the outer bins.
    """
    values, worth = np.asarray(confidence, np.float64), np.asarray(j, np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    return tuple(
        ReliabilityBin(
            float(edges[k]), float(edges[k + 1]), int((place == k).sum()),
            _mean(values[place == k].tolist()), _mean(worth[place == k].tolist()),
        )
        for k in range(bins)
    )  # fmt: skip


def _aurocs(rows: Sequence[Sample]) -> dict[str, float | None]:
    good = [row.good for row in rows]
    return {
        "confidence": auroc([row.confidence for row in rows], good),
        "score": auroc([row.score for row in rows], good),
        "iou": auroc([row.iou for row in rows], good),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
