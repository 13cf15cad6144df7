"""A lock file: one napari at a time writes to a session folder.

The file says which process of which computer holds it. It goes when the holder lets go, is
garbage-collected or exits. A killed holder leaves it behind; on its own computer that is noticed.

Of several that notice it at once, one takes it over: whoever removes a lock file first claims that
very one, by a file of its own beside it, and looks again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import uuid
import weakref
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import InputError, OutputError

__all__ = ["FolderInUseError", "FolderLock"]

_HELD: set[str] = set()
"""Tokens of this process's locks: a process id alone may be that of an earlier process."""

UNWRITTEN_S = 1.0
"""How long a lock file without its text may be one that is being written: the machine is busy."""
CLAIMED_S = 5.0
"""How long a lock file is left to whoever has claimed it; then that one was killed."""


class FolderInUseError(InputError):
    """Another napari, or another window of this one, writes to the folder."""


class FolderLock:
    """Held from `take` until `release`, or until nobody refers to it any more.

    Attributes
    ----------
    path
        The lock file.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path = path
        # Called at exit, too.
        self._finalizer = weakref.finalize(self, _let_go, path, token, os.getpid())

    @classmethod
    def take(cls, path: Path, *, force: bool = False, what: Path | None = None) -> FolderLock:
        """Take a lock, also one that a killed process of this computer left behind.

        Parameters
        ----------
        path
            The lock file; its folder must exist.
        force
            Take it whoever holds it: for a user who knows that the other one is gone.
        what
            What it guards, for messages; its folder by default.

        Raises
        ------
        FolderInUseError
            If someone else holds it.
        OutputError
            If the file cannot be written.
        """
        token = uuid.uuid4().hex
        _HELD.add(token)  # before others can read it
        try:
            while not _make(path, token):
                holder = _holder(path)
                if not force and holder is not None and _is_alive(holder):
                    raise FolderInUseError(_in_use(path, holder, what or path.parent))
                _remove(path, holder)
        except BaseException as error:
            _HELD.discard(token)
            if not isinstance(error, OSError):
                raise
            raise OutputError(
                f"{path.parent} cannot be written to ({error.strerror or error}): choose another "
                "folder"
            ) from error
        return cls(path, token)

    @staticmethod
    def check_free(path: Path, *, what: Path | None = None) -> None:
        """Check that `take` would not be refused; see there."""
        holder = _holder(path)
        if holder is not None and _is_alive(holder):
            raise FolderInUseError(_in_use(path, holder, what or path.parent))

    @property
    def held(self) -> bool:
        """Whether it was not released yet."""
        return self._finalizer.alive

    def release(self) -> None:
        """Let go; once is enough."""
        self._finalizer()


def _let_go(path: Path, token: str, pid: int) -> None:
    if os.getpid() != pid:  # a forked child inherits the lock object, not the lock
        return
    _HELD.discard(token)
    try:
        if (_read(path) or {}).get("token") == token:
            path.unlink(missing_ok=True)
    except OSError:
        # The drive is gone, and this may run at exit; what stays is taken over by the next one.
        return


def _make(path: Path, token: str) -> bool:
    """Write the file unless it is there."""
    facts = {
        "pid": os.getpid(),
        "program": _program(os.getpid()),
        "host": platform.node(),
        "since": datetime.now().isoformat(" ", "seconds"),
        "token": token,
    }
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(file, json.dumps(facts).encode())
    except OSError:
        path.unlink(missing_ok=True)  # the disk is full
        raise
    finally:
        os.close(file)
    # Had this process slept in between for long, another one would have taken it for a dead one's.
    return (_read(path) or {}).get("token") == token


def _remove(path: Path, holder: dict[str, Any] | None) -> None:
    """Remove the lock file of a holder that is gone, but none that was made meanwhile.

    Parameters
    ----------
    path
        The lock file.
    holder
        What it said; None if nothing that can be read.
    """
    token = (holder or {}).get("token")
    name = hashlib.blake2b(repr(token).encode(), digest_size=8).hexdigest()
    claim, deadline = path.with_name(f".{path.name}.{name}.claim"), time.monotonic() + CLAIMED_S
    while True:
        try:
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                claim.unlink(missing_ok=True)
            time.sleep(0.01)
    try:
        if path.exists() and (_read(path) or {}).get("token") == token:
            path.unlink(missing_ok=True)
    finally:
        claim.unlink(missing_ok=True)


def _holder(path: Path) -> dict[str, Any] | None:
    """What the file says; None if it is gone, or was never written to its end."""
    deadline = time.monotonic() + UNWRITTEN_S
    while (holder := _read(path)) is None and path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # another process may be writing it just now
    return holder


def _read(path: Path) -> dict[str, Any] | None:
    """What the file says now; None if it is gone or says nothing."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def _is_alive(holder: dict[str, Any]) -> bool:
    """Whether the holder still runs; one on another computer might."""
    if holder.get("host") != platform.node():
        return True
    if holder.get("pid") == os.getpid():
        return holder.get("token") in _HELD
    program = _program(holder.get("pid"))
    # After a restart of the computer the number may be that of some other program.
    return program is not None and program == holder.get("program")


def _program(pid: Any) -> str | None:
    """Name of a running process; None if there is none."""
    import psutil  # type: ignore[import-untyped]  # napari brings it; needed twice only

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.name())
    except (psutil.NoSuchProcess, TypeError, ValueError):
        return None
    except psutil.AccessDenied:
        return "unknown"


def _in_use(path: Path, holder: dict[str, Any], what: Path) -> str:
    pid, host = holder.get("pid"), holder.get("host")
    other = "folder" if what == path.parent else "output"
    if pid == os.getpid() and host == platform.node():
        return (
            f"{what} is open already in this napari or script: close it there, or choose another "
            f"{other}"
        )
    return (
        f"{what} is in use by process {pid} on {host}, since {holder.get('since')}: close it "
        f"there, or choose another {other}. If that process is gone, remove {path}"
    )
