"""A movie that counts what is read, and an engine that sees bright spots instead of a network."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import FrameSource
from napari_sam_i2v.propagation.memory_bank import MemoryEntry, fingerprint
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import FrameResult
from napari_sam_i2v.propagation.view import View


def noise(frames: int = 12, height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    """A movie (T, Y, X) uint8 in which every frame differs from every other."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (frames, height, width), dtype=np.uint8)


class CountingMovie:
    """A movie that notes which frames are read, and can refuse some."""

    def __init__(self, movie: np.ndarray, *, unreadable: Sequence[int] = ()) -> None:
        self.movie, self.unreadable = movie, set(unreadable)
        self.shape, self.dtype = movie.shape, movie.dtype
        self.reads: Counter[int] = Counter()
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> np.ndarray:
        with self._lock:
            self.reads[index] += 1
        if index in self.unreadable:
            raise OSError("broken page")
        return self.movie[index]


class EndlessMovie:
    """Frames made when asked for, so that a long movie takes no memory."""

    def __init__(self, frames: int, height: int = 40, width: int = 48) -> None:
        self.shape, self.dtype = (frames, height, width), np.dtype(np.uint8)

    def __getitem__(self, index: int) -> np.ndarray:
        return noise(1, *self.shape[1:], seed=int(index))[0]


def discs(
    centres: Sequence[Sequence[tuple[float, float]]],
    shape: tuple[int, int],
    *,
    radius: float = 6,
    values: Sequence[int] = (200,),
) -> np.ndarray:
    """Movie (T, Y, X) uint8 of discs; `centres` gives the (y, x) of each on each frame."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    movie = np.zeros((len(centres), *shape), np.uint8)
    for frame, places in zip(movie, centres, strict=True):
        for (cy, cx), value in zip(places, values, strict=True):
            frame[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = value
    return movie


def square(y: int, x: int, side: int = 10, *, sure: float = 0.9) -> ObjectMask:
    """A square mask with its first pixel at (y, x)."""
    mask = np.ones((side, side), bool)
    return ObjectMask((y, x, y + side, x + side), mask, 1.0, sure, mask.astype(np.float16))


class BrightEngine(Engine):
    """Finds what is as bright as the object was where it was prompted, in the view alone.

    It has an object's brightness from its prompt (the pointer carries it on), and no other
    memory: an object outside its window is lost. `looked` notes every tracked view.
    """

    looked: list[tuple[int, View]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.looked = []
        self._index = 0

    def encode(
        self, source: FrameSource, index: int, views: Sequence[View], *, beside: bool = False
    ) -> list[Tensor]:
        self._index = index
        side = self.config.mask_size
        features = []
        for view in views:
            crop = torch.from_numpy(source.frame(index)[view.slices].astype(np.float32))
            features.append(F.interpolate(crop[None, None], size=(side, side))[0])
        return features

    @property
    def foresees(self) -> bool:
        return False

    def prompt(
        self,
        feature: Tensor,
        rounds: Sequence[Prompt],
        view: View,
        *,
        recalled: Any = None,
        previous: Tensor | None = None,
    ) -> Answer:
        prompt = rounds[-1]
        if prompt.mask is not None:
            return self._seen(feature, view, self._under(feature, view, prompt.mask))
        if prompt.points is not None:
            xy = view.to_network(prompt.points[:1], feature.shape[-1])[0]
            column, row = (int(np.clip(v, 0, feature.shape[-1] - 1)) for v in xy)
            return self._seen(feature, view, float(feature[0, row, column]))
        return self._seen(feature, view, float(feature.max()))

    def offers(self, *args: Any, **kwargs: Any) -> list[Answer]:
        return [self.prompt(*args, **kwargs)]

    def try_views(
        self, source: FrameSource, index: int, prompt: Prompt, views: Sequence[View]
    ) -> list[tuple[View, Tensor, Tensor, float]]:
        features = self.encode(source, index, views)
        answers = [self.prompt(f, [prompt], v) for f, v in zip(features, views, strict=True)]
        return [(a.view, a.low, torch.ones(1), a.score) for a in answers]

    def click(
        self,
        features: Sequence[Tensor],
        views: Sequence[View],
        places: np.ndarray,
        recalled: Sequence[Any] | None = None,
    ) -> list[Answer]:
        clicks = [Prompt(1, 0, points=p[None], labels=np.array([1])) for p in places]
        parts = zip(features, clicks, views, strict=True)
        return [self.prompt(feature, [click], view) for feature, click, view in parts]

    def track(
        self,
        features: Sequence[Tensor],
        views: Sequence[View],
        recalled: Sequence[Any],
        seen: Sequence[Any],
        handed: Sequence[Any] = (),
    ) -> list[Answer]:
        answers = []
        for feature, view, (bank, selection) in zip(features, views, recalled, strict=True):
            self.looked.append((self._index, view))
            brightness = float(bank.entry(selection.frames[0]).pointer[0])
            answers.append(self._seen(feature, view, brightness))
        return answers

    def remember(
        self, features: Sequence[Tensor], answers: Sequence[Answer], *, prompted: bool
    ) -> list[MemoryEntry]:
        nothing = torch.zeros(1)
        return [
            MemoryEntry(nothing, nothing, a.pointer, fingerprint(f))
            for f, a in zip(features, answers, strict=True)
        ]

    def recall_mask(self, feature: Tensor, mask: np.ndarray, view: View) -> Answer:
        return self._seen(feature, view, self._under(feature, view, mask))

    @staticmethod
    def _under(feature: Tensor, view: View, mask: np.ndarray) -> float:
        crop = torch.from_numpy(mask[view.slices].astype(np.float32))[None, None]
        inside = F.interpolate(crop, size=feature.shape[-2:])[0] > 0
        return float(feature[inside].median()) if inside.any() else 0.0

    @staticmethod
    def _seen(feature: Tensor, view: View, brightness: float) -> Answer:
        like = ((feature - brightness).abs() < 8) & (brightness > 0)
        low = torch.where(like, 5.0, -5.0)
        score = 5.0 if bool(like.any()) else -5.0
        return Answer(view, low, low, torch.tensor([brightness]), score, 0.9)


def run(results: Iterable[FrameResult]) -> list[int]:
    """Exhaust a pass; return its frames in order."""
    return [result.frame for result in results]


def only(labels: np.ndarray, object_id: int) -> np.ndarray:
    """Where an object is."""
    return np.asarray(labels) == object_id
