"""Who comes from whom: stretches of presence, and links between objects on their frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError

__all__ = [
    "Lineage",
    "LinkGraph",
    "Stretch",
    "link_graph",
    "roots_of",
    "stretches_of",
]

Lineage = Mapping[int, tuple[int, int]]
"""Daughter id -> (parent id, frame of the division: the daughter's first)."""

Presence = Mapping[int, Sequence[int]]
"""Object id -> frames on which it is, ascending."""


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames of one object: what the Cell Tracking Challenge calls a track.

    Attributes
    ----------
    track_id
        From 1; the object's own id for its first stretch, where ids fit 16 bits.
    object_id
        Whose.
    first, last
        Frames, both included.
    parent_id
        Track that it goes on from: the mother's, or the object's own before a gap; 0 if none.
    """

    track_id: int
    object_id: int
    first: int
    last: int
    parent_id: int = 0


@dataclass(frozen=True, eq=False)
class LinkGraph:
    """Object-frames and the links between them.

    Attributes
    ----------
    order
        (N,) rows of the columns that it was made of, by object and then frame: the nodes.
    links
        (E, 2) nodes, the earlier first.
    tracklet, family
        (N,) from 1: number of the unbranched path, and of the connected part, that a node is in.
    """

    order: NDArray[np.int64]
    links: NDArray[np.int64]
    tracklet: NDArray[np.int64]
    family: NDArray[np.int64]


def stretches_of(
    presence: Presence, lineage: Lineage | None = None, *, largest: int = 65_535
) -> list[Stretch]:
    """Cut objects into unbroken tracks, each with the track that it goes on from.

    A mother who is still there on her daughter's first frame is cut there: a parent has to end
    before its children begin. A daughter whose mother is on no earlier frame has no parent.

    Parameters
    ----------
    presence
        Object id -> frames on which it is, ascending; none are left out.
    lineage
        Divisions.
    largest
        Tracks are numbered 1, 2, 3, ... where an object's id or a further number exceeds this.

    Returns
    -------
    list of Stretch
        By track id.

    Raises
    ------
    InputError
        If an object is its own ancestor, or there are more than `largest` tracks.
    """
    there = {one: frames for one, frames in sorted(presence.items()) if len(frames)}
    mothers = _mothers(there, lineage)
    cuts: dict[int, set[int]] = {}
    for daughter, (mother, _) in mothers.items():
        cuts.setdefault(mother, set()).add(there[daughter][0])
    runs = {one: _runs(frames, cuts.get(one, set())) for one, frames in there.items()}
    numbers = _numbers(runs, largest)
    found = []
    for one, spans in runs.items():
        for k, (first, last) in enumerate(spans):
            parent = numbers[one, k - 1] if k else 0
            if not k and one in mothers:
                mother, until = mothers[one]
                at = next(i for i, (_, end) in enumerate(runs[mother]) if end >= until)
                parent = numbers[mother, at]
            found.append(Stretch(numbers[one, k], one, first, last, parent))
    return sorted(found, key=lambda stretch: stretch.track_id)


def link_graph(columns: Mapping[str, NDArray[Any]], lineage: Lineage | None = None) -> LinkGraph:
    """Link every object-frame to the object's next one, and mothers to their daughters.

    Parameters
    ----------
    columns
        Measurements with `object_id` and `frame`, in any order.
    lineage
        Divisions; one whose mother is on no frame before the daughter's first is left out.

    Raises
    ------
    InputError
        If there are no rows, an object has a frame twice, or is its own ancestor.
    """
    ids, frames = (np.asarray(columns[name], np.int64) for name in ("object_id", "frame"))
    if not ids.size:
        raise InputError("there is no object on any frame: track something first")
    order = np.lexsort((frames, ids))
    ids, frames = ids[order], frames[order]
    follows = np.flatnonzero(ids[1:] == ids[:-1])
    _check_once(ids, frames, follows)
    node = {key: k for k, key in enumerate(zip(ids.tolist(), frames.tolist(), strict=True))}
    presence: dict[int, list[int]] = {}
    for one, frame in node:
        presence.setdefault(one, []).append(frame)
    births = [
        (node[mother, until], node[daughter, presence[daughter][0]])
        for daughter, (mother, until) in _mothers(presence, lineage).items()
    ]
    own = np.stack([follows, follows + 1], axis=1)
    links = np.concatenate([own, np.array(births, np.int64).reshape(-1, 2)])
    return LinkGraph(order, links, *_parts(len(order), links))


def roots_of(lineage: Lineage) -> dict[int, int]:
    """Give the oldest ancestor of every daughter.

    Raises
    ------
    InputError
        If an object is its own ancestor.
    """
    return {daughter: _root(daughter, lineage) for daughter in lineage}


def _root(object_id: int, lineage: Lineage) -> int:
    seen = [object_id]
    while seen[-1] in lineage:
        parent = lineage[seen[-1]][0]
        if parent in seen:
            raise InputError(
                f"object {parent} cannot be its own ancestor: remove one of the divisions of "
                f"{', '.join(str(one) for one in seen)}"
            )
        seen.append(parent)
    return seen[-1]


def _mothers(presence: Presence, lineage: Lineage | None) -> dict[int, tuple[int, int]]:
    """Daughter -> (mother, her last frame before the daughter's first), where both are there."""
    divisions = dict(lineage or {})
    roots_of(divisions)
    found = {}
    for daughter, (mother, _) in sorted(divisions.items()):
        if daughter not in presence or mother not in presence:
            continue
        earlier = [frame for frame in presence[mother] if frame < presence[daughter][0]]
        if earlier:
            found[daughter] = (mother, earlier[-1])
    return found


def _runs(frames: Sequence[int], cuts: set[int]) -> list[tuple[int, int]]:
    """First and last frames of unbroken runs; a cut begins a new one."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame - 1 and frame not in cuts:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs


def _numbers(
    runs: Mapping[int, Sequence[tuple[int, int]]], largest: int
) -> dict[tuple[int, int], int]:
    """(object id, which of its runs) -> track id."""
    firsts = [(one, 0) for one in runs]
    rest = [(one, k) for one, spans in runs.items() for k in range(1, len(spans))]
    count, top = len(firsts) + len(rest), max(runs, default=0)
    if count > largest:
        raise InputError(
            f"{count} tracks do not fit a format that numbers at most {largest}: save some of "
            "the objects"
        )
    if top + len(rest) > largest:
        return {key: k for k, key in enumerate(firsts + rest, start=1)}
    return {key: key[0] for key in firsts} | {key: top + k for k, key in enumerate(rest, start=1)}


def _parts(count: int, links: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number unbranched paths and connected parts, from 1."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    out = np.bincount(links[:, 0], minlength=count)
    unbranched = links[out[links[:, 0]] == 1]  # a node has one parent at most
    numbers = []
    for some in (unbranched, links):
        ones = np.ones(len(some), np.int8)
        graph = coo_array((ones, (some[:, 0], some[:, 1])), shape=(count, count))
        numbers.append(connected_components(graph, directed=False)[1].astype(np.int64) + 1)
    return numbers[0], numbers[1]


def _check_once(
    ids: NDArray[np.int64], frames: NDArray[np.int64], follows: NDArray[np.intp]
) -> None:
    twice = follows[frames[follows] == frames[follows + 1]]
    if twice.size:
        raise InputError(
            f"an object has one place per frame, object {ids[twice[0]]} has two on "
            f"{frames[twice[0]]}"
        )
