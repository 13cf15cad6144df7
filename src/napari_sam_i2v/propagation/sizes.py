"""How large is what was clicked? Cells of one movie mostly are of about one size.

A first click says where an object is, and not how large: a nucleus, the cell around it, or a clump
of cells. Objects that were pointed out before say what is more likely.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_sam_i2v.propagation.compose import label_masks
from napari_sam_i2v.propagation.prompts import PromptBook
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import box_size

__all__ = ["ALIKE", "found_sizes", "size_weight", "usual_size"]

ALIKE = 16
"""How many other objects are asked, at most."""
ENOUGH = 3
"""How many of them must have been found, at least."""
NEAR = 1.5
"""Half of them must be within this factor of their median: else there is no usual size."""
SPREAD = 0.5
"""Standard deviation of the logarithm of a size, about what cells of one kind have, and more."""
LEAST = 0.6
"""Weight of a size that is as unlike as can be: there are exceptions, and other kinds of object."""


def found_sizes(
    objects: Iterable[int], tracks: Sequence[Mapping[int, Track]], prompts: PromptBook, labels: Any
) -> list[float]:
    """Longer sides of objects where they were prompted, of those that were found there.

    Parameters
    ----------
    objects
        Which.
    tracks
        For each direction of time, object id -> what is remembered of it.
    prompts, labels
        Of the session; labels (T, Y, X) are asked where nothing is remembered.

    Returns
    -------
    list
        In pixels, in no particular order.
    """
    sizes: list[float] = []
    elsewhere: dict[int, list[int]] = {}
    for object_id in objects:
        known = [some[object_id] for some in tracks if object_id in some]
        masks = (answer.paste() for track in known for answer in track.answers.values())
        mask = next((mask for mask in masks if mask.area), None)
        if mask is not None:
            sizes.append(box_size(mask.box))
        elif shown := prompts.shown(object_id):
            elsewhere.setdefault(shown[0], []).append(object_id)
    for frame, some in elsewhere.items():
        sizes += [box_size(mask.box) for mask in label_masks(np.asarray(labels[frame]), some)]
    return sizes


def usual_size(sizes: Sequence[float]) -> float | None:
    """Median of some objects' sizes, if they have one in common; None if they do not."""
    if len(sizes) < ENOUGH:
        return None
    usual = float(np.median(sizes))
    near = [max(size, usual) <= NEAR * min(size, usual) for size in sizes]
    return usual if 2 * sum(near) >= len(near) else None


def size_weight(size: float, usual: float) -> float:
    """How well a size goes with a usual one: 1 if it is the same, `LEAST` if it is far from it."""
    return max(math.exp(-0.5 * (math.log(size / usual) / SPREAD) ** 2), LEAST)
