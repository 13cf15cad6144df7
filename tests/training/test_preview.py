from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_sam_i2v.cli import main
from napari_sam_i2v.training.synthetic import contact_sheet, generate_clip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What contact sheets were asked for; two looks only, so that drawing is quick."""
    calls: list[dict[str, Any]] = []

    def quick(seed: int, *, frames: int = 2, size: int = 96) -> np.ndarray:
        calls.append({"seed": seed, "frames": frames, "size": size})
        return contact_sheet(seed, looks=["natural", "cine"], columns=3, frames=frames, size=size)

    monkeypatch.setattr("napari_sam_i2v.training.synthetic.contact_sheet", quick)
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_preview_needs_no_recipe(asked: list[dict[str, Any]]) -> None:
    assert main(["train", "--preview", "sheet.png", "--seed", "4"]) == 0
    with Image.open("sheet.png") as picture:
        drawn = np.asarray(picture.convert("RGB"))
    assert drawn.shape == (2 * 96, 3 * 96, 3)
    assert asked == [{"seed": 4, "frames": 2, "size": 96}]
    frame = generate_clip(4, look="natural", frames=2, size=96).frames[0]
    np.testing.assert_array_equal(drawn[:96, :96].T, np.broadcast_to(frame.T, (3, 96, 96)))


def test_a_preview_of_a_recipe_shows_movies_of_its_size(asked: list[dict[str, Any]]) -> None:
    Path("recipe.toml").write_text("seed = 9\n[data]\nframes = 3\nsize = 128\n")
    assert main(["train", "recipe.toml", "--preview", "sheet.png"]) == 0
    assert asked == [{"seed": 1, "frames": 3, "size": 128}]
    with Image.open("sheet.png") as picture:
        assert picture.size == (3 * 128, 2 * 128)


def test_a_preview_is_not_overwritten_unasked(asked: list[dict[str, Any]]) -> None:
    Path("sheet.png").write_bytes(b"mine")
    assert main(["train", "--preview", "sheet.png"]) == 2
    assert Path("sheet.png").read_bytes() == b"mine"
    assert not asked
