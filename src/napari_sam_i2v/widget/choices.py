"""With what a movie is opened: the settings, and what the menus chose over them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from napari_sam_i2v.downloads import readable_size
from napari_sam_i2v.network.registry import WEIGHTS_SUFFIXES
from napari_sam_i2v.widget.settings import Settings, read_settings

__all__ = ["Choices", "OpenChoices", "WeightsFile", "weights_in"]


@dataclass(frozen=True)
class OpenChoices:
    """With what a movie is opened; the fields are those of `TrackController.open`.

    `chosen` names the other fields that the menus chose: a kept session does not overrule them.
    """

    model: str = "default"
    view: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    folder: Path | None = None
    sessions: Path | None = None
    chosen: frozenset[str] = frozenset()

    def options(self) -> dict[str, Any]:
        """Return keyword arguments for `TrackController.open`."""
        return asdict(self)


class Choices:
    """The settings as they are at the moment, under what was chosen for the movie at hand.

    A movie keeps its choices for as long as the dock is there: closed and opened again, it must
    be found in the folder that was chosen for it. Another movie begins with the settings.

    Parameters
    ----------
    warn : callable
        Shows a sentence about settings that cannot be used, once.
    movie : callable
        Says which movie is at hand; what is chosen while that is None is for all.
    read : callable
        Reads the settings.
    """

    def __init__(
        self,
        warn: Callable[[str], object],
        *,
        movie: Callable[[], Hashable] = lambda: None,
        read: Callable[[], Settings] = read_settings,
    ) -> None:
        self._warn, self._movie, self._read = warn, movie, read
        self._chosen: dict[Hashable, dict[str, Any]] = {}
        self._used: dict[Hashable, dict[str, Any]] = {}
        self._told: set[str] = set()

    def settings(self) -> Settings:
        """Read the settings anew."""
        settings = self._read()
        for problem in settings.problems:
            if problem not in self._told:
                self._told.add(problem)
                self._warn(problem)
        return settings

    def now(self) -> OpenChoices:
        """With what a movie is opened if it is opened now."""
        at = self.settings()
        usual = OpenChoices(at.model, at.view, at.device, at.precision, sessions=at.session_folder)
        chosen = {**self._chosen.get(None, {}), **self._chosen.get(self._movie(), {})}
        return replace(usual, **chosen, chosen=frozenset(chosen))

    def shown(self) -> OpenChoices:
        """As `now`, with what a kept session of the movie was last seen to go on with."""
        now = self.now()
        used = self._used.get(self._movie(), {})
        return replace(now, **{key: value for key, value in used.items() if key not in now.chosen})

    def note_used(self, **used: Any) -> None:
        """Note with what the movie at hand was opened."""
        self._used.setdefault(self._movie(), {}).update(used)

    def choose(self, **changes: Any) -> None:
        """Choose fields of `OpenChoices` for the movie at hand."""
        replace(OpenChoices(), **changes)  # an unknown field is an error here and now
        self._chosen.setdefault(self._movie(), {}).update(changes)
        if "folder" in changes:  # another session
            self._used.pop(self._movie(), None)


@dataclass(frozen=True)
class WeightsFile:
    """A file in the checkpoint folder."""

    path: Path
    size: int

    @property
    def text(self) -> str:
        """Name and size."""
        return f"{self.path.name} ({readable_size(self.size)})"


def weights_in(folder: Path) -> list[WeightsFile]:
    """List the weights files that lie in a folder, by name.

    Raises
    ------
    OSError
        If the folder is missing or cannot be read.
    """
    found = [path for path in folder.iterdir() if path.suffix.lower() in WEIGHTS_SUFFIXES]
    files = [WeightsFile(path, path.stat().st_size) for path in found if path.is_file()]
    return sorted(files, key=lambda file: file.path.name.casefold())
