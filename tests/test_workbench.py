"""A session at work is kept on disk after every change, can be undone, and is gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.history import RecordedLabels
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.session_folder import SessionFolder
from napari_sam_i2v.snapshots import Snapshots
from napari_sam_i2v.workbench import Workbench
from tests.network import tiny
from tests.propagation.fakes import BrightEngine, discs, only

CENTRES = [[(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t)] for t in range(10)]
Open = Callable[[Path], Workbench]


@pytest.fixture
def bench_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a workbench on two discs that pass each other; all are closed in the end."""
    monkeypatch.setattr(session_module, "Engine", BrightEngine)
    with opening(tiny.shared_fine()) as build:
        yield build


@contextmanager
def opening(model: SamI2V) -> Iterator[Open]:
    opened: list[SessionFolder] = []

    def build(path: Path) -> Workbench:
        if path.exists():
            folder = SessionFolder.open(path)
        else:
            folder = SessionFolder.create(
                path, shape=(10, 64, 64), scale=(1, 1, 1), units=("s", "um", "um"), movie={}
            )
        opened.append(folder)
        session = Session(
            discs(CENTRES, (64, 64), values=(200, 120)), model=model, device="cpu",
            view="follow", contrast=(0, 255), labels=RecordedLabels(folder.labels),
        )  # fmt: skip
        return Workbench(session, folder, {"model": "tiny"})

    try:
        yield build
    finally:
        for folder in opened:
            folder.close()


def click(object_id: int, frame: int, y: float, x: float) -> list[Prompt]:
    return [Prompt(object_id, frame, points=np.array([[y, x]]))]


def planes(bench: Workbench) -> np.ndarray:
    return np.stack([bench.session.labels[t] for t in range(10)])


@pytest.fixture
def bench(bench_at: Open, tmp_path: Path) -> Workbench:
    bench = bench_at(tmp_path / "a.sam-i2v")
    bench.set_prompts(1, 0, click(1, 0, 16, 10))
    bench.set_prompts(2, 0, click(2, 0, 48, 50))
    return bench


def again(bench: Workbench, bench_at: Open) -> Workbench:
    """The same folder, opened as after a restart."""
    path = bench.folder.path
    bench.folder.close()
    return bench_at(path)


def facts(bench: Workbench) -> dict[str, Any]:
    session = bench.session
    return {
        "labels": planes(bench).tobytes(),
        "status": bench.status(),
        "pending": (session.pending("forward"), session.pending("backward")),
        "prompts": [(p.object_id, p.frame, p.correction) for p in session.prompts],
        "locks": session.locks.as_plain(),
        "kin": (session.lives, session.lineage),
    }


def test_a_click_is_answered_at_once_and_can_be_deleted(bench: Workbench) -> None:
    assert only(planes(bench)[0], 1)[16, 10]
    bench.set_prompts(1, 0, [])
    assert bench.session.object_ids == (2,)
    assert not only(planes(bench), 1).any()
    bench.undo()
    assert only(planes(bench)[0], 1)[16, 10]
    assert bench.session.object_ids == (2, 1)


def test_an_answer_that_nobody_wants_any_more_is_dropped(bench: Workbench) -> None:
    before = planes(bench)
    assert not bench.set_prompts(1, 3, click(1, 3, 16, 16), wanted=lambda: False)
    np.testing.assert_array_equal(planes(bench), before)
    assert bench.session.prompts.frames(1) == (0, 3)


def test_reopening_gives_back_everything(bench: Workbench, bench_at: Open) -> None:
    list(bench.propagate("both"))
    bench.set_prompts(1, 5, click(1, 5, 16, 20))
    list(bench.divide(2, frame=7, daughters=[3, 4]))
    bench.lock_objects([3], locked=True)
    bench.lock_frames([9], locked=True)
    before = facts(bench)
    assert facts(again(bench, bench_at)) == before


@pytest.mark.parametrize("frame", [3, 8])
def test_what_is_to_be_tracked_again_says_nothing_of_how_sure_an_object_is(
    bench: Workbench, bench_at: Open, frame: int
) -> None:
    list(bench.propagate("both"))
    sure = bench.session.confidence.sureness(1)
    bench.set_prompts(1, frame, click(1, frame, 16, 20))
    counting = [*sure[:frame], bench.session.confidence.sureness(1)[frame]]
    for one in (bench, again(bench, bench_at)):
        assert one.status()[0].confidence == pytest.approx(min(counting), abs=1e-6)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_kill_in_the_middle_of_a_pass_loses_nothing_done(
    bench: Workbench, bench_at: Open, tmp_path: Path, direction: str
) -> None:
    if direction == "backward":
        for object_id, y, x in ((1, 16, 28), (2, 48, 32)):
            bench.set_prompts(object_id, 0, [])
            bench.set_prompts(object_id, 9, click(object_id, 9, y, x))
    results = bench.propagate(direction)  # type: ignore[arg-type]
    done = [next(results).frame for _ in range(4)]
    shutil.copytree(bench.folder.path, tmp_path / "b.sam-i2v")  # what a killed program leaves
    (tmp_path / "b.sam-i2v" / "lock.json").unlink()
    other = bench_at(tmp_path / "b.sam-i2v")
    np.testing.assert_array_equal(planes(other)[done], planes(bench)[done])
    rest = [r.frame for r in other.propagate(direction)]  # type: ignore[arg-type]
    assert {*done, *rest} == {*range(10)}
    list(results)
    np.testing.assert_array_equal(planes(other), planes(bench))
    assert all(only(planes(other), i).any(axis=(1, 2)).all() for i in (1, 2))


@pytest.mark.parametrize("frame", [9, 5])
def test_a_kill_in_the_backward_half_loses_nothing_done(
    bench: Workbench, bench_at: Open, tmp_path: Path, frame: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last frame there is no forward half but the prompt itself."""
    monkeypatch.setattr(Snapshots, "due", True)
    for object_id, y, x in ((1, 16, 10 + 2 * frame), (2, 48, 50 - 2 * frame)):
        bench.set_prompts(object_id, 0, [])
        bench.set_prompts(object_id, frame, click(object_id, frame, y, x))
    results = bench.propagate("both")
    for result in results:
        if result.frame == 2 and result.reverse:
            break
    shutil.copytree(bench.folder.path, tmp_path / "b.sam-i2v")
    (tmp_path / "b.sam-i2v" / "lock.json").unlink()
    other = bench_at(tmp_path / "b.sam-i2v")
    assert other.session.progress(reverse=True).pending == {1: 8, 2: 8}
    assert [r.frame for r in other.propagate("both")] == [1, 0]
    list(results)
    np.testing.assert_array_equal(planes(other), planes(bench))


@pytest.mark.parametrize("done", [1, 4, 8])
def test_after_a_kill_the_network_goes_on_to_the_same_labels(tmp_path: Path, done: int) -> None:
    """With the embedded network, which remembers more than a brightness: byte for byte."""
    with opening(load_model(device="cpu")) as build:
        bench = build(tmp_path / "a.sam-i2v")
        bench.set_prompts(1, 0, click(1, 0, 16, 10))
        bench.set_prompts(2, 0, click(2, 0, 48, 50))
        results = bench.propagate("forward")
        for _ in range(done):
            next(results)
        shutil.copytree(bench.folder.path, tmp_path / "b.sam-i2v")
        (tmp_path / "b.sam-i2v" / "lock.json").unlink()
        list(results)
        other = build(tmp_path / "b.sam-i2v")
        list(other.propagate("forward"))
        np.testing.assert_array_equal(planes(other), planes(bench))
        assert all(only(planes(other), i).any(axis=(1, 2)).all() for i in (1, 2))


def test_what_was_remembered_counts_only_with_the_prompts_of_then(
    bench: Workbench, bench_at: Open, tmp_path: Path
) -> None:
    list(bench.propagate("forward"))
    memory = shutil.copytree(bench.folder.path / "memory", tmp_path / "memory")
    bench.set_prompts(1, 0, click(1, 0, 18, 12))
    shutil.rmtree(bench.folder.path / "memory")
    shutil.copytree(memory, bench.folder.path / "memory")
    other = again(bench, bench_at)
    assert other.session.memories(1) == (None, None)
    assert other.session.memories(2)[0] is not None
    assert other.session.pending("forward") == (1,)


def test_stopping_a_pass_is_one_step_to_undo_and_to_go_on_from(bench: Workbench) -> None:
    before = planes(bench)
    results = bench.propagate("forward")
    for _ in range(4):
        next(results)
    results.close()
    assert bench.history.undo_name == "tracking"
    assert [r.frame for r in bench.propagate("forward")] == [4, 5, 6, 7, 8, 9]
    bench.undo()
    bench.undo()
    np.testing.assert_array_equal(planes(bench), before)
    assert bench.session.pending() == (1, 2)


def test_undo_survives_in_the_folder(bench: Workbench, bench_at: Open) -> None:
    list(bench.propagate("forward"))
    before = facts(bench)
    list(bench.swap(1, 2, frame=4))
    bench.undo()
    assert facts(again(bench, bench_at)) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda bench: list(bench.swap(1, 2, frame=2)),
        lambda bench: list(bench.merge([3], into=1)),
        lambda bench: list(bench.divide(1, frame=3, daughters=[5, 6])),
        lambda bench: bench.remove([1]),
    ],
)
def test_who_came_of_whom_is_kept_and_undone(
    bench: Workbench, bench_at: Open, edit: Callable[[Workbench], None]
) -> None:
    list(bench.propagate("forward"))
    list(bench.divide(1, frame=6, daughters=[3, 4]))
    kin = [(bench.session.lives.copy(), bench.session.lineage.copy())]
    edit(bench)
    kin.append((bench.session.lives.copy(), bench.session.lineage.copy()))
    assert kin[0] != kin[1]
    for step, known in ((bench.undo, kin[0]), (bench.redo, kin[1])):
        step()
        assert (bench.session.lives, bench.session.lineage) == known
    opened = again(bench, bench_at).session
    assert (opened.lives, opened.lineage) == kin[1]


def test_painting_is_taken_as_it_is_and_undone(bench: Workbench) -> None:
    list(bench.propagate("forward"))
    before = planes(bench)
    painted = before[5].copy()
    painted[2:7, 2:9] = 1
    bench.folder.labels[5] = painted  # as a brush does: behind the session's back
    bench.paint(1, 5, before=before[5])
    np.testing.assert_array_equal(planes(bench)[5], painted)
    assert bench.session.pending() == (1,)
    list(bench.propagate("forward"))
    np.testing.assert_array_equal(only(planes(bench)[5], 1), painted == 1)
    np.testing.assert_array_equal(only(planes(bench), 2), only(before, 2))
    bench.undo()
    bench.undo()
    np.testing.assert_array_equal(planes(bench), before)


def areas(bench: Workbench, object_id: int) -> list[float]:
    """Told areas, each of which must be what the labels have; NaN becomes -1."""
    told = bench.session.confidence.area(object_id)
    known = np.isfinite(told)
    counted = (planes(bench) == object_id).sum(axis=(1, 2))
    np.testing.assert_array_equal(told[known], counted[known])
    return np.nan_to_num(told, nan=-1).tolist()  # type: ignore[no-any-return]


def test_areas_are_those_in_the_labels_through_painting_undo_and_reopening(
    bench: Workbench, bench_at: Open
) -> None:
    list(bench.propagate("forward"))
    before = planes(bench)
    was = areas(bench, 2)
    painted = before[5].copy()
    painted[:, 40:][painted[:, 40:] == 2] = 1
    bench.folder.labels[5] = painted
    bench.paint(1, 5, before=before[5])
    less = areas(bench, 2)
    assert 0 < less[5] < was[5]
    bench.undo()
    assert areas(bench, 2) == was
    bench.redo()
    assert areas(bench, 2) == less
    bench = again(bench, bench_at)
    assert areas(bench, 2) == less
    assert areas(again(bench, bench_at), 2) == less


def test_areas_are_those_in_the_labels_where_an_older_answer_counts_again(
    bench: Workbench, bench_at: Open
) -> None:
    bench.set_prompts(1, 9, click(1, 9, 16, 28))
    list(bench.propagate("backward"))
    list(bench.propagate("forward"))
    told = areas(bench, 1)
    bench.set_prompts(1, 1, click(1, 1, 16, 12))  # that pass does not count any more
    assert areas(again(bench, bench_at), 1)[2:9] == told[2:9]


def test_a_frame_that_cannot_be_read_does_not_keep_a_session_from_opening(
    bench: Workbench, bench_at: Open
) -> None:
    list(bench.propagate("forward"))
    told = areas(bench, 1)
    (bench.folder.path / "labels.zarr" / "0" / "c" / "5" / "0" / "0").write_bytes(b"\0")
    opened = again(bench, bench_at)
    assert opened.session.confidence.area(1).tolist() == told


def test_an_answer_goes_with_the_prompt_that_only_it_came_from(
    bench: Workbench, bench_at: Open
) -> None:
    bench.set_prompts(2, 6, click(2, 6, 48, 38))
    assert areas(bench, 2)[6] > 0
    bench.set_prompts(2, 6, [])
    assert areas(bench, 2)[6] == -1
    assert np.isnan(bench.session.confidence.of(2)[6])
    bench.undo()
    assert areas(bench, 2)[6] > 0
    bench.redo()
    assert areas(again(bench, bench_at), 2)[6] == -1


def test_removing_and_merging_objects(bench: Workbench, bench_at: Open) -> None:
    list(bench.propagate("forward"))
    before = planes(bench)
    list(bench.merge([2], into=1))
    np.testing.assert_array_equal(planes(bench) == 1, before > 0)
    bench.remove([1])
    assert not planes(bench).any()
    assert bench.status() == ()
    bench.undo()
    bench.undo()
    np.testing.assert_array_equal(planes(bench), before)
    assert [s.object_id for s in again(bench, bench_at).status()] == [1, 2]


def test_not_here_is_undone_kept_and_taken_back(bench: Workbench, bench_at: Open) -> None:
    list(bench.propagate("forward"))
    tracked = planes(bench)
    bench.mark_absent([1, 2], 5)
    assert bench.history.undo_name == "“not here” of object 1, 2"
    assert not planes(bench)[5].any()
    assert [s.absent for s in bench.status()] == [(5,), (5,)]
    assert bench.session.pending() == (1, 2)
    marked = facts(bench)
    bench.undo()
    np.testing.assert_array_equal(planes(bench), tracked)
    assert bench.session.pending() == ()
    bench.redo()
    assert facts(bench) == marked
    bench = again(bench, bench_at)
    assert facts(bench)["labels"] == marked["labels"]
    assert [s.absent for s in bench.status()] == [(5,), (5,)]
    list(bench.propagate("forward"))
    assert not planes(bench)[5].any()
    assert all(only(planes(bench)[6:], i).any(axis=(1, 2)).all() for i in (1, 2))
    bench.mark_absent([1], 5, absent=False)
    list(bench.propagate("forward"))
    assert only(planes(bench)[5], 1).any()
    assert not only(planes(bench)[5], 2).any()


def test_areas_are_those_of_the_labels(bench: Workbench, bench_at: Open) -> None:
    """Objects 2 and 3 claim the same disc; 1 is painted over, then merged."""
    bench.set_prompts(3, 0, click(3, 0, 48, 50))
    list(bench.propagate("forward"))
    before = planes(bench)[5]
    painted = before.copy()
    painted[14:24, 14:18] = 2
    bench.folder.labels[5] = painted
    bench.paint(2, 5, before=before)

    def check(known: Workbench) -> None:
        for object_id in known.session.object_ids:
            found = only(planes(known), object_id).sum(axis=(1, 2))
            np.testing.assert_array_equal(known.session.confidence.area(object_id), found)

    check(bench)
    list(bench.merge([1], into=2))
    check(bench)
    check(again(bench, bench_at))


def test_an_absence_does_not_spoil_the_least_confidence(bench: Workbench) -> None:
    list(bench.propagate("forward"))
    sure, other = bench.session.confidence.sureness(1), bench.status()[1].confidence
    bench.mark_absent([1], 5)  # what comes after it is to be tracked again
    assert [s.confidence for s in bench.status()] == [pytest.approx(min(sure[:5])), other]


def test_not_here_needs_a_frame_where_the_object_is(bench: Workbench) -> None:
    with pytest.raises(PromptError, match="Object 1 is pointed at on no frame but 0"):
        bench.mark_absent([1], 0)
    bench.lock_frames([4], locked=True)
    with pytest.raises(PromptError, match="Frame 4 is locked"):
        bench.mark_absent([1], 4)
    assert [s.absent for s in bench.status()] == [(), ()]


def test_locks_refuse_prompts_and_paint(bench: Workbench) -> None:
    bench.lock_objects([1], locked=True)
    with pytest.raises(PromptError, match="Object 1 is locked"):
        bench.set_prompts(1, 0, [])
    bench.lock_frames([4], locked=True)
    with pytest.raises(PromptError, match="Frame 4 is locked"):
        bench.paint(2, 4)
    with pytest.raises(PromptError, match="Object 1 is locked"):
        bench.remove([1])


def test_a_stroke_over_two_objects_is_one_step_to_undo(bench: Workbench) -> None:
    list(bench.propagate("forward"))
    before, was = planes(bench), facts(bench)
    erased = np.zeros_like(before[4])
    bench.folder.labels[4] = erased
    bench.paint([1, 2], 4, before=before[4])
    assert [status.absent for status in bench.status()] == [(4,), (4,)]
    bench.undo()
    assert facts(bench) == was
    bench.redo()
    assert not planes(bench)[4].any()
    assert [status.absent for status in bench.status()] == [(4,), (4,)]


def test_here_again_is_refused_whole_where_a_locked_frame_would_change(bench: Workbench) -> None:
    list(bench.propagate("forward"))
    bench.mark_absent([1], 3)
    bench.lock_frames([5], locked=True)
    bench.session.prompts.clear(1, 0)  # "not here" is all that is said of it
    before, undone = facts(bench), bench.history.undo_name
    with pytest.raises(PromptError, match="Frame 5 is locked"):
        bench.mark_absent([1], 3, absent=False)
    assert facts(bench) == before
    assert bench.history.undo_name == undone


def test_nothing_is_erased_from_a_locked_frame(bench: Workbench) -> None:
    list(bench.propagate("forward"))
    bench.lock_frames([5], locked=True)
    before, undone = facts(bench), bench.history.undo_name
    for erase in (
        lambda: bench.remove([2, 1]),
        lambda: bench.set_prompts(1, 0, []),  # its last prompt
    ):
        with pytest.raises(PromptError, match="Frame 5 is locked: unlock it"):
            erase()
    assert facts(bench) == before
    assert bench.history.undo_name == undone
    bench.lock_frames([5], locked=False)
    bench.remove([2, 1])
    assert not planes(bench).any()


def test_a_prompted_frame_that_was_tracked_is_known_to_be_after_reopening(
    bench: Workbench, bench_at: Open
) -> None:
    list(bench.propagate("forward"))
    bench.set_prompts(1, 5, click(1, 5, 16, 20))
    list(bench.propagate("forward"))
    bench.set_prompts(1, 7, click(1, 7, 16, 24))  # not tracked anew yet
    for _ in range(2):
        bench = again(bench, bench_at)
        done = [bench.session.progress().was_tracked(1, frame) for frame in (0, 5, 7, 8)]
        assert done == [True, True, False, False]
    before = planes(bench)
    bench.set_prompts(1, 5, [])
    np.testing.assert_array_equal(planes(bench), before)  # tracked, and to be tracked again


def test_an_answer_is_known_after_undo_redo_and_reopening(bench: Workbench, bench_at: Open) -> None:
    sure = bench.session.confidence.sureness(2)[0]
    bench.undo()
    bench.redo()
    assert again(bench, bench_at).session.confidence.sureness(2)[0] == pytest.approx(sure, abs=1e-6)


def test_many_objects_are_added_in_one_step(bench: Workbench) -> None:
    new = [*click(5, 2, 16, 14), *click(6, 2, 48, 46)]
    assert list(bench.add(new, "clicks of a layer")) == [2, 2]
    assert bench.session.object_ids == (1, 2, 5, 6)
    bench.undo()
    assert bench.session.object_ids == (1, 2)
    assert not planes(bench)[2].any()
