"""Warnings that our package is to blame for, whoever raised them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import napari_sam_i2v

PACKAGE = str(Path(napari_sam_i2v.__file__).parent)


def _callers(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


@contextmanager
def deprecations_of_ours() -> Iterator[list[str]]:
    """Collect what is said to be deprecated by anything that a line of ours called.

    The line that a warning names depends on its `stacklevel`, which is often wrong: here the whole
    stack counts.
    """
    seen: list[str] = []

    def show(message: Warning | str, category: type, filename: str, *rest: Any, **_: Any) -> None:
        ours = next((f for f in _callers(sys._getframe()) if f.startswith(PACKAGE)), None)
        kinds = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
        if ours is not None and issubclass(category, kinds):
            seen.append(f"{ours}: {message} ({filename})")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        yield seen
