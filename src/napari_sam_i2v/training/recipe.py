"""A training recipe: everything that decides what weights come out, read from a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.config import get_config

__all__ = ["DataPlan", "Recipe", "StagePlan", "read_recipe"]


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Synthetic movies of `frames` frames of `size` x `size` pixels.

    A step draws from the `kept` newest ones, of which `fresh` are new at every step.
    """

    frames: int = 8
    size: int = 320
    seed: int = 1
    kept: int = 200
    fresh: int = 3


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
    """

    steps: int
    batch: int = 8
    frames: int = 1
    learning_rate: float = 1e-3
    trunk_rate: float = 1.0
    clicks: int = 2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run."""

    variant: str = "sam-i2v-micro"
    seed: int = 1
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
    return _build(Recipe, content, str(path))


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
