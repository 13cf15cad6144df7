"""Where an object may have divided: its mask falls into two parts, and stays so.

Nothing is changed: a proposal is for a person to look at and to accept or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.boxes import boxes_of

__all__ = [
    "LASTING",
    "SMALLEST_PART",
    "ProposedDivision",
    "as_json",
    "propose_divisions",
    "two_parts",
]

LASTING = 3
"""Frames for which two parts must stay apart: a mask that flickers does so for one or two."""
SMALLEST_PART = 0.2
"""Share of the object's pixels below which a part is a fragment and no daughter."""

_TOUCHING = np.ones((3, 3), bool)
"""Pixels that touch by a corner are one part."""

Place = tuple[float, float]


@dataclass(frozen=True)
class ProposedDivision:
    """An object that is in two parts from a frame on.

    Attributes
    ----------
    object_id
        Whose mask it is.
    frame
        The first on which it is in two: the daughters' first.
    places
        (y, x) of a pixel inside each part there, in pixels; the larger part first.
    areas
        Of the two parts there, in pixels.
    """

    object_id: int
    frame: int
    places: tuple[Place, Place]
    areas: tuple[int, int]


def propose_divisions(
    labels: Any, *, lasting: int = LASTING, smallest: float = SMALLEST_PART
) -> list[ProposedDivision]:
    """Find objects whose masks fall into two lasting parts, reading one frame at a time.

    An object divides on a frame if it was whole before, that is, on the last earlier frame on
    which it is there, no second part had `smallest` of its pixels; if on that frame and the
    `lasting` - 1 after it two parts each have that share; and if each of the two is nearest to
    another one of the frame before. An object that is absent for a frame meanwhile, or whole
    again, has not divided.

    Parameters
    ----------
    labels
        Object ids (T, Y, X), 0 is background; anything with `shape` and ``labels[t]``.
    lasting
        Frames, at least 1. Parts in the last frames of a movie, fewer than these, do not last.
    smallest
        Share of the object's pixels on its frame, above 0 and up to one half.

    Returns
    -------
    list of ProposedDivision
        By frame and object; of an object that is whole again meanwhile there may be several.

    Raises
    ------
    InputError
        If the labels are not (T, Y, X), or a number is out of its range.
    """
    if len(labels.shape) != 3:
        raise InputError(f"labels need the shape (T, Y, X), got {tuple(labels.shape)}")
    if lasting < 1 or not 0 < smallest <= 0.5:
        raise InputError(
            "a division needs lasting >= 1 frames and parts of 0 < smallest <= 0.5, got "
            f"{lasting} and {smallest}"
        )
    found: list[ProposedDivision] = []
    watched: dict[int, _Watch] = {}
    for t in range(int(labels.shape[0])):
        here = dict(_objects(np.asarray(labels[t]), t, smallest))
        for one, parts in here.items():
            watched[one] = now = _next(watched.get(one), parts)
            if len(now.seen) == lasting:
                found.append(_proposal(one, now.seen[0]))
        for one in [one for one in watched if one not in here]:
            watched[one] = _Watch(whole=watched[one].whole)
    return sorted(found, key=lambda one: (one.frame, one.object_id))


def two_parts(
    plane: NDArray[Any], object_id: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Give the two largest parts of an object on a frame as masks (Y, X), the larger first.

    None where it is whole, or not there.
    """
    parts, count = ndimage.label(plane == object_id, structure=_TOUCHING)
    if count < 2:
        return None
    areas = np.bincount(parts.ravel())[1:]
    first, second = np.argsort(-areas, kind="stable")[:2].tolist()
    return parts == first + 1, parts == second + 1


def as_json(proposals: Sequence[ProposedDivision]) -> str:
    """Write proposals as a JSON list of objects with the attributes of `ProposedDivision`."""
    return json.dumps([asdict(one) for one in proposals], indent=1) + "\n"


@dataclass(frozen=True)
class _Part:
    frame: int
    area: int
    middle: Place
    inside: Place


@dataclass(frozen=True)
class _Watch:
    """What an object did lately.

    Attributes
    ----------
    whole
        Whether it was in one part when it was last in one or in two.
    seen
        The two parts on each frame since it fell apart; empty if it did not, or gave up.
    """

    whole: bool
    seen: tuple[tuple[_Part, _Part], ...] = ()


def _next(before: _Watch | None, parts: list[_Part]) -> _Watch:
    if len(parts) < 2:
        return _Watch(whole=True)
    a, b = parts[:2]
    if before is None or not (before.whole or before.seen):
        return _Watch(whole=False)
    if before.seen and not _pair_up(before.seen[-1], (a, b)):
        return _Watch(whole=False)
    return _Watch(whole=False, seen=(*before.seen, (a, b)))


def _pair_up(old: tuple[_Part, _Part], new: tuple[_Part, _Part]) -> bool:
    """Whether each of the new parts is nearest to another one of the old."""
    here, there = (np.array([one.middle for one in pair]) for pair in (new, old))
    nearest = np.linalg.norm(here[:, None] - there[None], axis=2).argmin(axis=1)
    return bool(nearest[0] != nearest[1])


def _proposal(object_id: int, parts: tuple[_Part, _Part]) -> ProposedDivision:
    a, b = parts
    return ProposedDivision(object_id, a.frame, (a.inside, b.inside), (a.area, b.area))


def _objects(plane: NDArray[Any], frame: int, smallest: float) -> Iterator[tuple[int, list[_Part]]]:
    """The objects of a frame, each with its parts that are large enough, the largest first."""
    for one, (rows, columns) in boxes_of(plane):
        mask = plane[rows, columns] == one
        yield one, _parts(mask, frame, (rows.start, columns.start), smallest)


def _parts(
    mask: NDArray[np.bool_], frame: int, corner: tuple[int, int], smallest: float
) -> list[_Part]:
    parts, count = ndimage.label(mask, structure=_TOUCHING)
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    least = smallest * areas.sum()
    large = [k for k in np.argsort(-areas, kind="stable").tolist() if areas[k] >= least]
    return [_part(parts == k + 1, frame, corner) for k in large]


def _part(part: NDArray[np.bool_], frame: int, corner: tuple[int, int]) -> _Part:
    pixels = np.argwhere(part)
    middle = pixels.mean(axis=0)
    nearest = pixels[np.linalg.norm(pixels - middle, axis=1).argmin()]
    (y, x), (row, column) = middle + corner, nearest + corner
    return _Part(frame, len(pixels), (float(y), float(x)), (float(row), float(column)))
