"""Movies of a step: synthetic, the user's own, or both, by number; recipes that ask for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.movies.layouts import discs, write_cell_tracking, write_tiff

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.training import pool
from napari_sam_i2v.training.pool import RollingPool, step_batches
from napari_sam_i2v.training.recipe import DataPlan, Recipe, StagePlan, read_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiff(tmp_path / "mine", *discs())


def plan(folder: Path, **changes: object) -> DataPlan:
    values = {"frames": 4, "size": 96, "kept": 4, "fresh": 2, "folders": (str(folder),)}
    return DataPlan(**values | changes)  # type: ignore[arg-type]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the synthetic movies that were made."""
    seeds: list[int] = []
    original = pool.generate_clip

    def generate(seed: int, **options: int) -> object:
        seeds.append(seed)
        return original(seed, **options)

    monkeypatch.setattr(pool, "generate_clip", generate)
    return seeds


@pytest.mark.parametrize(("share", "synthetic"), [(0.0, 4), (0.25, 3), (None, 2), (1.0, 0)])
def test_share_of_own_movies(
    folder: Path, made: list[int], share: float | None, synthetic: int
) -> None:
    movies = RollingPool(plan(folder, share=share)).at(0)
    assert len(movies) == 4
    assert len(made) == synthetic


def test_synthetic_movies_are_the_same_with_and_without_own_ones(folder: Path) -> None:
    mixed = RollingPool(plan(folder)).at(0)
    alone = RollingPool(plan(folder, folders=())).at(0)
    same = [np.array_equal(a.frames, b.frames) for a, b in zip(mixed, alone, strict=True)]
    assert same == [True, False, True, False]


def test_a_resumed_pool_is_the_same(folder: Path) -> None:
    through = RollingPool(plan(folder, share=1.0))
    for step in range(3):
        wanted = through.at(step)
    for a, b in zip(wanted, RollingPool(plan(folder, share=1.0)).at(2), strict=True):
        assert np.array_equal(a.frames, b.frames) and np.array_equal(a.labels, b.labels)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_own_movies(folder: Path, workers: int) -> None:
    """Made here or in another process, they are the same."""
    recipe = Recipe(
        data=plan(folder, share=1.0, workers=workers),
        video=StagePlan(steps=2, batch=2, frames=3),
    )
    batches = list(step_batches(recipe, recipe.video, "video", start=0))
    assert [tuple(clips.shape) for clips, _, _ in batches] == [(2, 3, 3, 3, 192, 192)] * 2
    again = list(
        step_batches(
            dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, workers=0)),
            recipe.video, "video", start=1,
        )
    )  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(batches[1], again[0], strict=True))


def test_movies_that_cannot_teach_tracking_stop_the_run_at_once(tmp_path: Path) -> None:
    write_cell_tracking(tmp_path, *discs(), outlined=[0, 3], markers=False)
    image, video = StagePlan(steps=1, batch=1), StagePlan(steps=1, batch=1, frames=2)
    recipe = Recipe(data=plan(tmp_path, share=1.0), image=image, video=video)
    with pytest.raises(InputError, match="annotated frames"):
        step_batches(recipe, image, "image", start=0)
    alone = dataclasses.replace(recipe, video=dataclasses.replace(video, steps=0))
    assert len(list(step_batches(alone, image, "image", start=0))) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_movie_that_breaks_stops_the_run_in_one_line(tmp_path: Path, workers: int) -> None:
    """Wherever it is read: a worker process puts a traceback around what it raises."""
    write_cell_tracking(tmp_path, *discs(), outlined=list(range(6)))
    video = StagePlan(steps=1, batch=1, frames=2)
    recipe = Recipe(data=plan(tmp_path, share=1.0, workers=workers), video=video)
    batches = step_batches(recipe, video, "video", start=0)
    for file in tmp_path.glob("**/man_seg*.tif"):
        file.write_bytes(b"damaged")
    with pytest.raises(InputError) as caught:
        next(batches)
    assert "man_seg" in str(caught.value) and "\n" not in str(caught.value)


# ---- recipes ---------------------------------------------------------------------------------


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_folders_are_relative_to_the_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, '[data]\nfolders = ["mine", "/else"]\nshare = 1'))
    assert recipe.data.folders == (str(tmp_path / "mine"), "/else")
    assert recipe.data.own_share == 1.0


def test_default_shares() -> None:
    assert DataPlan().own_share == 0
    assert DataPlan(folders=("a",)).own_share == 0.5
    assert DataPlan(folders=("a",), share=0.0).own_share == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[data]\nfolders = "mine"', "list of texts"),
        ("[data]\nfolders = [1]", "list of texts"),
        ('[data]\nfolders = ["a"]\nshare = 1.5', "from 0 to 1"),
        ('[data]\nfolders = ["a"]\nshare = -0.5', "share"),
        ('[data]\nfolders = ["a"]\nshare = "half"', "share"),
        ("[data]\nshare = 0.5", "give folders"),
        ('[video]\nsteps = 1\narm = "none"', r"\[video\]: arm must be one of full"),
        ("image_size = 100", "multiple of 32"),
        ('weights = "default"\nimage_weights = "tinysam.pt"', "cannot both"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recipe(write(tmp_path, text))


def test_image_size_of_training(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, "image_size = 64")).config.image_size == 64
    assert read_recipe(write(tmp_path, "")).config.image_size == 192
