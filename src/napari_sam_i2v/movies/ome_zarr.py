"""OME-Zarr images and label images (0.4 on zarr 2, 0.5 on zarr 3) and plain zarr arrays.

A chunk that is not on disk is the array's fill value by zarr's rules, so an image of which only
the metadata was copied reads as zeros.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.kinds import folder_kind
from napari_sam_i2v.movies.limits import refuse_huge_chunks
from napari_sam_i2v.movies.source import Index, Source, chosen_scene, native_dtype
from napari_sam_i2v.movies.units import unit_name, unknown_unit

_BY_TYPE = {"time": "T", "channel": "C"}


def open_zarr(path: Path, *, scene: int | str | None = None) -> Source:
    """Open an OME-Zarr image or label image, or a plain array; reads metadata only.

    The source is level 0; smaller levels are in `Source.levels`.

    Of a plate, a well or a converted file, `scene` chooses the image: its number, or its path
    inside, such as A/1/0.

    Raises
    ------
    MovieError
        If there is no image, one must be chosen, or metadata are broken.
    """
    node = _open_node(path)
    ome = ome_attributes(node) if isinstance(node, zarr.Group) else {}
    single = isinstance(node, zarr.Array) or "multiscales" in ome
    if single and scene not in (None, 0, "0"):
        raise MovieError(f"{path} holds one image; scene={scene!r} is not there: leave it out")
    if isinstance(node, zarr.Array):
        return _array_source(path, node)
    try:
        if single:
            return _image_source(path, node, ome)
        return _one_of_several(path, _images_inside(path, node, ome), scene)
    except (KeyError, IndexError, TypeError, AttributeError) as err:
        raise MovieError(
            f"{path} has broken OME-Zarr metadata: {type(err).__name__}: {err}"
        ) from err


def list_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """List the label images of an OME-Zarr image; open one with `open_movie(path/labels/NAME)`.

    Names which would lead out of the image's folder are left out.
    """
    labels = Path(path) / "labels"
    if not labels.is_dir() or folder_kind(labels) != "zarr":
        return ()
    node = _open_node(labels)
    names = ome_attributes(node).get("labels") or [] if isinstance(node, zarr.Group) else []
    return tuple(name for name in names if isinstance(name, str) and is_inside(name))


def ome_attributes(node: Any) -> dict[str, Any]:
    """Give a group's OME metadata: under the key "ome" since 0.5, at the top before."""
    attributes = dict(node.attrs)
    ome = attributes.get("ome", attributes)
    return dict(ome) if isinstance(ome, Mapping) else {}


def is_inside(name: str) -> bool:
    """Tell whether a path in metadata stays inside its own folder."""
    parts = PurePosixPath(name).parts
    outward = {"..", "/", "~"} & set(parts)
    return bool(parts) and not outward and not {"\\", ":"} & set(name)


def _open_node(path: Path) -> Any:
    try:
        return zarr.open(str(path), mode="r")
    except Exception as err:  # zarr, json and key errors alike mean broken metadata
        raise MovieError(f"{path} cannot be opened as zarr: {type(err).__name__}: {err}") from err


def _image_source(path: Path, node: Any, ome: dict[str, Any]) -> Source:
    image = ome["multiscales"][0]
    first = _level_source(path, node, ome, image["datasets"][0])
    smaller = []
    for level in image["datasets"][1:]:
        try:
            one = _level_source(path, node, ome, level)
        except (MovieError, KeyError, TypeError):  # a pyramid that was not copied whole will do
            continue
        if (one.axes, one.dtype) == (first.axes, first.dtype):
            smaller.append(one)
    return replace(first, levels=tuple(smaller))


def _level_source(path: Path, node: Any, ome: dict[str, Any], level: Mapping[str, Any]) -> Source:
    image = ome["multiscales"][0]
    array = _array_at(path, node, str(level["path"]))
    axes = _axis_letters(image, array.ndim)
    if len(axes) != array.ndim:
        raise MovieError(f"{path} names the axes {axes} for an array of shape {array.shape}")
    return Source(
        path=path,
        name=path.resolve().name,
        axes=axes,
        shape=tuple(array.shape),
        dtype=native_dtype(array.dtype, path.name),
        read=_reader(path, array),
        channel_names=_channel_names(ome),
        pixel=_pixel_steps(image, level, axes),
        is_labels="image-label" in ome or path.resolve().parent.name == "labels",
    )


def _array_source(path: Path, array: Any) -> Source:
    return Source(
        path=path,
        name=path.resolve().name,
        axes=_plain_axes(array),
        shape=tuple(array.shape),
        dtype=native_dtype(array.dtype, path.name),
        read=_reader(path, array),
    )


def _reader(path: Path, array: Any) -> Any:
    refuse_huge_chunks(path, tuple(array.chunks), array.dtype)

    def read(index: Index) -> np.ndarray:
        return np.asarray(array[tuple(slice(None) if i is None else i for i in index)])

    return read


def _array_at(path: Path, node: Any, name: str) -> Any:
    if not is_inside(name):
        raise MovieError(f"{path} points at pixels outside its own folder ({name!r}): refused")
    array = node.get(name)
    if not isinstance(array, zarr.Array):
        raise MovieError(f"{path} is incomplete: its pixels {name!r} are missing")
    return array


def _axis_letters(image: Mapping[str, Any], ndim: int) -> str:
    """Turn named axes into letters; before 0.3 they are always t, c, z, y, x."""
    axes = image.get("axes")
    if axes is None:
        return "TCZYX"[-ndim:]
    named = [one if isinstance(one, Mapping) else {"name": one} for one in axes]
    return "".join(
        _BY_TYPE.get(str(one.get("type"))) or str(one["name"])[:1].upper() for one in named
    )


def _plain_axes(array: Any) -> str:
    """Name the axes of an array without OME metadata by its dimension names, else by its rank."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    if names and all(names):
        letters = "".join(str(name)[:1].upper() for name in names)
        if len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters):
            return letters
    colour = array.ndim > 2 and array.shape[-1] in (3, 4)
    rank = array.ndim - colour
    return {2: "YX", 3: "TYX"}.get(rank, "Q" * (rank - 2) + "YX") + "S" * colour


def _channel_names(ome: Mapping[str, Any]) -> tuple[str, ...]:
    channels = (ome.get("omero") or {}).get("channels") or []
    names = tuple(str(one.get("label") or "") for one in channels)
    return names if any(names) else ()


def _pixel_steps(
    image: Mapping[str, Any], level: Mapping[str, Any], axes: str
) -> dict[str, tuple[float, str]]:
    """Multiply the level's scale with the image's; keep the axes which have a unit or a scale."""
    scale = np.ones(len(axes))
    for transforms in (level, image):
        for one in transforms.get("coordinateTransformations") or []:
            if one.get("type") == "scale" and len(one.get("scale") or []) == len(axes):
                scale = scale * np.asarray(one["scale"], float)
    steps = {}
    for axis, step, named in zip(axes, scale, image.get("axes") or axes, strict=True):
        unit = unit_name(named.get("unit")) if isinstance(named, Mapping) else None
        known = np.isfinite(step) and step > 0 and (unit or step != 1)
        if axis in "TZYX" and known:
            steps[axis] = (float(step), unit or unknown_unit(axis))
    return steps


def _images_inside(path: Path, node: Any, ome: Mapping[str, Any]) -> list[str]:
    """List the images of a plate, a well, or a converted file, as paths inside the group.

    Raises
    ------
    MovieError
        If it is something else, saying what it does hold.
    """
    if "plate" in ome:
        wells = [str(one["path"]) for one in ome["plate"].get("wells") or []]
        return [f"{well}/{field}" for well in wells for field in _fields(path, node, well)]
    if "well" in ome:
        return [str(one["path"]) for one in ome["well"].get("images") or []]
    if dict(node.attrs).get("bioformats2raw.layout") or "bioformats2raw.layout" in ome:
        return sorted((name for name in node.group_keys() if name.isdecimal()), key=int)
    if ome.get("labels"):
        raise MovieError(f"{path} holds label images: open one of {_paths(path, ome['labels'])}")
    inside = sorted(node.array_keys())
    hint = f": open one of its arrays, {_paths(path, inside)}" if inside else ""
    raise MovieError(f"{path} is a zarr group without an OME-Zarr image{hint}")


def _fields(path: Path, node: Any, well: str) -> list[str]:
    """List the fields of a plate's well; none where the well was not copied."""
    if not is_inside(well):
        raise MovieError(f"{path} points at a well outside its own folder ({well!r}): refused")
    group = node.get(well)
    listed = ome_attributes(group).get("well", {}) if group is not None else {}
    return [str(one["path"]) for one in listed.get("images") or []]


def _one_of_several(path: Path, names: list[str], scene: int | str | None) -> Source:
    if not names:
        raise MovieError(f"{path} holds no images")
    number = chosen_scene(names, scene, path)
    if not is_inside(names[number]):
        raise MovieError(f"{path} points at pixels outside its own folder: refused")
    source = open_zarr(path / names[number])
    if len(names) == 1:
        return source
    name = f"{path.resolve().name} {names[number]}"
    return replace(source, name=name, scenes=tuple(names), scene=number)


def _paths(path: Path, names: list[Any]) -> str:
    return ", ".join(str(path / str(name)) for name in names[:5])
