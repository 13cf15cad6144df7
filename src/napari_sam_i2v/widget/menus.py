"""The dock's two menus: everything that is not needed at every click."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qtpy.compat import isalive
from qtpy.QtCore import QPoint
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QWidget

from napari_sam_i2v.network.installed import find_installed
from napari_sam_i2v.network.registry import ModelInfo, published
from napari_sam_i2v.widget.choices import Choices, weights_in
from napari_sam_i2v.widget.download_dialog import DownloadDialog, ask_for_weights
from napari_sam_i2v.widget.wording import VIEWS

if TYPE_CHECKING:
    from napari_sam_i2v.widget.tracking import TrackController

__all__ = ["MoreMenu", "ObjectMenu"]

LABELS = "TIFF (*.tif *.tiff);;OME-Zarr (*.zarr)"
PROMPTS = "JSON (*.json);;CSV, points only (*.csv)"
TABLE = "CSV (*.csv)"
EXPORTS = {
    "ctc": ("Cell Tracking Challenge folder…", ""),
    "geff": ("GEFF…", "GEFF (*.geff)"),
    "trackmate": ("TrackMate…", "TrackMate XML (*.xml)"),
    "coco": ("COCO masks…", "COCO JSON (*.json)"),
    "overlay": ("Overlay movie…", "MP4 (*.mp4);;GIF (*.gif)"),
}
"""Name of a format -> entry, and filters of the file dialog; a folder has none."""


class Host(Protocol):
    """What the menus need of the dock."""

    controller: TrackController
    choices: Choices

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do something, and show its error."""

    def open_session(self) -> bool:
        """Open the chosen movie if none is open."""

    def close_session(self) -> None:
        """Let go of the open movie."""

    def show_keys(self) -> None:
        """List the keys."""

    def ask_axes(self) -> None:
        """Let the user say what the chosen movie's axes are."""

    def selected(self) -> list[int]:
        """Return the selected objects."""

    def edit_name(self, object_id: int) -> None:
        """Let the user type a name."""


class _Menu(QMenu):
    """A menu that is made anew whenever it is shown."""

    def __init__(self, host: Host, parent: QWidget) -> None:
        super().__init__(parent)
        self._host = host
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """Make the entries that fit the present state."""
        self.clear()

    def popup_below(self, button: QWidget) -> None:
        """Show the menu under a button, their right edges in line."""
        self.ensurePolished()
        self.fill()  # the width is needed before it is shown
        corner = button.mapToGlobal(QPoint(button.width(), button.height()))
        self.popup(corner - QPoint(self.sizeHint().width(), 0))

    def _add(
        self, text: str, action: Callable[[], object], *, enabled: bool = True, tip: str = ""
    ) -> QAction:
        return _add_to(self, text, action, enabled=enabled, tip=tip)

    def _do(self, action: Callable[[], object]) -> Callable[[], object]:
        return partial(self._host.attempt, action)


class ObjectMenu(_Menu):
    """What can be done with the selected objects."""

    def fill(self) -> None:
        """Make the entries for the selection."""
        super().fill()
        control, chosen = self._host.controller, self._host.selected()
        free = bool(chosen) and not control.tracking
        one, current = chosen[0] if chosen else 0, control.current_object
        self._add("Rename…", partial(self._host.edit_name, one), enabled=len(chosen) == 1)
        self._add_absent(chosen)
        self._add_lock(chosen)
        self.addSeparator()
        others = [object_id for object_id in chosen if object_id != current]
        into = f"Merge into {current}" if others else "Merge into current"
        merge = self._do(partial(control.merge, others, current))
        tip = "Select two or more; the last one clicked takes the others’ masks and prompts"
        self._add(into, merge, enabled=free and bool(others), tip=tip)
        swap = self._do(partial(control.swap, *chosen)) if len(chosen) == 2 else _nothing
        tip = "Select two objects that were mixed up at this frame"
        self._add("Swap from this frame on", swap, enabled=free and len(chosen) == 2, tip=tip)
        divide = self._do(partial(control.divide, one))
        tip = "The object ends here and two daughters begin"
        self._add("Division at this frame", divide, enabled=free and len(chosen) == 1, tip=tip)
        self.addSeparator()
        delete = self._do(partial(control.delete, chosen))
        self._add("Delete", delete, enabled=free, tip="Can be undone")

    def _add_absent(self, chosen: list[int]) -> None:
        control = self._host.controller
        gone = bool(chosen) and control.not_here.issuperset(chosen)
        mark = self._do(partial(control.mark_absent, chosen))
        tip = "Erased here, and tracked on from that (Shift+N). Again, or a click on it: it is here"
        _tick(self._add("Not on this frame", mark, enabled=bool(chosen), tip=tip), gone)

    def _add_lock(self, chosen: list[int]) -> None:
        control = self._host.controller
        rows = [row for row in control.rows() if row.object_id in chosen]
        locked = bool(rows) and all(row.locked for row in rows)
        lock = self._do(partial(control.lock_objects, chosen, not locked))
        text, tip = "Unlock" if locked else "Lock", "No pass changes a locked object"
        self._add(text, lock, enabled=bool(chosen) and not control.tracking, tip=tip)


class MoreMenu(_Menu):
    """Files, layers, and how a movie is opened."""

    def __init__(self, host: Host, parent: QWidget) -> None:
        super().__init__(host, parent)
        self._dialogs: dict[str, DownloadDialog] = {}

    def fill(self) -> None:
        """Make the entries for the present state."""
        super().fill()
        control, host = self._host.controller, self._host
        opened = control.opened
        self._fill_take(self.addMenu("Take prompts from layer"))
        self.addSeparator()
        objects = opened and bool(control.rows())
        self._add("Save labels…", self._save_labels, enabled=objects)
        self._add("Save prompts…", self._save_prompts, enabled=objects)
        self._add("Save measurements…", self._save_measurements, enabled=objects)
        self._fill_exports(objects)
        self._add("Add tracks layer", self._do(control.add_tracks), enabled=objects)
        self._fill_divisions(objects)
        self.addSeparator()
        for menu in (self._model_menu(), self._view_menu()):
            menu.setEnabled(not opened)
            menu.menuAction().setToolTip("Close the session to change it" if opened else "")
        self._fill_folder(opened)
        tip = "Close the session to change them" if opened else "Say which axis is time, depth, ..."
        free = not opened and bool(control.images())
        self._add("Axes…", host.ask_axes, enabled=free, tip=tip)
        self.addSeparator()
        if opened:
            tip = "The layers stay; the session folder keeps everything to go on from"
            closable = not control.tracking
            self._add("Close session", host.close_session, enabled=closable, tip=tip)
        else:
            tip = "Begin with the chosen movie, or go on where its session folder ended"
            self._add("Open session", host.open_session, enabled=bool(control.images()), tip=tip)
        self._add("Keys…", host.show_keys)

    # -- prompts of other layers -----------------------------------------------------------------
    def _fill_take(self, menu: QMenu) -> None:
        sources = self._host.controller.prompt_sources()
        menu.setEnabled(bool(sources))
        menu.menuAction().setToolTip(
            "" if sources else "No Points, Shapes or Labels layer of yours is here"
        )
        for layer in sources:
            _add_to(menu, layer.name, partial(self._take, layer))

    def _take(self, layer: object) -> None:
        if self._host.open_session():
            self._host.attempt(partial(self._host.controller.take_prompts, layer))

    # -- saving ----------------------------------------------------------------------------------
    def _save_labels(self) -> None:
        self._save("labels", LABELS, self._host.controller.save_labels)

    def _save_prompts(self) -> None:
        self._save("prompts", PROMPTS, self._host.controller.save_prompts)

    def _save_measurements(self) -> None:
        self._save("measurements", TABLE, self._host.controller.save_measurements)

    def _fill_exports(self, enabled: bool) -> None:
        menu = self.addMenu("Export for other tools")
        menu.setEnabled(enabled)
        for name, (text, filters) in EXPORTS.items():
            save = partial(self._host.controller.save_export, name)
            _add_to(menu, text, partial(self._save, text.rstrip("…"), filters, save))

    def _fill_divisions(self, enabled: bool) -> None:
        """Proposals are shown and accepted here; nothing is divided unasked."""
        control = self._host.controller
        menu = self.addMenu("Possible divisions")
        menu.setEnabled(enabled)
        menu.setToolTipsVisible(True)
        tip = "Objects whose mask falls into two lasting parts"
        _add_to(menu, "Look for divisions", self._do(control.find_divisions), tip=tip)
        menu.addSeparator()
        for one in control.proposals:
            entry = menu.addMenu(f"Object {one.object_id}, frame {one.frame}")
            _add_to(entry, "Show", self._do(partial(control.show_proposal, one)))
            accept = self._do(partial(control.accept_proposal, one))
            tip = "The object ends here, and its two parts begin as daughters. Can be undone"
            _add_to(entry, "Divide", accept, enabled=not control.tracking, tip=tip)

    def _save(self, what: str, filters: str, save: Callable[[Path], object]) -> None:
        parent, title = self.parentWidget(), f"Save {what}"
        name, kind = QFileDialog.getSaveFileName(parent, title, "", filters)
        if not name:
            return
        path = _meant(Path(name), kind or filters, filters)
        # The file dialog has asked about the name as it was typed.
        if path == Path(name) or not os.path.lexists(path) or self._agreed(title, path):
            self._host.attempt(partial(save, path))

    def _agreed(self, title: str, path: Path) -> bool:
        asked = QMessageBox.question(
            self.parentWidget(), title, f"“{path.name}” exists already. Replace it?"
        )
        return asked == QMessageBox.StandardButton.Yes

    # -- how a movie is opened -------------------------------------------------------------------
    def _model_menu(self) -> QMenu:
        menu = self.addMenu("Model")
        menu.setToolTipsVisible(True)
        chosen = self._host.choices.shown().model
        self._add_model(menu, "Built-in", "default", chosen, "Comes with napari-sam-i2v")
        folder = self._host.choices.settings().checkpoint_folder
        there = {info.name: find_installed(info.name, folder) for info in published()}
        listed = {"default", *self._fill_installed(menu, chosen, there)}
        listed.update(self._fill_checkpoints(menu, chosen, listed))
        if chosen not in listed:
            self._add_model(menu, Path(chosen).name, chosen, chosen, chosen)
        _add_to(menu, "From file…", self._choose_weights)
        menu.addSeparator()
        for info in published():
            if there[info.name] is None:
                tip = f"{info.summary}. Licence {info.licence}, from {info.source}"
                _add_to(menu, f"{info.title}: download…", partial(self._download, info), tip=tip)
        return menu

    def _fill_installed(
        self, menu: QMenu, chosen: str, there: Mapping[str, Path | None]
    ) -> list[str]:
        """Add the models that were downloaded; return their paths."""
        found = [(info, path) for info in published() if (path := there[info.name]) is not None]
        for info, path in found:
            self._add_model(menu, info.title, str(path), chosen, f"{info.summary}. {path}")
        return [str(path) for _, path in found]

    def _fill_checkpoints(self, menu: QMenu, chosen: str, listed: Collection[str]) -> list[str]:
        """Add the other weights in the user's folder; return their paths."""
        folder = self._host.choices.settings().checkpoint_folder
        if folder is None:
            return []
        try:
            files = weights_in(folder)
        except OSError as error:
            tip = f"{folder}: {error.strerror or error}. It is set in Preferences ▸ SAM-I2V."
            _add_to(menu, "The checkpoint folder cannot be read", _nothing, enabled=False, tip=tip)
            return []
        files = [file for file in files if str(file.path) not in listed]
        for file in files:
            self._add_model(menu, file.text, str(file.path), chosen, str(file.path))
        return [str(file.path) for file in files]

    def _download(self, info: ModelInfo) -> None:
        """Show the dialog of a model; the one that is open comes to the front."""
        dialog = self._dialogs.get(info.name)
        if dialog is None or not isalive(dialog):
            settings = self._host.choices.settings()
            dialog = DownloadDialog(
                info, settings.download_folder, settings.address(info), self.parentWidget()
            )
            dialog.model_chosen.connect(self._choose_model)
            self._dialogs[info.name] = dialog
        dialog.show()
        dialog.raise_()
        dialog.activateWindow()

    def stop_downloads(self) -> None:
        """Stop what is being downloaded, also when dialogs and menu are gone as Qt objects."""
        for dialog in self._dialogs.values():
            dialog.stop.set()

    def _choose_model(self, path: str) -> None:
        self._choose(model=path)

    def _add_model(self, menu: QMenu, text: str, value: str, chosen: str, tip: str) -> None:
        action = _add_to(menu, text, partial(self._choose, model=value), tip=tip)
        _tick(action, value == chosen)

    def _choose_weights(self) -> None:
        start = self._host.choices.settings().checkpoint_folder
        if name := ask_for_weights(self.parentWidget(), start):
            self._choose(model=name)

    def _view_menu(self) -> QMenu:
        menu = self.addMenu("View")
        chosen = self._host.choices.shown().view
        for value, text in VIEWS.items():
            action = _add_to(menu, text, partial(self._choose, view=value))
            _tick(action, value == chosen)
        return menu

    def _choose(self, **changes: object) -> None:
        self._host.choices.choose(**changes)

    def _fill_folder(self, opened: bool) -> None:
        now = self._host.choices.now()
        tip = "Beside the movie unless you choose another"
        if opened or now.folder:
            tip = str(self._host.controller.folder if opened else now.folder)
        elif now.sessions:
            tip = f"In {now.sessions} unless you choose another"
        self._add("Session folder…", self._choose_folder, enabled=not opened, tip=tip)

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self.parentWidget(), "Folder of the session")
        if name:
            self._choose(folder=Path(name))


def _add_to(
    menu: QMenu, text: str, action: Callable[[], object], *, enabled: bool = True, tip: str = ""
) -> QAction:
    entry = menu.addAction(text.replace("&", "&&"))
    entry.setEnabled(enabled)
    entry.setToolTip(tip)
    entry.triggered.connect(lambda checked=False: action())
    return entry


def _tick(action: QAction, ticked: bool) -> None:
    action.setCheckable(True)
    action.setChecked(ticked)


def _meant(path: Path, kind: str, filters: str) -> Path:
    """Give a name the chosen kind's suffix, if it has none of those that there are.

    Where the name of a folder that is there was typed, the dialog gives that name within it.
    """
    known, suffixes = _suffixes(filters), _suffixes(kind)
    suffix = path.suffix.lower()
    if suffix in known and path.parent.name == path.name:
        return path.parent
    if suffix in known or not suffixes:  # of a folder any name will do
        return path
    return path.with_name(path.name + suffixes[0])


def _suffixes(filters: str) -> list[str]:
    """Suffixes in filters of a file dialog."""
    return re.findall(r"\*(\.\w+)", filters)


def _nothing() -> None:
    """Stand in for what is not possible."""
