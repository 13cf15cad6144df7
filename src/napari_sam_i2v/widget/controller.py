"""State of the dock widget without Qt: which layers there are, what a run makes of them.

Everything here runs on the main thread, except the generator that `Output.steps` gives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.widget.layers import layer_data, level0, placement
from napari_sam_i2v.widget.plan import Choices, Plan, resolve
from napari_sam_i2v.widget.run import Start, Step, count, counts, start_session, track

if TYPE_CHECKING:
    from napari.components import ViewerModel

KEY = "napari_sam_i2v"  # of our entry in a layer's metadata
_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the program ends


@dataclass(frozen=True)
class Readiness:
    """Whether a run can begin, and in one line what it would do or what is missing."""

    ready: bool
    text: str


@dataclass
class Output:
    """A run's Labels layer, and which of its finished frames are not drawn yet."""

    plan: Plan
    layer: Labels
    store: Any
    start: Start
    finished: list[int] = field(default_factory=list)
    undrawn: set[int] = field(default_factory=set)

    def steps(self) -> Iterator[Step]:
        """Do the work, for a worker thread (which needs a generator function)."""
        yield from track(self.plan, self.store, self.start)

    @property
    def summary(self) -> str:
        """What came of the run, in a sentence; a frame may have been reported twice."""
        frames = len(set(self.finished))
        if not frames:
            return "No frame was finished."
        return f"{count(frames, 'frame')} in “{self.layer.name}”."

    def add(self, frame: int) -> None:
        """Note a frame that the worker has written."""
        self.finished.append(frame)
        self.undrawn.add(frame)


def new_store(plan: Plan) -> Any:
    """Return an empty (T, Y, X) uint16 label store for a plan.

    On disk, in a folder that goes when the program ends: host memory stays flat however long
    the movie is. A movie cut out of a layer with more axes gets an array in memory, because
    its Labels layer needs those axes too.
    """
    if plan.axes.fixed:
        return np.zeros(plan.axes.shape, np.uint16)
    from napari_sam_i2v.movies.labels import LabelStore

    t, y, x = (float(step) for step in plan.image.scale)
    folder = tempfile.TemporaryDirectory(prefix="napari-sam-i2v-", ignore_cleanup_errors=True)
    _folders.append(folder)
    return LabelStore.create(
        Path(folder.name) / "labels.zarr",
        shape=plan.axes.shape,
        scale=(t, y, x),
        metadata=provenance(plan),
    )


def provenance(plan: Plan) -> dict[str, Any]:
    """Return what a plan did, as plain values for a file."""
    return {
        "movie": plan.image.name,
        "model": plan.model,
        "direction": plan.direction,
        "view": plan.view,
        "contrast": plan.contrast,
        "prompts": [
            {"object_id": c.object_id, "frame": c.frame, "points": c.points, "labels": c.labels}
            for c in plan.clicks
        ],
    }


class Controller:
    """What the dock widget does, for any view.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer (or napari's proxy of it) whose layers are used.
    start : callable
        Opens a session; tests put another in its place.
    """

    def __init__(self, viewer: ViewerModel, *, start: Start = start_session) -> None:
        self.viewer = viewer
        self._start = start

    # -- layers ----------------------------------------------------------------------------------
    def images(self) -> list[Image]:
        """Return the Image layers, bottom first."""
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def points_layers(self) -> list[Points]:
        """Return the Points layers, bottom first."""
        return [layer for layer in self.viewer.layers if isinstance(layer, Points)]

    def add_clicks_layer(self, image: Image) -> Points:
        """Add an empty Points layer that lies on an image and takes clicks at once."""
        placed = {name: getattr(image, name) for name in ("rotate", "shear", "affine")}
        layer = self.viewer.add_points(
            np.empty((0, image.ndim)),
            name="clicks",
            scale=image.scale,
            translate=image.translate,
            axis_labels=image.axis_labels,
            units=image.units,
            face_color="yellow",
            border_color="black",
            size=max(3.0, min(level0(image).shape[image.ndim - 2 : image.ndim]) / 50),
            **placed,
        )
        layer.mode = "add"
        return layer

    # -- a run -----------------------------------------------------------------------------------
    def plan(self, choices: Choices) -> Plan:
        """Resolve choices with the layers and sliders as they are now; raises `InputError`."""
        return resolve(choices, self.viewer.dims.point)

    def readiness(self, choices: Choices) -> Readiness:
        """Say whether a run can begin, and what it would do or what is missing."""
        try:
            return Readiness(True, counts(self.plan(choices)))
        except InputError as error:
            return Readiness(False, str(error))

    def begin(self, choices: Choices) -> Output:
        """Add an empty Labels layer aligned with the movie and return the run's output.

        The layer cannot be edited until `end`: brush strokes and finished planes would
        overwrite each other, and an undo would bring back what lay below.
        """
        plan = self.plan(choices)
        image = plan.image
        store = new_store(plan)
        active = self.viewer.layers.selection.active
        layer = self.viewer.add_labels(
            layer_data(store, plan.axes),
            name=f"{image.name} tracked",
            **placement(image, plan.axes),
            metadata={KEY: provenance(plan)},
        )
        layer.editable = False
        # Under the clicks, which stay at hand for more of them.
        below = min(self.viewer.layers.index(points) for points in choices.points)
        if below > self.viewer.layers.index(image):
            self.viewer.layers.move(len(self.viewer.layers) - 1, below)
        self.viewer.layers.selection.active = active
        return Output(plan, layer, store, self._start)

    def draw(self, output: Output, *, follow: bool) -> None:
        """Show what was finished since the last call; with `follow`, go to the latest frame."""
        undrawn, output.undrawn = output.undrawn, set()
        if not undrawn or output.layer not in self.viewer.layers:
            return
        if follow:
            self._go_to(output, output.finished[-1])
        if self._on_screen(output) & undrawn:
            output.layer.refresh(extent=False, highlight=False, thumbnail=False)

    def end(self, output: Output) -> None:
        """Give the Labels layer to the user, or take it away if no frame was finished."""
        if output.layer not in self.viewer.layers:
            return
        if not output.finished:
            self.viewer.layers.remove(output.layer)
        else:
            output.layer.editable = True
            output.layer.refresh(extent=False)

    def _go_to(self, output: Output, frame: int) -> None:
        layer, time = output.layer, output.plan.axes.time
        at = np.zeros(layer.ndim)
        at[time] = frame
        axis = self.viewer.dims.ndim - layer.ndim + time
        if axis in self.viewer.dims.not_displayed:
            self.viewer.dims.set_point(axis, float(layer.data_to_world(at)[time]))

    def _on_screen(self, output: Output) -> set[int]:
        """Return the frames that are drawn now: one, or all in a volume view over time."""
        layer, time = output.layer, output.plan.axes.time
        if self.viewer.dims.ndim - layer.ndim + time in self.viewer.dims.displayed:
            return set(range(output.plan.axes.shape[0]))
        point = np.asarray(self.viewer.dims.point)[-layer.ndim :]
        return {round(float(layer.world_to_data(point)[time]))}
