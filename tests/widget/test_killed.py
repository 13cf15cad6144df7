"""napari itself is killed in the middle of a pass; what it did is there, and is gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from tests.propagation.fakes import BrightEngine, only
from tests.widget import killed_napari
from tests.widget.test_tracking import drive

from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.widget.tracking import TrackController

pytestmark = pytest.mark.gui

ROOT = Path(__file__).resolve().parents[2]
DONE = killed_napari.IN_WORK
"""Frames that were finished."""


@pytest.fixture
def killed(tmp_path: Path, qtbot: Any) -> Path:
    """The session folder that a killed napari leaves."""
    session, marker = tmp_path / "cells.sam-i2v", tmp_path / "in-work"
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.widget.killed_napari", str(session), str(marker)],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths),
             "NAPARI_CONFIG": str(tmp_path / "settings.yaml")},
    )  # fmt: skip
    try:
        qtbot.waitUntil(lambda: marker.exists() or process.poll() is not None)
    finally:
        process.kill()
        said = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, said
    return session


@pytest.fixture
def again(killed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackController]:
    """The session, opened as after a restart."""
    monkeypatch.setattr(session_module, "Engine", BrightEngine)
    viewer = ViewerModel()
    image = viewer.add_image(killed_napari.movie(), name="cells", scale=(1, 0.5, 0.5))
    controller = TrackController(viewer)
    controller.open(image, folder=killed, device="cpu")
    drive(controller)
    yield controller
    controller.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_killed_napari_loses_at_most_the_frame_in_work(again: TrackController) -> None:
    planes = np.asarray(again.labels.data[:])
    for object_id in (1, 2):
        assert only(planes[:DONE], object_id).any(axis=(1, 2)).all()
        assert np.isfinite(again.curves([object_id])[0].area[:DONE]).all()
    assert not planes[DONE:].any()

    # Prompts, names, locks.
    prompts = again.prompt_layers.points
    np.testing.assert_array_equal(prompts.data[:, 1:], killed_napari.CLICKS)
    rows = {row.object_id: row for row in again.rows()}
    assert {i: row.state for i, row in rows.items()} == {1: "changed", 2: "changed", 3: "locked"}
    assert rows[2].name == killed_napari.NAME

    # Settings, although the layer's limits and the default view are others.
    session = again._desk.bench.session
    assert again.image.contrast_limits != list(killed_napari.LIMITS)
    assert (session.view, session.contrast.values[:2]) == (killed_napari.VIEW, killed_napari.LIMITS)
    assert again.in_use == {"model": "default", "view": killed_napari.VIEW}

    # It goes on from the last snapshot of what was remembered; what was done stays as it is.
    again.propagate()
    drive(again)
    done, to_do = again.progress
    assert len(planes) - DONE <= done == to_do <= len(planes)
    whole = np.asarray(again.labels.data[:])
    np.testing.assert_array_equal(whole[:DONE], planes[:DONE])
    assert all(only(whole, i).any(axis=(1, 2)).all() for i in (1, 2))
