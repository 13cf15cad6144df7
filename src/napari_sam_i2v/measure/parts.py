"""The parts of a frame by themselves, ready to be timed: a view encoded, objects followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_sam_i2v.network.device import resolve_device, resolve_precision
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import FrameSource, estimate_contrast
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam_i2v.job import Job

__all__ = ["Parts"]


class Parts:
    """What a job's network does to a frame; each view is the whole frame.

    Parameters
    ----------
    job
        Movie, prompts, network and settings. Its first prompt must be on frame 0.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        device = resolve_device(job.settings.device)
        self._engine = Engine(job.network, resolve_precision(job.settings.precision, device))
        size = self._engine.config.image_size
        self._source = FrameSource(job.movie, estimate_contrast(job.movie), size)
        self._whole = View.whole(self._source.shape)

    @property
    def n_frames(self) -> int:
        """Frames of the movie."""
        return self._source.n_frames

    def close(self) -> None:
        """Let go of the movie."""
        self._source.close()

    def encode(self, frame: int) -> Tensor:
        """Give the feature of a frame; it is kept for the last few."""
        return self._engine.encode(self._source, frame, [self._whole])[0]

    def step(self, objects: int) -> Callable[[], None]:
        """Return what tracks and remembers a batch of objects once.

        They look at one view, and back to a full memory.
        """
        engine, prompt, whole = self._engine, self._job.prompts[0], self._whole
        feature = self.encode(0)
        answer = engine.prompt(feature, [prompt], whole)
        mask = answer.paste()
        seen = Seen.of(mask, 0) if mask.area else None
        handed = mask.shown(whole, engine.config.mask_size) if engine.config.fine_dim else None
        entry = engine.remember([feature], [answer], prompted=True)[0]
        bank = MemoryBank(engine.config)
        bank.remember(0, entry, prompted=True)
        for frame in range(1, bank.reach + 1):
            bank.remember(frame, entry, prompted=False)
        features, views = [feature] * objects, [whole] * objects

        def step() -> None:
            chosen = bank.filter(bank.reach + 1, feature)
            if chosen is None:
                raise RuntimeError("The bank holds a prompted frame.")
            answers = engine.track(
                features, views, [(bank, chosen)] * objects, [seen] * objects, [handed] * objects
            )
            engine.remember(features, answers, prompted=False)

        return step
