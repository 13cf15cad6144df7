"""The dock in a real napari window, in front of a controller that remembers what it is asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.settings import get_plugin_settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox
from tests.widget.fake_controller import FakeController, Row

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.measure.divisions import ProposedDivision
from napari_sam_i2v.widget.choices import OpenChoices
from napari_sam_i2v.widget.dock import TrackWidget
from napari_sam_i2v.widget.keys import KEYS, KeysHelp
from napari_sam_i2v.widget.wording import CANCELLING, NO_MOVIE, NOT_OPENED

pytestmark = pytest.mark.gui

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"
RED, GREEN, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)


@pytest.fixture
def window(make_napari_viewer_proxy):
    """A visible viewer, as napari hands it to plugins."""
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def control(window):
    return FakeController(window)


@pytest.fixture
def dock(window, control):
    """The dock, with a movie that is not opened yet."""
    window.add_image(np.zeros((8, 16, 16), np.uint8), name="m")
    widget = TrackWidget(window, controller=control)
    window.window.add_dock_widget(widget, name="SAM-I2V")
    return widget


@pytest.fixture
def three(dock, control):
    """The dock with an open movie and three objects."""
    control.open(control.images()[0])
    control.set_rows(
        Row(1, "a", RED, state="tracked", confidence=0.9),
        Row(2, "b", GREEN, prompts=3, state="changed", confidence=0.3),
        Row(4, "c", BLUE, prompts=0, state="empty"),
    )
    control.calls.clear()
    return dock


def click(qtbot, button) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def select(widget, *rows: int) -> None:
    widget.table.clearSelection()
    for row in rows:
        for column in range(widget.table.columnCount()):
            widget.table.item(row, column).setSelected(True)


def entries(menu: QMenu) -> dict:
    menu.fill()
    return {action.text(): action for action in menu.actions() if action.text()}


def asked(control, *names: str) -> list:
    return [call for call in control.calls if call[0] in names]


@contextmanager
def notifications():
    seen: list[str] = []
    note = lambda notification: seen.append(notification.message)  # noqa: E731
    notification_manager.notification_ready.connect(note)
    try:
        yield seen
    finally:
        notification_manager.notification_ready.disconnect(note)


# -- opening -------------------------------------------------------------------------------------
def test_opens_from_the_manifest(window, npe2pm):
    with npe2pm.tmp_plugin(manifest=PluginManifest.from_file(MANIFEST)):
        _, widget = window.window.add_plugin_dock_widget("napari-sam-i2v", "SAM-I2V")
        assert isinstance(widget, TrackWidget)
        assert widget.status.text() == NO_MOVIE
        assert not widget.panel.track.isEnabled()
        assert not widget.tools.new.isEnabled()
        assert not widget.review.curves.isEnabled()


def test_a_tool_opens_the_chosen_movie_with_what_is_chosen(dock, control, qtbot):
    assert dock.status.text() == NOT_OPENED
    assert len(control.viewer.layers) == 1
    entries(dock.more_menu)
    dock.more_menu._choose(view="follow")
    click(qtbot, dock.tools.tools["box"])
    options = OpenChoices(view="follow", chosen=frozenset({"view"})).options()
    assert control.calls == [("open", "m", options), ("arm", "box")]
    assert [tool for tool, button in dock.tools.tools.items() if button.isChecked()] == ["box"]
    assert not dock.movie.isEnabled()
    click(qtbot, dock.tools.tools["point"])
    assert [tool for tool, button in dock.tools.tools.items() if button.isChecked()] == ["point"]
    click(qtbot, dock.tools.tools["point"])
    assert control.calls[-1] == ("arm", None)
    assert not dock.tools.tools["point"].isChecked()


def test_a_refused_movie_is_said_and_nothing_is_armed(dock, control, qtbot):
    control.refuse = MovieError("A movie needs two frames.")
    with notifications() as seen:
        click(qtbot, dock.tools.tools["point"])
    assert seen == ["A movie needs two frames."]
    assert not dock.tools.tools["point"].isChecked()
    assert dock.movie.isEnabled()


def test_movies_follow_the_layer_list(dock, control):
    image = control.viewer.add_image(np.zeros((8, 16, 16)), name="later")
    names = lambda: [dock.movie.itemText(row) for row in range(dock.movie.count())]  # noqa: E731
    assert names() == ["m", "later"]
    assert dock.movie.currentText() == "m"
    image.name = "renamed"
    assert names() == ["m", "renamed"]
    control.viewer.layers.remove("m")
    assert dock.movie.currentText() == "renamed"


def test_new_object_takes_clicks(dock, control, qtbot):
    click(qtbot, dock.tools.new)
    assert [call[0] for call in asked(control, "open", "new_object", "arm")] == [
        "open",
        "new_object",
        "arm",
    ]
    assert control.tool == "point"
    assert dock.table.ids == [1]
    assert dock.selected() == [1]


def test_fits_a_small_screen_and_cuts_nothing(three, qtbot):
    three.panel.span.setCurrentIndex(2)
    three.review.curves.click()
    qtbot.waitUntil(lambda: three.curves.shown)
    content = three.review.parentWidget()
    wanted = content.minimumSizeHint()
    assert wanted.height() <= 640
    assert wanted.width() <= 340
    assert three.minimumSizeHint().width() >= wanted.width()
    assert content.width() >= wanted.width()


# -- objects -------------------------------------------------------------------------------------
def test_the_table_shows_objects(three):
    texts = [
        [three.table.item(row, column).text() for column in range(5)]
        for row in range(three.table.rowCount())
    ]
    assert texts == [
        ["1", "a", "1", "tracked", "0.90"],
        ["2", "b", "3", "changed", "0.30"],
        ["4", "c", "0", "empty", "–"],
    ]
    swatch = three.table.item(1, 0).icon().pixmap(12, 12).toImage().pixelColor(6, 6)
    assert (swatch.red(), swatch.green(), swatch.blue()) == (0, 255, 0)
    assert three.table.item(1, 4).font().bold()
    assert not three.table.item(0, 4).font().bold()


def test_a_chosen_row_is_the_current_object_and_back(three, control):
    assert three.selected() == [1]
    three.table.setCurrentCell(2, 1)
    assert asked(control, "current") == [("current", 4)]
    control.current_object = 2
    assert three.selected() == [2]
    assert len(asked(control, "current")) == 2  # the table did not answer back


def test_a_new_list_keeps_a_selection_with_the_current_object(three, control):
    select(three, 0, 2)
    control.set_rows(*control.table[:1], Row(3, "new", RED), *control.table[2:])
    assert three.selected() == [1, 4]
    assert control.current_object == 1


def test_a_name_is_typed(three, control):
    three.table.item(1, 1).setText("mother")
    assert asked(control, "rename") == [("rename", 2, "mother")]
    assert three.table.item(1, 1).text() == "mother"
    control.refuse = MovieError("no")
    three.table.item(1, 1).setText("other")
    assert three.table.item(1, 1).text() == "mother"


def test_the_menu_of_objects(three, control):
    select(three, 1)
    control.current_object = 2
    one = entries(three.object_menu)
    assert not one["Swap from this frame on"].isEnabled()
    assert not one["Merge into current"].isEnabled()
    for name in ("Division at this frame", "Delete", "Lock", "Not on this frame"):
        one[name].trigger()
    select(three, 0, 1)
    control.current_object = 2
    two = entries(three.object_menu)
    assert not two["Rename…"].isEnabled()
    for name in ("Merge into 2", "Swap from this frame on"):
        two[name].trigger()
    expected = [
        ("divide", 2),
        ("delete", [2]),
        ("lock_objects", [2], True),
        ("mark_absent", [2]),
        ("merge", [1], 2),
        ("swap", 1, 2),
    ]
    names = ("divide", "delete", "lock_objects", "mark_absent", "merge", "swap")
    assert asked(control, *names) == expected


def test_an_object_that_is_not_on_the_frame_on_screen(three, control):
    control.set_rows(replace(control.table[0], absent=(5,)), *control.table[1:])
    state = lambda: [three.table.item(row, 3).text() for row in range(3)]  # noqa: E731
    swatch = lambda: three.table.item(0, 0).icon().pixmap(12, 12).toImage().pixelColor(6, 6)  # noqa: E731
    assert state() == ["tracked", "changed", "empty"]
    assert swatch().alpha() == 255
    control.viewer.dims.set_current_step(0, 5)
    assert state() == ["not here", "changed", "empty"]
    assert swatch().alpha() == 0
    assert three.table.item(0, 2).toolTip() == "“Not here” on frame 5"
    select(three, 0)
    assert entries(three.object_menu)["Not on this frame"].isChecked()
    control.viewer.dims.set_current_step(0, 4)
    assert state() == ["tracked", "changed", "empty"]
    assert not entries(three.object_menu)["Not on this frame"].isChecked()


def test_undo_and_redo_name_their_step(three, control, qtbot):
    assert not three.history.undo.isEnabled()
    control.undo_name, control.redo_name = "click on object 2", None
    control.history_changed.emit()
    assert three.history.undo.toolTip() == "Undo: click on object 2 (U)"
    assert not three.history.redo.isEnabled()
    click(qtbot, three.history.undo)
    control.redo_name = "merge"
    control.history_changed.emit()
    click(qtbot, three.history.redo)
    assert control.calls[-2:] == [("undo",), ("redo",)]


# -- a pass --------------------------------------------------------------------------------------
def test_track_asks_for_what_is_set(three, control, qtbot, monkeypatch):
    monkeypatch.setattr(control, "begin", lambda: None)
    click(qtbot, three.panel.track)
    three.panel.direction.setCurrentIndex(2)
    three.panel.objects.setCurrentIndex(1)
    three.panel.span.setCurrentIndex(2)
    three.panel.stop.setChecked(True)
    assert three.panel.last.value() == 7
    three.panel.first.setValue(3)
    three.panel.last.setValue(5)
    click(qtbot, three.panel.track)
    three.table.clearSelection()
    assert not three.panel.track.isEnabled()
    first, second = (call[1] for call in asked(control, "propagate"))
    assert first == {"direction": "forward", "objects": None, "span": "movie", "until": "end"}
    assert second == {
        "direction": "both",
        "objects": [1],
        "span": range(3, 6),
        "until": "prompted",
    }


def test_a_pass_from_button_to_end(three, control, qtbot):
    click(qtbot, three.panel.track)
    qtbot.waitUntil(control.working.is_set)
    assert not three.panel.track.isEnabled()
    assert not three.history.undo.isEnabled()
    assert not entries(three.object_menu)["Delete"].isEnabled()
    assert three.tools.new.isEnabled()  # clicking goes on
    assert three.panel.progress.isVisible()
    control.go.set()
    qtbot.waitUntil(lambda: not three.work.running)
    assert control.events == [0, 1, 2]
    assert three.panel.progress.value() == 3
    assert not three.panel.progress.isVisible()
    assert three.panel.track.isEnabled()
    assert ("draw", True) in control.calls
    assert asked(control, "finished") == [("finished",)]


def test_cancel_is_passed_on_and_shown(three, control, qtbot):
    click(qtbot, three.panel.track)
    click(qtbot, three.panel.cancel)
    assert control.calls[-1] == ("cancel",)
    assert three.status.text() == CANCELLING
    assert not three.panel.cancel.isEnabled()
    control.go.set()
    qtbot.waitUntil(lambda: not three.work.running)
    assert three.status.text() == ""


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MovieError("gone")])
def test_an_error_of_the_worker_reaches_the_controller(three, control, qtbot, error):
    control.error = error
    control.go.set()
    click(qtbot, three.panel.track)
    qtbot.waitUntil(lambda: bool(control.errors) and not three.work.running)
    assert str(control.errors[0]) == str(error)
    assert three.panel.track.isEnabled()


def test_work_left_over_starts_another_worker(three, control, qtbot):
    click(qtbot, three.panel.track)
    qtbot.waitUntil(control.working.is_set)
    control.has_work = True
    control.go.set()
    qtbot.waitUntil(lambda: len(control.events) == 6)


def test_notes_and_problems_are_shown(three, control):
    with notifications() as seen:
        control.problem.emit("Click inside the movie.")
    assert seen == ["Click inside the movie."]
    control.note.emit("Reopened.")
    assert three.status.text() == "Reopened."


# -- reviewing and keeping -----------------------------------------------------------------------
def test_review_row(three, control, qtbot):
    for button in (three.review.next, three.review.previous):
        click(qtbot, button)
    three.review.lock.click()
    assert control.calls[-3:] == [
        ("next_suspicious", 1),
        ("next_suspicious", -1),
        ("lock_frame", True),
    ]
    control.frame_locked = False
    control.viewer.dims.set_current_step(0, 5)
    assert not three.review.lock.isChecked()


def test_curves_open_follow_and_close(three, control, qtbot):
    click(qtbot, three.review.curves)
    view = three.curves.view
    qtbot.waitUntil(lambda: three.curves.shown)
    assert asked(control, "curves") == [("curves", (1,))]
    control.viewer.dims.set_current_step(0, 5)
    assert view.frame == 5
    view.frame_chosen.emit(2)
    assert control.calls[-1] == ("go_to", 2)
    control.current_object = 2
    qtbot.waitUntil(lambda: asked(control, "curves")[-1] == ("curves", (2,)))
    click(qtbot, three.review.curves)
    assert not three.curves.shown
    click(qtbot, three.review.curves)
    control.viewer.window.remove_dock_widget(three.curves.view)  # as by its “x”
    assert not three.curves.shown
    click(qtbot, three.review.curves)
    qtbot.waitUntil(lambda: three.curves.shown)


def test_a_picture_is_not_chosen_where_there_is_a_movie(dock, control):
    viewer = control.viewer
    viewer.add_image(np.zeros((8, 9)), name="overview")
    assert dock.movie.currentText() == "m"
    viewer.layers.remove("m")
    assert dock.movie.currentText() == "overview"
    viewer.add_image(np.zeros((3, 8, 9)), name="another")
    viewer.layers.move(1, 0)
    assert dock.movie.currentText() == "another"


def test_saving_adds_the_suffix(three, control, monkeypatch):
    answers = iter(
        [("/x/a", "OME-Zarr (*.zarr)"), ("/x/b.csv", "JSON (*.json)"), ("/x/c", ""), ("", "")]
    )
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: next(answers))
    menu = entries(three.more_menu)
    for name in ("Save labels…", "Save prompts…", "Save measurements…", "Save labels…"):
        menu[name].trigger()
    menu["Add tracks layer"].trigger()
    assert control.calls == [
        ("save_labels", Path("/x/a.zarr")),
        ("save_prompts", Path("/x/b.csv")),
        ("save_measurements", Path("/x/c.csv")),
        ("add_tracks",),
    ]


@pytest.mark.parametrize(
    ("typed", "kind", "meant", "asked"),
    [
        ("table", "CSV (*.csv)", "table.csv", True),
        ("table.csv", "CSV (*.csv)", "table.csv", False),  # the file dialog asks about that
        ("17.05.2024", "CSV (*.csv)", "17.05.2024.csv", False),
        ("run1/run1", "CSV (*.csv)", "run1/run1.csv", False),
    ],
)
@pytest.mark.parametrize("agreed", [False, True])
def test_a_file_that_the_suffix_leads_to_is_asked_about(
    three, control, monkeypatch, tmp_path, typed, kind, meant, asked, agreed
):
    (tmp_path / "table.csv").write_text("my own notes")
    questions = []

    def answer(parent, title, text):
        questions.append(text)
        return QMessageBox.StandardButton.Yes if agreed else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", answer)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / typed), kind))
    entries(three.more_menu)["Save measurements…"].trigger()
    assert questions == (["“table.csv” exists already. Replace it?"] if asked else [])
    expected = [] if asked and not agreed else [("save_measurements", tmp_path / meant)]
    assert control.calls == expected


def test_a_folder_that_is_there_is_not_saved_into(three, control, monkeypatch, tmp_path):
    """Where one is typed, the file dialog goes into it, and gives its name once more."""
    (tmp_path / "a.zarr").mkdir()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    typed = str(tmp_path / "a.zarr" / "a.zarr"), "OME-Zarr (*.zarr)"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: typed)
    entries(three.more_menu)["Save labels…"].trigger()
    assert control.calls == [("save_labels", tmp_path / "a.zarr")]


def test_exports_for_other_tools(three, control, monkeypatch):
    answers = iter(
        [("/x/01_RES", "All Files (*)"), ("/x/a", "GEFF (*.geff)"), ("/x/b", "GIF (*.gif)")]
    )
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: next(answers))
    exports = entries(three.more_menu)["Export for other tools"].menu()
    menu = {a.text(): a for a in exports.actions()}
    for name in ("Cell Tracking Challenge folder…", "GEFF…", "Overlay movie…"):
        menu[name].trigger()
    assert control.calls == [
        ("save_export", "ctc", Path("/x/01_RES")),
        ("save_export", "geff", Path("/x/a.geff")),
        ("save_export", "overlay", Path("/x/b.gif")),
    ]


def test_proposed_divisions_are_shown_and_accepted(three, control):
    control.proposals = [ProposedDivision(2, 3, ((1.0, 1.0), (5.0, 5.0)), (9, 9))]

    def entry(*names: str) -> Any:
        found = entries(three.more_menu)
        for name in names[:-1]:
            found = {a.text(): a for a in found[name].menu().actions()}
        return found[names[-1]]

    entry("Possible divisions", "Look for divisions").trigger()
    entry("Possible divisions", "Object 2, frame 3", "Show").trigger()
    entry("Possible divisions", "Object 2, frame 3", "Divide").trigger()
    assert control.calls == [("find_divisions",), ("show_proposal", 2), ("accept_proposal", 2)]


def test_choices_before_opening(dock, control, monkeypatch, qtbot):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/w/mine.pt", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/sessions/a")
    menu = entries(dock.more_menu)
    assert not menu["Save labels…"].isEnabled()
    next(a for a in menu["Model"].menu().actions() if a.text() == "From file…").trigger()
    menu["Session folder…"].trigger()
    ticked = [a.text() for a in entries(dock.more_menu)["Model"].menu().actions() if a.isChecked()]
    assert ticked == ["mine.pt"]
    entries(dock.more_menu)["Open session"].trigger()
    assert control.calls[0][2]["model"] == "/w/mine.pt"
    assert control.calls[0][2]["folder"] == Path("/sessions/a")
    menu = entries(dock.more_menu)
    assert not menu["Model"].isEnabled()
    menu["Close session"].trigger()
    assert control.calls[-1] == ("close",)
    assert dock.movie.isEnabled()
    assert dock.choices.now().folder == Path("/sessions/a")  # to be found there again
    control.viewer.add_image(np.zeros((8, 16, 16), np.uint8), name="another")
    dock.movie.setCurrentIndex(dock.movie.findText("another"))
    assert dock.choices.now() == OpenChoices()


def test_menus_show_what_a_kept_session_goes_on_with(dock, control):
    def ticked(name: str) -> list[str]:
        return [a.text() for a in entries(dock.more_menu)[name].menu().actions() if a.isChecked()]

    assert (ticked("Model"), ticked("View")) == (["Built-in"], ["Automatic"])
    entries(dock.more_menu)["Open session"].trigger()
    assert control.calls[0][2]["chosen"] == frozenset()
    control.in_use = {"model": "/w/kept.pt", "view": "follow"}  # known once the model is loaded
    control.objects_changed.emit()
    assert (ticked("Model"), ticked("View")) == (["kept.pt"], ["Follow each object"])
    entries(dock.more_menu)["Close session"].trigger()
    control.in_use = {}
    assert ticked("Model") == ["kept.pt"]  # as it would be opened again
    entries(dock.more_menu)["Model"].menu().actions()[0].trigger()
    assert ticked("Model") == ["Built-in"]
    entries(dock.more_menu)["Open session"].trigger()
    assert control.calls[-1][2]["chosen"] == {"model"}


def test_settings_are_read_when_a_movie_is_opened(dock, control, npe2pm, qtbot):
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    get_plugin_settings("napari-sam-i2v").tracking.precision = "fp32"
    click(qtbot, dock.tools.tools["point"])
    assert control.calls[0][2]["precision"] == "fp32"
    control.close()
    get_plugin_settings("napari-sam-i2v").tracking.precision = "bf16"
    click(qtbot, dock.tools.tools["point"])
    assert asked(control, "open")[1][2]["precision"] == "bf16"


def test_a_broken_settings_file_is_said_once_and_the_movie_opens(
    dock, control, npe2pm, tmp_path, qtbot
):
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    (tmp_path / "napari-sam-i2v.yaml").write_text("tracking: {device: gpu}")
    with notifications() as seen:
        entries(dock.more_menu)
        click(qtbot, dock.tools.tools["point"])
    assert len(seen) == 1 and "tracking.device is 'gpu'" in seen[0]
    assert control.calls[0][2]["device"] == "auto"


def test_prompts_are_taken_from_a_layer(dock, control):
    assert not entries(dock.more_menu)["Take prompts from layer"].isEnabled()
    control.viewer.add_points([[0, 3, 3]], name="mine")
    entries(dock.more_menu)["Take prompts from layer"].menu().actions()[0].trigger()
    assert [call[0] for call in control.calls] == ["open", "take_prompts"]


def test_menus_open_inside_the_window(three, control, qtbot):
    for button, menu in (
        (three.more, three.more_menu),
        (three.history.objects, three.object_menu),
    ):
        click(qtbot, button)
        right = menu.mapToGlobal(menu.rect().topRight()).x()
        assert menu.isVisible()
        assert right <= three.mapToGlobal(three.rect().topRight()).x()
        menu.close()


# -- keys ----------------------------------------------------------------------------------------
def press(layer, key: str) -> None:
    bound = [call for name, call in layer.keymap.items() if str(name) == key]
    assert len(bound) == 1
    bound[0](layer)


def test_keys_are_bound_on_our_layers_only(three, control, monkeypatch):
    monkeypatch.setattr(control, "begin", lambda: None)
    control.undo_name = control.redo_name = "x"
    for key in KEYS:
        press(control.own_layers[1], key)
    assert [call[0] for call in control.calls if call[0] not in ("draw", "curves", "arm")] == [
        "new_object",
        "mark_absent",
        "select_at_cursor",
        "propagate",
        "next_suspicious",
        "next_suspicious",
        "lock_frame",
        "undo",
        "redo",
    ]
    assert not control.image.keymap
    three.close_session()
    assert not control.own_layers[0].keymap


def test_help_lists_every_key(three):
    three.show_keys()
    (panel,) = three.findChildren(KeysHelp)
    assert panel.isVisible()
    panel.close()


# -- the end -------------------------------------------------------------------------------------
def test_closing_the_dock_stops_the_worker_then_closes(three, control, window, qtbot):
    own = control.own_layers
    click(qtbot, three.review.curves)
    click(qtbot, three.panel.track)
    qtbot.waitUntil(control.working.is_set)
    window.window.remove_dock_widget(three)
    with qtbot.waitSignal(three.destroyed):
        pass
    assert not own[0].keymap
    assert not control.closed.is_set()  # the worker still writes
    qtbot.waitUntil(lambda: ("cancel",) in control.calls)
    control.go.set()
    qtbot.waitUntil(control.closed.is_set)
    assert len(control.events) <= 1
    assert "SAM-I2V curves" not in window.window.dock_widgets
    control.objects_changed.emit()  # nobody listens any more: no error
    window.add_image(np.zeros((8, 16, 16)))


def test_closing_an_idle_dock_closes_at_once_and_stops_downloads(three, control, window, qtbot):
    download = Event()
    three.more_menu._dialogs["a model"] = SimpleNamespace(stop=download)
    window.window.remove_dock_widget(three)
    qtbot.waitUntil(control.closed.is_set)
    assert download.is_set()


def test_two_docks_do_not_disturb_each_other(three, control, make_napari_viewer_proxy, qtbot):
    other_window = make_napari_viewer_proxy(show=True)
    other_window.add_image(np.zeros((8, 16, 16), np.uint8), name="n")
    other = FakeController(other_window)
    widget = TrackWidget(other_window, controller=other)
    other_window.window.add_dock_widget(widget, name="SAM-I2V")
    click(qtbot, three.panel.track)
    qtbot.waitUntil(control.working.is_set)
    assert other.calls == []
    assert widget.status.text() == NOT_OPENED
    click(qtbot, widget.tools.tools["point"])
    other_window.window.remove_dock_widget(widget)
    qtbot.waitUntil(other.closed.is_set)
    assert not control.closed.is_set()
    control.go.set()
    qtbot.waitUntil(lambda: control.events == [0, 1, 2])
