"""Prompts from files and to files: CSV, napari's CSV of points and shapes, JSON, label images.

CSV
    ``object_id,frame,y,x[,label]``, one point per line, label 1 (on the object, the default) or 0
    (off it). Comma, semicolon or tab; a byte-order mark and blank lines do no harm.
napari's CSV of a Points layer
    ``index,axis-0,axis-1[,axis-2]`` and the layer's features. A feature `object_id` names the
    objects, else each point is its own object, from 1; a feature `label` is as above. The
    coordinates are pixels of the layer's data, whatever its scale.
napari's CSV of a Shapes layer
    ``index,shape-type,vertex-index,axis-0,axis-1[,axis-2]``, a line per vertex. Each rectangle is
    the box around its vertices, and its own object, from 1 (index + 1); other shapes are refused.
    Coordinates are as above: the centre of the first pixel is at 0.
JSON
    ``{"prompts": [{"object_id": 1, "frame": 0, "points": [[y, x], ...], "labels": [1, ...],
    "box": [y0, x0, y1, x1], "mask": {"shape": [Y, X], "runs": [n0, n1, ...]}}, ...]}``; points
    (with labels, all 1 by default), box and mask are each optional, but one of them is needed.
    A mask's runs are lengths of off, on, off, ... pixels in row order; a mask without any that is
    on says that the object is not on the frame. ``"correction": true`` says
    that the frame had been tracked before. Entries of one object and frame are put together: its
    mask, then one prompt of all its points and its box. ``"round": n`` (1 where it is missing)
    keeps them apart: rounds are given to the network one after the other, as they were clicked,
    each may start over with a box or a mask, and entries are put together within a round only.
Label image
    TIFF, PNG, OME-Zarr, NIfTI or array of integers: (Y, X) prompts on frame 0; (T, Y, X) prompts
    each object by its mask on the first frame that has it. In a file, Z is time unless a plane is
    chosen, as in a movie: then (Z, Y, X) prompts by that plane on frame 0, and (T, Z, Y, X) by
    that plane of every frame. A palette PNG, or a folder of them, holds ids as palette indices
    (DAVIS).

Everything is (frame, y, x) in data pixels.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import MovieError, PromptError
from napari_sam_i2v.prompt_writer import write_prompts

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.prompts import Prompt

__all__ = ["read_prompts", "read_saved_prompts", "write_prompts"]

MAX_ID = 65535
_MAX_PIXELS = 2**31
"""Of a mask: more than any frame that is tracked has."""
_COLUMNS = ("object_id", "frame", "y", "x")
_KNOWN = (*_COLUMNS, "label", "index", "shape-type", "axis-0", "axis-1", "axis-2")
_LABELS = {"1": 1, "0": 0, "positive": 1, "negative": 0, "true": 1, "false": 0, "": 1}


@dataclass
class _Draft:
    """What one file says about one object on one frame, in one round."""

    where: str
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None
    correction: bool = False


_Drafts = dict[tuple[int, int, int], _Draft]
"""By object, frame and round."""


def read_prompts(
    source: str | os.PathLike[str] | Any,
    *,
    movie_shape: tuple[int, ...] | None = None,
    z: int | None = None,
) -> list[Prompt]:
    """Read prompts from a file, or from an array of labels.

    Parameters
    ----------
    source
        A .csv, .json, label image (see the module), an integer array (Y, X) or (T, Y, X), or a
        table of pandas with the columns of a CSV.
    movie_shape
        (T, Y, X[, 3]) of the movie: prompts must lie inside it.
    z
        The plane that was chosen of a movie with depth: Z of a label image is depth then.

    Returns
    -------
    list of Prompt
        One per object, frame and round, in order of frame, object id and round; two where a mask
        was refined by points or a box: the mask, then those.

    Raises
    ------
    PromptError
        If the file is missing, empty or wrong; it names the file and line.
    """
    drafts = _read(source, z)
    if not drafts:
        raise PromptError(f"{_called(source)} holds no prompts: at least one is needed")
    ordered = sorted(drafts, key=lambda key: (key[1], key[0], key[2]))
    return _prompts(drafts, ordered, movie_shape)


def read_saved_prompts(
    path: str | os.PathLike[str], *, movie_shape: tuple[int, ...] | None = None
) -> list[Prompt]:
    """Read a .json file as `write_prompts` left it: in its own order, and maybe without prompts.

    Unlike `read_prompts` this keeps the order in which objects and frames were prompted.

    Raises
    ------
    PromptError
        If the file is missing or wrong.
    """
    drafts = _from_json(Path(path))
    places: dict[tuple[int, int], int] = {}
    for object_id, frame, _ in drafts:
        places.setdefault((object_id, frame), len(places))
    return _prompts(drafts, sorted(drafts, key=lambda k: (places[k[:2]], k[2])), movie_shape)


def _called(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return str(source)
    return "the table" if hasattr(source, "to_csv") else "the label image"


def _read(source: Any, z: int | None) -> _Drafts:
    if hasattr(source, "to_csv"):
        return _from_csv(source.to_csv(index=False), "the table")
    if not isinstance(source, str | os.PathLike):
        return _from_labels(source, "the label image")
    path = Path(source).expanduser()
    try:
        there = path.exists()
    except OSError as err:  # a folder on the way may not be entered
        raise PromptError(f"{path} cannot be read: {err.strerror or err}") from err
    if not there:
        raise PromptError(f"there is no prompts file {path}")
    if not (path.is_file() or path.is_dir()):
        raise PromptError(f"{path} is neither a file nor a folder: give one of these")
    if path.is_file() and path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return _from_csv(_text(path), path)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise PromptError(
            f"{path}: JPEG changes grey values, so it cannot hold object ids; save the label image "
            "as TIFF or PNG"
        )
    if path.is_file() and path.suffix.lower() == ".json":
        return _from_json(path)
    return _from_image(path, z)


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise PromptError(f"{path} cannot be read as text: {err}") from err
    if not text.strip():
        raise PromptError(f"{path} is empty: it must hold prompts")
    return text


# --- CSV -----------------------------------------------------------------------------------------


def _from_csv(text: str, path: Path | str) -> _Drafts:
    first = text.lstrip().splitlines()[0]
    rows = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    try:
        filled = [(rows.line_num, row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as err:
        raise PromptError(f"{path}, line {rows.line_num}: not valid CSV, {err}") from err
    if not filled:
        raise PromptError(f"{path} is empty: it must hold prompts")
    header = [name.strip().lower() for name in filled[0][1]]
    if doubled := [name for name in _KNOWN if header.count(name) > 1]:
        raise PromptError(f"{path}, line 1: {','.join(doubled)} is there twice; name one column so")
    points_layer = "axis-0" in header and "frame" not in header
    if points_layer and "shape-type" in header:
        return _from_shapes(path, header, filled[1:])
    columns = _points_layer_columns(path, header) if points_layer else _columns(path, header)
    drafts: _Drafts = {}
    for number, (line, row) in enumerate(filled[1:], start=1):
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        _add_point(drafts, f"{path}, line {line}", cells, columns, number)
    return drafts


def _columns(path: Path | str, header: list[str]) -> dict[str, str]:
    """Map what is needed to the columns' names; refuse a file without them."""
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise PromptError(
            f"{path}, line 1: a header with the columns object_id,frame,y,x (and label) is "
            f"required; {','.join(missing)} missing, got {','.join(header)!r:.200}"
        )
    return {name: name for name in (*_COLUMNS, "label") if name in header}


def _points_layer_columns(path: Path | str | str, header: list[str]) -> dict[str, str]:
    axes = [name for name in header if name.startswith("axis-")]
    names = {2: ("y", "x"), 3: ("frame", "y", "x")}.get(len(axes))
    if names is None or axes != [f"axis-{i}" for i in range(len(axes))]:
        raise PromptError(
            f"{path}, line 1: points and shapes need the columns axis-0 (frame), axis-1 (y), "
            f"axis-2 (x); got {','.join(axes)}"
        )
    features = {name: name for name in ("object_id", "label") if name in header}
    return dict(zip(names, axes, strict=True)) | features


def _add_point(
    drafts: _Drafts, where: str, cells: Mapping[str, str], columns: Mapping[str, str], number: int
) -> None:
    """Take one line; `number` is the object's id where the file gives none."""

    def cell(name: str, default: str) -> str:
        if name not in columns:
            return default
        if columns[name] not in cells:
            raise PromptError(f"{where}: the line is too short, {columns[name]} is missing")
        return cells[columns[name]]

    object_id = _object_id(cell("object_id", str(number)), where)
    frame = _whole(cell("frame", "0"), "frame", where)
    draft = drafts.setdefault((object_id, frame, 1), _Draft(where))
    draft.points.append((_number(cell("y", ""), "y", where), _number(cell("x", ""), "x", where)))
    draft.labels.append(_label(cell("label", "1"), where))


def _from_shapes(path: Path | str, header: list[str], rows: list[tuple[int, list[str]]]) -> _Drafts:
    """Take the rectangles of a Shapes layer, a line per vertex, as the boxes around them."""
    columns = {"index": "index", "kind": "shape-type"} | _points_layer_columns(path, header)
    corners: dict[int, list[tuple[int, float, float]]] = {}
    first: dict[int, str] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        if missing := [name for name in columns.values() if name not in cells]:
            raise PromptError(f"{where}: {','.join(missing)} missing")
        if cells["shape-type"].lower() != "rectangle":
            raise PromptError(
                f"{where}: rectangles are required, which become boxes; got the shape "
                f"{cells['shape-type']!r}. Draw a rectangle around the object instead"
            )
        index = _whole(cells["index"], "index", where)
        first.setdefault(index, where)
        frame = _whole(cells[columns["frame"]], "frame", where) if "frame" in columns else 0
        y, x = (_number(cells[columns[name]], name, where) for name in "yx")
        corners.setdefault(index, []).append((frame, y, x))
    return dict(_shape_box(index, corners[index], where) for index, where in first.items())


def _shape_box(
    index: int, corners: list[tuple[int, float, float]], where: str
) -> tuple[tuple[int, int, int], _Draft]:
    frames, ys, xs = zip(*corners, strict=True)
    if len(set(frames)) > 1:
        raise PromptError(
            f"{where}: rectangle {index} lies on the frames {min(frames)} to {max(frames)}; draw "
            "it on one frame"
        )
    box = _box([min(ys), min(xs), max(ys), max(xs)], where)
    return (_object_id(index + 1, where), frames[0], 1), _Draft(where, box=box)


# --- JSON ----------------------------------------------------------------------------------------


def _from_json(path: Path) -> _Drafts:
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as err:
        raise PromptError(f"{path}, line {err.lineno}: not valid JSON, {err.msg}") from err
    except (ValueError, RecursionError) as err:  # numbers too long, lists too deep
        raise PromptError(f"{path}: JSON that cannot be read, {err}") from err
    entries = content.get("prompts") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise PromptError(f'{path}: {{"prompts": [...]}} is required at the top')
    drafts: _Drafts = {}
    for number, entry in enumerate(entries):
        _add_entry(drafts, entry, f"{path}, prompts[{number}]")
    return drafts


def _add_entry(drafts: _Drafts, entry: Any, where: str) -> None:
    if not isinstance(entry, Mapping) or not {"object_id", "frame"} <= entry.keys():
        raise PromptError(f"{where}: object_id and frame are required, got {entry!r:.80}")
    object_id = _object_id(entry["object_id"], where)
    frame, turn = _whole(entry["frame"], "frame", where), _round(entry.get("round", 1), where)
    draft = drafts.setdefault((object_id, frame, turn), _Draft(where))
    points, box, mask = (entry.get(name) for name in ("points", "box", "mask"))
    draft.correction |= entry.get("correction") is True
    if not points and box is None and mask is None:
        raise PromptError(f"{where}: points, a box or a mask are required")
    if points:
        pairs = [_numbers(point, 2, "a point [y, x]", where) for point in _list(points, where)]
        labels = entry.get("labels")
        signs = (
            [1] * len(pairs) if labels is None else [_label(n, where) for n in _list(labels, where)]
        )
        if len(signs) != len(pairs):
            raise PromptError(f"{where}: {len(pairs)} points need as many labels, got {len(signs)}")
        draft.points += [(y, x) for y, x in pairs]
        draft.labels += signs
    if (box is not None and draft.box) or (mask is not None and draft.mask is not None):
        raise PromptError(
            f"{where}: one object can have one box and one mask on a frame; give the entries "
            '"round": 1, 2, ... where they follow each other'
        )
    if box is not None:
        draft.box = _box(box, where)
    if mask is not None:
        draft.mask = _mask_from_runs(mask, where)


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PromptError(f"{where}: a list is required, got {value!r:.40}")
    return value


def _numbers(value: Any, n: int, what: str, where: str) -> list[float]:
    if not isinstance(value, list) or len(value) != n:
        raise PromptError(f"{where}: {what} is required, got {value!r:.60}")
    return [_number(one, what, where) for one in value]


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    y0, x0, y1, x1 = _numbers(value, 4, "a box [y0, x0, y1, x1]", where)
    if y1 <= y0 or x1 <= x0:
        raise PromptError(f"{where}: a box needs y0 < y1 and x0 < x1, got {value}")
    return y0, x0, y1, x1


def _mask_from_runs(value: Any, where: str) -> np.ndarray:
    try:
        shape = tuple(int(n) for n in value["shape"])
        runs = [int(n) for n in value["runs"]]
    except (TypeError, KeyError, ValueError, OverflowError) as err:
        raise PromptError(f'{where}: a mask is {{"shape": [Y, X], "runs": [...]}}') from err
    if len(shape) != 2 or min(shape) < 1 or math.prod(shape) > _MAX_PIXELS:
        raise PromptError(
            f"{where}: a mask's shape must be [Y, X], each at least 1 and {_MAX_PIXELS} pixels at "
            f"most, got {value['shape']!r:.60}"
        )
    if min(runs, default=-1) < 0 or sum(runs) != math.prod(shape):
        raise PromptError(f"{where}: the mask's runs must add up to its shape {shape}")
    on = np.arange(len(runs)) % 2 == 1
    return np.repeat(on, runs).reshape(shape)


# --- label images --------------------------------------------------------------------------------


def _from_image(path: Path, z: int | None) -> _Drafts:
    from napari_sam_i2v.movies.axes import plan_frames
    from napari_sam_i2v.movies.movie import Movie, open_source

    if pictures := _indexed(path):
        return _from_indexed(path, pictures)
    try:
        source = open_source(path)
        deep = source.axes.count("Z") == 1 and source.sizes["Z"] > 1
        movie = Movie(source, plan_frames(source, z=z if deep else None))
    except MovieError as err:
        raise PromptError(
            f"{path} is no prompts file (.csv, .json) and no label image: {err}"
        ) from err
    return _from_labels(movie, str(path))


def _indexed(path: Path) -> tuple[Path, ...]:
    """List pictures whose palette indices, or bits, are object ids: one, or a folder of them.

    As a movie they would be read in colour. Empty for whatever else is there.
    """
    from PIL import Image

    from napari_sam_i2v.movies.kinds import file_kind, folder_kind
    from napari_sam_i2v.movies.sequence import frame_files

    try:
        if path.is_dir():
            files = tuple(frame_files(path)) if folder_kind(path) == "pictures" else ()
        else:
            files = (path,)
        if not files or file_kind(files[0]) != "picture":
            return ()
        with Image.open(files[0]) as picture:
            return files if picture.mode in ("P", "1") else ()
    except Exception:  # of many kinds, said where it is opened as a movie
        return ()


def _from_indexed(path: Path, files: tuple[Path, ...]) -> _Drafts:
    from napari_sam_i2v.movies.truth import PictureTruth

    truth = PictureTruth(path, files)
    try:
        return _from_planes((truth.read(t)[0] for t in range(len(files))), str(path))
    except PromptError:
        raise
    except Exception as err:  # Pillow raises many kinds for broken pictures
        raise PromptError(f"{path} is no label image: {err}") from err


def _from_labels(labels: Any, called: str) -> _Drafts:
    """Take each object's mask on the first frame that has it, reading frame by frame."""
    shape, dtype = getattr(labels, "shape", None), getattr(labels, "dtype", None)
    if shape is None or dtype is None or len(shape) not in (2, 3):
        raise PromptError(f"{called}: labels must be (Y, X) or (T, Y, X), got {shape}")
    if np.dtype(dtype).kind not in "bui":
        raise PromptError(f"{called}: labels must be integers (object ids), got {dtype}")
    return _from_planes(_planes(labels), called)


def _from_planes(planes: Iterator[np.ndarray], called: str) -> _Drafts:
    drafts: _Drafts = {}
    seen: set[int] = set()
    for frame, plane in enumerate(planes):
        for object_id in np.unique(plane[plane != 0]).tolist():
            if object_id in seen:
                continue
            seen.add(object_id)
            where = f"{called}, frame {frame}"
            mask = plane == object_id
            drafts[_object_id(object_id, where), frame, 1] = _Draft(where, mask=mask)
    return drafts


def _planes(labels: Any) -> Iterator[np.ndarray]:
    dtype = np.uint8 if np.dtype(labels.dtype).kind == "b" else labels.dtype  # on is object 1
    if len(labels.shape) == 2:
        return iter([np.asarray(labels, dtype)])
    return (np.asarray(labels[t], dtype) for t in range(labels.shape[0]))


# --- checks --------------------------------------------------------------------------------------


def _number(value: Any, name: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PromptError(f"{where}: {name} must be a number, got {value!r:.60}") from None
    except OverflowError:  # more digits than a float has room for
        number = math.inf
    if not math.isfinite(number):
        raise PromptError(f"{where}: {name} must be finite, got {value!r:.60}")
    return number


def _whole(value: Any, name: str, where: str) -> int:
    number = _number(value, name, where)
    # A slider between two frames leaves 2.9999999 in napari's files.
    if isinstance(value, bool) or abs(number - round(number)) > 1e-3 or round(number) < 0:
        raise PromptError(f"{where}: {name} must be a whole number from 0, got {value!r:.60}")
    return round(number)


def _round(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PromptError(f"{where}: round must be a whole number from 1, got {value!r:.60}")
    return value


def _object_id(value: Any, where: str) -> int:
    number = _number(value, "object_id", where)
    if isinstance(value, bool) or number != int(number) or not 1 <= number <= MAX_ID:
        raise PromptError(
            f"{where}: object_id must be a whole number in 1..{MAX_ID}, got {value!r:.60}"
        )
    return int(number)


def _label(value: Any, where: str) -> int:
    text = str(value).strip().lower().removesuffix(".0")
    if text not in _LABELS:
        raise PromptError(
            f"{where}: label must be 1 (on the object) or 0 (off it), got {value!r:.60}"
        )
    return _LABELS[text]


def _check_inside(draft: _Draft, object_id: int, frame: int, shape: tuple[int, ...]) -> None:
    frames, height, width = shape[:3]
    if frame >= frames:
        raise PromptError(
            f"{draft.where}: object {object_id} is on frame {frame}, the movie has frames "
            f"0..{frames - 1}"
        )
    for y, x in draft.points:
        if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
            raise PromptError(
                f"{draft.where}: the point (y={y:g}, x={x:g}) of object {object_id} lies outside "
                f"the movie's frames of {height} x {width} pixels (y, x)"
            )
    if draft.box and not (
        draft.box[0] < height and draft.box[1] < width and min(draft.box[2:]) > 0
    ):
        raise PromptError(
            f"{draft.where}: the box {draft.box} of object {object_id} lies outside the movie's "
            f"frames of {height} x {width} pixels (y, x)"
        )
    if draft.mask is not None and draft.mask.shape != (height, width):
        raise PromptError(
            f"{draft.where}: the mask of object {object_id} is {draft.mask.shape}, the movie's "
            f"frames are {(height, width)}: they must agree"
        )


# --- result ------------------------------------------------------------------------------------


def _prompts(
    drafts: _Drafts, keys: list[tuple[int, int, int]], movie_shape: tuple[int, ...] | None
) -> list[Prompt]:
    if movie_shape is not None:
        for (object_id, frame, _), draft in drafts.items():
            _check_inside(draft, object_id, frame, tuple(movie_shape))
    return [prompt for key in keys for prompt in _prompts_of(key[0], key[1], drafts[key])]


def _prompts_of(object_id: int, frame: int, draft: _Draft) -> list[Prompt]:
    from napari_sam_i2v.propagation.prompts import Prompt

    made = []
    if draft.mask is not None:
        made.append(Prompt(object_id, frame, mask=draft.mask, correction=draft.correction))
    if draft.points or draft.box:
        points = np.asarray(draft.points, np.float64) if draft.points else None
        labels = np.asarray(draft.labels, np.int64) if draft.points else None
        made.append(Prompt(object_id, frame, points, labels, draft.box, None, draft.correction))
    return made
