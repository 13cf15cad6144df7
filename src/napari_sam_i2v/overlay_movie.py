"""A movie to look at: every frame with the outlines of its labels, as MP4 or GIF."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.output import check_text, renamed_when_whole
from napari_sam_i2v.overlay import overlay_frames

__all__ = ["SUFFIXES", "check_overlay", "save_overlay"]

SUFFIXES = (".mp4", ".gif")
RATE = 10
"""Frames per second."""


def check_overlay(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Check that a movie can be written, touching nothing.

    Raises
    ------
    InputError
        If the name ends in neither .mp4 nor .gif, or the package that writes MP4 is missing.
    OutputError
        If its folder is missing, or something is there and may not be replaced.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"An overlay is written as .mp4 or .gif, got {Path(path).name!r}.")
    if suffix == ".mp4":
        _codec()
    return check_text(path, suffix=suffix, overwrite=overwrite)


def save_overlay(
    movie: Any,
    labels: Any,
    path: str | os.PathLike[str],
    *,
    rate: int = RATE,
    interval: tuple[float, str] | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw the outlines of the labels on every frame and write them as a movie.

    An MP4 (H.264, plays everywhere) is written frame by frame; of a GIF the whole is held, so it
    is for short movies.

    Parameters
    ----------
    movie, labels
        (T, Y, X) or (T, Y, X, 3), and (T, Y, X); anything whose ``[t]`` gives a frame.
    path
        Ends in .mp4, which needs the extra `video`, or .gif.
    rate
        Frames per second.
    interval
        Time from frame to frame and its unit, printed on the frames.
    overwrite
        Whether an older file may be replaced.

    Raises
    ------
    InputError
        If the sizes differ, or as for `check_overlay`.
    OutputError
        If something is there already, or the file cannot be written.
    """
    target = check_overlay(path, overwrite=overwrite)
    if tuple(movie.shape[:3]) != tuple(labels.shape):
        raise InputError(
            "An overlay needs the movie that was tracked: as large as its labels "
            f"{tuple(labels.shape)}, got {tuple(movie.shape)}."
        )
    frames = overlay_frames(movie, labels, interval=interval)
    with renamed_when_whole(target) as part:
        write = _write_mp4 if target.suffix.lower() == ".mp4" else _write_gif
        write(part, frames, rate)
    return target


def _write_gif(part: Path, frames: Iterator[NDArray[np.uint8]], rate: int) -> None:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(
        part, format="GIF", save_all=True, append_images=rest, duration=round(1000 / rate), loop=0
    )


def _write_mp4(part: Path, frames: Iterator[NDArray[np.uint8]], rate: int) -> None:
    import av

    with av.open(str(part), "w", format="mp4") as container:
        stream: Any = None
        for frame in frames:
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]  # H.264 asks for it
            if stream is None:
                stream = container.add_stream(_codec(), rate=rate)
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _codec() -> str:
    """The best encoder that this build of FFmpeg has."""
    av = library("av", extra="video", what="MP4 (a GIF does not)", error=InputError)
    known = [name for name in ("libx264", "h264", "mpeg4") if name in av.codecs_available]
    return known[0]
