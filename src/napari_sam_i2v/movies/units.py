"""Names of units: many spellings in files, one spelling inside (that of pint, hence of napari)."""

from __future__ import annotations

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
