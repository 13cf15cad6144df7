"""Tools and keys in a real window: what looks armed takes the clicks, on whatever layer one was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.propagation.fakes import BrightEngine
from tests.widget.test_walkthrough import Desk

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.widget.wording import TOOL_HINTS

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

    def drag(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        halfway: Callable[[], object] = lambda: None,
    ) -> None:
        button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        self.qtbot.mousePress(self.canvas, button, none, self.at(*start))
        for y, x in np.linspace(start, end, 6):
            self.qtbot.mouseMove(self.canvas, self.at(y, x))
            self.qtbot.wait(15)  # napari throttles moves
            if (y, x) == end:
                halfway()  # with the mouse still pressed
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


def test_a_box_that_is_being_drawn_stays_when_an_answer_comes(hand: Hand) -> None:
    control = hand.controller
    hand.tool("box")
    hand.drag((8, 2), (24, 18))
    hand.key(Qt.Key.Key_N)

    def answer() -> None:
        control.lock_frame(True)
        control.undo()
        hand.qtbot.waitUntil(lambda: not control.busy)

    hand.drag((40, 42), (56, 58), halfway=answer)
    assert control.prompt_layers.boxes.nshapes == 2
    assert [row.prompts for row in control.rows()] == [1, 1]


def test_the_first_click_is_undone_though_its_answer_is_not_seen_yet(hand: Hand) -> None:
    points = hand.controller.prompt_layers.points
    points.add([[0, 16, 10]])
    hand.dock.undo()
    hand.idle()
    assert len(points.data) == 0
    points.add([[0, 16, 10]])
    hand.idle()
    hand.dock.undo()
    hand.dock.redo()
    hand.idle()
    assert len(points.data) == 1
    assert hand.planes[0, 16, 10] == 1


def test_a_tool_whose_layer_is_not_active_is_not_in_hand_and_is_taken_again(hand: Hand) -> None:
    control, active = hand.controller, hand.viewer.layers.selection
    assert hand.lit == ["point"]
    active.active = hand.image
    assert hand.lit == []
    hand.tool("point")
    assert hand.lit == ["point"]
    hand.click(16, 10)
    hand.idle()
    assert len(control.prompt_layers.points.data) == 1
    hand.tool("point")
    assert hand.lit == []
    assert control.prompt_layers.points.mode == "pan_zoom"


def test_a_new_object_takes_clicks_whatever_layer_was_active(hand: Hand) -> None:
    hand.viewer.layers.selection.active = hand.image
    hand.press(hand.dock.tools.new)
    assert hand.lit == ["point"]
    hand.click(48, 50)
    hand.idle()
    assert hand.planes[0, 48, 50] == hand.controller.current_object
    hand.tool("box")
    hand.viewer.layers.selection.active = hand.image
    hand.press(hand.dock.tools.new)
    assert hand.lit == ["box"]


def test_modes_chosen_in_napari_are_shown(hand: Hand) -> None:
    control = hand.controller
    control.prompt_layers.points.mode = "pan_zoom"
    assert hand.lit == []
    control.prompt_layers.points.mode = "add"
    assert hand.lit == ["point"]
    hand.tool("box")
    control.prompt_layers.boxes.mode = "select"
    assert hand.lit == []
    hand.tool("paint")
    control.labels.mode = "erase"
    assert hand.lit == ["paint"]


def test_paint_shows_labels_that_were_hidden(hand: Hand) -> None:
    labels = hand.controller.labels
    labels.visible = False
    hand.tool("paint")
    assert labels.visible
    assert labels.mode == "paint"
    assert hand.lit == ["paint"]


def test_what_is_said_gives_way_to_what_is_done_next(hand: Hand) -> None:
    control, status = hand.controller, hand.dock.status

    def say() -> None:
        control.note.emit("Done. 6 frames tracked.")
        assert status.text() == "Done. 6 frames tracked."

    for name in ("box", "paint", "point"):
        say()
        hand.tool(name)
        assert status.text() == TOOL_HINTS[name]
    for act in (
        lambda: hand.click(16, 10),
        lambda: hand.press(hand.dock.tools.new),
        lambda: hand.press(hand.dock.history.undo),
        lambda: hand.key(Qt.Key.Key_N),
    ):
        say()
        act()
        hand.idle()
        assert status.text() == TOOL_HINTS["point"]


def test_a_tracks_layer_takes_no_tool_out_of_the_hand(hand: Hand) -> None:
    hand.click(16, 10)
    hand.idle()
    hand.controller.add_tracks()
    hand.idle()
    assert "cells tracks" in hand.viewer.layers
    assert hand.lit == ["point"]
    assert hand.viewer.layers.selection.active == hand.controller.prompt_layers.points
