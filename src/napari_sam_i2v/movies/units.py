"""Names of units: many spellings in files, one spelling inside (that of pint, hence of napari)."""

from __future__ import annotations

import math
from collections.abc import Sequence

TIME_UNKNOWN = "frame"
"""The time unit of a movie whose frame interval is not known; its scale is 1."""
SPACE_UNKNOWN = "pixel"
"""The space unit of a movie whose pixel size is not known; its scale is 1."""

_SPELLINGS = {
    "second": ("s", "sec", "secs", "seconds"),
    "millisecond": ("ms", "msec", "milliseconds"),
    "microsecond": ("us", "µs", "microseconds"),
    "minute": ("min", "mins", "minutes"),
    "hour": ("h", "hr", "hrs", "hours"),
    "day": ("d", "days"),
    "micrometer": ("um", "µm", "micron", "microns", "micrometers", "micrometre", "micrometres"),
    "nanometer": ("nm", "nanometers", "nanometre", "nanometres"),
    "millimeter": ("mm", "millimeters", "millimetre", "millimetres"),
    "centimeter": ("cm", "centimeters", "centimetre", "centimetres"),
    "meter": ("m", "meters", "metre", "metres"),
    "inch": ("in", "inches"),
    "angstrom": ("å", "ångström", "ångstrom", "angstroms"),
    SPACE_UNKNOWN: ("pixels", "px", "reference frame"),
    TIME_UNKNOWN: ("frames",),
}
_NAMES = {alias: name for name, aliases in _SPELLINGS.items() for alias in (name, *aliases)}

_METRES = {
    "meter": 1.0, "centimeter": 1e-2, "millimeter": 1e-3, "micrometer": 1e-6, "nanometer": 1e-9,
    "angstrom": 1e-10, "inch": 0.0254,
}  # fmt: skip


def unit_name(text: str | None) -> str | None:
    """Give the inside name of a unit as a file spells it; None when it is unknown.

    Both micro signs (U+00B5 and the Greek letter) and ImageJ's escape of it are understood.
    """
    if not text:
        return None
    clean = text.strip().replace("\\u00B5", "µ").replace("\u03bc", "µ")
    return _NAMES.get(clean.lower())


def unknown_unit(axis: str) -> str:
    """Give the unit of steps along an axis whose unit is not known."""
    return TIME_UNKNOWN if axis == "T" else SPACE_UNKNOWN


def pint_unit(name: str) -> str:
    """Give a unit which napari (pint) accepts: it knows pixels, but no frames."""
    return SPACE_UNKNOWN if name == TIME_UNKNOWN else name


def plain_steps(
    scale: Sequence[float], units: Sequence[str]
) -> tuple[tuple[float, float, float], tuple[str, str, str]]:
    """Give steps along (t, y, x) as sizes, with one unit for y and x: files have one for both.

    A step of a mirrored layer is negative. Where one of y and x is not known, neither is.
    """
    t, y, x = (abs(float(step)) for step in scale)
    time, down, across = units
    if time == SPACE_UNKNOWN:  # napari knows no frames
        time = TIME_UNKNOWN
    if not (math.isfinite(t) and t):
        t, time = 1.0, TIME_UNKNOWN
    if down != across and {down, across} <= _METRES.keys():
        x, across = x * _METRES[across] / _METRES[down], down
    if down != across or not (math.isfinite(y) and math.isfinite(x) and y and x):
        y, x, down, across = 1.0, 1.0, SPACE_UNKNOWN, SPACE_UNKNOWN
    return (t, y, x), (time, down, across)
