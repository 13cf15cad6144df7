"""The arms of the ablation: which of the paper's three innovations a video step trains."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import numpy as np

from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.training.forward import Outcome, video_step
from napari_sam_i2v.training.hand_over import hand_over_step
from napari_sam_i2v.training.recipe import Arm
from napari_sam_i2v.training.samples import Batch

__all__ = ["VideoStep", "video_step_of"]


class VideoStep(Protocol):
    """One batch through the network."""

    def __call__(
        self, model: SamI2V, batch: Batch, rng: np.random.Generator, *, clicks: int = 2
    ) -> Outcome:
        """Return loss and accuracy."""


def video_step_of(arm: Arm) -> VideoStep:
    """Return the video step that trains an arm; see `StagePlan`."""
    if arm == "full":
        return video_step
    steps: dict[str, Any] = {
        "no-prompt": partial(video_step, memory_prompts=False),
        "hand-over": hand_over_step,
        "hand-over-image": partial(hand_over_step, integrator=False),
    }
    return steps[arm]
