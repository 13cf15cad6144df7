"""Tracked labels to every format that other tools read: one table for window, command and script.

`FORMATS` is that table. Everything an export needs is in a `Tracked`; what a format cannot hold
is left out, and `Format.lineage` says where divisions go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import InputError, MovieError
from napari_sam_i2v.movies.lineage import Lineage
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN, plain_steps

if TYPE_CHECKING:
    from napari_sam_i2v.measure.objects import Columns
    from napari_sam_i2v.movies.movie import Movie
    from napari_sam_i2v.propagation.confidence import ConfidenceTable

__all__ = ["FORMATS", "Format", "Tracked", "check_export", "export", "format_of", "open_tracked"]

OPENED_BY_FIJI = (".tif", ".tiff")
"""Movies that a TrackMate file refers to; what else lies at a path may be a patient's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracked:
    """Labels and what is known about them.

    Attributes
    ----------
    labels
        Object ids (T, Y, X), 0 is background; anything with `shape` and ``labels[t]``.
    lineage
        Divisions: daughter -> (parent, frame).
    scale, units
        Step along (t, y, x) and its units, as `Movie` has them.
    movie
        The pixels, for intensities and overlays.
    movie_path
        Where they lie, for files that refer to them.
    confidence
        How sure the answers were.
    metadata
        Where the labels come from; must be JSON.
    """

    labels: Any
    lineage: Lineage = field(default_factory=dict)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    units: tuple[str, str, str] = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN)
    movie: Any = None
    movie_path: Path | None = None
    confidence: ConfidenceTable | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scale, units = plain_steps(self.scale, self.units)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "units", units)

    @property
    def steps(self) -> tuple[float, float, float]:
        """Steps to measure with: 1 along axes whose unit is not known, where sizes are in pixels.

        napari's layers have a scale without a unit where nobody set one.
        """
        t, y, x = self.scale
        time, space = self.units[0] == TIME_UNKNOWN, self.units[1] == SPACE_UNKNOWN
        return (1.0 if time else t), (1.0 if space else y), (1.0 if space else x)

    @cached_property
    def columns(self) -> Columns:
        """Measurements, with `parent_id` and `root_id`."""
        from napari_sam_i2v.measure.objects import measurements
        from napari_sam_i2v.movies.tracks import ancestry

        found = measurements(self.labels, self.movie, scale=self.steps, confidence=self.confidence)
        return found | ancestry(found["object_id"], self.lineage)


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes
    ----------
    title
        For people.
    suffixes
        A name ends in one of these; empty for a folder of any name.
    lineage
        Where divisions are in it; empty if it cannot hold them.
    write
        (tracked, path, overwrite) -> the path.
    check
        (path, overwrite): raises if that is not going to work; touches nothing.
    needs_movie
        Whether the pixels are needed.
    """

    title: str
    suffixes: tuple[str, ...]
    lineage: str
    write: Callable[[Tracked, Path, bool], Path]
    check: Callable[[Path, bool], object]
    needs_movie: bool = False


def format_of(path: str | os.PathLike[str]) -> str:
    """Guess a format's name from a file's; a name without a suffix is a folder for CTC.

    Raises
    ------
    InputError
        If no format has that suffix.
    """
    suffix = Path(path).suffix.lower()
    for name, one in FORMATS.items():
        if suffix in one.suffixes or (not suffix and not one.suffixes):
            return name
    raise InputError(
        f"The format of {Path(path).name!r} is not known: name one of {', '.join(FORMATS)}."
    )


def check_export(
    to: str, path: str | os.PathLike[str], *, has_movie: bool = True, overwrite: bool = False
) -> Path:
    """Check that an export can be written, touching nothing.

    Raises
    ------
    InputError
        If there is no such format, the name does not end as it must, the movie is needed and
        missing, or a package that the format needs is.
    OutputError
        If something is there that may not be replaced, or the folder is missing.
    """
    if to not in FORMATS:
        raise InputError(f"Formats are {', '.join(FORMATS)}; got {to!r}.")
    one, target = FORMATS[to], Path(path).expanduser()
    if one.suffixes and target.suffix.lower() not in one.suffixes:
        raise InputError(
            f"{one.title} needs a name that ends in {' or '.join(one.suffixes)}, got "
            f"{target.name!r}."
        )
    if one.needs_movie and not has_movie:
        raise InputError(f"{one.title} needs the movie: name it too (--movie).")
    one.check(target, overwrite)
    return target


def export(
    tracked: Tracked,
    path: str | os.PathLike[str],
    *,
    to: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write tracked labels in one of `FORMATS`.

    Parameters
    ----------
    tracked
        The labels and what is known about them; `open_tracked` makes one of a file.
    path
        The file or folder.
    to
        Name of the format; guessed from the path where not given.
    overwrite
        Whether an older result may be replaced: of folders and label files only our own.

    Raises
    ------
    InputError, OutputError
        As for `check_export`, and if the labels do not fit the format.

    Examples
    --------
    >>> export(open_tracked("labels.tif"), "01_RES", to="ctc")  # doctest: +SKIP
    """
    name = format_of(path) if to is None else to
    has_movie = tracked.movie is not None
    target = check_export(name, path, has_movie=has_movie, overwrite=overwrite)
    if tracked.labels.dtype.kind == "i":
        from napari_sam_i2v.movies.export import fitting_dtype

        fitting_dtype(tracked.labels)  # ids below 0 would be passed over
    return FORMATS[name].write(tracked, target, overwrite)


def open_tracked(
    labels: str | os.PathLike[str],
    *,
    movie: str | os.PathLike[str] | None = None,
    lineage: str | os.PathLike[str] | None = None,
    channel: int | str | None = None,
    z: int | None = None,
    axes: str | None = None,
    scene: int | str | None = None,
) -> Tracked:
    """Open labels on disk with their divisions, to be exported.

    Parameters
    ----------
    labels
        TIFF, OME-Zarr, or a folder of masks. Divisions that are noted with them, by us or in a
        ``res_track.txt`` or ``man_track.txt`` beside the masks, are read.
    movie
        The movie that was tracked, for intensities and overlays; its scale is used where the
        labels have none.
    lineage
        A text file as ``man_track.txt`` instead, or labels in which divisions are noted.
    channel, z, axes, scene
        Of the movie; see `open_movie`.

    Raises
    ------
    InputError
        If something cannot be read, labels are no whole numbers, or sizes differ.
    """
    from napari_sam_i2v.movies.lineage_notes import read_lineage
    from napari_sam_i2v.movies.movie import open_movie

    divisions = read_lineage(labels) if lineage is None else _named_lineage(lineage)
    planes = _label_planes(labels)
    if planes.ndim != 3 or planes.dtype.kind not in "bui":
        raise InputError(
            f"{labels}: labels must be whole numbers (T, Y, X), got {planes.dtype} of shape "
            f"{planes.shape}"
        )
    pixels = (
        None if movie is None else open_movie(movie, channel=channel, z=z, axes=axes, scene=scene)
    )
    if pixels is not None and pixels.shape[:3] != planes.shape:
        raise InputError(
            f"labels and movie must be of one size, got {planes.shape} and {pixels.shape}: give "
            "the movie that was tracked"
        )
    unknown = planes.units == (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN)
    known = pixels if pixels is not None and unknown else planes
    return Tracked(
        labels=planes, lineage=divisions,
        scale=known.scale, units=known.units, movie=pixels,
        movie_path=None if movie is None else Path(movie),
    )  # fmt: skip


def _label_planes(path: str | os.PathLike[str]) -> Movie:
    """Open labels, of which there must be one channel and plane."""
    from napari_sam_i2v.movies.axes import plan_frames
    from napari_sam_i2v.movies.movie import Movie, open_source

    source = open_source(path)
    try:
        return Movie(source, plan_frames(source))
    except MovieError as error:
        raise InputError(
            f"{path}: labels must be (T, Y, X), got the shape {source.shape} with the axes "
            f"{source.axes}: save the one plane and channel that is wanted as a file of its own"
        ) from error


def _named_lineage(path: str | os.PathLike[str]) -> dict[int, tuple[int, int]]:
    """Read divisions from where a user says that they are; a track file may be without any."""
    from napari_sam_i2v.movies.lineage_notes import has_tracks, read_lineage

    where = Path(path).expanduser()
    if not where.exists():
        raise InputError(f"There is no lineage file {path}: correct its name.")
    divisions = read_lineage(where)
    if not divisions and not has_tracks(where):
        raise InputError(
            f"{path}: no division is noted there; a text as man_track.txt is required, a line "
            "“label first last parent” per object"
        )
    return divisions


# ---- the formats ------------------------------------------------------------------------------


def _tiff(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.movies.export import save_tiff

    return save_tiff(tracked.labels, path, overwrite=overwrite, **_described(tracked))


def _ome_zarr(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.movies.export import save_ome_zarr

    return save_ome_zarr(tracked.labels, path, overwrite=overwrite, **_described(tracked))


def _described(tracked: Tracked) -> dict[str, Any]:
    from napari_sam_i2v.movies.lineage_notes import lineage_note

    note = {**tracked.metadata, **lineage_note(tracked.lineage)}
    return {"scale": tracked.scale, "units": tracked.units, "metadata": note}


def _ctc(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.movies.ctc import save_ctc

    return save_ctc(tracked.labels, path, lineage=tracked.lineage, overwrite=overwrite)


def _geff(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.movies.geff_graph import save_geff

    return save_geff(
        tracked.columns, path, lineage=tracked.lineage, scale=tracked.steps, units=tracked.units,
        overwrite=overwrite,
    )  # fmt: skip


def _trackmate(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.movies.kinds import is_private
    from napari_sam_i2v.movies.trackmate import save_trackmate

    where = tracked.movie_path
    told = where is not None and where.suffix.lower() in OPENED_BY_FIJI and not is_private(where)
    return save_trackmate(
        tracked.columns, tracked.labels, path, lineage=tracked.lineage, scale=tracked.steps,
        units=tracked.units, overwrite=overwrite,
        movie_path=where if told else None,
    )  # fmt: skip


def _csv(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.measure.objects import as_csv
    from napari_sam_i2v.movies.output import write_text

    return write_text(path, as_csv(tracked.columns, units=tracked.units), overwrite=overwrite)


def _coco(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.movies.coco import save_coco

    name = str(getattr(tracked.movie, "name", "movie"))  # a reader may hide who is in a file
    return save_coco(tracked.labels, path, lineage=tracked.lineage, name=name, overwrite=overwrite)


def _divisions(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.measure.divisions import as_json, propose_divisions
    from napari_sam_i2v.movies.output import write_text

    return write_text(path, as_json(propose_divisions(tracked.labels)), overwrite=overwrite)


def _overlay(tracked: Tracked, path: Path, overwrite: bool) -> Path:
    from napari_sam_i2v.overlay_movie import save_overlay

    step, unit = tracked.scale[0], tracked.units[0]
    return save_overlay(
        tracked.movie, tracked.labels, path, overwrite=overwrite,
        interval=None if unit == TIME_UNKNOWN else (step, unit),
    )  # fmt: skip


def _check_own(path: Path, overwrite: bool) -> object:
    from napari_sam_i2v.movies.output import check_target

    return check_target(path, overwrite=overwrite)


def _check_ome_zarr(path: Path, overwrite: bool) -> object:
    from napari_sam_i2v.movies.export import check_labels_target

    return check_labels_target(path, overwrite=overwrite)


def _check_text(path: Path, overwrite: bool) -> object:
    from napari_sam_i2v.movies.output import check_text

    return check_text(path, suffix=path.suffix.lower(), overwrite=overwrite)


def _check_geff(path: Path, overwrite: bool) -> object:
    from napari_sam_i2v.movies.geff_graph import check_geff

    check_geff()
    return _check_own(path, overwrite)


def _check_overlay(path: Path, overwrite: bool) -> object:
    from napari_sam_i2v.overlay_movie import check_overlay

    return check_overlay(path, overwrite=overwrite)


FORMATS: dict[str, Format] = {
    "tiff": Format("Labels, TIFF", (".tif", ".tiff"), "in the description", _tiff, _check_own),
    "ome-zarr": Format("Labels, OME-Zarr", (".zarr",), "in our attributes", _ome_zarr,
                       _check_ome_zarr),
    "ctc": Format("Cell Tracking Challenge folder", (), "parents in res_track.txt", _ctc,
                  _check_own),
    "geff": Format("GEFF", (".geff",), "links of the graph", _geff, _check_geff),
    "trackmate": Format("TrackMate XML", (".xml",), "edges of a track", _trackmate, _check_text),
    "csv": Format("Measurements, CSV", (".csv",), "columns parent_id, root_id", _csv, _check_text),
    "coco": Format("COCO masks, JSON", (".json",), "parent_id of tracks", _coco, _check_text),
    "divisions": Format("Proposed divisions, JSON", (".json",), "", _divisions, _check_text),
    "overlay": Format("Overlay, MP4 or GIF", (".mp4", ".gif"), "", _overlay, _check_overlay, True),
}  # fmt: skip
"""Name -> format, as the command line names it."""
