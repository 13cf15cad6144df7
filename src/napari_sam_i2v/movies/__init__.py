"""Files to lazy frames and label planes to files; neither torch nor Qt nor napari is imported.

The names are loaded when first used: `napari_io.get_reader` is asked about every file a user
drops on napari, and must not pay for zarr and tifffile then.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam_i2v.movies.export import save_ome_zarr, save_tiff
    from napari_sam_i2v.movies.labels import LabelStore
    from napari_sam_i2v.movies.movie import Movie, open_movie
    from napari_sam_i2v.movies.ome_zarr import list_labels

__all__ = ["LabelStore", "Movie", "list_labels", "open_movie", "save_ome_zarr", "save_tiff"]

_HOMES = {
    "LabelStore": "labels",
    "Movie": "movie",
    "list_labels": "ome_zarr",
    "open_movie": "movie",
    "save_ome_zarr": "export",
    "save_tiff": "export",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
