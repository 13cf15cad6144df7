"""A training recipe: everything that decides what weights come out, read from a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.config import get_config

__all__ = ["DataPlan", "Recipe", "Stage", "StagePlan", "read_recipe"]

Stage = Literal["image", "video"]
"""The paper's two steps: train an image SAM, upgrade it to video."""


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Synthetic movies of `frames` frames of `size` x `size` pixels.

    A step draws from the `kept` newest ones, of which `fresh` are new at every step. `workers`
    processes (0 or 1) make them beside the training.
    """

    frames: int = 8
    size: int = 320
    seed: int = 1
    kept: int = 200
    fresh: int = 3
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One of the two steps of the paper.

    Attributes
    ----------
    steps
        Optimiser steps.
    batch, frames
        Objects per step, and frames of each.
    learning_rate, trunk_rate
        Peak learning rate, and its factor for the image trunk.
    clicks
        Corrections on the prompted frame, at most.
    prompts
        Objects of an additional step after every video step that trains first answers alone:
        one frame each, seen through the temporal integrator. 0 for none.
    """

    steps: int
    batch: int = 8
    frames: int = 1
    learning_rate: float = 1e-3
    trunk_rate: float = 1.0
    clicks: int = 2
    prompts: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run.

    Attributes
    ----------
    variant
        Network, by name.
    seed
        Of everything that is drawn but the movies.
    weights
        Model that training goes on from, a name or a file; from nothing where empty. With no
        image steps, the video step goes on where that model stopped.
    image_weights
        Image SAM with a TinyViT trunk (TinySAM, MobileSAM) whose weights the network's image
        part starts from, to be upgraded to video. Paths are relative to the recipe.
    weight_decay, clip_gradient
        Of the optimiser.
    average
        Decay of the moving average of the weights, which is what is saved.
    checkpoint_every
        Steps between checkpoints.
    data, image, video
        Movies, step (a) and step (b).
    """

    variant: str = "sam-i2v-micro"
    seed: int = 1
    weights: str = ""
    image_weights: str = ""
    weight_decay: float = 0.05
    clip_gradient: float = 1.0
    average: float = 0.998
    checkpoint_every: int = 100
    data: DataPlan = field(default_factory=DataPlan)
    image: StagePlan = field(default_factory=lambda: StagePlan(steps=1500))
    video: StagePlan = field(default_factory=lambda: StagePlan(steps=1500, frames=5))


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from TOML.

    Raises
    ------
    InputError
        If the file is missing, is no TOML, or has a key or a value that a recipe has no use for.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"There is no recipe {path}: give a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from None
    parts = {"data": DataPlan, "image": StagePlan, "video": StagePlan}
    for name, kind in parts.items():
        if name in content:
            content[name] = _build(kind, content[name], f"{path}: [{name}]")
    return _resolved(_build(Recipe, content, str(path)), path.parent)


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Take file names relative to the recipe's folder."""

    def place(file: str) -> str:
        return str(folder / file) if Path(file).suffix else file

    return dataclasses.replace(
        recipe, weights=place(recipe.weights), image_weights=place(recipe.image_weights)
    )


def _build(kind: type, content: Any, where: str) -> Any:
    known = {f.name for f in dataclasses.fields(kind)}
    if not isinstance(content, dict):
        raise InputError(f"{where}: a table is required, got {content!r}.")
    unknown = sorted(set(content) - known)
    if unknown:
        raise InputError(
            f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}."
        )
    try:
        built = kind(**content)
    except TypeError as error:
        raise InputError(f"{where}: {error}.") from None
    for name in content:
        _check_value(built, name, where)
    return built


def _check_value(built: Any, name: str, where: str) -> None:
    """Check that a value has its field's type, and that numbers are not negative."""
    value = getattr(built, name)
    wanted = next(f.type for f in dataclasses.fields(built) if f.name == name)
    if name == "variant" and isinstance(value, str):
        get_config(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or isinstance(value, float)
    right = {"int": whole, "float": number, "str": isinstance(value, str)}.get(str(wanted), True)
    if not right or (number and value < 0):
        kind = {"int": "whole number from 0 up", "float": "number from 0 up", "str": "text"}
        raise InputError(f"{where}: {name} must be a {kind[str(wanted)]}, got {value!r}.")
