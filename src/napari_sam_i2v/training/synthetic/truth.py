"""Where an annotator would draw the outline: a little outside of the sharp edge."""

from __future__ import annotations

import numpy as np

from napari_sam_i2v.training.synthetic.bodies import Patch


def generosity(
    rng: np.random.Generator, diameter: float, *, most: float = 0.08, least: float = 0.5
) -> float:
    """Distance in pixels from a body's edge out to its annotated outline, one per movie.

    Between 0 and `most` of the typical diameter, on average about half of that; people who outline
    small objects still miss by about a pixel, hence `least`.
    """
    share = rng.triangular(0, 0.45 * most, most)
    return float(max(share * diameter, least * rng.uniform(0.5, 1.5)))


def free_ground(size: int) -> np.ndarray:
    """Return a fresh (Y, X) scratch for `claim`: nobody is near yet."""
    return np.full((size, size), -np.inf, np.float32)


def claim(
    labels: np.ndarray, nearest: np.ndarray, patch: Patch, ident: int, generous: float
) -> None:
    """Label a body and the `generous` pixels around it, in place.

    Of two bodies that overlap the later one wins; ground between two bodies goes to the nearer.
    """
    near = np.minimum(patch.level, 0)
    known = nearest[patch.box]
    won = (near > -generous) & (near >= known)
    labels[patch.box][won] = ident
    known[won] = near[won]
