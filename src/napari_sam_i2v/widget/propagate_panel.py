"""What a pass is asked for: direction, objects and frames; and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Direction", "PassChoice", "PropagatePanel", "Span", "Until", "combo"]

Direction = Literal["forward", "backward", "both"]
Span = Literal["movie", "here"] | range
Until = Literal["end", "prompted"]

DIRECTIONS = (("Forward", "forward"), ("Backward", "backward"), ("Both ways", "both"))
OBJECTS = (("All objects", "all"), ("Selected objects", "selected"))
SPANS = (("Whole movie", "movie"), ("From this frame", "here"), ("Frames…", "range"))


@dataclass(frozen=True)
class PassChoice:
    """What is set in the panel; the fields are those of `TrackController.propagate`.

    Attributes
    ----------
    selected_only
        The objects selected in the table instead of all.
    """

    direction: Direction
    selected_only: bool
    span: Span
    until: Until


class PropagatePanel(QWidget):
    """The choices of a pass, its two buttons, and its progress.

    Attributes
    ----------
    track_pressed, cancel_pressed
        Signal(): what it says.
    changed
        Signal(): another choice was made.
    """

    track_pressed = Signal()
    cancel_pressed = Signal()
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.direction = combo(DIRECTIONS)
        self.direction.setToolTip("Where to go from an object’s prompted frames")
        self.objects = combo(OBJECTS)
        self.objects.setToolTip("Other objects’ masks stay exactly as they are")
        self.span = combo(SPANS)
        self.span.setToolTip("Which frames may change")
        self.first, self.last = QSpinBox(), QSpinBox()
        self.first.setToolTip("First frame, counted as at the time slider")
        self.last.setToolTip("Last frame, which is included")
        self.stop = QCheckBox("Stop at next prompted or locked frame")
        self.stop.setToolTip("A correction then changes no frame beyond the next one you set right")
        self.follow = QCheckBox("Show frames as they are done")
        self.follow.setChecked(True)
        self.follow.setToolTip("The time slider follows the pass")
        self.track = QPushButton("Track")
        self.track.setToolTip("Carry the objects through the chosen frames (K)")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop after this frame; finished frames are kept")
        self.progress = QProgressBar()
        self.status = QLabel(wordWrap=True)
        self._arrange()
        self._connect()
        self.set_n_frames(1)
        self.show_tracking(False, ready=False)

    def _arrange(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Direction", self.direction)
        form.addRow("Objects", self.objects)
        form.addRow("Frames", self.span)
        form.addRow("", self._range_row())
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.track, stretch=2)
        buttons.addWidget(self.cancel, stretch=1)
        # The bar keeps its place, so that nothing moves under the pointer when a pass begins.
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self.progress.setFixedHeight(14)
        self.progress.setTextVisible(False)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.status.setMinimumHeight(2 * self.fontMetrics().lineSpacing() + 4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(form)
        for widget in (self.stop, self.follow):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)

    def _range_row(self) -> QWidget:
        self.range_row = QWidget()
        row = QHBoxLayout(self.range_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for box in (self.first, self.last):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setMinimumWidth(70)
        row.addWidget(self.first)
        row.addWidget(QLabel("to"))
        row.addWidget(self.last)
        self.range_row.setVisible(False)
        return self.range_row

    def _connect(self) -> None:
        self.track.clicked.connect(self._on_track)
        self.cancel.clicked.connect(self._on_cancel)
        self.span.currentIndexChanged.connect(self._on_span)
        self.objects.currentIndexChanged.connect(self._on_changed)

    # -- what is chosen --------------------------------------------------------------------------
    def choice(self) -> PassChoice:
        """Return what is set."""
        return PassChoice(
            direction=self.direction.currentData(),
            selected_only=self.objects.currentData() == "selected",
            span=self._span(),
            until="prompted" if self.stop.isChecked() else "end",
        )

    def _span(self) -> Span:
        if self.span.currentData() != "range":
            chosen: Literal["movie", "here"] = self.span.currentData()
            return chosen
        first, last = sorted((self.first.value(), self.last.value()))
        return range(first, last + 1)

    def set_n_frames(self, n_frames: int) -> None:
        """Tell the movie's length; a last frame at its end stays there."""
        at_end = self.last.value() == self.last.maximum() or not self.range_row.isVisibleTo(self)
        for box in (self.first, self.last):
            box.setRange(0, max(0, n_frames - 1))
        if at_end:
            self.last.setValue(n_frames - 1)

    def _on_span(self) -> None:
        self.range_row.setVisible(self.span.currentData() == "range")
        self.changed.emit()

    def _on_changed(self) -> None:
        self.changed.emit()

    def _on_track(self) -> None:
        self.track_pressed.emit()

    def _on_cancel(self) -> None:
        self.cancel_pressed.emit()

    # -- what is shown ---------------------------------------------------------------------------
    def show_tracking(self, tracking: bool, *, ready: bool, cancelling: bool = False) -> None:
        """Enable by state.

        Parameters
        ----------
        tracking : bool
            A pass is running.
        ready : bool
            One could be begun.
        cancelling : bool
            The running pass was asked to stop.
        """
        for widget in (self.direction, self.objects, self.span, self.range_row, self.stop):
            widget.setEnabled(not tracking)
        self.track.setEnabled(ready and not tracking)
        self.cancel.setEnabled(tracking and not cancelling)
        self.progress.setVisible(tracking)

    def show_progress(self, done: int, total: int) -> None:
        """Move the bar; without a total it is busy."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)


def combo(entries: tuple[tuple[str, str], ...] = ()) -> QComboBox:
    """Make a combo box whose long names are cut instead of widening the dock."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    for text, data in entries:
        box.addItem(text, data)
    return box
