"""What the first press of a tool needs is imported beside the window, before it comes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from napari_sam_i2v.widget import dock as dock_module
from napari_sam_i2v.widget.dock import TrackWidget
from napari_sam_i2v.widget.importing import import_ahead


def test_what_opening_needs_is_there_afterwards() -> None:
    code = (
        "import sys; from napari_sam_i2v.widget.importing import import_ahead\n"
        "import_ahead().join()\n"
        "print({'pandas', 'zarr', 'scipy.linalg', 'skimage.exposure', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(done.stdout) == {"pandas", "zarr", "scipy.linalg", "skimage.exposure"}


def test_what_is_missing_harms_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    thread = import_ahead(["no_such_library", "colorsys"])
    thread.join()
    assert thread.daemon
    assert "colorsys" in sys.modules
    assert capfd.readouterr() == ("", "")


@pytest.mark.gui
def test_a_dock_begins_it(make_napari_viewer_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(dock_module, "import_ahead", lambda: begun.append(True))
    TrackWidget(make_napari_viewer_proxy()).deleteLater()
    assert begun == [True]
