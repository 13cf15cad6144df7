"""The movies a step draws from, and the batches drawn: both depend on the step's number alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.training.cuts import OwnMovies
from napari_sam_i2v.training.recipe import DataPlan, Recipe, Stage, StagePlan
from napari_sam_i2v.training.samples import Movie8, draw_bytes
from napari_sam_i2v.training.synthetic import generate_clip

__all__ = ["RollingPool", "step_batches"]

AHEAD = 4
"""Batches that a worker process makes in advance."""


class RollingPool:
    """Movies number `fresh * step` to `fresh * step + kept - 1`, synthetic or the user's own.

    Which movies a step sees depends on the step alone, so that a run that was stopped goes on
    as if it had not been.

    Parameters
    ----------
    plan
        What movies are made.
    least
        Annotated frames that a user's movie must have: 2 to train tracking.
    """

    def __init__(self, plan: DataPlan, *, least: int = 1) -> None:
        self.plan = plan
        self.own = _own_movies(plan, least) if plan.own_share else None
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
        if self.own is not None and _is_own(index, plan.own_share):
            return self.own.draw(index)
        clip = generate_clip(plan.seed * 1_000_003 + index, frames=plan.frames, size=plan.size)
        return Movie8.of(clip.frames, clip.labels)


def _own_movies(plan: DataPlan, least: int) -> OwnMovies:
    return OwnMovies(plan.folders, seed=plan.seed, frames=plan.frames, size=plan.size, least=least)


def _is_own(index: int, share: float) -> bool:
    """Spread a share of the numbers evenly over them."""
    return int((index + 1) * share) > int(index * share)


Batch = tuple[Tensor, Tensor, Tensor]


class StepBatches(Dataset[Batch | InputError]):
    """Batch number i is what training step i sees: clips of bytes, targets and moves.

    What is wrong with a user's movie is handed on: raised in a worker process, it would be
    wrapped in the text of a traceback.
    """

    def __init__(self, recipe: Recipe, plan: StagePlan, stage: Stage, config: SamI2VConfig) -> None:
        self.recipe, self.plan, self.stage, self.config = recipe, plan, stage, config
        # A run whose video step could not use the movies is stopped before its image step.
        least = 2 if recipe.video.steps else 1
        if stage == "image" and recipe.data.own_share:
            _own_movies(recipe.data, least)
        self.pool = RollingPool(recipe.data, least=least if stage == "video" else 1)

    def __getitem__(self, step: int) -> Batch | InputError:
        """Draw the batch of a step; odd steps train first answers where the plan has such."""
        rng = np.random.default_rng((self.recipe.seed, self.stage == "video", step))
        size, frames = self.plan.batch, self.plan.frames
        if self.plan.prompts and step % 2:
            size, frames = self.plan.prompts, 1
        try:
            movies = self.pool.at(step)
        except InputError as error:
            return error
        return draw_bytes(movies, self.config, rng, size=size, frames=frames)


def step_batches(recipe: Recipe, plan: StagePlan, stage: Stage, *, start: int) -> Iterator[Batch]:
    """Batches of a stage's steps from `start` on, made ahead in a worker process if planned.

    Raises
    ------
    InputError
        If a user's movie cannot be used: at once where that is seen, else by its batch.
    """
    workers = min(recipe.data.workers, 1)
    made = DataLoader(
        StepBatches(recipe, plan, stage, recipe.config),
        batch_size=None,
        sampler=range(start, plan.steps),
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
    )
    return _unwrapped(made)


def _unwrapped(made: Iterable[Batch | InputError]) -> Iterator[Batch]:
    for batch in made:
        if isinstance(batch, InputError):
            raise batch
        yield batch
