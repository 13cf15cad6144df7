"""What is corrected, added or tracked again changes nothing else; through the dock's controller.

Every pass is compared byte by byte with the labels before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from tests.propagation.fakes import BrightEngine, discs, only
from tests.widget.test_tracking import Told, bench_of, click, drive, planes
from torch import Tensor

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.answer import Answer
from napari_sam_i2v.propagation.view import View
from napari_sam_i2v.widget.tracking import TrackController

CENTRES = [
    [(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t), (32.0, 20.0 + t), (8.0, 44.0)] for t in range(10)
]
VALUES = (200, 120, 160, 80)


class LatestEngine(BrightEngine):
    """Goes by the latest frame that it remembers, so that a correction counts."""

    def track(
        self,
        features: Sequence[Tensor],
        views: Sequence[View],
        recalled: Sequence[Any],
        *rest: Any,
    ) -> list[Answer]:
        latest = [
            (bank, replace(selection, frames=tuple(sorted(selection.frames, reverse=True))))
            for bank, selection in recalled
        ]
        return super().track(features, views, latest, *rest)


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackController]:
    """Three of four objects, clicked on the first frame and tracked to the end."""
    monkeypatch.setattr(session_module, "Engine", LatestEngine)
    viewer = ViewerModel()
    image = viewer.add_image(discs(CENTRES, (64, 64), values=VALUES), name="cells")
    controller = TrackController(viewer, bench=bench_of)
    controller.open(image, folder=tmp_path / "s.sam-i2v")
    for number in range(3):
        controller.current_object = number + 1
        click(controller, 0, *CENTRES[0][number])
    controller.propagate()
    drive(controller)
    yield controller
    controller.close()


def wrong(controller: TrackController, object_id: int, frame: int) -> None:
    """A click on the fourth disc: from there on, the object is that one."""
    controller.current_object = object_id
    click(controller, frame, *CENTRES[frame][3])


def track(controller: TrackController, **options: object) -> None:
    controller.propagate(**options)  # type: ignore[arg-type]
    drive(controller)


@pytest.mark.parametrize("locked", [False, True])
def test_a_corrected_object_leaves_every_other_byte(
    controller: TrackController, locked: bool
) -> None:
    before = planes(controller)
    if locked:
        controller.lock_objects([2, 3], True)
        drive(controller)
    wrong(controller, 1, 4)
    track(controller)
    after = planes(controller)
    np.testing.assert_array_equal(np.where(after == 1, 0, after), np.where(before == 1, 0, before))
    np.testing.assert_array_equal(after[:4], before[:4])
    for frame in range(4, 10):
        y, x = map(int, CENTRES[frame][3])
        assert after[frame, y, x] == 1


def test_locked_objects_are_left_out_of_a_pass_over_everything(
    controller: TrackController,
) -> None:
    controller.lock_objects([1, 2], True)
    drive(controller)
    before = planes(controller)
    controller.current_object = 3
    click(controller, 4, *CENTRES[4][0])  # on object 1, which is locked
    controller.go_to(0)
    track(controller, span="here")
    after = planes(controller)
    for object_id in (1, 2):
        np.testing.assert_array_equal(only(after, object_id), only(before, object_id))
    assert (only(after, 3) != only(before, 3)).any()


def test_a_locked_frame_keeps_every_byte_and_is_tracked_through(
    controller: TrackController,
) -> None:
    before = planes(controller)
    controller.go_to(6)
    controller.lock_frame(True)
    wrong(controller, 1, 4)
    track(controller)
    after = planes(controller)
    np.testing.assert_array_equal(after[6], before[6])
    assert (after[4:6, 8, 44] == 1).all()
    assert only(after[7:], 1).any(axis=(1, 2)).all()
    assert [row.state for row in controller.rows()] == ["tracked"] * 3


@pytest.mark.parametrize(
    ("options", "on_screen", "expected"),
    [
        ({"span": range(5, 8)}, 0, (5, 6, 7)),
        ({"span": "here"}, 7, (7, 8, 9)),
        ({"span": "movie"}, 0, (5, 6, 7, 8, 9)),
        ({"span": "movie", "until": "prompted"}, 0, (5, 6, 7)),
    ],
)  # fmt: skip
def test_only_the_frames_asked_for_are_tracked_again(
    controller: TrackController, options: dict, on_screen: int, expected: tuple[int, ...]
) -> None:
    controller.current_object = 1
    click(controller, 8, *CENTRES[8][0])  # right, and where "until prompted" ends
    track(controller)
    before = planes(controller)
    wrong(controller, 1, 4)
    controller.go_to(on_screen)
    track(controller, objects=[1], **options)
    after = planes(controller)
    changed = {int(t) for t in np.flatnonzero((after != before).any(axis=(1, 2)))}
    assert changed - {4} == {t for t in expected if t < 8}
    assert controller.progress[0] >= len([t for t in expected if t < 8])


def test_until_a_locked_frame_leaves_all_after_it(controller: TrackController) -> None:
    before = planes(controller)
    controller.go_to(7)
    controller.lock_frame(True)
    wrong(controller, 1, 4)
    track(controller, until="prompted")
    after = planes(controller)
    np.testing.assert_array_equal(after[7:], before[7:])
    assert (after[5:7, 8, 44] == 1).all()


def test_an_object_added_later_is_tracked_alone(controller: TrackController) -> None:
    before = planes(controller)
    assert controller.new_object() == 4
    click(controller, 6, *CENTRES[6][3])
    assert only(planes(controller)[6], 4)[8, 44]
    track(controller)
    assert controller.progress[0] == 4  # frames 6 to 9, though the others are there from 0 on
    after = planes(controller)
    np.testing.assert_array_equal(np.where(after == 4, 0, after), before)
    assert (after[6:, 8, 44] == 4).all()
    assert not only(after[:6], 4).any()
    track(controller, direction="backward")
    assert (planes(controller)[:, 8, 44] == 4).all()
    np.testing.assert_array_equal(np.where(planes(controller) == 4, 0, planes(controller)), before)


def test_only_the_chosen_objects_are_tracked(controller: TrackController) -> None:
    before = planes(controller)
    wrong(controller, 1, 4)
    controller.current_object = 2
    click(controller, 4, *CENTRES[4][3])
    middle = planes(controller)
    track(controller, objects=[2])
    after = planes(controller)
    np.testing.assert_array_equal(only(after, 1)[5:], only(before, 1)[5:])
    np.testing.assert_array_equal(only(after, 1)[:4], only(middle, 1)[:4])
    assert {row.object_id: row.state for row in controller.rows()}[1] == "changed"


def test_cancel_lets_no_further_frame_through(controller: TrackController) -> None:
    """Cancelled while a frame is in work: that one is finished, none is begun."""
    controller.go_to(0)
    controller.propagate(span="here")
    engine = controller._desk.bench.session.engine
    looked: list[int] = []
    for event in controller.run():
        controller.handle(event)
        if controller.progress[0] == 3 and not looked:
            controller.cancel()
            looked.append(len(engine.looked))
    controller.finished()
    assert len(engine.looked) == looked[0]
    assert controller.progress == (3, 10)
    assert not controller.tracking


def test_a_newer_click_makes_an_answer_in_work_void(
    controller: TrackController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second click comes while the network is busy with the first."""
    points = controller.prompt_layers.points
    original, seen = BrightEngine.prompt, []

    def prompt(self: BrightEngine, *args: object, **kwargs: object) -> object:
        seen.append(1)
        if len(seen) == 1:
            points.data = np.vstack([points.data[:-1], [[6, *CENTRES[6][0]]]])
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    controller.current_object = 1
    controller.go_to(6)
    monkeypatch.setattr(BrightEngine, "prompt", prompt)
    before, wrote = planes(controller), []
    points.add([[6, *CENTRES[6][3]]])
    for event in controller.run():
        controller.handle(event)
        wrote.append(planes(controller)[6].tobytes())
    assert len(seen) > 1
    assert not any(np.frombuffer(p, before.dtype).reshape(64, 64)[8, 44] == 1 for p in wrote)
    assert planes(controller)[6][16, 22] == 1


def test_what_is_locked_refuses_prompts_with_a_sentence(controller: TrackController) -> None:
    controller.lock_objects([1], True)
    controller.go_to(5)
    controller.lock_frame(True)
    drive(controller)
    before, told = planes(controller), Told(controller)
    wrong(controller, 1, 4)
    wrong(controller, 2, 5)
    assert told.problems == [
        "Object 1 is locked: unlock it first.",
        "Frame 5 is locked: unlock it first.",
    ]
    np.testing.assert_array_equal(planes(controller), before)


def test_the_list_has_the_colours_of_the_labels(controller: TrackController) -> None:
    labels = controller.labels
    assert labels is not None
    for row in controller.rows():
        np.testing.assert_allclose(row.colour, labels.get_color(row.object_id), atol=1e-6)
    assert len({row.colour for row in controller.rows()}) == 3


def test_shuffled_colours_are_those_of_clicks_and_list_too(controller: TrackController) -> None:
    labels, points, listed = controller.labels, controller.prompt_layers.points, []
    assert labels is not None
    before, step = points.face_color.copy(), controller.undo_name
    controller.objects_changed.connect(lambda: listed.extend(controller.rows()[:1]))
    labels.new_colormap(seed=3)
    assert not controller.busy  # nothing was edited
    assert controller.undo_name == step
    assert not np.allclose(points.face_color, before)
    for object_id, colour in zip(points.features["object_id"], points.face_color, strict=True):
        np.testing.assert_allclose(colour, labels.get_color(object_id), atol=1e-6)
    np.testing.assert_allclose(listed[-1].colour, labels.get_color(1), atol=1e-6)
    controller.close()
    listening, shown = len(listed), points.face_color.copy()
    labels.new_colormap(seed=4)
    assert len(listed) == listening
    np.testing.assert_array_equal(points.face_color, shown)
