"""Protocols on a small movie with an untrained network: what is prompted, tracked and judged."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests import tiny

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure import measure_accuracy
from napari_sam_i2v.measure.calibration import samples
from napari_sam_i2v.measure.cases import Case, load_case
from napari_sam_i2v.measure.protocols import (
    PROTOCOLS,
    ROUNDS,
    Protocol,
    Tracker,
    check_protocol,
    correction_click,
    run_protocol,
)
from napari_sam_i2v.measure.report import movie_report
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session

FRAMES = 3


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    weights = tiny.write_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")
    return Tracker(network=load_model(str(weights), device="cpu"), device="cpu")


def truth(frames: int = FRAMES) -> np.ndarray:
    """The discs of `tiny.blobs`, object 2 from frame 1 on."""
    y, x = np.mgrid[: tiny.SIZE, : tiny.SIZE]
    labels = np.zeros((frames, tiny.SIZE, tiny.SIZE), np.uint16)
    for t in range(frames):
        labels[t][(y - 12 - 0.5 * t) ** 2 + (x - 14) ** 2 < 36] = 1
        if t >= 1:
            labels[t][(y - 33) ** 2 + (x - 30 - 0.5 * t) ** 2 < 36] = 2
    return labels


@pytest.fixture
def case(tmp_path: Path) -> Case:
    tiny.write_movie(tmp_path / "movie.tif", tiny.blobs(FRAMES))
    tifffile.imwrite(
        tmp_path / "labels.tif", truth(), photometric="minisblack", metadata={"axes": "TYX"}
    )
    return load_case(tmp_path)


@pytest.fixture
def prompted(monkeypatch: pytest.MonkeyPatch) -> list[Prompt]:
    """All prompts that sessions are given."""
    given: list[Prompt] = []
    original = Session._add

    def spy(self: Session, prompt: Prompt) -> None:
        given.append(prompt)
        original(self, prompt)

    monkeypatch.setattr(Session, "_add", spy)
    return given


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, list[int]]]]:
    """For each pass, (frame, objects) of all its results."""
    made: list[list[tuple[int, list[int]]]] = []
    original = Session.propagate

    def spy(self: Session, *args: Any, **more: Any) -> Any:
        made.append([])
        for result in original(self, *args, **more):
            made[-1].append((result.frame, sorted(result.masks)))
            yield result

    monkeypatch.setattr(Session, "propagate", spy)
    return made


# ---- clicks -----------------------------------------------------------------------------------


def square(y0: int, x0: int, side: int) -> np.ndarray:
    mask = np.zeros((30, 30), bool)
    mask[y0 : y0 + side, x0 : x0 + side] = True
    return mask


def test_correction_goes_to_the_larger_error() -> None:
    real = square(2, 2, 9)
    assert correction_click(real, real) is None
    assert correction_click(np.zeros_like(real), real) == (6, 6, 1)
    assert correction_click(real | square(15, 15, 11), real) == (20, 20, 0)
    assert correction_click(square(15, 15, 11), real) == (20, 20, 0)
    assert correction_click(square(15, 15, 7), real) == (6, 6, 1)
    assert correction_click(square(15, 15, 9), real)[2] == 1, "a tie is taken for missed"


# ---- protocols --------------------------------------------------------------------------------


def test_click_is_what_segment_does(case: Case, tracker: Tracker) -> None:
    outcome = run_protocol(case, "click", tracker)
    session = Session(case.movie, model=tracker.network, device="cpu")
    session.add_prompts(case.prompts)
    list(session.propagate())
    np.testing.assert_array_equal(outcome.labels, session.labels)
    judged = measure_accuracy(session.labels, truth(), starts={1: 0, 2: 1})
    assert outcome.accuracy == judged
    assert len(outcome.rounds) == 1
    assert outcome.object_frames == 3 + 2
    assert set(outcome.answers) == {(1, 0), (1, 1), (1, 2), (2, 1), (2, 2)}
    assert 0 < outcome.propagating <= outcome.seconds


def test_clicks3_adds_two_corrections_on_the_first_frame(
    case: Case, tracker: Tracker, prompted: list[Prompt], passes: list[Any]
) -> None:
    run_protocol(case, "clicks3", tracker)
    assert [(p.object_id, p.frame) for p in prompted] == [(1, 0)] * 3 + [(2, 1)] * 3
    for prompt in prompted:
        (y, x), label = prompt.points[0].astype(int), prompt.labels[0]
        assert case.mask(prompt.object_id, prompt.frame)[y, x] == label
    assert len(passes) == 1


def test_box_and_mask_are_the_truths(case: Case, tracker: Tracker, prompted: list[Prompt]) -> None:
    run_protocol(case, "box", tracker)
    assert [p.box for p in prompted] == [(7, 9, 18, 20), (28, 25, 39, 37)]
    prompted.clear()
    outcome = run_protocol(case, "mask", tracker)
    assert [int(p.mask.sum()) for p in prompted] == [
        np.sum(truth()[0] == 1),
        np.sum(truth()[1] == 2),
    ]
    first = [outcome.accuracy.objects[i].frame_j[t] for i, t in ((1, 0), (2, 1))]
    assert min(first) > 0.9


def test_interactive_corrects_the_worst_frame_of_each_object(
    case: Case, tracker: Tracker, prompted: list[Prompt], passes: list[Any]
) -> None:
    outcome = run_protocol(case, "interactive", tracker)
    assert len(outcome.rounds) == ROUNDS
    once = run_protocol(case, "click", tracker)
    assert outcome.rounds[0] == once.rounds[0]
    first_round = outcome.rounds[0].objects
    for prompt in prompted[2:4]:
        j = first_round[prompt.object_id].frame_j
        assert j[prompt.frame] == min(j.values())
    assert outcome.object_frames == sum(len(o) for one in passes[:ROUNDS] for _, o in one)
    # Every pass goes over the whole movie again, from the first prompts on.
    every = [(0, [1]), (1, [1, 2]), (2, [1, 2])]
    assert passes[:ROUNDS] == [every] * ROUNDS


def test_objects_without_errors_are_not_tracked_again(
    case: Case, tracker: Tracker, passes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari_sam_i2v.measure.protocols as protocols

    monkeypatch.setattr(protocols, "ROUNDS", 3)
    original = protocols._worst
    monkeypatch.setattr(protocols, "_worst", lambda r, i, o: original(r, i, o) if i == 2 else None)
    run_protocol(case, "interactive", tracker)
    assert len(passes) == 3
    for one in passes[1:]:
        assert one == [(1, [2]), (2, [2])]
    passes.clear()
    monkeypatch.setattr(protocols, "_worst", lambda *_: None)
    outcome = run_protocol(case, "interactive", tracker)
    assert len(passes) == 1
    assert len(outcome.rounds) == 3


@pytest.mark.parametrize("protocol", ["clicks3", "interactive"])
def test_twice_the_same(
    case: Case, tracker: Tracker, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam_i2v.measure.protocols.ROUNDS", 2)
    a, b = (run_protocol(case, protocol, tracker) for _ in range(2))
    np.testing.assert_array_equal(a.labels, b.labels)
    assert (a.rounds, a.answers, a.object_frames) == (b.rounds, b.answers, b.object_frames)


def test_the_truth_must_know_the_first_frame(tmp_path: Path) -> None:
    tiny.write_movie(tmp_path / "movie.tif", tiny.blobs(FRAMES))
    tifffile.imwrite(
        tmp_path / "labels.tif", truth(), photometric="minisblack", metadata={"axes": "TYX"}
    )
    tiny.write_clicks(tmp_path / "prompts.csv", ((1, 0, 12, 14), (2, 0, 33, 30)))
    case = load_case(tmp_path)
    for protocol in PROTOCOLS:
        if protocol in ("click", "interactive"):
            check_protocol(case, protocol)
            continue
        with pytest.raises(InputError, match=f"{protocol} needs the true mask of object 2 on fr"):
            check_protocol(case, protocol)


# ---- what is made of outcomes -----------------------------------------------------------------


def test_report_and_samples(case: Case, tracker: Tracker) -> None:
    outcome = run_protocol(case, "click", tracker)
    report = movie_report(outcome)
    objects = outcome.accuracy.objects
    assert report.j == outcome.accuracy.j
    assert report.first_j == pytest.approx((objects[1].frame_j[0] + objects[2].frame_j[1]) / 2)
    assert (report.absent, report.absent_empty) == (0, 0)
    found = samples(outcome)
    assert [(s.object_id, s.frame) for s in found] == [
        (1, 1), (1, 2), (2, 2)
    ]  # fmt: skip
    for one in found:
        assert (one.score, one.iou) == outcome.answers[one.object_id, one.frame]
        assert one.j == objects[one.object_id].frame_j[one.frame]


def test_gone_objects_answered_empty(tmp_path: Path, tracker: Tracker) -> None:
    """Object 1 is on frame 0 only: two frames without it, falsely present or answered empty."""
    labels = truth()
    labels[1:][labels[1:] == 1] = 0
    tiny.write_movie(tmp_path / "movie.tif", tiny.blobs(FRAMES))
    tifffile.imwrite(
        tmp_path / "labels.tif", labels, photometric="minisblack", metadata={"axes": "TYX"}
    )
    outcome = run_protocol(load_case(tmp_path), "mask", tracker)
    report = movie_report(outcome)
    found = sum(bool((outcome.labels[t] == 1).any()) for t in (1, 2))
    assert (report.absent, report.absent_empty) == (2, 2 - found)
    (tmp_path / "annotated_frames.txt").write_text("0 1")
    sparse = movie_report(run_protocol(load_case(tmp_path), "mask", tracker))
    assert (sparse.absent, sparse.absent_empty) == (None, None)


@pytest.mark.accuracy
@pytest.mark.slow
@pytest.mark.parametrize("name", ["cine_z3"])
def test_equals_the_development_score(shared_data: Path, name: str) -> None:
    """Embedded weights on a short real movie, judged by both definitions."""
    spec = importlib.util.spec_from_file_location("score", shared_data / "score.py")
    assert spec is not None
    assert spec.loader is not None
    score = importlib.util.module_from_spec(spec)
    sys.modules["score"] = score  # its dataclass looks itself up
    spec.loader.exec_module(score)
    tracker = Tracker(network=load_model("default", device="cpu"), device="cpu")
    outcome = run_protocol(load_case(shared_data / name), "click", tracker)
    theirs = score.score(score.load_case(shared_data / name), outcome.labels)
    ours = outcome.accuracy
    assert (ours.j, ours.f) == pytest.approx((theirs["J"], theirs["F"]))
    assert ours.tracked == theirs["tracked"]
    assert set(ours.objects) == set(theirs["objects"])
    for ident, one in ours.objects.items():
        entry = theirs["objects"][ident]
        assert (one.j, one.f) == pytest.approx((entry["J"], entry["F"]))
        assert (one.frames, one.false_presence) == (entry["frames"], entry["false_presence"])
