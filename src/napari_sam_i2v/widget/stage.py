"""The layers of an open movie: its image, our labels, clicks and boxes; and the frame on screen."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Labels

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.widget.layers import Axes, add_or_replace, mark, placement
from napari_sam_i2v.widget.painting import Stroke, plane_of, stroke_between
from napari_sam_i2v.widget.prompt_layers import PromptLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_sam_i2v.widget.opening import Kept

__all__ = ["Stage", "Tool"]

Tool = Literal["point", "box", "paint"]
_PAINTING = ("paint", "erase", "fill", "polygon")
_LOOKS = ("name", "opacity", "blending", "colormap", "contour")
_UNDO, _REDO = "Control-Z", "Control-Shift-Z"


class Stage:
    """What an open movie has in the viewer.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, or napari's proxy of it.
    image : Image
        The movie's layer.
    axes : Axes
        How its axes are used.
    kept : Kept
        Its session's folder, whose labels are shown.
    on_prompts, on_paint, on_stroke, undo, redo, on_choose, on_colours : callable
        Called when the user edits clicks or boxes, paints, begins a stroke while the last one was
        not asked for, or asks on our labels to undo or redo (napari's own undo knows nothing of
        what we write), or chooses another label or other colours there.

    Attributes
    ----------
    labels : Labels
        Our layer.
    prompts : PromptLayers
        Clicks and boxes.
    held : bool
        Whether the mouse is pressed on the canvas.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        axes: Axes,
        kept: Kept,
        *,
        on_prompts: Callable[[], None],
        on_paint: Callable[..., None],
        on_stroke: Callable[[], None],
        undo: Callable[[], None],
        redo: Callable[[], None],
        on_choose: Callable[[int], None],
        on_colours: Callable[[], None],
    ) -> None:
        self.viewer, self.image, self.axes = viewer, image, axes
        self._on_paint, self._on_stroke = on_paint, on_stroke
        self._on_choose, self._on_colours = on_choose, on_colours
        self._before: tuple[int, np.ndarray] | None = None
        self._painted = False  # and nobody asked for the stroke yet
        self.held = False
        self.labels = self._add_labels(kept)
        self.labels.events.paint.connect(self._note_paint)
        self.labels.events.selected_label.connect(self._on_selected)
        self.labels.events.n_edit_dimensions.connect(self._keep_to_one_frame)
        self.labels.mouse_drag_callbacks.insert(0, self.begin_stroke)
        viewer.mouse_drag_callbacks.append(self._hold)
        for shown in self._shown:
            shown.connect(self._allow_painting)
        self._allow_painting()
        self.labels.bind_key(_UNDO, lambda _: undo(), overwrite=True)
        self.labels.bind_key(_REDO, lambda _: redo(), overwrite=True)
        self.prompts = PromptLayers(
            viewer, image, axes,
            folder=kept.folder.path, colour_of=self.colour_of, on_change=on_prompts,
        )  # fmt: skip
        self.labels.events.colormap.connect(self._recolour)
        viewer.layers.selection.active = self.prompts.points

    def _add_labels(self, kept: Kept) -> Labels:
        """Add our layer, in the place and with the looks of one that was left at closing."""
        folder = kept.folder.path
        layer = Labels(
            kept.shown,
            name=f"{self.image.name} tracked",
            metadata=mark("tracked", folder),
            **placement(self.image, self.axes),
        )
        add_or_replace(self.viewer, layer, "tracked", folder, looks=_LOOKS)
        return layer

    def close(self) -> None:
        """Let go of the layers; they stay in the viewer."""
        self.prompts.detach()
        self.labels.events.paint.disconnect(self._note_paint)
        self.labels.events.selected_label.disconnect(self._on_selected)
        self.labels.events.n_edit_dimensions.disconnect(self._keep_to_one_frame)
        self.labels.events.colormap.disconnect(self._recolour)
        self.labels.mouse_drag_callbacks.remove(self.begin_stroke)
        self.viewer.mouse_drag_callbacks.remove(self._hold)
        for shown in self._shown:
            shown.disconnect(self._allow_painting)
        for key in (_UNDO, _REDO):
            self.labels.bind_key(key, None)
        self.labels.editable = False

    @property
    def layers(self) -> list[Layer]:
        """Our layers: labels, clicks, boxes."""
        return [self.labels, *self.prompts.layers]

    def colour_of(self, object_id: int) -> np.ndarray:
        """Return an object's colour, RGBA."""
        colour = self.labels.get_color(object_id)
        return np.ones(4) if colour is None else np.asarray(colour)

    def _recolour(self, event: Any) -> None:
        """The user shuffled the colours: clicks and boxes have those of their objects."""
        self.prompts.recolour()
        self._on_colours()

    # ---- tools ------------------------------------------------------------------------------

    def choose(self, object_id: int) -> None:
        """Let what is drawn from now on belong to an object."""
        self.prompts.current_object = object_id
        self.labels.selected_label = object_id

    def _on_selected(self, event: Any) -> None:
        """The user picked or typed a label: that is the object to go on with."""
        if self.labels.selected_label not in (0, self.prompts.current_object):
            self._on_choose(int(self.labels.selected_label))

    def _keep_to_one_frame(self, event: Any) -> None:
        """Hold “n edit dim” at 2: a stroke is on one frame, others may be locked."""
        if self.labels.n_edit_dimensions != 2:  # else it would call itself for ever
            self.labels.n_edit_dimensions = 2

    def arm(self, tool: Tool | None) -> None:
        """Make clicks and drags on the canvas prompt, or move the camera again."""
        self.prompts.arm(None if tool == "paint" else tool)
        self.labels.mode = "pan_zoom"
        if tool == "paint":
            self._check_paintable()  # after the tool before is put away: it would take the stroke
            if not self.labels.selected_label:  # napari's picker took the background: no object
                self.labels.selected_label = self.prompts.current_object
            self.labels.visible = True  # or it would refuse the mode
            self.viewer.layers.selection.active = self.labels
            self.labels.mode = "paint"

    @property
    def paintable(self) -> bool:
        """Whether what is on screen is a frame of the movie, so that a stroke is on one frame."""
        dims, axes = self.viewer.dims, self.axes
        first = dims.ndim - self.labels.ndim
        if {*dims.displayed} != {dims.ndim - 2, dims.ndim - 1}:
            return False
        at = self.image.world_to_data(np.asarray(dims.point)[first:])
        return all(round(float(at[axis])) == index for axis, index in axes.fixed.items())

    def _check_paintable(self) -> None:
        """Check that a frame of the movie is on screen; else `PromptError`."""
        if self.paintable:
            return
        names = self.image.axis_labels
        fixed = "".join(f", with {names[axis]} at {at}" for axis, at in self.axes.fixed.items())
        raise PromptError(
            "Painting needs a frame of the movie on screen: show it in 2D, y down and x across"
            f"{fixed}."
        )

    @property
    def _shown(self) -> tuple[Any, ...]:
        """What napari says when something else is to be shown."""
        events = self.viewer.dims.events
        return events.point, events.order, events.ndisplay

    def _allow_painting(self, event: Any = None) -> None:
        """Keep strokes off other planes, and off several frames at a time."""
        self.labels.editable = self.paintable

    @property
    def in_hand(self) -> Tool | None:
        """The tool that the canvas obeys: its layer is active, in its mode."""
        if self.viewer.layers.selection.active == self.labels:
            return "paint" if self.labels.mode in _PAINTING else None
        return self.prompts.in_hand

    def _hold(self, _: Any, event: Any) -> Generator[None, None, None]:
        """Note how long the mouse is pressed: what is drawn then is on one frame."""
        self.held = True
        yield
        while event.type == "mouse_move":
            yield
        self.held = False

    def begin_stroke(self, *_: Any) -> None:
        """Remember the frame on screen as it is before a brush, eraser or bucket changes it."""
        if self._painted:
            self._on_stroke()  # two strokes before anybody asked for the first
        if self.labels.mode != "pan_zoom":
            self._before = (self.frame, plane_of(self.labels, self.axes, self.frame))

    def stroke(self) -> Stroke | None:
        """Return what changed since `begin_stroke`, once."""
        if self._before is None:
            return None
        frame, before = self._before
        stroke = stroke_between(frame, before, plane_of(self.labels, self.axes, frame))
        if stroke is not None:
            self._before, self._painted = None, False
        return stroke

    def _note_paint(self, event: Any) -> None:
        self._painted = True
        self._on_paint(event)

    def under_pointer(self) -> int:
        """Return the object under the mouse pointer, 0 if there is none."""
        at = np.asarray(self.viewer.cursor.position)[-self.labels.ndim :]
        place = np.round(self.labels.world_to_data(at)).astype(int)
        inside = all(0 <= i < n for i, n in zip(place, self.labels.data.shape, strict=True))
        return int(np.asarray(self.labels.data[tuple(place.tolist())])) if inside else 0

    # ---- the frame on screen ----------------------------------------------------------------

    @property
    def frame(self) -> int:
        """The movie's frame on screen."""
        point = np.asarray(self.viewer.dims.point)[-self.labels.ndim :]
        at = float(self.labels.world_to_data(point)[self.axes.time])
        return int(np.clip(round(at), 0, self.axes.shape[0] - 1))

    def go_to(self, frame: int) -> None:
        """Show a frame of the movie."""
        at = np.zeros(self.labels.ndim)
        at[self.axes.time] = frame
        axis = self.viewer.dims.ndim - self.labels.ndim + self.axes.time
        if axis in self.viewer.dims.not_displayed:
            world = self.labels.data_to_world(at)[self.axes.time]
            self.viewer.dims.set_point(axis, float(world))

    def redraw(self, frames: Collection[int]) -> None:
        """Draw our labels anew if one of these frames is on screen."""
        if self.labels in self.viewer.layers and (
            self.frame in frames or self.viewer.dims.ndisplay > 2
        ):
            self.labels.refresh(extent=False, highlight=False, thumbnail=False)
