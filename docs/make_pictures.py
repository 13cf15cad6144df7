"""Make the pictures of the documentation: the real window, the real network, real mouse clicks.

On a machine without a screen:

    xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python docs/make_pictures.py

makes all of them beside this file, in about two minutes; `--only NAME` makes one, `--output FOLDER`
puts them elsewhere. A story that no longer goes as the text tells it ends with an error.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

# Before napari is imported: pictures of the defaults, not of somebody's settings.
os.environ.setdefault("NAPARI_CONFIG", str(Path(tempfile.mkdtemp()) / "settings.yaml"))

import napari
import numpy as np
from napari.layers import Layer
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMenu, QPushButton, QWidget

from napari_sam_i2v import sample_data
from napari_sam_i2v.widget.dock import TrackWidget

Frame = Image.Image
Pictures = Iterator[tuple[str, Frame | list[Frame]]]

SIZE = (1280, 820)
TIMEOUT_S = 300.0
COLOURS = 256  # a palette keeps the files small
GIF_WIDTH, GIF_COLOURS = 800, 80
GIF_MS, GIF_END_MS = 220, 1800


class StoryError(Exception):
    """What the text tells does not happen any more."""


class Desk:
    """A napari window with a sample movie and the dock, worked by the mouse."""

    def __init__(self, folder: Path, sample: Sequence[tuple]) -> None:
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(*SIZE)  # after show: napari restores its saved size
        self.folder = folder
        self.movie, _, self.clicks = (self.viewer.add_layer(Layer.create(*part)) for part in sample)
        self.dock = TrackWidget(self.viewer)
        # In a folder that will be removed: a second run must not go on with the first.
        self.dock.choices.choose(folder=folder / "session.sam-i2v", device="cpu")
        self.viewer.window.add_dock_widget(self.dock, name="SAM-I2V")
        self.control = self.dock.controller
        (self.canvas,) = (
            widget
            for widget in QApplication.allWidgets()
            if type(widget).__name__.startswith("CanvasBackend") and widget.isVisible()
        )
        self.viewer.dims.set_point(0, 0)
        self.look()

    # -- waiting ---------------------------------------------------------------------------------
    def wait_until(self, done: Callable[[], bool]) -> None:
        """Let Qt work until `done()` holds."""
        end = time.monotonic() + TIMEOUT_S
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(f"nothing after {TIMEOUT_S:.0f} s")
            QApplication.processEvents()
            time.sleep(0.005)

    def settle(self, seconds: float = 0.4) -> None:
        """Let Qt lay out and paint."""
        end = time.monotonic() + seconds
        self.wait_until(lambda: time.monotonic() > end)

    def idle(self) -> None:
        """Wait for the answer to what was just done."""
        self.settle(0.1)
        self.wait_until(lambda: not self.control.busy and not self.dock.work.running)
        self.settle()

    # -- doing -----------------------------------------------------------------------------------
    def look(self) -> None:
        """Fit the movie into the canvas, which docks may have made smaller."""
        self.settle()
        self.viewer.reset_view()
        self.settle(0.1)

    def at(self, y: float, x: float) -> QPoint:
        """Where a pixel of the movie is on the canvas."""
        camera, scale = self.viewer.scene.camera, self.movie.scale[-2:]
        place = (np.array((y, x)) * scale - camera.center[-2:]) * camera.zoom
        return QPoint(
            round(self.canvas.width() / 2 + place[1]), round(self.canvas.height() / 2 + place[0])
        )

    def click(self, y: float, x: float, *, on: bool = True) -> None:
        """Click on the canvas, with Ctrl for "not here", and wait for the mask."""
        held = Qt.KeyboardModifier.NoModifier if on else Qt.KeyboardModifier.ControlModifier
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, held, self.at(y, x))
        self.idle()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag over the canvas, and wait for the mask."""
        left, steps = Qt.MouseButton.LeftButton, 6
        QTest.mousePress(self.canvas, left, pos=self.at(*start))
        for part in np.linspace(0, 1, steps):
            y, x = np.array(start) + part * np.subtract(end, start)
            QTest.mouseMove(self.canvas, self.at(y, x))
            self.settle(0.05)
        QTest.mouseRelease(self.canvas, left, pos=self.at(*end))
        self.idle()

    def press(self, button: QPushButton) -> None:
        """Press a button of the dock."""
        if not button.isEnabled():
            raise StoryError(f"the button {button.text()!r} cannot be pressed")
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle(0.1)

    def point(self, *places: tuple[float, float]) -> None:
        """Prompt with a click on each place: an object each."""
        for number, place in enumerate(places):
            if not self.control.opened:
                self.press(self.dock.tools.tools["point"])
                self.idle()
            elif number or self.control.rows()[0].prompts:
                self.press(self.dock.tools.new)
            self.click(*place)

    def track(self) -> None:
        """Press Track, and wait for the end."""
        self.press(self.dock.panel.track)
        self.idle()

    def area(self, object_id: int, frame: int) -> int:
        """How large a mask is."""
        return int((self.plane(frame) == object_id).sum())

    def plane(self, frame: int) -> np.ndarray:
        """Labels of a frame."""
        labels = self.control.labels
        if labels is None:
            raise StoryError("no movie is open")
        return np.asarray(labels.data[frame])

    # -- pictures --------------------------------------------------------------------------------
    def shot(self) -> Frame:
        """Take a picture of the window."""
        self.settle(0.2)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        return Image.fromarray(pixels).convert("RGB")

    def around(self, *place: float, half: int = 120) -> Frame:
        """Take a picture of a part of the canvas, twice as large."""
        middle = self.canvas.mapTo(self.canvas.window(), self.at(*place))
        inside = self.canvas.rect().adjusted(half, half, -half, -half)
        inside.translate(self.canvas.mapTo(self.canvas.window(), QPoint(0, 0)))
        x = min(max(middle.x(), inside.left()), inside.right())
        y = min(max(middle.y(), inside.top()), inside.bottom())
        box = (x - half, y - half, x + half, y + half)
        return self.shot().crop(box).resize((320, 320), Image.Resampling.LANCZOS)

    def with_menu(self, button: QPushButton, menu: QMenu) -> Frame:
        """Take a picture of the window with an open menu, which is a window of its own."""
        picture = self.shot()
        self.press(button)
        self.wait_until(menu.isVisible)
        self.settle()
        corner = menu.mapTo(menu.window(), QPoint(0, 0)) + menu.pos()
        corner = self.dock.window().mapFromGlobal(corner)
        picture.paste(_grabbed(menu), (corner.x(), corner.y()))
        menu.hide()
        return picture

    def close(self) -> None:
        """Let go of everything."""
        self.control.cancel()
        self.idle()
        self.control.close()
        self.viewer.close()


def _grabbed(widget: QWidget) -> Frame:
    image = widget.grab().toImage()
    image = image.convertToFormat(type(image).Format.Format_RGBA8888)
    size = (image.width(), image.height())
    pixels = image.constBits().asstring(image.sizeInBytes())
    return Image.frombytes("RGBA", size, pixels, "raw", "RGBA", image.bytesPerLine()).convert("RGB")


def _beside(*pictures: Frame, gap: int = 8) -> Frame:
    """Put pictures of one size in a row."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for number, picture in enumerate(pictures):
        row.paste(picture, (number * (width + gap), 0))
    return row


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise StoryError(
            f"The text says: {what}. It is not so any more: change the one or the other."
        )


# ---- the stories: what is done, in the order of the text ----------------------------------------


def nuclei(desk: Desk) -> Pictures:
    """README: a pass at work on nuclei, from the suggested clicks."""
    desk.dock.open_session()
    desk.control.take_prompts(desk.clicks)
    desk.viewer.layers.remove(desk.clicks)
    desk.idle()
    desk.dock.curves.toggle()
    desk.look()
    desk.press(desk.dock.panel.track)
    desk.wait_until(lambda: desk.control.progress[0] >= 15)
    yield "window.png", desk.shot()


NUCLEUS, BOX = (163, 118), ((144, 89), (185, 158))  # of one cell, and around all of it
CELLS = ((30, 128), (20, 236), (181, 24), (85, 205))
LEAVING, GOING = 3, 8  # the third leaves for a while; its mask shrinks as it goes
LOW, LATER, GROUND = 9, 10, (10, 243)  # between, its mask has a corner on the ground


def migration(desk: Desk) -> Pictures:
    """Tutorial, first part: migrating cells in phase contrast."""
    yield "tutorial-open.png", desk.shot()
    desk.clicks.visible = False
    desk.point(CELLS[0])
    desk.look()
    yield "tutorial-click.png", desk.shot()
    desk.point(NUCLEUS)
    steps, small = [desk.around(*NUCLEUS)], desk.area(2, 0)
    desk.press(desk.dock.history.undo)
    desk.idle()
    _expect(desk.area(2, 0) == 0, "Undo takes the click and its mask away")
    steps.append(desk.around(*NUCLEUS))
    desk.press(desk.dock.tools.tools["box"])
    desk.drag(*BOX)
    _expect(desk.area(2, 0) > 3 * small, "a box gives the whole cell")
    yield "tutorial-box.png", _beside(*steps, desk.around(*NUCLEUS))
    desk.press(desk.dock.tools.tools["point"])
    desk.point(*CELLS[1:])
    yield "tracking.gif", _film(desk)
    yield from _review(desk)
    yield "tutorial-save.png", desk.with_menu(desk.dock.more, desk.dock.more_menu)


def _film(desk: Desk) -> list[Frame]:
    """Track, with a picture of canvas and dock after each frame."""
    left = desk.canvas.mapTo(desk.canvas.window(), QPoint(0, 0)).x()
    film: list[Frame] = []

    def take() -> None:
        picture = desk.shot()
        picture = picture.crop((left, 0, *picture.size))
        height = round(picture.height * GIF_WIDTH / picture.width)
        film.append(picture.resize((GIF_WIDTH, height), Image.Resampling.LANCZOS))

    take()
    desk.press(desk.dock.panel.track)
    seen = 0
    while desk.control.tracking:
        desk.wait_until(lambda: desk.control.progress[0] > seen or not desk.control.tracking)  # noqa: B023
        seen = desk.control.progress[0]
        take()
    desk.idle()
    take()
    return film


def _review(desk: Desk) -> Pictures:
    desk.press(desk.dock.review.curves)
    desk.look()
    desk.control.go_to(LATER)
    later, wide = desk.around(*GROUND), desk.area(LEAVING, LATER)
    desk.control.go_to(0)
    desk.press(desk.dock.review.next)
    found = (desk.control.current_object, desk.control.frame)
    _expect(found == (LEAVING, GOING), f"▶ goes to object {LEAVING}, frame {GOING}")
    left = desk.area(LEAVING, GOING) / desk.area(LEAVING, GOING - 2)
    _expect(0.4 < left < 0.6, "the cell has shrunk to a half within two frames there")
    yield "tutorial-review.png", desk.shot()
    desk.control.go_to(LOW)
    before, area = desk.around(*GROUND), desk.area(LEAVING, LOW)
    desk.click(*GROUND, on=False)
    _expect(0 < desk.area(LEAVING, LOW) < 0.8 * area, "a click on the ground takes it away")
    yield "tutorial-correct.png", _beside(before, desk.around(*GROUND))
    desk.track()
    desk.control.go_to(LATER)
    _expect(0 < desk.area(LEAVING, LATER) < 0.8 * wide, "the frames after it are mended as well")
    yield "tutorial-again.png", _beside(later, desk.around(*GROUND))


CAVITY, WALL = (149, 147), (149, 130)
WIDEST = 13  # the frame on which the cavity is, as the tutorial says


def chamber(desk: Desk) -> Pictures:
    """Tutorial, second part: a beating heart chamber."""
    desk.clicks.visible = False
    desk.point(CAVITY, WALL)
    desk.press(desk.dock.review.curves)
    desk.look()
    desk.track()
    areas = [desk.area(1, frame) for frame in range(desk.control.n_frames)]
    widest = int(np.argmax(areas))
    _expect(areas[widest] > 1.5 * areas[0], "the cavity fills and empties")
    _expect(widest == WIDEST, f"the cavity is widest on frame {WIDEST}")
    desk.dock.table.selectRow(0)
    desk.control.go_to(widest)
    desk.settle()
    yield "tutorial-chamber.png", desk.shot()


STORIES: dict[Callable[[Desk], Pictures], tuple[str, ...]] = {
    nuclei: ("window.png",),
    migration: (
        "tutorial-open.png",
        "tutorial-click.png",
        "tutorial-box.png",
        "tracking.gif",
        "tutorial-review.png",
        "tutorial-correct.png",
        "tutorial-again.png",
        "tutorial-save.png",
    ),
    chamber: ("tutorial-chamber.png",),
}
"""Which pictures a story makes, in order; a story has the name of its sample movie."""
NAMES = tuple(name for names in STORIES.values() for name in names)


# ---- files ---------------------------------------------------------------------------------------


def save(path: Path, picture: Frame | list[Frame]) -> None:
    """Write a PNG, or of a list a GIF."""
    if not isinstance(picture, list):
        _few(picture, COLOURS).save(path, optimize=True)
        return
    # One palette, from a frame with all colours in it, and no dither: what stays is not stored.
    palette = _few(picture[-1], GIF_COLOURS)
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in picture)
    times = [GIF_MS] * len(picture)
    times[0], times[-1] = 2 * GIF_MS, GIF_END_MS
    first.save(path, save_all=True, append_images=rest, duration=times, loop=0, optimize=False)


def _few(picture: Frame, colours: int) -> Frame:
    """Reduce to a palette: rare colours are kept (objects), then greys are made true."""
    return picture.quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)


def make(story: Callable[[Desk], Pictures], output: Path, only: str | None = None) -> None:
    """Play a story, and keep its pictures, or one of them."""
    with tempfile.TemporaryDirectory() as scratch:
        desk = Desk(Path(scratch), getattr(sample_data, story.__name__)())
        try:
            for name, picture in story(desk):
                if only in (None, name):
                    save(output / name, picture)
                    print(f"{output / name}: {(output / name).stat().st_size / 1000:.0f} kB")
                if only == name:
                    break
        finally:
            desk.close()


def main() -> None:
    """Make the pictures for the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for story, names in STORIES.items():
        if arguments.only in (None, *names):
            make(story, arguments.output, arguments.only)


if __name__ == "__main__":
    main()
