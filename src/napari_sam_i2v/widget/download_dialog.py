"""The download of a published model: what it is, where from, how far; or a file instead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from html import escape
from pathlib import Path
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam_i2v.downloads import LOCAL, Finished, Order, Progress, download, readable_size
from napari_sam_i2v.errors import SamI2VError
from napari_sam_i2v.network.registry import ModelInfo
from napari_sam_i2v.widget.work import start_on_top

__all__ = ["DownloadDialog", "ask_for_weights", "progress_text"]

WEIGHTS = "Weights (*.safetensors *.pt *.pth);;All files (*)"
SHOW_EVERY_MS = 100  # blocks come by the thousand
WIDTH = 600  # a whole SHA-256
STEPS = 1000
"""Of the bar: bytes would not fit into its integers."""
ADDRESS_HINT = "https://… of the weights file; the source page says where"
CHECKSUM_HINT = "If you know it, the file must have it; else it is shown here"
COLOURING = (QEvent.Type.Show, QEvent.Type.PaletteChange, QEvent.Type.StyleChange)
CANCELLED = "Cancelled: nothing was kept."


class _Link(QLabel):
    """A web page, in the colour of the text: napari's dark theme keeps Qt's dark blue."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._address, self._colour = address, ""
        self.setOpenExternalLinks(True)

    def event(self, event: QEvent) -> bool:
        """Follow the theme."""
        done = bool(super().event(event))
        colour = self.palette().windowText().color().name()
        if colour != self._colour and event.type() in COLOURING:
            self._colour, address = colour, escape(self._address)
            self.setText(f'<a href="{address}" style="color: {colour}">{address}</a>')
        return done


class DownloadDialog(QDialog):
    """Downloads a model when asked to; closing it cancels.

    Parameters
    ----------
    info
        The model.
    folder
        Where it goes.
    address
        Where it may be, as far as the settings know.

    Attributes
    ----------
    model_chosen
        Signal(str): the file to be used from now on, downloaded or local.
    stop
        Stops the download. It outlives the Qt object: whoever deletes the dialog with its parent
        sets it, since a dialog is not told of that.
    """

    model_chosen = Signal(str)

    def __init__(
        self, info: ModelInfo, folder: Path, address: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._info, self._folder = info, folder
        self.stop = Event()
        self._worker: Any = None
        self._began = 0.0
        self._progress: Progress | None = None
        self._showing = QTimer(self, interval=SHOW_EVERY_MS)
        self.setWindowTitle(f"Download {info.title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._build(address)
        self._connect()
        self._show_state("")

    # -- building --------------------------------------------------------------------------------
    def _build(self, address: str) -> None:
        info = self._info
        self.size_label = QLabel("unknown" if info.size is None else readable_size(info.size))
        self.checksum = QLineEdit(info.sha256 or "")
        self.checksum.setReadOnly(info.sha256 is not None)
        self.checksum.setPlaceholderText(CHECKSUM_HINT)
        self.address = QLineEdit(address)
        self.address.setPlaceholderText(ADDRESS_HINT)
        self.address.setCursorPosition(0)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.status = QLabel(wordWrap=True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.local = QPushButton("Use a local file…")
        self.cancel = QPushButton("Cancel")
        self.start = QPushButton("Download")
        self.start.setDefault(True)
        self._arrange()

    def _arrange(self) -> None:
        info = self._info
        buttons = QHBoxLayout()
        buttons.addWidget(self.local)
        buttons.addStretch()
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.start)
        column = QVBoxLayout(self)
        column.setSpacing(8)
        column.addWidget(QLabel(f"<b>{escape(info.title)}</b>: {escape(info.summary)}"))
        column.addLayout(self._form())
        column.addWidget(self.bar)
        column.addWidget(self.status)
        column.addStretch()
        column.addLayout(buttons)
        self.setMinimumWidth(WIDTH)

    def _form(self) -> QFormLayout:
        info = self._info
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Licence", QLabel(info.licence))
        form.addRow("Source", _Link(info.source))
        form.addRow("Address", self.address)
        form.addRow("Size", self.size_label)
        form.addRow("SHA-256", self.checksum)
        folder = QLabel(str(self._folder), wordWrap=True)
        folder.setToolTip("The checkpoint folder of Preferences ▸ SAM-I2V, or the user’s data")
        form.addRow("Folder", folder)
        return form

    def _connect(self) -> None:
        self.start.clicked.connect(self._on_start)
        self.cancel.clicked.connect(self._on_cancel)
        self.local.clicked.connect(self._on_local)
        self._showing.timeout.connect(self._show_progress)

    # -- what the user asks for ------------------------------------------------------------------
    def _on_start(self) -> None:
        try:
            order = Order(
                model=self._info,
                url=self.address.text().strip(),
                folder=self._folder,
                sha256=self.checksum.text().strip().lower() or None,
            )
        except SamI2VError as error:
            self._show_state(str(error))
            return
        self.stop, self._began, self._progress = Event(), time.monotonic(), None
        worker = create_worker(_work, order, self.stop, _ignore_errors=True)
        worker.yielded.connect(self._on_event)
        worker.errored.connect(self._on_error)
        worker.finished.connect(self._on_end)
        self._worker = worker
        self._show_state("Asking the server…")
        start_on_top(worker)

    def _on_cancel(self) -> None:
        if self._worker is None:
            self.close()
            return
        self.stop.set()
        self.cancel.setEnabled(False)
        self._tell("Cancelling…")

    def _on_local(self) -> None:
        if name := ask_for_weights(self, self._folder):
            self.model_chosen.emit(name)
            self.close()

    def done(self, result: int) -> None:
        """Close, and stop what goes on."""
        self.stop.set()
        if self._worker is not None:
            self._worker.yielded.disconnect(self._on_event)  # nothing is chosen any more
        super().done(result)

    # -- what the worker reports -----------------------------------------------------------------
    def _on_event(self, event: Progress | Finished) -> None:
        if isinstance(event, Finished):
            self._on_finished(event)
        else:
            self._progress = event

    def _on_finished(self, event: Finished) -> None:
        self._worker = None
        self.size_label.setText(readable_size(event.size))
        self.checksum.setText(event.sha256)
        self.checksum.setCursorPosition(0)
        how = "Downloaded and checked" if event.fetched else "It was there already"
        self._show_state(f"{how}: {self._info.title} is chosen.")
        self._show_bar(Progress(1, 1))
        self.start.setEnabled(False)
        self.cancel.setText("Close")
        self.model_chosen.emit(str(event.path))

    def _on_error(self, error: Exception) -> None:
        self._worker = None
        if self.stop.is_set():  # whatever came of it
            self._show_state(CANCELLED)
        elif isinstance(error, SamI2VError):
            self._show_state(str(error))
        else:
            self._show_state(f"{type(error).__name__}: {error}. Try again, {LOCAL}.")

    def _on_end(self) -> None:
        if self._worker is not None:  # neither finished nor failed
            self._worker = None
            self._show_state(CANCELLED)

    # -- what is shown ---------------------------------------------------------------------------
    def _show_state(self, text: str) -> None:
        at_work = self._worker is not None
        if at_work:
            self._showing.start()
        else:
            self._showing.stop()
        for widget in (self.start, self.address, self.checksum):
            widget.setEnabled(not at_work)
        self.cancel.setEnabled(True)
        self._show_bar(None if at_work else Progress(0, 1))
        self._tell(text)

    def _show_progress(self) -> None:
        progress = self._progress
        if progress is None or self.stop.is_set():
            return
        if progress.step == "checking":
            self._show_bar(None)
            self._tell("Checking that the weights fit…")
            return
        self._show_bar(progress)
        if progress.total is not None:
            self.size_label.setText(readable_size(progress.total))
        self._tell(progress_text(progress, time.monotonic() - self._began))

    def _tell(self, text: str) -> None:
        self.status.setText(text)
        # A wrapped text does not make a dialog grow: its fields would be pressed together.
        needed = self.layout().totalHeightForWidth(self.width())
        if needed > self.height():
            self.resize(self.width(), needed)

    def _show_bar(self, progress: Progress | None) -> None:
        """Show how far it is, or that it goes on."""
        known = progress is not None and progress.total is not None
        self.bar.setRange(0, STEPS if known else 0)
        if progress is not None and progress.total:
            self.bar.setValue(STEPS * progress.done // progress.total)


def ask_for_weights(parent: QWidget | None, folder: Path | None) -> str:
    """Let the user choose a weights file; empty if none was chosen."""
    start = "" if folder is None else str(folder)
    name, _ = QFileDialog.getOpenFileName(parent, "Weights of SAM-I2V", start, WEIGHTS)
    return str(name)


def progress_text(progress: Progress, seconds: float) -> str:
    """Bytes and bytes per second, in words."""
    done = readable_size(progress.done) if progress.done else "0 MB"
    of = "" if progress.total is None else f" of {readable_size(progress.total)}"
    rate = f", {readable_size(progress.done / seconds)}/s" if progress.done and seconds else ""
    return f"{done}{of}{rate}"


class _DownloadStopped(Exception):
    """An error of a type that napari's workers report: a `RuntimeError` they swallow."""


def _work(order: Order, stop: Event) -> Iterator[Progress | Finished]:
    """Download in the worker's thread; stops between two blocks."""
    try:
        with closing(download(order)) as events:
            for event in events:
                if stop.is_set() and not isinstance(event, Finished):
                    return
                yield event
    except RuntimeError as error:
        raise _DownloadStopped(str(error)) from error
