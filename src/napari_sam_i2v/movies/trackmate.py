"""Tracks, outlines and lineage as a TrackMate file, which Fiji opens with its movie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.movies.boxes import Box, boxes_of
from napari_sam_i2v.movies.export import shape_of
from napari_sam_i2v.movies.lineage import Lineage, LinkGraph, link_graph
from napari_sam_i2v.movies.output import check_text, write_text
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN

__all__ = ["save_trackmate"]

Element = ElementTree.Element
Triple = tuple[float, float, float]

_VERSION = "7.11.1"
"""Of TrackMate, whose file format this is; from 7 on spots have outlines."""
# feature: (name, short name, dimension, whether whole numbers)
_SPOT = {
    "QUALITY": ("Quality", "Quality", "QUALITY", False),
    "POSITION_X": ("X", "X", "POSITION", False),
    "POSITION_Y": ("Y", "Y", "POSITION", False),
    "POSITION_Z": ("Z", "Z", "POSITION", False),
    "POSITION_T": ("T", "T", "TIME", False),
    "FRAME": ("Frame", "Frame", "NONE", True),
    "RADIUS": ("Radius", "R", "LENGTH", False),
    "VISIBILITY": ("Visibility", "Visibility", "NONE", True),
    "AREA": ("Area", "Area", "AREA", False),
}
_MEAN = {"MEAN_INTENSITY_CH1": ("Mean intensity ch1", "Mean ch1", "INTENSITY", False)}
_EDGE = {
    "SPOT_SOURCE_ID": ("Source spot ID", "Source ID", "NONE", True),
    "SPOT_TARGET_ID": ("Target spot ID", "Target ID", "NONE", True),
    "LINK_COST": ("Edge cost", "Cost", "COST", False),
    "EDGE_TIME": ("Edge time", "Time", "TIME", False),
}
_TRACK = {
    "TRACK_INDEX": ("Track index", "Index", "NONE", True),
    "TRACK_ID": ("Track ID", "ID", "NONE", True),
    "NUMBER_SPOTS": ("Number of spots in track", "N spots", "NONE", True),
    "NUMBER_SPLITS": ("Number of split events", "N splits", "NONE", True),
}
_SMOOTH = 0.25
"""Pixels by which an outline may be simplified."""


def save_trackmate(
    columns: Mapping[str, NDArray[Any]],
    labels: Any,
    path: str | os.PathLike[str],
    *,
    lineage: Lineage | None = None,
    scale: Triple = (1.0, 1.0, 1.0),
    units: tuple[str, str, str] = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN),
    movie_path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write measured objects as a TrackMate XML file: a spot per object and frame, in units.

    A spot has the outline of the object's largest part, and the object's id as its name. A track
    is a family: an object and all that come from it. An object that is on one frame only, and
    divides into none, is a spot without a track, as TrackMate has it.

    Parameters
    ----------
    columns
        Measurements in any order, with at least `object_id`, `frame`, `area`, `centroid_y` and
        `centroid_x` (pixels). `confidence` becomes the spot's quality (1 where not known).
    labels
        (T, Y, X), of which they were made; one frame is held at a time.
    path
        Ends in .xml.
    lineage
        Divisions.
    scale, units
        Step along (t, y, x) and its units.
    movie_path
        The movie that TrackMate is to open with it.
    overwrite
        Whether an older file may be replaced.

    Raises
    ------
    InputError
        If there are no rows, or an object is its own ancestor.
    OutputError
        If something is there already, or the file cannot be written.
    """
    check_text(path, suffix=".xml", overwrite=overwrite)
    graph = link_graph(columns, lineage)
    table = {name: np.asarray(values)[graph.order] for name, values in columns.items()}
    root = Element("TrackMate", version=_VERSION)
    _add(root, "Log").text = "Written by napari-sam-i2v."
    space, time = units[2], units[0]
    model = _add(root, "Model", spatialunits=_plain(space), timeunits=_plain(time))
    _add_declarations(model, "mean_intensity" in table)
    _add_spots(model, table, labels, scale)
    _add_tracks(model, table, graph, scale[0])
    _add_settings(root, shape_of(labels), scale, movie_path)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return write_text(path, f"{head}{text}\n", overwrite=overwrite)


def _add(parent: Element, tag: str, **attributes: object) -> Element:
    texts = {name: _text(value) for name, value in attributes.items()}
    return ElementTree.SubElement(parent, tag, texts)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _plain(unit: str) -> str:
    """Spell a unit as Fiji does."""
    return {"micrometer": "micron", "second": "sec", "minute": "min"}.get(unit, unit)


def _add_declarations(model: Element, measured: bool) -> None:
    kinds = {"SpotFeatures": _SPOT | (_MEAN if measured else {}), "EdgeFeatures": _EDGE}
    declared = _add(model, "FeatureDeclarations")
    for kind, features in (kinds | {"TrackFeatures": _TRACK}).items():
        some = _add(declared, kind)
        for feature, (name, short, dimension, whole) in features.items():
            _add(some, "Feature", feature=feature, name=name, shortname=short,
                 dimension=dimension, isint=whole)  # fmt: skip


# ---- spots ------------------------------------------------------------------------------------


def _add_spots(
    model: Element, table: Mapping[str, NDArray[Any]], labels: Any, scale: Triple
) -> None:
    spots = _add(model, "AllSpots", nspots=len(table["frame"]))
    frames = table["frame"].astype(np.int64)
    for t in np.unique(frames).tolist():
        plane = np.asarray(labels[t])
        boxes = dict(boxes_of(plane))
        here = _add(spots, "SpotsInFrame", frame=t)
        for number in np.flatnonzero(frames == t).tolist():
            row = {name: values[number].item() for name, values in table.items()}
            one = int(row["object_id"])
            _add_spot(here, row, number, _outline(plane, one, boxes[one]), scale)


def _add_spot(
    frame: Element,
    row: Mapping[str, Any],
    number: int,
    outline: NDArray[np.float64],
    scale: Triple,
) -> None:
    t, y, x = (float(step) for step in scale)
    quality = float(row.get("confidence", np.nan))
    area = float(row["area"]) * y * x
    mean = float(row.get("mean_intensity", np.nan))
    measured = {"MEAN_INTENSITY_CH1": mean if np.isfinite(mean) else 0.0}
    middle = np.array([row["centroid_y"], row["centroid_x"]])
    corners = ((outline - middle) * (y, x))[:, ::-1]
    spot = _add(
        frame, "Spot", ID=number, name=row["object_id"],
        QUALITY=quality if np.isfinite(quality) else 1.0,
        POSITION_X=float(row["centroid_x"]) * x, POSITION_Y=float(row["centroid_y"]) * y,
        POSITION_Z=0.0, POSITION_T=row["frame"] * t, FRAME=int(row["frame"]),
        RADIUS=float(np.sqrt(area / np.pi)), VISIBILITY=1, AREA=area,
        **(measured if "mean_intensity" in row else {}), ROI_N_POINTS=len(corners),
    )  # fmt: skip
    spot.text = " ".join(f"{value:.5g}" for value in corners.ravel().tolist())


def _outline(plane: NDArray[Any], object_id: int, box: Box) -> NDArray[np.float64]:
    """Corners (N, 2), as (y, x), of the polygon around an object's largest part."""
    from skimage.measure import approximate_polygon, find_contours

    crop = np.pad(plane[box] == object_id, 1)
    lines = find_contours(crop.astype(np.float32), 0.5, fully_connected="high")
    widest = max(lines, key=_enclosed)
    corners: NDArray[np.float64] = approximate_polygon(widest, _SMOOTH)[:-1]  # it ends as it began
    return corners - 1 + (box[0].start, box[1].start)


def _enclosed(line: NDArray[np.float64]) -> float:
    y, x = line[:-1].T
    return abs(float(y @ np.roll(x, 1) - x @ np.roll(y, 1))) / 2


# ---- tracks -----------------------------------------------------------------------------------


def _add_tracks(
    model: Element, table: Mapping[str, NDArray[Any]], graph: LinkGraph, step: float
) -> None:
    tracks = _add(model, "AllTracks")
    numbers = []
    for number, (links, spots) in enumerate(_families(graph)):
        numbers.append(number)
        splits = int((np.bincount(links[:, 0]) > 1).sum())
        track = _add(tracks, "Track", name=f"Track_{number}", TRACK_INDEX=number, TRACK_ID=number,
                     NUMBER_SPOTS=spots, NUMBER_SPLITS=splits)  # fmt: skip
        for source, end in links.tolist():
            middle = float(table["frame"][source] + table["frame"][end]) / 2 * float(step)
            _add(track, "Edge", SPOT_SOURCE_ID=source, SPOT_TARGET_ID=end, LINK_COST=-1.0,
                 EDGE_TIME=middle)  # fmt: skip
    kept = _add(model, "FilteredTracks")
    for number in numbers:
        _add(kept, "TrackID", TRACK_ID=number)


def _families(graph: LinkGraph) -> Iterator[tuple[NDArray[np.int64], int]]:
    """The links of each family that has some, and its number of spots."""
    family = graph.family[graph.links[:, 0]]
    sizes = np.bincount(graph.family)
    for one in np.unique(family).tolist():
        yield graph.links[family == one], int(sizes[one])


def _add_settings(
    root: Element,
    shape: tuple[int, int, int],
    scale: Triple,
    movie_path: str | os.PathLike[str] | None,
) -> None:
    """What TrackMate asks of a file before it shows it; nothing was detected or linked by it."""
    where = Path(movie_path).expanduser().absolute() if movie_path is not None else None
    count, height, width = shape
    settings = _add(root, "Settings")
    _add(
        settings, "ImageData", filename=where.name if where else "",
        folder=f"{where.parent}{os.sep}" if where else "", width=width, height=height, nslices=1,
        nframes=count, pixelwidth=float(scale[2]), pixelheight=float(scale[1]), voxeldepth=1.0,
        timeinterval=float(scale[0]),
    )  # fmt: skip
    _add(
        settings, "BasicSettings", xstart=0, xend=width - 1, ystart=0, yend=height - 1, zstart=0,
        zend=0, tstart=0, tend=count - 1,
    )  # fmt: skip
    _add(settings, "DetectorSettings", DETECTOR_NAME="MANUAL_DETECTOR", RADIUS=float(scale[2]))
    _add(settings, "InitialSpotFilter", feature="QUALITY", value=-1.0, isabove=True)
    _add(settings, "SpotFilterCollection")
    _add(settings, "TrackerSettings", TRACKER_NAME="MANUAL_TRACKER")
    _add(settings, "TrackFilterCollection")
    analyzers = _add(settings, "AnalyzerCollection")
    for kind in ("SpotAnalyzers", "EdgeAnalyzers", "TrackAnalyzers"):
        _add(analyzers, kind)
    _add(root, "GUIState", state="ConfigureViews")
