"""Keys, bound on our own layers only, and the panel that lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["KEYS", "MOUSE", "KeysHelp", "LayerKeys"]

KEYS = {
    "N": "New object",
    "Shift+N": "Not here: the selected objects are not on this frame; again: they are",
    "Q": "Choose the object under the pointer",
    "K": "Track, or continue",
    "G": "Next doubtful frame",
    "H": "Previous doubtful frame",
    "J": "Lock or unlock this frame",
    "U": "Undo",
    "W": "Redo",
}
MOUSE = {
    "Click": "On the object",
    "Ctrl+click, right-click": "Not on the object",
    "Drag with Box": "A box around the object",
    "Drag with Paint": "The object’s mask itself",
}
_NOTE = "Keys work while one of our layers (clicks, boxes, tracked) is selected in the layer list."


class LayerKeys:
    """Binds each key of `KEYS` to an action, on layers that are ours.

    Parameters
    ----------
    actions
        Key -> what it does.
    """

    def __init__(self, actions: Mapping[str, Callable[[], object]]) -> None:
        self._actions = dict(actions)
        self._layers: list[Layer] = []

    def bind(self, layers: Iterable[Layer]) -> None:
        """Bind on these layers, and on no others any more."""
        self.unbind()
        self._layers = list(layers)
        for layer in self._layers:
            for key, action in self._actions.items():
                layer.bind_key(key, _ignoring_layer(action), overwrite=True)

    def unbind(self) -> None:
        """Take all keys away."""
        layers, self._layers = self._layers, []
        for layer in layers:
            for key in self._actions:
                layer.bind_key(key, None)


def _ignoring_layer(action: Callable[[], object]) -> Callable[[Layer], None]:
    def pressed(layer: Layer) -> None:
        action()

    return pressed


class KeysHelp(QDialog):
    """A panel that lists the keys and what the mouse does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("SAM-I2V keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        text = QLabel(_table({**MOUSE, "": "", **KEYS}))
        text.setTextFormat(Qt.TextFormat.RichText)
        note = QLabel(_NOTE, wordWrap=True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        for button in buttons.buttons():  # their icons do not follow napari's theme
            button.setIcon(QIcon())
        layout = QVBoxLayout(self)
        for widget in (text, note, buttons):
            layout.addWidget(widget)


def _table(entries: Mapping[str, str]) -> str:
    row = "<tr><td style='padding-right: 16px'><b>{}</b>&nbsp;</td><td>{}</td></tr>"
    rows = (row.format(escape(key), escape(what)) for key, what in entries.items())
    return f"<table>{''.join(rows)}</table>"
