"""The kinds of figures of natural scenes."""

from __future__ import annotations

from collections.abc import Callable

from napari_sam_i2v.training.synthetic.anatomy import animal, bird, person
from napari_sam_i2v.training.synthetic.limbs import Made
from napari_sam_i2v.training.synthetic.machines import bike, car, thing
from napari_sam_i2v.training.synthetic.motion import (
    Stage,
)

KINDS: dict[str, tuple[Callable[[Stage, float], Made], float]] = {
    "animal": (animal, 1.5),
    "car": (car, 1.5),
    "bike": (bike, 1.2),
    "bird": (bird, 1.0),
    "person": (person, 1.0),
    "thing": (thing, 2.5),
}
"""Makers of kinds of figures, and how often each is drawn, relative to the others."""
