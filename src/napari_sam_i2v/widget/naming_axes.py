"""Axes of a layer named by the user, where the file did not tell them or was wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.widget.layers import level0

if TYPE_CHECKING:
    from napari.layers import Image

LETTERS = "TCZYX"


def axis_letters(layer: Image) -> str:
    """Return a letter per axis: what the layer's labels say, else time before depth, y and x."""
    known = "".join(str(label)[:1].upper() for label in layer.axis_labels)
    if set(known) <= set(LETTERS) and len(set(known)) == layer.ndim:
        return known
    return {2: "YX", 3: "TYX", 4: "TZYX"}.get(layer.ndim, "TCZYX")


def name_axes(layer: Image, letters: str) -> None:
    """Name a layer's axes; rows and columns become its last two.

    Data are turned lazily, with scale, translation and units; nothing is read.

    Parameters
    ----------
    layer : Image
        Without the colour axis of RGB layers.
    letters : str
        One of "TCZYX" per axis as they are now; T, Y and X must be among them.

    Raises
    ------
    MovieError
        If the letters do not fit the layer.
    """
    said = letters.strip().upper()
    _check(layer, said)
    order = sorted(range(layer.ndim), key=lambda axis: (said[axis] in "YX", _rank(said, axis)))
    if order != list(range(layer.ndim)):
        _turn(layer, order)
    layer.axis_labels = tuple(said[axis].lower() for axis in order)


def _rank(said: str, axis: int) -> int:
    """Axes before y and x stay in their order."""
    return "YX".index(said[axis]) if said[axis] in "YX" else axis


def _check(layer: Image, said: str) -> None:
    shape = tuple(level0(layer).shape)[: layer.ndim]
    fits = len(said) == layer.ndim and len(set(said)) == len(said)
    if not fits or not set("TYX") <= set(said) <= set(LETTERS):
        raise MovieError(
            f"“{layer.name}” has the shape {shape}: name its {layer.ndim} axes with one letter of "
            f"{LETTERS} each, T, Y and X among them, for example {axis_letters(layer)}; got "
            f"{said!r}."
        )


def _turn(layer: Image, order: list[int]) -> None:
    scale, translate, units = layer.scale, layer.translate, layer.units
    levels = [_turned(one, order) for one in (layer.data if layer.multiscale else [layer.data])]
    layer.data = levels if layer.multiscale else levels[0]
    layer.scale = [scale[axis] for axis in order]
    layer.translate = [translate[axis] for axis in order]
    layer.units = tuple(units[axis] for axis in order)


def _turned(data: Any, order: list[int]) -> Any:
    """Transpose an array without reading it; a colour axis stays last."""
    import dask.array as da
    import numpy as np

    whole = [*order, *range(len(order), data.ndim)]
    lazy = data if isinstance(data, np.ndarray | da.Array) else da.from_array(data)
    return lazy.transpose(whole)
