"""Weights: a name or a file becomes a network, verified key by key. Nothing is unpickled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from napari_sam_i2v.errors import CheckpointError, InputError
from napari_sam_i2v.network.config import (
    DEFAULT_VARIANT,
    VARIANTS,
    SamI2VConfig,
    get_config,
)
from napari_sam_i2v.network.device import resolve_device
from napari_sam_i2v.network.installed import check_recorded, file_sha256, find_installed
from napari_sam_i2v.network.registry import MODELS, ModelInfo
from napari_sam_i2v.network.sam_i2v import SamI2V

__all__ = [
    "IMAGE_SAM_TABLE",
    "MODELS",
    "KeyReport",
    "ModelInfo",
    "key_report",
    "load_image_weights",
    "load_model",
    "read_weights",
    "weights_sha256",
]

SHOWN_KEYS = 5
OBJECTS = re.compile(r"global|allowlist|unrecognized function|TorchScript", re.IGNORECASE)
"""What torch says of a file that holds more than tensors."""


IMAGE_SAM_TABLE: tuple[tuple[str, str], ...] = (
    ("image_encoder.", "image_encoder.trunk_image."),
    ("prompt_encoder.", "sam_prompt_encoder."),
    ("mask_decoder.", "sam_mask_decoder."),
)
"""Prefixes of TinySAM, MobileSAM and other TinyViT SAMs -> ours."""
IMAGE_SAM_RENAMED = ((".mlp.lin1.", ".mlp.layers.0."), (".mlp.lin2.", ".mlp.layers.1."))
IMAGE_SAM_DROPPED = ("attention_bias_idxs", "attn.ab")
"""Tables that are recomputed here."""
NEW_IN_VIDEO = ("sam_mask_decoder.obj_score_token.", "sam_mask_decoder.pred_obj_score_head.")
"""Parts of the mask decoder that an image SAM does not have."""
OPTIONAL_IN_IMAGE_SAM = (
    "image_encoder.trunk_image.norm_head.",
    "image_encoder.trunk_image.head.",
)
REFINEMENT = ("fine_features.", "mask_refiner.")
"""Parts that the embedded network was given later: weights without any are of before."""


@dataclass(frozen=True)
class KeyReport:
    """How weights differ from what a network needs; all empty where they fit."""

    variant: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every key is there with its shape, and no other."""
        return not (self.missing or self.unexpected or self.misshaped)

    def __str__(self) -> str:
        """Say it in a line per kind."""
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshaped,
        }
        parts = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds.items() if keys]
        return "; ".join(parts) or "every key fits"


def load_model(
    name_or_path: str | Path = "default",
    *,
    variant: str | None = None,
    device: str | torch.device = "auto",
    folder: str | Path | None = None,
) -> SamI2V:
    """Build a network with its weights, in evaluation mode.

    Parameters
    ----------
    name_or_path
        "default" or another name of `MODELS`, or a file: safetensors, or a published `.pt`
        (a dict with the weights under "model").
    variant
        Which network a file is for; found out from its keys where not given.
    device
        See `resolve_device`.
    folder
        Where downloaded models are looked for, before the user's data folder.

    Raises
    ------
    CheckpointError
        If there is no such model or file, if it was downloaded and has changed since, or if its
        keys fit no network; the message says which keys are missing, unexpected or of another
        shape, and which variant would fit.
    """
    path, expected = _locate(str(name_or_path), variant, folder)
    _expect_file(path)
    check_recorded(path)
    weights, stated = read_weights(path)
    wanted = expected or (stated if stated in VARIANTS else None) or _recognise(weights)
    if wanted is None or not (report := key_report(weights, wanted)).fits:
        raise CheckpointError(_misfit(path, weights, wanted))
    place = resolve_device(device)
    model = SamI2V(_config_for(weights, report.variant))
    model.load_state_dict({key: value.float() if value.is_floating_point() else value
                           for key, value in weights.items()})  # fmt: skip
    for part in model.modules():
        if isinstance(part, nn.Conv2d):  # laid out like the maps that it meets
            part.weight.data = part.weight.contiguous(memory_format=torch.channels_last)
    return model.to(place).eval().requires_grad_(False)


def check_model(model: Any) -> SamI2V:
    """Return what is a network; else `InputError`."""
    if not (isinstance(model, nn.Module) and hasattr(model, "config")):  # it may be compiled
        raise InputError(
            f"The model must be a name ({', '.join(MODELS)}), a file, or a network; got "
            f"{model!r:.80}."
        )
    return cast(SamI2V, model)


def read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Read a safetensors file or a published `.pt`; return tensors and the stated variant.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, or holds anything but tensors.
    """
    _expect_file(path)
    try:
        if _is_safetensors(path):
            with safe_open(path, framework="pt") as file:
                stated = (file.metadata() or {}).get("variant")
                return {key: file.get_tensor(key) for key in file.keys()}, stated  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file, torch raises nearly anything
        raise CheckpointError(_unreadable(path, error)) from None
    weights = content.get("model", content) if isinstance(content, dict) else content
    _expect_tensors(path, weights)
    return weights, None


def _expect_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(
            f"There is no weights file {path}. Give a .safetensors or .pt file, or one of the "
            f"names: {', '.join(MODELS)}."
        )


def _expect_tensors(path: Path, weights: Any) -> None:
    """Refuse what is no dict of names and tensors, and say what of it is none."""
    found = f"it holds {type(weights).__name__}"
    if isinstance(weights, dict):
        wrong = [(k, v) for k, v in weights.items() if not _is_plain(v)]
        unnamed = [key for key in weights if not isinstance(key, str)]
        if not (wrong or unnamed):
            return
        found = f"its key {unnamed[0]!r} is no text" if unnamed else ""
        if wrong:
            found = f"{wrong[0][0]!r} is {_kind(wrong[0][1])}"
    raise CheckpointError(
        f"{path} must hold a dict of tensors by name (under 'model', as published); {found}. Save "
        "the weights alone."
    )


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor with all its numbers."""
    plain = isinstance(value, Tensor) and value.layout == torch.strided
    return plain and not (value.is_meta or value.is_quantized)


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"of type {type(value).__name__}"
    if value.is_meta:
        return "a tensor without numbers"
    return "a quantized tensor" if value.is_quantized else f"a tensor of layout {value.layout}"


def _unreadable(path: Path, error: Exception) -> str:
    """Say it in our own words where torch's advice is to run what is in a file."""
    text = str(error).strip()
    if not isinstance(error, OSError) and OBJECTS.search(text):  # those name the file
        return (
            f"{path} cannot be read as weights: it holds Python objects besides tensors, and is "
            "not opened. Save the weights alone, a dict of tensors, as .safetensors or .pt."
        )
    if "weights_only" in text:
        text = "it is damaged, or a file of another kind"
    first = text.splitlines()[0] if text else type(error).__name__
    return (
        f"{path} cannot be read as weights ({first}). A complete .safetensors file, or a .pt file "
        "with nothing but tensors in it, is required: download it again."
    )


def key_report(weights: Mapping[str, Tensor], variant: str) -> KeyReport:
    """Compare weights with what a variant needs."""
    needed = _shapes(_config_for(weights, variant))
    wrong = tuple(
        f"{key} {tuple(weights[key].shape)} instead of {shape}"
        for key, shape in needed.items()
        if key in weights and tuple(weights[key].shape) != shape
    )
    return KeyReport(
        variant,
        tuple(key for key in needed if key not in weights),
        tuple(key for key in weights if key not in needed),
        wrong,
    )


def load_image_weights(model: SamI2V, path: str | Path) -> tuple[str, ...]:
    """Fill the image parts of a network from a TinySAM, MobileSAM or other TinyViT SAM.

    Parameters
    ----------
    model
        Of the full-size variants.
    path
        The image SAM's weights, safetensors or `.pt`.

    Returns
    -------
    tuple of str
        The keys that were filled. Temporal integrator, memory and object score keep their values.

    Raises
    ------
    CheckpointError
        If a key of the file has no place here, has another shape, or a place stays unfilled.
    """
    path = Path(path)
    weights, _ = read_weights(path)
    converted: dict[str, Tensor] = {}
    unmapped: list[str] = []
    for key, value in weights.items():
        if key.endswith(IMAGE_SAM_DROPPED):
            continue
        ours = _converted_key(key)
        if ours is None:
            unmapped.append(key)
        else:
            converted[ours] = value
    own = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    unmapped += [key for key in converted if key not in own]
    unfilled = [key for key in own if _from_image_sam(key) and key not in converted]
    wrong = [k for k, v in converted.items() if k in own and tuple(v.shape) != own[k]]
    if unmapped or unfilled or wrong:
        report = KeyReport(model.config.name, tuple(unfilled), tuple(unmapped), tuple(wrong))
        raise CheckpointError(
            f"{path} is not an image SAM that fits {model.config.name}: {report}. "
            "TinySAM and MobileSAM fit sam-i2v and sam-i2v++."
        )
    model.load_state_dict(converted, strict=False)
    return tuple(converted)


def weights_sha256(name_or_path: str | Path, *, folder: str | Path | None = None) -> str:
    """SHA-256 of a model's weights file, for provenance."""
    return file_sha256(_locate(str(name_or_path), None, folder)[0])


def _locate(name: str, variant: str | None, folder: str | Path | None) -> tuple[Path, str | None]:
    """File and, for a named model, the variant that it must fit."""
    if variant is not None:
        get_config(variant)
    info = MODELS.get(DEFAULT_VARIANT if name == "default" else name)
    if info is None:
        path = Path(name).expanduser()
        if not path.exists() and not path.suffix:
            raise CheckpointError(
                f"Unknown model {name!r}: name one of {', '.join(MODELS)}, or give a "
                ".safetensors or .pt file."
            )
        return path, variant
    if info.file is not None:
        return Path(str(files("napari_sam_i2v") / "weights" / info.file)), info.variant
    if (found := find_installed(info.name, folder)) is not None:
        return found, info.variant
    raise CheckpointError(
        f"The weights of {info.name} do not come with napari-sam-i2v: download them (More ▸ Model "
        f"in the window, or `napari-sam-i2v models --download {info.name} --from URL`), or get the "
        f"checkpoint from {info.source} (licence {info.licence}) and give its file as the model."
    )


def _is_safetensors(path: Path) -> bool:
    """Whether a file starts with a safetensors header, whatever it is called."""
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) < 9:
        return path.suffix == ".safetensors"
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**27


def _config_for(weights: Mapping[str, Tensor], variant: str) -> SamI2VConfig:
    """What a variant is with these weights: it refines masks if they say how."""
    config = get_config(variant)
    refines = any(key.startswith(REFINEMENT) for key in weights)
    return config if refines else replace(config, fine_dim=0)


@lru_cache(maxsize=8)
def _shapes(config: SamI2VConfig) -> dict[str, tuple[int, ...]]:
    # On the "meta" device, which allocates nothing, this would import half of torch's compiler:
    # seconds, against a tenth of one here.
    with torch.random.fork_rng(devices=[]):
        state = SamI2V(config).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def _recognise(weights: Mapping[str, Tensor]) -> str | None:
    """Variant whose keys and shapes agree with most of the weights, if any do."""

    def agreement(variant: str) -> int:
        needed = _shapes(_config_for(weights, variant))
        return sum(k in needed and tuple(v.shape) == needed[k] for k, v in weights.items())

    best = max(VARIANTS, key=agreement)
    return best if agreement(best) else None


def _misfit(path: Path, weights: Mapping[str, Tensor], wanted: str | None) -> str:
    if wanted is None:
        converted = sum(_converted_key(key) is not None for key in weights)
        hint = (
            " It looks like the weights of an image SAM: they can start a training run "
            "(image_weights in the recipe), but cannot track."
            if converted > len(weights) / 2
            else ""
        )
        return (
            f"{path} does not hold the weights of a SAM-I2V network: none of its "
            f"{len(weights)} keys fits ({_some(tuple(weights))}).{hint}"
        )
    fitting = [name for name in VARIANTS if key_report(weights, name).fits]
    advice = (
        f" It fits {fitting[0]}: choose that variant."
        if fitting
        else f" No variant fits ({', '.join(VARIANTS)})."
    )
    return f"{path} does not fit {wanted}: {key_report(weights, wanted)}.{advice}"


def _converted_key(key: str) -> str | None:
    for theirs, ours in IMAGE_SAM_TABLE:
        if key.startswith(theirs):
            renamed = ours + key[len(theirs) :]
            for old, new in IMAGE_SAM_RENAMED:
                if renamed.startswith("sam_mask_decoder."):
                    renamed = renamed.replace(old, new)
            return renamed
    return None


def _from_image_sam(key: str) -> bool:
    ours = tuple(prefix for _, prefix in IMAGE_SAM_TABLE)
    other = NEW_IN_VIDEO + OPTIONAL_IN_IMAGE_SAM
    return key.startswith(ours) and not key.startswith(other)


def _some(keys: Iterable[str]) -> str:
    keys = tuple(keys)
    shown = ", ".join(keys[:SHOWN_KEYS])
    return shown + (f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else "")
