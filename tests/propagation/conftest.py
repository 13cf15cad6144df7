"""What the tests of propagation share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from napari_sam_i2v.network.memory_filter import Selection
from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.session import Session
from tests.network import tiny
from tests.propagation.fakes import BrightEngine, noise

MakeSession = Callable[..., Session]


@pytest.fixture
def make() -> MakeSession:
    """Make a session on a tiny random network; a noise movie where none is given."""

    def build(movie: Any = None, **options: Any) -> Session:
        defaults = {"model": tiny.shared(), "device": "cpu", "view": "frame"}
        return Session(noise() if movie is None else movie, **(defaults | options))

    return build


@pytest.fixture
def bright(make: MakeSession, monkeypatch: pytest.MonkeyPatch) -> MakeSession:
    """Make a session that tracks by brightness through windows."""
    monkeypatch.setattr(session_module, "Engine", BrightEngine)

    def build(movie: Any, **options: Any) -> Session:
        defaults = {"view": "follow", "contrast": (0, 255), "model": tiny.shared_fine()}
        return make(movie, **(defaults | options))

    return build


@pytest.fixture
def selections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[MemoryBank, int, Selection]]:
    """Every memory selection that is made from here on: bank, index, selection."""
    made: list[tuple[MemoryBank, int, Selection]] = []
    original = MemoryBank.filter

    def spy(self: MemoryBank, frame: int, *args: Any, **kwargs: Any) -> Selection | None:
        selection = original(self, frame, *args, **kwargs)
        if selection is not None:
            made.append((self, frame, selection))
        return selection

    monkeypatch.setattr(MemoryBank, "filter", spy)
    return made
