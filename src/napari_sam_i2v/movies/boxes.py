"""The objects of a frame of labels, each with the box around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Above this, a list with an entry per possible id costs more than sorting the ids there are.
_LARGE_ID = 65_535

Box = tuple[slice, slice]


def boxes_of(plane: NDArray[Any]) -> Iterator[tuple[int, Box]]:
    """Give each object id of a frame (Y, X) from 1 up, ascending, with its rows and columns."""
    if int(plane.max()) <= _LARGE_ID:
        found = enumerate(ndimage.find_objects(plane.astype(np.int32, copy=False)), start=1)
        yield from ((one, box) for one, box in found if box is not None)
        return
    ids, numbers = np.unique(plane, return_inverse=True)
    boxes = ndimage.find_objects(numbers.reshape(plane.shape) + 1)
    yield from ((one, box) for one, box in zip(ids.tolist(), boxes, strict=True) if one)
