"""Widgets that were drawn."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QApplication


def drawn_canvas(qtbot: Any) -> Any:
    """The one canvas that is seen, once it was drawn: from then on its middle is the camera's."""
    (canvas,) = (
        w
        for w in QApplication.allWidgets()
        if type(w).__name__.startswith("CanvasBackend") and w.isVisible()
    )
    qtbot.waitUntil(lambda: canvas.isValid() and canvas.window().windowHandle().isExposed())
    return canvas
