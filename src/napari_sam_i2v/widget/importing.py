"""Libraries that the first press of a tool needs, imported beside the window before it comes."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module

__all__ = ["import_ahead"]

# What napari's layers and our label store import once the first of them is made: 2 s.
_NEEDED = (
    "pandas",
    "napari_sam_i2v.movies.labels",
    "scipy.linalg",
    "skimage.color",
    "skimage.exposure",
)


def import_ahead(names: Iterable[str] = _NEEDED) -> threading.Thread:
    """Begin to import modules in a thread of their own; what fails is imported when needed."""
    thread = threading.Thread(target=_import, args=(tuple(names),), name="imports", daemon=True)
    thread.start()
    return thread


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        with suppress(Exception):  # said by whoever needs it
            import_module(name)
