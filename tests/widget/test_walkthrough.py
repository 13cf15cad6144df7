"""The whole way in a real window, with real mouse events on the canvas and a real worker thread.

Click -> preview -> track -> cancel -> continue -> correct -> add an object -> paint -> undo ->
save -> close -> reopen. The engine tracks by brightness, so that a pass takes no time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from tests.propagation.fakes import BrightEngine, discs, only
from tests.widget.on_screen import drawn_canvas
from tests.widget.quiet import deprecations_of_ours
from tests.widget.test_dock import notifications
from tests.widget.test_tracking import bench_of, drive

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.widget.dock import TrackWidget
from napari_sam_i2v.widget.tracking import TrackController

pytestmark = pytest.mark.gui

FRAMES = 12
CENTRES = [[(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t), (32.0, 32.0)] for t in range(FRAMES)]
ZOOM = 6.0


STAND = 4
"""Frame on which a pass stands still until it may go on: so many are done before it."""


class StandingEngine(BrightEngine):
    """Stands on a frame until it may go on, so that there is a middle of every first pass."""

    may_go_on: Callable[[], bool]

    def track(self, *args: Any, **kwargs: Any) -> Any:
        deadline = time.monotonic() + 600
        while self._index == STAND and not self.may_go_on():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return super().track(*args, **kwargs)


class Desk:
    """A window with a calibrated movie and the dock."""

    def __init__(self, viewer: Any, qtbot: Any, folder: Path) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        movie = discs(CENTRES, (64, 64), values=(200, 120, 160))
        self.image = viewer.add_image(movie, name="cells", scale=(1, 0.5, 0.5))
        self.controller = TrackController(viewer, bench=bench_of)
        self.dock = TrackWidget(viewer, controller=self.controller)
        self.dock.choices.choose(folder=folder)
        viewer.window.add_dock_widget(self.dock, name="SAM-I2V")
        self.canvas = drawn_canvas(qtbot)
        viewer.dims.set_point(0, 0)
        self.look()

    def look(self) -> None:
        self.viewer.scene.camera.zoom = 2 * ZOOM
        self.viewer.scene.camera.center = (0, 16, 16)
        QApplication.processEvents()

    def at(self, y: float, x: float) -> QPoint:
        middle = self.canvas.rect()
        dy, dx = ((v - 32) * ZOOM for v in (y, x))
        return QPoint(round(middle.width() / 2 + dx), round(middle.height() / 2 + dy))

    def click(self, y: float, x: float) -> None:
        self.qtbot.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=self.at(y, x))

    def press(self, button: Any) -> None:
        assert button.isEnabled(), button.text()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def idle(self) -> None:
        self.qtbot.wait(30)  # what a click began is queued by now
        self.qtbot.waitUntil(lambda: not self.controller.busy and not self.dock.work.running)

    def begin_pass(self) -> None:
        """Track a click, as far as the frame on which a pass stands."""
        self.dock.press_tool("point")
        self.idle()
        self.controller.prompt_layers.points.add([[0, 16, 10]])
        self.idle()
        self.dock.track()
        self.qtbot.waitUntil(lambda: self.controller.progress[0] == STAND)

    @property
    def planes(self) -> np.ndarray:
        return np.asarray(self.controller.labels.data[:])


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Lets the engine go on."""
    event = threading.Event()
    monkeypatch.setattr(StandingEngine, "may_go_on", staticmethod(event.is_set), raising=False)
    yield event
    event.set()


@pytest.fixture
def desk(make_napari_viewer_proxy, qtbot, tmp_path, monkeypatch, go_on) -> Desk:
    monkeypatch.setattr(session_module, "Engine", StandingEngine)
    return Desk(make_napari_viewer_proxy(show=True), qtbot, tmp_path / "cells.sam-i2v")


@pytest.fixture
def quiet(desk: Desk, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fail if anything is printed, or a deprecated call is made, while the test goes on."""
    capfd.readouterr()  # what starting napari wrote
    with deprecations_of_ours() as deprecated, notifications() as errors:
        yield
    assert not deprecated
    assert not errors
    assert capfd.readouterr() == ("", "")


def test_the_whole_way(desk: Desk, tmp_path: Path, quiet: None, go_on: threading.Event) -> None:
    dock, controller = desk.dock, desk.controller

    # Prompt: the masks of the clicked frame are there before anything is tracked.
    dock.press_tool("point")
    desk.idle()
    desk.look()
    desk.click(16, 10)
    desk.idle()
    assert only(desk.planes[0], 1)[16, 10]
    dock.new_object()
    desk.click(48, 50)
    desk.idle()
    assert only(desk.planes[0], 2)[48, 50]
    assert not desk.planes[1:].any()

    # Track, and cancel in the middle.
    dock.track()
    desk.qtbot.waitUntil(lambda: controller.progress[0] == STAND)
    dock.cancel()
    go_on.set()
    desk.idle()
    done = controller.progress[0]
    assert done == STAND + 1, "the frame in work is finished"
    assert desk.planes[:done].any(axis=(1, 2)).all()
    assert not desk.planes[done:].any()

    # Continue.
    dock.track()
    desk.idle()
    assert controller.progress == (FRAMES - done, FRAMES - done)
    tracked = desk.planes
    assert all(only(tracked, i).any(axis=(1, 2)).all() for i in (1, 2))

    # Correct object 1 on frame 6: it is tracked again from there, nothing else changes.
    controller.go_to(6)
    controller.current_object = 1
    desk.click(16, 22)
    desk.idle()
    dock.track()
    desk.idle()
    np.testing.assert_array_equal(only(desk.planes, 2), only(tracked, 2))
    np.testing.assert_array_equal(desk.planes[:6], tracked[:6])

    # Add an object in the middle of the movie.
    before = desk.planes
    controller.go_to(6)  # the slider had followed the pass
    dock.new_object()
    desk.click(32, 32)
    desk.idle()
    assert only(desk.planes[6], 3).any()
    np.testing.assert_array_equal(np.where(desk.planes == 3, 0, desk.planes) > 0,
                                  (before > 0) & (desk.planes != 3))  # fmt: skip

    # Paint with the brush: a mask prompt.
    dock.press_tool("paint")
    controller.labels.brush_size = 4
    desk.click(56, 6)
    desk.idle()
    assert desk.planes[6][56, 6] == 3

    # Undo everything that was done to object 3.
    dock.undo()
    dock.undo()
    desk.idle()
    np.testing.assert_array_equal(desk.planes, before)
    assert [row.object_id for row in controller.rows() if row.prompts] == [1, 2]

    # Save, close, reopen.
    controller.save_labels(tmp_path / "labels.tif")
    desk.idle()
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), before)
    dock.close_session()
    assert not controller.opened
    for layer in [x for x in desk.viewer.layers if x.name != "cells"]:
        desk.viewer.layers.remove(layer)
    assert dock.open_session()
    desk.idle()
    np.testing.assert_array_equal(desk.planes, before)
    assert len(controller.prompt_layers.points.data) == 3
    assert [row.state for row in controller.rows() if row.prompts] == ["tracked", "tracked"]


def test_the_window_answers_while_a_pass_runs(desk: Desk, go_on: threading.Event) -> None:
    dock, controller = desk.dock, desk.controller
    dock.press_tool("point")
    desk.idle()
    desk.look()
    desk.click(16, 10)
    desk.idle()
    dock.track()
    desk.qtbot.waitUntil(lambda: controller.progress[0] == STAND)
    dock.panel.follow.setChecked(False)
    controller.go_to(0)
    dock.new_object()
    desk.click(48, 50)
    desk.qtbot.waitUntil(lambda: bool(controller._desk._jobs))
    assert not desk.planes[STAND:].any()
    go_on.set()
    desk.qtbot.waitUntil(lambda: bool(only(desk.planes[0], 2).any()))
    desk.idle()
    assert only(desk.planes, 1).any(axis=(1, 2)).all()
    assert only(desk.planes, 2).any(axis=(1, 2)).all()  # it joined the pass


def stand_until_closed(dock: TrackWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pass go on once it is told to stop, and no earlier."""
    controller = dock.controller

    def is_told() -> bool:
        desk = controller._desk
        return desk is not None and desk._request is None

    monkeypatch.setattr(StandingEngine, "may_go_on", staticmethod(is_told))


def test_closing_the_dock_in_the_middle_loses_nothing(
    desk: Desk, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock, controller = desk.dock, desk.controller
    stand_until_closed(dock, monkeypatch)
    dock.press_tool("point")
    desk.idle()
    desk.look()
    desk.click(16, 10)
    desk.idle()
    dock.track()
    qtbot.waitUntil(lambda: controller.progress[0] == STAND)
    folder = controller.folder
    desk.viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not controller.opened)
    again = TrackController(desk.viewer, bench=bench_of)
    again.open(desk.image, folder=folder)
    for event in again.run():
        again.handle(event)
    assert has_labels(again) == [True] * (STAND + 1) + [False] * (FRAMES - STAND - 1)
    assert [row.state for row in again.rows()] == ["changed"]
    again.close()


def test_a_click_that_waits_is_answered_before_the_session_is_closed(
    desk: Desk, qtbot: Any, go_on: threading.Event
) -> None:
    dock, controller = desk.dock, desk.controller
    desk.begin_pass()
    folder = controller.folder
    dock.new_object()
    controller.prompt_layers.points.add([[0, 48, 50]])
    dock.close_session()
    go_on.set()
    qtbot.waitUntil(lambda: not controller.opened)
    done = controller_of_another_napari(folder)
    assert [row.prompts for row in done.rows()] == [1, 1]
    assert has_labels(done) == [True] * (STAND + 1) + [False] * (FRAMES - STAND - 1)
    assert np.asarray(done.labels.data[0])[48, 50] == 2
    done.close()


def test_closing_the_window_in_the_middle_loses_nothing(
    desk: Desk, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock, controller = desk.dock, desk.controller
    stand_until_closed(dock, monkeypatch)
    desk.begin_pass()
    folder = controller.folder
    desk.viewer.close()
    qtbot.waitUntil(lambda: not controller.opened)
    done = controller_of_another_napari(folder)
    assert has_labels(done) == [True] * (STAND + 1) + [False] * (FRAMES - STAND - 1)
    assert [row.state for row in done.rows()] == ["changed"]
    assert len(done.prompt_layers.points.data) == 1
    done.close()


def has_labels(controller: TrackController) -> list[bool]:
    """Of each frame, whether anything is on it."""
    return [bool(plane.any()) for plane in np.asarray(controller.labels.data[:])]


def controller_of_another_napari(folder: Path) -> TrackController:
    """The session, opened elsewhere."""
    viewer = ViewerModel()
    movie = discs(CENTRES, (64, 64), values=(200, 120, 160))
    controller = TrackController(viewer, bench=bench_of)
    controller.open(viewer.add_image(movie, name="cells", scale=(1, 0.5, 0.5)), folder=folder)
    drive(controller)
    return controller
