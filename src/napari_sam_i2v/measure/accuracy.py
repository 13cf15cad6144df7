"""Accuracy of tracked labels against the truth: J and F as in the DAVIS benchmark, per object.

J is the area of overlap of two masks over the area of their union. F is the harmonic mean of
precision and recall of boundary pixels; two boundaries match within 0.008 of the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_i2v.errors import InputError

__all__ = [
    "MATCH_WITHIN",
    "TRACKED_FROM",
    "Accuracy",
    "ObjectAccuracy",
    "boundary_f",
    "jaccard",
    "measure_accuracy",
]

MATCH_WITHIN = 0.008
"""Largest distance of matching boundaries, as a share of the image diagonal."""
TRACKED_FROM = 0.5
"""An object counts as tracked from this mean J on."""

Mask = NDArray[np.bool_]
_Rows = dict[int, tuple[float, float]]


@dataclass(frozen=True)
class ObjectAccuracy:
    """One object over the frames on which the truth has it.

    Attributes
    ----------
    j, f
        Means over those frames, 0 .. 1; a frame without a prediction counts 0.
    frames
        How many they are.
    false_presence
        On how many further frames the object was predicted although the truth lacks it.
    frame_j
        Frame -> J, for each of those frames.
    """

    j: float
    f: float
    frames: int
    false_presence: int
    frame_j: Mapping[int, float] = field(default_factory=dict)

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of all objects; every object weighs the same."""

    objects: Mapping[int, ObjectAccuracy]

    @property
    def j(self) -> float:
        """Mean J of the objects."""
        return float(np.mean([one.j for one in self.objects.values()]))

    @property
    def f(self) -> float:
        """Mean F of the objects."""
        return float(np.mean([one.f for one in self.objects.values()]))

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2

    @property
    def tracked(self) -> float:
        """Share of objects whose J is at least `TRACKED_FROM`."""
        return float(np.mean([one.j >= TRACKED_FROM for one in self.objects.values()]))


def measure_accuracy(
    labels: Any,
    truth: Any,
    *,
    starts: Mapping[int, int],
    frames: Iterable[int] | None = None,
) -> Accuracy:
    """Compare labels with the truth, object by object, reading one frame at a time.

    Parameters
    ----------
    labels, truth
        (T, Y, X) integers; anything whose ``[t]`` gives a frame. The same object has the same
        id in both.
    starts
        Object id -> frame from which it is judged (its first prompt's, that frame included).
    frames
        Frames on which the truth is complete; all of them where not given.

    Raises
    ------
    InputError
        If the shapes differ, no object is named, or the truth never shows one of them.
    """
    if tuple(labels.shape) != tuple(truth.shape) or len(truth.shape) != 3:
        raise InputError(
            "Labels and truth must have one shape (T, Y, X); got "
            f"{tuple(labels.shape)} and {tuple(truth.shape)}."
        )
    if not starts:
        raise InputError("Name at least one object to measure, with its first frame.")
    scores: dict[int, _Rows] = {ident: {} for ident in sorted(starts)}
    false: dict[int, int] = dict.fromkeys(scores, 0)
    for t in range(truth.shape[0]) if frames is None else sorted(set(frames)):
        found, real = np.asarray(labels[t]), np.asarray(truth[t])
        for ident in (one for one in scores if t >= starts[one]):
            score = _score(found == ident, real == ident)
            if score is not None:
                scores[ident][t] = score
            else:
                false[ident] += int((found == ident).any())
    if never := [ident for ident, rows in scores.items() if not rows]:
        raise InputError(
            f"The truth shows object {', '.join(map(str, never))} on no frame from its start on."
        )
    return Accuracy({i: _summary(rows, false[i]) for i, rows in scores.items()})


def jaccard(found: Mask, truth: Mask) -> float:
    """Overlap over union of two masks (Y, X); 1 where both are empty."""
    union = int(np.count_nonzero(found | truth))
    return int(np.count_nonzero(found & truth)) / union if union else 1.0


def boundary_f(found: Mask, truth: Mask, *, within: float | None = None) -> float:
    """F-measure of the boundaries of two masks (Y, X).

    Parameters
    ----------
    found, truth
        The masks; 1 is returned where neither has a boundary, 0 where only one has.
    within
        Largest distance in pixels of matching boundary pixels; by default `MATCH_WITHIN` of the
        diagonal, rounded up.
    """
    reach = math.ceil(MATCH_WITHIN * math.hypot(*truth.shape)) if within is None else within
    area = _surroundings(found | truth)
    edge_found, edge_truth = _edge(found[area]), _edge(truth[area])
    if not (edge_found.any() and edge_truth.any()):
        return 1.0 if edge_found.any() == edge_truth.any() else 0.0
    precision = _share_near(edge_found, edge_truth, reach)
    recall = _share_near(edge_truth, edge_found, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _score(found: Mask, truth: Mask) -> tuple[float, float] | None:
    """(J, F) on one frame; None where the truth lacks the object."""
    if not truth.any():
        return None
    # An empty prediction is worth nothing, also where the truth fills the frame (no boundary).
    return jaccard(found, truth), boundary_f(found, truth) if found.any() else 0.0


def _summary(rows: _Rows, false_presence: int) -> ObjectAccuracy:
    j, f = np.mean(list(rows.values()), axis=0)
    frame_j = {t: score[0] for t, score in rows.items()}
    return ObjectAccuracy(float(j), float(f), len(rows), false_presence, frame_j)


def _surroundings(mask: Mask) -> tuple[slice, slice]:
    """Bounding box of a mask and two pixels around it: all boundary pixels lie inside."""
    if not mask.any():
        return slice(0, 1), slice(0, 1)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = (slice(max(int(at[0]) - 2, 0), int(at[-1]) + 3) for at in (rows, columns))
    return y, x


def _edge(mask: Mask) -> Mask:
    """Pixels that differ from their right, lower or lower right neighbour."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _share_near(edge: Mask, other: Mask, reach: float) -> float:
    """Share of the pixels of one boundary that lie within `reach` of the other."""
    distance = ndimage.distance_transform_edt(~other)
    return float((distance[edge] <= reach).mean())
