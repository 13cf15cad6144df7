"""The command line `napari-sam-i2v train`, for real, on a budget of seconds."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from safetensors.torch import load_file
from tests.movies.layouts import discs, write_davis, write_tiff
from tests.network import tiny

from napari_sam_i2v import cli
from napari_sam_i2v.network import checkpoints
from napari_sam_i2v.network import config as configs
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.training import fit

RECIPE = """
variant = "tiny"
seed = 3
checkpoint_every = 1
[data]
frames = 4
size = 64
kept = 2
fresh = 1
{data}
[image]
steps = 2
batch = 2
[video]
steps = 2
batch = 2
frames = 3
"""


@pytest.fixture(autouse=True)
def variant(monkeypatch: pytest.MonkeyPatch) -> None:
    known = MappingProxyType({**configs.VARIANTS, tiny.NAME: tiny.config()})
    monkeypatch.setattr(configs, "VARIANTS", known)
    monkeypatch.setattr(checkpoints, "VARIANTS", known)
    monkeypatch.setattr(fit, "LOG_EVERY", 1)


def train(recipe: Path, folder: Path) -> int:
    return cli.main(["train", str(recipe), str(folder), "--device", "cpu", "--precision", "fp32"])


def write(tmp_path: Path, data: str = "") -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(data=data))
    return path


def steps(folder: Path) -> list[tuple[str, int]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(row["loss"] > 0 and row["seconds"] > 0 for row in rows)
    return [(row["stage"], row["step"]) for row in rows]


def test_train_from_nothing_stop_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, done = write(tmp_path), []
    assert train(recipe, tmp_path / "whole") == 0
    weights = tmp_path / "whole" / "video.safetensors"
    assert capsys.readouterr().out.splitlines()[-1] == str(weights)
    every = [("image", 1), ("image", 2), ("video", 1), ("video", 2)]
    assert steps(tmp_path / "whole") == every
    assert load_model(weights, device="cpu").config.name == tiny.NAME

    original = fit._update

    def update(*args: object) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(0)
        original(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(fit, "_update", update)
        assert train(recipe, tmp_path / "stopped") != 0
    assert "the same command goes on" in capsys.readouterr().err
    assert steps(tmp_path / "stopped") == every[:3]
    assert train(recipe, tmp_path / "stopped") == 0
    assert steps(tmp_path / "stopped") == every
    again = load_file(tmp_path / "stopped" / "video.safetensors")
    assert all(torch.equal(again[key], value) for key, value in load_file(weights).items())


def test_train_on_own_movies(tmp_path: Path) -> None:
    """The toy example of docs/training.md: two layouts, instead of synthetic movies."""
    movie, labels = discs()
    write_tiff(tmp_path / "mine", movie, labels)
    write_davis(tmp_path / "davis", movie, labels)
    recipe = write(tmp_path, 'folders = ["mine", "davis"]\nshare = 1.0')
    assert train(recipe, tmp_path / "run") == 0
    assert load_model(tmp_path / "run" / "video.safetensors", device="cpu")


def test_folders_without_movies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    assert train(write(tmp_path, 'folders = ["mine"]'), tmp_path / "run") == 2
    assert "one of three layouts" in capsys.readouterr().err


@pytest.mark.slow
def test_real_files_are_read(tmp_path: Path, shared_data: Path) -> None:
    """A few steps of a network that is thrown away; nobody trains on these movies."""
    folders = [str(shared_data / "davis"), str(shared_data / "c2c12")]
    recipe = write(tmp_path, f"folders = {json.dumps(folders)}\nshare = 1.0")
    assert train(recipe, tmp_path / "run") == 0
