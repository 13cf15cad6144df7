"""The end of a dock: what it listened to, and what it leaves in the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_sam_i2v.widget.curves_dock import remove_curves

__all__ = ["Subscriptions", "delete_orphan", "release"]


class Subscriptions:
    """Callbacks that are to be taken back together."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Callable[..., None]]] = []

    def add(self, emitter: Any, callback: Callable[..., None]) -> None:
        """Connect, and remember it."""
        emitter.connect(callback)
        self._made.append((emitter, callback))

    def end(self) -> None:
        """Disconnect all."""
        made, self._made = self._made, []
        for emitter, callback in made:
            emitter.disconnect(callback)


def delete_orphan(widget: QWidget) -> None:
    """Delete a widget whose dock was closed, unless it found another place.

    napari leaves such a widget alive as long as anybody refers to it; a pass would go on in it.
    """
    if isalive(widget) and widget.parent() is None and not widget.isVisible():
        widget.deleteLater()


def release(state: dict[str, Any]) -> None:
    """Let go of the viewer when the dock is gone.

    Parameters
    ----------
    state
        The dock's attributes, which outlive the Qt object.
    """
    state["subscriptions"].end()
    state["modes"].end()
    state["keys"].unbind()
    state["work"].close()
    state["more_menu"].stop_downloads()
    # Perhaps the whole window is being destroyed: look again when that is over.
    QTimer.singleShot(0, partial(remove_curves, state["viewer"], state["curves"].view))
