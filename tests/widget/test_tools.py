"""Tools and keys in a real window: what looks armed takes the clicks, on whatever layer one was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.propagation.fakes import BrightEngine
from tests.widget.test_walkthrough import Desk

from napari_sam_i2v.propagation import session as session_module

pytestmark = pytest.mark.gui


class Hand(Desk):
    """A window whose movie is open, with Point in hand."""

    def tool(self, name: str) -> None:
        self.press(self.dock.tools.tools[name])
        self.idle()

    @property
    def lit(self) -> list[str]:
        return [name for name, button in self.dock.tools.tools.items() if button.isChecked()]

    def key(self, key: Any) -> None:
        self.qtbot.keyClick(self.canvas, key)
        self.idle()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        self.qtbot.mousePress(self.canvas, button, none, self.at(*start))
        for y, x in np.linspace(start, end, 6):
            self.qtbot.mouseMove(self.canvas, self.at(y, x))
            self.qtbot.wait(15)  # napari throttles moves
        self.qtbot.mouseRelease(self.canvas, button, none, self.at(*end))
        self.idle()


@pytest.fixture
def hand(make_napari_viewer_proxy, qtbot, tmp_path: Path, monkeypatch) -> Hand:
    monkeypatch.setattr(session_module, "Engine", BrightEngine)
    hand = Hand(make_napari_viewer_proxy(show=True), qtbot, tmp_path / "cells.sam-i2v")
    hand.tool("point")
    hand.look()
    return hand


def test_keys_work_on_the_boxes_layer_once_it_is_there(hand: Hand) -> None:
    hand.tool("box")
    hand.drag((8, 2), (24, 18))
    assert hand.viewer.layers.selection.active == hand.controller.prompt_layers.boxes
    hand.key(Qt.Key.Key_N)
    assert hand.controller.current_object == 2
    hand.key(Qt.Key.Key_U)
    assert hand.controller.prompt_layers.boxes.nshapes == 0
    hand.dock.close_session()
    assert not any(layer.keymap for layer in hand.viewer.layers)
