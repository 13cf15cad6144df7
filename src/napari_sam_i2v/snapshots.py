"""Snapshots of what a session remembers: a folder of tensors and values, safe against crashes.

Tensors never change: each is written once, with others of its time, and goes when no snapshot
needs it any more. The two latest snapshots are there, each with the digests of its files: what a
crash or a power cut left in pieces does not count, and the one before it does.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.movies.output import renamed_when_whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from napari_sam_i2v.propagation.remembered import Name

__all__ = ["Snapshots"]

SHARE = 0.1
"""Of a run's time, at most so much goes into snapshots."""
_ENDING = ".safetensors"


@dataclass(frozen=True)
class _Kept:
    """A tensor that is named, held so that no other one gets its identity."""

    tensor: Tensor
    name: str
    file: str


class Snapshots:
    """The snapshots in a folder; for one writer at a time.

    Parameters
    ----------
    folder
        Made with the first snapshot.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[int, _Kept] = {}
        self._digests: dict[str, str] = {}
        self._before: set[str] = set()
        self._number = self._names = 0
        self._rest_until = 0.0

    @property
    def due(self) -> bool:
        """Whether the next one would cost no more than its share of the time."""
        return time.monotonic() >= self._rest_until

    def save(self, make: Callable[[Name], dict[str, Any]]) -> None:
        """Write a snapshot.

        Parameters
        ----------
        make
            Called with a function that names tensors; returns what the snapshot says, as JSON.

        Raises
        ------
        OutputError
            If it cannot be written; those before are still there.
        """
        begin = time.monotonic()
        kept: dict[int, _Kept] = {}

        def name(tensor: Tensor, *, lasting: bool) -> str:
            one = kept.get(id(tensor)) or self._kept.get(id(tensor))
            if one is None:
                self._names += 1
                file = f"{self._number + 1}-{'lasting' if lasting else 'rolling'}{_ENDING}"
                one = _Kept(tensor, f"t{self._names}", file)
            kept[id(tensor)] = one
            return one.name

        facts = make(name)
        try:
            self.folder.mkdir(exist_ok=True)
            self._write(facts, kept)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error.strerror or error}") from (
                error
            )
        self._rest_until = time.monotonic() + (time.monotonic() - begin) / SHARE

    def load(self, device: torch.device) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Read the latest snapshot that is whole; None where there is none.

        Returns
        -------
        tuple
            What it says, and its tensors by name. The next snapshot then needs only what is new.
        """
        found = sorted(filter(None, map(_content, self._states())), key=lambda one: -one["number"])
        for content in found:
            try:
                tensors = self._read(content, device)
            except (OSError, KeyError, TypeError, ValueError):
                continue
            self._number = max(one["number"] for one in found)
            self._names = max(one["names"] for one in found)
            self._digests = dict(content["files"])
            self._before = set(self._digests)
            files = content["where"]
            self._kept = {id(t): _Kept(t, name, files[name]) for name, t in tensors.items()}
            return dict(content["facts"]), tensors
        return None

    def _states(self) -> tuple[Path, Path]:
        return self.folder / "state-0.json", self.folder / "state-1.json"

    def _write(self, facts: dict[str, Any], kept: dict[int, _Kept]) -> None:
        self._number += 1
        new: dict[str, dict[str, Tensor]] = {}
        for one in kept.values():
            if one.file not in self._digests:
                new.setdefault(one.file, {})[one.name] = one.tensor
        digests = {file: self._write_tensors(file, tensors) for file, tensors in new.items()}
        needed = {one.file for one in kept.values()}
        self._digests = {f: d for f, d in (self._digests | digests).items() if f in needed}
        self._kept = kept
        content = {
            "number": self._number, "names": self._names, "facts": facts,
            "files": self._digests, "where": {one.name: one.file for one in kept.values()},
        }  # fmt: skip
        text = json.dumps(content)
        signed = json.dumps({"digest": _digest(text.encode()), "content": text})
        _write_synced(self._states()[self._number % 2], signed.encode())
        for path in self.folder.glob(f"*{_ENDING}"):
            if path.name not in needed | self._before:
                path.unlink(missing_ok=True)
        self._before = needed

    def _write_tensors(self, file: str, tensors: Mapping[str, Tensor]) -> str:
        from safetensors.torch import save

        data = save({name: one.detach().cpu().clone() for name, one in tensors.items()})
        _write_synced(self.folder / file, data)
        return _digest(data)

    def _read(self, content: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
        from safetensors.torch import load

        where: dict[str, str] = content["where"]
        tensors: dict[str, Tensor] = {}
        for file, digest in content["files"].items():
            if Path(file).name != file:
                raise ValueError("a name of a file is required")
            data = (self.folder / file).read_bytes()
            if _digest(data) != digest:
                raise ValueError(f"{file} is damaged")
            tensors |= {n: t.to(device) for n, t in load(data).items() if where.get(n) == file}
        if tensors.keys() != where.keys():
            raise ValueError("tensors are missing")
        return tensors


def _content(path: Path) -> dict[str, Any] | None:
    """What a state says; None if it is not whole."""
    try:
        signed = json.loads(path.read_bytes())
        text = signed["content"]
        if _digest(text.encode()) != signed["digest"]:
            return None
        content = dict(json.loads(text))
        return content if isinstance(content["number"], int) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _write_synced(path: Path, data: bytes) -> None:
    with renamed_when_whole(path) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
