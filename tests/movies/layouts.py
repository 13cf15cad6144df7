"""A small movie with labels, written in the layouts of movies with a known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIDE = 96


def discs(
    frames: int = 6, side: int = SIDE, radius: int = 7, dtype: type = np.uint16
) -> tuple[np.ndarray, np.ndarray]:
    """Two bright discs, objects 3 and 8, that drift apart: movie and labels (T, Y, X)."""
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((frames, side, side), np.uint16)
    for t in range(frames):
        for ident, cy, cx in ((3, 24 + t, 24), (8, side - 26, side - 32 + t)):
            labels[t][(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = ident
    noise = np.random.default_rng(0).integers(0, 20, labels.shape)
    return (40 + noise + 160 * (labels > 0)).astype(dtype), labels


def write_tiff(folder: Path, movie: np.ndarray, labels: np.ndarray, name: str = "") -> Path:
    """`movie.tif` and `labels.tif`, or `NAME.tif` and `NAME_labels.tif`."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}_labels" if name else "labels"
    for file, stack in ((name or "movie", movie), (stem, labels)):
        path = folder / f"{file}.tif"
        tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "TYX"})
    return folder


def write_davis(
    folder: Path, movie: np.ndarray, labels: np.ndarray, *, frames: list[int] | None = None
) -> Path:
    """One clip whose palette PNGs hold ids as indices, on all frames or some."""
    pictures = folder / "JPEGImages" / "480p" / "clip"
    masks = folder / "Annotations" / "480p" / "clip"
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    for t, plane in enumerate(movie):
        rgb = np.repeat(plane.astype(np.uint8)[..., None], 3, axis=-1)
        Image.fromarray(rgb).save(pictures / f"{t:05d}.jpg", quality=95)
        if frames is None or t in frames:
            picture = Image.fromarray(labels[t].astype(np.uint8), mode="P")
            picture.putpalette([v for i in range(256) for v in (255 - i, i * 7 % 256, 90)])
            picture.save(masks / f"{t:05d}.png")
    return folder


def write_cell_tracking(
    folder: Path,
    movie: np.ndarray,
    labels: np.ndarray,
    *,
    outlined: list[int],
    markers: bool = True,
) -> Path:
    """Sequence 01 with sparse masks, whose ids change at every frame, and small markers."""
    seg, tra, frames = (folder / part for part in ("01_GT/SEG", "01_GT/TRA", "01"))
    for one in (seg, tra, frames):
        one.mkdir(parents=True, exist_ok=True)
    for t, plane in enumerate(movie):
        tifffile.imwrite(frames / f"t{t:03d}.tif", plane)
        if markers:
            tifffile.imwrite(tra / f"man_track{t:03d}.tif", as_markers(labels[t]))
        if t in outlined:
            swapped = np.zeros_like(labels[t])
            for k, ident in enumerate(np.unique(labels[t])[1:]):
                swapped[labels[t] == ident] = 50 + (k + t) % 2
            tifffile.imwrite(seg / f"man_seg{t:03d}.tif", swapped)
    return folder


def as_markers(plane: np.ndarray) -> np.ndarray:
    """3 x 3 pixels in the middle of each object."""
    markers = np.zeros_like(plane)
    for ident in np.unique(plane)[1:]:
        y, x = np.nonzero(plane == ident)
        cy, cx = round(y.mean()), round(x.mean())
        markers[cy - 1 : cy + 2, cx - 1 : cx + 2] = ident
    return markers
