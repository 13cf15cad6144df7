"""The two layers in which the user prompts: clicks and boxes of one movie.

They are a view of a session's prompts. Whatever is done in them (click, drag, delete, edit the
features) is reported once; what it means is found by reading the layers.

Left-click: on the object. Control-click (Command on macOS), Alt-click or right-click: not on it.
Positions are as in `placing`: pixel centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Points, Shapes
from numpy.typing import NDArray

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.widget.given_layers import BOX_SHAPES, prompts_from_layer
from napari_sam_i2v.widget.layers import MAX_OBJECT_ID, Axes, column, whole
from napari_sam_i2v.widget.placing import MOVE_OR_DELETE, Box, Placing
from napari_sam_i2v.widget.prompt_look import Look
from napari_sam_i2v.widget.prompt_rows import (
    Features,
    box_rows,
    click_rows,
    holds,
    rounds_that_matter,
    same_rounds,
)

if TYPE_CHECKING:
    from os import PathLike

    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["NEGATIVE_KEYS", "PromptLayers", "Tool", "prompts_from_layer", "same_rounds"]

Tool = Literal["point", "box"]
Rounds = dict[tuple[int, int], tuple[Prompt, ...]]

NEGATIVE_KEYS = ("Control", "Alt", "Meta")
"""Held while clicking: not on the object. Qt says Control for Command on macOS; Control there is a
right click with Meta. Some Linux desktops keep Alt-clicks for themselves."""

_LEFT_BUTTON, _RIGHT_BUTTON = 1, 2
_DRAG = 5  # canvas pixels below which a press and release is a click, as in napari
_MODES = {"point": "add", "box": "add_rectangle"}


class PromptLayers:
    """The Points and the Shapes layer of a movie.

    Layers that this session left in the viewer when it was closed are used again.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, or napari's proxy of it.
    image : Image
        The movie's layer.
    axes : Axes
        How its axes are used.
    folder : str or path
        The session's.
    colour_of : callable
        Object id -> RGB or RGBA, 0 to 1.
    on_change : callable
        Called once after each edit by the user; not for what `show` and `drop` do.

    Attributes
    ----------
    points : Points
        The clicks, with features `object_id` and `label` (1 on the object, 0 off it).
    problems : list of str
        After `read`: what in the layers cannot be used, a sentence each.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        axes: Axes,
        *,
        folder: str | PathLike[str],
        colour_of: Callable[[int], np.ndarray],
        on_change: Callable[[], None],
    ) -> None:
        self._viewer, self._image, self._axes = viewer, image, axes
        self._look = Look(viewer, image, axes, folder, colour_of)
        self._on_change = on_change
        self.problems: list[str] = []
        self._refused: list[str] = []  # what is wrong with edits that were not taken
        self._current_object = 1
        self._label = 1  # of the click that is being made
        self._meant = True  # the click that is being made: by a button that prompts
        self._dragged = True  # the box that is being drawn
        self._silent = False
        self._in_edit = ""  # what is going on between napari's “…ing” and “…ed” events
        self.points: Points = self._look.found("clicks") or self._look.new_points()
        self._boxes: Shapes | None = self._look.found("boxes")
        self._connect(self.points, self._on_press)
        if self._boxes is not None:
            self._connect(self._boxes, self._on_box_press)
        self.recolour()
        self._note_content()

    # -- what the layers say ---------------------------------------------------------------------
    def read(self) -> Rounds:
        """Return the rounds of prompting by (object id, frame), in no particular order of keys.

        The latest box comes first, then one round per click in the order of clicking. Positions
        are rounded to 1/100 pixel. What cannot be used is left out and put into `problems`.
        """
        self.problems, self._refused = self._refused, []
        rounds: dict[tuple[int, int], list[Prompt]] = {}
        for object_id, frame, box in self._read_boxes():
            rounds[object_id, frame] = [Prompt(object_id, frame, box=box)]
        for object_id, frame, y, x, label in self._read_clicks():
            point = Prompt(object_id, frame, points=np.array([(y, x)]), labels=np.array([label]))
            rounds.setdefault((object_id, frame), []).append(point)
        return {key: tuple(prompts) for key, prompts in rounds.items()}

    def _read_clicks(self) -> list[tuple[int, int, float, float, int]]:
        layer, clicks = self.points, []
        placing = self._placing(layer)
        ids, labels = column(layer, "object_id"), column(layer, "label")
        for row, at in enumerate(layer.data):
            with self._noting():
                object_id = whole(layer, "object_id", row, ids[row], 1, MAX_OBJECT_ID)
                label = whole(layer, "label", row, labels[row], 0, 1)
                what = f"Click {row + 1} (object {object_id})"
                clicks.append((object_id, *placing.point(at, what), label))
        return clicks

    def _read_boxes(self) -> list[tuple[int, int, Box]]:
        layer, boxes = self._boxes, []
        if layer is None:
            return []
        placing = self._placing(layer)
        ids, kinds = column(layer, "object_id"), layer.shape_type
        for row, vertices in enumerate(self._finished(layer.data)):
            with self._noting():
                object_id = whole(layer, "object_id", row, ids[row], 1, MAX_OBJECT_ID, noun="box")
                what = f"Box {row + 1} (object {object_id})"
                boxes.append((object_id, *_box(placing, kinds[row], vertices, what)))
        return boxes

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note what is wrong with a row, and go on with the next."""
        try:
            yield
        except PromptError as error:
            self.problems.append(str(error))

    def _finished(self, shapes: Sequence[Any]) -> Sequence[Any]:
        """Leave out the box that is being drawn."""
        return shapes[:-1] if self._in_edit == "adding boxes" else shapes

    def _placing(self, layer: Points | Shapes) -> Placing:
        return Placing(self._image, self._axes, layer)

    # -- what is put into the layers -------------------------------------------------------------
    def show(self, prompts: Iterable[Prompt]) -> None:
        """Replace what the layers hold by prompts.

        Masks, and what a later mask or box replaced, are not shown. A layer that holds the same
        already is left as it is, with a box that is being drawn.
        """
        rounds = rounds_that_matter(prompts)
        with self._silently():
            data, features = click_rows(rounds, self._placing(self.points))
            self._fill(self.points, list(data), features)
            if self._boxes is not None or any(prompt.box is not None for prompt in rounds):
                self._fill(self.boxes, *box_rows(rounds, self._placing(self.boxes)))

    def drop(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's clicks and boxes: those on a frame, or all."""
        with self._silently():
            for layer in self.layers:
                rows = self._rows_of(layer, object_id, frame)
                self._remove(layer, rows)

    def _fill(
        self, layer: Points | Shapes, data: Sequence[NDArray[Any]], features: Features
    ) -> None:
        done = self._finished(layer.data) if layer == self._boxes else layer.data
        if holds(layer, len(done), data, features):
            return
        self._remove(layer, range(len(layer.data)))
        if data:
            layer.add(data)  # shapes are rectangles where nothing is said
            layer.features = features
            layer.selected_data = set()  # else Delete would delete them all

    def _remove(self, layer: Points | Shapes, rows: Sequence[int]) -> None:
        if rows:
            layer.remove(list(rows))
            self._in_edit = ""  # napari gives up a drag of what is gone, without an event

    def _rows_of(self, layer: Points | Shapes, object_id: int, frame: int | None) -> list[int]:
        rows = [i for i, value in enumerate(column(layer, "object_id")) if value == object_id]
        if frame is None or not rows:
            return rows
        firsts = np.array([np.atleast_2d(layer.data[row])[0] for row in rows])
        on = self._placing(layer).frames(firsts) == frame
        return [row for row, here in zip(rows, on, strict=True) if here]

    # -- tools -----------------------------------------------------------------------------------
    @property
    def boxes(self) -> Shapes:
        """The boxes, with a feature `object_id`; the layer is made when first asked for."""
        if self._boxes is None:
            self._boxes = self._look.new_boxes()
            self._connect(self._boxes, self._on_box_press)
            self._set_next(self._boxes)
        return self._boxes

    @property
    def current_object(self) -> int:
        """The object that new clicks and boxes belong to."""
        return self._current_object

    @current_object.setter
    def current_object(self, object_id: int) -> None:
        self._current_object = object_id
        for layer in self.layers:
            self._set_next(layer)

    def arm(self, tool: Tool | None) -> None:
        """Make clicks on the canvas prompt by points or boxes, or move the camera again.

        A layer that was removed from the viewer is put back.
        """
        for layer in self.layers:
            layer.mode = "pan_zoom"
        if tool is None:
            return
        layer = self.points if tool == "point" else self.boxes
        if layer not in self._viewer.layers:
            self._viewer.add_layer(layer)
        layer.visible = True  # or it would refuse the mode
        self._viewer.layers.selection.active = layer
        self._set_next(layer)
        layer.mode = _MODES[tool]

    @property
    def in_hand(self) -> Tool | None:
        """The tool that the canvas obeys: its layer is active, in its mode."""
        active = self._viewer.layers.selection.active
        tools: dict[Tool, Points | Shapes | None] = {"point": self.points, "box": self._boxes}
        for tool, layer in tools.items():
            if layer is not None and layer == active and layer.mode == _MODES[tool]:
                return tool
        return None

    def recolour(self) -> None:
        """Draw everything in its object's colour anew."""
        for layer in self.layers:
            self._look.style(layer)
            self._set_next(layer)

    def detach(self) -> None:
        """Stop reporting edits; the layers stay, and take none: nobody would keep them."""
        for layer in self.layers:
            layer.mode = "pan_zoom"
            layer.editable = False
            layer.events.data.disconnect(self._on_data)
            layer.events.features.disconnect(self._on_features)
            for callback in (self._on_press, self._on_box_press):
                if callback in layer.mouse_drag_callbacks:
                    layer.mouse_drag_callbacks.remove(callback)

    @property
    def layers(self) -> list[Any]:
        """Our layers that there are: clicks, and boxes once there were any."""
        return [layer for layer in (self.points, self._boxes) if layer is not None]

    # -- edits by the user -----------------------------------------------------------------------
    def _connect(self, layer: Points | Shapes, on_press: Callable[..., Any]) -> None:
        layer.editable = True
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)
        layer.mouse_drag_callbacks.insert(0, on_press)

    def _on_press(self, layer: Points, event: Any) -> Generator[None, None, None]:
        """Note whether the click says “here” or “not here”; napari adds it on release.

        It does so for any button, but where the mouse was dragged.
        """
        off = event.button == _RIGHT_BUTTON or any(key in event.modifiers for key in NEGATIVE_KEYS)
        self._label = 0 if off else 1
        start, self._meant = np.array(event.pos), layer.mode != "add" or _prompts(event)
        yield
        while event.type == "mouse_move":
            yield
        self._meant |= _dragged(start, event)

    def _on_box_press(self, layer: Shapes, event: Any) -> Generator[None, None, None]:
        """Note whether the mouse is dragged: napari makes a tiny box of a mere click."""
        start, self._dragged = np.array(event.pos), layer.mode not in _MODES.values()
        yield
        while event.type == "mouse_move":
            self._dragged |= _prompts(event) and _dragged(start, event)
            yield

    def _on_data(self, event: Any) -> None:
        """Wait for the end of an edit: a drag is one, however far it goes."""
        if self._silent:
            return
        action = str(event.action)
        if action.endswith("ing"):  # adding, changing, removing
            kind = "boxes" if event.source == self._boxes else "points"
            self._in_edit = f"{action} {kind}"
            self._set_next(event.source)
            return
        self._in_edit = ""
        if action == "added":
            self._label = 1
            if event.source == self._boxes:
                self._keep_latest_box()
            else:
                self._keep_usable_clicks()
        elif action == "changed":
            self._put_back(event.source)
        if self._refused:
            self._on_change()  # nothing is other than before, but there is something to say
        self._edited()

    def _on_features(self, event: Any) -> None:
        if not self._silent and not self._in_edit:
            self._edited()

    def _edited(self) -> None:
        """Report an edit, once: napari announces one by several events."""
        if self._content() != self._known:
            self._note_content()
            self.recolour()
            self._on_change()

    def _note_content(self) -> None:
        """Remember what the layers hold, to see what is edited, and to put it back."""
        self._known = self._content()
        self._places = [[np.array(at) for at in self._finished(x.data)] for x in self.layers]

    def _content(self) -> tuple[Any, ...]:
        """All that counts in the layers, to compare; NaN is equal to itself here."""
        clicks = (
            self.points.data.tobytes(),
            *(str(column(self.points, name)) for name in ("object_id", "label")),
        )
        if self._boxes is None or not self._boxes.nshapes:
            return clicks
        shapes = self._finished(self._boxes.data)
        kinds = tuple(self._boxes.shape_type)
        return *clicks, [s.tobytes() for s in shapes], kinds, str(column(self._boxes, "object_id"))

    def _keep_latest_box(self) -> None:
        """Take away a box of a mere click or beside the movie, else those that it replaces."""
        layer, dragged = self.boxes, self._dragged
        self._dragged = True
        last = layer.nshapes - 1
        old = [last]
        if dragged and self._usable(layer, last):
            object_id = column(layer, "object_id")[last]
            frame = self._placing(layer).frames(layer.data[last])[0]
            old = [row for row in self._rows_of(layer, object_id, frame) if row != last]
        with self._muted():
            self._remove(layer, old)

    def _usable(self, layer: Shapes, row: int) -> bool:
        """Whether a new box can be a prompt; if not, what is wrong with it will be said."""
        wrong = self._wrong(layer, row, layer.data[row], "The new box")
        if wrong is not None:
            self._refuse(wrong, "Draw it on the movie.")
        return wrong is None

    def _keep_usable_clicks(self) -> None:
        """Take away new clicks that can be no prompt, or were made by another button."""
        layer, meant = self.points, self._meant
        self._meant = True
        new = range(len(self._places[0]), len(layer.data))
        wrong = {row: self._wrong(layer, row, layer.data[row], "The new click") for row in new}
        said = [why for why in wrong.values() if why is not None]
        if said and meant:
            self._refuse(said[0], "Click on the movie.")
        with self._muted():
            self._remove(layer, [row for row in new if wrong[row] is not None or not meant])

    def _put_back(self, layer: Points | Shapes) -> None:
        """Put clicks and boxes that were moved to where they can be no prompts back."""
        before, data = self._places[self.layers.index(layer)], list(layer.data)
        if len(before) != len(data):
            return
        ids, noun = column(layer, "object_id"), "Box" if layer == self._boxes else "Click"
        back: list[int] = []
        for row, (at, old) in enumerate(zip(data, before, strict=True)):
            what = f"{noun} {row + 1} (object {ids[row]})"
            why = None if np.array_equal(at, old) else self._wrong(layer, row, at, what)
            if why is None or self._wrong(layer, row, old) is not None:
                continue
            if not back:
                self._refuse(why, "It stays where it was.")
            back.append(row)
        if back:
            kept = [before[row] if row in back else at for row, at in enumerate(data)]
            with self._muted():
                layer.data = kept if layer == self._boxes else np.array(kept)

    def _wrong(self, layer: Points | Shapes, row: int, at: Any, what: str = "") -> str | None:
        """Return why a click or a box would be no prompt at a place, None if it would."""
        try:
            if layer == self._boxes:
                _box(self._placing(layer), layer.shape_type[row], at, what)
            else:
                self._placing(layer).point(at, what)
        except PromptError as error:
            return str(error)
        return None

    def _refuse(self, why: str, advice: str) -> None:
        """Say what is wrong with something that was not taken: there is nothing to delete."""
        self._refused.append(why.replace(MOVE_OR_DELETE, advice).replace(", or delete it.", "."))

    @contextmanager
    def _muted(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    @contextmanager
    def _silently(self) -> Iterator[None]:
        """Change the layers without reporting it."""
        with self._muted():
            yield
            self.recolour()
        self._note_content()

    def _set_next(self, layer: Points | Shapes) -> None:
        self._look.style_next(layer, self._current_object, self._label)


def _prompts(event: Any) -> bool:
    """Whether the mouse's button is one to prompt with."""
    return event.button in (_LEFT_BUTTON, _RIGHT_BUTTON)


def _dragged(start: NDArray[Any], event: Any) -> bool:
    """Whether the mouse is as far from where it was pressed as napari needs for a drag."""
    return bool(np.linalg.norm(np.array(event.pos) - start) >= _DRAG)


def _box(placing: Placing, kind: str, vertices: Any, what: str) -> tuple[int, Box]:
    """Return frame and box of a shape; raises `PromptError` where it can be none."""
    if kind not in BOX_SHAPES:
        raise PromptError(f"{what} is a {kind}: draw a rectangle instead.")
    return placing.box(vertices, what)
