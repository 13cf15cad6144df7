"""Where clicks and boxes of a layer lie on a movie, and the other way round.

Coordinates are napari's data coordinates of the movie's layer: the centre of pixel (0, 0) is at
(0, 0) and its outer corner at (-0.5, -0.5), for clicks and for the edges of boxes alike. What lies
on the outer half of a border pixel is moved to that pixel's centre.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import PromptError
from napari_sam_i2v.widget.layers import Axes, between
from napari_sam_i2v.widget.pace import count

if TYPE_CHECKING:
    from napari.layers import Image, Layer

Box = tuple[float, float, float, float]

DECIMALS = 2
"""Of positions, in pixels: Shapes layers keep 32-bit numbers, and a move there and back must not
look like an edit."""

MOVE_OR_DELETE = "Move or delete it."
_SMALLEST_BOX = 1.0  # pixel


class Placing:
    """A layer of points or shapes on a movie.

    Parameters
    ----------
    image : Image
        The layer the movie comes from.
    axes : Axes
        How its axes are used.
    layer : Layer
        With the axes of the image (or more, in front), or flat: y and x only.
    frame : int, optional
        Where a flat layer belongs.

    Raises
    ------
    PromptError
        If the layer's number of axes fits neither.
    """

    def __init__(self, image: Image, axes: Axes, layer: Layer, *, frame: int | None = None) -> None:
        self._image, self._axes, self._layer = image, axes, layer
        self._flat_on = frame if layer.ndim == 2 else None
        if layer.ndim < image.ndim and self._flat_on is None:
            raise PromptError(
                f"“{layer.name}” has {layer.ndim} axes; the movie “{image.name}” needs "
                f"{image.ndim} (like the movie's own), or 2 for one frame. Make a new layer and "
                "draw there."
            )
        self._to_image = between(layer, image)
        self._to_layer = between(image, layer)

    def frames(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the frame of each position (N, layer axes); NaN and outside ones as they are."""
        return np.round(self._on_image(positions)[:, self._axes.time])

    def point(self, position: NDArray[np.float64], what: str) -> tuple[int, float, float]:
        """Return (frame, y, x) of a position in the layer.

        Raises
        ------
        PromptError
            If it is not on the movie; `what` is its name in the message.
        """
        at = self._on_image(np.asarray(position, np.float64)[None])
        frame = self._frame(at, what)
        y, x = at[0, -2:]
        _, height, width = self._axes.shape
        if not (-0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5):
            raise self._outside(what, f"y {y:.1f}, x {x:.1f}")
        y, x = self._clipped(at[0, -2:])
        return frame, float(y), float(x)

    def box(self, vertices: NDArray[np.float64], what: str) -> tuple[int, Box]:
        """Return the frame and the bounding box (y0, x0, y1, x1) of a shape's vertices.

        Raises
        ------
        PromptError
            If the shape is not on the movie or too small; `what` is its name in the message.
        """
        at = self._on_image(np.asarray(vertices, np.float64))
        frame = self._frame(at, what)
        low, high = at[:, -2:].min(axis=0), at[:, -2:].max(axis=0)
        if (high <= -0.5).any() or (low >= np.array(self._axes.shape[1:]) - 0.5).any():
            raise self._outside(what, f"y {low[0]:.1f} to {high[0]:.1f}, x {low[1]:.1f} to "
                                      f"{high[1]:.1f}")  # fmt: skip
        (y0, x0), (y1, x1) = self._clipped(low), self._clipped(high)
        if y1 - y0 < _SMALLEST_BOX or x1 - x0 < _SMALLEST_BOX:
            raise PromptError(
                f"{what} is {high[0] - low[0]:.1f} × {high[1] - low[1]:.1f} pixels small on the "
                "movie; a box needs at least 1 × 1. Draw it larger, or delete it."
            )
        return frame, (float(y0), float(x0), float(y1), float(x1))

    def back(self, frame: int, y: float, x: float) -> NDArray[np.float64]:
        """Return where a pixel of the movie lies in the layer."""
        at = np.zeros(self._image.ndim)
        at[self._axes.time] = frame
        for axis, index in self._axes.fixed.items():
            at[axis] = index
        at[-2:] = y, x
        return self._to_layer(at)

    def _on_image(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        at = self._to_image(positions)
        if self._flat_on is not None:
            at[:, self._axes.time] = self._flat_on
            for axis, index in self._axes.fixed.items():
                at[:, axis] = index
        return at

    def _frame(self, at: NDArray[np.float64], what: str) -> int:
        """Return the one frame of positions, after checking everything but y and x."""
        if not np.isfinite(at).all():
            raise PromptError(f"{what} has a position that is not a number. Delete it.")
        whole = np.round(at).astype(int)
        for axis, index in self._axes.fixed.items():
            if (whole[:, axis] != index).any():
                raise PromptError(
                    f"{what} lies at {whole[0, axis]} on axis “{self._image.axis_labels[axis]}”; "
                    f"what is tracked is at {index}. Move that slider to {index}, or delete it."
                )
        frames = set(whole[:, self._axes.time].tolist())
        if len(frames) > 1:
            raise PromptError(f"{what} spans several frames. Draw it on one frame.")
        frame = frames.pop()
        if not 0 <= frame < self._axes.shape[0]:
            raise self._outside(what, f"frame {frame}")
        return frame

    def _clipped(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.clip(at, 0, np.array(self._axes.shape[1:]) - 1)
        return np.round(inside, DECIMALS) + 0.0  # no negative zero

    def _outside(self, what: str, where: str) -> PromptError:
        n_frames, height, width = self._axes.shape
        return PromptError(
            f"{what} ({where}) lies outside the movie of {count(n_frames, 'frame')} of {height} × "
            f"{width} pixels. {MOVE_OR_DELETE}"
        )
