"""What commands say on a terminal, and how they are stopped."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PROGRAM = "napari-sam-i2v"


class Failed(Exception):
    """A command that could not finish what it had begun: exit code 1."""


class Interrupted(Exception):
    """A command that was stopped by Ctrl-C; says what was kept: exit code 130."""


def sentences(*texts: str) -> str:
    """Join what is said to a text, each with its full stop."""
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts)


def say_error(message: str, *, kind: str = "error") -> None:
    """Print one line on stderr."""
    print(f"{PROGRAM}: {kind}: {' '.join(message.split())}", file=sys.stderr)


def say_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning as one line, in place of Python's two with a source line."""
    if issubclass(category, UserWarning):
        say_error(str(message), kind="warning")


@contextmanager
def stop_on_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a wish to stop; a second one interrupts at once.

    So that the frame at work is finished, written and counted.
    """
    wished = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wished.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(signum: int, frame: FrameType | None) -> None:
        if wished.is_set():
            raise KeyboardInterrupt
        wished.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield wished.is_set
    finally:
        signal.signal(signal.SIGINT, before)
