"""Measured objects as tracks with lineage, the way napari's Tracks layer takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.lineage import Lineage, roots_of

__all__ = ["TrackTable", "ancestry", "tracks_of"]

_PLACE = ("object_id", "frame", "centroid_y", "centroid_x")


@dataclass(frozen=True, eq=False)
class TrackTable:
    """Tracks: ``viewer.add_tracks(**table.layer_options())``.

    Attributes
    ----------
    data
        (N, 4) float: track id, frame, y, x in data pixels; by track and then by frame. An object's
        track has its id. Frames may be missing inside a track, and a track may be one row.
    graph
        Daughter track -> [parent track].
    features
        Name -> (N,) values in the order of `data`: every other column that was measured, and
        `parent_id` and `root_id` (the oldest ancestor), to colour families alike.
    scale
        Step along (t, y, x) for the layer.
    """

    data: NDArray[np.float64]
    graph: dict[int, list[int]]
    features: dict[str, NDArray[Any]]
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def layer_options(self) -> dict[str, Any]:
        """Give the arguments of `Viewer.add_tracks` and `napari.layers.Tracks`."""
        return {
            "data": self.data,
            "graph": self.graph,
            "features": self.features,
            "scale": self.scale,
        }


def tracks_of(
    columns: Mapping[str, NDArray[Any]],
    lineage: Lineage | None = None,
    *,
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> TrackTable:
    """Join the rows of each object to a track.

    Parameters
    ----------
    columns
        Measurements in any order, with at least `object_id`, `frame`, `centroid_y` and
        `centroid_x` (pixels).
    lineage
        Divisions. One whose parent or daughter has no row is left out of the graph: napari
        refuses what it cannot draw.
    scale
        Step along (t, y, x); handed on to the layer, `data` stays in pixels.

    Raises
    ------
    InputError
        If a column is missing, there are no rows, an object has a frame twice, or an object is
        its own ancestor.
    """
    _check_columns(columns)
    divisions = dict(lineage or {})
    parents = {daughter: parent for daughter, (parent, _) in divisions.items()}
    order = np.lexsort((columns["frame"], columns["object_id"]))
    data = np.stack([np.asarray(columns[name], np.float64)[order] for name in _PLACE], axis=1)
    _check_once(data)
    ids = data[:, 0].astype(np.int64)
    rest = {name: values for name, values in columns.items() if name not in _PLACE}
    features = {name: np.asarray(values)[order] for name, values in rest.items()}
    features |= ancestry(ids, divisions)
    there = set(ids.tolist())
    graph = {d: [p] for d, p in sorted(parents.items()) if d in there and p in there}
    return TrackTable(data, graph, features, scale)


def ancestry(object_ids: NDArray[Any], lineage: Lineage) -> dict[str, NDArray[np.int64]]:
    """Give the columns `parent_id` (0 without one) and `root_id` (the oldest ancestor).

    Parameters
    ----------
    object_ids
        (N,) of the rows.
    lineage
        Divisions.

    Raises
    ------
    InputError
        If an object is its own ancestor.
    """
    roots, ids = roots_of(lineage), object_ids.tolist()
    parents = [lineage[one][0] if one in lineage else 0 for one in ids]
    return {
        "parent_id": np.array(parents, np.int64),
        "root_id": np.array([roots.get(one, one) for one in ids], np.int64),
    }


def _check_columns(columns: Mapping[str, NDArray[Any]]) -> None:
    missing = [name for name in _PLACE if name not in columns]
    if missing:
        raise InputError(f"tracks need the columns {', '.join(_PLACE)}; missing: {missing}")
    if not len(columns["object_id"]):
        raise InputError("there is no object on any frame: track something first")


def _check_once(data: NDArray[np.float64]) -> None:
    twice = np.flatnonzero((np.diff(data[:, :2], axis=0) == 0).all(axis=1))
    if twice.size:
        one, frame = data[twice[0], :2].astype(int).tolist()
        raise InputError(f"an object has one place per frame, object {one} has two on {frame}")
