"""Fixtures and guards shared by all tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from tests import downloading

# Never let Qt abort the whole run on a machine without a screen: with neither a display nor
# Xvfb, fall back to the `offscreen` platform and skip the tests marked `gui`.
if sys.platform.startswith("linux") and not (
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or shutil.which("Xvfb")
):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def _shared() -> Path:
    """Where the development material lies: beside the checkout."""
    return Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development movies, or a skip that says where it was looked for."""
    folder = _shared() / "data"
    if not folder.is_dir():
        pytest.skip(f"development movies are not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the published implementation's recorded outputs, or a skip."""
    folder = _shared() / "golden"
    if not folder.is_dir():
        pytest.skip(f"recorded outputs are not here: {folder}")
    return folder


@pytest.fixture(autouse=True)
def _gui_needs_opengl(request: pytest.FixtureRequest) -> None:
    """Skip `gui` tests where no canvas can be drawn; in CI that is a failure."""
    if request.node.get_closest_marker("gui") is None:
        return
    request.getfixturevalue("qapp")
    from qtpy.QtGui import QGuiApplication, QOpenGLContext

    if QGuiApplication.platformName() in {"offscreen", "minimal"} or not QOpenGLContext().create():
        if os.environ.get("CI"):
            pytest.fail("CI must have OpenGL: run under Xvfb, without QT_QPA_PLATFORM=offscreen")
        pytest.skip("no OpenGL here (install xvfb, or run on a desktop)")


@pytest.fixture
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where downloaded models go: a place of the test's own.

    There is one published model more, `downloading.MODEL`, and no proxy.
    """
    import platformdirs

    from napari_sam_i2v.network import checkpoints, registry

    place = tmp_path / "data"
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: place)
    for name in downloading.PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    known = MappingProxyType({**registry.MODELS, downloading.MODEL.name: downloading.MODEL})
    for module in (registry, checkpoints):
        monkeypatch.setattr(module, "MODELS", known)
    return place / "models"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of a tiny random network; not to be changed."""
    from tests import tiny

    return tiny.write_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that fits `downloading.MODEL`."""
    from tests import tiny

    return tiny.write_weights(tmp_path_factory.mktemp("served") / "w.safetensors").read_bytes()


@pytest.fixture
def server(served: bytes) -> Iterator[downloading.Server]:
    """A server on 127.0.0.1 that has these weights."""
    with downloading.serving() as running:
        running.replies[downloading.PATH] = downloading.Reply(served)
        yield running
