"""AVI, MP4, MOV and Matroska: any frame by its number, exactly as decoding from the start gives it.

Frames are counted, not timed, so that a variable frame rate changes nothing. The speed of the
playback is not taken for the interval of the recording: a time-lapse is played faster.
"""

from __future__ import annotations

import bisect
import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.limits import MAX_PLANES
from napari_sam_i2v.movies.source import Source, planes_reader

_CACHE_BYTES = 128 * 2**20
_DAMAGED = "is truncated or damaged, or no video"


def open_video(path: Path) -> Source:
    """Open the first video stream; its packets are listed and not decoded.

    Raises
    ------
    MovieError
        If the file is damaged, holds no video, or PyAV is not installed.
    """
    av = library("av", extra="video", what=path)
    try:
        frames = _Frames(av, path)
    except av.FFmpegError as err:
        raise MovieError(f"{path} {_DAMAGED}: {err.strerror}") from err
    return Source(
        path=path,
        name=path.name,
        axes="TYX" if frames.pixels.startswith("gray") else "TYXS",
        shape=(len(frames.times), *frames.shape),
        dtype=np.dtype(np.uint16 if "16" in frames.pixels else np.uint8),
        read=planes_reader((len(frames.times),), frames.read),
    )


class _Frames:
    """Frames of one video stream by number; a lock, because napari slices from threads.

    Attributes
    ----------
    times
        When each frame is shown, ascending, in the stream's own unit.
    pixels
        What frames are turned into: gray, gray16le or rgb24.
    shape
        (Y, X) or (Y, X, 3).
    """

    _container: Any
    _stream: Any

    def __init__(self, av: Any, path: Path) -> None:
        self._av, self._path, self._lock = av, path, threading.Lock()
        self._finalizer: Callable[[], Any] = lambda: None
        self._open()
        stream = self._stream
        self.pixels = _pixels(stream.codec_context.pix_fmt or "", av)
        colour = () if self.pixels.startswith("gray") else (3,)
        self.shape = (stream.height, stream.width, *colour)
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        size = math.prod(self.shape) * (2 if "16" in self.pixels else 1)
        self._room = max(1, _CACHE_BYTES // max(size, 1))
        self._damaged: set[int] = set()
        self._exact, self.times, self._keys = self._listed()

    def read(self, where: tuple[int, ...]) -> np.ndarray:
        """Give frame `where[0]`, decoding from the last key frame where that is needed."""
        (number,) = where
        with self._lock:
            if number not in self._cache:
                try:
                    self._decode_to(number)
                except BaseException:
                    self._open()  # a decoder that failed is in no known state
                    raise
            self._cache.move_to_end(number)
            return self._cache[number].copy()

    def _open(self) -> None:
        """Open the file; the previous container, if any, is closed."""
        self._finalizer()
        self._container = self._av.open(str(self._path))
        self._finalizer = weakref.finalize(self, self._container.close)
        if not self._container.streams.video:
            raise MovieError(f"{self._path} holds no video")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._decoded: Iterator[tuple[int, Any]] = iter(())
        self._next: int | None = None

    def _listed(self) -> tuple[bool, list[int], list[int]]:
        """List the times of frames and of key frames; whether packets tell them.

        Where they do not (an AVI stores frames in the order of decoding, and not when each is
        shown), everything is decoded once, and frames are counted.
        """
        packets, broken = [], set()
        for packet in self._container.demux(self._stream):
            if packet.size and not packet.is_discard:
                packets.append((packet.pts, packet.is_keyframe))
            if packet.is_corrupt:  # the decoder would rather make something up than stop
                broken.add(packet.pts)
            if len(packets) > MAX_PLANES:
                raise MovieError(f"{self._path} declares more than {MAX_PLANES} frames: refused")
        times = sorted(pts for pts, _ in packets if pts is not None)
        if not packets:
            raise MovieError(f"{self._path} {_DAMAGED}: it holds no frames")
        reordered = self._container.format.name == "avi" and self._stream.codec_context.has_b_frames
        if len(set(times)) == len(packets) and not reordered:
            self._damaged = {k for k, time in enumerate(times) if time in broken}
            return True, times, sorted(pts for pts, key in packets if key and pts is not None)
        self._open()
        count = sum(1 for _ in self._container.decode(self._stream))
        self._open()
        return False, list(range(count)), [0]

    def _decode_to(self, number: int) -> None:
        """Decode until the frame is in the cache, going back only where there is no way on."""
        if self._next is None or number < self._next or self._key_before(number) > self._next:
            self._seek(number)
        for found, frame in self._decoded:
            self._next = found + 1
            if number - found < self._room:  # those before it may be asked for next
                self._keep(found, frame)
            if found == number:
                return
            if found > number:
                break
        raise MovieError(
            f"frame {number} of {self._path} cannot be decoded: the file {_DAMAGED}; frames before "
            "it can be read"
        )

    def _key_before(self, number: int) -> int:
        """Give the number of the last key frame up to a frame."""
        at = bisect.bisect_right(self._keys, self.times[number]) - 1
        return bisect.bisect_left(self.times, self._keys[max(at, 0)]) if self._keys else 0

    def _seek(self, number: int) -> None:
        if not self._exact:
            self._open()
            self._decoded = enumerate(self._container.decode(self._stream))
            return
        start = self.times[self._key_before(number)]
        self._container.seek(start, stream=self._stream, backward=True)
        self._decoded = self._numbered()

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        """Decode on, saying which frame each is."""
        for frame in self._container.decode(self._stream):
            at = bisect.bisect_left(self.times, frame.pts) if frame.pts is not None else -1
            if 0 <= at < len(self.times) and self.times[at] == frame.pts:
                yield at, frame

    def _keep(self, number: int, frame: Any) -> None:
        if frame.is_corrupt or number in self._damaged:
            raise MovieError(f"frame {number} of {self._path} is damaged")
        pixels = frame.to_ndarray(format=self.pixels)
        if pixels.shape != self.shape:
            raise MovieError(
                f"frame {number} of {self._path} has shape {pixels.shape}, the video {self.shape}: "
                "all frames must have one shape"
            )
        self._cache[number] = pixels
        self._cache.move_to_end(number)
        while len(self._cache) > self._room:
            self._cache.popitem(last=False)


def _pixels(stored: str, av: Any) -> str:
    """Choose what frames are turned into: grey stays grey, deep grey stays deep."""
    try:
        components = av.VideoFormat(stored).components
    except ValueError:
        return "rgb24"
    if len(components) > 1 or stored.startswith(("pal", "bayer")):
        return "rgb24"
    return "gray" if components[0].bits <= 8 else "gray16le"
