"""Where results may be written: nothing is ever removed but results of ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import InputError, OutputError

OWN_KEY = "napari-sam-i2v"
"""Key of a zarr group's attributes, and Software tag of a TIFF file, that say we wrote it."""

TRACK_FILE = "res_track.txt"
"""In a result folder of the Cell Tracking Challenge; tells that it is one."""

_OWN_FILES = {
    "label-store": {"zarr.json", ".zgroup", ".zattrs", "0"},
    "geff": {"zarr.json", ".zgroup", ".zattrs", "nodes", "edges"},
}
_OWN_LEVEL_FILES = {"zarr.json", ".zarray", ".zattrs", "c", ".frames_done", ".resume"}


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
    if not os.path.lexists(target):
        return target
    if _is_empty_folder(target) and target.suffix.lower() not in (".tif", ".tiff"):
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
    with renamed_when_whole(target) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return target


@contextmanager
def renamed_when_whole(target: Path) -> Iterator[Path]:
    """Give a name beside the target; rename it there at the end, remove it on failure."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    if os.path.lexists(part):
        raise OutputError(f"{part} is in the way of writing {target.name}: remove it")
    try:
        yield part
        os.replace(part, target)
    except OutputError:
        raise
    except OSError as err:
        raise OutputError(f"{target} cannot be written: {err.strerror or err}") from err
    finally:
        if os.path.lexists(part):
            shutil.rmtree(part) if part.is_dir() else part.unlink()


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
    if (target / TRACK_FILE).is_file() and any(target.glob("mask*.tif")):
        foreign = [one.name for one in target.iterdir() if not _is_own_mask(one)]
    elif isinstance(own := _group_attributes(target).get(OWN_KEY), dict):
        foreign = _foreign_entries(target, _OWN_FILES.get(str(own.get("kind")), set()))
    else:
        return "it is not a result which napari-sam-i2v wrote"
    return f"it also holds {min(foreign)!r}" if foreign else None


def _is_own_mask(entry: Path) -> bool:
    return entry.name == TRACK_FILE or (entry.suffix == ".tif" and _is_own_tiff(entry))


def _foreign_entries(group: Path, own: set[str]) -> list[str]:
    """List what lies in a zarr group and was not put there by us."""
    levels = [one for one in group.iterdir() if "0" in own and one.name.isdecimal()]
    kept = {*own, *(level.name for level in levels)}
    found = [one.name for one in group.iterdir() if one.name not in kept]
    for level in levels:
        inside = level.iterdir() if level.is_dir() else ()
        found += [f"{level.name}/{one.name}" for one in inside if not _is_own_level_file(one.name)]
    return found


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
