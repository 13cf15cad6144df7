"""Holes are filled, and masks put back into the movie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.propagation.answer import Answer, ObjectMask, fill_holes
from napari_sam_i2v.propagation.view import View, window

WHOLE = View.whole((40, 48))


def answer(low: Tensor, view: View, score: float = 3.0) -> Answer:
    return Answer(view, low, low, torch.zeros(32), score, 0.7)


# ---- holes ---------------------------------------------------------------------------------


def holed(area: int) -> Tensor:
    """Logits with one hole of a given area."""
    logits = torch.ones(1, 1, 16, 16)
    cells = [(5 + i // 3, 5 + i % 3) for i in range(area)]
    for y, x in cells:
        logits[0, 0, y, x] = -3
    return logits


@pytest.mark.parametrize("area", [1, 8])
def test_small_holes_are_filled_on_the_cpu(area: int) -> None:
    """Defect 8: the published network skips this without a GPU."""
    filled = fill_holes(holed(area), 8)
    assert (filled > 0).all()
    assert torch.isclose(filled.min(), torch.tensor(0.1))
    assert (filled == 1).sum() == 256 - area


def test_larger_holes_stay() -> None:
    logits = holed(9)
    assert torch.equal(fill_holes(logits, 8), logits)


def test_holes_are_8_connected() -> None:
    logits = torch.ones(1, 1, 16, 16)
    for i in range(9):
        logits[0, 0, i + 2, i + 2] = -1  # a diagonal of 9 pixels is one hole
    assert torch.equal(fill_holes(logits, 8), logits)
    assert (fill_holes(logits, 9) > 0).all()


def test_zero_counts_as_background() -> None:
    logits = torch.ones(1, 1, 8, 8)
    logits[0, 0, 3, 3] = 0
    assert torch.isclose(fill_holes(logits, 8)[0, 0, 3, 3], torch.tensor(0.1))


def test_no_filling() -> None:
    assert torch.equal(fill_holes(holed(2), 0), holed(2))


def test_every_mask_of_a_batch_is_filled_by_itself() -> None:
    batch = torch.cat((holed(9), holed(3)))
    filled = fill_holes(batch, 8)
    assert torch.equal(filled[0], batch[0])
    assert (filled[1] > 0).all()


# ---- masks in the movie --------------------------------------------------------------------


def test_mask_lies_in_its_view() -> None:
    low = torch.full((1, 16, 16), -4.0)
    low[0, 4:8, 8:16] = 4
    view = View(10, 20, 32, 64)
    mask = answer(low, view).paste()
    y0, x0, y1, x1 = mask.box
    assert abs(y0 - (10 + 8)) <= 1
    assert abs(y1 - (10 + 16)) <= 1
    assert abs(x0 - (20 + 32)) <= 2
    assert x1 == 20 + 64
    assert mask.mask.shape == mask.logits.shape == (y1 - y0, x1 - x0)
    np.testing.assert_array_equal(mask.mask, mask.logits > 0)
    assert all(side.any() for side in (mask.mask[0], mask.mask[-1], mask.mask[:, 0]))
    assert mask.area == mask.mask.sum() > 0
    assert mask.score == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-5)
    assert mask.iou == 0.7


@pytest.mark.parametrize(
    ("within", "box"),
    [
        ((12, 25, 30, 60), (12, 25, 30, 60)),
        ((12.3, 25.9, 29.1, 59.2), (12, 25, 30, 60)),
        ((0, 0, 400, 400), (10, 20, 42, 84)),
        ((-5, -5, 11, 21), (10, 20, 11, 21)),
        ((0, 0, 10, 20), (0, 0, 0, 0)),
    ],
)
def test_nothing_lies_outside_the_box_that_an_object_is_in(
    within: tuple[float, float, float, float], box: tuple[int, int, int, int]
) -> None:
    everywhere = answer(torch.full((1, 16, 16), 4.0), View(10, 20, 32, 64))
    mask = replace(everywhere, within=within).paste()
    assert mask.box == box
    assert mask.mask.all()
    assert mask.mask.shape == mask.logits.shape


@pytest.mark.parametrize(("logit", "score"), [(4.0, -1.0), (4.0, 0.0), (-4.0, 3.0)])
def test_absent_and_empty_objects_have_no_mask(logit: float, score: float) -> None:
    mask = answer(torch.full((1, 16, 16), logit), WHOLE, score).paste()
    assert mask.area == 0
    assert mask.box == (0, 0, 0, 0)
    assert mask.mask.shape == mask.logits.shape == (0, 0)


def test_masks_lie_inside_the_frame() -> None:
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        shape = tuple(rng.integers(5, 120, 2))
        view = window(rng.uniform((0, 0), shape), float(rng.uniform(1, 200)), shape)
        mask = answer(torch.randn(1, 16, 16, generator=generator), view).paste()
        y0, x0, y1, x1 = mask.box
        assert 0 <= y0 < y1 <= shape[0]
        assert 0 <= x0 < x1 <= shape[1]


def test_points_on_a_mask_are_those_nearest_to_its_pixels() -> None:
    mask = np.array([[True, False], [True, True]])
    found = ObjectMask((3, 5, 5, 7), mask, 1.0, 1.0, mask.astype(np.float16))
    points = np.array([[3, 5], [3, 6], [4.4, 6.4], [4.6, 6], [2.6, 5], [2, 5], [3, -9], [90, 6]])
    assert found.holds(points).tolist() == [True, False, True, False, True, False, False, False]
    assert found.holds(np.empty((0, 2))).shape == (0,)
    assert not answer(torch.full((1, 8, 8), -5.0), WHOLE).paste().holds(points).any()
