"""Where masks of several objects become one label image: the only place that settles overlaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.propagation.engine import ObjectMask

__all__ = ["compose_labels"]


def compose_labels(
    plane: NDArray[Any], masks: Mapping[int, ObjectMask]
) -> NDArray[np.unsignedinteger[Any]]:
    """Write masks into a label image (Y, X) and return the new one.

    Objects that are not among `masks` keep every pixel they have. A pixel that several of
    `masks` claim goes to the one with the highest mask logit there, and on a tie to the smaller
    object id, whatever the order.
    """
    result = np.array(plane)
    result[np.isin(result, list(masks))] = 0
    free = result == 0
    best = np.full(plane.shape, -np.inf, np.float16)
    for object_id in sorted(masks):
        found = masks[object_id]
        y0, x0, y1, x1 = found.box
        area = (slice(y0, y1), slice(x0, x1))
        wins = found.mask & free[area] & (found.logits > best[area])
        result[area][wins] = object_id
        best[area][wins] = found.logits[wins]
    return result
