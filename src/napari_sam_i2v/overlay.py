"""A picture of tracked labels for a person to look at: frames, outlines and clicks.

Outlines are traced at sub-pixel positions and drawn at twice the size, then reduced, so that
small objects look as smooth as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.colours import colour_of

__all__ = ["check_picture", "overlay_frames", "overlay_sheet", "save_picture"]

Click = tuple[int, int, float, float]
"""(object_id, frame, y, x)."""

PANEL = 420
"""Longer side of a panel, in pixels of the picture."""
SHARP = 2
"""Drawn this many times larger, then reduced."""
GAP, HEAD = 10, 44
INK, SOFT, GROUND = (240, 240, 240), (170, 170, 176), (24, 24, 28)
FILL = 0.16
"""Share of an object's colour inside its outline."""


def overlay_sheet(
    movie: Any,
    labels: Any,
    *,
    clicks: Sequence[Click] = (),
    frames: Sequence[int] | None = None,
    columns: int = 3,
    title: str = "",
    interval: tuple[float, str] | None = None,
) -> NDArray[np.uint8]:
    """Draw frames of a movie with the outlines of the labels.

    Parameters
    ----------
    movie, labels
        (T, Y, X) or (T, Y, X, 3), and (T, Y, X); anything whose ``[t]`` gives a frame.
    clicks
        (object_id, frame, y, x) in data pixels; each is drawn on its frame.
    frames
        Frames to show; by default the first click's frame, the last frame, and four between.
    columns
        Panels per row.
    title
        Printed above.
    interval
        Time from frame to frame and its unit, printed on the panels.

    Returns
    -------
    np.ndarray
        uint8 (H, W, 3).
    """
    shown = list(frames) if frames is not None else _spread(int(movie.shape[0]), clicks)
    if not shown:
        raise InputError("A sheet needs at least one frame.")
    low, high = _limits(movie, shown)
    panels = [
        _panel(
            _grey(np.asarray(movie[t]), low, high),
            np.asarray(labels[t]),
            [click for click in clicks if click[1] == t],
            _time(t, interval),
        )
        for t in shown
    ]
    return np.asarray(_assembled(panels, columns, title))


def overlay_frames(
    movie: Any, labels: Any, *, interval: tuple[float, str] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Draw every frame of a movie with the outlines of its labels.

    Parameters and values are those of `overlay_sheet`, a picture per frame, all of one size.
    """
    count = int(movie.shape[0])
    low, high = _limits(movie, _spread(count, ()))
    for t in range(count):
        frame = _grey(np.asarray(movie[t]), low, high)
        yield np.asarray(_panel(frame, np.asarray(labels[t]), (), _time(t, interval)))


def check_picture(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Check that a picture can be written, touching nothing.

    Raises
    ------
    InputError
        If the name does not end in .png.
    OutputError
        If its folder is missing, or something is there and may not be replaced.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise InputError(f"Pictures are written as .png, got {str(target)!r}.")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist: make it first")
    if os.path.lexists(target) and not (overwrite and target.is_file()):
        raise OutputError(f"{target} exists: choose another name, or overwrite it (--overwrite)")
    return target


def save_picture(
    picture: NDArray[np.uint8], path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a picture (H, W, 3) as PNG, renamed into place when whole; see `check_picture`."""
    target = check_picture(path, overwrite=overwrite)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        Image.fromarray(picture).save(part, format="PNG", optimize=True)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


# ---- what is shown ----------------------------------------------------------------------------


def _spread(n_frames: int, clicks: Sequence[Click], panels: int = 6) -> list[int]:
    first = min((frame for _, frame, _, _ in clicks), default=0)
    return sorted({round(t) for t in np.linspace(first, n_frames - 1, panels).tolist()})


def _limits(movie: Any, frames: Iterable[int]) -> tuple[float, float]:
    """One contrast for all panels: robust percentiles of the frames shown."""
    values = np.concatenate([np.asarray(movie[t]).ravel()[::7] for t in frames]).astype(float)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.7))
    return float(low), float(max(high, low + 1e-6))


def _grey(frame: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """(Y, X, 3) bytes of a frame; RGB bytes as they are."""
    if frame.ndim == 3 and frame.dtype == np.uint8:
        return frame
    scaled = np.clip((frame.astype(np.float32) - low) / (high - low), 0, 1)
    # A gentle gamma: dim objects must be seen on paper too.
    bright = (255 * np.nan_to_num(scaled) ** 0.8).astype(np.uint8)
    return np.repeat(bright[..., None], 3, axis=2) if bright.ndim == 2 else bright


def _time(frame: int, interval: tuple[float, str] | None) -> str:
    if interval is None:
        return f"frame {frame}"
    return f"frame {frame}  ·  {frame * interval[0]:g} {interval[1]}"


# ---- drawing ----------------------------------------------------------------------------------


def _panel(
    frame: NDArray[np.uint8], labels: NDArray[Any], clicks: Sequence[Click], caption: str
) -> Image.Image:
    """One frame, enlarged, with outlines, clicks and a caption."""
    height, width = frame.shape[:2]
    scale = SHARP * PANEL / max(height, width)
    size = (round(width * scale), round(height * scale))
    picture = Image.fromarray(_tinted(frame, labels)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for ident in np.unique(labels[labels > 0]).tolist():
        for line in _outlines(labels == ident):
            # Pixel centres are at whole numbers; a pixel begins half before.
            points = [((x + 0.5) * scale, (y + 0.5) * scale) for y, x in line]
            draw.line(points, fill=colour_of(ident), width=2 * SHARP, joint="curve")
    for ident, _, y, x in clicks:
        _draw_click(draw, (x + 0.5) * scale, (y + 0.5) * scale, colour_of(ident))
    font = ImageFont.load_default(15 * SHARP)
    at = (10 * SHARP, size[1] - 26 * SHARP)
    draw.text(at, caption, INK, font, stroke_width=2 * SHARP, stroke_fill=GROUND)
    return picture.resize((size[0] // SHARP, size[1] // SHARP), Image.Resampling.LANCZOS)


def _tinted(frame: NDArray[np.uint8], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Add a little of each object's colour inside it."""
    picture = frame.astype(np.float32)
    for ident in np.unique(labels[labels > 0]).tolist():
        inside = labels == ident
        picture[inside] = (1 - FILL) * picture[inside] + FILL * np.array(colour_of(ident))
    return picture.astype(np.uint8)


def _outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed curves (N, 2) as (y, x) around a mask."""
    from scipy import ndimage
    from skimage.measure import find_contours

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, x0 = int(rows[0]), int(columns[0])
    crop = np.pad(mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1], 3).astype(np.float32)
    # Takes the stairs out; just inside the edge, so that neighbours do not hide each other.
    smooth = ndimage.gaussian_filter(crop, 0.7)
    found = find_contours(smooth, 0.7) or find_contours(crop, 0.5)
    lines = [np.add(line, (y0 - 3, x0 - 3)) for line in found]
    height, width = mask.shape
    return [np.clip(line, (0, 0), (height - 1, width - 1)) for line in lines]


def _draw_click(
    draw: ImageDraw.ImageDraw, x: float, y: float, colour: tuple[int, int, int]
) -> None:
    """A dot in the object's colour with a white ring."""
    for radius, ink in ((7, GROUND), (6, (255, 255, 255)), (3.5, colour)):
        r = radius * SHARP
        draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)


def _assembled(panels: Sequence[Image.Image], columns: int, title: str) -> Image.Image:
    width, height = panels[0].size
    columns = max(1, min(columns, len(panels)))
    rows = -(-len(panels) // columns)
    head = HEAD if title else GAP
    size = (GAP + columns * (width + GAP), head + rows * (height + GAP))
    sheet = Image.new("RGB", size, GROUND)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((GAP + 2, 12), title, INK, ImageFont.load_default(20))
        legend = "dots: clicks"
        font = ImageFont.load_default(14)
        draw.text((size[0] - GAP - draw.textlength(legend, font), 18), legend, SOFT, font)
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        sheet.paste(panel, (GAP + column * (width + GAP), head + row * (height + GAP)))
    return sheet
