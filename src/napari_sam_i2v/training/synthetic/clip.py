"""Synthetic clips: a seed and a look in, a short movie with ground truth out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.training.synthetic import (
    abstract,
    fluorescence,
    medical,
    natural,
    tissue,
    transmitted,
)
from napari_sam_i2v.training.synthetic.bodies import Scene, drop_specks
from napari_sam_i2v.training.synthetic.motion import Stage, make_stage
from napari_sam_i2v.training.synthetic.optics import expose
from napari_sam_i2v.training.synthetic.photo import photograph

_TRIES = 4  # draws before an almost empty clip is accepted
_LEAST_AREA = 40  # pixels of a well visible object

_Maker = Callable[[Stage], Scene]

_MAKERS: dict[str, tuple[_Maker, float]] = {
    "nuclei_sparse": (fluorescence.nuclei_sparse, 1.1),
    "nuclei_crowded": (fluorescence.nuclei_crowded, 2.2),
    "nuclei_dividing": (fluorescence.nuclei_dividing, 0.8),
    "cytoplasm": (fluorescence.cytoplasm, 0.8),
    "phase_spindle": (transmitted.phase_spindle, 2.2),
    "phase_spread": (transmitted.phase_spread, 1.2),
    "phase_packed": (transmitted.phase_packed, 0.8),
    "relief": (transmitted.relief, 0.5),
    "bright_field": (transmitted.bright_field, 0.5),
    "bacteria": (transmitted.bacteria, 0.5),
    "tissue": (tissue.tissue, 0.4),
    "cine": (medical.cine, 6.0),
    "ultrasound": (medical.ultrasound, 0.6),
    "natural": (natural.natural, 3.0),
    "abstract": (abstract.abstract, 1.0),
}

LOOKS: Mapping[str, float] = MappingProxyType({name: w for name, (_, w) in _MAKERS.items()})
"""Names of the looks and how often each is drawn, relative to the others."""


@dataclass(frozen=True)
class SyntheticClip:
    """A short synthetic movie with its ground truth.

    Attributes
    ----------
    frames : np.ndarray
        uint8 (T, Y, X), or (T, Y, X, 3) where the look has colour.
    labels : np.ndarray
        uint8 (T, Y, X): 0 is background, an object keeps its id over time; after a division
        one daughter keeps the mother's id and the other gets a new one.
    look : str
        One of `LOOKS`.
    seed : int
        The seed it was made from.
    """

    frames: np.ndarray
    labels: np.ndarray
    look: str
    seed: int


def generate_clip(
    seed: int, *, frames: int = 8, size: int = 320, look: str | None = None
) -> SyntheticClip:
    """Make a clip; the same arguments give the same arrays.

    Parameters
    ----------
    seed : int
        Not negative.
    frames : int
        Number of frames, at least 1.
    size : int
        Height and width in pixels, at least 64.
    look : str, optional
        One of `LOOKS`; drawn by their weights when not given.

    Raises
    ------
    InputError
        If the look is unknown, or a number is out of range.
    """
    if frames < 1 or size < 64 or seed < 0:
        raise InputError(
            "A clip needs seed >= 0, frames >= 1 and size >= 64, "
            f"got seed={seed}, frames={frames}, size={size}; use larger numbers."
        )
    if look is not None and look not in _MAKERS:
        raise InputError(f"Unknown look {look!r}; choose one of {', '.join(_MAKERS)}.")
    rng = np.random.default_rng(seed)
    weights = np.array(list(LOOKS.values()))
    drawn = str(rng.choice(list(LOOKS), p=weights / weights.sum()))
    name = look or drawn
    for _ in range(_TRIES):
        stage = make_stage(rng, frames, size)
        scene = make_scene(stage, name)
        if _worth_watching(scene.labels):
            break
    return SyntheticClip(_recorded(stage, scene), scene.labels, name, seed)


def make_scene(stage: Stage, look: str) -> Scene:
    """Play a look on a given stage: ideal images, labels and how to record them."""
    scene = _MAKERS[look][0](stage)
    for plane in scene.labels:
        drop_specks(plane)
    return scene


def _recorded(stage: Stage, scene: Scene) -> np.ndarray:
    """Bytes (T, Y, X) of grey images, (T, Y, X, 3) of planar colour images (T, 3, Y, X)."""
    if scene.images.ndim == 4:
        return photograph(stage, scene.images)
    return expose(stage, scene.images, scene.optics)


def _worth_watching(labels: np.ndarray) -> bool:
    """Return whether some object is well visible on the first frame and on half of all frames."""
    for ident in np.unique(labels[0])[1:]:
        area = (labels == ident).sum(axis=(1, 2))
        if area[0] >= _LEAST_AREA and (area >= _LEAST_AREA).mean() >= 0.5:
            return True
    return False
