"""Where results may be written: nothing is ever removed but results of ours."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import InputError, OutputError

OWN_KEY = "napari-sam-i2v"
"""Key of a zarr group's attributes, and Software tag of a TIFF file, that say we wrote it."""

_OWN_FILES = {"zarr.json", ".zgroup", ".zattrs", "0"}
_OWN_LEVEL_FILES = {"zarr.json", ".zarray", ".zattrs", "c", ".frames_done"}


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Check that a result can be written at `path`, touching nothing.

    Raises
    ------
    OutputError
        If its folder is missing; if something is there and `overwrite` is off; or if what is
        there was not written by napari-sam-i2v.
    """
    target = Path(path).expanduser()
    if target.name in ("", ".", ".."):
        raise OutputError(f"{str(path)!r} is no name for a result: give FOLDER/NAME.tif or .zarr")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist: make it first")
    if not os.path.lexists(target) or _is_empty_folder(target):
        return target
    if not overwrite:
        raise OutputError(f"{target} exists: choose another name, or overwrite it (--overwrite)")
    if reason := _why_not_ours(target):
        raise OutputError(
            f"{target} is not overwritten, because {reason}: choose another name, or remove it "
            "yourself"
        )
    return target


def check_text(path: str | os.PathLike[str], *, suffix: str, overwrite: bool) -> Path:
    """Check that a text file can be written, touching nothing.

    Raises
    ------
    InputError
        If the name does not end in `suffix`.
    OutputError
        If its folder is missing, or something is there and may not be replaced.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() != suffix:
        raise InputError(f"A name that ends in {suffix} is required, got {target.name!r}.")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist: make it first")
    if os.path.lexists(target) and not (overwrite and target.is_file()):
        raise OutputError(f"{target} exists: choose another name, or overwrite it (--overwrite)")
    return target


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool) -> Path:
    """Write a text file, renamed into place when whole; see `check_text`."""
    target = check_text(path, suffix=Path(path).suffix.lower(), overwrite=overwrite)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def make_room(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Check like `check_target`, then remove the older result of ours, if there is one."""
    target = check_target(path, overwrite=overwrite)
    remove_own(target)
    return target


def remove_own(target: Path) -> None:
    """Remove a result that `check_target` accepted; checked again, as time has passed."""
    if not os.path.lexists(target):
        return
    if _is_empty_folder(target):
        target.rmdir()
        return
    if reason := _why_not_ours(target):
        raise OutputError(f"{target} is not removed, because {reason}")
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()


def _is_empty_folder(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())


def _why_not_ours(target: Path) -> str | None:
    """Give the reason for which something must not be removed; None for results of ours."""
    if target.is_symlink():
        return "it is a link"
    if target.is_file():
        return None if _is_own_tiff(target) else "it is not a TIFF which napari-sam-i2v wrote"
    if not target.is_dir():
        return "it is neither a file nor a folder"
    if OWN_KEY not in _group_attributes(target):
        return "it is not a label store which napari-sam-i2v wrote"
    foreign = _foreign_entries(target)
    return f"it also holds {foreign[0]!r}" if foreign else None


def _foreign_entries(store: Path) -> list[str]:
    """List what lies in a label store and was not put there by us."""
    found = [one.name for one in store.iterdir() if one.name not in _OWN_FILES]
    level = store / "0"
    if level.is_dir():
        found += [f"0/{one.name}" for one in level.iterdir() if not _is_own_level_file(one.name)]
    return sorted(found)


def _is_own_level_file(name: str) -> bool:
    # zarr 2 keeps a folder per frame here; a crash may leave ".UUID.partial" files of zarr.
    return name in _OWN_LEVEL_FILES or name.isdecimal() or name.endswith(".partial")


def _is_own_tiff(path: Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            return bool(tif.pages.first.software == OWN_KEY)
    except Exception:  # whatever cannot be read as a TIFF is not ours
        return False


def _group_attributes(store: Path) -> dict[str, Any]:
    """Read a zarr group's attributes without zarr (either format); empty if there are none."""
    for name in ("zarr.json", ".zattrs"):
        try:
            content = json.loads((store / name).read_text())
            attributes = content.get("attributes", {}) if name == "zarr.json" else content
            return dict(attributes)
        except (OSError, ValueError, TypeError, AttributeError):
            continue  # not this format, or broken: then it is not ours
    return {}
