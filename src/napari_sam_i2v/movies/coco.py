"""Masks as COCO annotations with run-length encoding, the exchange format of segmentation tools."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.movies.boxes import Box, boxes_of
from napari_sam_i2v.movies.export import fitting_dtype, planes_of, shape_of
from napari_sam_i2v.movies.lineage import Lineage, roots_of
from napari_sam_i2v.movies.output import check_text, write_text

__all__ = ["compressed_counts", "run_lengths", "save_coco"]


def save_coco(
    labels: Any,
    path: str | os.PathLike[str],
    *,
    lineage: Lineage | None = None,
    name: str = "movie",
    overwrite: bool = False,
) -> Path:
    """Write labels (T, Y, X) as COCO JSON: an image per frame, an annotation per object there.

    Masks are compressed run lengths. An annotation has the object's id as `track_id`; `tracks`
    lists the objects, a daughter with `parent_id` and `division_frame` (as in video extensions of
    COCO; readers of plain COCO pass over both). Image ids are frames, from 0.

    Parameters
    ----------
    labels
        Anything with `shape` and ``labels[t]`` -> (Y, X) integers; one frame is held at a time.
    path
        Ends in .json.
    lineage
        Divisions.
    name
        Of the movie: `file_name` of frame 3 is ``NAME#3``, as there is no file per frame.
    overwrite
        Whether an older file may be replaced.

    Raises
    ------
    InputError
        If the labels are not (T, Y, X) integers, or an object is its own ancestor.
    OutputError
        If something is there already, or the file cannot be written.
    """
    check_text(path, suffix=".json", overwrite=overwrite)
    divisions = dict(lineage or {})
    roots_of(divisions)
    count, height, width = shape_of(labels)
    annotations = list(_annotations(labels))
    tracks = [
        {"id": one, "category_id": 1, "video_id": 1, **_origin(one, divisions)}
        for one in sorted({row["track_id"] for row in annotations})
    ]
    content = {
        "info": {"description": name, "contributor": "napari-sam-i2v"},
        "videos": [{"id": 1, "name": name, "length": count, "height": height, "width": width}],
        "images": [
            {"id": t, "file_name": f"{name}#{t}", "height": height, "width": width,
             "video_id": 1, "frame_id": t}
            for t in range(count)
        ],
        "categories": [{"id": 1, "name": "object", "supercategory": "object"}],
        "tracks": tracks,
        "annotations": annotations,
    }  # fmt: skip
    return write_text(path, json.dumps(content, allow_nan=False) + "\n", overwrite=overwrite)


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of runs of 0 and 1 in turn, down the columns of a mask (Y, X); the first is of 0."""
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    first = [0] if pixels[0] else []
    edges = [0, *first, *changes.tolist(), pixels.size]
    return np.diff(edges).tolist()


def compressed_counts(counts: Sequence[int]) -> str:
    """Write run lengths the way COCO does: 5 bits a character, from the fourth on as differences.

    Each number is written from its lowest bits up, with a sixth bit where more follow, as the
    character 48 places on in ASCII. From the fourth on it is the difference to the last but one.
    """
    text = []
    for k, count in enumerate(counts):
        number = int(count) - (int(counts[k - 2]) if k > 2 else 0)
        more = True
        while more:
            bits = number & 0x1F
            number >>= 5
            more = number != (-1 if bits & 0x10 else 0)
            text.append(chr(48 + (bits | 0x20 if more else bits)))
    return "".join(text)


def _annotations(labels: Any) -> Iterator[dict[str, Any]]:
    serial = 0
    for t, plane in enumerate(planes_of(labels, fitting_dtype(labels))):
        for one, box in boxes_of(plane):
            serial += 1
            yield {"id": serial, "image_id": t, "track_id": one, **_mask_entry(plane, one, box)}


def _mask_entry(plane: NDArray[Any], one: int, box: Box) -> dict[str, Any]:
    rows, columns = box
    inside = plane[:, columns] == one  # whole columns: their runs are the mask's
    height, width = plane.shape
    counts = run_lengths(inside)
    before, after = columns.start * height, (width - columns.stop) * height
    counts[0] += before
    if after and len(counts) % 2:
        counts[-1] += after
    elif after:
        counts.append(after)
    return {
        "category_id": 1,
        "video_id": 1,
        "segmentation": {"size": [height, width], "counts": compressed_counts(counts)},
        "area": int(np.count_nonzero(inside)),
        "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
        "iscrowd": 0,
    }


def _origin(one: int, divisions: Lineage) -> dict[str, int]:
    if one not in divisions:
        return {}
    parent, frame = divisions[one]
    return {"parent_id": parent, "division_frame": frame}
