"""Frames of a movie as the network sees them, read lazily, with one contrast for all.

A movie is anything with a shape (T, Y, X) or (T, Y, X, 3) whose `movie[t]` gives a frame: a
`Movie` of ours, a numpy, dask or zarr array.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from napari_sam_i2v.errors import MovieError, SamI2VError
from napari_sam_i2v.network.sam_i2v import IMAGE_MEAN, IMAGE_STD
from napari_sam_i2v.propagation.view import View

__all__ = [
    "Contrast",
    "FrameSource",
    "MovieLike",
    "OneChannel",
    "estimate_contrast",
    "network_image",
    "normalise",
    "view_planes",
    "without_alpha",
]

SAMPLED_FRAMES = 16
PERCENTILES = (0.3, 99.7)
TARGET_MEAN, LEAST_GAMMA = 0.35, 0.4
"""Movies darker than this on average are brightened, by no smaller an exponent than this."""


class MovieLike(Protocol):
    """What a movie must offer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, Y, X) or (T, Y, X, 3)."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return frame `index`."""


@dataclass(frozen=True)
class Contrast:
    """Grey values that become black and white, the same for every frame of a movie.

    Attributes
    ----------
    low, high
        Grey values that become 0 and 255.
    gamma
        Exponent of the values in between; below 1 for movies that are mostly dark, so that dim
        structures beside bright ones keep some contrast.
    """

    low: float
    high: float
    gamma: float = 1.0

    @property
    def values(self) -> tuple[float, float, float]:
        """(low, high, gamma), as a session takes them."""
        return self.low, self.high, self.gamma

    def apply(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Map an image to 0 .. 255; what is not a number becomes black."""
        kind = _arithmetic(image.dtype)
        scale = kind.type(255 / max(self.high - self.low, 1000 * float(np.finfo(kind).tiny)))
        mapped = (image.astype(kind) - kind.type(self.low)) * scale
        return np.clip(np.nan_to_num(mapped, nan=0.0), 0, 255).astype(np.float32, copy=False)

    def as_bytes(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Map an image to bytes, gamma included."""
        return np.rint(self.brighten(self.apply(image))).astype(np.uint8)

    def brighten(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Apply `gamma` to an image of 0 .. 255."""
        if self.gamma == 1:
            return image
        # A power by way of logarithms takes an eighth of numpy's time; that of 0 is 0.
        share = torch.from_numpy(image * np.float32(1 / 255))
        return share.log2_().mul_(self.gamma).exp2_().mul_(255).numpy()


def estimate_contrast(
    movie: MovieLike,
    frames: Sequence[int] | None = None,
    *,
    limits: tuple[float, float] | None = None,
) -> Contrast | None:
    """Return robust limits from a sample of a movie's frames, or None for RGB bytes.

    RGB of 8 bits passes unchanged, as published. Anything else is mapped from its 0.3 and 99.7
    percentiles over up to 16 frames spread over the movie. A movie whose mean is then below
    0.35 is brightened by a gamma that takes the mean there, but not below 0.4.

    Parameters
    ----------
    movie
        (T, Y, X) or (T, Y, X, 3).
    frames
        Frames to look at; spread over the movie where not given.
    limits
        Use these grey values as black and white instead of percentiles; frames that cannot be
        read are then left out.

    Raises
    ------
    MovieError
        If the sampled frames hold no finite value.
    """
    movie = without_alpha(movie)
    rgb_bytes = len(movie.shape) == 4 and np.dtype(getattr(movie, "dtype", np.uint8)) == np.uint8
    if rgb_bytes and limits is None:
        return None
    if frames is None:
        count = min(SAMPLED_FRAMES, movie.shape[0])
        frames = np.unique(np.linspace(0, movie.shape[0] - 1, count).astype(int)).tolist()
    values = np.concatenate([_sampled(movie, t, skip=limits is not None) for t in frames])
    if not values.size and limits is not None:
        return Contrast(*limits)
    if not values.size:
        raise MovieError(
            "A movie needs finite grey values; the sampled frames hold only NaN or infinity. "
            "Give the contrast limits, or check the file."
        )
    low, high = limits or np.percentile(values, PERCENTILES)
    if high <= low:
        low, high = float(values.min()), float(values.max())
    flat = float(low) + max(1.0, abs(float(low)) * 1e-6)
    contrast = Contrast(float(low), float(high) if high > low else flat)
    return replace(contrast, gamma=_gamma(float(contrast.apply(values).mean()) / 255))


def _arithmetic(dtype: np.dtype[Any]) -> np.dtype[np.floating[Any]]:
    """Type that pixels are mapped in: a small range on a large offset needs the wider one."""
    fits = dtype.itemsize < 4 or dtype == np.float32
    return np.dtype(np.float32 if fits else np.float64)


def _sampled(movie: MovieLike, t: int, *, skip: bool) -> NDArray[np.floating[Any]]:
    """Some finite grey values of a frame; none of an unreadable one that may be skipped."""
    try:
        frame = np.asarray(movie[t])
    except (MovieError, OSError):
        if not skip:
            raise
        return np.zeros(0, np.float32)
    step = max(1, int(np.sqrt(frame.shape[0] * frame.shape[1] / 65536)))
    values = frame[::step, ::step].astype(_arithmetic(frame.dtype)).ravel()
    return values[np.isfinite(values)]


def _gamma(mean: float) -> float:
    """Exponent for a movie whose grey values, 0 .. 1, have this mean."""
    if mean >= TARGET_MEAN:
        return 1.0
    return max(LEAST_GAMMA, math.log(TARGET_MEAN) / math.log(max(mean, 1e-6)))


def network_image(
    frame: NDArray[Any], view: View, size: int, contrast: Contrast | None
) -> NDArray[np.float32]:
    """Cut a view out of a frame and resize it, as published, to (3, size, size) in 0 .. 255."""
    return np.broadcast_to(view_planes(frame, view, size, contrast), (3, size, size))


def view_planes(
    frame: NDArray[Any], view: View, size: int, contrast: Contrast | None
) -> NDArray[np.float32]:
    """A view of a frame as `network_image` gives it; one plane (1, size, size) where it is grey."""
    crop = np.ascontiguousarray(frame[view.slices])
    if contrast is None:
        image = Image.fromarray(crop, "RGB" if crop.ndim == 3 else "L").convert("RGB")
        return np.ascontiguousarray(_resized(image, size).transpose(2, 0, 1), dtype=np.float32)
    mapped = contrast.apply(crop)
    planes = [mapped] if mapped.ndim == 2 else [mapped[..., c] for c in range(mapped.shape[-1])]
    images = (Image.fromarray(np.ascontiguousarray(plane)) for plane in planes)
    out = np.stack([_resized(image, size) for image in images])
    return contrast.brighten(out.clip(0, 255, out=out))


def _resized(image: Image.Image, size: int) -> NDArray[Any]:
    """Pixels of an image that is brought to (size, size)."""
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def normalise(images: Tensor) -> Tensor:
    """Scale images (..., 3, S, S) from 0 .. 255 to the network's input.

    Grey ones may be given as one plane (..., 1, S, S); they become three.
    """
    mean = torch.tensor(IMAGE_MEAN, device=images.device)[:, None, None]
    std = torch.tensor(IMAGE_STD, device=images.device)[:, None, None]
    return (images / 255 - mean).div_(std)


class FrameSource:
    """Frames of a movie in one direction of time, cached for a clip, with read-ahead.

    Parameters
    ----------
    movie
        (T, Y, X) or (T, Y, X, 3).
    contrast
        From `estimate_contrast`; None passes bytes unchanged.
    size
        Side of the network's input.
    reverse
        Show the movie flipped in time: index 0 is its last frame.
    keep
        Raw frames to hold, at least a clip's length.

    Raises
    ------
    MovieError
        When a frame cannot be read; the message names it.
    """

    def __init__(
        self,
        movie: MovieLike,
        contrast: Contrast | None,
        size: int,
        *,
        reverse: bool = False,
        keep: int = 8,
    ) -> None:
        self.movie, self.contrast, self.size = movie, contrast, size
        self.reverse, self.keep = reverse, keep
        self.n_frames = int(movie.shape[0])
        self.shape = (int(movie.shape[1]), int(movie.shape[2]))
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._images: OrderedDict[tuple[int, View], Tensor] = OrderedDict()
        self._ahead: dict[int, Future[NDArray[Any]]] = {}
        self._lock = threading.Lock()
        self._reader: ThreadPoolExecutor | None = None

    def to_movie(self, index: int) -> int:
        """Movie frame of an index in this direction; its own inverse."""
        return self.n_frames - 1 - index if self.reverse else index

    def frame(self, index: int) -> NDArray[Any]:
        """Raw frame (Y, X) or (Y, X, 3) at an index in this direction of time."""
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
            waiting = self._ahead.pop(index, None)
        frame = waiting.result() if waiting is not None else self._read(index)
        with self._lock:
            self._cache[index] = frame
            while len(self._cache) > self.keep:
                self._cache.popitem(last=False)
        return frame

    def read_ahead(self, index: int) -> None:
        """Start to read a frame in the background."""
        with self._lock:
            inside = 0 <= index < self.n_frames
            if not inside or index in self._cache or index in self._ahead:
                return
            if self._reader is None:
                self._reader = ThreadPoolExecutor(1, thread_name_prefix="sam-i2v-reader")
            self._ahead[index] = self._reader.submit(self._read, index)

    def clip(self, indices: Sequence[int], views: Sequence[View]) -> Tensor:
        """Normalised clips (len(views), 3, len(indices), size, size), one per view."""
        # What belongs to one frame lies together, as frames are looked at one by one.
        clips = torch.empty(len(views), len(indices), 3, self.size, self.size)
        for clip, view in zip(clips, views, strict=True):
            for i, index in enumerate(indices):
                clip[i] = self._image(index, view)
        return clips.transpose(1, 2)

    def close(self) -> None:
        """Stop reading ahead."""
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)
            self._reader = None
        self._ahead.clear()

    def _image(self, index: int, view: View) -> Tensor:
        """Frame (3, size, size) as the network sees it through a view."""
        key = (index, view)
        if key not in self._images:
            frame = self.frame(index)
            # One image at a time: its intermediate results stay in the processor's cache.
            planes = torch.from_numpy(view_planes(frame, view, self.size, self.contrast))
            self._images[key] = normalise(planes)
            # Enough for a clip through one view; other views rarely come back.
            while len(self._images) > self.keep:
                self._images.popitem(last=False)
        return self._images[key]

    def _read(self, index: int) -> NDArray[Any]:
        t = self.to_movie(index)
        try:
            return np.asarray(self.movie[t])
        except SamI2VError:
            raise
        except Exception as error:
            raise MovieError(
                f"Frame {t} of the movie cannot be read ({type(error).__name__}: {error}). "
                "Check the file, or leave the frame out with a range of frames."
            ) from error


def without_alpha(movie: MovieLike) -> MovieLike:
    """Return a movie (T, Y, X, 4) without its last channel, others as they are."""
    rgba = len(movie.shape) == 4 and movie.shape[-1] == 4
    return OneChannel(movie, slice(0, 3)) if rgba else movie


class OneChannel:
    """A channel (or a slice of channels) of a movie (T, Y, X, C), as lazy as the movie is."""

    def __init__(self, movie: MovieLike, channel: int | slice) -> None:
        self.movie, self.channel = movie, channel
        count = len(range(*channel.indices(movie.shape[-1]))) if isinstance(channel, slice) else 0
        self.shape = tuple(movie.shape[:3]) + ((count,) if count else ())
        self.dtype = np.dtype(getattr(movie, "dtype", np.uint8))

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Frame `index`."""
        return np.asarray(self.movie[index])[..., self.channel]
