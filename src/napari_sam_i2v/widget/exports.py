"""What the dock saves: labels, prompts, measurements, tracks; jobs for the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.objects import Columns, as_csv, measure_frames
from napari_sam_i2v.movies.export import save_ome_zarr, save_tiff
from napari_sam_i2v.movies.output import write_text
from napari_sam_i2v.movies.tracks import TrackTable, tracks_of
from napari_sam_i2v.prompt_files import write_prompts
from napari_sam_i2v.widget.desk import Event, Found, Job, Said

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam_i2v.widget.opening import Kept
    from napari_sam_i2v.workbench import Workbench


def labels_job(path: Path, kept: Kept) -> Job:
    """Save the labels with their provenance as .tif or .zarr; an older file of ours is replaced."""
    savers = {".tif": save_tiff, ".tiff": save_tiff, ".zarr": save_ome_zarr}
    if path.suffix.lower() not in savers:
        raise InputError(f"Labels are saved as .tif or .zarr; got “{path.name}”.")
    save = savers[path.suffix.lower()]
    store = kept.folder.labels

    def act(bench: Workbench) -> Iterator[Event]:
        note = {**bench.settings, "movie": kept.folder.movie}
        save(store, path, scale=store.scale, units=store.units, metadata=note, overwrite=True)
        yield Said(f"Labels saved: {path}")

    return Job(act)


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
    store = kept.folder.labels

    def act(bench: Workbench) -> Iterator[Event]:
        table = _measured(bench, kept)
        write_text(path, as_csv(table, units=store.units), overwrite=True)
        yield Said(f"Measurements saved: {path}")

    return Job(act)


def tracks_job(kept: Kept) -> Job:
    """Make a table of tracks with lineage for `tracks_placement`."""

    def act(bench: Workbench) -> Iterator[Event]:
        table = tracks_of(_measured(bench, kept), dict(bench.session.lineage))
        yield Found("tracks", table)

    return Job(act)


def tracks_placement(image: Image, table: TrackTable) -> dict[str, Any]:
    """Arguments of `Viewer.add_tracks` that put tracks where the movie is."""
    use = [0, -2, -1]
    return {
        **table.layer_options(),
        "scale": np.asarray(image.scale)[use],
        "translate": np.asarray(image.translate)[use],
    }


def _measured(bench: Workbench, kept: Kept) -> Columns:
    store = kept.folder.labels
    parts = list(
        measure_frames(
            store, bench.session.movie, scale=store.scale, confidence=bench.session.confidence
        )
    )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
