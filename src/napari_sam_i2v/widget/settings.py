"""What the user set in napari's Preferences, checked; without Qt.

The settings are declared in ``napari.yaml`` under ``configurations``. napari before 0.9 has none:
then everything has its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from napari_sam_i2v.network.installed import data_folder, find_installed
from napari_sam_i2v.network.registry import ModelInfo, published

__all__ = ["ADDRESSES", "CHOICES", "PLUGIN", "Settings", "read_settings"]

PLUGIN = "napari-sam-i2v"
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "device": ("auto", "cpu", "cuda", "mps"),
        "precision": ("auto", "fp32", "bf16", "fp16"),
        "view": ("auto", "frame", "follow"),
    }
)
SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tracking": ("device", "precision", "view"),
        "files": ("model", "checkpoint_folder", "session_folder"),
        "downloads": ("sam_i2v_address", "sam_i2vpp_address"),
    }
)
FOLDERS = ("checkpoint_folder", "session_folder")
ADDRESSES: Mapping[str, str] = MappingProxyType(
    {"sam-i2v": "sam_i2v_address", "sam-i2v++": "sam_i2vpp_address"}
)
"""Published model -> setting with its address."""


@dataclass(frozen=True)
class Settings:
    """What is set in Preferences; made without arguments, the defaults.

    Attributes
    ----------
    device, precision, view, model
        As for `Session`; a model that was downloaded or lies in the checkpoint folder is the path
        of its file.
    checkpoint_folder
        Where the user's weights lie; None for nowhere.
    session_folder
        Where the sessions of all movies are kept; None for beside each movie.
    sam_i2v_address, sam_i2vpp_address
        Where a published model can be downloaded; see `address`.
    problems
        What could not be used, in sentences to be shown; it has its default.
    """

    device: str = "auto"
    precision: str = "auto"
    view: str = "auto"
    model: str = "default"
    checkpoint_folder: Path | None = None
    session_folder: Path | None = None
    sam_i2v_address: str = ""
    sam_i2vpp_address: str = ""
    problems: tuple[str, ...] = ()

    def address(self, info: ModelInfo) -> str:
        """Where a model can be downloaded; empty where nobody said."""
        key = ADDRESSES.get(info.name)
        return (getattr(self, key) if key else "") or info.url or ""

    @property
    def download_folder(self) -> Path:
        """Where models are downloaded to."""
        return self.checkpoint_folder or data_folder()


def read_settings() -> Settings:
    """Read the present settings; never raises: what is wrong is in `Settings.problems`."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:  # napari < 0.9
        return Settings()
    try:
        held = get_plugin_settings(PLUGIN)
    except KeyError:
        return Settings(problems=_not_known())
    # Whatever is in any plugin's settings file, and however napari says so: tracking goes on.
    except Exception as error:
        return Settings(problems=_problems_of_reading(error))
    return _settings(_values(held), _problems_of_file(getattr(held, "config_path", None)))


def _values(held: Any) -> dict[str, Any]:
    return {
        key: getattr(getattr(held, section, None), key, None)
        for section, keys in SECTIONS.items()
        for key in keys
    }


def _settings(values: Mapping[str, Any], problems: tuple[str, ...]) -> Settings:
    texts = {key: str(value).strip() for key, value in values.items() if value is not None}
    good: dict[str, Any] = {
        key: text for key, text in texts.items() if text and text in CHOICES.get(key, (text,))
    }
    for key in FOLDERS:
        if key in good:
            good[key] = Path(good[key]).expanduser()
    settings = replace(Settings(problems=problems), **good)
    return replace(settings, model=_model(settings.model, settings.checkpoint_folder))


def _model(name: str, folder: Path | None) -> str:
    """Path of the file where a name is that of a downloaded model, or one in the folder."""
    by_name = any(info.name == name for info in published())
    if by_name and (found := find_installed(name, folder)) is not None:
        return str(found)
    if folder is not None and name != "default":
        path = folder / Path(name).expanduser()
        if _is_file(path):
            return str(path)
    return name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no right to look, or no name of a file
        return False


def _problems_of_file(held_in: Any) -> tuple[str, ...]:
    """Say what napari dropped from the settings file: it does so on the terminal only."""
    if not isinstance(held_in, str | Path) or not _is_file(path := Path(held_in)):
        return ()
    import yaml  # type: ignore[import-untyped]  # napari brings it

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        return (_unreadable(path, error),)
    if not isinstance(content, dict):
        return (_unreadable(path, f"it holds {type(content).__name__}, not settings"),)
    return tuple(text for key in SECTIONS for text in _problems_of(content.get(key), key, path))


def _problems_of(section: Any, name: str, path: Path) -> list[str]:
    if section is None:
        return []
    if not isinstance(section, dict):
        return [_refused(name, section, "settings below it", path)]
    found = []
    for key, value in section.items():
        allowed = CHOICES.get(key)
        if allowed is not None and value not in allowed:
            found.append(_refused(f"{name}.{key}", value, "one of " + ", ".join(allowed), path))
        elif key in SECTIONS[name] and not isinstance(value, str):
            found.append(_refused(f"{name}.{key}", value, "a text", path))
    return found


def _refused(key: str, value: Any, required: str, path: Path) -> str:
    return (
        f"Setting {key} is {value!r} in {path}; {required} is required, and the default is used. "
        "Choose it anew in Preferences ▸ SAM-I2V."
    )


def _unreadable(path: Path, error: object) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (
        f"The settings file {path} cannot be read ({lines[0]}): the defaults are used. Correct "
        "the file or delete it, then start napari again."
    )


def _problems_of_reading(error: Exception) -> tuple[str, ...]:
    """Say which file is wrong, if it is ours; that of another plugin spoils ours, too."""
    from napari.settings import get_settings

    try:
        config = get_settings().config_path
    except Exception:  # napari's own settings are as broken
        config = None
    ours = Path(config).with_name(f"{PLUGIN}.yaml") if isinstance(config, str | Path) else None
    return _problems_of_file(ours) or (
        f"napari cannot read the settings of its plugins ({type(error).__name__}): the defaults "
        "are used. Correct or delete the settings file that the terminal names, then start "
        "napari again.",
    )


def _not_known() -> tuple[str, ...]:
    """Say that settings are missing, where napari should have them."""
    from npe2 import PluginManager

    if PLUGIN not in PluginManager.instance():
        return ()  # run without being installed: nowhere to set anything
    return ("napari has not read the settings of SAM-I2V: the defaults are used. Start it again.",)
