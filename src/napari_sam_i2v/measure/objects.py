"""A row of numbers per object and frame: area, place, brightness, and how sure the answer was.

One frame of labels and one of the movie are held at a time; a frame without objects costs a look
at its labels, and its pixels are not read.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from napari_sam_i2v.errors import InputError

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.confidence import ConfidenceTable

__all__ = ["Columns", "as_csv", "measure_frames", "measurements"]

Columns = dict[str, NDArray[Any]]
"""A table: name of a column -> (N,) values, all of one length."""

Triple = tuple[float, float, float]
_KEYS = ("object_id", "frame")
_PIXELS = ("area", "centroid_y", "centroid_x")
_UNITS = ("time", "area_units", "centroid_y_units", "centroid_x_units")
_ANSWERS = ("confidence", "score", "iou")
_COLOURS = ("red", "green", "blue")
_WHOLE = ("object_id", "frame", "area")
# Above this, a table with an entry per possible id costs more than sorting the ids there are.
_LARGE_ID = 65_535


def measurements(
    labels: Any,
    movie: Any = None,
    *,
    scale: Triple | None = None,
    confidence: ConfidenceTable | None = None,
    object_ids: Collection[int] | None = None,
    frames: Iterable[int] | None = None,
) -> Columns:
    """Measure every object on every frame; `measure_frames` does the same step by step.

    Parameters
    ----------
    labels
        Object ids (T, Y, X); 0 is background. Anything with `shape` and ``labels[t]``: numpy,
        dask, zarr, a `LabelStore`.
    movie
        The pixels (T, Y, X) or, for colour, (T, Y, X, 3), for the mean intensities.
    scale
        Step along (t, y, x), where it is known: adds `time`, `area_units`, `centroid_y_units` and
        `centroid_x_units`. Places are relative to the centre of pixel (0, 0).
    confidence
        Adds how sure the answers were; without, those columns are NaN.
    object_ids, frames
        Only these.

    Returns
    -------
    Columns
        By frame and then by object: `object_id`, `frame`, `area` (pixels), `centroid_y`,
        `centroid_x` (pixels), those of `scale`, `mean_intensity` (for colour `..._red`,
        `..._green`, `..._blue`), `confidence`, `score`, `iou`. No row where an object is absent.

    Raises
    ------
    InputError
        If labels and movie are of different sizes, or a frame does not exist.
    """
    parts = list(
        measure_frames(
            labels, movie, scale=scale, confidence=confidence, object_ids=object_ids, frames=frames
        )
    )
    if not parts:
        return _no_rows(_names(movie, scale))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def measure_frames(
    labels: Any,
    movie: Any = None,
    *,
    scale: Triple | None = None,
    confidence: ConfidenceTable | None = None,
    object_ids: Collection[int] | None = None,
    frames: Iterable[int] | None = None,
) -> Iterator[Columns]:
    """Measure one frame per step, so that a caller can show progress, or stop.

    Parameters, columns and errors are those of `measurements`. Wrong sizes are refused at once,
    before the first step. A frame without objects gives columns of length 0.
    """
    shape = _check_sizes(labels, movie)
    chosen = _check_frames(range(shape[0]) if frames is None else frames, shape[0])
    names = _names(movie, scale)
    wanted = None if object_ids is None else np.asarray(sorted(object_ids), np.int64)

    def steps() -> Iterator[Columns]:
        tables = _tables(confidence)
        for frame in chosen:
            found = _regions(labels, movie, frame, wanted)
            yield _no_rows(names) if found is None else _finished(found, frame, scale, tables)

    return steps()


def as_csv(columns: Mapping[str, NDArray[Any]], *, units: Sequence[str] | None = None) -> str:
    """Write columns as a table with a header line; what is not known (NaN) is left empty.

    Parameters
    ----------
    columns
        From `measurements`.
    units
        Names of the units along (t, y, x), as `Movie` has them, for the headers: `time` becomes
        `time_minute`, `area_units` becomes `area_micrometer2`, and so on.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = _headers(units) if units is not None else {}
    writer.writerow([names.get(name, name) for name in columns])
    writer.writerows(zip(*(_as_text(values) for values in columns.values()), strict=True))
    return text.getvalue()


# -- one frame -----------------------------------------------------------------------------------
def _regions(
    labels: Any, movie: Any, frame: int, wanted: NDArray[np.int64] | None
) -> Columns | None:
    """What the pixels of a frame tell about its objects; None where there are none."""
    plane = np.asarray(labels[frame])
    if wanted is not None:
        plane = np.where(np.isin(plane, wanted), plane, 0)
    box = _occupied(plane)
    if box is None:
        return None
    ids, small = _small_ids(plane[box])
    pixels = None if movie is None else np.asarray(movie[frame])[box]
    what = ("label", "area", "centroid", *(() if pixels is None else ("mean_intensity",)))
    table = regionprops_table(small, pixels, properties=what)
    top, left = (side.start for side in box)
    found = {
        "object_id": ids[table.pop("label")] if ids is not None else table.pop("label"),
        "area": table.pop("area"),
        "centroid_y": table.pop("centroid-0") + top,
        "centroid_x": table.pop("centroid-1") + left,
    }
    return found | dict(zip(_intensities(movie), table.values(), strict=True))


def _occupied(plane: NDArray[Any]) -> tuple[slice, slice] | None:
    """Rows and columns around all objects, so that nobody else walks over background."""
    rows = np.flatnonzero(plane.any(axis=1))
    if not rows.size:
        return None
    band = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero(plane[band].any(axis=0))
    return band, slice(int(columns[0]), int(columns[-1]) + 1)


def _small_ids(plane: NDArray[Any]) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Give ids by number, and the plane of those numbers; (None, plane) where ids are small."""
    if plane.dtype == bool:
        return None, plane.astype(np.uint8)
    if int(plane.max()) <= _LARGE_ID:
        return None, plane.astype(np.int32, copy=False)
    ids, numbers = np.unique(plane, return_inverse=True)
    if ids[0] != 0:  # no background inside the box
        ids, numbers = np.concatenate([[0], ids]), numbers + 1
    return ids, numbers.reshape(plane.shape)


def _finished(
    found: Columns,
    frame: int,
    scale: Triple | None,
    tables: Mapping[int, NDArray[Any]],
) -> Columns:
    """Add what is known about the frame and the answers, in the order of `_names`."""
    ids = [int(one) for one in found["object_id"]]
    rows: Columns = {"object_id": np.asarray(ids, np.int64)}
    rows["frame"] = np.full(len(ids), frame, np.int64)
    rows["area"] = found["area"].astype(np.int64)
    rows |= {name: found[name] for name in ("centroid_y", "centroid_x")}
    if scale is not None:
        t, y, x = scale
        rows["time"] = rows["frame"] * float(t)
        rows["area_units"] = rows["area"] * float(y * x)
        rows["centroid_y_units"] = rows["centroid_y"] * float(y)
        rows["centroid_x_units"] = rows["centroid_x"] * float(x)
    rows |= {name: values for name, values in found.items() if name.startswith("mean_intensity")}
    return rows | dict(zip(_ANSWERS, _answers(ids, frame, tables).T, strict=True))


def _tables(confidence: ConfidenceTable | None) -> dict[int, NDArray[Any]]:
    """Copy what is noted, by object: a pass may go on while this is measured."""
    if confidence is None:
        return {}
    tables = ((one, confidence.take(one)) for one in confidence.object_ids)
    return {one: table for one, table in tables if table is not None}


def _answers(ids: list[int], frame: int, tables: Mapping[int, NDArray[Any]]) -> NDArray[Any]:
    """Give confidence, score and expected IoU (N, 3) of objects on a frame; NaN if unknown."""
    found = np.full((len(ids), 3), np.nan)
    for row, one in enumerate(ids):
        if one in tables:
            score, iou = tables[one][frame, :2].tolist()
            found[row] = score * iou, score, iou
    return found


# -- columns -------------------------------------------------------------------------------------
def _names(movie: Any, scale: Triple | None) -> tuple[str, ...]:
    calibrated = _UNITS if scale is not None else ()
    return (*_KEYS, *_PIXELS, *calibrated, *_intensities(movie), *_ANSWERS)


def _intensities(movie: Any) -> tuple[str, ...]:
    if movie is None:
        return ()
    if len(movie.shape) == 3:
        return ("mean_intensity",)
    return tuple(f"mean_intensity_{colour}" for colour in _COLOURS)


def _no_rows(names: Iterable[str]) -> Columns:
    return {name: np.empty(0, np.int64 if name in _WHOLE else np.float64) for name in names}


def _headers(units: Sequence[str]) -> dict[str, str]:
    t, y, x = units
    area = f"{y}2" if y == x else f"{y}_{x}"
    return dict(
        zip(
            _UNITS,
            (f"time_{t}", f"area_{area}", f"centroid_y_{y}", f"centroid_x_{x}"),
            strict=True,
        )
    )


def _as_text(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind in "iu":
        return [str(value) for value in values.tolist()]
    return ["" if value != value else f"{value:.6g}" for value in values.tolist()]


# -- checks --------------------------------------------------------------------------------------
def _check_sizes(labels: Any, movie: Any) -> tuple[int, int, int]:
    shape = tuple(int(n) for n in labels.shape)
    if len(shape) != 3:
        raise InputError(f"labels need the shape (T, Y, X), got {shape}")
    if np.dtype(labels.dtype).kind not in "bui":
        raise InputError(f"labels must be integers, got {labels.dtype}")
    if movie is not None:
        pixels = tuple(int(n) for n in movie.shape)
        if pixels not in (shape, (*shape, 3)):
            raise InputError(
                f"the movie must be as large as its labels {shape}, with 3 colours or none, got "
                f"{pixels}: give the movie that was tracked"
            )
    return shape[0], shape[1], shape[2]


def _check_frames(frames: Iterable[int], n_frames: int) -> list[int]:
    chosen = [int(frame) for frame in frames]
    wrong = [frame for frame in chosen if not 0 <= frame < n_frames]
    if wrong:
        raise InputError(f"frame {wrong[0]} does not exist: there are {n_frames} frames")
    return chosen
