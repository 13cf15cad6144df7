"""The curves in a dock of their own under the viewer: opened, kept up to date, closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QFont

from napari_sam_i2v.widget.curves import CurveView

if TYPE_CHECKING:
    from napari_sam_i2v.widget.tracking import TrackController

__all__ = ["CurvesDock"]

NAME = "SAM-I2V curves"
DRAW_AFTER_MS = 150  # curves change with each frame of a pass; drawing them all is wasted


class CurvesDock(QObject):
    """Opens and closes the curves and shows what they show.

    Parameters
    ----------
    viewer
        Whose window it is.
    controller
        Whose curves.
    selected
        Gives the objects to show; none is all.
    """

    def __init__(
        self,
        viewer: Any,
        controller: TrackController,
        selected: Callable[[], list[int]],
        *,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._controller = controller
        self._selected = selected
        self.view: CurveView | None = None
        self._font = QFont()
        self._later = QTimer(self, interval=DRAW_AFTER_MS, singleShot=True)
        self._later.timeout.connect(self.draw)

    @property
    def shown(self) -> bool:
        """Whether the user sees the curves."""
        return self._docked and self.view is not None and self.view.isVisible()

    @property
    def _docked(self) -> bool:
        # Closing a dock in napari takes its content out and leaves it without a parent.
        return self.view is not None and isalive(self.view) and self.view.parent() is not None

    def toggle(self) -> None:
        """Show the curves, or close them."""
        if self.shown:
            self.close()
            return
        self.close()
        self.view = CurveView()
        self.view.setFont(self._font)
        self.view.frame_chosen.connect(self._on_frame)
        self._viewer.window.add_dock_widget(self.view, area="bottom", name=NAME)
        self.draw()

    def set_font(self, font: QFont) -> None:
        """Write in another font, now and whenever they are shown."""
        self._font = font
        if self.view is not None and isalive(self.view):
            self.view.setFont(font)

    def close(self) -> None:
        """Take the curves out of the window."""
        docked, view, self.view = self._docked, self.view, None
        remove_curves(self._viewer, view if docked else None)

    def draw_soon(self) -> None:
        """Show new curves shortly; many calls are one."""
        if self._docked and not self._later.isActive():
            self._later.start()

    def draw(self) -> None:
        """Show the present curves."""
        if self.view is None or not self._docked:
            return
        rows = self._controller.rows() if self._controller.opened else []
        chosen = self._selected() or [row.object_id for row in rows]
        self.view.set_frames(self._controller.n_frames)
        self.view.set_curves(self._controller.curves(chosen) if rows else (), _colours(rows))
        self.view.set_frame(self._controller.frame)

    def show_frame(self, frame: int) -> None:
        """Move the line."""
        if self.view is not None and self._docked:
            self.view.set_frame(frame)

    def _on_frame(self, frame: int) -> None:
        self._controller.go_to(frame)


def remove_curves(viewer: Any, view: CurveView | None) -> None:
    """Take a view out of a window, if both are still there."""
    if view is not None and isalive(view) and view.parent() is not None:
        viewer.window.remove_dock_widget(view)
        view.deleteLater()


def _colours(rows: Sequence[Any]) -> dict[int, tuple[float, ...]]:
    return {row.object_id: row.colour for row in rows}
