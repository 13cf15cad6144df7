"""Does the window answer while a pass runs? Longest times for which Qt could not run.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/window_blocks.py [--side 2048]

A timer of 10 ms beats in the window of napari while objects of a movie are tracked, first with
the slider following the pass, then with the slider held still. A beat that comes late is a time
for which scrolling and clicking had to wait. Printed: median, 99th percentile and worst, and the
same without a pass, for comparison.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_sam_i2v.measure.made_movie import movie_in_memory
from napari_sam_i2v.widget.dock import TrackWidget

BEAT_MS = 10


class Heart:
    """Notes how late each beat of a timer is, in ms."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(interval=BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, 1000 * (now - self._last) - BEAT_MS))
        self._last = now

    def stop(self, what: str) -> None:
        """Print what was measured."""
        self._timer.stop()
        late = np.array(self.late[2:] or [0.0])
        print(
            f"{what:<28} median {np.median(late):6.1f} ms, 99 % {np.percentile(late, 99):6.1f} ms, "
            f"worst {late.max():6.1f} ms ({len(late)} beats)"
        )


def wait(done: Callable[[], bool], timeout: float = 600) -> None:
    """Let Qt work until `done()` holds."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the pass does not end")
        QApplication.processEvents()
        time.sleep(0.001)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--objects", type=int, default=3)
    given = parser.parse_args()
    movie, prompts = movie_in_memory(given.frames, given.side, given.objects)
    viewer = napari.Viewer(show=True)
    image = viewer.add_image(movie, name="movie")
    widget = TrackWidget(viewer)
    viewer.window.add_dock_widget(widget, name="SAM-I2V")
    control = widget.controller

    def idle() -> bool:
        return not control.busy and not widget.work.running

    with tempfile.TemporaryDirectory() as scratch:
        control.open(image, folder=Path(scratch) / "s.sam-i2v")
        wait(idle)
        for prompt in prompts:
            control.current_object = prompt.object_id
            control.go_to(0)
            assert prompt.points is not None and control.prompt_layers is not None
            control.prompt_layers.points.add([[0, *prompt.points[0]]])
            wait(idle)
        heart, end = Heart(), time.monotonic() + 3
        wait(lambda: time.monotonic() > end)
        heart.stop("no pass")
        for follow, what in ((True, "pass, slider follows"), (False, "pass, slider still")):
            widget.panel.follow.setChecked(follow)
            control.go_to(0)
            wait(idle)
            heart = Heart()
            control.propagate(span=range(given.frames))
            wait(idle)
            heart.stop(what)
        control.close()
        viewer.close()


if __name__ == "__main__":
    main()
