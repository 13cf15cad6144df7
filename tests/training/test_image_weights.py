"""A user's image SAM is upgraded to video: its answers survive, and it can be trained and used."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.network import tiny
from torch import Tensor

from napari_sam_i2v.errors import CheckpointError, InputError
from napari_sam_i2v.network import SamI2V, checkpoints
from napari_sam_i2v.network import config as configs
from napari_sam_i2v.network.checkpoints import load_image_weights, load_model
from napari_sam_i2v.training import fit
from napari_sam_i2v.training.beginning import (
    expect_objects,
    initialise,
    is_upgraded,
    start_from_image,
)
from napari_sam_i2v.training.fit import train
from napari_sam_i2v.training.hand_over import image_feature
from napari_sam_i2v.training.recipe import Recipe, StagePlan, read_recipe

RECIPE = """
variant = "{variant}"
image_weights = "tinysam.pt"
[data]
frames = 4
size = 64
kept = 2
fresh = 1
[image]
steps = 0
[video]
steps = {steps}
batch = 2
frames = 3
"""


@pytest.fixture(autouse=True)
def variant(monkeypatch: pytest.MonkeyPatch) -> None:
    known = MappingProxyType({**configs.VARIANTS, tiny.NAME: tiny.config()})
    monkeypatch.setattr(configs, "VARIANTS", known)
    monkeypatch.setattr(checkpoints, "VARIANTS", known)


def image_sam(model: SamI2V) -> dict[str, Tensor]:
    """The image part of a network as TinySAM and MobileSAM name it: no object score, no time."""
    renamed = {
        "image_encoder.trunk_image.": "image_encoder.",
        "sam_prompt_encoder.": "prompt_encoder.",
        "sam_mask_decoder.": "mask_decoder.",
    }
    theirs: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        prefix = next((one for one in renamed if key.startswith(one)), None)
        if prefix is None or "obj_score" in key:
            continue
        name = renamed[prefix] + key.removeprefix(prefix)
        if prefix == "sam_mask_decoder.":
            name = name.replace(".mlp.layers.0.", ".mlp.lin1.")
            name = name.replace(".mlp.layers.1.", ".mlp.lin2.")
        theirs[name] = value
    return theirs


def write(folder: Path, variant: str = tiny.NAME, steps: int = 1, extra: str = "") -> Path:
    path = folder / "recipe.toml"
    path.write_text(extra + RECIPE.format(variant=variant, steps=steps))
    return path


def run(recipe: Path, folder: Path) -> Path:
    return train(read_recipe(recipe), folder, device="cpu", precision="fp32", quiet=True)


def test_a_video_step_from_a_users_image_sam(tmp_path: Path) -> None:
    theirs = image_sam(tiny.build(seed=5))
    torch.save(theirs, tmp_path / "tinysam.pt")
    weights = run(write(tmp_path), tmp_path / "run")
    model = load_model(weights, device="cpu")
    assert is_upgraded(model)
    started = {key: value.half().float() for key, value in theirs.items()}
    for ours, key in (
        ("image_encoder.trunk_image.neck.0.weight", "image_encoder.neck.0.weight"),
        ("sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight",
         "mask_decoder.transformer.layers.0.mlp.lin1.weight"),
    ):  # fmt: skip
        value, start = model.state_dict()[ours], started[key]
        assert not torch.equal(value, start), "the step trains what was given"
        assert (value - start).abs().max() < 0.01, "and starts from it"
    state = load_file(tmp_path / "run" / "image.safetensors")
    assert torch.equal(state["sam_mask_decoder.iou_token.weight"].float(),
                       started["mask_decoder.iou_token.weight"])  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_answers_of_the_image_sam_survive_the_upgrade(tmp_path: Path, seed: int) -> None:
    """Before any step, through the temporal integrator, and for clips that move."""
    save_file(image_sam(tiny.build(seed=seed)), tmp_path / "tinysam.safetensors")
    torch.manual_seed(seed)
    model = SamI2V(tiny.config())
    initialise(model)
    load_image_weights(model, tmp_path / "tinysam.safetensors")
    expect_objects(model)
    model.eval()
    clip = torch.randn(2, 3, 3, 64, 64)
    points, labels = torch.tensor([[[20.0, 30.0]], [[50.0, 12.0]]]), torch.ones(2, 1).long()
    with torch.inference_mode():
        levels = model.encode_image(clip[:, :, -1])
        before = model.decode_prompts(levels[-1], points, labels)
        fresh = model.decode_prompts(model.encode_frame(clip), points, labels)
        assert not is_upgraded(model)
        start_from_image(model)
        assert is_upgraded(model)
        exact = model.decode_prompts(image_feature(levels), points, labels)
        after = model.decode_prompts(model.encode_frame(clip), points, labels)
    assert (after.score > 0).all(), "an image SAM has no object score to blank its answers"
    assert before.raw and after.raw and exact.raw and fresh.raw
    assert torch.allclose(exact.raw.masks, before.raw.masks, atol=1e-3)
    assert likeness(after.raw.masks, before.raw.masks) > 0.9
    assert likeness(fresh.raw.masks, before.raw.masks) < 0.8
    assert (after.raw.ious - before.raw.ious).abs().max() < 0.35 * before.raw.ious.std() + 0.2


def likeness(a: Tensor, b: Tensor) -> float:
    """Correlation of mask logits."""
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


def test_a_file_of_the_image_step_is_upgraded_not_gone_on_from(tmp_path: Path) -> None:
    """`weights` without image steps: the video step starts as from the image step itself."""
    torch.save(image_sam(tiny.build(seed=5)), tmp_path / "tinysam.pt")
    run(write(tmp_path, steps=0), tmp_path / "run")
    recipe = write(tmp_path)
    recipe.write_text(recipe.read_text().replace(
        'image_weights = "tinysam.pt"', 'weights = "run/image.safetensors"'))  # fmt: skip
    model = fit._new_model(read_recipe(recipe))
    assert not is_upgraded(model)
    assert is_upgraded(load_model(run(recipe, tmp_path / "again"), device="cpu"))


def test_image_steps_on_a_video_network_are_refused() -> None:
    recipe = Recipe(weights="default", image=StagePlan(steps=1))
    with pytest.raises(InputError, match="set steps = 0 under"):
        fit._new_model(recipe)


def test_embedded_weights_are_upgraded_ones() -> None:
    assert is_upgraded(load_model("default", device="cpu"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no weights file .*tinysam.pt"),
        (b"not weights", "cannot be read as weights"),
        ({"encoder.weight": torch.zeros(2)}, "is not an image SAM that fits tiny"),
    ],
)
def test_files_that_cannot_be_upgraded(tmp_path: Path, content: object, message: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / "tinysam.pt").write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / "tinysam.pt")
    with pytest.raises(CheckpointError, match=message):
        run(write(tmp_path), tmp_path / "run")


def test_a_full_sized_sam_does_not_fit_the_small_network(tmp_path: Path) -> None:
    torch.save(image_sam(tiny.build()), tmp_path / "tinysam.pt")
    with pytest.raises(CheckpointError, match="TinySAM and MobileSAM fit sam-i2v"):
        run(write(tmp_path, "sam-i2v-micro"), tmp_path / "run")


@pytest.mark.slow
def test_full_size_upgrade_at_a_smaller_input(tmp_path: Path) -> None:
    """The published network from a TinySAM-sized file, one step at 256 pixels."""
    with torch.device("meta"):
        shape = SamI2V(configs.get_config("sam-i2v"))
    shape = shape.to_empty(device="cpu")
    torch.manual_seed(0)
    for key, value in shape.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) if "var" in key else 0.02 * torch.randn(value.shape))
    torch.save(image_sam(shape), tmp_path / "tinysam.pt")
    del shape
    weights = run(write(tmp_path, "sam-i2v", extra="image_size = 256\n"), tmp_path / "run")
    model = load_model(weights, device="cpu")
    assert (model.config.name, model.config.image_size) == ("sam-i2v", 1024)
