"""Pixel size, frame interval and channel names of TIFF files."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import tifffile

from napari_sam_i2v.movies.units import unit_name, unknown_unit

Steps = dict[str, tuple[float, str]]


def pixel_steps(tif: tifffile.TiffFile, image: int = 0) -> Steps:
    """Give step and unit along T, Z, Y, X as far as OME or ImageJ metadata tell.

    The resolution of other TIFF files is that of a printer and is ignored.
    """
    if tif.is_ome:
        return _ome_steps(_ome_pixels(tif, image))
    return _imagej_steps(tif) if tif.is_imagej else {}


def channel_names(tif: tifffile.TiffFile, image: int = 0) -> tuple[str, ...]:
    """Give the channels' names from OME metadata; empty where there are none."""
    pixels = _ome_pixels(tif, image) if tif.is_ome else None
    if pixels is None:
        return ()
    names = tuple(one.get("Name", "") for one in pixels if _tag(one) == "Channel")
    return names if any(names) else ()


def _ome_pixels(tif: tifffile.TiffFile, image: int) -> ElementTree.Element | None:
    """Find an image's Pixels element; any OME namespace."""
    try:
        root = ElementTree.fromstring(tif.ome_metadata or "")
    except ElementTree.ParseError:
        return None
    found = [one for one in root.iter() if _tag(one) == "Pixels"]
    return found[image] if image < len(found) else None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _ome_steps(pixels: ElementTree.Element | None) -> Steps:
    if pixels is None:
        return {}
    found: Steps = {}
    for axis, key, default in (
        ("X", "PhysicalSizeX", "µm"),
        ("Y", "PhysicalSizeY", "µm"),
        ("Z", "PhysicalSizeZ", "µm"),
        ("T", "TimeIncrement", "s"),
    ):
        _add_step(found, axis, pixels.get(key), unit_name(pixels.get(f"{key}Unit", default)))
    return found


def _imagej_steps(tif: tifffile.TiffFile) -> Steps:
    said = tif.imagej_metadata or {}
    found: Steps = {}
    # No fallback on `fps`: it is the speed of the playback, not of the recording.
    _add_step(found, "T", said.get("finterval"), unit_name(str(said.get("tunit", "s"))) or "second")
    unit = unit_name(str(said.get("unit", "")))
    if unit is None:
        return found
    _add_step(found, "Z", said.get("spacing"), unit)
    for axis, tag in (("Y", "YResolution"), ("X", "XResolution")):
        pixels, per = tif.pages.first.tags.valueof(tag, (0, 1))
        _add_step(found, axis, float(f"{per / pixels:.8g}") if pixels else None, unit)
    return found


def _add_step(found: Steps, axis: str, value: object, unit: str | None) -> None:
    """Keep a step that is a positive number; one in an unknown unit counts pixels or frames."""
    try:
        step = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return
    if math.isfinite(step) and step > 0:
        found[axis] = (step, unit or unknown_unit(axis))
