"""A training recipe: everything that decides what weights come out, read from a TOML file."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.config import SamI2VConfig, get_config

__all__ = ["Arm", "DataPlan", "Recipe", "Stage", "StagePlan", "read_recipe"]

Stage = Literal["image", "video"]
"""The paper's two steps: train an image SAM, upgrade it to video."""
Arm = Literal["full", "no-prompt", "hand-over", "hand-over-image"]
"""What of the paper a video step trains, for the ablation."""
OWN_SHARE = 0.5
FROM_ONE = ("batch", "checkpoint_every", "frames", "kept", "size")
"""Numbers that may not be 0: nothing would be drawn, or nothing kept."""


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Movies of `frames` frames of `size` x `size` pixels: synthetic ones, and the user's own.

    A step draws from the `kept` newest ones, of which `fresh` are new at every step. `workers`
    processes (0 or 1) make them beside the training.

    Attributes
    ----------
    folders
        Folders of the user's own movies with labels; see `napari_sam_i2v.movies.labelled`.
        Paths are relative to the recipe. Of larger and longer movies, parts of `frames` frames
        and `size` pixels are drawn.
    share
        Share of the movies that are cut from the folders, 0 .. 1; 1 means instead of synthetic
        ones. Without it, half where folders are given.
    """

    frames: int = 8
    size: int = 320
    seed: int = 1
    kept: int = 200
    fresh: int = 3
    workers: int = 0
    folders: tuple[str, ...] = ()
    share: float | None = None

    def __post_init__(self) -> None:
        if self.share is None or not isinstance(self.share, int | float):
            return
        if self.share > 1:
            raise InputError(f"share must be from 0 to 1, got {self.share!r}.")
        if self.share and not self.folders:
            raise InputError("share says how much comes from folders: give folders = [...] too.")

    @property
    def own_share(self) -> float:
        """Share of the movies that are cut from the folders."""
        if not self.folders:
            return 0.0
        return OWN_SHARE if self.share is None else float(self.share)


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
    arm
        What a video step trains. "full" is the paper; the others are its ablation: "no-prompt"
        lacks memory as prompt, "hand-over" has no memory but hands each mask to the next frame
        as a prompt, and "hand-over-image" lacks the temporal integrator too.
    """

    steps: int
    batch: int = 8
    frames: int = 1
    learning_rate: float = 1e-3
    trunk_rate: float = 1.0
    clicks: int = 2
    prompts: int = 0
    arm: Arm = "full"

    def __post_init__(self) -> None:
        if self.arm not in get_args(Arm):
            raise InputError(f"arm must be one of {', '.join(get_args(Arm))}, got {self.arm!r}.")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run.

    Attributes
    ----------
    variant
        Network, by name.
    image_size
        Side of the network's input in training, a multiple of 32; 0 for the variant's own. A
        full-size network learns several times faster at 256 than at 1024; the weights fit either.
    seed
        Of everything that is drawn but the movies.
    weights
        Model that training goes on from, a name or a file; from nothing where empty. With no
        image steps, the video step goes on where that model stopped, or upgrades it if it has
        been through the image step alone.
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
    image_size: int = 0
    weights: str = ""
    image_weights: str = ""
    weight_decay: float = 0.05
    clip_gradient: float = 1.0
    average: float = 0.998
    checkpoint_every: int = 100
    data: DataPlan = field(default_factory=DataPlan)
    image: StagePlan = field(default_factory=lambda: StagePlan(steps=1500))
    video: StagePlan = field(default_factory=lambda: StagePlan(steps=1500, frames=5))

    def __post_init__(self) -> None:
        if self.weights and self.image_weights:
            raise InputError(
                "weights and image_weights cannot both be where training starts: keep weights to "
                "go on with a SAM-I2V, or image_weights to upgrade an image SAM."
            )
        if isinstance(self.image_size, int) and self.image_size % 32:
            raise InputError(
                f"image_size must be a multiple of 32, or 0 for the variant's own, got "
                f"{self.image_size}."
            )

    @property
    def config(self) -> SamI2VConfig:
        """The network's numbers, at the size that training uses."""
        config = get_config(self.variant)
        if not self.image_size:
            return config
        return dataclasses.replace(config, image_size=self.image_size)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from TOML.

    Raises
    ------
    InputError
        If the file cannot be read, is no TOML, or has a key or a value that a recipe has no use
        for.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"There is no recipe {path}: give a TOML file.") from None
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"The recipe {path} cannot be read ({why}): give a TOML file.") from None
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
        return str(folder / Path(file).expanduser())

    # What has no suffix is the name of a model.
    weights = place(recipe.weights) if Path(recipe.weights).suffix else recipe.weights
    return dataclasses.replace(
        recipe,
        weights=weights,
        image_weights=place(recipe.image_weights) if recipe.image_weights else "",
        data=dataclasses.replace(recipe.data, folders=tuple(map(place, recipe.data.folders))),
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
    lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    try:
        built = kind(**content | lists)
    except TypeError as error:
        raise InputError(f"{where}: {error}.") from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    for name in content:
        _check_value(built, name, where)
    return built


def _check_value(built: Any, name: str, where: str) -> None:
    """Check that a value has its field's type, and that numbers are finite and large enough."""
    value = getattr(built, name)
    wanted = next(str(f.type) for f in dataclasses.fields(built) if f.name == name)
    wanted = wanted.removesuffix(" | None")
    if name == "variant" and isinstance(value, str):
        get_config(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or isinstance(value, float)
    right = {
        "int": whole,
        "float": number,
        "str": isinstance(value, str),
        "tuple[str, ...]": isinstance(value, tuple) and all(isinstance(v, str) for v in value),
    }.get(wanted, True)
    least = 1 if name in FROM_ONE else 0
    # TOML knows nan and inf.
    if not right or (number and not (math.isfinite(value) and value >= least)):
        kind = {
            "int": f"whole number from {least} up",
            "float": "number from 0 up",
            "str": "text",
            "tuple[str, ...]": "list of texts",
        }
        raise InputError(f"{where}: {name} must be a {kind[wanted]}, got {value!r}.")
