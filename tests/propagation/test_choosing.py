"""Of the masks that the network offers, the one is chosen that fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from napari_sam_i2v.network.mask_decoder import RawMasks
from napari_sam_i2v.propagation.choosing import fitting_masks, steady_masks
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View


def raw_masks(*boxes: tuple[int, int, int, int], ious: Sequence[float]) -> RawMasks:
    """One single mask and three candidates, of 16 x 16 pixels, which are filled boxes."""
    masks = torch.full((1, 4, 16, 16), -5.0)
    for k, (y0, x0, y1, x1) in enumerate(boxes):
        masks[0, k, y0:y1, x0:x1] = 5.0
    return RawMasks(masks, torch.tensor([ious]), torch.zeros(1, 4, 32), torch.ones(1, 1))


SMALL, LARGE = (6, 6, 9, 9), (3, 3, 12, 12)


@pytest.mark.parametrize(
    ("points", "labels", "wanted"),
    [
        pytest.param([(7, 7)], [1], 1, id="a click has three candidates"),
        pytest.param([(3, 3), (12, 12)], [2, 3], 2, id="a box is filled"),
        pytest.param([(6, 6), (9, 9)], [2, 3], 0, id="and not overflown"),
        pytest.param([(7, 7), (4, 4)], [1, 1], 2, id="clicks are inside"),
        pytest.param([(7, 7), (4, 4)], [1, 0], 0, id="or outside"),
    ],
)
def test_the_mask_that_fits_its_prompts_is_chosen(
    points: list[tuple[int, int]], labels: list[int], wanted: int
) -> None:
    raw = raw_masks(SMALL, SMALL, LARGE, (0, 0, 16, 16), ious=(0.9, 0.8, 0.7, 0.6))
    xy, kinds = np.array(points, np.float32), np.array(labels)
    assert fitting_masks(raw, xy, kinds).tolist()[0] == wanted


def test_what_no_mask_does_is_no_reason() -> None:
    raw = raw_masks(SMALL, SMALL, LARGE, SMALL, ious=(0.9, 0.5, 0.7, 0.6))
    assert fitting_masks(raw, np.ones((1, 2), np.float32), np.array([1])).tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        pytest.param((3, 3, 9, 9), 3, id="by what it has inside"),
        pytest.param((3.4, 3.4, 8.6, 8.6), 3, id="pixels that the box touches count"),
        pytest.param((12, 12, 15, 15), 1, id="nothing inside is no answer"),
    ],
)
def test_a_mask_that_overflows_a_box_is_judged_by_what_it_has_inside(
    box: tuple[float, float, float, float], wanted: int
) -> None:
    half = (5, 5, 9, 9)
    raw = raw_masks(half, (12, 12, 13, 13), half, LARGE, ious=(0.5, 0.3, 0.6, 0.7))
    y0, x0, y1, x1 = box
    points, labels = np.array([(x0, y0), (x1, y1)], np.float32), np.array([2, 3])
    assert fitting_masks(raw, points, labels, confined=True).tolist()[0] == wanted


def test_an_unstable_single_mask_is_not_chosen() -> None:
    raw = raw_masks(LARGE, SMALL, LARGE, SMALL, ious=(0.9, 0.8, 0.7, 0.6))
    raw.masks[0, 0, 3:5] = 0.01  # inside at one threshold, outside at another
    points, labels = np.array([(3, 3), (12, 12)], np.float32), np.array([2, 3])
    assert fitting_masks(raw, points, labels).tolist()[0] == 2


def test_of_candidates_the_one_that_goes_with_the_past_is_chosen() -> None:
    # Seen through a window at (100, 200), in which a mask pixel is two movie pixels wide.
    view = View(100, 200, 32, 32)
    raw = raw_masks(LARGE, SMALL, LARGE, (0, 0, 0, 0), ious=(0.9, 0.6, 0.7, 0.8))

    def chosen(last: Seen | None) -> list[int]:
        return steady_masks(raw, [view], [last]).tolist()

    assert chosen(None) == [3], "as published"
    assert chosen(Seen(115, 215, 324, (106, 206, 124, 224), 4)) == [2]
    assert chosen(Seen(115, 215, 36, (112, 212, 118, 218), 4)) == [1]
    assert chosen(Seen(5, 5, 36, (2, 2, 8, 8), 4)) == [1], "far away, its size still counts"
