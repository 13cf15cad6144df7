"""Render docs/window.png: the dock widget at work on the sample movie of nuclei.

On a machine without a screen:

    xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python docs/make_screenshot.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Before napari is imported: a picture of the defaults, not of somebody's settings.
os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_sam_i2v.widget.dock import TrackWidget

SIZE = (1400, 900)
TIMEOUT_S = 300.0


def wait_until(done: Any, timeout: float = TIMEOUT_S) -> None:
    """Let Qt work until `done()` holds."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"nothing after {timeout:.0f} s")
        QApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 0.5) -> None:
    """Let Qt lay out and paint."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end)


def render(path: Path, layers: Sequence[tuple], *, share: float = 0.6) -> None:
    """Track the sample in a window and save a picture of it.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    layers : sequence of layer tuples
        The sample: a movie and clicks.
    share : float
        How much of the pass is done in the picture; 1 waits for its end.
    """
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)  # after show: napari restores its saved size
    movie, *clicks = [viewer.add_layer(Layer.create(*layer)) for layer in layers]
    widget = TrackWidget(viewer)
    viewer.window.add_dock_widget(widget, name="SAM-I2V")
    control = widget.controller
    with tempfile.TemporaryDirectory() as scratch:
        control.open(movie, folder=Path(scratch) / "nuclei.sam-i2v")
        for layer in clicks:
            control.take_prompts(layer)
            viewer.layers.remove(layer)
        wait_until(lambda: not control.busy and not widget.work.running)
        widget.curves.toggle()
        settle()
        viewer.reset_view()  # the docks have taken some of the canvas
        control.propagate()
        wait_until(
            lambda: (
                not control.tracking
                or (share < 1 and control.progress[0] >= share * control.progress[1] > 0)
            )
        )
        settle(0.3)
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        control.cancel()
        wait_until(lambda: not control.busy and not widget.work.running)
        control.close()
        viewer.close()


def main() -> None:
    """Render the picture for the documentation."""
    from napari_sam_i2v.sample_data import nuclei

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("window.png"))
    parser.add_argument("--share", type=float, default=0.6, help="how much of the run is done")
    arguments = parser.parse_args()
    render(arguments.output, nuclei(), share=arguments.share)
    print(arguments.output)


if __name__ == "__main__":
    main()
