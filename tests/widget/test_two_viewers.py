"""Two napari windows at once: a pass in each, keys and undo of each its own; one movie in both."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QWidget
from tests.propagation.fakes import BrightEngine, discs, only
from tests.widget.test_dock import notifications
from tests.widget.test_tracking import bench_of

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.widget.dock import TrackWidget
from napari_sam_i2v.widget.tracking import TrackController

pytestmark = pytest.mark.gui

LEFT = [[(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t)] for t in range(10)]
RIGHT = [[(10.0 + 2 * t, 48.0), (50.0 - 2 * t, 16.0)] for t in range(10)]


class GatedEngine(BrightEngine):
    """Stands on frame 2 until it may go on, so that two passes overlap."""

    gate = threading.Event()

    def track(self, *args: Any, **kwargs: Any) -> Any:
        if self._index == 2:
            assert self.gate.wait(600)
        return super().track(*args, **kwargs)


class Window:
    """A napari window with a movie and the dock."""

    def __init__(self, viewer: Any, qtbot: Any, folder: Path, centres: list) -> None:
        self.viewer, self.qtbot, self.centres = viewer, qtbot, centres
        viewer.add_image(discs(centres, (64, 64), values=(200, 120)), name="cells")
        self.control = TrackController(viewer, bench=bench_of)
        self.dock = TrackWidget(viewer, controller=self.control)
        self.dock.choices.choose(folder=folder)
        viewer.window.add_dock_widget(self.dock, name="SAM-I2V")

    def click(self, number: int) -> None:
        if number:
            self.dock.new_object()
        self.control.prompt_layers.points.add([[0, *self.centres[0][number]]])

    def key(self, key: str) -> None:
        """A key pressed on this window's canvas."""
        (canvas,) = (
            widget
            for widget in self.dock.window().findChildren(QWidget)
            if type(widget).__name__.startswith("CanvasBackend") and widget.isVisible()
        )
        self.qtbot.keyClick(canvas, key)

    @property
    def is_idle(self) -> bool:
        return not self.control.busy and not self.dock.work.running

    def idle(self) -> None:
        self.qtbot.waitUntil(lambda: self.is_idle)

    @property
    def planes(self) -> np.ndarray:
        return np.asarray(self.control.labels.data[:])


@pytest.fixture
def windows(make_napari_viewer_proxy, qtbot, tmp_path, monkeypatch) -> tuple[Window, Window]:
    monkeypatch.setattr(session_module, "Engine", GatedEngine)
    monkeypatch.setattr(GatedEngine, "gate", threading.Event())
    return tuple(
        Window(make_napari_viewer_proxy(show=True), qtbot, tmp_path / f"{name}.sam-i2v", centres)
        for name, centres in (("left", LEFT), ("right", RIGHT))
    )  # type: ignore[return-value]


def test_a_pass_in_each_at_the_same_time_keys_and_undo_of_each_its_own(windows, qtbot) -> None:
    left, right = windows
    for window in windows:
        window.dock.press_tool("point")
        window.idle()
        for number in (0, 1):
            window.click(number)
            window.idle()

    # A key tracks in its own window only.
    left.key("K")
    qtbot.waitUntil(lambda: left.control.progress[0] >= 1)
    assert not right.control.tracking
    assert not right.planes[1:].any()
    right.key("K")
    qtbot.waitUntil(lambda: right.control.progress[0] >= 1)
    assert left.control.tracking and right.control.tracking
    GatedEngine.gate.set()
    for window in windows:
        window.idle()
        for object_id in (1, 2):
            for plane, centres in zip(window.planes, window.centres, strict=True):
                y, x = map(int, centres[object_id - 1])
                assert only(plane, object_id)[y, x]

    # Undo in one leaves the other as it is.
    kept, undone = left.planes, right.control.undo_name
    assert left.control.undo_name == undone == "tracking"
    right.key("U")
    qtbot.waitUntil(lambda: right.control.undo_name != undone)
    right.idle()
    assert not right.planes[1:].any()
    np.testing.assert_array_equal(left.planes, kept)
    assert left.control.undo_name == "tracking"


def test_one_movie_in_two_windows_is_refused_in_words_and_goes_elsewhere(windows, qtbot) -> None:
    left, right = windows
    left.dock.press_tool("point")
    left.idle()
    left.click(0)
    left.idle()
    right.viewer.layers["cells"].data = left.viewer.layers["cells"].data
    right.dock.choices.choose(folder=left.control.folder)
    with notifications() as seen:
        right.dock.press_tool("point")
    assert not right.control.opened
    (said,) = seen
    assert "open already in this napari" in said
    assert "choose another folder" in said

    # What it says helps.
    right.dock.choices.choose(folder=left.control.folder.with_name("another.sam-i2v"))
    right.dock.press_tool("point")
    right.idle()
    assert right.control.opened
    assert not right.planes.any()
    assert only(left.planes[0], 1).any()
