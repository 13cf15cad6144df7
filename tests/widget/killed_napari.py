"""A napari that tracks until it is killed: `python -m tests.widget.killed_napari SESSION MARKER`.

It opens the dock with a view of its own, clicks two objects, names one, locks a third, and tracks.
On frame `IN_WORK` the pass stands still, and MARKER is written: whoever started this program may
kill it now.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from tests.propagation.fakes import BrightEngine, discs

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.widget.dock import TrackWidget
from napari_sam_i2v.widget.tracking import TrackController

IN_WORK = 6
CENTRES = [[(16.0, 10.0 + 2 * t), (48.0, 50.0 - 2 * t), (32.0, 32.0)] for t in range(12)]
CLICKS = ((16, 10), (48, 50), (32, 32))
NAME = "the dim one"
VIEW, LIMITS = "follow", (0, 240)


def movie() -> np.ndarray:
    """Three discs of different brightness."""
    return discs(CENTRES, (64, 64), values=(200, 120, 160))


class StandingEngine(BrightEngine):
    """Never gets beyond one frame."""

    marker = Path()

    def track(self, *args: Any, **kwargs: Any) -> Any:
        if self._index == IN_WORK:
            self.marker.touch()
            time.sleep(600)
        return super().track(*args, **kwargs)


def story(dock: TrackWidget) -> list[Any]:
    """What the user does, a step whenever the worker has nothing to do."""
    control = dock.controller

    def click(place: tuple[int, int]) -> None:
        control.prompt_layers.points.add([[0, *place]])

    return [
        lambda: dock.press_tool("point"),
        lambda: click(CLICKS[0]),
        dock.new_object,
        lambda: click(CLICKS[1]),
        lambda: control.rename(2, NAME),
        dock.new_object,
        lambda: click(CLICKS[2]),
        lambda: control.lock_objects([3], True),
        dock.track,
    ]


def main(session: Path, marker: Path) -> None:
    """Play the story in a window, and go on until killed."""
    StandingEngine.marker = marker
    session_module.Engine = StandingEngine
    viewer = napari.Viewer(show=True)
    viewer.add_image(movie(), name="cells", scale=(1, 0.5, 0.5), contrast_limits=LIMITS)
    dock = TrackWidget(viewer, controller=TrackController(viewer))
    dock.choices.choose(folder=session, view=VIEW)
    viewer.window.add_dock_widget(dock, name="SAM-I2V")
    steps = story(dock)

    def go_on() -> None:
        if steps and not dock.controller.busy and not dock.work.running:
            steps.pop(0)()

    timer = QTimer(interval=20)
    timer.timeout.connect(go_on)
    timer.start()
    napari.run()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
