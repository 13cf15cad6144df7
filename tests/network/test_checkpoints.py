"""Weights files: read without running anything in them, and verified key by key."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_sam_i2v.errors import CheckpointError, InputError
from napari_sam_i2v.network import SamI2V, checkpoints, get_config
from napari_sam_i2v.network import config as configs
from napari_sam_i2v.network.checkpoints import (
    MODELS,
    key_report,
    load_image_weights,
    load_model,
    read_weights,
    weights_sha256,
)
from tests.network import tiny

WIDE = "tiny-wide"
REFINED = "tiny-refined"


@pytest.fixture(autouse=True)
def variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tiny networks besides the real ones, so that files are small."""
    known = {
        **configs.VARIANTS,
        tiny.NAME: tiny.config(),
        WIDE: tiny.config(name=WIDE, decoder_mlp_dim=48),
        REFINED: tiny.config(name=REFINED, fine_dim=4),
    }
    monkeypatch.setattr(configs, "VARIANTS", MappingProxyType(known))
    monkeypatch.setattr(checkpoints, "VARIANTS", MappingProxyType(known))


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {key: value.clone() for key, value in tiny.shared().state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---- files that fit ------------------------------------------------------------------------


def test_safetensors_round_trip(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path, metadata={"variant": tiny.NAME})
    model = load_model(path, device="cpu")
    assert model.config.name == tiny.NAME
    assert same(dict(model.state_dict()), state)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_variant_is_recognised_from_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(dict(tiny.build(name=WIDE, decoder_mlp_dim=48).state_dict()), path)
    assert load_model(str(path), device="cpu").config.name == WIDE


def test_weights_of_before_there_was_refinement(tmp_path: Path) -> None:
    now = dict(tiny.build(name=REFINED, fine_dim=4).state_dict())
    before = {k: v for k, v in now.items() if not k.startswith(("fine_", "mask_refiner."))}
    assert len(now) - len(before) > 10
    path = tmp_path / "weights.safetensors"
    for weights, channels in ((now, 4), (before, 0)):
        save_file(weights, path, metadata={"variant": REFINED})
        model = load_model(path, device="cpu")
        assert (model.config.name, model.config.fine_dim) == (REFINED, channels)
        assert same(dict(model.state_dict()), weights)
    del now["mask_refiner.out.weight"]
    save_file(now, path, metadata={"variant": REFINED})
    with pytest.raises(CheckpointError, match=r"1 missing \(mask_refiner.out.weight\)"):
        load_model(path, device="cpu")


@pytest.mark.parametrize("wrapped", [True, False])
def test_published_pt(tmp_path: Path, state: dict[str, Tensor], wrapped: bool) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": state} if wrapped else state, path)
    assert same(dict(load_model(path, device="cpu").state_dict()), state)


def test_content_decides_about_the_format(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.pt"
    save_file(state, path)
    assert same(read_weights(path)[0], state)


def test_half_precision_is_widened(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(half, path)
    model = load_model(path, device="cpu")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    torch.testing.assert_close(dict(model.state_dict()), state, atol=1e-2, rtol=1e-2)


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(os.urandom(3_000_000))
    assert weights_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


# ---- files that do not ---------------------------------------------------------------------


class Attack:
    """Unpickling this writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.safetensors"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "was-run"
    path = tmp_path / name
    torch.save({"model": {"a": torch.zeros(1)}, "more": Attack(mark)}, path)
    told = "nothing but" if name.endswith(".safetensors") else "Python objects besides tensors"
    with pytest.raises(CheckpointError, match=told) as raised:
        load_model(path, device="cpu")
    assert "weights_only" not in str(raised.value), "torch's advice is to run it"
    assert ("download" in str(raised.value)) == name.endswith(".safetensors")
    path.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(CheckpointError):
        load_model(path, device="cpu")
    assert not mark.exists()


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 1e-5, 0.3, 0.999])
def test_truncated_file(tmp_path: Path, state: dict[str, Tensor], name: str, share: float) -> None:
    path = tmp_path / name
    if name.endswith(".pt"):
        torch.save({"model": state}, path)
    else:
        save_file(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"cannot be read as weights.*download it again"):
        load_model(path, device="cpu")


def test_other_kinds_of_file_never_escape_as_other_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents = [
        b"II*\x00" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"PK\x03\x04" + bytes(200),
        b"object_id,frame,y,x\n1,0,2,3\n",
        b"{}",
        bytes(1000),
        pickle.dumps([1, 2, 3]),
        pickle.dumps(np.arange(3)),
        *[rng.bytes(64) for _ in range(300)],
        *[bytes([i]) + rng.bytes(20) for i in range(256)],
        *[b"\x80\x02" + rng.bytes(40) for _ in range(300)],
    ]
    path = tmp_path / "weights.pt"
    for content in contents:
        path.write_bytes(content)
        try:
            load_model(path, device="cpu")
        except CheckpointError:
            continue
        except BaseException as error:
            pytest.fail(f"{type(error).__name__}: {error} for {content[:24]!r}")
        pytest.fail(f"{content[:24]!r} was loaded")


@pytest.mark.parametrize(
    "content", [[1, 2], {"model": {"a": 1}}, {"model": [torch.zeros(1)]}, torch.zeros(3)]
)
def test_content_that_is_no_dict_of_tensors(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="must hold a dict of tensors"):
        load_model(path, device="cpu")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(1), "epoch": 3, "name": "x"}, "'epoch' is of type int"),
        ({"model": {"a": torch.zeros(1), "_step": 3}}, "'_step' is of type int"),
        ({"state_dict": {"a": torch.zeros(1)}}, "'state_dict' is of type dict"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "'a' is a tensor of layout torch.sparse_coo"),
        ({"a": torch.zeros(2, 2, device="meta")}, "'a' is a tensor without numbers"),
        ({"a": torch.quantize_per_tensor(torch.zeros(2), 1, 0, torch.qint8)}, "a quantized tensor"),
        ({0: torch.zeros(1)}, "its key 0 is no text"),
        ({"model": None}, "it holds NoneType"),
    ],
)
def test_what_is_no_tensor_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"{message}. Save the weights alone"):
        load_model(path, device="cpu")


@pytest.mark.parametrize("content", [bytes(1000), b"<!doctype html>", pickle.dumps([1, 2])])
def test_torch_is_not_quoted_on_files_of_other_kinds(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"of another kind.*download it again") as raised:
        load_model(path, device="cpu")
    assert "weights_only" not in str(raised.value)


def test_a_downloaded_model_that_was_deleted(tmp_path: Path) -> None:
    (tmp_path / "sam-i2v.sha256").write_text(f"{'0' * 64}  sam-i2v.pt\n")
    with pytest.raises(CheckpointError, match="There is no weights file"):
        load_model(tmp_path / "sam-i2v.pt")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no weights file"):
        load_model(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="There is no weights file"):
        load_model(tmp_path)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"Unknown model 'sam-i3v'.*sam-i2v-micro.*sam-i2v"):
        load_model("sam-i3v")


@pytest.mark.parametrize("name", ["sam-i2v", "sam-i2v++"])
def test_models_without_weights_say_where_to_get_them(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"{MODELS[name].source.replace('+', '.')}.*Apache"):
        load_model(name)


def test_unknown_variant(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="Unknown network variant 'big'"):
        load_model(tmp_path / "weights.safetensors", variant="big")


# ---- keys that do not ----------------------------------------------------------------------


def test_missing_unexpected_and_misshaped_keys_are_named(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    del state["no_obj_ptr"]
    state["something.new"] = torch.zeros(2)
    state["no_mem_embed"] = torch.zeros(1, 1, 33)
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(CheckpointError) as raised:
        load_model(path, device="cpu")
    message = str(raised.value)
    assert f"does not fit {tiny.NAME}" in message
    assert "1 missing (no_obj_ptr)" in message
    assert "1 unexpected (something.new)" in message
    assert "no_mem_embed (1, 1, 33) instead of (1, 1, 32)" in message
    assert "No variant fits" in message


def test_error_says_which_variant_would_fit(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    with pytest.raises(CheckpointError, match=rf"does not fit {WIDE}.*It fits {tiny.NAME}:"):
        load_model(path, variant=WIDE, device="cpu")


def test_many_keys_are_counted_and_a_few_shown(tmp_path: Path, state: dict[str, Tensor]) -> None:
    kept = dict(list(state.items())[: len(state) // 2])
    path = tmp_path / "weights.safetensors"
    save_file(kept, path)
    with pytest.raises(CheckpointError, match=r"\d+ missing \(.* and \d+ more\)"):
        load_model(path, device="cpu")


def test_weights_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"fc.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(CheckpointError, match=r"none of its 1 keys fits \(fc.weight\)"):
        load_model(path, device="cpu")


def test_report_of_weights_that_fit(state: dict[str, Tensor]) -> None:
    report = key_report(state, tiny.NAME)
    assert report.fits
    assert str(report) == "every key fits"


@pytest.mark.parametrize("name", ["sam-i2v", "sam-i2v++"])
def test_full_size_networks_tell_each_other_apart(name: str) -> None:
    with torch.device("meta"):
        state = SamI2V(get_config(name)).state_dict()
    other = {"sam-i2v": "sam-i2v++", "sam-i2v++": "sam-i2v"}[name]
    assert key_report(state, name).fits
    report = key_report(state, other)
    assert report.missing
    assert report.unexpected
    assert report.misshaped


# ---- image SAM -----------------------------------------------------------------------------


def image_sam(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image parts under TinySAM's names, with the tables it carries along."""
    theirs: dict[str, Tensor] = {}
    for key, value in state.items():
        if "obj_score" in key:
            continue
        if key.startswith("image_encoder.trunk_image."):
            theirs[key.replace("trunk_image.", "", 1)] = value
        elif key.startswith("sam_prompt_encoder."):
            theirs[key.removeprefix("sam_")] = value
        elif key.startswith("sam_mask_decoder."):
            name = key.removeprefix("sam_").replace(".mlp.layers.0.", ".mlp.lin1.")
            theirs[name.replace(".mlp.layers.1.", ".mlp.lin2.")] = value
    theirs["image_encoder.layers.1.blocks.0.attn.attention_bias_idxs"] = torch.zeros(4, 4).long()
    return theirs


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_image_sam_fills_every_image_part(tmp_path: Path, suffix: str) -> None:
    source, target = tiny.build(seed=1), tiny.build(seed=2)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    path = tmp_path / f"tinysam.{suffix}"
    theirs = image_sam(dict(source.state_dict()))
    if suffix == "pt":
        torch.save(theirs, path)
    else:
        save_file(theirs, path)
    filled = set(load_image_weights(target, path))
    assert "sam_mask_decoder.transformer.layers.0.mlp.layers.0.weight" in filled
    wanted = source.state_dict()
    for key, value in target.state_dict().items():
        assert torch.equal(value, wanted[key] if key in filled else before[key]), key
    image_parts = ("image_encoder.trunk_image.", "sam_prompt_encoder.", "sam_mask_decoder.")
    left = {key for key in before if key.startswith(image_parts)} - filled
    assert left
    assert all("obj_score" in key for key in left)
    assert all(key.startswith(image_parts) for key in filled)


def broken(change: str) -> dict[str, Tensor]:
    theirs = image_sam(dict(tiny.shared().state_dict()))
    if change == "unmapped":
        theirs["text_encoder.weight"] = torch.zeros(2)
    elif change == "unknown":
        theirs["mask_decoder.extra.weight"] = torch.zeros(2)
    elif change == "unfilled":
        del theirs["mask_decoder.iou_token.weight"]
    else:
        theirs["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)
    return theirs


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("unmapped", r"1 unexpected \(text_encoder.weight\)"),
        ("unknown", r"1 unexpected \(sam_mask_decoder.extra.weight\)"),
        ("unfilled", r"1 missing \(sam_mask_decoder.iou_token.weight\)"),
        ("misshaped", r"1 of another shape \(sam_mask_decoder.iou_token.weight"),
    ],
)
def test_image_sam_fails_on_every_misfit(tmp_path: Path, change: str, named: str) -> None:
    path = tmp_path / "tinysam.pt"
    torch.save(broken(change), path)
    model = tiny.build(seed=3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=named):
        load_image_weights(model, path)
    assert same(dict(model.state_dict()), before), "a file that does not fit must change nothing"


def test_image_sam_cannot_track(tmp_path: Path) -> None:
    path = tmp_path / "tinysam.pt"
    torch.save(image_sam(dict(tiny.shared().state_dict())), path)
    with pytest.raises(CheckpointError, match="image SAM"):
        load_model(path, device="cpu")


def test_the_embedded_weights_are_those_of_the_registry() -> None:
    name = configs.DEFAULT_VARIANT
    assert checkpoints.weights_sha256("default") == checkpoints.MODELS[name].sha256
    assert checkpoints.load_model("default", device="cpu").config.name == name
