"""A run folder's checkpoint: written whole, and taken up only by the run that it is of."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.training.recipe import Recipe

__all__ = ["make_folder", "plain_recipe", "read_checkpoint", "unfit", "write_checkpoint"]

FILE = "checkpoint.pt"
KEYS = {"model": dict, "average": dict, "optimizer": dict, "stage": str, "step": int}
"""What every checkpoint holds; those of before recipes were kept in them hold nothing else."""
FREE = ("checkpoint_every", "data.workers")
"""What of a recipe may change within a run: no number that comes out depends on it."""
SHOWN = 5


def make_folder(folder: Path) -> None:
    """Make a run folder, if it is not there.

    Raises
    ------
    InputError
        If there is a file of this name, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} must be a folder for checkpoints and weights, and cannot be made "
            f"({error.strerror}): choose another folder."
        ) from None


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """Recipe as plain values; of files and folders the names alone: weights are passed on."""
    values = asdict(recipe)
    for name in ("weights", "image_weights"):
        values[name] = Path(values[name]).name
    values["data"]["folders"] = [Path(folder).name for folder in recipe.data.folders]
    return values


def write_checkpoint(state: dict[str, Any], folder: Path, recipe: Recipe) -> None:
    """Put a checkpoint in the place of the one before; whole, or not at all."""
    part = folder / "checkpoint.part"
    torch.save({**state, "recipe": json.dumps(plain_recipe(recipe))}, part)
    part.replace(folder / FILE)


def read_checkpoint(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Read the checkpoint of a run with this recipe; None where a run begins.

    Tensors are on the CPU.

    Raises
    ------
    InputError
        If it is damaged, of something else, or of a run with another recipe.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file, torch raises nearly anything
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            # Torch's own advice is to run what is in it.
            raise unfit(folder, "it holds other things than a checkpoint does") from None
        first = str(error).strip().splitlines()
        raise unfit(folder, first[0] if first else type(error).__name__) from None
    if not isinstance(state, dict):
        raise unfit(folder, f"it holds a {type(state).__name__}")
    wrong = [key for key, kind in KEYS.items() if not isinstance(state.get(key), kind)]
    if wrong:
        raise unfit(folder, f"it lacks {', '.join(wrong)}")
    if "recipe" in state:
        _check_recipe(folder, json.loads(state["recipe"]), state["stage"], recipe)
    return state


def unfit(folder: Path, reason: str) -> InputError:
    """What is said of a checkpoint that no run can go on from."""
    return InputError(
        f"{folder / FILE} is damaged, or not the checkpoint of a run with this recipe ({reason}): "
        "choose another folder, or delete that file to begin anew."
    )


def _check_recipe(folder: Path, kept: dict[str, Any], stage: str, recipe: Recipe) -> None:
    """Refuse to go on with another recipe than the run began with."""
    then, now = _flat(kept), _flat(json.loads(json.dumps(plain_recipe(recipe))))
    differing = [
        f"{name} is {value!r}, in that run {then[name]!r}"
        for name, value in now.items()  # what recipes could not say then is left out
        if name in then and then[name] != value and not _may_change(name, then, now, stage)
    ]
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise InputError(
            f"{folder} holds a run with another recipe: {'; '.join(differing[:SHOWN])}{more}. A "
            "run goes on with the recipe that it began with, but for higher steps of the stage it "
            "is in, checkpoint_every and workers: choose another folder, or set these back."
        )


def _may_change(name: str, then: dict[str, Any], now: dict[str, Any], stage: str) -> bool:
    if name in FREE:
        return True
    # An image step that is over stays as long as it was; what follows can still be longer.
    growing = ("video.steps",) if stage == "video" else ("image.steps", "video.steps")
    return name in growing and bool(now[name] > then[name])


def _flat(values: dict[str, Any], within: str = "") -> dict[str, Any]:
    """Names of tables before those of their values: `image.steps`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {within + name: value}
    return flat
