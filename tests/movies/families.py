"""Labels with gaps and divisions, small enough to know by heart."""

from __future__ import annotations

import numpy as np

LINEAGE = {2: (1, 3), 3: (1, 3)}
SCALE, UNITS = (5.0, 0.5, 0.25), ("minute", "micrometer", "micrometer")


def family() -> np.ndarray:
    """Object 1 divides into 2 and 3 on frame 3; 3 is away on frame 5; 7 is on frame 6 only.

    uint16 (8, 20, 24), squares of 4 x 4; 3 is 4 x 6.
    """
    labels = np.zeros((8, 20, 24), np.uint16)
    labels[:3, 8:12, 4:8] = 1
    labels[3:, 4:8, 6:10] = 2
    labels[3:, 12:16, 6:12] = 3
    labels[5] = np.where(labels[5] == 3, 0, labels[5])
    labels[6, 0:4, 20:24] = 7
    return labels
