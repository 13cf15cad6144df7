"""Which of them is it? Objects that were found on one and the same thing settle whose it is.

Every object is tracked by its own memory. Among things that look alike, two objects can end up on
one of them, and its neighbour on none. Then each is asked for more than one answer, and things
are shared out: every object gets one, no thing is given twice, and the whole is as likely as
can be. Objects that nobody disputes stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.seen import Seen, centre_of, size_likeness

__all__ = ["Claims", "Contest"]

SAME = 0.5
"""Share of the smaller of two masks that both have if they are of the same thing."""
NESTED = 4.0
"""Ratio of areas from which the smaller of two things is a part of the larger instead,"""
SWOLLEN = 1.3
"""unless the larger has grown by this factor since it was seen last."""
REACH = 1.2
"""How far objects go between frames, in units of the square root of their area."""
SECOND_HAND = 0.7
"""Weight of a thing that another object was found on, and this one was not."""
LEAST = 0.02
"""Likelihood from which a thing is given to an object at all."""
NO_ONE = -1
"""Owner of a thing that is given."""

Claims = Mapping[int, Sequence[ObjectMask]]
"""Object -> its possible masks on a frame; those without a pixel claim nothing."""
_Owned = tuple[int, ObjectMask]


class Contest:
    """What objects claim on one frame.

    Parameters
    ----------
    seen
        Where each object was last seen.
    index
        The frame, in the direction of the pass.
    given
        Masks of things that belong to others for certain.
    """

    def __init__(
        self, seen: Mapping[int, Seen | None], index: int, given: Sequence[ObjectMask] = ()
    ) -> None:
        self.seen, self.index = seen, index
        self._given: list[_Owned] = [(NO_ONE, mask) for mask in given if mask.area]

    def disputed(self, claims: Claims) -> set[int]:
        """Objects that claim what another one claims, too, or what is given."""
        pairs = [(i, mask) for i, masks in claims.items() for mask in masks if mask.area]
        pairs += self._given
        if len(pairs) < 2:
            return set()
        y0, x0, y1, x1 = np.array([mask.box for _, mask in pairs]).T
        meet = (y0[:, None] < y1) & (x0[:, None] < x1)
        found: set[int] = set()
        for a, b in np.argwhere(np.triu(meet & meet.T, 1)).tolist():
            if pairs[a][0] != pairs[b][0] and self._is_same(pairs[a], pairs[b]):
                found |= {pairs[a][0], pairs[b][0]}
        return found - {NO_ONE}

    def is_given(self, mask: ObjectMask) -> bool:
        """Whether a mask is one and the same with a thing that belongs to others for certain."""
        return any(mask.is_same_as(one) for _, one in self._given)

    def share_out(self, claims: Claims, others: Claims) -> dict[int, tuple[int, int]]:
        """Give things to objects, each to one, so that the sum of likelihoods is largest.

        Parameters
        ----------
        claims
            Of the objects that dispute something.
        others
            Of those that do not, and keep what they claim.

        Returns
        -------
        dict
            Object -> the claim that it gets, as (object, place among that object's claims):
            mostly one of its own. Objects for which nothing is left are missing.
        """
        objects, things = sorted(claims), self._things(claims, others)
        worth = np.zeros((len(objects), len(things)))
        best: dict[tuple[int, int], tuple[int, int]] = {}
        for row, i in enumerate(objects):
            for column, (j, m) in enumerate(things):
                worth[row, column], best[row, column] = self._claim(claims, i, (j, m))
        rows, columns = linear_sum_assignment(worth, maximize=True)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return {objects[r]: best[r, c] for r, c in pairs if worth[r, c] > LEAST}

    def _things(self, claims: Claims, others: Claims) -> list[tuple[int, int]]:
        """Claims that are of different things, the surest of each, as (object, place)."""
        known = [*self._given, *((i, mask) for i, masks in others.items() for mask in masks)]
        ranked = sorted(
            (-mask.claim, i, k)
            for i, masks in claims.items()
            for k, mask in enumerate(masks)
            if mask.area
        )
        things: list[tuple[int, int]] = []
        for _, i, k in ranked:
            thing = (i, claims[i][k])
            if not any(self._is_same(thing, other) for other in known):
                things.append((i, k))
                known.append(thing)
        return things

    def _claim(
        self, claims: Claims, i: int, thing: tuple[int, int]
    ) -> tuple[float, tuple[int, int]]:
        """How likely a thing is object `i`, and the claim that says so: its own if it has one."""
        j, m = thing
        own = [
            (self._likelihood(i, mask), -k)
            for k, mask in enumerate(claims[i])
            if mask.area and self._is_same((i, mask), (j, claims[j][m]))
        ]
        if own:
            likely, place = max(own)
            return likely, (i, -place)
        return SECOND_HAND * self._likelihood(i, claims[j][m]), thing

    def _likelihood(self, i: int, mask: ObjectMask) -> float:
        """How likely a mask is object `i`: sure, near to where it was, and of the same size."""
        seen = self.seen[i]
        if seen is None:
            return mask.claim
        y, x = centre_of(mask)
        reach = REACH * math.sqrt(seen.area * max(1, self.index - seen.index))
        near = math.exp(-((y - seen.y) ** 2 + (x - seen.x) ** 2) / reach**2)
        return mask.claim * near * size_likeness(mask.area, seen.area)

    def _is_same(self, one: _Owned, other: _Owned) -> bool:
        """Whether two masks are of the same thing."""
        (_, small), (i, large) = sorted((one, other), key=lambda owned: owned[1].area)
        seen = self.seen.get(i)
        swollen = seen is not None and large.area > SWOLLEN * seen.area
        if large.area >= NESTED * small.area and not swollen:
            return False
        return small.common(large) > SAME * small.area
