"""Confidence and area of objects over time, drawn under the viewer; click to go to a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QSize, QSizeF, Qt, Signal
from qtpy.QtGui import QPainter, QPixmap
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_sam_i2v.widget.curve_picture import EMPTY_TEXT, LANE, SPACING, Picture
from napari_sam_i2v.widget.plotting import Rgb
from napari_sam_i2v.widget.review import Curves

__all__ = ["EMPTY_TEXT", "CurveView"]

SNAP = 5  # pixels from a triangle where the pointer still means its frame
REACH = 8  # pixels beside the strips where a press still counts


class CurveView(QWidget):
    """Two strips over time, confidence above area, with a line per object.

    Suspicious frames carry a small triangle above the strips. Clicking or dragging emits
    `frame_chosen`; on a triangle, exactly its frame. Drawing waits for the next paint event, so
    that setting curves often costs no more than Qt draws.

    Attributes
    ----------
    frame_chosen
        Signal(int): the user wants to see this frame. The line has moved there already.
    """

    frame_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._curves: tuple[Curves, ...] = ()
        self._colours: dict[int, Rgb] = {}
        self._n_frames = 1
        self._frame = 0
        self._pointer: QPointF | None = None
        self._picture: Picture | None = None
        self._backdrop: QPixmap | None = None
        self.setMouseTracking(True)
        self.setMinimumSize(200, 110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Confidence and area over time")

    def sizeHint(self) -> QSize:
        """Prefer a low, wide strip."""
        return QSize(800, 170)

    # -- what is shown ---------------------------------------------------------------------------
    def set_curves(
        self, curves: Sequence[Curves], colours: Mapping[int, Sequence[float]] | None = None
    ) -> None:
        """Show these objects and no others.

        Parameters
        ----------
        curves
            All of one length, which becomes the number of frames.
        colours
            Object id -> RGBA (or RGB), 0 .. 1. Colours that would drown in the background are
            brought towards the text's; objects without one take that.
        """
        self._curves = tuple(curves)
        self._colours = {one: _rgb(colour) for one, colour in (colours or {}).items()}
        if self._curves:
            self._n_frames = max(1, *(len(one.confidence) for one in self._curves))
        self._redraw()

    def set_frames(self, n_frames: int) -> None:
        """Tell the movie's length; curves of another length are dropped."""
        self._n_frames = max(1, n_frames)
        fitting = (one for one in self._curves if len(one.confidence) == self._n_frames)
        self._curves = tuple(fitting)
        self._redraw()

    def set_frame(self, frame: int) -> None:
        """Move the line of the current frame; emits nothing."""
        if frame != self._frame:
            self._frame = frame
            self.update()

    @property
    def frame(self) -> int:
        """Where the line is."""
        return self._frame

    @property
    def picture(self) -> Picture:
        """Where everything is drawn at the present size."""
        if self._picture is None:
            self._picture = Picture(
                self._curves,
                self._n_frames,
                self._colours,
                QSizeF(self.size()),
                self.devicePixelRatioF(),
                self.palette(),
                self.font(),
            )
        return self._picture

    # -- the mouse -------------------------------------------------------------------------------
    def mousePressEvent(self, event: Any) -> None:
        """Go to the frame that was clicked."""
        place = event.position()
        near = self.picture.plot.adjusted(-REACH, -LANE - REACH, REACH, self.height())
        left = event.button() == Qt.MouseButton.LeftButton
        if left and not self.picture.is_empty and near.contains(place):
            self._choose(place)
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: Any) -> None:
        """Follow a drag, and tell what is under the pointer."""
        self._pointer = event.position()
        if event.buttons() & Qt.MouseButton.LeftButton and not self.picture.is_empty:
            self._choose(self._pointer)
        text = self._tip()
        if text:
            QToolTip.showText(event.globalPosition().toPoint(), text, self)
        else:
            QToolTip.hideText()
        self.update()

    def leaveEvent(self, event: Any) -> None:
        """Forget the pointer."""
        self._pointer = None
        self.update()

    def _choose(self, place: QPointF) -> None:
        frame = self._frame_under(place)
        if frame != self._frame:
            self.set_frame(frame)
            self.frame_chosen.emit(frame)

    def _in_lane(self, place: QPointF) -> bool:
        return place.y() < self.picture.plot.top()

    def _frame_under(self, place: QPointF) -> int:
        """The frame at a place; in the row of triangles that of the nearest one."""
        away = lambda frame: abs(self.picture.x_of(frame) - place.x())  # noqa: E731
        if self._in_lane(place):
            marks = (frame for one in self._curves for frame in one.suspicious)
            near = min(marks, key=away, default=None)
            if near is not None and away(near) <= SNAP:
                return near
        return self.picture.frame_at(place.x())

    def _under_pointer(self) -> tuple[int, Curves] | None:
        """Frame, and the object whose line is nearest, under the pointer."""
        place, picture = self._pointer, self.picture
        reach = picture.plot.adjusted(0, -LANE - 2, 0, 0)
        if place is None or picture.is_empty or not reach.contains(place):
            return None
        frame = self._frame_under(place)
        marked = [one for one in self._curves if frame in one.suspicious]
        candidates = marked if marked and self._in_lane(place) else self._curves
        upper, lower = picture.strips
        strip = upper if place.y() < lower.box.top() - SPACING / 2 else lower
        away = {
            number: abs(float(strip.y(strip.values(one)[frame])) - place.y())
            for number, one in enumerate(candidates)
            if np.isfinite(strip.values(one)[frame])
        }
        return (frame, candidates[min(away, key=away.__getitem__)]) if away else None

    def _tip(self) -> str:
        found = self._under_pointer()
        if found is None:
            return ""
        frame, one = found
        sure, area = float(one.confidence[frame]), float(one.area[frame])
        lines = [f"Frame {frame} · object {one.object_id}"]
        if np.isfinite(sure):
            lines.append(f"Confidence {sure:.2f}")
        if np.isfinite(area):
            lines.append(f"Area {area:,.0f} px" if area else "Absent")
        if frame in one.suspicious:
            lines.append("Worth a look")
        return "\n".join(lines)

    # -- drawing ---------------------------------------------------------------------------------
    def resizeEvent(self, event: Any) -> None:
        """Draw anew."""
        self._redraw()

    def changeEvent(self, event: Any) -> None:
        """Draw anew in another theme or font."""
        kinds = QEvent.Type.PaletteChange, QEvent.Type.StyleChange, QEvent.Type.FontChange
        if event.type() in kinds:
            self._redraw()
        super().changeEvent(event)

    def _redraw(self) -> None:
        self._backdrop = self._picture = None
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Lay what moves over what stays."""
        if self.picture.ratio != self.devicePixelRatioF():  # moved to another screen
            self._redraw()
        if self._backdrop is None:
            self._backdrop = self._painted()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._backdrop)
        if not self.picture.is_empty:
            pointed = self._under_pointer()
            if pointed is not None:
                self.picture.paint_pointed(painter, *pointed)
            if 0 <= self._frame < self._n_frames:
                self.picture.paint_frame(painter, self._frame)
        painter.end()

    def _painted(self) -> QPixmap:
        pixmap = QPixmap((QSizeF(self.size()) * self.picture.ratio).toSize())
        pixmap.setDevicePixelRatio(self.picture.ratio)
        painter = QPainter(pixmap)
        self.picture.paint(painter)
        painter.end()
        return pixmap


def _rgb(colour: Sequence[float]) -> Rgb:
    red, green, blue = (min(max(float(part), 0.0), 1.0) for part in tuple(colour)[:3])
    return red, green, blue
