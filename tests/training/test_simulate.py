"""The simulated user clicks where a person would: on the object, and where the answer is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.training.simulate import box_prompt, correction_click, first_click

SIZE = 64
SEEDS = range(30)


def blobs(batch: int = 6, side: int = 32, seed: int = 0) -> Tensor:
    """Targets of discs in random places."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    planes = []
    for _ in range(batch):
        (cy, cx), radius = rng.uniform(4, side - 4, 2), rng.uniform(2, 8)
        planes.append((y - cy) ** 2 + (x - cx) ** 2 <= radius**2)
    return torch.from_numpy(np.stack(planes)[:, None].astype(np.float32))


def under(maps: Tensor, points: Tensor) -> Tensor:
    """Values (B, P) of maps (B, 1, h, w) below points in network pixels (x, y)."""
    scale = SIZE / maps.shape[-1]
    cells = ((points + 0.5) / scale).floor().long()
    rows = torch.arange(len(maps))[:, None]
    return maps[rows, 0, cells[..., 1], cells[..., 0]]


@pytest.mark.parametrize("seed", SEEDS)
def test_first_clicks_are_on_the_object(seed: int) -> None:
    targets = blobs(seed=seed)
    points, labels = first_click(targets, SIZE, np.random.default_rng(seed))
    assert points.shape == (6, 1, 2)
    assert labels.tolist() == [[1]] * 6
    assert labels.dtype == torch.long
    assert (under(targets, points) == 1).all()


def test_first_clicks_vary() -> None:
    targets = blobs(1)
    clicks = {
        tuple(first_click(targets, SIZE, np.random.default_rng(seed))[0].flatten().tolist())
        for seed in range(40)
    }
    assert len(clicks) > 10


def test_first_click_on_a_faint_object() -> None:
    targets = 0.3 * blobs(1)
    points, _ = first_click(targets, SIZE, np.random.default_rng(0))
    assert under(targets, points).item() == pytest.approx(0.3)


@pytest.mark.parametrize("seed", SEEDS)
def test_corrections_are_in_the_larger_error_with_the_right_sign(seed: int) -> None:
    targets, answers = blobs(seed=seed), blobs(seed=seed + 1000)
    points, labels = correction_click(2 * answers - 1, targets, SIZE, np.random.default_rng(seed))
    missed = targets * (1 - answers)
    false = answers * (1 - targets)
    more_missed = missed.flatten(1).sum(1) >= false.flatten(1).sum(1)
    assert (labels[:, 0] == more_missed.long()).all()
    region = torch.where(more_missed[:, None, None, None], missed, false)
    assert (under(region, points) == 1).all()


def test_missing_and_surplus_answers() -> None:
    targets = blobs(4)
    rng = np.random.default_rng(0)
    points, labels = correction_click(-torch.ones(4, 1, 16, 16), targets, SIZE, rng)
    assert (labels == 1).all()
    assert (under(targets, points) == 1).all()
    points, labels = correction_click(torch.ones(4, 1, 16, 16), targets, SIZE, rng)
    assert (labels == 0).all()
    assert (under(targets, points) == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_perfect_answers_are_confirmed(seed: int) -> None:
    targets = blobs(seed=seed)
    points, labels = correction_click(2 * targets - 1, targets, SIZE, np.random.default_rng(seed))
    assert (labels == 1).all()
    assert (under(targets, points) == 1).all()


@pytest.mark.parametrize("answer", [-1.0, 1.0])
def test_absent_objects_are_corrected_negatively(answer: float) -> None:
    targets = torch.zeros(2, 1, 16, 16)
    logits = torch.full((2, 1, 16, 16), answer)
    points, labels = correction_click(logits, targets, SIZE, np.random.default_rng(0))
    assert (labels == 0).all()
    assert ((points >= 0) & (points < SIZE)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_are_drawn_around_the_object(seed: int) -> None:
    targets = blobs(seed=seed)
    points, labels = box_prompt(targets, SIZE, np.random.default_rng(seed))
    assert points.shape == (6, 2, 2)
    assert labels.tolist() == [[2, 3]] * 6
    assert (points >= 0).all()
    assert (points <= SIZE).all()
    for target, corners in zip(targets[:, 0], points, strict=True):
        rows, columns = np.nonzero(target.numpy())
        true = 2 * np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
        size = (true[1] - true[0]).max()
        assert np.abs(corners.numpy() - true).max() < 0.3 * size + 1
        assert (corners[1] > corners[0]).all()


def test_boxes_of_absent_objects_are_still_boxes() -> None:
    points, _ = box_prompt(torch.zeros(1, 1, 16, 16), SIZE, np.random.default_rng(0))
    assert torch.isfinite(points).all()
    assert (points[0, 1] > points[0, 0]).all()


def test_same_seed_same_clicks() -> None:
    targets = blobs()
    for make in (first_click, box_prompt):
        a, b = (make(targets, SIZE, np.random.default_rng(3))[0] for _ in range(2))
        assert torch.equal(a, b)
