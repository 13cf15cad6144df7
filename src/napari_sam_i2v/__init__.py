"""Clicks on a time-lapse become tracked Labels: SAM-I2V for napari, scripts and the command line.

The public names are imported when they are first used, so that `import napari_sam_i2v` (which
napari does to build its menus) costs neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam_i2v.exports import Tracked, export, open_tracked
    from napari_sam_i2v.movies.movie import open_movie
    from napari_sam_i2v.network.checkpoints import load_model
    from napari_sam_i2v.scripting import Session, segment

    __version__: str

__all__ = [
    "Session",
    "Tracked",
    "__version__",
    "export",
    "load_model",
    "open_movie",
    "open_tracked",
    "segment",
]

_HOMES = {
    "Session": "napari_sam_i2v.scripting",
    "Tracked": "napari_sam_i2v.exports",
    "export": "napari_sam_i2v.exports",
    "load_model": "napari_sam_i2v.network.checkpoints",
    "open_movie": "napari_sam_i2v.movies.movie",
    "open_tracked": "napari_sam_i2v.exports",
    "segment": "napari_sam_i2v.scripting",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("napari-sam-i2v")
        except PackageNotFoundError:  # a bare checkout on the path
            return "unknown"
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
