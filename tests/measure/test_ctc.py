"""SEG, DET and TRA, against values that follow from the challenge's definitions."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.ctc import ctc_scores

pytest.importorskip("ctc_metrics", reason="the extra ctc is not installed")


def truth() -> np.ndarray:
    """Object 1 on all of 5 frames, object 2 on the first 4; 10 x 10 pixels each."""
    labels = np.zeros((5, 40, 60), np.uint16)
    labels[:, 5:15, 5:15] = 1
    labels[:4, 20:30, 30:40] = 2
    return labels


STARTS = {1: 0, 2: 0}


def test_the_truth_itself_is_perfect(capfd: pytest.CaptureFixture[str]):
    scores = ctc_scores(truth(), truth(), starts=STARTS)
    assert (scores.seg, scores.det, scores.tra) == (1, 1, 1)
    assert capfd.readouterr().out == ""


def test_ids_do_not_matter():
    labels = truth()
    labels[labels == 1] = 2
    labels[:, 5:15, 5:15] = 7
    scores = ctc_scores(labels, truth(), starts={1: 0, 2: 0, 7: 0})
    assert (scores.seg, scores.det, scores.tra) == (1, 1, 1)


def test_seg_is_the_mean_overlap():
    labels = truth()
    labels[:, 5:15, 13:15] = 0  # 0.8 of object 1 is left on 5 of 9 object-frames
    scores = ctc_scores(labels, truth(), starts=STARTS)
    assert scores.seg == pytest.approx((5 * 0.8 + 4) / 9)
    assert (scores.det, scores.tra) == (1, 1)


def test_a_missing_object_costs_ten_and_a_missing_link_one_and_a_half():
    labels = truth()
    labels[4] = 0  # the last frame of object 1
    scores = ctc_scores(labels, truth(), starts=STARTS)
    assert scores.det == pytest.approx(1 - 10 / 90)
    assert scores.tra == pytest.approx(1 - (10 + 1.5) / (90 + 7 * 1.5))


def test_an_object_too_many_costs_one():
    labels = truth()
    labels[0, 32:38, 50:58] = 3
    scores = ctc_scores(labels, truth(), starts=STARTS | {3: 0})
    assert scores.det == pytest.approx(1 - 1 / 90)


def test_swapped_identities_cost_links():
    labels = truth()
    one, two = labels[2:] == 1, labels[2:] == 2
    labels[2:][one], labels[2:][two] = 2, 1
    scores = ctc_scores(labels, truth(), starts=STARTS)
    # Two links wrong and two missing.
    assert (scores.seg, scores.det) == (1, 1)
    assert scores.tra == pytest.approx(1 - (2 * 1 + 2 * 1.5) / (90 + 7 * 1.5))


def test_only_what_was_prompted_is_judged_and_from_then_on():
    labels = truth()
    labels[labels == 2] = 0
    labels[:2] = 0
    scores = ctc_scores(labels, truth(), starts={1: 2})
    assert (scores.seg, scores.det, scores.tra) == (1, 1, 1)


def test_a_truth_on_some_frames_gives_seg_alone():
    labels = truth()
    labels[1:3] = 0
    scores = ctc_scores(labels, truth(), starts=STARTS, frames=[0, 3])
    assert (scores.seg, scores.det, scores.tra) == (1, None, None)


def test_an_object_that_fills_the_frame():
    labels = np.ones((3, 10, 10), np.uint16)
    half = labels.copy()
    half[:, :4] = 0
    scores = ctc_scores(half, labels, starts={1: 0})
    assert (scores.seg, scores.det, scores.tra) == (pytest.approx(0.6), 1, 1)
    scores = ctc_scores(labels, half, starts={1: 0})
    assert (scores.seg, scores.det, scores.tra) == (pytest.approx(0.6), 1, 1)


def test_nothing_found_is_zero():
    scores = ctc_scores(np.zeros_like(truth()), truth(), starts=STARTS)
    assert (scores.seg, scores.det, scores.tra) == (0, 0, 0)


def test_what_cannot_be_judged_is_said(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="one shape"):
        ctc_scores(truth()[:2], truth(), starts=STARTS)
    with pytest.raises(InputError, match="none of the objects"):
        ctc_scores(truth(), truth(), starts={9: 0})
    monkeypatch.setitem(sys.modules, "ctc_metrics", None)
    with pytest.raises(InputError, match=r"napari-sam-i2v\[ctc\]"):
        ctc_scores(truth(), truth(), starts=STARTS)
