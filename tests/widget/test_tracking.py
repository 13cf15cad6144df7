"""The dock's controller without Qt: what is done in layers becomes labels, and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from napari.components import ViewerModel
from tests.network import tiny
from tests.propagation.fakes import BrightEngine, discs, only

from napari_sam_i2v.errors import InputError, OutputError, PromptError
from napari_sam_i2v.movies.lineage_notes import read_lineage
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.history import RecordedLabels
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.widget.opening import Kept, Opening
from napari_sam_i2v.widget.pace import TrackingError
from napari_sam_i2v.widget.tracking import TrackController
from napari_sam_i2v.workbench import Workbench

CENTRES = [[(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t)] for t in range(10)]


def bench_of(opening: Opening, kept: Kept) -> Workbench:
    session = Session(
        opening.movie, model=tiny.shared_fine(), device="cpu", view="follow",
        contrast=(0, 255), labels=RecordedLabels(kept.labels),
    )  # fmt: skip
    return Workbench(session, kept.folder, {"model": "tiny", **kept.settings})


class Told:
    """What a controller said."""

    def __init__(self, controller: TrackController) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        controller.problem.connect(self.problems.append)
        controller.note.connect(self.notes.append)


def drive(controller: TrackController, stop_after: int | None = None) -> None:
    """Do the worker's work here, as far as `stop_after` frames of a pass."""
    try:
        while controller.has_work:
            for event in controller.run():
                controller.handle(event)
                if stop_after is not None and controller.progress[0] >= stop_after:
                    controller.cancel()
    finally:
        controller.finished()


@contextmanager
def opened(
    viewer: ViewerModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrackController]:
    """A controller that has opened the layer "cells", and tracks by brightness."""
    monkeypatch.setattr(session_module, "Engine", BrightEngine)
    controller = TrackController(viewer, bench=bench_of)
    controller.open(viewer.layers["cells"], folder=folder)
    drive(controller)
    yield controller
    controller.close()


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    movie = discs(CENTRES, (64, 64), values=(200, 120))
    viewer.add_image(movie, name="cells", scale=(2.0, 0.5, 0.5), axis_labels=("t", "y", "x"))
    return viewer


@pytest.fixture
def controller(
    viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrackController]:
    with opened(viewer, tmp_path / "s.sam-i2v", monkeypatch) as controller:
        yield controller


def click(controller: TrackController, frame: int, y: float, x: float) -> None:
    """As napari's own add mode does it, at data pixels of the movie."""
    controller.go_to(frame)
    assert controller.prompt_layers is not None
    controller.prompt_layers.points.add([[frame, y, x]])
    drive(controller)


def two(controller: TrackController) -> None:
    click(controller, 0, 16, 10)
    controller.new_object()
    click(controller, 0, 48, 50)


def divided(controller: TrackController) -> None:
    """Two objects that were tracked; the second divides on frame 6, into 3 and 4."""
    two(controller)
    controller.propagate()
    drive(controller)
    controller.go_to(6)
    controller.divide(2)
    drive(controller)


def planes(controller: TrackController) -> np.ndarray:
    assert controller.labels is not None
    return np.asarray(controller.labels.data[:])


def brush(controller: TrackController, frame: int, where: tuple[Any, ...], new: int) -> None:
    """A stroke of which nobody has asked yet what it changed: a press, then the pixels."""
    layer = controller.labels
    assert layer is not None
    controller.go_to(frame)
    layer.mode = "paint"
    controller._stage.begin_stroke()
    y, x = (np.asarray(v) for v in where)
    layer.data_setitem((np.full(y.shape, frame), y, x), new)


def paint(controller: TrackController, frame: int, where: tuple[Any, ...], new: int) -> None:
    """A stroke, as napari's brush makes it: a press, the pixels, then the event."""
    brush(controller, frame, where, new)
    controller.take_stroke()


def test_a_pass_leaves_a_core_to_the_window_and_a_click_takes_all(
    controller: TrackController, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: dict[str, set[int]] = {"prompt": set(), "track": set()}

    def watch(name: str) -> None:
        original = getattr(BrightEngine, name)

        def watched(self: BrightEngine, *args: Any, **options: Any) -> Any:
            used[name].add(torch.get_num_threads())
            return original(self, *args, **options)

        monkeypatch.setattr(BrightEngine, name, watched)

    for name in used:
        watch(name)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        click(controller, 0, 16, 10)
        controller.propagate()
        drive(controller)
        assert used == {"prompt": {2}, "track": {1}}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_neither_qt_nor_torch_is_imported() -> None:
    code = (
        "import sys, napari_sam_i2v.widget.tracking\n"
        "print([name for name in ('qtpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_failing_engine_ends_the_pass_and_keeps_what_is_done(
    controller: TrackController, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(controller)
    original, count = BrightEngine.track, []

    def track(self: BrightEngine, *args: Any, **kwargs: Any) -> Any:
        count.append(1)
        if len(count) == 4:
            raise RuntimeError("CUDA out of memory")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(BrightEngine, "track", track)
    controller.propagate()
    with pytest.raises(TrackingError, match="ran out of memory"):
        drive(controller)
    assert not controller.busy
    assert planes(controller)[:4].any(axis=(1, 2)).all()
    controller.propagate()
    drive(controller)
    assert planes(controller)[9].any()


def test_a_click_is_answered_before_anything_is_tracked(controller: TrackController) -> None:
    click(controller, 3, 16, 16)
    assert only(planes(controller)[3], 1)[16, 16]
    assert not planes(controller)[[0, 1, 2, 4, 5]].any()
    row = controller.rows()[0]
    assert (row.object_id, row.prompts, row.state) == (1, 1, "not tracked")


def test_results_lie_where_the_calibrated_movie_lies(controller: TrackController) -> None:
    layer = controller.labels
    assert layer is not None
    np.testing.assert_array_equal(layer.scale, (2.0, 0.5, 0.5))
    assert layer.axis_labels == ("t", "y", "x")


def test_tracking_reports_progress_and_finishes(controller: TrackController) -> None:
    two(controller)
    told = Told(controller)
    controller.propagate()
    assert controller.tracking
    drive(controller)
    assert controller.progress == (10, 10)
    assert not controller.busy
    assert [row.state for row in controller.rows()] == ["tracked", "tracked"]
    assert told.notes[-1] == "Done. 10 frames tracked."
    assert all(only(planes(controller), i).any(axis=(1, 2)).all() for i in (1, 2))
    controller.propagate()
    drive(controller)
    assert told.notes[-1] == "Everything is tracked already."


def test_the_list_says_what_is_being_tracked(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    controller.current_object = 2
    click(controller, 5, 48, 40)
    assert [row.state for row in controller.rows()] == ["tracked", "changed"]
    states: list[list[str]] = []
    controller.objects_changed.connect(
        lambda: states.append([row.state for row in controller.rows()])
    )
    controller.propagate()
    drive(controller)
    assert states[0] == ["tracked", "tracking"]
    assert states[-1] == ["tracked", "tracked"]
    assert ["tracked", "changed"] not in states


def test_a_pass_that_failed_tracks_nothing_any_more(
    controller: TrackController, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(controller)

    def track(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(BrightEngine, "track", track)
    controller.propagate()
    listed: list[list[str]] = []
    controller.objects_changed.connect(
        lambda: listed.append([row.state for row in controller.rows()])
    )
    with pytest.raises(TrackingError) as caught:
        drive(controller)
    controller.failed(caught.value)
    assert ["tracking", "tracking"] in listed
    assert "tracking" not in listed[-1]


def test_cancel_keeps_what_is_done_and_track_goes_on(controller: TrackController) -> None:
    two(controller)
    told = Told(controller)
    controller.propagate()
    drive(controller, stop_after=4)
    assert told.notes[-1] == "Cancelled. 4 frames tracked."
    assert planes(controller)[3].any()
    assert not planes(controller)[4].any()
    controller.propagate()
    drive(controller)
    assert controller.progress == (6, 6)
    assert planes(controller)[9].any()


def test_a_click_during_a_pass_is_answered_and_the_pass_goes_on(
    controller: TrackController,
) -> None:
    two(controller)
    controller.propagate()
    seen = []
    for event in controller.run():
        controller.handle(event)
        seen.append(type(event).__name__)
        if controller.progress[0] == 3 and "Wrote" not in seen:
            controller.new_object()
            controller.prompt_layers.points.add([[8, 16, 26]])
    assert planes(controller)[9].any()
    first_click = seen.index("Wrote")
    assert seen[first_click - 1] == "Passed"
    assert "Passed" in seen[first_click:]
    assert controller.rows()[2].state == "tracked"


def test_only_the_corrected_object_is_tracked_again(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    before = planes(controller)
    controller.current_object = 2
    click(controller, 5, 48, 40)
    assert [row.state for row in controller.rows()] == ["tracked", "changed"]
    controller.propagate()
    drive(controller)
    np.testing.assert_array_equal(only(planes(controller), 1), only(before, 1))
    assert controller.progress == (5, 5)


def test_deleting_one_click_and_undoing_it(controller: TrackController) -> None:
    two(controller)
    points = controller.prompt_layers.points
    points.selected_data = {0}
    points.remove_selected()
    drive(controller)
    assert [row.object_id for row in controller.rows()] == [2]
    assert not only(planes(controller), 1).any()
    controller.undo()
    drive(controller)
    assert len(points.data) == 2
    assert only(planes(controller)[0], 1).any()
    controller.redo()
    drive(controller)
    assert len(points.data) == 1


def test_undo_and_redo_wait_for_the_end_of_a_pass(controller: TrackController) -> None:
    two(controller)
    controller.undo()
    controller.redo()
    drive(controller)
    controller.propagate()
    drive(controller, stop_after=3)
    told, painted = Told(controller), False
    controller.propagate()
    for event in controller.run():
        controller.handle(event)
        if controller.progress[0] == 2 and not painted:
            painted = True
            paint(controller, 0, (np.arange(3), np.arange(3)), 1)
            controller.undo()
            controller.redo()
    assert told.problems == ["Cancel first, then undo.", "Cancel first, then redo."]
    assert planes(controller)[:, 16, :].any(axis=1).all()
    assert (planes(controller)[0, [0, 1, 2], [0, 1, 2]] == 1).all()
    controller.undo()  # now it is possible
    drive(controller)
    assert told.problems == ["Cancel first, then undo.", "Cancel first, then redo."]


def test_undo_and_redo_name_what_they_do(controller: TrackController) -> None:
    assert controller.undo_name is None
    click(controller, 0, 16, 10)
    assert controller.undo_name == "prompt of object 1"
    controller.undo()
    drive(controller)
    assert (controller.undo_name, controller.redo_name) == (None, "prompt of object 1")
    assert len(controller.prompt_layers.points.data) == 0


def test_painting_makes_a_mask_prompt_that_sticks(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    y, x = (a.ravel() for a in np.mgrid[2:8, 2:8])
    paint(controller, 4, (y, x), 1)
    drive(controller)
    assert only(planes(controller)[4], 1)[2:8, 2:8].all()
    controller.propagate()
    drive(controller)
    assert only(planes(controller)[4], 1)[2:8, 2:8].all()
    controller.undo()
    controller.undo()
    drive(controller)
    assert not planes(controller)[4][2:8, 2:8].any()


def test_erasing_is_a_correction_of_who_lost_pixels(controller: TrackController) -> None:
    two(controller)
    y, x = np.nonzero(only(planes(controller)[0], 1))
    half = x < 10
    paint(controller, 0, (y[half], x[half]), 0)
    drive(controller)
    assert controller.rows()[0].prompts == 1
    assert not only(planes(controller)[0], 1)[:, :10].any()
    assert only(planes(controller)[0], 1).any()


def test_paint_on_a_locked_object_is_put_back_and_said(controller: TrackController) -> None:
    two(controller)
    controller.lock_objects([1], True)
    drive(controller)
    before, told = planes(controller), Told(controller)
    paint(controller, 0, (np.arange(3), np.arange(3)), 1)
    drive(controller)
    np.testing.assert_array_equal(planes(controller), before)
    assert told.problems == ["Object 1 is locked: unlock it first."]
    controller.current_object = 1
    click(controller, 2, 16, 14)
    assert len(controller.prompt_layers.points.data) == 2  # the refused click is gone again


def test_a_locked_object_keeps_its_pixels_when_another_is_painted_over_it(
    controller: TrackController,
) -> None:
    two(controller)
    controller.lock_objects([1], True)
    drive(controller)
    before, told = planes(controller), Told(controller)
    y, x = (a.ravel() for a in np.mgrid[10:22, 10:30])  # half of it on object 1
    paint(controller, 0, (y, x), 2)
    drive(controller)
    painted = planes(controller)
    np.testing.assert_array_equal(only(painted, 1), only(before, 1))
    assert (painted[0, 10:22, 20:30] == 2).all()
    assert told.notes[-1] == (
        "Object 2 was painted on what object 1 has, which is locked: only what is left is "
        "painted. To paint there, unlock it first."
    )
    assert told.problems == []
    controller.undo()
    drive(controller)
    np.testing.assert_array_equal(planes(controller), before)
    paint(controller, 0, (np.array([40]), np.array([40])), 2)  # beside it: no more to be said
    drive(controller)
    assert told.notes[-1] == ""


def test_painting_that_is_all_on_a_locked_object_is_no_prompt(controller: TrackController) -> None:
    two(controller)
    controller.lock_objects([1], True)
    drive(controller)
    before, step = planes(controller), controller.undo_name
    paint(controller, 0, (np.array([15, 16]), np.array([10, 10])), 2)
    drive(controller)
    np.testing.assert_array_equal(planes(controller), before)
    assert controller.undo_name == step
    assert not any(prompt.mask is not None for prompt in controller._stood.prompts)


def test_an_eraser_over_a_free_and_a_locked_object_takes_the_free_one_s_pixels(
    controller: TrackController,
) -> None:
    two(controller)
    controller.lock_objects([2], True)
    drive(controller)
    before, told = planes(controller), Told(controller)
    places = (np.array([16, 17, 48, 49]), np.array([10, 10, 50, 50]))
    paint(controller, 0, places, 0)
    drive(controller)
    expected = before.copy()
    expected[0, 16:18, 10] = 0
    np.testing.assert_array_equal(planes(controller), expected)
    assert told.problems == ["Object 2 is locked: unlock it first."]
    masks = {p.object_id: p.mask for p in controller._stood.prompts if p.mask is not None}
    assert [*masks] == [1]
    np.testing.assert_array_equal(masks[1], expected[0] == 1)
    controller.undo()
    drive(controller)
    np.testing.assert_array_equal(planes(controller), before)


def test_nothing_of_a_stroke_stays_on_a_locked_frame(controller: TrackController) -> None:
    two(controller)
    controller.go_to(0)
    controller.lock_frame(True)
    drive(controller)
    before, told, step = planes(controller), Told(controller), controller.undo_name
    for new in (0, 2):
        y, x = (a.ravel() for a in np.mgrid[10:50, 8:52])
        paint(controller, 0, (y, x), new)
        drive(controller)
        np.testing.assert_array_equal(planes(controller), before)
    assert told.problems == ["Frame 0 is locked: unlock it first."] * 2
    assert controller.undo_name == step


def test_a_box_beside_the_movie_is_said_and_changes_nothing(controller: TrackController) -> None:
    boxes = controller.prompt_layers.boxes
    boxes.add([[0, 8, 2], [0, 8, 18], [0, 24, 18], [0, 24, 2]])
    drive(controller)
    controller.propagate()
    drive(controller)
    before, told, step = planes(controller), Told(controller), controller.undo_name
    boxes.add([[0, -9, 2], [0, -9, 18], [0, -3, 18], [0, -3, 2]])
    drive(controller)
    np.testing.assert_array_equal(planes(controller), before)
    assert controller.undo_name == step
    assert told.problems == [
        "The new box (y -9.0 to -3.0, x 2.0 to 18.0) lies outside the movie of 10 frames of "
        "64 × 64 pixels. Draw it on the movie."
    ]


def test_a_click_beside_the_movie_is_said_once_and_one_moved_there_stays(
    controller: TrackController,
) -> None:
    two(controller)
    before, told, step = planes(controller), Told(controller), controller.undo_name
    click(controller, 0, -9, 2)
    points = controller.prompt_layers.points
    points.data = np.add(points.data, [[0, 0, 0], [0, 90, 0]])
    drive(controller)
    np.testing.assert_array_equal(planes(controller), before)
    assert controller.undo_name == step
    where = "lies outside the movie of 10 frames of 64 × 64 pixels."
    assert told.problems == [
        f"The new click (y -9.0, x 2.0) {where} Click on the movie.",
        f"Click 2 (object 2) (y 138.0, x 50.0) {where} It stays where it was.",
    ]
    click(controller, 0, 17, 11)
    assert len(told.problems) == 2


def test_a_brush_paints_on_the_frame_on_screen_only(controller: TrackController) -> None:
    two(controller)
    controller.go_to(2)
    layer = controller.labels
    layer.n_edit_dimensions = 3
    assert layer.n_edit_dimensions == 2
    layer.mode, layer.brush_size = "paint", 7
    controller._stage.begin_stroke()
    layer.paint((2, 32, 32), 2)
    controller.take_stroke()
    drive(controller)
    painted = planes(controller) == 2
    assert painted[2, 32, 32]
    assert not painted[[1, 3]].any()
    controller.close()
    layer.n_edit_dimensions = 3
    assert layer.n_edit_dimensions == 3


def test_a_click_that_finds_nothing_says_so_until_one_finds_something(
    controller: TrackController,
) -> None:
    told = Told(controller)
    click(controller, 0, 2, 60)
    assert not planes(controller)[0].any()
    assert told.notes[-1] == (
        "Nothing was found for object 1 on frame 0: click nearer to its middle, draw a box around "
        "it, or paint it."
    )
    click(controller, 1, 16, 12)
    assert planes(controller)[1].any()
    assert told.notes[-1] == ""
    controller.propagate()
    drive(controller)
    click(controller, 2, 16, 14)
    assert told.notes[-1].endswith("frames tracked.")
    assert told.problems == []


def test_what_is_said_after_a_passing_note_stays(controller: TrackController) -> None:
    told = Told(controller)
    click(controller, 0, 2, 60)
    assert told.notes[-1].startswith("Nothing was found for object 1")
    controller.next_suspicious(1)
    click(controller, 1, 16, 12)
    assert told.notes[-1] == "No doubtful frame after this."


def test_a_click_on_what_another_object_was_tracked_to_says_what_to_do(
    controller: TrackController,
) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    before, told = planes(controller), Told(controller)
    first, second = ((np.argwhere(before[4] == i).mean(axis=0)) for i in (1, 2))
    controller.new_object()
    click(controller, 4, *first)
    assert told.notes[-1] == (
        "Object 3 was found on what object 1 was tracked to: only what is left is shown. "
        "If object 1 is not there, choose it, Ctrl-click there, and track."
    )
    np.testing.assert_array_equal(planes(controller) == 1, before == 1)
    controller.lock_objects([2], True)
    controller.new_object()
    click(controller, 4, *second)
    assert told.notes[-1] == (
        "Object 4 was found on what object 2 has, which is locked: only what is left is shown."
    )
    assert told.problems == []


def test_a_click_on_what_nobody_has_says_nothing(controller: TrackController) -> None:
    told = Told(controller)
    two(controller)
    controller.propagate()
    drive(controller)
    click(controller, 4, 48, 42)  # of object 2, whose own it is
    assert [note for note in told.notes if "was found on" in note] == []


def test_not_here_and_a_click_that_takes_it_back(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    before, told = planes(controller), Told(controller)
    controller.go_to(5)
    controller.mark_absent([1])
    drive(controller)
    assert told.notes[-1] == "Object 1: not on frame 5. Track goes on from there."
    assert not only(planes(controller)[5], 1).any()
    assert [row.not_here for row in controller.rows()] == [True, False]
    assert controller.not_here == {1}
    controller.go_to(6)
    assert not any(row.not_here for row in controller.rows())
    controller.current_object = 1
    click(controller, 5, 16, 20)
    assert only(planes(controller)[5], 1)[16, 20]
    assert [row.absent for row in controller.rows()] == [(), ()]
    controller.undo()
    drive(controller)
    assert [row.absent for row in controller.rows()] == [(5,), ()]
    controller.go_to(5)
    controller.mark_absent([1, 77])  # once more: it is here
    controller.propagate()
    drive(controller)
    assert (planes(controller) != before).mean() < 0.005  # outlines by another window
    with pytest.raises(PromptError, match="Choose an object that was clicked on"):
        controller.mark_absent([77])


def test_not_here_replaces_clicks_and_works_in_the_middle_of_a_pass(
    controller: TrackController,
) -> None:
    two(controller)
    click(controller, 5, 48, 40)
    controller.propagate()
    drive(controller, stop_after=3)
    controller.go_to(5)
    controller.propagate()
    for event in controller.run():
        controller.handle(event)
        if controller.progress[0] == 1 and 2 not in controller.not_here:
            controller.mark_absent([2])
    assert len(controller.prompt_layers.points.data) == 2  # the click on frame 5 is gone
    assert not only(planes(controller)[5], 2).any()
    assert only(planes(controller)[6:], 2).any(axis=(1, 2)).all()


def test_what_a_file_cannot_hold_is_said(controller: TrackController, tmp_path: Path) -> None:
    two(controller)
    controller.go_to(5)
    controller.mark_absent([1])
    told = Told(controller)
    controller.save_prompts(tmp_path / "prompts.csv")
    controller.save_prompts(tmp_path / "prompts.json")
    drive(controller)
    assert told.problems == [
        "CSV holds points only; object 1 on frame 5 is marked “not here”: write .json"
    ]
    saved = read_prompts(tmp_path / "prompts.json")
    assert [(p.object_id, p.frame) for p in saved if p.absent] == [(1, 5)]


def test_swap_merge_divide_and_delete(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    before = planes(controller)
    controller.go_to(6)
    controller.swap(1, 2)
    drive(controller)
    np.testing.assert_array_equal(only(planes(controller)[6:], 1), only(before[6:], 2))
    controller.divide(2)
    drive(controller)
    assert controller.current_object == 4
    assert {row.object_id: row.mother for row in controller.rows()} == {1: None, 2: None, 3: 2,
                                                                       4: 2}  # fmt: skip
    controller.merge([3, 2], 2)
    controller.delete([1])
    drive(controller)
    assert [row.object_id for row in controller.rows()] == [2, 4]
    with pytest.raises(PromptError, match="two or more"):
        controller.merge([2], 2)


def test_a_division_that_is_refused_is_not_announced(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    controller.lock_objects([2], True)
    drive(controller)
    told = Told(controller)
    controller.divide(2)
    drive(controller)
    assert "locked" in told.problems[-1]
    assert not any("daughter" in note for note in told.notes)
    assert controller.current_object == 2
    assert [row.object_id for row in controller.rows()] == [1, 2]


def test_a_daughter_that_is_undone_is_not_current_any_more(controller: TrackController) -> None:
    divided(controller)
    assert controller.current_object == 4
    controller.undo()
    drive(controller)
    assert controller.current_object == 3
    assert [row.object_id for row in controller.rows()] == [1, 2, 3]
    click(controller, 6, 16, 22)
    assert [row.object_id for row in controller.rows()] == [1, 2, 3]


def test_a_pass_over_one_frame_says_so(controller: TrackController) -> None:
    click(controller, 0, 16, 10)
    told = Told(controller)
    controller.propagate(span=range(3, 4))
    drive(controller)
    assert told.notes[-1] == "Done. 1 frame tracked."


def test_locking_the_frame_on_screen(controller: TrackController) -> None:
    two(controller)
    controller.go_to(4)
    controller.lock_frame(True)
    drive(controller)
    assert controller.frame_locked
    controller.propagate()
    drive(controller)
    assert not planes(controller)[4].any()
    controller.go_to(5)
    assert not controller.frame_locked


def test_here_tracks_again_from_the_frame_on_screen(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    controller.go_to(7)
    controller.propagate(span="here")
    drive(controller)
    assert controller.progress == (3, 3)


def test_the_slider_follows_a_pass_to_its_very_end(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    controller.draw(follow=True)
    assert controller.frame == 9
    controller.go_to(3)
    controller.draw(follow=True)
    assert controller.frame == 3


def test_nothing_to_track_is_said(controller: TrackController) -> None:
    with pytest.raises(PromptError, match="Click on each object once"):
        controller.propagate()


def test_layers_of_the_user_become_prompts(
    controller: TrackController, viewer: ViewerModel
) -> None:
    seeds = np.zeros((64, 64), np.uint16)
    seeds[12:20, 6:14], seeds[44:52, 46:54] = 7, 9
    layer = viewer.add_labels(seeds, scale=(0.5, 0.5), name="nuclei of frame 0")
    assert layer in controller.prompt_sources()
    controller.go_to(0)
    controller.take_prompts(layer)
    drive(controller)
    assert [row.object_id for row in controller.rows()] == [1, 7, 9]
    np.testing.assert_array_equal(planes(controller)[0], seeds)
    controller.undo()
    drive(controller)
    assert not planes(controller).any()


def test_curves_and_the_next_doubtful_frame(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    curves = controller.curves([1, 2, 99])
    assert [c.object_id for c in curves] == [1, 2]
    assert np.isfinite(curves[0].area).all()
    told = Told(controller)
    controller.go_to(9)
    controller.next_suspicious(1)
    assert told.notes == ["No doubtful frame after this."]


def test_a_pass_is_not_over_before_all_of_it_was_handled(controller: TrackController) -> None:
    """The worker may be far ahead of a window that is slow: what it did is still to be drawn."""
    two(controller)
    controller.propagate()
    changes: list[tuple[bool, int]] = []
    controller.go_to(0)
    controller.busy_changed.connect(lambda busy: changes.append((busy, controller.progress[0])))
    events = list(controller.run())
    assert not controller.has_work
    for event in events:
        controller.handle(event)
        assert controller.busy
    controller.finished()
    assert not controller.busy
    assert changes == [(False, 10)]
    controller.draw(follow=True)
    assert controller.frame == 9
    controller.go_to(3)
    controller.draw(follow=True)
    assert controller.frame == 3  # nothing is left that would move the slider again


def test_a_movie_removed_at_the_end_of_a_job_is_left_after_it(
    controller: TrackController, viewer: ViewerModel
) -> None:
    click(controller, 0, 16, 10)
    controller.new_object()
    controller.prompt_layers.points.add([[0, 48, 50]])
    work = controller.run()
    next(work)  # the job is out of the queue, and not done
    viewer.layers.remove("cells")
    assert controller.opened
    for event in work:
        controller.handle(event)
    controller.finished()
    assert not controller.opened


def test_closing_and_opening_again_restores_everything(
    controller: TrackController, viewer: ViewerModel
) -> None:
    two(controller)
    controller.rename(2, "the dim one")
    controller.propagate()
    drive(controller, stop_after=4)
    before, folder = planes(controller), controller.folder
    controller.close()
    assert not controller.opened
    for layer in list(viewer.layers)[1:]:
        viewer.layers.remove(layer)
    told = Told(controller)
    controller.open(viewer.layers["cells"], folder=folder)
    drive(controller)
    assert told.notes[-1] == f"Reopened the session in {folder}."  # and not “Loading the model…”
    np.testing.assert_array_equal(planes(controller), before)
    assert len(controller.prompt_layers.points.data) == 2
    assert controller.rows()[1].name == "the dim one"
    assert controller.in_use == {"model": "tiny"}
    controller.propagate()
    drive(controller)
    assert controller.progress == (6, 6)
    controller.close()
    assert controller.in_use == {}


def test_opening_again_takes_the_place_of_the_labels_that_were_left(
    controller: TrackController, viewer: ViewerModel
) -> None:
    """They would go on showing what is deleted later."""
    two(controller)
    folder, left = controller.folder, controller.labels
    left.name, left.opacity, left.contour = "mine", 0.3, 2
    names = [layer.name for layer in viewer.layers]
    controller.close()
    controller.open(viewer.layers["cells"], folder=folder)
    drive(controller)
    assert [layer.name for layer in viewer.layers] == names
    assert left not in viewer.layers and controller.labels.editable
    assert (controller.labels.opacity, controller.labels.contour) == (0.3, 2)
    controller.close()
    controller.open(viewer.layers["cells"], folder=folder.with_name("other.sam-i2v"))
    drive(controller)
    assert "mine" in viewer.layers and controller.labels.name == "cells tracked"
    assert not controller.rows()[0].prompts


def test_painting_needs_a_frame_on_screen(controller: TrackController, viewer: ViewerModel) -> None:
    """In other views a stroke would go through many frames, of which one is answered."""
    controller.arm("point")
    viewer.dims.ndisplay = 3
    assert not controller.labels.editable
    with pytest.raises(PromptError, match="show it in 2D, y down and x across"):
        controller.arm("paint")
    assert controller.in_hand is None
    viewer.dims.ndisplay = 2
    controller.arm("paint")
    assert controller.in_hand == "paint"
    viewer.dims.roll()
    assert controller.in_hand is None and not controller.labels.editable
    viewer.dims.roll()
    viewer.dims.roll()
    viewer.dims.transpose()
    assert controller.labels.editable
    controller.close()
    viewer.dims.roll()
    viewer.dims.roll()
    assert not viewer.layers["cells tracked"].editable


def test_painting_needs_the_plane_that_is_tracked(
    controller: TrackController, viewer: ViewerModel, tmp_path: Path
) -> None:
    data = np.stack([discs(CENTRES, (64, 64), values=(120, 200))] * 3, axis=1)
    image = viewer.add_image(data, name="volume", axis_labels=("t", "z", "y", "x"))
    viewer.dims.set_point(1, 1)
    controller.open(image, folder=tmp_path / "volume.sam-i2v")
    drive(controller)
    assert controller.labels.editable
    viewer.dims.set_point(1, 2)
    assert not controller.labels.editable
    with pytest.raises(PromptError, match="with z at 1"):
        controller.arm("paint")
    viewer.dims.set_point(1, 1)
    assert controller.labels.editable


def test_paint_paints_though_the_background_was_picked(controller: TrackController) -> None:
    two(controller)
    controller.labels.selected_label = 0
    controller.arm("paint")
    assert controller.labels.selected_label == controller.current_object


def test_removing_our_labels_closes_the_session(
    controller: TrackController, viewer: ViewerModel
) -> None:
    told, folder = Told(controller), controller.folder
    viewer.layers.remove(controller.labels)
    drive(controller)
    assert not controller.opened
    assert told.notes == [f"The session was closed; it is kept in {folder}."]


def test_removing_our_labels_in_a_pass_says_where_the_session_is_kept(
    controller: TrackController, viewer: ViewerModel
) -> None:
    two(controller)
    told, folder, opened = Told(controller), controller.folder, []
    controller.opened_changed.connect(lambda: opened.append(len(told.notes)))
    controller.propagate()
    for event in controller.run():
        controller.handle(event)
        if controller.progress[0] == 3 and controller.labels in viewer.layers:
            viewer.layers.remove(controller.labels)
    assert controller.opened  # until the worker has ended
    controller.finished()
    assert not controller.opened
    assert told.notes[opened[-1] :] == [f"The session was closed; it is kept in {folder}."]
    assert sum(note.startswith("The session") for note in told.notes) == 1


def test_a_closed_controller_listens_no_more(
    controller: TrackController, viewer: ViewerModel, tmp_path: Path
) -> None:
    removed, image = viewer.layers.events.removed, viewer.layers["cells"]
    listening = len(removed.callbacks)
    controller.close()
    assert len(removed.callbacks) == listening - 1
    controller.close()
    controller.open(image, folder=tmp_path / "s.sam-i2v")
    assert len(removed.callbacks) == listening
    drive(controller)
    viewer.layers.remove(controller.labels)
    drive(controller)
    assert len(removed.callbacks) == listening - 1


def test_saving_gives_the_files_of_the_command_line(
    controller: TrackController, viewer: ViewerModel, tmp_path: Path
) -> None:
    two(controller)
    controller.propagate()
    controller.save_labels(tmp_path / "labels.tif")
    controller.save_prompts(tmp_path / "prompts.json")
    controller.save_measurements(tmp_path / "table.csv")
    controller.add_tracks()
    drive(controller)
    controller.save_labels(tmp_path / "labels.tif")
    drive(controller)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), planes(controller))
    assert [p.object_id for p in read_prompts(tmp_path / "prompts.json")] == [1, 2]
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 2
    tracks = viewer.layers["cells tracks"]
    np.testing.assert_array_equal(tracks.scale, (2.0, 0.5, 0.5))


def test_tracks_that_are_added_again_take_the_place_of_those_before(
    controller: TrackController, viewer: ViewerModel
) -> None:
    two(controller)
    controller.add_tracks()
    drive(controller)
    viewer.layers["cells tracks"].visible = False
    viewer.add_image(np.zeros((4, 4)), name="mine")
    names, active = [layer.name for layer in viewer.layers], viewer.layers.selection.active
    controller.propagate()
    drive(controller)
    controller.add_tracks()
    drive(controller)
    assert [layer.name for layer in viewer.layers] == names
    tracks = viewer.layers["cells tracks"]
    assert len(tracks.data) == 2 * 10
    assert not tracks.visible
    assert viewer.layers.selection.active is active


def test_exports_for_other_tools_carry_divisions(
    controller: TrackController, tmp_path: Path
) -> None:
    divided(controller)
    controller.save_export("ctc", tmp_path / "01_RES")
    controller.save_labels(tmp_path / "labels.tif")
    drive(controller)
    assert read_lineage(tmp_path / "01_RES")[3] == (2, 6)
    assert read_lineage(tmp_path / "labels.tif") == {3: (2, 6), 4: (2, 6)}
    with pytest.raises(OutputError, match="there already, and not empty; choose another name"):
        controller.save_export("ctc", tmp_path / "01_RES")


def test_a_division_is_proposed_and_accepted(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    drive(controller)
    told = Told(controller)
    controller.find_divisions()
    drive(controller)
    assert (controller.proposals, told.notes[-1]) == ([], "No object falls into two lasting parts.")
    store = controller._kept_now().folder.labels
    for t in range(4, 9):
        plane = store[t]
        plane[:6, :6] = 1
        store[t] = plane
    controller.find_divisions()
    drive(controller)
    (proposal,) = controller.proposals
    assert (proposal.object_id, proposal.frame) == (1, 4)
    assert (controller.frame, controller.current_object) == (4, 1)
    whole = planes(controller)[4] == 1
    controller.accept_proposal(proposal)
    drive(controller)
    assert {row.object_id: row.mother for row in controller.rows()} == {1: None, 2: None, 3: 1,
                                                                       4: 1}  # fmt: skip
    after = planes(controller)[4]
    assert not (after == 1).any()
    np.testing.assert_array_equal((after == 3) | (after == 4), whole)
    assert (after == 3).sum() >= (after == 4).sum() == 36
    assert controller.proposals == []
    assert controller.current_object == 3
    assert told.notes[-1].startswith("Object 1 divides into 3 and 4 on frame 4.")
    controller.undo()
    drive(controller)
    np.testing.assert_array_equal(planes(controller)[4] == 1, whole)
    controller.accept_proposal(replace(proposal, frame=2))
    drive(controller)
    assert "not in two parts on frame 2" in told.problems[-1]
    assert {row.mother for row in controller.rows()} == {None}


def test_a_fixed_z_of_a_volume_is_tracked_and_shown_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "Engine", BrightEngine)
    viewer = ViewerModel()
    movie = np.stack([np.zeros((10, 64, 64), np.uint8), discs(CENTRES, (64, 64), values=(200, 120)),
                      np.zeros((10, 64, 64), np.uint8)], axis=1)  # fmt: skip
    image = viewer.add_image(movie, name="volume", axis_labels=("t", "z", "y", "x"))
    viewer.dims.set_point(1, 1)
    controller = TrackController(viewer, bench=bench_of)
    controller.open(image, folder=tmp_path / "z.sam-i2v")
    controller.prompt_layers.points.add([[0, 1, 16, 10]])
    controller.propagate()
    drive(controller)
    assert controller.labels.data.shape == (10, 1, 64, 64)
    np.testing.assert_array_equal(controller.labels.translate, (0, 1, 0, 0))
    assert controller.labels.data[9, 0].any()
    folder = controller.folder
    controller.close()
    viewer.layers.remove(viewer.layers["volume tracked"])
    controller.open(image, folder=folder)
    drive(controller)
    assert controller.labels.data[9, 0].any()
    controller.close()


def test_two_controllers_do_not_disturb_each_other(
    controller: TrackController, tmp_path: Path
) -> None:
    other_viewer = ViewerModel()
    other_viewer.add_image(discs(CENTRES, (64, 64), values=(120, 200)), name="cells")
    other = TrackController(other_viewer, bench=bench_of)
    other.open(other_viewer.layers["cells"], folder=tmp_path / "other.sam-i2v")
    drive(other)
    click(controller, 0, 16, 10)
    drive(other)
    assert not np.asarray(other.labels.data[:]).any()
    assert [row.prompts for row in other.rows()] == [0]
    other.close()


def test_an_answer_that_comes_late_is_dropped(controller: TrackController) -> None:
    controller.prompt_layers.points.add([[0, 30, 30]])
    controller.prompt_layers.points.add([[0, 16, 10]])
    work, wrote = controller.run(), 0
    for event in work:
        controller.handle(event)
        wrote += type(event).__name__ == "Wrote"
    assert wrote == 1  # the two clicks are one job, the older was never begun


def test_the_object_under_the_pointer_becomes_current(
    controller: TrackController, viewer: ViewerModel
) -> None:
    two(controller)
    viewer.cursor.position = (0.0, 8.0, 5.0)
    controller.select_at_cursor()
    assert controller.current_object == 1


def test_a_label_picked_in_napari_becomes_the_current_object(controller: TrackController) -> None:
    two(controller)
    controller.labels.selected_label = 1
    assert controller.current_object == 1
    assert controller.prompt_layers.current_object == 1


def test_nothing_is_saved_into_the_sessions_folder(controller: TrackController) -> None:
    two(controller)
    for name in ("labels.zarr", "more/labels.zarr"):
        with pytest.raises(InputError, match="in the session's own folder"):
            controller.save_labels(controller.folder / name)
