"""The folder as one object: made, opened, written to, closed."""

from __future__ import annotations

import copy
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.session_folder.answers import AnswerLog, AnswerRecord
from napari_sam_i2v.session_folder.lock import FolderLock
from napari_sam_i2v.session_folder.record import (
    KIND,
    SESSION,
    VERSION,
    as_json,
    misfit,
    read_content,
    write_synced,
)
from napari_sam_i2v.snapshots import Snapshots

if TYPE_CHECKING:
    from napari_sam_i2v.movies.labels import LabelStore
    from napari_sam_i2v.propagation.prompts import Prompt

__all__ = ["SessionFolder"]

_PROMPTS, _LABELS = "prompts.json", "labels.zarr"
_ANSWERS, _LOCK, _MEMORY = "answers.jsonl", "lock.json", "memory"


class SessionFolder:
    """A session's folder, open for writing by this object alone.

    Made by `create` or `open`; closed by `close`, at the end of a ``with`` block, or when the
    program ends. May be used from several threads.

    Attributes
    ----------
    path
        The folder.
    labels
        The tracked labels (T, Y, X), uint16.
    memory
        Snapshots of what objects remember.
    """

    def __init__(
        self, path: Path, content: dict[str, Any], labels: LabelStore, lock: FolderLock
    ) -> None:
        self.path = path
        self.labels = labels
        self._content = content
        self._lock = lock
        self._log = AnswerLog(path / _ANSWERS)
        self.memory = Snapshots(path / _MEMORY)
        self._writing = threading.Lock()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        shape: tuple[int, int, int],
        scale: tuple[float, float, float],
        units: tuple[str, str, str],
        movie: Mapping[str, Any],
    ) -> SessionFolder:
        """Make a folder for a new session.

        Parameters
        ----------
        path
            Must not exist, or be an empty folder; folders above it are made.
        shape, scale, units
            Of the labels, along (t, y, x); see `LabelStore.create`.
        movie
            What the movie is recognised by, as JSON: see `fits`. Anything else may stand there,
            too: its name, where it lies, its type.

        Raises
        ------
        OutputError
            If something is there, or it cannot be written.
        InputError
            If `shape` or `movie` cannot be used.
        """
        target = Path(path).expanduser().absolute()
        facts = {"kind": KIND, "version": VERSION, "movie": as_json(movie, "movie"), "state": {}}
        if os.path.lexists(target) and not _is_empty(target):
            raise OutputError(f"{target} exists: open it, or choose another folder")
        try:
            _build(target, facts, shape=shape, scale=scale, units=units)
        except OSError as error:
            raise OutputError(f"{target} cannot be made: {error.strerror or error}") from error
        return cls.open(target)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, force: bool = False) -> SessionFolder:
        """Open a folder that `create` made.

        Parameters
        ----------
        path
            The folder.
        force
            Open it even though its lock says that someone else has it open.

        Raises
        ------
        FolderInUseError
            If another process, or this one, has it open.
        InputError
            If it is no session folder, is damaged, or is of another version.
        OutputError
            If it cannot be written to.
        """
        from napari_sam_i2v.movies.labels import LabelStore

        folder = Path(path).expanduser().absolute()
        read_content(folder)  # says what is wrong before anything is written
        lock = FolderLock.take(folder / _LOCK, force=force)
        try:
            return cls(folder, read_content(folder), LabelStore.open(folder / _LABELS), lock)
        except BaseException:
            lock.release()
            raise

    # ---- the movie ------------------------------------------------------------------------

    @property
    def movie(self) -> dict[str, Any]:
        """What `create` was told about the movie."""
        return copy.deepcopy(self._content["movie"])

    def fits(self, movie: Mapping[str, Any]) -> str | None:
        """Say in a sentence why this folder belongs to another movie; None if it fits.

        Compared are ``"shape"``, ``"fixed"`` (indices of axes that are held fixed) and
        ``"fingerprint"`` (see `fingerprint`), each where both movies have it. Name, place, type
        and contrast may differ: files are moved, renamed and converted.
        """
        return misfit(self.path, self._content["movie"], as_json(movie, "movie"))

    # ---- prompts and state ----------------------------------------------------------------

    def save_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Write all prompts, in their order, in place of those before.

        Raises
        ------
        OutputError
            If they cannot be written; those before are then still there.
        """
        from napari_sam_i2v.prompt_writer import prompts_as_json

        self._write(_PROMPTS, prompts_as_json(prompts))

    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts, in the order in which they were saved; empty where there are none yet.

        Raises
        ------
        PromptError
            If the file is damaged.
        """
        from napari_sam_i2v.prompt_files import read_saved_prompts

        path = self.path / _PROMPTS
        if not path.exists():
            return ()
        return tuple(read_saved_prompts(path, movie_shape=self.labels.shape))

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state in place of the one before.

        Parameters
        ----------
        state
            JSON: text, numbers, lists, dicts. Keys come back as text, tuples as lists.

        Raises
        ------
        InputError
            If it is not JSON.
        OutputError
            If it cannot be written; the one before is then still there.
        """
        content = self._content | {"state": as_json(state, "state")}
        self._write(SESSION, json.dumps(content, indent=1))
        self._content = content

    def state(self) -> dict[str, Any]:
        """The state as it was saved last; empty where none was."""
        return copy.deepcopy(self._content["state"])

    # ---- answers --------------------------------------------------------------------------

    def note(self, records: Iterable[AnswerRecord]) -> None:
        """Append the answers of a frame, whose labels were written before.

        In this order a frame that has answers always has its labels as well.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        self._check_open()
        self._log.note(records)

    def forget(
        self, object_id: int, *, frames: Iterable[int] | None = None, reverse: bool | None = None
    ) -> None:
        """Note that answers noted so far do not count any more.

        Parameters
        ----------
        object_id
            Whose.
        frames
            On which frames; on all where not given.
        reverse
            Of which direction of time; of both where not given.
        """
        self._check_open()
        self._log.forget(object_id, frames=frames, reverse=reverse)

    def answers(self) -> list[AnswerRecord]:
        """Give the answers that count: the last of each object, frame and direction.

        They come in the order in which they were noted. What a crash cut off does not count.
        """
        self._check_open()
        return self._log.read()

    # ---- closing --------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return not self._lock.held

    def close(self) -> None:
        """Let others open the folder; everything is on disk already. Once is enough."""
        self._log.close()
        self._lock.release()

    def __enter__(self) -> SessionFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SessionFolder {str(self.path)!r}{' closed' if self.closed else ''}>"

    def _check_open(self) -> None:
        if self.closed:
            raise OutputError(f"{self.path} was closed: open it again to write to it")

    def _write(self, name: str, text: str) -> None:
        self._check_open()
        with self._writing:
            write_synced(self.path / name, text)


def _build(
    target: Path,
    facts: dict[str, Any],
    *,
    shape: tuple[int, int, int],
    scale: tuple[float, float, float],
    units: tuple[str, str, str],
) -> None:
    """Make the folder under another name first: a folder of its own name is whole."""
    from napari_sam_i2v.movies.labels import LabelStore

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    part.mkdir()
    try:
        LabelStore.create(
            part / _LABELS, shape=shape, scale=scale, units=units,
            name=str(facts["movie"].get("name") or target.stem),
        )  # fmt: skip
        write_synced(part / SESSION, json.dumps(facts, indent=1))
        if target.is_dir():
            target.rmdir()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())
