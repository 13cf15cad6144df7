"""A controller that remembers what it was asked for, for the tests of the dock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from psygnal import Signal

from napari_sam_i2v.widget.review import Curves, curves_of


@dataclass(frozen=True)
class Row:
    object_id: int
    name: str
    colour: tuple[float, float, float, float]
    prompts: int = 1
    state: str = "not tracked"
    confidence: float | None = None
    locked: bool = False
    mother: int | None = None
    absent: tuple[int, ...] = ()
    not_here: bool = False


class FakeController:
    """Does what the dock can see of a `TrackController`; `calls` holds what it was asked for."""

    objects_changed = Signal()
    busy_changed = Signal(bool)
    progress_changed = Signal()
    curves_changed = Signal()
    history_changed = Signal()
    opened_changed = Signal()
    problem = Signal(str)
    note = Signal(str)
    work_wanted = Signal()
    painted = Signal()

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.proposals: list[Any] = []
        self.calls: list[tuple[Any, ...]] = []
        self.refuse: Exception | None = None
        self.opened = False
        self.image: Image | None = None
        self.folder: Path | None = None
        self.in_use: dict[str, str] = {}
        self.labels: Labels | None = None
        self.own_layers: list[Any] = []
        self.table: list[Row] = []
        self._current = 0
        self.frame_locked = False
        self.tool: str | None = None
        self.undo_name: str | None = None
        self.redo_name: str | None = None
        self.busy = self.tracking = False
        self.progress = (0, 0)
        self.progress_text = ""
        self.closed = threading.Event()
        self.go = threading.Event()  # lets the worker on
        self.working = threading.Event()
        self.events: list[Any] = []
        self.errors: list[Exception] = []
        self.error: Exception | None = None
        self.has_work = False

    def _note(self, *call: Any) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.calls.append(call)

    # -- a movie ---------------------------------------------------------------------------------
    def images(self) -> list[Image]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def prompt_sources(self) -> list[Any]:
        layers = [layer for layer in self.viewer.layers if isinstance(layer, Points | Shapes)]
        return [layer for layer in layers if layer not in self.own_layers]

    def open(self, image: Image, **options: Any) -> None:
        self._note("open", image.name, options)
        self.image, self.opened = image, True
        data = np.zeros(image.data.shape, np.uint16)
        self.labels = self.viewer.add_labels(data, name=f"{image.name} tracked")
        self.own_layers = [
            self.labels,
            self.viewer.add_points(ndim=3, name=f"{image.name} clicks", border_color="white"),
        ]
        self.opened_changed.emit()

    def close(self) -> None:
        self.calls.append(("close",))
        self.opened = False
        self.closed.set()
        self.opened_changed.emit()

    @property
    def n_frames(self) -> int:
        return len(self.image.data)

    # -- objects ---------------------------------------------------------------------------------
    def rows(self) -> list[Row]:
        frame = self.frame if self.opened else -1
        return [replace(row, not_here=frame in row.absent) for row in self.table]

    def set_rows(self, *rows: Row) -> None:
        self.table = list(rows)
        self._current = self._current or rows[0].object_id
        self.objects_changed.emit()

    @property
    def current_object(self) -> int:
        return self._current

    @current_object.setter
    def current_object(self, object_id: int) -> None:
        self._note("current", object_id)
        self._current = object_id
        self.objects_changed.emit()

    def new_object(self) -> int:
        self._note("new_object")
        object_id = max((row.object_id for row in self.table), default=0) + 1
        self._current = object_id
        row = Row(object_id, f"object {object_id}", (1, 0, 0, 1), prompts=0, state="empty")
        self.set_rows(*self.table, row)
        return object_id

    def rename(self, object_id: int, name: str) -> None:
        self._note("rename", object_id, name)
        rows = (replace(r, name=name) if r.object_id == object_id else r for r in self.table)
        self.set_rows(*rows)

    def delete(self, objects: list[int]) -> None:
        self._note("delete", objects)

    def merge(self, objects: list[int], into: int) -> None:
        self._note("merge", objects, into)

    def swap(self, a: int, b: int) -> None:
        self._note("swap", a, b)

    def divide(self, object_id: int) -> None:
        self._note("divide", object_id)

    @property
    def not_here(self) -> frozenset[int]:
        return frozenset(row.object_id for row in self.rows() if row.not_here)

    def mark_absent(self, objects: list[int]) -> None:
        self._note("mark_absent", objects)

    def lock_objects(self, objects: list[int], locked: bool) -> None:
        self._note("lock_objects", objects, locked)

    def lock_frame(self, locked: bool) -> None:
        self._note("lock_frame", locked)
        self.frame_locked = locked

    def arm(self, tool: str | None) -> None:
        self._note("arm", tool)
        self.tool = tool

    @property
    def in_hand(self) -> str | None:
        return self.tool

    def take_prompts(self, layer: Any) -> None:
        self._note("take_prompts", layer.name)

    def select_at_cursor(self) -> None:
        self._note("select_at_cursor")

    def undo(self) -> None:
        self._note("undo")

    def redo(self) -> None:
        self._note("redo")

    # -- a pass ----------------------------------------------------------------------------------
    def propagate(self, **options: Any) -> None:
        self._note("propagate", options)
        self.begin()

    def begin(self) -> None:
        self.busy = self.tracking = self.has_work = True
        self.busy_changed.emit(True)
        self.work_wanted.emit()

    def cancel(self) -> None:
        self._note("cancel")

    def run(self) -> Iterator[object]:
        self.has_work = False
        for step in range(100):
            self.working.set()
            assert self.go.wait(600)
            if self.error is not None:
                raise self.error
            yield step
            if step == 2:
                return

    def handle(self, event: object) -> None:
        self.events.append(event)
        self.progress = (len(self.events), 3)
        self.progress_text = f"{len(self.events)} of 3 frames"
        self.progress_changed.emit()
        if event == 2:
            self.finish()

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        self.finish()

    def finished(self) -> None:
        self.calls.append(("finished",))

    def finish(self) -> None:
        self.busy = self.tracking = False
        self.busy_changed.emit(False)

    def draw(self, *, follow: bool) -> None:
        self.calls.append(("draw", follow))

    # -- review and files ------------------------------------------------------------------------
    def curves(self, objects: list[int]) -> list[Curves]:
        self.calls.append(("curves", tuple(objects)))
        time = np.arange(self.n_frames)
        return [
            curves_of(one, 0.8 + 0.15 * np.sin(time / 3 + one), area=100.0 * one + time)
            for one in objects
        ]

    def next_suspicious(self, step: int) -> None:
        self._note("next_suspicious", step)

    def go_to(self, frame: int) -> None:
        self._note("go_to", frame)

    @property
    def frame(self) -> int:
        return int(self.viewer.dims.current_step[0])

    def save_labels(self, path: Path) -> None:
        self._note("save_labels", path)

    def save_prompts(self, path: Path) -> None:
        self._note("save_prompts", path)

    def save_measurements(self, path: Path) -> None:
        self._note("save_measurements", path)

    def save_export(self, to: str, path: Path) -> None:
        self._note("save_export", to, path)

    def find_divisions(self) -> None:
        self._note("find_divisions")

    def show_proposal(self, proposal: Any) -> None:
        self._note("show_proposal", proposal.object_id)

    def accept_proposal(self, proposal: Any) -> None:
        self._note("accept_proposal", proposal.object_id)

    def add_tracks(self) -> None:
        self._note("add_tracks")
