"""A picture of several clips with their outlines, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam_i2v.training.synthetic.clip import LOOKS, SyntheticClip, generate_clip


def contact_sheet(
    seed: int,
    *,
    looks: Sequence[str] | None = None,
    columns: int = 6,
    frames: int = 8,
    size: int = 320,
) -> np.ndarray:
    """Draw one row per look: the first frame bare, then frames with outlines.

    Parameters
    ----------
    seed : int
        Seed of the first row; the following rows count up.
    looks : sequence of str, optional
        Looks to show; all of them when not given.
    columns : int
        Pictures per row.
    frames, size : int
        As for `generate_clip`.

    Returns
    -------
    np.ndarray
        uint8 (rows * size, columns * size, 3).
    """
    names = list(LOOKS) if looks is None else list(looks)
    rows = []
    for n, name in enumerate(names):
        clip = generate_clip(seed + n, frames=frames, size=size, look=name)
        shown = np.linspace(0, frames - 1, max(columns - 1, 1)).round().astype(int)
        bare = _as_colour(clip.frames[0])
        outlined = [_outlined(clip, int(t)) for t in shown]
        rows.append(np.concatenate([bare, *outlined][:columns], axis=1))
    return np.concatenate(rows, axis=0)


def _as_colour(frame: np.ndarray) -> np.ndarray:
    """Return a writable copy (Y, X, 3) of a grey or colour frame."""
    return np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame.copy()


def _outlined(clip: SyntheticClip, t: int) -> np.ndarray:
    """One frame as RGB with every object's inner boundary in its own colour."""
    picture = _as_colour(clip.frames[t])
    labels = clip.labels[t]
    inside = np.pad(labels, 1, mode="edge")
    edge = np.zeros(labels.shape, bool)
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        edge |= inside[dy : dy + labels.shape[0], dx : dx + labels.shape[1]] != labels
    edge &= labels > 0
    picture[edge] = _colours()[labels[edge]]
    return picture


def _colours() -> np.ndarray:
    """Bright colours per id, uint8 (65536, 3), fixed."""
    hue = (np.arange(65536) * 0.618034) % 1.0
    wheel = np.abs(((hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1.0) * 6 - 3) - 1
    return (np.clip(wheel, 0, 1) * 255).astype(np.uint8)
