"""The movies a step draws from: recent synthetic ones, a few of them new at every step."""

from __future__ import annotations

from collections import deque

import numpy as np

from napari_sam_i2v.training.recipe import DataPlan
from napari_sam_i2v.training.samples import Movie8
from napari_sam_i2v.training.synthetic import generate_clip

__all__ = ["RollingPool"]


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
        return Movie8(clip.frames, clip.labels.astype(np.uint16))
