"""The dock widget in a real napari window (under Xvfb where there is no screen)."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_sam_i2v.errors import CheckpointError
from napari_sam_i2v.widget.dock import CHOOSE_FILE, TrackWidget

pytestmark = pytest.mark.gui

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"
SCALE = (10, 0.5, 0.25)


@pytest.fixture
def window(make_napari_viewer_proxy):
    """A visible viewer, as napari hands it to plugins."""
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def open_dock(window):
    """Open the dock with a fake session."""

    def opener(session) -> TrackWidget:
        widget = TrackWidget(window, start=session.start)
        window.window.add_dock_widget(widget, name="SAM-I2V")
        return widget

    return opener


def finish(widget: TrackWidget, qtbot) -> None:
    qtbot.waitUntil(lambda: widget.output is None, timeout=20_000)


@contextmanager
def notifications():
    """Collect napari's notifications."""
    seen: list[str] = []
    note = lambda notification: seen.append(notification.message)  # noqa: E731
    notification_manager.notification_ready.connect(note)
    try:
        yield seen
    finally:
        notification_manager.notification_ready.disconnect(note)


def coloured_pixels(window) -> int:
    """Count what is neither the grey movie nor a white click on the canvas: the object."""
    return int((window.screenshot(flash=False)[..., :3].std(axis=-1) > 20).sum())


def test_opens_from_the_manifest(window, qtbot, npe2pm):
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)):
        _, widget = window.window.add_plugin_dock_widget("napari-sam-i2v", "SAM-I2V")
        assert isinstance(widget, TrackWidget)
        assert not widget.run.isEnabled()
        assert "Open a movie" in widget.status.text()


def test_tracks_a_calibrated_movie_to_the_end(window, open_dock, fake, movie, qtbot):
    session = fake()
    widget = open_dock(session)
    image = window.add_image(movie, name="m", scale=SCALE, translate=(0, 7, -3))
    assert not widget.run.isEnabled()
    qtbot.mouseClick(widget.new_clicks, Qt.MouseButton.LeftButton)
    clicks = window.layers["clicks"]
    clicks.add([[1, 11, 13]])  # data coordinates of a layer that lies on the image
    qtbot.waitUntil(widget.run.isEnabled)
    assert widget.status.text() == "1 object, 1 click, 5 frames to do"
    qtbot.mouseClick(widget.run, Qt.MouseButton.LeftButton)
    assert not widget.run.isEnabled()
    assert widget.cancel.isEnabled()
    finish(widget, qtbot)
    labels = window.layers["m tracked"]
    assert [int(labels.data[t, 11, 13]) for t in range(6)] == [0, 1, 1, 1, 1, 1]
    assert np.array_equal(labels.scale, image.scale)
    assert labels.get_value(clicks.data_to_world((1, 11, 13)), world=True) == 1
    assert widget.status.text() == "Done.\n5 frames in “m tracked”."
    assert widget.run.isEnabled()
    assert not widget.cancel.isEnabled()
    assert window.dims.current_step[0] == 5
    assert session.threads.isdisjoint({"MainThread"})


def test_labels_show_on_the_canvas_while_running(window, open_dock, fake, movie, qtbot):
    session = fake(at_frame=3)
    widget = open_dock(session)
    window.add_image(np.zeros_like(movie), name="m")
    window.add_points([[0, 15, 20]])
    assert coloured_pixels(window) == 0
    widget.start()
    qtbot.waitUntil(session.held.is_set, timeout=20_000)
    qtbot.waitUntil(lambda: window.dims.current_step[0] == 2, timeout=20_000)
    qtbot.waitUntil(lambda: coloured_pixels(window) > 100, timeout=20_000)
    session.go.set()
    finish(widget, qtbot)


def test_cancel_keeps_finished_frames(window, open_dock, fake, movie, qtbot):
    session = fake(at_frame=3)
    widget = open_dock(session)
    window.add_image(movie, name="m")
    window.add_points([[0, 5, 6]])
    widget.start()
    qtbot.waitUntil(session.held.is_set, timeout=20_000)
    qtbot.waitUntil(lambda: widget.progress.value() == 3)
    qtbot.mouseClick(widget.cancel, Qt.MouseButton.LeftButton)
    session.go.set()
    finish(widget, qtbot)
    labels = window.layers["m tracked"]
    assert [bool(labels.data[t].any()) for t in range(6)] == [True] * 4 + [False] * 2
    assert labels.editable
    assert widget.status.text() == "Cancelled.\n4 frames in “m tracked”."
    assert not widget.progress.isVisible()


def test_removing_the_result_cancels(window, open_dock, fake, movie, qtbot):
    session = fake(at_frame=2)
    widget = open_dock(session)
    window.add_image(movie, name="m")
    window.add_points([[0, 5, 6]])
    widget.start()
    qtbot.waitUntil(session.held.is_set, timeout=20_000)
    window.layers.remove("m tracked")
    session.go.set()
    finish(widget, qtbot)
    assert not session.labels[4].any()
    assert widget.run.isEnabled()


def test_runtime_error_is_shown_and_ends_the_run(window, open_dock, fake, movie, qtbot):
    session = fake(at_frame=2, error=RuntimeError("CUDA out of memory"))
    session.go.set()
    widget = open_dock(session)
    window.add_image(movie, name="m")
    window.add_points([[0, 5, 6]])
    with notifications() as seen:
        widget.start()
        finish(widget, qtbot)
    assert len(seen) == 1
    assert "fewer objects" in seen[0]
    assert widget.status.text().startswith("Stopped. Tracking ran out of memory")
    assert window.layers["m tracked"].data[1].any()
    assert widget.run.isEnabled()


def test_wrong_input_is_said_and_leaves_no_empty_layer(window, open_dock, fake, movie, qtbot):
    session = fake(at_frame=0, error=CheckpointError("There is no weights file."))
    session.go.set()
    widget = open_dock(session)
    window.add_image(movie, name="m")
    window.add_points([[0, 5, 6]])
    with notifications() as seen:
        widget.start()
        finish(widget, qtbot)
    assert seen == ["There is no weights file."]
    assert widget.status.text() == "Stopped. There is no weights file.\nNo frame was finished."
    assert "m tracked" not in window.layers


def test_ticks_choose_the_points_layers(window, open_dock, fake, movie, qtbot):
    widget = open_dock(fake())
    window.add_image(movie)
    first, second = window.add_points([[0, 5, 6]], name="a"), window.add_points([[0, 9, 9]])
    assert widget.ticked() == [first, second]
    widget.points.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert widget.ticked() == [second]
    window.add_points([[0, 1, 1]])  # the list is made anew: the tick stays off
    assert first not in widget.ticked()
    assert len(widget.ticked()) == 2
    first.name = "renamed"
    assert widget.points.item(0).text() == "renamed"
    assert "2 objects" in widget.status.text()


def test_wrong_points_disable_the_run_and_say_why(window, open_dock, fake, movie, qtbot):
    widget = open_dock(fake())
    window.add_image(movie)
    points = window.add_points([[0, 5, 6]])
    points.data = [[0, 5, 600]]
    qtbot.waitUntil(lambda: not widget.run.isEnabled())
    assert "outside the movie" in widget.status.text()


def test_model_file_is_chosen_in_a_dialog(window, open_dock, fake, qtbot, monkeypatch):
    widget = open_dock(fake())
    answers = iter([("", ""), ("/weights/mine.pt", ""), ("", "")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: next(answers))
    chosen = []
    for _ in range(3):
        index = widget.model.findData(CHOOSE_FILE)
        widget.model.setCurrentIndex(index)
        widget.model.activated.emit(index)
        chosen.append(widget.choices().model)
    assert chosen == ["default", "/weights/mine.pt", "/weights/mine.pt"]


def test_closing_the_dock_stops_the_run(window, open_dock, fake, movie, qtbot):
    session = fake(at_frame=2)
    widget = open_dock(session)
    window.add_image(movie, name="m")
    window.add_points([[0, 5, 6]])
    widget.start()
    worker = widget._worker
    qtbot.waitUntil(session.held.is_set, timeout=20_000)
    window.window.remove_dock_widget(widget)
    widget.deleteLater()
    with qtbot.waitSignal(worker.finished, timeout=20_000):
        qtbot.waitUntil(lambda: worker.abort_requested)
        session.go.set()
    assert not session.labels[4].any()
    window.add_points([[0, 5, 6]])  # nobody listens any more: no error
