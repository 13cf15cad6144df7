"""The dock widget: choose a movie and clicks, track, watch the labels arrive.

A thin view. What it means is in `controller`; what runs is in `run`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam_i2v.errors import SamI2VError
from napari_sam_i2v.widget.controller import Controller, Output
from napari_sam_i2v.widget.plan import Choices
from napari_sam_i2v.widget.run import Pace, Start, Step, start_session

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Points

DRAW_EVERY_MS = 150  # a redraw of a large plane takes most of this on a slow machine
LOOK_EVERY_MS = 200  # how soon the status line follows moved points
MIN_WIDTH = 300
MAX_ROWS = 5  # of Points layers, before their list scrolls
CHOOSE_FILE = "\0file"  # data of the entry that opens a file dialog

DIRECTIONS = (("Forward", "forward"), ("Backward", "backward"), ("Both ways", "both"))
VIEWS = (("Automatic", "auto"), ("Whole frame", "frame"), ("Follow each object", "follow"))


class TrackWidget(QWidget):
    """Clicks on a movie become a tracked Labels layer, frame by frame.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari (the name matters).
    start : callable
        Opens a session; tests put another in its place.
    """

    def __init__(self, napari_viewer: ViewerModel, *, start: Start = start_session) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller = Controller(napari_viewer, start=start)
        self.output: Output | None = None
        self._worker: Any = None
        self._pace = Pace(1)
        self._outcome = ""
        self._model = "default"
        self._watched: list[Layer] = []
        self._unticked: list[Points] = []
        self._subscriptions: list[tuple[Any, Callable[..., None]]] = []
        self._drawing = QTimer(self, interval=DRAW_EVERY_MS)
        self._drawing.timeout.connect(self._draw)
        # Dragging a point emits an event per mouse move: look once it is quiet.
        self._looking = QTimer(self, interval=LOOK_EVERY_MS, singleShot=True)
        self._looking.timeout.connect(self._show_readiness)
        self._build()
        for event in ("inserted", "removed", "reordered"):
            self._subscribe(getattr(napari_viewer.layers.events, event), self._on_layers)
        self._subscribe(napari_viewer.dims.events.point, self._on_slider)
        self.refresh_layers()

    # -- building --------------------------------------------------------------------------------
    def _build(self) -> None:
        self.setMinimumWidth(MIN_WIDTH)
        self.image = _combo(())
        self.image.setToolTip("The movie: an image layer with time as its first axis")
        self.points = QListWidget()
        self.points.setToolTip(
            "One point on each object. A features column “object_id” gives ids of your own;\n"
            "“label” 0 marks a point that is not on the object."
        )
        self.points.setSpacing(2)
        self.points.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.points.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.new_clicks = QPushButton("New clicks layer")
        self.new_clicks.setToolTip("Add a Points layer on the movie, ready for clicking")
        self.model = _combo((("Built-in", "default"), ("From file…", CHOOSE_FILE)))
        self.model.setToolTip("The network’s weights: built-in, .safetensors or published .pt")
        self.direction = _combo(DIRECTIONS)
        self.direction.setToolTip("Where to go from the frame an object was clicked on")
        self.view = _combo(VIEWS)
        self.view.setToolTip(
            "What the network looks at. Following suits small objects in a large field;\n"
            "automatic decides by the objects’ size."
        )
        self.follow = QCheckBox("Show frames as they are done")
        self.follow.setChecked(True)
        self.run = QPushButton("Track")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop after this frame; finished frames are kept")
        self.cancel.setEnabled(False)
        self.status = QLabel(wordWrap=True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = QProgressBar()
        self.progress.setVisible(False)
        self._arrange()
        self._connect()

    def _arrange(self) -> None:
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.addRow("Movie", self.image)
        self.form.addRow("Clicks", self.points)
        self.form.addRow("", self.new_clicks)
        self.form.addRow("Model", self.model)
        self.form.addRow("Direction", self.direction)
        self.form.addRow("View", self.view)
        self.form.addRow("", self.follow)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run, stretch=2)
        buttons.addWidget(self.cancel, stretch=1)
        layout = QVBoxLayout(self)
        layout.addLayout(self.form)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch()

    def _connect(self) -> None:
        self.image.currentIndexChanged.connect(self._show_readiness)
        self.points.itemChanged.connect(self._on_tick)
        self.new_clicks.clicked.connect(self._add_clicks_layer)
        self.model.activated.connect(self._on_model)
        self.direction.currentIndexChanged.connect(self._show_readiness)
        self.run.clicked.connect(self.start)
        self.cancel.clicked.connect(self.stop)
        self.destroyed.connect(partial(_release, self.__dict__))

    # -- what is chosen --------------------------------------------------------------------------
    def choices(self) -> Choices:
        """Return what is set in the widget."""
        return Choices(
            image=self.image.currentData(),
            points=tuple(self.ticked()),
            model=self.model.currentData(),
            direction=self.direction.currentData(),
            view=self.view.currentData(),
        )

    def ticked(self) -> list[Points]:
        """Return the Points layers that are ticked."""
        items = [self.points.item(row) for row in range(self.points.count())]
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() == Qt.CheckState.Checked
        ]

    def _on_layers(self, event: Any = None) -> None:
        self.refresh_layers()
        if self.output is not None and self.output.layer not in self.viewer.layers:
            self.stop()

    def refresh_layers(self, event: Any = None) -> None:
        """Show the layers there are; keeps what was chosen. New Points layers come ticked."""
        self._watch([*self.controller.images(), *self.controller.points_layers()])
        chosen = self.image.currentData()
        self.image.blockSignals(True)
        self.image.clear()
        for layer in self.controller.images():
            self.image.addItem(layer.name, layer)
        images = self.controller.images()
        self.image.setCurrentIndex(images.index(chosen) if chosen in images else len(images) - 1)
        self.image.blockSignals(False)
        self._list_points()
        self._show_readiness()

    def _list_points(self) -> None:
        layers = self.controller.points_layers()
        self._unticked = [layer for layer in self._unticked if layer in layers]
        self.points.blockSignals(True)
        self.points.clear()
        for layer in layers:
            item = QListWidgetItem(layer.name)
            item.setData(Qt.ItemDataRole.UserRole, layer)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            ticked = layer not in self._unticked
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            self.points.addItem(item)
        self.points.blockSignals(False)
        row = self.points.sizeHintForRow(0) if layers else self.fontMetrics().height()
        rows = min(max(len(layers), 1), MAX_ROWS)
        self.points.setFixedHeight(rows * (row + 2 * self.points.spacing()) + 10)

    def _watch(self, layers: list[Layer]) -> None:
        """Listen to each layer once."""
        for layer in layers:
            if layer in self._watched:
                continue
            self._subscribe(layer.events.name, self.refresh_layers)
            for event in ("data", "features"):
                if hasattr(layer.events, event):
                    self._subscribe(getattr(layer.events, event), self._look_soon)
        self._watched = layers

    def _subscribe(self, emitter: Any, callback: Callable[..., None]) -> None:
        emitter.connect(callback)
        self._subscriptions.append((emitter, callback))

    def _on_tick(self, item: QListWidgetItem) -> None:
        layer = item.data(Qt.ItemDataRole.UserRole)
        self._unticked = [other for other in self._unticked if other != layer]
        if item.checkState() != Qt.CheckState.Checked:
            self._unticked.append(layer)
        self._show_readiness()

    def _on_model(self, index: int) -> None:
        if self.model.itemData(index) != CHOOSE_FILE:
            self._model = self.model.itemData(index)
            return
        path, _ = QFileDialog.getOpenFileName(
            self, "Weights of SAM-I2V", "", "Weights (*.safetensors *.pt *.pth);;All files (*)"
        )
        if path:
            self.set_model_file(Path(path))
        else:
            self.model.setCurrentIndex(self.model.findData(self._model))

    def set_model_file(self, path: Path) -> None:
        """Choose a weights file."""
        index = self.model.findData(str(path))
        if index < 0:
            index = self.model.count() - 1  # before “From file…”
            self.model.insertItem(index, path.name, str(path))
            self.model.setItemData(index, str(path), Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(index)
        self._model = str(path)

    def _add_clicks_layer(self) -> None:
        layer = self.controller.add_clicks_layer(self.image.currentData())
        self.viewer.layers.selection.active = layer

    # -- a run -----------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin a run with what is chosen."""
        if self.output is not None:
            return
        try:
            self.output = self.controller.begin(self.choices())
        except (SamI2VError, OSError) as error:
            show_error(str(error))
            return
        self._pace = Pace(self.output.plan.frames_to_do)
        # Left to the worker, an error is raised again in a slot, and without napari's hooks
        # PyQt ends the program there: we show errors ourselves.
        worker = create_worker(self.output.steps, _ignore_errors=True)
        worker.yielded.connect(self._on_step)
        worker.returned.connect(self._on_returned)
        worker.aborted.connect(self._on_aborted)
        worker.errored.connect(self._on_errored)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        self._show_running()
        worker.start()

    def stop(self) -> None:
        """Stop after the frame in work; finished frames stay."""
        if self._worker is not None:
            self.cancel.setEnabled(False)
            self.status.setText("Stopping after this frame…")
            self._worker.quit()

    def _on_step(self, step: Step) -> None:
        if self.output is None:
            return
        if step.frame is None:
            self._pace.restart()
            return
        self._pace.tick()
        self.output.add(step.frame)
        self.progress.setRange(0, self._pace.total)
        self.progress.setValue(self._pace.done)
        if not self._worker.abort_requested:
            self.status.setText(str(self._pace))

    def _draw(self) -> None:
        if self.output is not None:
            self.controller.draw(self.output, follow=self.follow.isChecked())

    def _on_returned(self, _: Any) -> None:
        self._outcome = "Done."

    def _on_aborted(self) -> None:
        self._outcome = "Cancelled."

    def _on_errored(self, error: Exception) -> None:
        self._outcome = f"Stopped. {error}"
        if isinstance(error, SamI2VError):
            show_error(str(error))
        else:  # with a button that shows the traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _on_finished(self) -> None:
        output, self.output, self._worker = self.output, None, None
        if output is None:
            return
        self._drawing.stop()
        self.controller.draw(output, follow=self.follow.isChecked())
        self.controller.end(output)
        self.progress.setVisible(False)
        self._show_idle()
        self.status.setText(f"{self._outcome}\n{output.summary}")

    # -- what is shown ---------------------------------------------------------------------------
    def _show_running(self) -> None:
        self._outcome = "Stopped."
        self._set_idle(False)
        self.progress.setRange(0, 0)  # busy, until the model is loaded and a frame is done
        self.progress.setVisible(True)
        self.status.setText("Loading the model…")
        self._drawing.start()

    def _show_idle(self) -> None:
        self._set_idle(True)
        self._show_readiness()

    def _set_idle(self, idle: bool) -> None:
        for widget in (self.image, self.points, self.model, self.direction, self.view, self.run):
            widget.setEnabled(idle)
        self.cancel.setEnabled(not idle)

    def _on_slider(self, event: Any = None) -> None:
        """Extra axes stay where their sliders are; the time slider changes nothing."""
        image = self.image.currentData()
        if image is not None and image.ndim > 3:
            self._look_soon()

    def _look_soon(self, event: Any = None) -> None:
        self._looking.start()

    def _show_readiness(self, *_: Any) -> None:
        self.new_clicks.setEnabled(self.image.currentData() is not None)
        if self.output is not None:
            return
        readiness = self.controller.readiness(self.choices())
        self.run.setEnabled(readiness.ready)
        self.status.setText(readiness.text)


def _combo(entries: tuple[tuple[str, str], ...]) -> QComboBox:
    combo = QComboBox()
    # Long names are cut, they do not widen the dock.
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    for text, data in entries:
        combo.addItem(text, data)
    return combo


def _release(state: dict[str, Any]) -> None:
    """Let go of the viewer when the widget is gone; its attributes outlive the Qt object.

    The dock may be closed during a run, which nobody could cancel any more: stop it.
    """
    for emitter, callback in state["_subscriptions"]:
        emitter.disconnect(callback)
    if (worker := state["_worker"]) is not None:
        worker.quit()
