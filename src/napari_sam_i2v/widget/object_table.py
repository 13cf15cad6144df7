"""The list of objects: colour, name, prompts, state and confidence of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QItemSelectionModel, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QIcon, QPainter, QPalette, QPen, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_sam_i2v.propagation.confidence import DOUBTFUL_BELOW

if TYPE_CHECKING:
    from napari_sam_i2v.widget.tracking import ObjectRow

__all__ = ["EMPTY_TEXT", "ObjectTable"]

EMPTY_TEXT = "No objects yet.\nPress Point, then click on one in the movie."
HEADERS = ("ID", "Name", "Prompts", "State", "Conf.")
ID, NAME, PROMPTS, STATE, CONFIDENCE = range(5)
ROW_HEIGHT = 24  # pixels at least, more in a large font
LEAST_ROWS = 2  # seen in a low window; in a higher one the table takes what is left
SWATCH = 12  # pixels
MOST_FRAMES = 12  # that a tooltip lists

HEADER_TIPS = (
    "The object’s value in the Labels layer",
    "Double-click to rename",
    "Points, boxes and painted masks given",
    "Whether the masks belong to the present prompts",
    "How sure the least sure answer is, of all frames: that of its mask, or that it is not there",
)
NOT_HERE = "not here"
STATE_TIPS = {
    "not tracked": "Only the frames with prompts have a mask: press Track",
    "changed": "Its prompts changed after it was tracked: press Track again",
    "tracking": "The pass under way is about it",
    "tracked": "Every frame asked for has an answer",
    "locked": "Kept as it is by every pass",
    "empty": "No prompt yet: click on it in the movie",
    NOT_HERE: "You said that it is not on this frame; a click on it, or Shift+N, takes it back",
}


class ObjectTable(QTableWidget):
    """One row per object.

    Attributes
    ----------
    chosen
        Signal(int): the user made this object the current one.
    selected
        Signal(): other rows are selected.
    renamed
        Signal(int, str): the user gave an object another name.
    """

    chosen = Signal(int)
    selected = Signal()
    renamed = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADERS), parent)
        self._rows: tuple[ObjectRow, ...] = ()
        self._build_headers()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setIconSize(QSize(SWATCH, SWATCH))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(self._height(LEAST_ROWS))
        self.setAccessibleName("Objects")
        self.itemChanged.connect(self._on_item)
        self.itemSelectionChanged.connect(self._on_selection)

    def _build_headers(self) -> None:
        for column, (text, tip) in enumerate(zip(HEADERS, HEADER_TIPS, strict=True)):
            item = QTableWidgetItem(text)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().setVisible(False)
        self.verticalHeader().setDefaultSectionSize(self._row_height)

    @property
    def _row_height(self) -> int:
        return max(ROW_HEIGHT, self.fontMetrics().height() + 6)

    def _height(self, rows: int) -> int:
        header = self.horizontalHeader().sizeHint().height()
        return header + rows * self._row_height + 2 * self.frameWidth()

    def changeEvent(self, event: QEvent) -> None:
        """Show all in another font; items have one of their own."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.verticalHeader().setDefaultSectionSize(self._row_height)
            self.setMinimumHeight(self._height(LEAST_ROWS))
            for number in range(self.rowCount()):
                for column in (STATE, CONFIDENCE):
                    if (item := self.item(number, column)) is not None:
                        self._emphasise(item, item.font().bold())

    def sizeHint(self) -> QSize:
        """Ask for little: the layout's stretch gives the rest."""
        return QSize(280, self._height(LEAST_ROWS))

    def minimumSizeHint(self) -> QSize:
        """Never widen the dock."""
        return QSize(200, self._height(LEAST_ROWS))

    # -- what is shown ---------------------------------------------------------------------------
    @property
    def ids(self) -> list[int]:
        """Ids of the rows, from above."""
        return [row.object_id for row in self._rows]

    @property
    def not_here(self) -> frozenset[int]:
        """Ids of the objects that are shown as not being on the frame on screen."""
        return frozenset(row.object_id for row in self._rows if row.not_here)

    def selected_ids(self) -> list[int]:
        """Ids of the selected rows, from above."""
        rows = {index.row() for index in self.selectionModel().selectedRows()}
        return [row.object_id for number, row in enumerate(self._rows) if number in rows]

    def set_rows(self, rows: Sequence[ObjectRow], current: int) -> None:
        """Show these objects; the selection stays, and holds the current object.

        Rows that stay are changed in place, so that nobody who types a name is disturbed.
        """
        selected = self.selected_ids()
        self.blockSignals(True)
        anew = [row.object_id for row in rows] != self.ids
        self._rows = tuple(rows)
        with self._columns_held():
            if anew:
                self.setRowCount(len(rows))
            for number, row in enumerate(rows):
                self._fill(number, row)
        self._select(selected, current)
        self.blockSignals(False)
        if self.selected_ids() != selected:
            self.selected.emit()
        self.viewport().update()

    @contextmanager
    def _columns_held(self) -> Iterator[None]:
        """Measure the columns once at the end: a column that fits all rows does so at each text."""
        header, modes = self.horizontalHeader(), QHeaderView.ResizeMode
        fitting = [n for n in range(len(HEADERS)) if n != NAME]
        for column in fitting:
            header.setSectionResizeMode(column, modes.Fixed)
        try:
            yield
        finally:
            for column in fitting:
                header.setSectionResizeMode(column, modes.ResizeToContents)

    def _fill(self, number: int, row: ObjectRow) -> None:
        sure = "–" if row.confidence is None else f"{row.confidence:.2f}"
        state = NOT_HERE if row.not_here else row.state
        texts = (str(row.object_id), row.name, str(row.prompts), state, sure)
        for column, text in enumerate(texts):
            item = self.item(number, column)
            if item is None:
                item = self._new_item(number, column)
            item.setText(text)
        first = self.item(number, ID)
        look = (*row.colour, row.not_here)
        if first.data(Qt.ItemDataRole.UserRole) != look:
            first.setData(Qt.ItemDataRole.UserRole, look)
            first.setIcon(_swatch(row.colour, self.devicePixelRatioF(), filled=not row.not_here))
        first.setToolTip(f"Daughter of {row.mother}" if row.mother is not None else "")
        self.item(number, NAME).setToolTip(row.name)
        self.item(number, PROMPTS).setToolTip(_absences(row.absent))
        self.item(number, STATE).setToolTip(STATE_TIPS.get(state, ""))
        doubtful = row.confidence is not None and row.confidence < DOUBTFUL_BELOW
        self._emphasise(self.item(number, STATE), row.state == "changed")
        self._emphasise(self.item(number, CONFIDENCE), doubtful)

    def _new_item(self, number: int, column: int) -> QTableWidgetItem:
        item = QTableWidgetItem()
        if column in (PROMPTS, CONFIDENCE):
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if column != NAME:
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
        self.setItem(number, column, item)
        return item

    def _emphasise(self, item: QTableWidgetItem, bold: bool) -> None:
        # Bold is seen in every theme; a colour of ours is not.
        font = QFont(self.font())
        font.setBold(bold)
        item.setFont(font)

    def _select(self, selected: Sequence[int], current: int) -> None:
        """Keep the selection if the current object is in it; else select that alone."""
        wanted = [one for one in selected if one in self.ids] if current in selected else [current]
        numbers = [number for number, row in enumerate(self._rows) if row.object_id in wanted]
        if self.selected_ids() != wanted:
            self.clearSelection()
            model, flags = self.selectionModel(), QItemSelectionModel.SelectionFlag
            for number in numbers:
                model.select(self.model().index(number, 0), flags.Select | flags.Rows)
        here = next((n for n, row in enumerate(self._rows) if row.object_id == current), None)
        if here is not None and self.currentRow() != here:
            index = self.model().index(here, NAME)
            flag = QItemSelectionModel.SelectionFlag.NoUpdate
            self.selectionModel().setCurrentIndex(index, flag)
            self.scrollTo(index)

    # -- what the user does ----------------------------------------------------------------------
    def _on_item(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        if item.column() == NAME and item.text() != row.name:
            self.renamed.emit(row.object_id, item.text())

    def _on_selection(self) -> None:
        ids, number = self.selected_ids(), self.currentRow()
        self.selected.emit()
        if 0 <= number < len(self._rows) and self._rows[number].object_id in ids:
            self.chosen.emit(self._rows[number].object_id)
        elif ids:
            self.chosen.emit(ids[0])

    def edit_name(self, object_id: int) -> None:
        """Let the user type an object's name."""
        self.editItem(self.item(self.ids.index(object_id), NAME))

    def paintEvent(self, event: Any) -> None:
        """Say what to do while there are no objects."""
        super().paintEvent(event)
        if self._rows:
            return
        painter = QPainter(self.viewport())
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        colour.setAlphaF(0.6)
        painter.setPen(colour)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(self.viewport().rect().adjusted(8, 8, -8, -8), flags, EMPTY_TEXT)
        painter.end()


def _absences(frames: Sequence[int]) -> str:
    """Say on which frames an object is marked as not being there."""
    shown = ", ".join(map(str, frames[:MOST_FRAMES])) + (", …" if len(frames) > MOST_FRAMES else "")
    return f"“Not here” on frame {shown}" if frames else ""


def _swatch(colour: Sequence[float], ratio: float, *, filled: bool) -> QIcon:
    """A patch of an object's colour; only its outline where the object is not."""
    pixmap = QPixmap(round(SWATCH * ratio), round(SWATCH * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    own = QColor.fromRgbF(*(min(max(float(part), 0.0), 1.0) for part in colour))
    if filled:
        painter.setBrush(own)
    # An outline of middle grey, so that black and white are seen on every background.
    painter.setPen(QPen(QColor(128, 128, 128) if filled else own, 1 if filled else 2))
    painter.drawRoundedRect(QRectF(0.5, 0.5, SWATCH - 1, SWATCH - 1), 3, 3)
    painter.end()
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected, QIcon.Mode.Active):
        icon.addPixmap(pixmap, mode)
    return icon
