"""Losses fall as answers get better, and are nearly zero for a perfect one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_sam_i2v.network.mask_decoder import RawMasks
from napari_sam_i2v.training.losses import candidate_losses, frame_loss, soft_iou


def square(batch: int = 1) -> Tensor:
    target = torch.zeros(batch, 1, 16, 16)
    target[:, :, 4:10, 5:12] = 1
    return target


def perfect(target: Tensor, strength: float = 12) -> RawMasks:
    """What a decoder would have to say."""
    batch = target.shape[0]
    present = (target.flatten(1).amax(1) >= 0.5).float()
    masks = (2 * target - 1).expand(-1, 4, -1, -1) * strength
    score = (2 * present - 1)[:, None] * strength
    return RawMasks(masks, present[:, None].expand(-1, 4), torch.zeros(batch, 4, 8), score)


def test_losses_fall_towards_the_target() -> None:
    target = square()
    towards = 2 * target - 1
    steps = [candidate_losses(k * towards, target) for k in (-4.0, -1.0, 0.0, 1.0, 4.0, 12.0)]
    focal, dice = (torch.cat(column).flatten() for column in zip(*steps, strict=True))
    assert (focal.diff() < 0).all()
    assert (dice.diff() < 0).all()
    assert focal[-1] < 1e-6
    assert dice[-1] < 1e-3


@pytest.mark.parametrize("multimask", [True, False])
def test_perfect_answers_cost_nearly_nothing(multimask: bool) -> None:
    target = square(2)
    target[1] = 0  # an absent object
    loss, shown = frame_loss(perfect(target), target, multimask=multimask)
    assert loss < 1e-3
    assert shown[0] == 1
    assert shown[1].isnan()


@pytest.mark.parametrize("part", ["masks", "ious", "score"])
def test_every_part_of_an_answer_counts(part: str) -> None:
    target = square()
    good = perfect(target)
    bad = good._replace(**{part: -getattr(good, part) if part != "ious" else good.ious * 0})
    for multimask in (True, False):
        worse, _ = frame_loss(bad, target, multimask=multimask)
        assert worse > frame_loss(good, target, multimask=multimask)[0] + 0.3


def test_absent_objects_train_presence_alone() -> None:
    target = torch.zeros(1, 1, 16, 16)
    masks = torch.randn(1, 4, 16, 16, requires_grad=True)
    score = torch.zeros(1, 1, requires_grad=True)
    raw = RawMasks(masks, torch.rand(1, 4), torch.zeros(1, 4, 8), score)
    frame_loss(raw, target, multimask=True)[0].backward()
    assert masks.grad is None or not masks.grad.any()
    assert score.grad is not None
    assert score.grad.item() > 0, "the score must fall"


def test_of_three_candidates_the_best_learns() -> None:
    target = square()
    masks = torch.zeros(1, 4, 16, 16)
    masks[:, 2] = (2 * target[:, 0] - 1) * 2
    masks.requires_grad_()
    raw = RawMasks(masks, torch.full((1, 4), 0.5), torch.zeros(1, 4, 8), torch.zeros(1, 1))
    frame_loss(raw, target, multimask=True)[0].backward()
    assert masks.grad is not None
    learns = masks.grad.flatten(2).abs().sum(-1)[0]
    assert learns[0] == 0, "the single answer has no part in it"
    assert learns[2] > 3 * max(learns[1], learns[3])


def test_a_single_answer_is_mask_0() -> None:
    target = square()
    masks = torch.zeros(1, 4, 16, 16, requires_grad=True)
    raw = RawMasks(masks, torch.full((1, 4), 0.5), torch.zeros(1, 4, 8), torch.zeros(1, 1))
    frame_loss(raw, target, multimask=False)[0].backward()
    assert masks.grad is not None
    assert (masks.grad.flatten(2).abs().sum(-1)[0] > 0).tolist() == [True, False, False, False]


def test_shown_is_the_iou_of_the_candidate_that_is_predicted_best() -> None:
    target = square()
    masks = -torch.ones(1, 4, 16, 16)
    masks[:, 3] = 2 * target[:, 0] - 1
    for predicted, wanted in (([0, 0.1, 0.1, 0.9], 1.0), ([0, 0.9, 0.1, 0.1], 0.0)):
        raw = RawMasks(masks, torch.tensor([predicted]), torch.zeros(1, 4, 8), torch.ones(1, 1))
        assert frame_loss(raw, target, multimask=True)[1].item() == wanted


def test_targets_may_have_another_size() -> None:
    target = square()
    fine = torch.nn.functional.interpolate(target, scale_factor=2)
    loss, shown = frame_loss(perfect(target), fine, multimask=True)
    assert loss < 0.1
    assert shown.item() > 0.9


def test_soft_iou() -> None:
    target = square()
    half = target.clone()
    half[:, :, 7:] = 0
    logits = torch.cat((2 * target - 1, 2 * half - 1, -target - 1), dim=1)
    assert soft_iou(logits, target)[0].tolist() == [1.0, 0.5, 0.0]
    assert soft_iou(-torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == 0
