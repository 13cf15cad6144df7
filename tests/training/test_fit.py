"""A whole training run in small: image step, upgrade to video, checkpoint, weights."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tests.network import tiny
from tests.network.emulated_device import emulated

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network import SamI2V, checkpoints
from napari_sam_i2v.network import config as configs
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.training import fit
from napari_sam_i2v.training.fit import _schedule, export_weights, initialise, train
from napari_sam_i2v.training.forward import image_step, video_step
from napari_sam_i2v.training.recipe import DataPlan, Recipe, StagePlan
from napari_sam_i2v.training.samples import Movie8, draw_batch

RECIPE = Recipe(
    variant=tiny.NAME,
    seed=3,
    checkpoint_every=1,
    data=DataPlan(frames=4, size=64, kept=2, fresh=1),
    image=StagePlan(steps=2, batch=2),
    video=StagePlan(steps=2, batch=2, frames=3),
)


@pytest.fixture(autouse=True)
def variant(monkeypatch: pytest.MonkeyPatch) -> None:
    known = MappingProxyType({**configs.VARIANTS, tiny.NAME: tiny.config()})
    monkeypatch.setattr(configs, "VARIANTS", known)
    monkeypatch.setattr(checkpoints, "VARIANTS", known)


class Stopped(Exception):
    """Stands for a machine that goes down."""


def run(folder: Path, recipe: Recipe = RECIPE) -> Path:
    return train(recipe, folder, device="cpu", precision="fp32", quiet=True)


def changed(**changes: Any) -> Recipe:
    """The recipe with other values; `video__steps` is one of a table."""
    recipe = RECIPE
    for name, value in changes.items():
        table, _, inner = name.rpartition("__")
        if table:
            value = dataclasses.replace(getattr(recipe, table), **{inner: value})
        recipe = dataclasses.replace(recipe, **{table or name: value})
    return recipe


def stop_after(monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """Go down before update number `updates`, counted over both stages."""
    original, done = fit._update, [0]

    def update(*args: Any) -> None:
        if done[0] == updates:
            raise Stopped
        done[0] += 1
        original(*args)

    monkeypatch.setattr(fit, "_update", update)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        known = MappingProxyType({**configs.VARIANTS, tiny.NAME: tiny.config()})
        patch.setattr(configs, "VARIANTS", known)
        patch.setattr(fit, "LOG_EVERY", 1)
        run(folder)
    return folder


def test_weights_can_be_loaded(whole: Path) -> None:
    model = load_model(whole / "video.safetensors", device="cpu")
    assert model.config.name == tiny.NAME
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert load_model(whole / "image.safetensors", device="cpu").config.name == tiny.NAME


def test_both_stages_change_the_weights(whole: Path) -> None:
    torch.manual_seed(RECIPE.seed)
    fresh = SamI2V(tiny.config())
    initialise(fresh)
    image, video = (load_file(whole / f"{stage}.safetensors") for stage in ("image", "video"))
    decoder = "sam_mask_decoder.transformer.layers.0.self_attn.q_proj.weight"
    memory = "memory_attention.layers.0.cross_attn_image.q_proj.weight"
    start = {key: value.half() for key, value in fresh.state_dict().items()}
    assert not torch.equal(image[decoder], start[decoder])
    assert not torch.equal(video[decoder], image[decoder])
    # The image step knows no memory.
    assert torch.allclose(image[memory], start[memory], atol=1e-3)
    assert not torch.equal(video[memory], image[memory])


def test_refinement_is_learnt_on_top_of_weights_of_before_there_was_any(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = MappingProxyType({**configs.VARIANTS, tiny.NAME: tiny.config(fine_dim=4)})
    monkeypatch.setattr(configs, "VARIANTS", known)
    monkeypatch.setattr(checkpoints, "VARIANTS", known)
    plan = dataclasses.replace(RECIPE.image, steps=0)
    recipe = dataclasses.replace(RECIPE, weights=str(whole / "video.safetensors"), image=plan)
    first = fit._new_model(recipe)
    given = load_model(whole / "video.safetensors", device="cpu").state_dict()
    assert all(torch.equal(first.state_dict()[key], value) for key, value in given.items())
    trained = load_model(run(tmp_path, recipe), device="cpu")
    assert trained.config.fine_dim == 4
    change = trained.mask_refiner.out.weight - first.mask_refiner.out.weight.half().float()
    assert change.abs().max() > 0


def test_weights_of_another_variant(tmp_path: Path) -> None:
    message = r'default is a sam-i2v-micro.* trains a tiny: set variant = "sam-i2v-micro"'
    with pytest.raises(InputError, match=message):
        run(tmp_path, changed(weights="default", image__steps=0))


@pytest.mark.parametrize("updates", [1, 3])
def test_a_stopped_run_ends_with_the_same_weights(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, updates: int
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, updates)
        with pytest.raises(Stopped):
            run(tmp_path)
    assert (tmp_path / "checkpoint.pt").exists()
    state, wanted = load_file(run(tmp_path)), load_file(whole / "video.safetensors")
    assert state.keys() == wanted.keys()
    for key, value in state.items():
        assert torch.equal(value, wanted[key]), key


def test_a_finished_run_does_nothing_more(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_file(whole / "video.safetensors")
    stop_after(monkeypatch, 0)
    after = load_file(run(whole))
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (changed(seed=4), "seed is 4, in that run 3"),
        (changed(video__learning_rate=0.5), "video.learning_rate is 0.5, in that run 0.001"),
        (changed(video__steps=1), "video.steps is 1, in that run 2"),
        (changed(image__steps=3), "image.steps is 3, in that run 2"),
        (changed(variant="sam-i2v-micro"), "variant is 'sam-i2v-micro', in that run 'tiny'"),
    ],
)
def test_a_run_of_another_recipe_is_not_gone_on_with(
    whole: Path, tmp_path: Path, recipe: Recipe, message: str
) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    before = (folder / "video.safetensors").read_bytes()
    with pytest.raises(InputError, match=f"another recipe: {message}.*choose another folder"):
        run(folder, recipe)
    assert (folder / "video.safetensors").read_bytes() == before


def test_a_run_is_gone_on_with_longer_and_saved_less_often(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    run(folder, changed(checkpoint_every=7, data__workers=1, video__steps=3))
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 3


def test_a_checkpoint_of_before_recipes_were_kept_is_gone_on_with(
    whole: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state["recipe"]
    torch.save(state, folder / "checkpoint.pt")
    again, wanted = load_file(run(folder)), load_file(whole / "video.safetensors")
    assert all(torch.equal(again[key], value) for key, value in wanted.items())
    torch.save(state, folder / "checkpoint.pt")
    with pytest.raises(InputError, match="does not fit the network sam-i2v-micro"):
        run(folder, changed(variant="sam-i2v-micro"))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"abc"), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(bytes(1000)), "other things"),
        (lambda path: torch.save({"model": {}}, path), "lacks average, optimizer, stage, step"),
        (lambda path: torch.save([1], path), "holds a list"),
        (lambda path: torch.save({"model": Stopped()}, path), "other things"),
    ],
)
def test_a_checkpoint_that_is_none(
    whole: Path, tmp_path: Path, write: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    write(folder / "checkpoint.pt")
    with pytest.raises(InputError, match=rf"checkpoint.pt.*{message}.*delete that file") as raised:
        run(folder)
    assert "weights_only" not in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(InputError, match=r"must be a folder.*choose another"):
        run(tmp_path / "run")


def test_another_seed_gives_other_weights(whole: Path, tmp_path: Path) -> None:
    wanted = load_file(whole / "video.safetensors")
    other = load_file(run(tmp_path, dataclasses.replace(RECIPE, seed=4)))
    assert any(not torch.equal(other[key], value) for key, value in wanted.items())


def test_log_has_averages_and_no_nan(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("image", 1), ("image", 2), ("video", 1), ("video", 2),
    ]  # fmt: skip
    assert all(row["loss"] > 0 for row in rows)
    assert all(row["tracked_iou"] is None for row in rows[:2])
    assert "NaN" not in (whole / "log.jsonl").read_text()


def test_steps_that_explode_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fit.image_step

    def explode(*args: Any, **options: Any) -> Any:
        outcome = original(*args, **options)
        return dataclasses.replace(outcome, loss=outcome.loss * float("inf"))

    monkeypatch.setattr(fit, "image_step", explode)
    state = load_file(run(tmp_path))
    assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_what_has_diverged_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """Not as weights, and not as a checkpoint: 1e6 is too large for half precision."""
    original = fit._update

    def update(recipe: Recipe, plan: StagePlan, run: Any, outcome: Any) -> None:
        original(recipe, plan, run, outcome)
        if run.stage == "video":
            run.average["sam_mask_decoder.iou_token.weight"].fill_(value)

    monkeypatch.setattr(fit, "_update", update)
    message = r"video.safetensors was not written: training diverged.*Lower learning_rate"
    with pytest.raises(InputError, match=message):
        run(tmp_path)
    assert not (tmp_path / "video.safetensors").exists()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["stage"] == "image"


def test_export_halves_matrices_and_keeps_vectors(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    export_weights(dict(tiny.shared().state_dict()), path, RECIPE)
    for key, value in load_file(path).items():
        floating = tiny.shared().state_dict()[key].is_floating_point()
        wanted = torch.float16 if value.ndim > 1 else torch.float32
        assert value.dtype == (wanted if floating else torch.int64), key
    checkpoints.load_model(path, device="cpu")


def test_exported_weights_name_no_folders(tmp_path: Path) -> None:
    data = dataclasses.replace(RECIPE.data, folders=("/home/ada/patients",))
    recipe = dataclasses.replace(RECIPE, weights="/home/ada/first.safetensors", data=data)
    path = tmp_path / "weights.safetensors"
    export_weights(dict(tiny.shared().state_dict()), path, recipe)
    with safe_open(path, framework="pt") as file:
        noted = file.metadata()["recipe"]
    assert "ada" not in noted
    assert "patients" in noted and "first.safetensors" in noted


def test_learning_rate_warms_up_and_falls() -> None:
    rates = np.array([_schedule(step, 1000) for step in range(1000)])
    assert rates[0] < 0.02
    assert rates.argmax() < 120
    assert rates.max() > 0.95
    assert (np.diff(rates[150:]) <= 0).all()
    assert 0.01 < rates[-1] < 0.05
    assert all(0 < _schedule(step, 2) <= 1 for step in range(2))


def test_repeated_steps_on_one_batch_learn_it() -> None:
    """Gradients reach what they must: a batch can be learnt by heart."""
    torch.manual_seed(0)
    model = SamI2V(tiny.config())
    initialise(model)
    model.train()
    y, x = np.mgrid[:64, :64]
    inside = [(y - 32) ** 2 + (x - 20 - 5 * t) ** 2 <= 64 for t in range(4)]
    movie = Movie8(
        np.stack([np.where(m, 230, 20) for m in inside]).astype(np.uint8), np.stack(inside)
    )
    batch = draw_batch([movie], model.config, np.random.default_rng(0), size=2, frames=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        outcome = image_step(model, batch, np.random.default_rng(0), clicks=0)
        optimizer.zero_grad()
        outcome.loss.backward()
        optimizer.step()
        losses.append(outcome.loss.item())
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_video_step_trains_memory() -> None:
    torch.manual_seed(0)
    model = SamI2V(tiny.config())
    initialise(model)
    model.train()
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 255, (6, 64, 64), dtype=np.uint8)
    labels = np.zeros((6, 64, 64), np.uint16)
    labels[:, 20:40, 20:40] = 1
    batch = draw_batch([Movie8(frames, labels)], model.config, rng, size=2, frames=5)
    outcome = video_step(model, batch, np.random.default_rng(2), clicks=1)
    assert torch.isfinite(outcome.loss)
    outcome.loss.backward()
    for name in (
        "memory_attention.layers.0.cross_attn_image.v_proj.weight",
        "memory_encoder.out_proj.weight",
        "memory_prompt_generator.query_embedding_fg.weight",
        "maskmem_tpos_enc",
        "obj_ptr_tpos_proj.weight",
        "obj_ptr_proj.layers.0.weight",
        "image_encoder.trunk_video.temporal_stem.weight",
        "image_encoder.trunk_image.patch_embed.seq.0.c.weight",
    ):
        gradient = model.get_parameter(name).grad
        assert gradient is not None and gradient.abs().sum() > 0, name


def test_training_after_tracking_in_one_process() -> None:
    """A validation run between two training steps leaves training as it was."""
    torch.manual_seed(0)
    model = SamI2V(tiny.config())
    initialise(model)
    rng = np.random.default_rng(1)
    labels = np.zeros((6, 64, 64), np.uint16)
    labels[:, 20:40, 20:40] = 1
    movie = Movie8(rng.integers(0, 255, (6, 64, 64), dtype=np.uint8), labels)
    batch = draw_batch([movie], model.config, rng, size=2, frames=3)
    with torch.inference_mode():
        video_step(model.eval(), batch, np.random.default_rng(2), clicks=0)
    video_step(model.train(), batch, np.random.default_rng(2), clicks=0).loss.backward()


def test_another_device_trains_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"image__steps": 1, "image__batch": 1, "video__batch": 1, "video__frames": 2}
    recipe = changed(**small)
    wanted = load_file(run(tmp_path / "cpu", recipe))
    with emulated(monkeypatch, "mps"):
        for steps in (1, 2):  # the second goes on from a checkpoint
            some = changed(**small, video__steps=steps)
            found = train(some, tmp_path / "mps", device="mps", precision="fp32", quiet=True)
    for name, value in load_file(found).items():
        torch.testing.assert_close(value, wanted[name], atol=0.01, rtol=0, msg=name)


def test_half_precision_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        emulated(monkeypatch, "mps"),
        pytest.raises(InputError, match="needs precision bf16 or fp32, got fp16"),
    ):
        train(changed(), tmp_path / "run", device="mps", precision="fp16", quiet=True)
    assert not (tmp_path / "run").exists()
