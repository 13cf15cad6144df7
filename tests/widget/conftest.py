"""What the widget's tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

PATIENCE_MS = 120_000
"""How long what must come is waited for: other programs may have the machine meanwhile."""


class PatientBot(QtBot):
    """Waits long, unless it is told otherwise, for what comes at once on an idle machine."""

    def waitUntil(self, callback: Any, *, timeout: int = PATIENCE_MS) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: Any, *, timeout: int = PATIENCE_MS, **options: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitExposed(self, widget: Any, *, timeout: int = PATIENCE_MS) -> Any:
        return super().waitExposed(widget, timeout=timeout)


@pytest.fixture
def qtbot(qapp: Any, request: pytest.FixtureRequest) -> PatientBot:
    """pytest-qt's, which waits longer."""
    return PatientBot(request)


@pytest.fixture(autouse=True)
def _own_settings(plugin_settings: None) -> None:
    """Keep napari's settings of plugins in a folder of the test, not the developer's own."""


@pytest.fixture
def movie() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (6, 30, 40), dtype=np.uint16)
