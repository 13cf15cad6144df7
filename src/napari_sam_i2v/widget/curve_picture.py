"""How `CurveView` looks: where things are, and how they are painted. It knows no mouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSizeF, Qt
from qtpy.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QPainter,
    QPainterPath,
    QPalette,
    QPen,
    QPolygonF,
)

from napari_sam_i2v.widget.plotting import (
    Rgb,
    column_ranges,
    isolated,
    mixed,
    nice_ceiling,
    nice_step,
    readable,
    short_number,
    stroke,
)
from napari_sam_i2v.widget.review import DOUBTFUL_BELOW, Curves

__all__ = ["EMPTY_TEXT", "Picture", "Strip"]

EMPTY_TEXT = "Track something to see confidence and area over time"

MARGIN = 6  # pixels, as all that follow
LANE = 9  # height of the row of triangles
SPACING = 7  # between the strips
MIDDLE_ROOM = 44  # least height of a strip whose threshold is labelled
TICK_ROOM = 64  # least distance of frame numbers
MARK_ROOM = 6  # triangles of one object nearer than this are drawn once
DOT_ROOM = 12  # frames at least this wide carry dots
MAX_DOTS = 600  # more are a smear, and slow
STEEP = 3.0  # times the thickness, at most, for steep lines
FEW = 12  # objects whose lines need not be thin


@dataclass(frozen=True)
class Strip:
    """One of the two plots.

    Attributes
    ----------
    name
        "Confidence" or "Area".
    box
        Where it is.
    top
        The value at its upper edge; 0 is at the lower.
    """

    name: str
    box: QRectF
    top: float

    def y(self, value: Any) -> Any:
        """Row of a value, or rows of values."""
        return self.box.bottom() - value / self.top * self.box.height()

    def values(self, one: Curves) -> NDArray[np.floating[Any]]:
        """Give what is drawn here of an object, (T,)."""
        return one.confidence if self.name == "Confidence" else one.area


@dataclass(frozen=True, eq=False)
class Picture:
    """Curves as they are laid out and painted at one size in one theme.

    Attributes
    ----------
    curves, n_frames
        What is shown.
    colours
        Object id -> RGB, 0 .. 1.
    size, ratio
        In pixels of the widget; device pixels per pixel.
    palette, font
        Of the widget.
    """

    curves: tuple[Curves, ...]
    n_frames: int
    colours: Mapping[int, Rgb]
    size: QSizeF
    ratio: float
    palette: QPalette
    font: QFont

    # -- places ----------------------------------------------------------------------------------
    @cached_property
    def is_empty(self) -> bool:
        """Whether there is no answer to draw."""
        shown = (values for one in self.curves for values in (one.confidence, one.area))
        return not any(np.isfinite(values).any() for values in shown)

    @cached_property
    def plot(self) -> QRectF:
        """Both strips together."""
        metrics = QFontMetricsF(self.small_font)
        left = round(MARGIN + metrics.horizontalAdvance("Confidence  0.5") + 6)
        top, bottom = MARGIN + LANE + 2, round(metrics.height()) + 7
        wide, high = self.size.width() - left - 12, self.size.height() - top - bottom
        return QRectF(left, top, max(round(wide), 1), max(round(high), 1))

    @cached_property
    def strips(self) -> tuple[Strip, Strip]:
        """The two plots, confidence above area."""
        box = self.plot
        height = max(int((box.height() - SPACING) // 2), 1)
        upper = QRectF(box.left(), box.top(), box.width(), height)
        lower = QRectF(box.left(), box.bottom() - height, box.width(), height)
        largest = [float(one.area[np.isfinite(one.area)].max(initial=0)) for one in self.curves]
        ceiling = nice_ceiling(max(largest, default=0))
        return Strip("Confidence", upper, 1.0), Strip("Area", lower, ceiling)

    def x_of(self, frame: float) -> float:
        """Give the column of a frame's middle."""
        return float(self.plot.left() + (frame + 0.5) * self.plot.width() / self.n_frames)

    def frame_at(self, x: float) -> int:
        """Give the frame at a column; beyond the ends the first and the last."""
        frame = int((x - self.plot.left()) * self.n_frames // self.plot.width())
        return min(max(frame, 0), self.n_frames - 1)

    # -- colours and font ------------------------------------------------------------------------
    @cached_property
    def ground(self) -> Rgb:
        """The background."""
        return _rgb(self.palette.color(QPalette.ColorRole.Window))

    @cached_property
    def text(self) -> Rgb:
        """The colour of text."""
        return _rgb(self.palette.color(QPalette.ColorRole.WindowText))

    def faded(self, part: float) -> QColor:
        """Give the background with a part of the text's colour."""
        return QColor.fromRgbF(*mixed(self.ground, self.text, part))

    def colour(self, object_id: int) -> Rgb:
        """Give the object's colour, as far towards the text's as it takes to be seen."""
        return self._readable.get(object_id, self.text)

    @cached_property
    def _readable(self) -> dict[int, Rgb]:
        on = mixed(self.ground, self.text, 0.06)
        colours = self.colours.items()
        return {one: readable(own, on=on, towards=self.text) for one, own in colours}

    @cached_property
    def small_font(self) -> QFont:
        """For numbers and names."""
        font = QFont(self.font)
        size = font.pointSizeF()
        font.setPointSizeF(max(7.0, size * 0.88)) if size > 0 else font.setPixelSize(11)
        return font

    # -- what stays ------------------------------------------------------------------------------
    def paint(self, painter: QPainter) -> None:
        """Paint all but the current frame and what is under the pointer."""
        painter.fillRect(QRectF(QPointF(0, 0), self.size), self.faded(0))
        if self.is_empty:
            self._paint_empty(painter)
            return
        painter.setFont(self.small_font)
        for strip in self.strips:
            self._paint_scale(painter, strip)
        self._paint_frame_numbers(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for strip in self.strips:
            painter.drawImage(strip.box.topLeft(), self._lines(strip, self.curves))
            self._paint_dots(painter, strip)
        self._paint_marks(painter)

    def _paint_empty(self, painter: QPainter) -> None:
        painter.setPen(self.faded(0.7))
        painter.setFont(self.font)
        box = QRectF(QPointF(0, 0), self.size).adjusted(16, 8, -16, -8)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(box, int(flags), EMPTY_TEXT)

    def _paint_scale(self, painter: QPainter, strip: Strip) -> None:
        painter.fillRect(strip.box, self.faded(0.06))
        right = strip.box.left() - 6
        painter.setPen(self.faded(0.9))
        self._write(painter, strip.name, QPointF(MARGIN, strip.box.top()), upper=True)
        painter.setPen(self.faded(0.7))
        upper, lower = QPointF(right, strip.box.top()), QPointF(right, strip.box.bottom())
        self._write(painter, short_number(strip.top), upper, upper=True, to_the_right=False)
        self._write(painter, "0", lower, upper=False, to_the_right=False)
        if strip.name == "Confidence":
            y = round(strip.y(DOUBTFUL_BELOW)) + 0.5
            painter.setPen(QPen(self.faded(0.45), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(strip.box.left(), y), QPointF(strip.box.right(), y))
            if strip.box.height() >= MIDDLE_ROOM:
                painter.setPen(self.faded(0.7))
                middle = y + QFontMetricsF(self.small_font).capHeight() / 2
                text = short_number(DOUBTFUL_BELOW)
                self._write(painter, text, QPointF(right, middle), upper=False, to_the_right=False)

    def _write(
        self,
        painter: QPainter,
        text: str,
        corner: QPointF,
        *,
        upper: bool,
        to_the_right: bool = True,
    ) -> None:
        """Write text into a corner: its capitals touch the upper or lower edge."""
        metrics = QFontMetricsF(self.small_font)
        x = corner.x() if to_the_right else corner.x() - metrics.horizontalAdvance(text)
        y = corner.y() + metrics.capHeight() + 1 if upper else corner.y()
        painter.drawText(QPointF(x, y), text)

    def _paint_frame_numbers(self, painter: QPainter) -> None:
        box, metrics = self.plot, QFontMetricsF(self.small_font)
        base = self.size.height() - 4 - metrics.descent()
        painter.setPen(self.faded(0.9))
        painter.drawText(QPointF(MARGIN, base), "Frame")
        for frame in self._ticks:
            x = self.x_of(frame)
            painter.setPen(self.faded(0.35))
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + 3))
            painter.setPen(self.faded(0.7))
            self._write_centred(painter, str(frame), x, base)

    @cached_property
    def _ticks(self) -> range:
        step = nice_step(self.n_frames * TICK_ROOM / self.plot.width())
        return range(0, self.n_frames, step)

    def _write_centred(self, painter: QPainter, text: str, x: float, base: float) -> None:
        box = self._number_box(text, x)
        painter.drawText(QPointF(box.left() + 4, base), text)

    def _number_box(self, text: str, x: float) -> QRectF:
        """Where a frame number goes; moved to the inside at the right edge."""
        metrics = QFontMetricsF(self.small_font)
        width = metrics.horizontalAdvance(text) + 8
        left = min(x - width / 2, self.size.width() - 2 - width)
        height = metrics.height()
        return QRectF(left, self.size.height() - 4 - height, width, height)

    def _lines(self, strip: Strip, curves: Sequence[Curves], *, thick: float = 0) -> QImage:
        """Lines of objects as a transparent image of the strip."""
        width, height = (round(side * self.ratio) for side in _sides(strip.box))
        image = np.zeros((height, width, 4), np.float32)
        thickness = thick or (1.6 if len(curves) <= FEW else 1.2)
        for one in curves:
            least, most = column_ranges(strip.values(one), width)
            # The line keeps its thickness at the edges, at 0 and at 1.
            margin = thickness / 2 / strip.box.height()
            upper, lower = (
                (1 - margin - value / strip.top * (1 - 2 * margin)) * height
                for value in (most, least)
            )
            # A steep line needs more rows to look as thick; a crowd of frames is no line.
            steep = np.hypot(1, lower - upper).clip(max=STEEP) if 4 * self.n_frames < width else 1.0
            stroke(
                image,
                upper,
                lower,
                colour=self.colour(one.object_id),
                thickness=thickness * self.ratio * steep,
            )
        return _as_image(image, self.ratio)

    def _paint_dots(self, painter: QPainter, strip: Strip) -> None:
        wide = self.plot.width() / self.n_frames >= DOT_ROOM
        every = wide and self.n_frames * len(self.curves) <= MAX_DOTS
        painter.setPen(Qt.PenStyle.NoPen)
        for one in self.curves:
            values = strip.values(one)
            frames = np.flatnonzero(np.isfinite(values)) if every else isolated(values)
            painter.setBrush(QColor.fromRgbF(*self.colour(one.object_id)))
            for frame in frames[:MAX_DOTS].tolist():
                painter.drawEllipse(QPointF(self.x_of(frame), strip.y(values[frame])), 2, 2)

    def _paint_marks(self, painter: QPainter) -> None:
        """Paint the triangles; of those that would hide one another, one."""
        painter.setPen(Qt.PenStyle.NoPen)
        taken: set[int] = set()
        for one in self.curves:
            painter.setBrush(QColor.fromRgbF(*self.colour(one.object_id)))
            last = -np.inf
            for frame in one.suspicious:
                x = self.x_of(frame)
                if x - last >= MARK_ROOM and round(x / 2) not in taken:
                    painter.drawPolygon(_triangle(x, MARGIN, LANE - 1))
                    taken.add(round(x / 2))
                    last = x

    # -- what moves ------------------------------------------------------------------------------
    def paint_frame(self, painter: QPainter, frame: int) -> None:
        """Paint the line of the current frame, with its number."""
        x, colour = round(self.x_of(frame) - 0.5) + 0.5, self.faded(1)
        painter.setPen(QPen(colour, 1))
        painter.drawLine(QPointF(x, MARGIN), QPointF(x, self.plot.bottom() + 3))
        painter.setFont(self.small_font)
        text = str(frame)
        box = self._number_box(text, x)
        for tick in self._ticks:  # half a number beside it would read as another one
            under = self._number_box(str(tick), self.x_of(tick))
            if under.intersects(box):
                painter.fillRect(under, self.faded(0))
        chip = QPainterPath()
        chip.addRoundedRect(box.adjusted(-1, 0, 1, 1), 3, 3)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillPath(chip, colour)
        painter.setPen(self.faded(0))
        base = self.size.height() - 4 - QFontMetricsF(self.small_font).descent()
        self._write_centred(painter, text, x, base)

    def paint_pointed(self, painter: QPainter, frame: int, one: Curves) -> None:
        """Paint what is under the pointer: one object's lines, and its values on a frame."""
        x = self.x_of(frame)
        painter.setPen(QPen(self.faded(0.5), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(x, self.plot.top()), QPointF(x, self.plot.bottom()))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for strip in self.strips:
            if len(self.curves) > 1:
                painter.drawImage(strip.box.topLeft(), self._lines(strip, [one], thick=2.6))
            value = strip.values(one)[frame]
            if np.isfinite(value):
                painter.setPen(QPen(self.faded(1), 1.2))
                painter.setBrush(QColor.fromRgbF(*self.colour(one.object_id)))
                painter.drawEllipse(QPointF(x, strip.y(value)), 3.5, 3.5)


def _rgb(colour: QColor) -> Rgb:
    return colour.redF(), colour.greenF(), colour.blueF()


def _sides(box: QRectF) -> tuple[float, float]:
    return box.width(), box.height()


def _triangle(x: float, top: float, height: float) -> QPolygonF:
    """Give one that points down at a column."""
    half = height * 0.6
    corners = (x - half, top), (x + half, top), (x, top + height)
    return QPolygonF([QPointF(*corner) for corner in corners])


def _as_image(pixels: NDArray[np.float32], ratio: float) -> QImage:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray((pixels * 255 + 0.5).astype(np.uint8))
    kind = QImage.Format.Format_RGBA8888_Premultiplied
    image = QImage(data.data, width, height, 4 * width, kind).copy()  # Qt keeps no reference
    image.setDevicePixelRatio(ratio)
    return image
