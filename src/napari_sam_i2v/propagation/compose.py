"""Where masks of several objects become one label image: the only place that settles overlaps."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.prompts import MAX_OBJECT_ID
from napari_sam_i2v.propagation.view import Box

__all__ = ["compose_labels", "label_masks"]

SHARED = 0.1
"""An object that loses more than this share of its mask to better ones leaves them the overlap."""
BEHIND = 0.999
"""Factor of a claim that puts an object just behind another one."""
FADING = 0.97
"""Factor of a claim per frame since the nearest prompt, where objects compete."""


def compose_labels(
    plane: NDArray[Any],
    masks: Mapping[int, ObjectMask],
    distances: Mapping[int, int] | None = None,
    clicks: Mapping[int, NDArray[np.floating]] | None = None,
) -> NDArray[np.unsignedinteger[Any]]:
    """Write masks into a label image (Y, X) and return the new one.

    Objects that are not among `masks` keep every pixel they have. The others are written in the
    order of their claims (the smaller object id on a tie), whatever the order of `masks`.
    What a user has pointed at on this frame belongs to that object: others that were found on
    most of it come after it, and of what two clicked objects have in common, each gets what is
    nearer to its own clicks there.
    Neighbours that overlap a little meet where their mask logits are equal. A larger overlap
    goes to the object of the stronger claim as a whole: pixel by pixel it would be torn apart.

    Parameters
    ----------
    plane
        (Y, X) labels as they are.
    masks
        Object id -> mask, with its claim.
    distances
        Object id -> frames to its nearest prompt; 0 where it is prompted. A claim fades with
        it: of two objects that claim the same thing, the one that was pointed at more recently
        has had less time to go astray.
    clicks
        Object id -> (N, 2) positive points (y, x) on this frame.
    """
    kept = _without(plane, masks)
    masks = _parted(masks, clicks or {})
    result = kept.copy()
    # Read only where an object was written before: large frames are not touched elsewhere.
    best = np.empty(plane.shape, np.float16)
    far = distances or {}
    weight = {i: mask.claim * FADING ** far.get(i, 0) for i, mask in masks.items()}
    pointed_at = [i for i in masks if far.get(i) == 0]
    for i, other in itertools.product(pointed_at, masks.keys() - set(pointed_at)):
        if masks[other].common(masks[i]) > 0.5 * masks[i].area:
            weight[other] = min(weight[other], BEHIND * weight[i])
    for object_id in sorted(masks, key=lambda i: (-weight[i], i)):
        found = masks[object_id]
        y0, x0, y1, x1 = found.box
        area = (slice(y0, y1), slice(x0, x1))
        mine = found.mask & (kept[area] == 0)
        taken = mine & (result[area] != 0)
        if taken.sum() > SHARED * mine.sum():
            wins = mine & ~taken
        else:
            wins = mine & (~taken | (found.logits > best[area]))
        result[area][wins] = object_id
        best[area][wins] = found.logits[wins]
    return result


def _parted(
    masks: Mapping[int, ObjectMask], clicks: Mapping[int, NDArray[np.floating]]
) -> dict[int, ObjectMask]:
    """Masks without what is nearer to another object's click, where both were found."""
    parted = dict(masks)
    for i, j in _overlapping({i: masks[i] for i in sorted(clicks) if i in masks}):
        one, other = masks[i], masks[j]
        box = one.common_box(other)
        if box is None:
            continue
        # A click that lies on one of the masks alone does not say which the rest belongs to.
        near = [
            _nearest(points[one.holds(points) & other.holds(points)], box)
            for points in (clicks[i], clicks[j])
        ]
        if np.isinf(near).all():
            continue
        common = one.part(box) & other.part(box)
        parted[i] = _less(parted[i], box, common & (near[0] > near[1]))
        parted[j] = _less(parted[j], box, common & (near[0] <= near[1]))
    return parted


def _overlapping(masks: Mapping[int, ObjectMask]) -> Iterator[tuple[int, int]]:
    """Pairs of objects whose boxes overlap."""
    ids = list(masks)
    boxes = np.array([masks[i].box for i in ids]).reshape(-1, 4)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    meet = (np.maximum(low, boxes[:, :2]) < np.minimum(high, boxes[:, 2:])).all(axis=-1)
    for a, b in np.argwhere(np.triu(meet, k=1)).tolist():
        yield ids[a], ids[b]


def _nearest(points: NDArray[np.floating], box: Box) -> NDArray[np.floating]:
    """Squared distance of each pixel of a box to the nearest of points; infinite without any."""
    y, x = np.ogrid[box[0] : box[2], box[1] : box[3]]
    near = np.full((box[2] - box[0], box[3] - box[1]), np.inf)
    for at_y, at_x in points:
        np.minimum(near, (y - at_y) ** 2 + (x - at_x) ** 2, out=near)
    return near


def _less(mask: ObjectMask, box: Box, lost: NDArray[np.bool_]) -> ObjectMask:
    """Take pixels in a box away from a mask."""
    left = replace(mask, mask=mask.mask.copy())
    left.part(box)[lost] = False
    return left


def label_masks(plane: NDArray[Any], objects: Collection[int]) -> list[ObjectMask]:
    """Masks, certain ones, of those of the objects that a label image (Y, X) shows."""
    most = max(objects, default=0)
    if not most:
        return []
    boxes = ndimage.find_objects(plane, max_label=most)
    places = [(i, boxes[i - 1]) for i in sorted(objects)]
    masks = [
        ObjectMask.given(plane[box] == i, box[0].start, box[1].start)
        for i, box in places
        if box is not None
    ]
    return [mask for mask in masks if mask is not None]


def _without(plane: NDArray[Any], objects: Iterable[int]) -> NDArray[Any]:
    """Labels (Y, X) without some of the objects."""
    most = int(plane.max(initial=0))
    here = [object_id for object_id in objects if object_id <= most]
    if not here:
        return plane
    if most > MAX_OBJECT_ID or plane.min() < 0:  # somebody else's labels
        return np.where(np.isin(plane, here), 0, plane).astype(plane.dtype)
    stays = np.arange(most + 1, dtype=plane.dtype)
    stays[here] = 0
    return stays[plane]
