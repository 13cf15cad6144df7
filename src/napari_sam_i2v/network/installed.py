"""Downloaded models: where they lie, and whether they still are what was downloaded. No torch.

A model that was downloaded has a record ``NAME.sha256`` beside its file, as ``sha256sum`` writes
and checks it. A second record in the user's data folder names the file with its whole path, so
that it is found by name from everywhere, without anybody's settings.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from napari_sam_i2v.errors import CheckpointError

__all__ = ["check_recorded", "data_folder", "file_sha256", "find_installed", "record"]

RECORD = ".sha256"
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
BLOCK = 2**20


def data_folder() -> Path:
    """Where models are downloaded to unless another folder is chosen; it may not exist yet."""
    import platformdirs

    return platformdirs.user_data_path("napari-sam-i2v", appauthor=False) / "models"


def find_installed(name: str, folder: str | Path | None = None) -> Path | None:
    """Give the file of a model that was downloaded, or None.

    Parameters
    ----------
    name
        As in `MODELS`.
    folder
        Looked at before the user's data folder.
    """
    for place in (data_folder(),) if folder is None else (Path(folder), data_folder()):
        known = _read(place / (name + RECORD))
        if known is not None and known[0].is_file():
            return known[0]
    return None


def record(path: Path, sha256: str, name: str) -> None:
    """Note that a file is the model of this name, and what its SHA-256 is.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    _write(path.with_name(name + RECORD), sha256, path.name)
    home = data_folder()
    if path.parent.resolve() == home.resolve():
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        _write(home / (name + RECORD), sha256, path.absolute().as_posix())
    except OSError:
        pass  # found where its folder is named, then, and by its path


def check_recorded(path: Path) -> str | None:
    """Refuse a downloaded file that is not what was downloaded; others have no record.

    Returns
    -------
    str or None
        The file's SHA-256, which is the recorded one; None where there is no record.

    Raises
    ------
    CheckpointError
        If the SHA-256 of the file is not the recorded one.
    """
    note = path.with_suffix(RECORD)
    known = _read(note)
    if known is None or known[0].resolve() != path.resolve():
        return None
    if (found := file_sha256(path)) != known[1]:
        raise CheckpointError(
            f"{path} is not what was downloaded: its SHA-256 must be {known[1]} and is {found}. "
            f"Download it again, use a local file, or delete {note.name} if you changed the "
            "weights yourself."
        )
    return found


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read(note: Path) -> tuple[Path, str] | None:
    """File and SHA-256 of a record; a file without a folder lies beside it."""
    try:
        line = LINE.fullmatch(note.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None
    return None if line is None else (note.parent / line[2], line[1])


def _write(note: Path, sha256: str, file: str) -> None:
    # Whole or not at all: a reader must not see half a line.
    fresh = note.with_name(f"{note.name}.{os.getpid()}.part")
    try:
        fresh.write_text(f"{sha256}  {file}\n", encoding="utf-8", newline="\n")
        os.replace(fresh, note)
    finally:
        fresh.unlink(missing_ok=True)
