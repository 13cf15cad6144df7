"""Training samples: an object of a synthetic movie seen through a window that follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.temporal import clip_indices
from napari_sam_i2v.propagation.frames import estimate_contrast, normalise
from napari_sam_i2v.propagation.motion import SIDE, moved_view
from napari_sam_i2v.propagation.view import View, bounding_box, box_size, window

__all__ = ["Batch", "Movie8", "draw_batch", "draw_bytes", "draw_sample", "moved"]

TARGET_SHARE = 2
"""Targets are made at the network's input size divided by this."""
MIN_PIXELS = 12
TRIES = 200
"""Draws before frames are chosen by where the objects are."""
JITTERY = 0.2
"""Share of samples whose window is placed badly, as after a bad answer."""
AWAY = 0.15
"""Share of samples whose window looks past the object on one frame: absent, then back."""
FILTERED, FILTER_SIZES = 0.35, (1, 3, 3, 5, 7)
"""Share of samples whose pictures go through a random filter, and sides of such filters."""
MOVED_ALONG = 0.6
"""Share of samples whose windows move along with the field, as a tracker's do."""


@dataclass(frozen=True)
class Movie8:
    """Bytes and labels of a movie: frames (T, Y, X) or (T, Y, X, 3) uint8, labels (T, Y, X)."""

    frames: NDArray[np.uint8]
    labels: NDArray[Any]

    @classmethod
    def of(cls, movie: NDArray[Any], labels: NDArray[Any]) -> Movie8:
        """Map a movie to bytes with the contrast that a session would give it."""
        contrast = estimate_contrast(movie)
        if contrast is None:
            return cls(movie, labels)
        return cls(np.stack([contrast.as_bytes(plane) for plane in movie]), labels)


@dataclass(frozen=True)
class Sample:
    """One object over a few frames.

    `clips` (T, 3, L, S, S) uint8 ends in the frame itself; `targets` (T, 1, h, w) float32 are
    shares of each pixel. `moves` (T, 4) float32 say where the window before lies: see `moved`.
    """

    clips: NDArray[np.uint8]
    targets: NDArray[np.float32]
    moves: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """B samples: `clips` (B, T, 3, L, S, S) normalised, `targets` (B, T, 1, h, w).

    `moves` (B, T, 4) as in `Sample`.
    """

    clips: Tensor
    targets: Tensor
    moves: Tensor

    @classmethod
    def of(cls, clips: Tensor, targets: Tensor, moves: Tensor, device: torch.device | str) -> Batch:
        """Bring bytes, shares and moves to a device, the bytes normalised."""
        scaled = normalise(clips.to(device).transpose(2, 3).float()).transpose(2, 3)
        return cls(scaled, targets.to(device), moves.to(device))


def draw_batch(
    movies: Sequence[Movie8],
    config: SamI2VConfig,
    rng: np.random.Generator,
    *,
    size: int,
    frames: int,
    device: torch.device | str = "cpu",
) -> Batch:
    """Draw `size` samples of `frames` frames."""
    return Batch.of(*draw_bytes(movies, config, rng, size=size, frames=frames), device)


def draw_bytes(
    movies: Sequence[Movie8],
    config: SamI2VConfig,
    rng: np.random.Generator,
    *,
    size: int,
    frames: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw clips (B, T, 3, L, S, S) of bytes, targets (B, T, 1, h, w) and moves (B, T, 4)."""
    samples = [draw_sample(movies, config, rng, frames=frames) for _ in range(size)]
    clips, targets, moves = (
        torch.from_numpy(np.stack([getattr(s, name) for s in samples]))
        for name in ("clips", "targets", "moves")
    )
    return clips, targets, moves


def draw_sample(
    movies: Sequence[Movie8], config: SamI2VConfig, rng: np.random.Generator, *, frames: int
) -> Sample:
    """Draw one object, some frames, and the windows a tracker would look through.

    Frames may be strided and reversed in time. The first frame always shows the object.

    Raises
    ------
    InputError
        If no frame of the movies shows any.
    """
    for _ in range(TRIES):
        movie = movies[int(rng.integers(len(movies)))]
        # A prompt may come in the middle of a movie: the first clip then has a past.
        past = config.clip_length - 1 if rng.random() < 0.5 else 0
        past = min(past, max(0, len(movie.frames) - frames))
        steps = _draw_frames(len(movie.frames), frames + past, rng)
        ids = _shown(movie, steps[past])
        if len(ids):
            break
    else:
        movie, steps, ids = _from_an_object(movies, frames, rng)
        past = 0
    masks = movie.labels[steps[past:]] == rng.choice(ids)
    views, placed = _follow(movie.frames[steps[past:]], masks, config, rng)
    turn, flip = int(rng.integers(4)), bool(rng.integers(2))
    change, filtered = _Tone(rng), _Filter(rng)
    clips, targets = [], []
    side = config.image_size // TARGET_SHARE
    for i, view in enumerate(views):
        clip = [_crop(movie.frames[steps[j]], view, config.image_size) for j in
                clip_indices(i + past, config.clip_length)]  # fmt: skip
        clips.append(change(np.stack(clip, axis=1)))
        share = _crop(masks[i].astype(np.uint8) * 255, view, side, Image.Resampling.BOX)[:1]
        targets.append(share.astype(np.float32) / 255)
    return Sample(
        _oriented(filtered(np.stack(clips)), turn, flip),
        _oriented(np.stack(targets), turn, flip),
        _oriented_moves(moved(views, placed), turn, flip),
    )


def _shown(movie: Movie8, t: int) -> NDArray[Any]:
    """Ids of the objects that are large enough on a frame."""
    ids, counts = np.unique(movie.labels[t], return_counts=True)
    return ids[(ids > 0) & (counts >= MIN_PIXELS)]


def _from_an_object(
    movies: Sequence[Movie8], wanted: int, rng: np.random.Generator
) -> tuple[Movie8, NDArray[np.intp], NDArray[Any]]:
    """A movie, frames of it from one that shows objects towards the farther end, and their ids.

    For short movies with objects in the middle alone, where drawn frames never begin.
    """
    for which in rng.permutation(len(movies)):
        movie = movies[which]
        last = len(movie.labels) - 1
        for t in rng.permutation(last + 1):
            ids = _shown(movie, t)
            if len(ids):
                onward = np.arange(wanted) if last - t >= t else -np.arange(wanted)
                return movie, np.clip(t + onward, 0, last), ids
    raise InputError(
        f"No object of at least {MIN_PIXELS} pixels is on any frame of the {len(movies)} movies "
        "that training draws from: check the labels, or raise size under [data]."
    )


def moved(views: Sequence[View], placed: Sequence[View] | None = None) -> NDArray[np.float32]:
    """Where each view lies in the one before it: (T, 4) float32 of (scale y, x, shift y, x).

    A point at p in a view, from -1 to 1 along each axis, lies at p * scale + shift in the view
    before. The first is taken to have been there before. Where views have moved along with what
    they show, `placed` are those that they were before that: the point is then one of things,
    not of the frame.
    """
    before = np.array([(v.y, v.x, v.height, v.width) for v in views], np.float64)
    boxes = np.array([(v.y, v.x, v.height, v.width) for v in placed or views], np.float64)
    before = np.concatenate((boxes[:1], before[:-1]))
    scale = boxes[:, 2:] / before[:, 2:]
    centres, old = (b[:, :2] + b[:, 2:] / 2 for b in (boxes, before))
    return np.hstack((scale, (centres - old) / (before[:, 2:] / 2))).astype(np.float32)


def _oriented_moves(moves: NDArray[np.float32], turn: int, flip: bool) -> NDArray[np.float32]:
    """Moves as they are after `_oriented`: a quarter turn takes (y, x) to (-x, y)."""
    scale_y, scale_x, y, x = moves.T
    for _ in range(turn):
        scale_y, scale_x, y, x = scale_x, scale_y, -x, y
    return np.stack((scale_y, scale_x, y, -x if flip else x), axis=1)


def _draw_frames(available: int, wanted: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Frames at a stride of 1 or 2, forward or backward; the last is repeated if too few."""
    longest = max(1, (available - 1) // max(wanted - 1, 1))
    stride = min(longest, 1 + int(rng.random() < 0.3))
    length = min(wanted, (available - 1) // stride + 1)
    start = rng.integers(available - (length - 1) * stride)
    steps = start + stride * np.arange(length)
    if rng.random() < 0.5:
        steps = steps[::-1]
    return np.concatenate((steps, np.repeat(steps[-1:], wanted - length)))


def _follow(
    frames: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    config: SamI2VConfig,
    rng: np.random.Generator,
) -> tuple[list[View], list[View]]:
    """Windows that lag one frame behind the object, with jitter; or the same wide view.

    Also those windows as they were placed, before they moved along with what they show.
    """
    shape = masks.shape[1:]
    boxes = [bounding_box(mask) for mask in masks]
    first = boxes[0]
    if first is None:
        raise ValueError("A sample starts on a frame that shows its object.")
    size = box_size(first)
    zoom = config.window_scale * float(np.exp(rng.normal(0, 0.3)))
    if size * zoom > 0.8 * min(shape) or rng.random() < 0.05:
        return [View.whole(shape)] * len(masks), [View.whole(shape)] * len(masks)
    centre = np.array([(first[0] + first[2]) / 2, (first[1] + first[3]) / 2])
    off = rng.uniform(-0.4, 0.4, 2) * size  # the first click is anywhere on the object
    views: list[View] = []
    placed: list[View] = []
    smooth = size
    jitter = 0.2 if rng.random() < JITTERY else 0.05
    away = int(rng.integers(1, len(masks))) if len(masks) > 1 and rng.random() < AWAY else -1
    along = rng.random() < MOVED_ALONG
    for i in range(len(masks)):
        noise = rng.normal(0, jitter, 2) * size
        if i == away:
            angle, far = rng.uniform(0, 2 * np.pi), zoom * smooth * rng.uniform(0.8, 1.3)
            noise += far * np.array([np.sin(angle), np.cos(angle)])
        view = window(centre + off * (i == 0) + noise, smooth * zoom, shape)
        placed.append(view)
        views.append(_moved_along(view, frames[i - 1], frames[i]) if along and i else view)
        box = boxes[i]
        if box is not None:
            centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
            smooth = 0.6 * smooth + 0.4 * box_size(box)
    return views, placed


def _moved_along(view: View, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> View:
    """Where a window lies once it has moved along with what it shows."""
    first, second = (_crop(frame, view, SIDE).mean(axis=0) for frame in (before, after))
    return moved_view(view, first, second, before.shape)


def _crop(
    image: NDArray[Any],
    view: View,
    size: int,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> NDArray[np.uint8]:
    """(3, size, size) bytes of a view."""
    crop = Image.fromarray(np.ascontiguousarray(image[view.slices])).resize((size, size), resample)
    array = np.asarray(crop)
    if array.ndim == 2:
        return np.broadcast_to(array, (3, size, size))
    return array.transpose(2, 0, 1)


class _Tone:
    """One random grey-value change for a whole sample: gain, offset, gamma, inversion, tint."""

    def __init__(self, rng: np.random.Generator) -> None:
        gamma = float(np.exp(rng.normal(0, 0.2)))
        gain = rng.uniform(0.75, 1.25)
        offset = rng.uniform(-0.1, 0.1)
        ramp = np.linspace(0, 1, 256) ** gamma
        ramp = np.clip((ramp - 0.5) * gain + 0.5 + offset, 0, 1)
        if rng.random() < 0.15:
            ramp = 1 - ramp
        tables = np.broadcast_to(ramp, (3, 256))
        if rng.random() < 0.15:  # a little colour, so that RGB movies are not foreign
            tables = np.clip(tables * rng.uniform(0.7, 1.3, (3, 1)), 0, 1)
        self.tables = np.rint(tables * 255).astype(np.uint8)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Keep the shape (3, ...)."""
        return np.stack([table[plane] for table, plane in zip(self.tables, images, strict=True)])


class _Filter:
    """One random linear filter for a whole sample, or none.

    It changes what edges and textures look like and keeps shapes, so that what is learnt of
    synthetic pictures does not hang on how these are drawn (RandConv, Xu et al., ICLR 2021).
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.share = rng.uniform(0.3, 1.0) if rng.random() < FILTERED else 0.0
        size = int(rng.choice(FILTER_SIZES))
        self.kernel = rng.normal(size=(3, 3, size, size)).astype(np.float32)

    def __call__(self, clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Keep the shape (T, 3, L, S, S), the mean and the contrast; what is grey stays grey."""
        if not self.share:
            return clips
        frames = torch.from_numpy(clips).transpose(1, 2).flatten(0, 1).float()
        grey = bool((frames[:, :1] == frames).all())
        kernel = torch.from_numpy(self.kernel[:1, :1] if grey else self.kernel)
        plain = frames[:, :1] if grey else frames
        half = kernel.shape[-1] // 2
        found = F.conv2d(F.pad(plain, (half,) * 4, mode="replicate"), kernel)
        mean, spread = plain.mean(), plain.std()
        before, after = _standard(plain), _standard(found)
        sign = 1.0 if float((before * after).mean()) >= 0 else -1.0  # they must not cancel out
        mixed = _standard(self.share * after + (1 - self.share) * sign * before)
        mixed = (mixed * spread + mean).clamp(0, 255).round()
        shape = (clips.shape[0], clips.shape[2], -1, *clips.shape[3:])
        return mixed.byte().reshape(shape).transpose(1, 2).expand(*clips.shape).numpy()


def _standard(pictures: Tensor) -> Tensor:
    return (pictures - pictures.mean()) / pictures.std().clamp(min=1e-6)


def _oriented(array: NDArray[Any], turn: int, flip: bool) -> NDArray[Any]:
    turned = np.rot90(array, turn, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if flip else turned)
