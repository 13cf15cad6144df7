"""A window that lags behind its worker, and a user who does not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from tests.propagation.fakes import BrightEngine
from tests.widget.test_tracking import (
    Told,
    brush,
    click,
    controller,
    drive,
    paint,
    planes,
    two,
    viewer,
)

from napari_sam_i2v.widget.object_jobs import painted_job
from napari_sam_i2v.widget.pace import TrackingError
from napari_sam_i2v.widget.tracking import TrackController

__all__ = ["controller", "viewer"]  # fixtures


def add(controller: TrackController, frame: int, y: float, x: float) -> None:
    """Click, and do not wait for the answer."""
    controller.go_to(frame)
    assert controller.prompt_layers is not None
    controller.prompt_layers.points.add([[frame, y, x]])


def meanwhile(controller: TrackController, *actions: Callable[[], object]) -> None:
    """Let the worker finish; the user does something before the window sees what it did."""
    events = list(controller.run())
    for action in actions:
        action()
    for event in events:
        controller.handle(event)
    drive(controller)


def shown(controller: TrackController) -> list[tuple[int, ...]]:
    """Object, frame, y, x of the clicks in the layer."""
    points = controller.prompt_layers.points
    ids = points.features["object_id"]
    return sorted(
        (int(i), *at.astype(int).tolist()) for i, at in zip(ids, points.data, strict=True)
    )


def kept(controller: TrackController) -> list[tuple[int, ...]]:
    """The same of the session's prompts."""
    prompts = [p for p in controller._desk.bench.session.prompts if p.points is not None]
    return sorted((p.object_id, p.frame, *p.points[0].astype(int).tolist()) for p in prompts)


def masked(controller: TrackController) -> list[tuple[int, int]]:
    """Object and frame of the session's painted prompts."""
    prompts = controller._desk.bench.session.prompts
    return [(p.object_id, p.frame) for p in prompts if p.mask is not None]


def test_a_click_before_an_undo_is_seen_stays(controller: TrackController) -> None:
    two(controller)
    controller.undo()
    meanwhile(controller, lambda: add(controller, 3, 16, 16))
    assert shown(controller) == kept(controller) == [(1, 0, 16, 10), (2, 3, 16, 16)]


def test_a_click_before_a_deletion_is_seen_stays(controller: TrackController) -> None:
    two(controller)
    controller.delete([1])
    meanwhile(controller, lambda: add(controller, 3, 48, 44))
    assert shown(controller) == kept(controller) == [(2, 0, 48, 50), (2, 3, 48, 44)]


def test_what_was_undone_does_not_come_back_with_the_next_click(
    controller: TrackController,
) -> None:
    click(controller, 0, 16, 10)
    click(controller, 0, 16, 11)
    controller.undo()
    meanwhile(controller, lambda: add(controller, 0, 16, 12))
    assert shown(controller) == kept(controller) == [(1, 0, 16, 10), (1, 0, 16, 12)]


def test_click_undo_click_in_one_go(controller: TrackController) -> None:
    """The step that is undone is the click before, not what was there before that."""
    click(controller, 0, 16, 10)
    add(controller, 0, 16, 11)
    controller.undo()
    add(controller, 0, 16, 12)
    add(controller, 0, 16, 13)
    drive(controller)
    assert shown(controller) == kept(controller)
    assert kept(controller) == [(1, 0, 16, 10), (1, 0, 16, 12), (1, 0, 16, 13)]


def test_clicks_that_wait_are_answered_as_one_and_none_is_lost(
    controller: TrackController,
) -> None:
    for x in (10, 11, 12):
        add(controller, 0, 16, x)
    points = controller.prompt_layers.points
    points.selected_data = {1}
    points.remove_selected()
    drive(controller)
    assert shown(controller) == kept(controller) == [(1, 0, 16, 10), (1, 0, 16, 12)]
    controller.undo()
    drive(controller)
    assert shown(controller) == kept(controller) == []


def test_a_click_right_after_a_stroke_goes_with_what_was_painted(
    controller: TrackController,
) -> None:
    click(controller, 0, 16, 10)
    y, x = (a.ravel() for a in np.mgrid[2:8, 2:8])
    paint(controller, 0, (y, x), 1)
    meanwhile(controller, lambda: add(controller, 0, 16, 12))
    assert masked(controller) == [(1, 0)]
    assert shown(controller) == kept(controller) == [(1, 0, 16, 12)]


def test_a_box_takes_the_place_of_a_stroke_that_is_not_seen_yet(
    controller: TrackController,
) -> None:
    click(controller, 0, 16, 10)
    paint(controller, 0, (np.arange(3), np.arange(3)), 1)
    box: Any = [[[0, 9, 3], [0, 9, 17], [0, 23, 17], [0, 23, 3]]]
    meanwhile(controller, lambda: controller.prompt_layers.boxes.add(box))
    assert masked(controller) == []
    assert controller.prompt_layers.boxes.nshapes == 1
    assert planes(controller)[0, 16, 10] == 1


def divide_both(controller: TrackController) -> None:
    """Two tracked objects are to divide on frame 6, into 3 and 4, and 5 and 6."""
    two(controller)
    controller.propagate()
    drive(controller)
    controller.go_to(6)
    controller.divide(1)
    controller.divide(2)


def test_ids_of_daughters_to_come_are_given_to_nobody_else(controller: TrackController) -> None:
    divide_both(controller)
    assert controller.new_object() == 7
    add(controller, 0, 30, 30)
    assert controller.new_object() == 8
    drive(controller)
    mothers = {row.object_id: row.mother for row in controller.rows()}
    assert mothers == {1: None, 2: None, 3: 1, 4: 1, 5: 2, 6: 2, 7: None, 8: None}
    assert controller.current_object == 8  # chosen after the divisions, before they were made


def test_the_second_daughter_is_current_if_nobody_chose_another(
    controller: TrackController,
) -> None:
    divide_both(controller)
    drive(controller)
    assert controller.current_object == 6


def test_labels_taken_twice_at_once_are_objects_of_their_own(
    controller: TrackController, viewer: ViewerModel
) -> None:
    y, x = np.mgrid[:64, :64]
    drawn = ((y - 16) ** 2 + (x - 10) ** 2 <= 36).astype(np.uint8)
    layer = viewer.add_labels(drawn[None].repeat(10, axis=0), scale=(2.0, 0.5, 0.5))
    controller.go_to(0)
    controller.take_prompts(layer)
    controller.take_prompts(layer)
    drive(controller)
    assert [(row.object_id, row.prompts) for row in controller.rows()] == [(1, 1), (2, 1)]


def test_an_object_is_deleted_though_its_click_waits(controller: TrackController) -> None:
    two(controller)
    controller.new_object()
    add(controller, 3, 16, 16)
    controller.delete([3])
    drive(controller)
    assert shown(controller) == kept(controller) == [(1, 0, 16, 10), (2, 0, 48, 50)]


def test_an_object_whose_click_waits_is_not_on_another_frame(controller: TrackController) -> None:
    add(controller, 3, 16, 16)
    controller.go_to(5)
    controller.mark_absent([1])
    drive(controller)
    assert controller.rows()[0].absent == (5,)


def test_a_click_that_waits_while_a_pass_fails_is_answered(
    controller: TrackController, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(controller)
    controller.propagate()
    with monkeypatch.context() as broken:

        def track(*_: Any, **__: Any) -> Any:
            add(controller, 3, 48, 44)
            raise RuntimeError("out of memory")

        broken.setattr(BrightEngine, "track", track)
        with pytest.raises(TrackingError) as caught:
            drive(controller)
    controller.failed(caught.value)
    assert not controller.tracking
    drive(controller)  # as the worker is started again for what is left
    assert shown(controller) == kept(controller)
    assert (2, 3, 48, 44) in kept(controller)
    assert planes(controller)[3, 48, 44] == 2


def test_what_is_said_of_a_pass_is_of_that_one(controller: TrackController) -> None:
    two(controller)
    controller.propagate()
    told, again = Told(controller), False
    for event in controller.run():
        controller.handle(event)
        if controller.progress[0] == 4 and not again:
            controller.cancel()
        if not controller.tracking and not again:
            again = True
            controller.propagate()
    controller.finished()
    assert told.notes == ["Cancelled. 4 frames tracked.", "Done. 6 frames tracked."]


def test_the_slider_stays_while_the_mouse_is_pressed(
    controller: TrackController, viewer: ViewerModel
) -> None:
    two(controller)
    event = SimpleNamespace(
        type="mouse_press", position=(0, 0, 0), is_dragging=True, modifiers=(), button=1
    )
    controller.propagate()
    seen: set[int] = set()
    for did in controller.run():
        controller.handle(did)
        done = controller.progress[0]
        if done == 3 and event.type == "mouse_press":
            mouse_press_callbacks(viewer, event)
        elif done == 6:
            event.type = "mouse_move"
            mouse_move_callbacks(viewer, event)
        elif done == 8:
            event.type = "mouse_release"
            mouse_release_callbacks(viewer, event)
        controller.draw(follow=True)
        seen.add(controller.frame)
    controller.finished()
    assert seen == {0, 1, 7, 8, 9}


def test_two_strokes_in_a_row_are_both_kept(controller: TrackController) -> None:
    two(controller)
    brush(controller, 4, ([5, 6], [5, 5]), 1)
    brush(controller, 4, ([40, 41], [5, 5]), 2)
    controller.take_stroke()
    drive(controller)
    assert masked(controller) == [(1, 4), (2, 4)]
    controller.undo()
    drive(controller)
    assert masked(controller) == [(1, 4)]
    assert planes(controller)[4, 5, 5] == 1
    assert not planes(controller)[4, 40, 5]


def test_a_stroke_stays_though_a_pass_writes_its_frame_then(controller: TrackController) -> None:
    """The frame is in work while the mouse is released; its answer comes a moment later."""
    two(controller)
    controller.propagate()
    stroke = None
    for event in controller.run():
        controller.handle(event)
        if controller.progress[0] == 3 and stroke is None:
            brush(controller, 3, ([2, 3], [2, 2]), 1)
            stroke = controller._stage.stroke()
        if controller.progress[0] == 4 and not masked(controller):
            controller._put(painted_job(stroke))
    controller.finished()
    assert masked(controller) == [(1, 3)]
    plane = planes(controller)[3]
    assert (plane[[2, 3], [2, 2]] == 1).all()
    assert (plane[16, 16], plane[48, 44]) == (1, 2)
