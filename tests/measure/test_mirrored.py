"""Movies with a known truth, mirrored: `benchmarks/mirrored.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from benchmarks import mirrored
from tests import tiny

from napari_sam_i2v.measure.cases import Case, load_case

FRAMES = 3


def truth() -> np.ndarray:
    """A bar near a corner, and from frame 1 on a square at the opposite side."""
    labels = np.zeros((FRAMES, tiny.SIZE, tiny.SIZE), np.uint16)
    labels[:, 4:9, 6:21] = 1
    labels[1:, -12:-4, -14:-6] = 2
    return labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "case"
    folder.mkdir()
    tiny.write_movie(folder / "movie.tif", tiny.blobs(FRAMES))
    axes = {"axes": "TYX"}
    tifffile.imwrite(folder / "labels.tif", truth(), photometric="minisblack", metadata=axes)
    return folder


@pytest.fixture
def case(folder: Path) -> Case:
    return load_case(folder)


@pytest.mark.parametrize("axes", mirrored.MIRRORS.values())
def test_clicks_stay_on_their_objects(case: Case, axes: tuple[int, ...]) -> None:
    turned = mirrored.mirror(case, axes)
    assert len(turned.prompts) == 2
    for prompt, before in zip(turned.prompts, case.prompts, strict=True):
        assert prompt.points is not None
        assert before.points is not None
        y, x = prompt.points[0].astype(int)
        assert turned.truth[prompt.frame][y, x] == prompt.object_id
        away = [i for i in (0, 1) if prompt.points[0][i] != before.points[0][i]]
        assert away == list(axes)


@pytest.mark.parametrize("axes", mirrored.MIRRORS.values())
def test_twice_is_the_case_itself(case: Case, axes: tuple[int, ...]) -> None:
    once = mirrored.mirror(case, axes)
    twice = mirrored.mirror(once, axes)
    for t in range(FRAMES):
        assert np.array_equal(twice.movie[t], case.movie[t])
        assert np.array_equal(twice.truth[t], case.truth[t])
        assert np.array_equal(once.movie[t], case.movie[t]) == (axes == ())
    for one, other in zip(twice.prompts, case.prompts, strict=True):
        assert np.array_equal(np.asarray(one.points), np.asarray(other.points))


def test_colours_are_not_mirrored() -> None:
    frames = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)
    assert np.array_equal(mirrored.Mirrored(frames, (1,))[1], frames[1][:, ::-1])


def test_table() -> None:
    scores = {"click": {"cells": [0.4, 0.5, 0.6, 0.7], "dog": [0.2, 0.2, 0.2, 0.6]}}
    lines = mirrored.table(scores, {"all 2": ["cells", "dog"]}).splitlines()
    assert lines[0] == "| prompt | movie | mean | as it is | up-down | left-right | both |"
    assert lines[2:] == [
        "| click | cells | 0.550 | 0.400 | 0.500 | 0.600 | 0.700 |",
        "| click | dog | 0.300 | 0.200 | 0.200 | 0.200 | 0.600 |",
        "| click | **all 2** | 0.425 | 0.300 | 0.350 | 0.400 | 0.650 |",
    ]


def test_the_command_prints_a_table_for_each_file_of_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tiny.write_weights(folder.parent / "tiny.safetensors"))
    argv = ["mirrored.py", str(folder), "--protocol", "mask", "--weights", file, file]
    monkeypatch.setattr("sys.argv", argv)
    mirrored.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("| mask | case | 0.")]
    assert len(rows) == 2
    assert rows[0] == rows[1]
    monkeypatch.setattr("sys.argv", [*argv, "--cases", "nobody"])
    with pytest.raises(SystemExit):
        mirrored.main()
