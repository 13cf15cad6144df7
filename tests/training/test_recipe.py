"""Recipes: what a file says is what is trained, and nonsense is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.training.recipe import Recipe, read_recipe

WHOLE = """
variant = "sam-i2v-micro"
seed = 7
average = 0.9
[data]
frames = 4
size = 128
kept = 5
fresh = 1
[image]
steps = 10
batch = 2
[video]
steps = 20
frames = 3
learning_rate = 2e-4
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, WHOLE))
    assert (recipe.variant, recipe.seed, recipe.average) == ("sam-i2v-micro", 7, 0.9)
    assert (recipe.data.frames, recipe.data.kept) == (4, 5)
    assert (recipe.image.steps, recipe.image.batch, recipe.image.frames) == (10, 2, 1)
    assert (recipe.video.steps, recipe.video.frames) == (20, 3)
    assert recipe.video.learning_rate == 2e-4


def test_what_is_left_out_has_defaults(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path, "")) == Recipe()
    assert read_recipe(str(write(tmp_path, "seed = 2"))).data == Recipe().data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 3", "unknown seeds; known are .*seed"),
        ("[image]\nsteps = 3\nstep = 4", r"\[image\]: unknown step"),
        ("[data]\ncolour = true", r"\[data\]: unknown colour"),
        ("[video]\nframes = 3", r"\[video\]: .*steps"),
        ("image = 5", r"\[image\]: a table is required, got 5"),
        ("seed = ", "not valid TOML"),
        ("[image\n", "not valid TOML"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recipe(write(tmp_path, text))


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no recipe"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path)
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="not valid TOML"):
        read_recipe(path)


@pytest.mark.parametrize(
    "text", ['seed = "three"', "[image]\nsteps = -1", "[data]\nsize = 1.5", 'variant = "huge"']
)
def test_values_of_a_wrong_kind_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        read_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("checkpoint_every = 0", "checkpoint_every must be a whole number from 1 up, got 0"),
        ("[image]\nsteps = 1\nbatch = 0", r"\[image\]: batch must be a whole number from 1 up"),
        ("[video]\nsteps = 1\nframes = 0", r"\[video\]: frames must be a whole number from 1 up"),
        ("[data]\nsize = 0", "size must be a whole number from 1 up"),
        ("[data]\nkept = 0", "kept must be a whole number from 1 up"),
        ("weight_decay = inf", "weight_decay must be a number from 0 up, got inf"),
        ("[video]\nsteps = 1\nlearning_rate = nan", "learning_rate must be .*, got nan"),
    ],
)
def test_values_that_train_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recipe(write(tmp_path, text))


def test_steps_workers_and_new_movies_may_be_none(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, "[image]\nsteps = 0\n[data]\nworkers = 0\nfresh = 0"))
    assert (recipe.image.steps, recipe.data.workers, recipe.data.fresh) == (0, 0, 0)


def test_files_are_relative_to_the_recipe_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USERPROFILE", "/home/ada")

    def placed(text: str, name: str) -> Path:
        return Path(getattr(read_recipe(write(tmp_path, f'{name} = "{text}"')), name))

    assert placed("default", "weights") == Path("default")
    assert placed("a.safetensors", "weights") == tmp_path / "a.safetensors"
    for name in ("weights", "image_weights"):
        assert placed("~/a.pt", name) == Path("/home/ada/a.pt")
