"""How the layers of clicks and boxes are made and what they look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points, Shapes
from numpy.typing import NDArray

from napari_sam_i2v.widget.layers import Axes, column, left_layer, mark, place, placement

if TYPE_CHECKING:
    from os import PathLike

    from napari.components import ViewerModel
    from napari.layers import Image

_GREY = np.array([0.5, 0.5, 0.5, 1.0])  # of rows whose object is not a number
_ON, _OFF = (1.0, 1.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0)  # borders of clicks
_EDGE = 2.5  # canvas pixels


class Look:
    """Makes the layers of a movie's prompts, and draws them in their objects' colours.

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
    """

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        axes: Axes,
        folder: str | PathLike[str],
        colour_of: Callable[[int], np.ndarray],
    ) -> None:
        self._viewer, self._image, self._axes = viewer, image, axes
        self._folder, self._colour_of = folder, colour_of

    # -- making ----------------------------------------------------------------------------------
    def found(self, role: str) -> Any:
        """Return the layer which this session has left when it was closed, or None."""
        layer = left_layer(self._viewer, self._image.ndim, role, self._folder)
        if layer is not None:
            place(layer, self._image, self._plane)
        return layer

    def new_points(self) -> Points:
        """Add an empty layer of clicks."""
        layer = Points(
            np.empty((0, self._image.ndim)),
            features={name: np.empty(0, int) for name in ("object_id", "label")},
            feature_defaults={"object_id": 1, "label": 1},
            size=max(1.0, min(self._axes.shape[1:]) / 32),
            border_width=0.08,
            # Never hiding a cell. A minimum would show the point of no size that napari draws in a
            # corner of frames without clicks.
            canvas_size_limits=(0, 26),
            **self._placed("clicks"),
        )
        return self._added(layer)

    def new_boxes(self) -> Shapes:
        """Add an empty layer of boxes."""
        layer = Shapes(
            ndim=self._image.ndim,
            features={"object_id": np.empty(0, int)},
            feature_defaults={"object_id": 1},
            face_color="transparent",
            **self._placed("boxes"),
        )
        return self._added(layer)

    @property
    def _plane(self) -> Axes:
        """Prompts have positions along the axes that are fixed, too."""
        return replace(self._axes, fixed={})

    def _placed(self, role: str) -> dict[str, Any]:
        return {
            "name": f"{self._image.name} {role}",
            "metadata": mark(role, self._folder),
            **placement(self._image, self._plane),
        }

    def _added(self, layer: Any) -> Any:
        """Put a layer on top; what the user works in stays active."""
        active = self._viewer.layers.selection.active
        self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = active
        return layer

    # -- drawing ---------------------------------------------------------------------------------
    def style(self, layer: Points | Shapes) -> None:
        """Draw what a layer holds by its features; this is no edit."""
        if not len(layer.data):
            return
        colours = np.array([self.colour(value) for value in column(layer, "object_id")])
        if isinstance(layer, Shapes):
            layer.edge_color = colours
            layer.edge_width = self._edge_width()
            return
        on = np.array([label == 1 for label in column(layer, "label")])
        layer.face_color = colours
        layer.border_color = np.where(on[:, None], _ON, _OFF)
        layer.symbol = np.where(on, "disc", "cross")

    def style_next(self, layer: Points | Shapes, object_id: int, label: int) -> None:
        """Set what the next click or box is; napari takes it from what was selected last."""
        defaults = layer.feature_defaults.copy()
        defaults["object_id"] = object_id
        if isinstance(layer, Points):
            defaults["label"] = label
        layer.feature_defaults = defaults
        colour = self.colour(object_id)
        with layer.block_update_properties():  # leave alone those that are selected
            if isinstance(layer, Points):
                layer.current_face_color = colour
            else:
                layer.current_edge_color = colour
                layer.current_edge_width = self._edge_width()

    def colour(self, object_id: Any) -> NDArray[np.float64]:
        """Return an object's RGBA; grey for what is no object id."""
        try:
            number = int(object_id)
        except (TypeError, ValueError):
            return _GREY
        colour = np.ones(4)
        given = np.asarray(self._colour_of(number), np.float64).ravel()[:4]
        colour[: len(given)] = given
        return colour

    def _edge_width(self) -> float:
        """Return the width of a line of some screen pixels, in data pixels."""
        zoom = self._viewer.scene.camera.zoom * abs(float(self._image.scale[-1]))
        return float(_EDGE / zoom)
