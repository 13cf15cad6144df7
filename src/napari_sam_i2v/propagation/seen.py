"""Where an object was seen last, and how well what is found on the next frame goes with that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.view import Box, box_overlap

__all__ = ["Seen", "centre_of", "size_likeness"]

PLACE, SIZE = 0.5, 0.25
"""Exponents of the overlap of boxes and of the ratio of areas."""
ELSEWHERE = 0.2
"""What counts as overlap where there is none: objects may move by more than their own length."""
UNSTEADY = 0.5
"""Exponent of steadiness in the overlap with the truth that is to be expected."""
DOUBT = 0.9
"""Share of an earlier doubt that is left on the next frame."""


@dataclass(frozen=True)
class Seen:
    """Where an object was last seen.

    Attributes
    ----------
    y, x
        Centre, in pixels.
    area
        In pixels.
    box
        (y0, x0, y1, x1) in pixels, ends exclusive.
    index
        The frame, in the direction of the pass.
    iou
        Overlap with the truth, 0 .. 1, that was to be expected.
    """

    y: float
    x: float
    area: int
    box: Box
    index: int
    iou: float = 1.0

    @classmethod
    def of(cls, found: ObjectMask, index: int) -> Seen:
        """Describe a mask, which must not be empty."""
        y, x = centre_of(found)
        return cls(y, x, found.area, found.box, index, found.iou)

    def steadiness(self, box: Sequence[float], area: float) -> float:
        """How little a mask has moved and grown or shrunk since, above 0 to 1.

        Parameters
        ----------
        box
            (y0, x0, y1, x1) of the mask in pixels.
        area
            In pixels, more than 0.
        """
        overlap = ELSEWHERE + (1 - ELSEWHERE) * box_overlap(self.box, box)
        return float(overlap**PLACE * size_likeness(area, self.area) ** SIZE)

    def expected_iou(self, found: ObjectMask) -> float:
        """Overlap with the truth, 0 .. 1, to be expected of what is found next.

        The network's guess knows the frame alone. A mask that has jumped or changed its size is
        worth less, and what follows from a doubtful mask is hardly less doubtful itself: an
        object that was lost mostly stays lost, however sure the network is of what it has now.
        """
        guess = found.iou * self.steadiness(found.box, found.area) ** UNSTEADY
        return min(guess, DOUBT * self.iou + (1 - DOUBT) * guess)


def size_likeness(one: float, other: float) -> float:
    """Ratio, 0 .. 1, of the smaller of two areas, of which one is not 0, to the larger."""
    return min(one, other) / max(one, other)


def centre_of(found: ObjectMask) -> tuple[float, float]:
    """Centre (y, x) of a mask that is not empty."""
    rows, columns = found.mask.sum(axis=1), found.mask.sum(axis=0)
    y, x = (float(np.average(np.arange(len(n)), weights=n)) for n in (rows, columns))
    return y + found.box[0], x + found.box[1]
