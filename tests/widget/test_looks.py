"""The dock in both themes in a window of a small laptop: nothing cut off, everything readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from tests.widget.fake_controller import FakeController, Row

from napari_sam_i2v.widget.dock import TrackWidget
from napari_sam_i2v.widget.object_table import CONFIDENCE
from napari_sam_i2v.widget.wording import TOOL_HINTS

pytestmark = pytest.mark.gui

SCREEN = (1366, 768)
BARS = 48
"""What a desktop's panel takes of the height."""
LONG = (
    "Object 3 was found on what object 1 was tracked to: only what is left is shown. If object 1 "
    "is not there, choose it, Ctrl-click there, and track."
)
READABLE = 4.5
"""Ratio of contrast that WCAG asks for."""


@pytest.fixture(params=["dark", "light"])
def dock(request: Any, make_napari_viewer_proxy: Any, qtbot: Any, monkeypatch: Any) -> TrackWidget:
    """A dock that shows all that it has, with long names."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.theme = request.param
    name = "2024-05-17_experiment_12_well_B03_field_07_registered_and_cropped.ome"
    viewer.add_image(np.zeros((3000, 16, 16), np.uint8), name=name)
    control = FakeController(viewer)
    dock = TrackWidget(viewer, controller=control)
    viewer.window.add_dock_widget(dock, name="SAM-I2V")
    control.open(control.images()[0])
    control.set_rows(
        *(Row(i, f"object {i}", (1.0, 0.5, 0.1, 1.0), prompts=12, state="not tracked",
              confidence=0.25) for i in range(1, 30)),
        Row(65535, "the small one that leaves at the upper left", (0.0, 0.5, 0.9, 1.0)),
    )  # fmt: skip
    dock.panel.span.setCurrentIndex(2)
    dock.window().resize(SCREEN[0], SCREEN[1] - BARS)
    dock.review.curves.click()
    qtbot.waitUntil(lambda: dock.curves.shown)
    return dock


def texts(dock: TrackWidget) -> list[QLabel | QAbstractButton]:
    """What has text in the dock and can be seen."""
    kinds: tuple[type[QWidget], ...] = (QLabel, QAbstractButton)
    found = [widget for kind in kinds for widget in dock.findChildren(kind)]
    return [widget for widget in found if widget.isVisible() and widget.text()]


def luminance(picture: QImage) -> np.ndarray:
    """Relative luminance of each pixel, as WCAG defines it."""
    picture = picture.convertToFormat(QImage.Format.Format_RGB32)
    raw = picture.constBits()
    if hasattr(raw, "setsize"):  # PyQt does not know how much there is
        raw.setsize(picture.sizeInBytes())
    shape = (picture.height(), picture.bytesPerLine() // 4, 4)
    bgr = np.frombuffer(bytes(raw), np.uint8).reshape(shape)[:, : picture.width(), :3] / 255
    linear = np.where(bgr <= 0.03928, bgr / 12.92, ((bgr + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.0722, 0.7152, 0.2126])


def contrast(picture: QImage) -> float:
    """Ratio between the ground and the colour that differs most from it."""
    values = luminance(picture)
    ground = float(np.median(values))
    return max(
        (max(v, ground) + 0.05) / (min(v, ground) + 0.05) for v in (values.min(), values.max())
    )


def test_nothing_is_cut_off_in_a_small_window(dock: TrackWidget, tmp_path: Path) -> None:
    for hint in (*TOOL_HINTS.values(), "Done. 3000 frames tracked."):
        dock.controller.note.emit(hint)
        QApplication.processEvents()
        window = dock.window()
        assert window.width() <= SCREEN[0]
        assert window.height() <= SCREEN[1] - BARS
        for widget in texts(dock):
            hint_size = widget.minimumSizeHint()
            assert widget.width() >= hint_size.width(), widget.text()
            assert widget.height() >= hint_size.height(), widget.text()
            if isinstance(widget, QLabel) and widget.wordWrap():
                assert widget.height() >= widget.heightForWidth(widget.width()), widget.text()
            left = widget.mapTo(dock, widget.rect().topLeft()).x()
            assert 0 <= left <= left + widget.width() <= dock.width(), widget.text()
    dock.window().grab().save(str(tmp_path / "window.png"))
    assert dock.table.viewport().height() >= 3 * dock.table.rowHeight(0)
    assert dock.curves.view.height() >= 100


def test_the_way_through_doubtful_frames_stays_in_sight(dock: TrackWidget, qtbot: Any) -> None:
    dock.controller.note.emit(LONG)
    dock.window().resize(1280, 680)
    qtbot.wait(300)  # until all have their places
    lowest = dock.review.mapTo(dock, dock.review.rect().bottomLeft()).y()
    assert lowest < dock.height()


def test_the_list_and_the_curves_have_napari_s_size_of_text(dock: TrackWidget) -> None:
    appearance, before = get_settings().appearance, get_settings().appearance.font_size
    bold = dock.table.item(0, CONFIDENCE)
    assert bold.font().bold()
    try:
        appearance.font_size = 16
        QApplication.processEvents()
        parts = (dock.table, dock.table.horizontalHeader(), dock.curves.view, bold)
        assert [part.font().pointSize() for part in parts] == [16] * 4
        assert bold.font().bold()
        assert dock.table.rowHeight(0) >= dock.table.fontMetrics().height()
    finally:
        appearance.font_size = before


def test_what_can_be_pressed_or_read_stands_out(dock: TrackWidget) -> None:
    dock.controller.note.emit("Done. 3000 frames tracked.")
    QApplication.processEvents()
    faint = {
        widget.text(): round(contrast(widget.grab().toImage()), 1)
        for widget in texts(dock)
        if widget.isEnabled() and contrast(widget.grab().toImage()) < READABLE
    }
    assert not faint
