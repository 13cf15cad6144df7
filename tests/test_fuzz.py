"""Some hundred damaged files; `python tools/fuzz.py` opens thousands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tools import fuzz

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc: Linux only"
)


@pytest.mark.parametrize("variants", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files_open_or_are_refused(variants: int) -> None:
    for extra in ("pydicom", "nibabel", "imagecodecs"):
        pytest.importorskip(extra)
    done = subprocess.run(
        [sys.executable, fuzz.__file__, "--variants", str(variants), "--seed", "11"],
        stdout=subprocess.PIPE, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    opened, refused, wrong = map(
        int, re.search(r"(\d+) opened, (\d+) refused, (\d+) wrong", done.stdout).groups()
    )
    assert opened + refused == variants
    assert wrong == 0
    assert min(opened, refused) > 50, "not damaged enough, or too much, to show anything"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("crash", "the process ended with -6"),
        ("hang", "took more than"),
        ("hoard", r"took \d+ MiB"),
        ("stray", "opened .*outside.txt"),
        ("fail", "KeyError"),
    ],
)
def test_what_is_wrong_is_found(
    tmp_path: Path, kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 3.0 if kind == "hang" else 60.0)
    (tmp_path / "v").mkdir()
    worker = fuzz.Worker()
    task = {"kind": kind, "folder": str(tmp_path / "v"), "name": "x", "bytes": fuzz.CONSTANT}
    try:
        assert re.match(said, worker.open(task))
    finally:
        worker.close()
