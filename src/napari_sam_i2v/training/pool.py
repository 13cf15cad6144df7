"""The movies a step draws from, and the batches drawn: both depend on the step's number alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_sam_i2v.network.config import SamI2VConfig, get_config
from napari_sam_i2v.training.recipe import DataPlan, Recipe, Stage, StagePlan
from napari_sam_i2v.training.samples import Movie8, draw_bytes
from napari_sam_i2v.training.synthetic import generate_clip

__all__ = ["RollingPool", "step_batches"]

AHEAD = 4
"""Batches that a worker process makes in advance."""


class RollingPool:
    """Synthetic movies number `fresh * step` to `fresh * step + kept - 1`.

    Which movies a step sees depends on the step alone, so that a run that was stopped goes on
    as if it had not been.
    """

    def __init__(self, plan: DataPlan) -> None:
        self.plan = plan
        self._movies: deque[Movie8] = deque(maxlen=plan.kept)
        self._next = 0

    def at(self, step: int) -> list[Movie8]:
        """Movies of a step."""
        first = step * self.plan.fresh
        wanted = first + self.plan.kept
        self._next = max(self._next, first)
        while self._next < wanted:
            self._movies.append(self._make(self._next))
            self._next += 1
        return list(self._movies)

    def _make(self, index: int) -> Movie8:
        plan = self.plan
        clip = generate_clip(plan.seed * 1_000_003 + index, frames=plan.frames, size=plan.size)
        return Movie8.of(clip.frames, clip.labels)


class StepBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batch number i is what training step i sees: clips of bytes, and targets."""

    def __init__(self, recipe: Recipe, plan: StagePlan, stage: Stage, config: SamI2VConfig) -> None:
        self.recipe, self.plan, self.stage, self.config = recipe, plan, stage, config
        self.pool = RollingPool(recipe.data)

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw the batch of a step; odd steps train first answers where the plan has such."""
        rng = np.random.default_rng((self.recipe.seed, self.stage == "video", step))
        size, frames = self.plan.batch, self.plan.frames
        if self.plan.prompts and step % 2:
            size, frames = self.plan.prompts, 1
        return draw_bytes(self.pool.at(step), self.config, rng, size=size, frames=frames)


def step_batches(
    recipe: Recipe, plan: StagePlan, stage: Stage, *, start: int
) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches of a stage's steps from `start` on, made ahead in a worker process if planned."""
    workers = min(recipe.data.workers, 1)
    return DataLoader(
        StepBatches(recipe, plan, stage, get_config(recipe.variant)),
        batch_size=None,
        sampler=range(start, plan.steps),
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
    )
