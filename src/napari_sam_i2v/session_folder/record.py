"""session.json: which movie a session belongs to, and its state."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import InputError, OutputError

KIND = "napari-sam-i2v session"
VERSION = 1
SESSION = "session.json"


def write_synced(path: Path, text: str) -> None:
    """Replace a file; a power cut leaves the old one or the new one, whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def read_content(folder: Path) -> dict[str, Any]:
    """Read what session.json says, or say why it is of no use."""
    path = folder / SESSION
    if not folder.is_dir():
        raise InputError(f"there is no session folder {folder}")
    if not path.is_file():
        raise InputError(
            f"{folder} is no session folder of napari-sam-i2v: it has no {SESSION}. Choose a "
            "folder whose name ends in .sam-i2v"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {error}. labels.zarr and prompts.json beside it may be whole: "
            "start a new session with them"
        ) from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InputError(f"{path} was not written by napari-sam-i2v: choose another folder")
    if content.get("version") != VERSION:
        raise InputError(
            f"{folder} was made by another version of napari-sam-i2v (session format "
            f"{content.get('version')!r}, this one reads {VERSION}): update napari-sam-i2v, or "
            "start a new session in another folder"
        )
    if not all(isinstance(content.get(key), dict) for key in ("movie", "state")):
        raise InputError(f'{path} is damaged: "movie" and "state" are required')
    return content


def misfit(folder: Path, own: dict[str, Any], other: dict[str, Any]) -> str | None:
    """Say why a movie is not the one that a session belongs to; None if it may be."""

    def differ(key: str) -> bool:
        return key in own and key in other and (own[key] or None) != (other[key] or None)

    if differ("shape"):
        return (
            f"{folder} belongs to another movie: one of the shape {tuple(own['shape'])}, not "
            f"{tuple(other['shape'])}."
        )
    if differ("fixed"):
        return (
            f"{folder} belongs to another part of the movie: {_listed(own['fixed'])}, not "
            f"{_listed(other['fixed'])}."
        )
    if differ("fingerprint"):
        return f"{folder} belongs to another movie of the same shape: its pixels are different."
    return None


def _listed(fixed: Any) -> str:
    if isinstance(fixed, dict) and fixed:
        return ", ".join(f"{axis} = {index}" for axis, index in fixed.items())
    return str(fixed) if fixed else "nothing fixed"


def as_json(facts: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Give what JSON makes of facts, or say that they are none."""
    try:
        return dict(json.loads(json.dumps(dict(facts))))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be JSON (text, numbers, lists, dicts): {error}") from error
