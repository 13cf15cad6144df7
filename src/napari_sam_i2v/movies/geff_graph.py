"""Tracks and lineage as GEFF, the graph format that tracking tools share, through its library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.lineage import Lineage, link_graph
from napari_sam_i2v.movies.output import OWN_KEY, check_target, remove_own, renamed_when_whole
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN

__all__ = ["check_geff", "save_geff"]

_NAMES = {"frame": "t", "centroid_y": "y", "centroid_x": "x"}


def check_geff() -> None:
    """Check that the library is there.

    Raises
    ------
    InputError
        If it is not; it says what to install.
    """
    library("geff", extra="tracks", what="GEFF", error=InputError)


def save_geff(
    columns: Mapping[str, NDArray[Any]],
    path: str | os.PathLike[str],
    *,
    lineage: Lineage | None = None,
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
    units: tuple[str, str, str] = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN),
    overwrite: bool = False,
) -> Path:
    """Write measured objects as a GEFF graph: a node per object and frame, links in time.

    Places are frames and pixels; `scale` and `units` go along as each axis' scale, as the format
    has it. Nodes carry all columns; what is not known (NaN) is marked missing. `tracklet_id` is
    the unbranched path and `lineage_id` the family; `object_id` is the id in the labels.

    Parameters
    ----------
    columns
        Measurements in any order, with at least `object_id`, `frame`, `centroid_y` and
        `centroid_x` (pixels).
    path
        The folder to make, NAME.geff; its parent must exist.
    lineage
        Divisions.
    scale, units
        Step along (t, y, x) and its units.
    overwrite
        Whether an older GEFF of ours may be replaced. Nothing else ever is.

    Raises
    ------
    InputError
        If the library is missing, there are no rows, or an object is its own ancestor.
    OutputError
        If something is there already, or the folder cannot be written.
    """
    check_geff()
    target = check_target(path, overwrite=overwrite)
    graph = link_graph(columns, lineage)
    nodes = np.arange(1, len(graph.order) + 1, dtype=np.uint64)
    props = {_NAMES.get(name, name): _prop(v[graph.order]) for name, v in columns.items()}
    props |= {"tracklet_id": _prop(graph.tracklet), "lineage_id": _prop(graph.family)}
    with renamed_when_whole(target) as part:
        _write(part, nodes, props, nodes[graph.links], _metadata(scale, units))
        zarr.open_group(str(part), mode="r+").attrs[OWN_KEY] = {"kind": "geff", "version": 1}
        remove_own(target)
    return target


def _write(
    part: Path,
    nodes: NDArray[np.uint64],
    props: dict[str, Any],
    links: NDArray[np.uint64],
    metadata: Any,
) -> None:
    from geff.core_io import write_arrays

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, about what the library asks of it
        write_arrays(part, nodes, props, links.reshape(-1, 2), {}, metadata)


def _metadata(scale: tuple[float, ...], units: tuple[str, ...]) -> Any:
    from geff_spec import Axis, GeffMetadata

    plain = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN)
    axes = [
        Axis(
            name=name,
            type="time" if name == "t" else "space",
            unit=own,
            scale=float(step) if unit != own else None,
            scaled_unit=unit if unit != own else None,
        )
        for name, step, unit, own in zip("tyx", scale, units, plain, strict=True)
    ]
    return GeffMetadata(
        directed=True,
        axes=axes,
        node_props_metadata={},
        edge_props_metadata={},
        track_node_props={"tracklet": "tracklet_id", "lineage": "lineage_id"},
    )


def _prop(values: NDArray[Any]) -> dict[str, Any]:
    """Values as the library takes them, with a mask of those that are not known."""
    missing = np.isnan(values) if values.dtype.kind == "f" else None
    if missing is None or not missing.any():
        return {"values": values, "missing": None}
    return {"values": np.where(missing, 0, values), "missing": missing}
