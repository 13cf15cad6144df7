"""Numbers about labels: how well they agree with a known truth."""

from __future__ import annotations

from napari_sam_i2v.measure.accuracy import (
    Accuracy,
    ObjectAccuracy,
    boundary_f,
    jaccard,
    measure_accuracy,
)

__all__ = ["Accuracy", "ObjectAccuracy", "boundary_f", "jaccard", "measure_accuracy"]
