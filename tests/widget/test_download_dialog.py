"""The download dialog on a screen: a real worker thread and a server on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QWidget
from tests.downloading import MODEL, PATH, Reply
from tests.widget.full_pool import full_pool

from napari_sam_i2v.downloads import Progress
from napari_sam_i2v.network.installed import find_installed
from napari_sam_i2v.widget import download_dialog
from napari_sam_i2v.widget.download_dialog import CANCELLED, DownloadDialog, progress_text

__all__ = ["full_pool"]  # a fixture

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("data_home")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def dock(qtbot) -> Iterator[QWidget]:
    """What the dialog belongs to."""
    window = QWidget()
    qtbot.addWidget(window)
    yield QWidget(window)  # the window lives as long as the test


@pytest.fixture
def dialog(dock, server, folder, qtbot) -> DownloadDialog:
    dialog = DownloadDialog(MODEL, folder, server.url(), dock)
    dialog.chosen = []
    dialog.model_chosen.connect(dialog.chosen.append)
    with qtbot.waitExposed(dialog):
        dialog.show()
    return dialog


def press(qtbot, button) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def is_over(dialog: DownloadDialog) -> bool:
    return dialog._worker is None


def held(dialog, server, qtbot) -> None:
    """Begin a download that stands still in the middle."""
    server.replies[PATH].hold_after = 300_000
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: dialog.bar.value() > 0)


def test_it_says_what_the_model_is(dialog, folder):
    shown = " ".join(label.text() for label in dialog.findChildren(QLabel))
    for text in (MODEL.title, MODEL.summary, MODEL.licence, MODEL.source, str(folder), "unknown"):
        assert text in shown
    assert dialog.checksum.text() == "" and not dialog.checksum.isReadOnly()
    (link,) = (x for x in dialog.findChildren(QLabel) if x.openExternalLinks())
    assert f'href="{MODEL.source}"' in link.text()


def test_a_download_from_button_to_choice(dialog, server, served, folder, qtbot):
    values = []
    dialog.bar.valueChanged.connect(values.append)
    press(qtbot, dialog.start)
    assert not dialog.start.isEnabled() and not dialog.address.isEnabled()
    assert dialog.local.isEnabled()
    qtbot.waitUntil(lambda: bool(dialog.chosen))
    path = folder / "test-i2v.safetensors"
    assert dialog.chosen == [str(path)]
    assert path.read_bytes() == served
    assert dialog.bar.value() == dialog.bar.maximum() > 0
    assert values
    assert dialog.checksum.text() == hashlib.sha256(served).hexdigest()
    assert "MB" in dialog.size_label.text()
    assert "is chosen" in dialog.status.text()
    assert dialog.cancel.text() == "Close"
    press(qtbot, dialog.cancel)
    qtbot.waitUntil(lambda: not isalive(dialog))


def test_a_download_needs_no_thread_of_others(dialog, full_pool, qtbot):
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: bool(dialog.chosen))  # others take for ever


def test_progress_is_shown_while_it_goes_on(dialog, server, served, qtbot):
    held(dialog, server, qtbot)
    assert 0 < dialog.bar.value() < dialog.bar.maximum()
    assert " of " in dialog.status.text() and "/s" in dialog.status.text()
    assert "MB" in dialog.size_label.text()
    server.go.set()
    qtbot.waitUntil(lambda: bool(dialog.chosen))


def test_without_a_length_the_bar_only_moves(dialog, server, qtbot):
    server.replies[PATH].length = None
    server.replies[PATH].hold_after = 300_000
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: "/s" in dialog.status.text())
    assert dialog.bar.maximum() == 0
    assert dialog.size_label.text() == "unknown"
    server.go.set()
    qtbot.waitUntil(lambda: bool(dialog.chosen))


def test_cancel_keeps_nothing_and_it_can_begin_again(dialog, server, folder, qtbot):
    held(dialog, server, qtbot)
    press(qtbot, dialog.cancel)
    assert not dialog.cancel.isEnabled()
    server.go.set()
    qtbot.waitUntil(lambda: is_over(dialog))
    assert dialog.status.text() == CANCELLED
    assert dialog.chosen == [] and list(folder.iterdir()) == []
    assert dialog.isVisible()
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: bool(dialog.chosen))


@pytest.mark.parametrize("how", ["escape", "close", "dock"])
def test_closing_cancels(dialog, dock, server, folder, qtbot, how):
    """A dialog is not told that it is deleted with the dock; the dock sets `stop`."""
    chosen = dialog.chosen
    held(dialog, server, qtbot)
    if how == "escape":
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    elif how == "close":
        dialog.close()
    else:
        dialog.stop.set()
        dock.deleteLater()
    qtbot.waitUntil(lambda: not isalive(dialog))
    server.go.set()
    qtbot.waitUntil(lambda: list(folder.iterdir()) == [])
    assert chosen == []
    assert find_installed(MODEL.name, folder) is None


def test_a_local_file_instead(dialog, server, folder, qtbot, monkeypatch):
    held(dialog, server, qtbot)
    answers = ["", "/w/mine.pt"]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (answers.pop(0), ""))
    press(qtbot, dialog.local)  # thought better of it: the download goes on
    assert dialog.isVisible() and not is_over(dialog)
    chosen = dialog.chosen
    press(qtbot, dialog.local)
    assert chosen == ["/w/mine.pt"]
    qtbot.waitUntil(lambda: not isalive(dialog))
    server.go.set()
    qtbot.waitUntil(lambda: list(folder.iterdir()) == [])


def test_a_long_text_makes_room_for_itself(dialog):
    dialog._tell("A long story. " * 60)
    assert dialog.height() >= dialog.layout().totalHeightForWidth(dialog.width())
    for label in dialog.findChildren(QLabel):
        assert label.height() >= label.heightForWidth(label.width())


def test_the_link_has_the_colour_of_the_text(dialog, qtbot):
    (link,) = (x for x in dialog.findChildren(QLabel) if x.openExternalLinks())
    for colour in ("#f0f1f2", "#3b3a39"):
        dialog.setStyleSheet(f"QWidget {{ color: {colour} }}")
        qtbot.waitUntil(lambda c=colour: f"color: {c}" in link.text())


@pytest.mark.parametrize(
    ("reply", "checksum", "said"),
    [
        (Reply(status=404), "", "404"),
        (None, "0" * 64, "wrong checksum"),
        (None, "12", "64 digits"),
    ],
)
def test_an_error_is_said_and_can_be_mended(dialog, server, qtbot, reply, checksum, said):
    good = server.replies[PATH]
    server.replies[PATH] = reply or good
    dialog.checksum.setText(checksum)
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: said in dialog.status.text())
    assert "use a local file" in dialog.status.text()
    assert dialog.chosen == [] and dialog.start.isEnabled()
    server.replies[PATH] = good
    dialog.checksum.clear()
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: bool(dialog.chosen))


def test_an_error_of_ours_is_said_too(dialog, qtbot, monkeypatch):
    def broken(order):
        raise RuntimeError("out of memory")
        yield

    monkeypatch.setattr(download_dialog, "download", broken)
    press(qtbot, dialog.start)
    qtbot.waitUntil(lambda: "out of memory" in dialog.status.text())
    assert "use a local file" in dialog.status.text()
    assert dialog.start.isEnabled()


def test_an_empty_address_is_asked_for(dock, folder, qtbot):
    dialog = DownloadDialog(MODEL, folder, "", dock)
    dialog.show()
    press(qtbot, dialog.start)
    assert "begin with https://" in dialog.status.text()


def test_progress_in_words():
    assert progress_text(Progress(0, 10_000_000), 0.0) == "0 MB of 10.0 MB"
    assert progress_text(Progress(2_500_000, 10_000_000), 2.0) == "2.5 MB of 10.0 MB, 1.2 MB/s"
    assert progress_text(Progress(250_000, None), 0.5) == "250 kB, 500 kB/s"
