"""`napari-sam-i2v benchmark`: a table, a file, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import tiny

from napari_sam_i2v import cli
from napari_sam_i2v.measure import speed

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--objects", "1", "2", "--size", "48", "--frames", "2", "--device", "cpu")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command in this process, cases included: exit code, stdout, stderr."""
    weights = tiny.write_weights(tmp_path / "tiny.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "measure_apart", speed.measure)

    def call(*argv: str) -> tuple[int, str, str]:
        try:
            code = cli.main(["benchmark", *SMALL, "--model", str(weights), *argv])
        except SystemExit as leave:
            code = int(leave.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_prints_a_row_per_case_and_writes_all_numbers(command: Run) -> None:
    code, out, err = command("--json", "r.json", "--profile")
    assert code == 0
    report = json.loads(Path("r.json").read_text())
    assert {"date", "processor", "cores", "torch"} <= report["machine"].keys()
    assert [one["objects"] for one in report["cases"]] == [1, 2]
    assert all(len(one["model"]["sha256"]) == 64 for one in report["cases"])
    assert [one["flops_shared"] is None for one in report["cases"]] == [False, True]
    assert all(sum(one["profile"].values()) == pytest.approx(1) for one in report["cases"])
    lines = out.splitlines()
    assert lines[1].split()[:4] == ["model", "device", "threads", "objects"]
    assert [line.split()[:2] for line in lines[2:4]] == [["tiny.safetensors", "cpu"]] * 2
    assert "GFLOP of a frame, with full memory" in out
    assert out.count("Where time goes: tiny.safetensors") == 2
    assert err.splitlines()[0].endswith("cpu: 1 objects, 2 frames of 48 x 48 pixels")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--quiet"], "name a file for it with --json"),
        (["--json", "r.txt"], "ends in .json"),
        (["--json", "old.json"], "old.json exists"),
        (["--objects", "0"], "at least 1"),
        (["--model", "gone.pt"], "no weights file gone.pt"),
        (["--device", "nowhere"], "Unknown device 'nowhere'"),
    ],
)
def test_wrong_use_is_one_line_and_measures_nothing(
    command: Run, monkeypatch: pytest.MonkeyPatch, argv: list[str], message: str
) -> None:
    Path("old.json").write_text("{}")
    monkeypatch.setattr(speed, "measure_apart", pytest.fail)
    code, out, err = command(*argv)
    assert (code, out, Path("old.json").read_text()) == (2, "", "{}")
    assert err.startswith("napari-sam-i2v: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_case_that_fails_is_said_in_one_line(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(case: speed.Case) -> speed.Speed:
        raise RuntimeError(f"{case.objects} objects cannot be measured: out of memory")

    monkeypatch.setattr(speed, "measure_apart", broken)
    code, out, err = command("--json", "r.json", "--quiet")
    assert (code, out) == (1, "")
    assert "1 objects cannot be measured: out of memory. Nothing was written." in err
    assert not Path("r.json").exists()
