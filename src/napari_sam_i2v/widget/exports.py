"""What the dock saves: labels, prompts, measurements, tracks; jobs for the worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Tracks

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.exports import FORMATS, Tracked, check_export, export
from napari_sam_i2v.measure.divisions import propose_divisions
from napari_sam_i2v.movies.tracks import TrackTable, tracks_of
from napari_sam_i2v.prompt_files import write_prompts
from napari_sam_i2v.widget.desk import Event, Found, Job, Said
from napari_sam_i2v.widget.layers import Axes, add_or_replace, mark, placement

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam_i2v.widget.opening import Kept
    from napari_sam_i2v.workbench import Workbench

MAX_TRACK_AXES = 4
"""Time, and what else a Tracks layer of napari can have."""


def labels_job(path: Path, kept: Kept) -> Job:
    """Save the labels with provenance and divisions as .tif or .zarr; an older file is replaced."""
    formats = {".tif": "tiff", ".tiff": "tiff", ".zarr": "ome-zarr"}
    if path.suffix.lower() not in formats:
        raise InputError(f"Labels are saved as .tif or .zarr; got “{path.name}”.")
    return export_job(formats[path.suffix.lower()], path, kept, what="Labels")


def prompts_job(path: Path) -> Job:
    """Save the prompts as .json or .csv; an older file is replaced."""

    def act(bench: Workbench) -> Iterator[Event]:
        write_prompts(path, bench.session.prompts, overwrite=True)
        yield Said(f"Prompts saved: {path}")

    return Job(act)


def measurements_job(path: Path, kept: Kept) -> Job:
    """Save a row per object and frame as .csv; an older file is replaced."""
    if path.suffix.lower() != ".csv":
        raise InputError(f"Measurements are saved as .csv; got “{path.name}”.")
    return export_job("csv", path, kept, what="Measurements")


def export_job(to: str, path: Path, kept: Kept, *, what: str = "") -> Job:
    """Save in a format of `FORMATS`; the file dialog has asked about older files, not folders.

    Raises
    ------
    InputError, OutputError
        If that is not going to work.
    """
    overwrite = bool(FORMATS[to].suffixes)
    kept_at = kept.folder.path.resolve()
    if kept_at in (path.resolve(), *path.resolve().parents):
        raise InputError(f"“{path.name}” would lie in the session's own folder; choose another.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise OutputError(f"“{path}” is there already, and not empty; choose another name.")
    check_export(to, path, overwrite=overwrite)

    def act(bench: Workbench) -> Iterator[Event]:
        export(_tracked(bench, kept), path, to=to, overwrite=overwrite)
        yield Said(f"{what or FORMATS[to].title.partition(', ')[0]} saved: {path}")

    return Job(act)


def divisions_job(kept: Kept) -> Job:
    """Look for objects that may have divided; `Found` has the proposals."""
    store = kept.folder.labels

    def act(bench: Workbench) -> Iterator[Event]:
        yield Found("divisions", propose_divisions(store))

    return Job(act)


def tracks_job(image: Image, axes: Axes, kept: Kept) -> Job:
    """Make a table of tracks with lineage for `tracks_placement`.

    Raises
    ------
    InputError
        If a Tracks layer cannot have the movie's axes.
    """
    _axes_of_tracks(image, axes)

    def act(bench: Workbench) -> Iterator[Event]:
        tracked = _tracked(bench, kept)
        table = tracks_of(tracked.columns, tracked.lineage)
        yield Found("tracks", table)

    return Job(act)


def show_tracks(
    viewer: ViewerModel, image: Image, axes: Axes, table: TrackTable, folder: Path
) -> None:
    """Add a Tracks layer, in the place of the one that the session had before."""
    placed = tracks_placement(image, axes, table)
    layer = Tracks(name=f"{image.name} tracks", metadata=mark("tracks", folder), **placed)
    selection = viewer.layers.selection
    active = selection.active
    old = add_or_replace(viewer, layer, "tracks", folder, looks=("name", "visible", "opacity"))
    selection.active = layer if active is old else active  # the tool stays in hand


def tracks_placement(image: Image, axes: Axes, table: TrackTable) -> dict[str, Any]:
    """Arguments of `Viewer.add_tracks` that put tracks where the movie is."""
    use, data = _axes_of_tracks(image, axes), table.data
    for place, axis in enumerate(use[1:-2], start=2):  # after id and time
        data = np.insert(data, place, axes.fixed[axis], axis=1)
    placed = placement(image, replace(axes, fixed={}))
    if axes.time:  # napari aligns layers at their last axis
        placed = {
            name: [placed[name][axis] for axis in use]
            for name in ("scale", "translate", "axis_labels", "units")
        }
    return {**table.layer_options(), "data": data, **placed}


def _axes_of_tracks(image: Image, axes: Axes) -> list[int]:
    """The image's axes that tracks must have, for they begin with time: it, and all after it."""
    use = [*range(axes.time, image.ndim)]
    if len(use) > MAX_TRACK_AXES:
        names = ", ".join(image.axis_labels[axis] for axis in use[1:])
        raise InputError(
            f"A Tracks layer has at most {MAX_TRACK_AXES - 1} axes after time; “{image.name}” has "
            f"{len(use) - 1} ({names}). Use More ▸ Export for other tools."
        )
    return use


def _tracked(bench: Workbench, kept: Kept) -> Tracked:
    store, session, facts = kept.folder.labels, bench.session, kept.folder.movie
    known = {key: value for key, value in facts.items() if key != "source"}  # no paths in results
    return Tracked(
        labels=store, lineage=dict(session.lineage), scale=store.scale, units=store.units,
        movie=session.movie, movie_path=Path(facts["source"]) if facts.get("source") else None,
        confidence=session.confidence, metadata={**bench.settings, "movie": known},
    )  # fmt: skip
