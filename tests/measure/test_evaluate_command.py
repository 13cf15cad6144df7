"""`napari-sam-i2v evaluate`: tables, files, errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests import tiny

from napari_sam_i2v import cli
from napari_sam_i2v.cli.arguments import PROTOCOL_NAMES

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the cases `one` and `two`, beside which the command runs."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[: tiny.SIZE, : tiny.SIZE]
    labels = np.zeros((3, tiny.SIZE, tiny.SIZE), np.uint16)
    labels[:, (y - 13) ** 2 + (x - 14) ** 2 < 36] = 1
    labels[:2, (y - 33) ** 2 + (x - 31) ** 2 < 36] = 2
    for name in ("one", "two"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        tiny.write_movie(folder / "movie.tif", tiny.blobs(3))
        tifffile.imwrite(
            folder / "labels.tif", labels, photometric="minisblack", metadata={"axes": "TYX"}
        )
    return tmp_path / "data"


@pytest.fixture
def evaluate(data: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command on some folders: exit code, stdout, stderr."""

    def call(*argv: str | Path) -> tuple[int, str, str]:
        given = ["evaluate", *argv, "--model", weights, "--device", "cpu"]
        try:
            code = cli.main([str(one) for one in given])
        except SystemExit as leave:
            code = int(leave.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def without_speed(report: dict[str, Any]) -> dict[str, Any]:
    for protocol in report["protocols"].values():
        for movie in protocol["movies"].values():
            assert movie.pop("speed").keys() == {"object_frames_per_second", "seconds"}
    return report


def test_prints_a_row_per_movie_and_their_mean(evaluate: Run, data: Path) -> None:
    code, out, err = evaluate("data")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Model tiny.safetensors (")
    assert lines[2] == "Protocol click: the case's clicks: one positive click per object on its " \
        "first frame"  # fmt: skip
    assert lines[3].split()[:5] == ["movie", "objects", "J", "F", "J&F"]
    assert [line.split()[:2] for line in lines[4:6]] == [["one", "2"], ["two", "2"]]
    assert lines[6].startswith("mean of 2 movies")
    assert "AUROC" in out
    assert "Reliability" in out
    assert "answered empty" in out
    assert [line.split(":")[0] for line in err.splitlines()] == ["click one", "click two"]


def test_writes_json_and_markdown_the_same_twice(evaluate: Run, data: Path) -> None:
    files = ("--json", "r.json", "--markdown", "r.md")
    code, out, err = evaluate("data/one", *files, "--quiet", "--protocol", "box,click")
    assert (code, out, err) == (0, "", "")
    report = json.loads(Path("r.json").read_text())
    assert list(report["protocols"]) == ["click", "box"]
    one = report["protocols"]["click"]["movies"]["one"]
    assert set(one["objects"]) == {"1", "2"}
    assert one["J"] == pytest.approx(np.mean([o["J"] for o in one["objects"].values()]))
    assert one["absent"] == 1
    assert report["calibration"]["count"] == 2 + 1
    assert report["settings"]["device"] == "cpu"
    markdown = Path("r.md").read_text()
    assert "| movie | objects | J | F | J&F |" in markdown
    assert "| movie | click | box |" in markdown
    code, _, _ = evaluate("data/one", *files, "--quiet", "--protocol", "click,box", "--overwrite")
    assert code == 0
    assert without_speed(json.loads(Path("r.json").read_text())) == without_speed(report)


def test_interactive_shows_every_round(evaluate: Run, data: Path) -> None:
    code, out, _ = evaluate("data/one", "--protocol", "interactive")
    assert code == 0
    lines = out.splitlines()
    header = next(line for line in lines if "round 1" in line)
    assert header.split()[-1] == "gain"
    row = lines[lines.index(header) + 1].split()
    assert len(row) == 1 + 5 + 1
    assert float(row[6]) == pytest.approx(float(row[5]) - float(row[1]), abs=0.0011)
    assert "AUROC" not in out, "calibration is of protocol click"


def test_names_in_the_parser_are_those_of_the_protocols() -> None:
    from napari_sam_i2v.measure.protocols import PROTOCOLS

    assert tuple(PROTOCOLS) == PROTOCOL_NAMES


def test_movies_without_labels_are_noted(evaluate: Run, data: Path) -> None:
    (data / "two" / "labels.tif").unlink()
    code, out, err = evaluate("data")
    assert code == 0
    assert "two" not in out
    assert err.startswith("napari-sam-i2v: note: two has no labels: left out\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["data", "--protocol", "clicks"], "got 'clicks'"),
        (["data", "--quiet"], "--json or --markdown"),
        (["data", "--json", "r.txt"], "ends in .json"),
        (["data", "--markdown", "gone/r.md"], "does not exist"),
        (["data", "--json", "old.json"], "old.json exists"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    evaluate: Run, data: Path, argv: list[str], message: str
) -> None:
    Path("old.json").write_text("{}")
    code, out, err = evaluate(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("napari-sam-i2v: error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(p.name for p in Path().iterdir()) == ["data", "old.json"]


def test_a_frame_that_cannot_be_read_fails_on_the_way(
    evaluate: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sam_i2v.errors import MovieError
    from napari_sam_i2v.propagation.frames import FrameSource

    def broken(self: FrameSource, index: int) -> Any:
        raise MovieError(f"Frame {index} of the movie cannot be read.")

    monkeypatch.setattr(FrameSource, "_read", broken)
    code, out, err = evaluate("data/one", "--json", "r.json")
    assert (code, out) == (1, "")
    assert "one, protocol click: Frame" in err
    assert "Nothing was written." in err
    assert not Path("r.json").exists()


def test_measures_of_the_cell_tracking_challenge(evaluate: Run, data: Path) -> None:
    pytest.importorskip("ctc_metrics", reason="the extra ctc is not installed")
    (data / "two" / "annotated_frames.txt").write_text("0\n1\n")
    code, out, err = evaluate("data", "--ctc", "--json", "a.json", "--markdown", "a.md")
    assert code == 0
    assert "warning" not in err
    lines = out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("Cell Tracking Challenge"))
    assert lines[at + 2].split() == ["movie", "SEG", "DET", "TRA"]
    assert "| movie | SEG | DET | TRA |" in Path("a.md").read_text(encoding="utf-8")
    movies = json.loads(Path("a.json").read_text())["protocols"]["click"]["movies"]
    one, two = movies["one"]["CTC"], movies["two"]["CTC"]
    assert all(0 <= one[name] <= 1 for name in ("SEG", "DET", "TRA"))
    assert (two["DET"], two["TRA"]) == (None, None)
    assert 0 <= two["SEG"] <= 1


def test_without_the_library_the_extra_is_named_before_anything_runs(
    evaluate: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctc_metrics", None)
    code, out, err = evaluate("data", "--ctc")
    assert (code, out) == (2, "")
    assert "napari-sam-i2v[ctc]" in err
    assert evaluate("data", "--quiet", "--json", "a.json")[0] == 0  # all else works
