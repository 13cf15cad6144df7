"""Calibration against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.calibration import Sample, auroc, calibrate, reliability


def test_auroc_by_hand() -> None:
    # Pairs of a good and a bad one: 4 against 3, 1 (both right), 2 against 3 (wrong), 1 (right).
    assert auroc([4, 3, 2, 1], [True, False, True, False]) == pytest.approx(3 / 4)
    assert auroc([1, 2, 3], [False, False, True]) == 1
    assert auroc([1, 2, 3], [True, False, False]) == 0


def test_ties_count_half() -> None:
    assert auroc([5, 5, 5, 5], [True, False, True, False]) == 0.5
    # Good 2, 1; bad 2, 0: half, right, wrong, right.
    assert auroc([2, 1, 2, 0], [True, True, False, False]) == pytest.approx(2.5 / 4)


def test_auroc_equals_counting_pairs() -> None:
    rng = np.random.default_rng(0)
    values, good = rng.integers(0, 6, 60) / 5, rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in values[good] for b in values[~good]]
    assert auroc(values, good) == pytest.approx(np.mean(pairs))


def test_one_kind_alone_has_no_auroc() -> None:
    assert auroc([1, 2], [True, True]) is None
    assert auroc([], []) is None


def test_misuse_is_refused() -> None:
    with pytest.raises(InputError, match="As many values"):
        auroc([1, 2], [True])
    with pytest.raises(InputError, match="numbers"):
        auroc([1, float("nan")], [True, False])


def test_reliability_by_hand() -> None:
    bins = reliability([0.0, 0.1, 0.2, 0.95, 1.0], [0.1, 0.3, 0.5, 0.8, 1.0])
    assert [b.count for b in bins] == [2, 1, 0, 0, 2], "a value on an edge counts above it"
    assert bins[0].mean_j == pytest.approx(0.2)
    assert bins[0].mean_confidence == pytest.approx(0.05)
    assert bins[1].mean_j == 0.5
    assert bins[2].mean_j is None
    assert bins[4].mean_j == pytest.approx(0.9)
    assert [(b.low, b.high) for b in bins][-1] == pytest.approx((0.8, 1.0))


def sample(movie: str, score: float, iou: float, j: float) -> Sample:
    return Sample(movie, 1, 1, score, iou, j)


def test_calibrate_all_and_within_movies() -> None:
    rows = [
        sample("a", 0.9, 0.9, 0.8), sample("a", 0.9, 0.5, 0.2),
        sample("b", 0.5, 0.8, 0.6), sample("b", 1.0, 0.1, 0.5), sample("b", 0.2, 1.0, 0.1),
        sample("c", 0.1, 0.1, 0.0),
    ]  # fmt: skip
    found = calibrate(rows)
    assert found is not None
    assert (found.count, found.good, found.movies_within) == (6, 3, 2)
    # Confidence of the good: 0.81, 0.4, 0.1; of the bad: 0.45, 0.2, 0.01. Right: 3 + 2 + 1 of 9.
    assert found.auroc["confidence"] == pytest.approx(6 / 9)
    # a: 0.81 over 0.45; b: 0.4 over 0.2, 0.1 under it.
    assert found.auroc_within["confidence"] == pytest.approx((1 + 0.5) / 2)
    # Score: 0.9 ties with 0.9 in a; both of b are right.
    assert found.auroc_within["score"] == pytest.approx((0.5 + 1) / 2)
    assert found.auroc_within["iou"] == pytest.approx((1 + 0) / 2)
    assert sum(b.count for b in found.bins) == 6


def test_nothing_to_calibrate() -> None:
    assert calibrate([]) is None
    found = calibrate([sample("a", 1, 1, 0.9)])
    assert found is not None
    assert found.auroc == {"confidence": None, "score": None, "iou": None}
    assert found.auroc_within["confidence"] is None
