"""What the dock's status line says by itself, and what views are called."""

from __future__ import annotations

__all__ = ["AXES_ASKED", "CANCELLING", "NOT_OPENED", "NO_MOVIE", "TOOL_HINTS", "VIEWS"]

NO_MOVIE = "Open a movie: an image with time as one of its axes."
AXES_ASKED = "One letter per axis: time T, channel C, depth Z, row Y, column X."
NOT_OPENED = "Press Point, then click on an object."
CANCELLING = "Stopping after this frame…"
TOOL_HINTS = {
    "point": "Click on the object; Ctrl+click or right-click where it is not.",
    "box": "Drag a rectangle around the object.",
    "paint": "Paint the object’s mask.",
}
VIEWS = {"auto": "Automatic", "frame": "Whole frame", "follow": "Follow each object"}
