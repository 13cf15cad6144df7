"""The dock widget: objects are pointed at, tracked, reviewed and kept.

A thin view. What anything means is in `tracking.TrackController`; who runs it is in `work`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, QPoint, QTimer
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QInputDialog, QPushButton, QVBoxLayout, QWidget

from napari_sam_i2v.errors import SamI2VError
from napari_sam_i2v.widget.choices import Choices
from napari_sam_i2v.widget.closing import Subscriptions, delete_orphan, release
from napari_sam_i2v.widget.curves_dock import CurvesDock
from napari_sam_i2v.widget.importing import import_ahead
from napari_sam_i2v.widget.keys import KeysHelp, LayerKeys
from napari_sam_i2v.widget.layers import level0
from napari_sam_i2v.widget.menus import MoreMenu, ObjectMenu
from napari_sam_i2v.widget.naming_axes import axis_letters, name_axes
from napari_sam_i2v.widget.object_table import ObjectTable
from napari_sam_i2v.widget.propagate_panel import PropagatePanel
from napari_sam_i2v.widget.rows import (
    HistoryRow,
    ReviewRow,
    Scrolling,
    ToolRow,
    choose_image,
    label_row,
    line,
    movie_combo,
    show_images,
)
from napari_sam_i2v.widget.wording import AXES_ASKED, CANCELLING, NO_MOVIE, NOT_OPENED, TOOL_HINTS
from napari_sam_i2v.widget.work import WorkRunner

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam_i2v.widget.tracking import TrackController

__all__ = ["TrackWidget"]

DRAW_EVERY_MS = 150  # a redraw of a large plane takes most of this on a slow machine


class TrackWidget(QWidget):
    """Prompts on a movie become a tracked Labels layer, frame by frame.

    Parameters
    ----------
    napari_viewer : Viewer
        Given by napari (the name matters).
    controller : TrackController, optional
        What the widget shows; tests put another in its place.
    """

    def __init__(
        self, napari_viewer: ViewerModel, *, controller: TrackController | None = None
    ) -> None:
        super().__init__()
        if controller is None:
            from napari_sam_i2v.widget.tracking import TrackController

            controller = TrackController(napari_viewer)
            import_ahead()
        self.viewer = napari_viewer
        self.controller = controller
        self.choices = Choices(show_warning, movie=self._movie_at_hand)
        self.work = WorkRunner(controller)
        self._note = ""
        self._cancelling = False
        self._watched: list[Layer] = []
        self._followed: list[Layer] = []
        self.subscriptions, self.modes = Subscriptions(), Subscriptions()
        self._drawing = QTimer(self, interval=DRAW_EVERY_MS)
        self._drawing.timeout.connect(self._draw)
        self._build()
        self._connect()
        self._listen()
        self.refresh_layers()
        self._on_opened()

    # -- building --------------------------------------------------------------------------------
    def _build(self) -> None:
        self.movie = movie_combo()
        self.more = QPushButton("More ▾")
        self.more_menu = MoreMenu(self, self)
        self.tools = ToolRow()
        self.table = ObjectTable()
        self.object_menu = ObjectMenu(self, self)
        self.history = HistoryRow()
        self.panel = PropagatePanel()
        self.status = self.panel.status
        self.review = ReviewRow()
        self.curves = CurvesDock(self.viewer, self.controller, self.selected, parent=self)
        self._arrange()

    def _arrange(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(6)
        column.addWidget(label_row("Movie", self.movie, self.more))
        column.addWidget(self.tools)
        column.addWidget(self.table, stretch=1)
        column.addWidget(self.history)
        column.addWidget(line())
        column.addWidget(self.panel)
        below = QVBoxLayout()  # in sight in however low a window
        below.setContentsMargins(6, 2, 6, 4)
        below.setSpacing(6)
        below.addWidget(line())
        below.addWidget(self.review)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(Scrolling(content))
        outer.addLayout(below)

    def _connect(self) -> None:
        self.movie.currentIndexChanged.connect(self._show_state)
        self.more.clicked.connect(self._on_more)
        self.tools.tool_pressed.connect(self.press_tool)
        self.tools.new_pressed.connect(self.new_object)
        self.table.chosen.connect(self._on_chosen)
        self.table.selected.connect(self._on_selection)
        self.table.renamed.connect(self._on_renamed)
        self.table.customContextMenuRequested.connect(self._on_context_menu)
        self.history.objects.clicked.connect(self._on_object_button)
        self.history.undo.clicked.connect(self.undo)
        self.history.redo.clicked.connect(self.redo)
        self.panel.track_pressed.connect(self.track)
        self.panel.cancel_pressed.connect(self.cancel)
        self.panel.changed.connect(self._show_state)
        self.review.stepped.connect(self.step)
        self.review.locked.connect(self._on_lock)
        self.review.curves_pressed.connect(self.curves.toggle)
        self.destroyed.connect(partial(release, self.__dict__))

    def _listen(self) -> None:
        self.keys = LayerKeys(
            {
                "N": self.new_object,
                "Shift+N": self.mark_absent,
                "Q": self._select_at_cursor,
                "K": self.track,
                "G": partial(self.step, 1),
                "H": partial(self.step, -1),
                "J": self._toggle_lock,
                "U": self.undo,
                "W": self.redo,
            }
        )
        control = self.controller
        for signal, callback in (
            (control.objects_changed, self._show_objects),
            (control.busy_changed, self._on_busy),
            (control.progress_changed, self._on_progress),
            (control.curves_changed, self.curves.draw_soon),
            (control.history_changed, self._show_state),
            (control.opened_changed, self._on_opened),
            (control.problem, show_warning),
            (control.note, self._on_note),
            (control.painted, self._on_painted),
        ):
            self.subscriptions.add(signal, callback)
        for event in ("inserted", "removed", "reordered"):
            self.subscriptions.add(getattr(self.viewer.layers.events, event), self.refresh_layers)
        self.subscriptions.add(self.viewer.layers.selection.events.active, self._show_state)
        self.subscriptions.add(self.viewer.dims.events.current_step, self._on_slider)
        self.subscriptions.add(get_settings().appearance.events.font_size, self._on_font_size)
        self._on_font_size()

    # -- what the user asks for ------------------------------------------------------------------
    def attempt(self, action: Callable[[], object]) -> bool:
        """Do something and show the state after it; a wrong input is shown, not raised."""
        if not self.controller.busy:
            self._note = ""  # about what is over
        try:
            action()
        except (SamI2VError, OSError) as error:
            show_error(str(error))
            return False
        finally:
            self._show_state()
        return True

    def open_session(self) -> bool:
        """Open the chosen movie if none is open; tells whether one is."""
        control, image = self.controller, self.movie.currentData()
        if control.opened:
            return True
        if image is None:
            show_error(NO_MOVIE)
            return False
        options = self.choices.now().options()
        return self.attempt(partial(control.open, image, **options)) and control.opened

    def close_session(self) -> None:
        """Let go of the movie, once a pass is stopped and what was asked for is done."""
        self.work.when_idle(partial(self.attempt, self.controller.close))

    def press_tool(self, tool: Any) -> None:
        """Arm a tool; the one in hand is put away."""
        if self.controller.opened and self.controller.in_hand == tool:
            self.attempt(partial(self.controller.arm, None))
        elif self.open_session():
            self.attempt(partial(self.controller.arm, tool))
        self._show_state()

    def new_object(self) -> None:
        """Begin an object, with the tool in hand or the last one; by clicks if there was none."""
        if self.open_session() and self.attempt(self.controller.new_object):
            if self.controller.in_hand is None:
                self.attempt(partial(self.controller.arm, self.controller.tool or "point"))
            self._show_objects()

    def track(self) -> None:
        """Begin a pass with what is set in the panel."""
        if not self._ready():
            return
        choice = self.panel.choice()
        self._cancelling = False
        self.attempt(
            partial(
                self.controller.propagate,
                direction=choice.direction,
                objects=self.selected() if choice.selected_only else None,
                span=choice.span,
                until=choice.until,
            )
        )

    def cancel(self) -> None:
        """Stop the pass after the frame in work."""
        self._cancelling = True
        self.attempt(self.controller.cancel)
        self._show_progress()

    def undo(self) -> None:
        """Take the last step back."""
        # While something is being done, there is going to be a step, though it has no name yet.
        if self._editable() and (self.controller.busy or self.controller.undo_name is not None):
            self.attempt(self.controller.undo)

    def redo(self) -> None:
        """Do again what was taken back."""
        if self._editable() and (self.controller.busy or self.controller.redo_name is not None):
            self.attempt(self.controller.redo)

    def mark_absent(self) -> None:
        """Say that the selected objects are not on the frame on screen, or take it back."""
        if self.controller.opened and self.selected():
            self.attempt(partial(self.controller.mark_absent, self.selected()))

    def step(self, step: int) -> None:
        """Go to the next (1) or previous (-1) doubtful frame."""
        if self.controller.opened:
            self.attempt(partial(self.controller.next_suspicious, step))

    def selected(self) -> list[int]:
        """Return the objects selected in the table."""
        return self.table.selected_ids()

    def edit_name(self, object_id: int) -> None:
        """Let the user type an object's name."""
        self.table.edit_name(object_id)

    def ask_axes(self) -> None:
        """Let the user say what the chosen movie's axes are, where the file was wrong."""
        image = self.movie.currentData()
        if image is None:
            show_error(NO_MOVIE)
            return
        shape = " × ".join(str(n) for n in level0(image).shape[: image.ndim])
        said, agreed = QInputDialog.getText(
            self, "Axes", f"{AXES_ASKED}\n“{image.name}” is {shape}", text=axis_letters(image)
        )
        if agreed:
            self.attempt(partial(name_axes, image, said))

    def show_keys(self) -> None:
        """List the keys in a panel."""
        KeysHelp(self).show()

    # -- what the parts report -------------------------------------------------------------------
    def _on_chosen(self, object_id: int) -> None:
        if object_id != self.controller.current_object:
            self.attempt(partial(setattr, self.controller, "current_object", object_id))

    def _on_selection(self) -> None:
        self.curves.draw_soon()
        self._show_state()

    def _on_renamed(self, object_id: int, name: str) -> None:
        self.attempt(partial(self.controller.rename, object_id, name))
        self._show_objects()  # a refused name goes back

    def _on_context_menu(self, place: QPoint) -> None:
        self.object_menu.popup(self.table.viewport().mapToGlobal(place))

    def _on_object_button(self) -> None:
        self.object_menu.popup_below(self.history.objects)

    def _on_more(self) -> None:
        self.more_menu.popup_below(self.more)

    def _on_lock(self, locked: bool) -> None:
        self.attempt(partial(self.controller.lock_frame, locked))

    def _toggle_lock(self) -> None:
        if self._editable():
            self._on_lock(not self.controller.frame_locked)

    def _select_at_cursor(self) -> None:
        select = getattr(self.controller, "select_at_cursor", None)
        if select is not None:
            self.attempt(select)

    # -- what the controller and the viewer report -----------------------------------------------
    def refresh_layers(self, event: Any = None) -> None:
        """Show the movies there are; keeps what was chosen."""
        images = self.controller.images()
        for layer in images:
            if layer not in self._watched:
                self.subscriptions.add(layer.events.name, self.refresh_layers)
        self._watched = [*images]
        show_images(self.movie, images)
        self._show_state()

    def _follow_layers(self) -> None:
        """Bind keys on our layers, and see their modes; that of boxes is made when needed."""
        layers = [*self.controller.own_layers] if self.controller.opened else []
        if layers == self._followed:
            return
        self._followed = layers
        self.keys.bind(layers)
        self.modes.end()
        for layer in layers:
            self.modes.add(layer.events.mode, self._show_state)

    def _on_opened(self) -> None:
        control = self.controller
        if control.opened:
            choose_image(self.movie, control.image)
            self.panel.set_n_frames(control.n_frames)
        self._note = ""
        self._show_objects()

    def _on_busy(self, busy: bool) -> None:
        if busy:
            self._note = ""  # something was done in a layer, maybe
            self._drawing.start()
        else:
            self._drawing.stop()
            self._draw()
        self._show_state()

    def _draw(self) -> None:
        if self.controller.opened:
            self.controller.draw(follow=self.panel.follow.isChecked())

    def _on_progress(self) -> None:
        # A pass may begin or end while other work goes on.
        if self.controller.tracking == self.panel.progress.isVisibleTo(self.panel):
            self._show_progress()
        else:
            self._show_state()

    def _on_slider(self, event: Any = None) -> None:
        if self.controller.opened:
            self.curves.show_frame(self.controller.frame)
            self._show_review()
            if self.controller.not_here != self.table.not_here:
                self._show_objects()

    def _on_font_size(self, event: Any = None) -> None:
        """Have napari's size of text where its style sheet says nothing: in the list and curves."""
        font = QFont(self.font())
        font.setPointSize(get_settings().appearance.font_size)
        for widget in (self.table, self.table.horizontalHeader()):
            widget.setFont(font)
        self.curves.set_font(font)

    def _on_painted(self) -> None:
        QTimer.singleShot(0, self.controller.take_stroke)

    def _on_note(self, text: str) -> None:
        self._note = text
        self._show_progress()

    # -- what is shown ---------------------------------------------------------------------------
    def _editable(self) -> bool:
        return self.controller.opened and not self.controller.tracking

    def _movie_at_hand(self) -> Any:
        return getattr(self.movie.currentData(), "unique_id", None)

    def _ready(self) -> bool:
        some = bool(self.selected() if self.panel.choice().selected_only else self.table.ids)
        return self._editable() and some

    def _show_objects(self) -> None:
        control = self.controller
        rows = control.rows() if control.opened else []
        self.choices.note_used(**control.in_use)
        self.table.set_rows(rows, control.current_object if rows else 0)
        self.curves.draw_soon()
        self._show_state()

    def _show_state(self, event: Any = None) -> None:
        control, editable = self.controller, self._editable()
        self._follow_layers()
        self.movie.setEnabled(not control.opened and self.movie.count() > 0)
        possible = control.opened or self.movie.currentData() is not None
        self.tools.show_tool(control.in_hand if control.opened else None, enabled=possible)
        undo, redo = (control.undo_name, control.redo_name) if control.opened else (None, None)
        self.history.show_steps(undo, redo, enabled=editable)
        self.history.objects.setEnabled(control.opened and bool(self.selected()))
        self._cancelling = self._cancelling and control.tracking
        self.panel.show_tracking(control.tracking, ready=self._ready(), cancelling=self._cancelling)
        self._show_review()
        self._show_progress()

    def _show_review(self) -> None:
        control = self.controller
        locked = control.opened and control.frame_locked
        self.review.show_state(opened=control.opened, locked=locked, tracking=control.tracking)

    def _show_progress(self) -> None:
        if self.controller.tracking:
            self.panel.show_progress(*self.controller.progress)
        self.status.setText(self._status())

    def _status(self) -> str:
        if self.controller.tracking:
            return CANCELLING if self._cancelling else self.controller.progress_text
        if not self.controller.opened:
            return self._note or (NOT_OPENED if self.movie.count() else NO_MOVIE)
        return self._note or TOOL_HINTS.get(self.controller.in_hand or "", "")

    # -- the end ---------------------------------------------------------------------------------
    def event(self, event: QEvent) -> bool:
        """Notice that napari took the widget out of its dock, which is then closed."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            QTimer.singleShot(0, partial(delete_orphan, self))
        return bool(super().event(event))
