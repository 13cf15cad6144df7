"""What the widget's tests share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _own_settings(plugin_settings: None) -> None:
    """Keep napari's settings of plugins in a folder of the test, not the developer's own."""


@pytest.fixture
def movie() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (6, 30, 40), dtype=np.uint16)
