"""The dock's rows of buttons, and the combo box of movies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

from napari_sam_i2v.widget.propagate_panel import combo

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = [
    "HistoryRow",
    "ReviewRow",
    "Scrolling",
    "Tool",
    "ToolRow",
    "choose_image",
    "label_row",
    "line",
    "movie_combo",
    "show_images",
]

Tool = Literal["point", "box", "paint"]
SPACING = 4

_TOOL_TIPS: dict[Tool, str] = {
    "point": "Click on the object; Ctrl+click or right-click where it is not",
    "box": "Drag a rectangle around the object",
    "paint": "Paint the object’s mask",
}


class _Row(QWidget):
    """Widgets side by side without margins."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(SPACING)


class ToolRow(_Row):
    """How the user prompts.

    Attributes
    ----------
    tool_pressed
        Signal(str): one of `Tool`; the button shows `show_tool`, not the press.
    new_pressed
        Signal(): a new object is wanted.
    """

    tool_pressed = Signal(str)
    new_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tools: dict[Tool, QPushButton] = {}
        for tool, tip in _TOOL_TIPS.items():
            button = QPushButton(tool.capitalize())
            button.setCheckable(True)
            button.setToolTip(f"{tip}.\nPress again to put the tool away.")
            button.clicked.connect(partial(self._on_tool, tool))
            self.tools[tool] = button
            self.row.addWidget(button, stretch=2)
        self.new = QPushButton("New object")
        self.new.setToolTip("The next prompts are for another object (N)")
        self.new.clicked.connect(self._on_new)
        self.row.addWidget(self.new, stretch=3)

    def _on_tool(self, tool: Tool, checked: bool = False) -> None:
        self.tool_pressed.emit(tool)

    def _on_new(self) -> None:
        self.new_pressed.emit()

    def show_tool(self, armed: str | None, *, enabled: bool) -> None:
        """Show which tool is armed."""
        for tool, button in self.tools.items():
            button.setChecked(tool == armed)
            button.setEnabled(enabled)
        self.new.setEnabled(enabled)


class HistoryRow(_Row):
    """Undo and redo, whose tooltips name the step, and the button of the objects' menu."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        for button in (self.undo, self.redo):
            self.row.addWidget(button)
        self.row.addStretch()
        self.objects = QPushButton("⋯")
        self.objects.setFixedWidth(34)
        self.objects.setToolTip(
            "Not here, delete, merge, swap, divide or lock the selected objects"
        )
        self.objects.setAccessibleName("Selected objects")
        self.row.addWidget(self.objects)

    def show_steps(self, undo: str | None, redo: str | None, *, enabled: bool) -> None:
        """Show what would be undone and redone."""
        for button, word, name, key in (
            (self.undo, "Undo", undo, "U"),
            (self.redo, "Redo", redo, "W"),
        ):
            button.setEnabled(enabled and name is not None)
            step = f"{word}: {name}" if name is not None else f"Nothing to {word.lower()}"
            button.setToolTip(f"{step} ({key})")


class ReviewRow(_Row):
    """The way through the doubtful frames.

    Attributes
    ----------
    stepped
        Signal(int): 1 to the next doubtful frame, -1 to the one before.
    locked
        Signal(bool): the user locks or unlocks the frame on screen.
    curves_pressed
        Signal(): the curves are to be shown, or hidden.
    """

    stepped = Signal(int)
    locked = Signal(bool)
    curves_pressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.previous, self.next = QPushButton("◀"), QPushButton("▶")
        for button, step, tip in (
            (self.previous, -1, "Previous doubtful frame (H)"),
            (self.next, 1, "Next doubtful frame (G)"),
        ):
            button.setFixedWidth(28)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(partial(self._on_step, step))
        self.lock = QCheckBox("Lock frame")
        self.lock.setToolTip("No pass changes a locked frame (J)")
        self.lock.clicked.connect(self._on_lock)
        self.curves = QPushButton("Curves")
        self.curves.setToolTip("Show or hide confidence and area over time, under the viewer")
        self.curves.clicked.connect(self._on_curves)
        self.row.addWidget(self.previous)
        self.row.addWidget(QLabel("Doubtful"))
        self.row.addWidget(self.next)
        self.row.addStretch()
        self.row.addWidget(self.lock)
        self.row.addStretch()
        self.row.addWidget(self.curves)

    def _on_step(self, step: int, checked: bool = False) -> None:
        self.stepped.emit(step)

    def _on_lock(self, checked: bool) -> None:
        self.locked.emit(checked)

    def _on_curves(self) -> None:
        self.curves_pressed.emit()

    def show_state(self, *, opened: bool, locked: bool, tracking: bool) -> None:
        """Enable by state."""
        for widget in (self.previous, self.next, self.curves):
            widget.setEnabled(opened)
        self.lock.setEnabled(opened and not tracking)
        self.lock.setChecked(locked)


def movie_combo() -> QComboBox:
    """Make the combo box of movies."""
    box = combo()
    box.setToolTip("The movie: an image layer with time as one of its axes")
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setPlaceholderText("Open a movie first")
    return box


def show_images(box: QComboBox, images: Sequence[Image]) -> None:
    """List the images; keeps the chosen movie, else chooses the last one that has time, too."""
    chosen = box.currentData()
    box.blockSignals(True)
    box.clear()
    for image in images:
        box.addItem(image.name, image)
        box.setItemData(box.count() - 1, image.name, Qt.ItemDataRole.ToolTipRole)
    movies = [number for number, image in enumerate(images) if image.ndim > 2]
    kept = [number for number in movies if images[number] == chosen]
    box.setCurrentIndex((kept or movies[-1:] or [len(images) - 1])[0])
    box.blockSignals(False)


def choose_image(box: QComboBox, image: Image | None) -> None:
    """Choose a movie of the list."""
    for number in range(box.count()):
        if image is not None and box.itemData(number) == image:
            box.setCurrentIndex(number)


def line() -> QFrame:
    """Make a thin line between two parts of the dock."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    frame.setFixedHeight(1)
    frame.setStyleSheet("background-color: rgba(128, 128, 128, 90); border: none;")
    return frame


class Scrolling(QScrollArea):
    """Lets content scroll up and down where the window is too low for it.

    It is never narrower than the content and the scroll bar: nothing is cut, in any font.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:
        """As wide as all is seen, as low as one likes."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, 100)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask for more room when the content needs it."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


def label_row(text: str, *widgets: QWidget) -> QWidget:
    """Put a label before widgets."""
    made = _Row()
    made.row.addWidget(QLabel(text))
    for widget in widgets:
        made.row.addWidget(widget)
    return made
