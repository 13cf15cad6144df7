from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure import boundary_f, jaccard, measure_accuracy


def disc(size: int, cy: float, cx: float, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (y - cy) ** 2 + (x - cx) ** 2 < radius**2


def moving(shift: int = 0) -> np.ndarray:
    """Object 1 on all of 4 frames, object 2 on the last two; (4, 64, 64)."""
    labels = np.zeros((4, 64, 64), np.uint16)
    for t in range(4):
        labels[t][disc(64, 20, 20 + 2 * t + shift, 8)] = 1
        if t >= 2:
            labels[t][disc(64, 45, 40 + shift, 9)] = 2
    return labels


def test_the_truth_gets_one() -> None:
    found = measure_accuracy(moving(), moving(), starts={1: 0, 2: 2})
    assert (found.j, found.f, found.j_and_f, found.tracked) == (1, 1, 1, 1)
    assert [one.frames for one in found.objects.values()] == [4, 2]


def test_nothing_gets_zero() -> None:
    found = measure_accuracy(np.zeros_like(moving()), moving(), starts={1: 0, 2: 2})
    assert (found.j, found.f, found.tracked) == (0, 0, 0)


def test_a_shifted_copy_lies_between() -> None:
    found = measure_accuracy(moving(4), moving(), starts={1: 0})
    one = found.objects[1]
    assert 0.4 < one.j < 0.7
    assert 0 < one.f < 0.7
    assert one.j_and_f == pytest.approx((one.j + one.f) / 2)


def test_jaccard_by_hand() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    a[:2], b[1:3] = True, True
    assert jaccard(a, b) == pytest.approx(4 / 12)
    assert jaccard(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1


def test_boundaries_match_within_the_tolerance_only() -> None:
    a, b = disc(64, 30, 30, 10), disc(64, 30, 32, 10)
    assert boundary_f(a, b, within=2) == 1
    assert boundary_f(a, b, within=1) < 1
    assert boundary_f(a, np.zeros_like(a)) == 0
    assert boundary_f(np.zeros_like(a), np.zeros_like(a)) == 1


def test_frames_before_the_start_do_not_count() -> None:
    wrong_before = moving()
    wrong_before[:2] = 0
    assert measure_accuracy(wrong_before, moving(), starts={1: 2}).j == 1


def test_only_the_given_frames_count() -> None:
    wrong_on_three = moving()
    wrong_on_three[3] = 0
    assert measure_accuracy(wrong_on_three, moving(), starts={1: 0}, frames=[0, 2]).j == 1
    assert measure_accuracy(wrong_on_three, moving(), starts={1: 0}, frames=[0, 3]).j == 0.5


def test_presence_without_truth_is_counted_apart() -> None:
    truth = moving()
    truth[3] = 0
    one = measure_accuracy(moving(), truth, starts={1: 0}).objects[1]
    assert (one.j, one.frames, one.false_presence) == (1, 3, 1)


@pytest.mark.parametrize(
    ("starts", "labels", "message"),
    [
        ({}, moving(), "at least one object"),
        ({7: 0}, moving(), "object 7"),
        ({1: 0}, moving()[:3], "one shape"),
    ],
)
def test_misuse_is_refused(starts: dict[int, int], labels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_accuracy(labels, moving(), starts=starts)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_development_score(shared_data: Path, seed: int) -> None:
    """Random overlapping shapes, also across the border, judged by both definitions."""
    spec = importlib.util.spec_from_file_location("score", shared_data / "score.py")
    score = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["score"] = score  # its dataclass looks itself up
    spec.loader.exec_module(score)
    rng = np.random.default_rng(seed)
    truth, found = (np.zeros((5, 90, 110), np.uint16) for _ in range(2))
    for t in range(5):
        for ident in (1, 2, 3):
            cy, cx, r = rng.uniform(0, 90), rng.uniform(0, 110), rng.uniform(5, 30)
            y, x = np.mgrid[:90, :110]
            truth[t][(y - cy) ** 2 + (x - cx) ** 2 < r**2] = ident
            dy, dx = rng.uniform(-9, 9, 2)
            if rng.random() < 0.85:
                found[t][(y - cy - dy) ** 2 + (x - cx - dx) ** 2 < (0.9 * r) ** 2] = ident
    starts = {i: 1 if i == 3 else 0 for i in (1, 2, 3) if (truth[1:] == i).any()}
    theirs = score.score(score.Case("x", truth, list(range(5)), starts), found)
    ours = measure_accuracy(found, truth, starts=starts)
    assert ours.j == pytest.approx(theirs["J"])
    assert ours.f == pytest.approx(theirs["F"])
    assert ours.tracked == theirs["tracked"]
    for ident, one in ours.objects.items():
        assert one.j == pytest.approx(theirs["objects"][ident]["J"])
        assert one.f == pytest.approx(theirs["objects"][ident]["F"])
        assert one.false_presence == theirs["objects"][ident]["false_presence"]
