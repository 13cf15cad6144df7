"""Overlaps are settled in one place, the same way whatever the order."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.compose import compose_labels, label_masks


def mask(box: tuple[int, int, int, int], logit: float | np.ndarray) -> ObjectMask:
    """A filled box with one logit, or with given logits (positive ones are the mask)."""
    shape = (box[2] - box[0], box[3] - box[1])
    logits = np.broadcast_to(np.asarray(logit, np.float16), shape).copy()
    return ObjectMask(box, logits > 0, 0.9, 0.8, logits)


def test_masks_are_painted_where_they_lie() -> None:
    plane = compose_labels(np.zeros((6, 8), np.uint16), {3: mask((1, 2, 4, 7), 1)})
    wanted = np.zeros((6, 8), np.uint16)
    wanted[1:4, 2:7] = 3
    np.testing.assert_array_equal(plane, wanted)
    assert plane.dtype == np.uint16


def test_the_given_plane_is_not_changed() -> None:
    before = np.full((4, 4), 2, np.uint16)
    compose_labels(before, {2: mask((0, 0, 1, 1), 1)})
    assert (before == 2).all()


def test_others_keep_every_pixel() -> None:
    plane = np.zeros((4, 4), np.uint16)
    plane[:, 2:] = 9
    result = compose_labels(plane, {1: mask((0, 0, 4, 4), 100)})
    assert (result[:, 2:] == 9).all()
    assert (result[:, :2] == 1).all()


@pytest.mark.parametrize("other", [-1, 200_000_000])
def test_labels_that_are_no_object_ids_stay(other: int) -> None:
    plane = np.zeros((8, 8), np.int32)
    plane[0, :3], plane[5, 5] = other, 1
    composed = compose_labels(plane, {1: mask((2, 2, 4, 4), 1)})
    assert (composed[0, :3] == other).all()
    assert composed.dtype == np.int32
    assert (composed == 1).sum() == 4 and composed[5, 5] == 0


def test_an_object_leaves_where_it_was_before() -> None:
    plane = np.full((4, 4), 1, np.uint16)
    plane[0, 0] = 9
    result = compose_labels(plane, {1: mask((2, 2, 4, 4), 1)})
    wanted = np.zeros((4, 4), np.uint16)
    wanted[2:, 2:] = 1
    wanted[0, 0] = 9
    np.testing.assert_array_equal(result, wanted)


def test_an_absent_object_is_erased() -> None:
    plane = np.full((4, 4), 1, np.uint16)
    absent = ObjectMask(
        (0, 0, 0, 0), np.zeros((0, 0), bool), 0.1, 0.5, np.zeros((0, 0), np.float16)
    )
    assert not compose_labels(plane, {1: absent}).any()


def test_neighbours_meet_where_the_higher_logit_is() -> None:
    masks = {1: mask((0, 0, 4, 10), 1), 2: mask((0, 9, 4, 19), 2)}
    result = compose_labels(np.zeros((4, 19), np.uint16), masks)
    assert result[0].tolist() == [1] * 9 + [2] * 10


@pytest.mark.parametrize("sure", [1, 2])
def test_what_two_masks_cover_goes_to_the_more_confident_as_a_whole(sure: int) -> None:
    rng = np.random.default_rng(0)
    masks = {i: mask((0, 0, 8, 8), rng.uniform(1, 3, (8, 8))) for i in (1, 2)}
    masks[sure] = dataclasses.replace(masks[sure], iou=0.9)
    assert (compose_labels(np.zeros((8, 8), np.uint16), masks) == sure).all()


def test_a_tie_goes_to_the_smaller_id() -> None:
    masks = {7: mask((0, 0, 4, 4), 2), 4: mask((0, 0, 4, 4), 2)}
    assert (compose_labels(np.zeros((4, 4), np.uint16), masks) == 4).all()


@pytest.mark.parametrize("seed", range(5))
def test_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.choice([0, 0, 1, 3, 8], (12, 12)).astype(np.uint16)
    masks = {
        object_id: mask((a, b, a + 7, b + 7), rng.integers(-2, 4, (7, 7)))
        for object_id, (a, b) in enumerate(rng.integers(0, 6, (4, 2)).tolist(), start=1)
    }
    results = [
        compose_labels(plane, dict(order)) for order in itertools.permutations(masks.items())
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    np.testing.assert_array_equal(results[0] == 8, plane == 8)
    claimed = np.zeros((12, 12), bool)
    for found in masks.values():
        y0, x0, y1, x1 = found.box
        claimed[y0:y1, x0:x1] |= found.mask
    np.testing.assert_array_equal(results[0] != 0, claimed | (plane == 8))


def test_composing_twice_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    masks = {i: mask((0, 0, 9, 9), rng.integers(-3, 3, (9, 9))) for i in (1, 2, 3)}
    once = compose_labels(np.zeros((9, 9), np.uint16), masks)
    np.testing.assert_array_equal(compose_labels(once, masks), once)


def test_a_pixel_of_a_mask_is_never_lost_to_rounding() -> None:
    """A logit too small for half precision is still a claim."""
    tiny = ObjectMask(
        (0, 0, 1, 1), np.ones((1, 1), bool), 0.9, 0.8, np.full((1, 1), 1e-9, np.float16)
    )
    assert compose_labels(np.zeros((1, 1), np.uint16), {1: tiny}).item() == 1


def test_nested_objects_both_stay() -> None:
    ring = dataclasses.replace(mask((0, 0, 12, 12), 1), iou=0.5)
    plane = compose_labels(np.zeros((12, 12), np.uint16), {1: mask((3, 3, 9, 9), 1), 2: ring})
    assert (plane == 1).sum() == 36
    assert (plane == 2).sum() == 144 - 36


def test_the_object_that_was_pointed_at_more_recently_wins() -> None:
    masks = {1: mask((0, 0, 4, 4), 1), 2: mask((0, 0, 4, 4), 1)}
    masks[1] = dataclasses.replace(masks[1], iou=0.9)
    empty = np.zeros((4, 4), np.uint16)
    assert (compose_labels(empty, masks, {1: 5, 2: 4}) == 1).all()
    assert (compose_labels(empty, masks, {1: 9, 2: 1}) == 2).all()


def test_what_was_pointed_at_on_the_frame_belongs_to_that_object() -> None:
    unsure = dataclasses.replace(mask((0, 0, 4, 4), 1), iou=0.2)
    sure = mask((0, 0, 4, 6), 9)
    empty = np.zeros((4, 8), np.uint16)
    result = compose_labels(empty, {1: sure, 2: unsure}, {1: 5, 2: 0})
    assert (result[:, :4] == 2).all()
    assert (result[:, 4:6] == 1).all()
    assert not (compose_labels(empty, {1: sure, 2: unsure}, {1: 5, 2: 1}) == 2).any()
    assert not (compose_labels(empty, {1: sure, 2: unsure}, {1: 0, 2: 0}) == 2).any()


def test_a_part_of_what_was_pointed_at_stays() -> None:
    cell = dataclasses.replace(mask((0, 0, 12, 12), 1), iou=0.5)
    masks = {1: mask((3, 3, 9, 9), 1), 2: cell}
    plane = compose_labels(np.zeros((12, 12), np.uint16), masks, {1: 5, 2: 0})
    assert (plane == 1).sum() == 36
    sure = {1: dataclasses.replace(masks[1], iou=0.2), 2: dataclasses.replace(cell, iou=0.9)}
    assert not (compose_labels(np.zeros((12, 12), np.uint16), sure, {1: 5, 2: 5}) == 1).any()
    plane = compose_labels(np.zeros((12, 12), np.uint16), sure, {1: 0, 2: 5})
    assert (plane == 1).sum() == 36


def test_a_label_image_gives_its_masks_back() -> None:
    plane = np.zeros((6, 8), np.uint16)
    plane[1:4, 2:7] = 3
    plane[2, 4] = 0
    plane[5, 0] = 7
    three, seven = label_masks(plane, {7, 3, 5, 40})
    np.testing.assert_array_equal(three.on(plane.shape), plane == 3)
    np.testing.assert_array_equal(seven.on(plane.shape), plane == 7)
    assert (three.box, seven.box) == ((1, 2, 4, 7), (5, 0, 6, 1))
    assert three.confidence == 1
    assert label_masks(plane, {5}) == []
    assert label_masks(plane, ()) == []


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.uint64])
def test_labels_of_any_kind_and_size_give_masks(kind: type[np.integer]) -> None:
    plane = np.zeros((6, 8), kind)
    plane[1:3, 2:5], plane[4:, 6:] = 2, np.iinfo(kind).max  # in no list as long as its id
    (two,) = label_masks(plane, [2])
    assert (two.box, two.area) == ((1, 2, 3, 5), 6)
