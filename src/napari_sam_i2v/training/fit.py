"""Train a SAM-I2V from nothing: the image step, then the upgrade to video (paper, sec. 3 and 4).

setup -> fit each stage -> save. A run folder holds a log and a checkpoint; starting again in the
same folder goes on where it stopped.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.checkpoints import load_image_weights, load_model
from napari_sam_i2v.network.device import autocast, resolve_device, resolve_precision
from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.training.arms import video_step_of
from napari_sam_i2v.training.beginning import (
    expect_objects,
    initialise,
    is_upgraded,
    start_from_image,
)
from napari_sam_i2v.training.forward import Outcome, image_step
from napari_sam_i2v.training.pool import step_batches
from napari_sam_i2v.training.recipe import Recipe, Stage, StagePlan
from napari_sam_i2v.training.run_folder import (
    make_folder,
    plain_recipe,
    read_checkpoint,
    unfit,
    write_checkpoint,
)
from napari_sam_i2v.training.samples import Batch

__all__ = ["export_weights", "train"]

WARM_UP = 100
LOG_EVERY = 10


@dataclass
class _Run:
    """What a checkpoint holds."""

    model: SamI2V
    average: dict[str, torch.Tensor]
    optimizer: torch.optim.AdamW
    stage: Stage
    step: int


def train(
    recipe: Recipe,
    folder: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    quiet: bool = False,
) -> Path:
    """Run a recipe, or go on with it, and return the path of the averaged weights.

    Parameters
    ----------
    recipe
        See `Recipe`.
    folder
        Run folder; made if missing. A checkpoint in it is continued.
    device, precision
        As for `resolve_device` and `resolve_precision`, but not fp16; bf16 suits recent CPUs too.
    quiet
        Log to the file only.

    Raises
    ------
    InputError
        If the folder cannot be used, or holds something else than a run with this recipe; if the
        precision is fp16; if training diverges.
    """
    place = resolve_device(device)
    mode = resolve_precision(precision, place)
    if mode == "fp16":  # small gradients are zero in it
        raise InputError("Training needs precision bf16 or fp32, got fp16: use one of these.")
    folder = Path(folder)
    make_folder(folder)
    run = _setup(recipe, folder, place)
    stages: tuple[tuple[Stage, StagePlan], ...] = (("image", recipe.image), ("video", recipe.video))
    for stage, plan in stages:
        if (run.stage, stage) == ("video", "image"):
            continue
        if run.stage != stage:
            run = _enter(recipe, run.model, run.average, stage, plan)
        with _Log(folder / "log.jsonl", quiet=quiet) as log:
            _fit(recipe, plan, run, folder, log, lambda: autocast(place, mode))
        _keep(run, folder, recipe)
    return folder / "video.safetensors"


def _setup(recipe: Recipe, folder: Path, place: torch.device) -> _Run:
    state = read_checkpoint(folder, recipe)
    model = _new_model(recipe).to(place)
    run = _enter(recipe, model, _copy(model), "image", recipe.image)
    if state is None:
        return run
    if state["stage"] == "video":
        run = _enter(recipe, model, run.average, "video", recipe.video)
    try:
        run.model.load_state_dict(state["model"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.average = {name: state["average"][name].to(place) for name in run.average}
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        raise unfit(folder, f"it does not fit the network {recipe.variant}") from None
    run.step = state["step"]
    return run


def _new_model(recipe: Recipe) -> SamI2V:
    """Return the network that training starts from."""
    torch.manual_seed(recipe.seed)
    model = SamI2V(recipe.config)
    initialise(model)
    if recipe.weights:
        known = load_model(recipe.weights, variant=recipe.variant, device="cpu")
        if known.config.name != recipe.variant:
            raise InputError(
                f"{recipe.weights} is a {known.config.name}, and the recipe trains a "
                f'{recipe.variant}: set variant = "{known.config.name}", or give other weights.'
            )
        # Refinement begins anew where the weights are of before there was any.
        model.load_state_dict({**model.state_dict(), **known.state_dict()})
        if recipe.image.steps and is_upgraded(model):
            raise InputError(
                f"{recipe.weights} is a video network already, and {recipe.image.steps} image "
                "steps would undo that: set steps = 0 under [image], or give the weights of an "
                "image step."
            )
    if recipe.image_weights:
        load_image_weights(model, recipe.image_weights)
        expect_objects(model)
    return model


def _enter(
    recipe: Recipe, model: SamI2V, average: dict[str, torch.Tensor], stage: Stage, plan: StagePlan
) -> _Run:
    """Begin a stage with a fresh optimiser; the upgrade starts from the averaged image weights."""
    if stage == "video":
        model.load_state_dict(average)
        goes_on = bool(recipe.weights) and not recipe.image.steps and is_upgraded(model)
        if not goes_on:
            start_from_image(model)
    trunk = list(model.image_encoder.trunk_image.parameters())
    inside = {id(p) for p in trunk}
    rest = [p for p in model.parameters() if id(p) not in inside]
    groups = [
        {"params": trunk, "factor": plan.trunk_rate, "lr": 0.0},
        {"params": rest, "factor": 1.0, "lr": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, weight_decay=recipe.weight_decay)
    return _Run(model, _copy(model), optimizer, stage, 0)


def _fit(
    recipe: Recipe,
    plan: StagePlan,
    run: _Run,
    folder: Path,
    log: _Log,
    context: Any,
) -> None:
    device = run.model.device
    run.model.train()
    batches = step_batches(recipe, plan, run.stage, start=run.step)
    started = time.monotonic()
    for drawn in batches:
        rng = np.random.default_rng((recipe.seed, run.stage == "video", run.step, 1))
        batch = Batch.of(*drawn, device)
        step = image_step if run.stage == "image" else video_step_of(plan.arm)
        with context():
            outcome = step(run.model, batch, rng, clicks=plan.clicks)
        _update(recipe, plan, run, outcome)
        run.step += 1
        log.write(run.stage, run.step, outcome, time.monotonic() - started)
        started = time.monotonic()
        if run.step % recipe.checkpoint_every == 0:
            _keep(run, folder, recipe)


def _update(recipe: Recipe, plan: StagePlan, run: _Run, outcome: Outcome) -> None:
    rate = plan.learning_rate * _schedule(run.step, plan.steps)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    run.optimizer.zero_grad(set_to_none=True)
    outcome.loss.backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_gradient)
    if torch.isfinite(norm):
        run.optimizer.step()
    decay = min(recipe.average, (run.step + 1) / (run.step + 10))
    for name, value in run.model.state_dict().items():
        if value.is_floating_point():
            run.average[name].lerp_(value, 1 - decay)
        else:
            run.average[name].copy_(value)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    warm = min(1.0, (step + 1) / min(WARM_UP, max(1, steps // 5)))
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1))))


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _keep(run: _Run, folder: Path, recipe: Recipe) -> None:
    """Write weights and checkpoint; the ones before stay if training has diverged."""
    export_weights(run.average, folder / f"{run.stage}.safetensors", recipe)
    state = {
        "model": run.model.state_dict(),
        "average": run.average,
        "optimizer": run.optimizer.state_dict(),
        "stage": run.stage,
        "step": run.step,
    }
    write_checkpoint(state, folder, recipe)


def export_weights(state: dict[str, torch.Tensor], path: Path, recipe: Recipe) -> None:
    """Write weights as safetensors with variant and recipe in the metadata.

    Matrices and kernels are stored in half precision, which halves the file.

    Raises
    ------
    InputError
        If a value is not finite; nothing is written then.
    """
    tensors = {
        name: (value.half() if value.ndim > 1 else value).contiguous().cpu()
        for name, value in state.items()
    }
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise InputError(
                f"{path} was not written: training diverged, {name} is no longer finite. Lower "
                "learning_rate in the recipe, and begin anew in another folder."
            )
    metadata = {"variant": recipe.variant, "recipe": json.dumps(plain_recipe(recipe))}
    save_file(tensors, path, metadata=metadata)
    path.chmod(0o644)  # as other files; safetensors writes them for the owner alone


class _Log:
    """Losses and accuracies, averaged over a few steps, as JSON lines."""

    def __init__(self, path: Path, *, quiet: bool) -> None:
        self.path, self.quiet = path, quiet
        self.rows: list[tuple[float, float, float, float]] = []

    def __enter__(self) -> _Log:
        self.file = self.path.open("a")
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()

    def write(self, stage: Stage, step: int, outcome: Outcome, seconds: float) -> None:
        row = (float(outcome.loss.detach()), outcome.prompted_iou, outcome.tracked_iou, seconds)
        self.rows.append(row)
        if step % LOG_EVERY:
            return
        with np.errstate(all="ignore"):
            loss, prompted, tracked, mean = (
                float(np.nanmean(c)) if np.isfinite(c).any() else None
                for c in np.array(self.rows).T
            )
        names = ("loss", "prompted_iou", "tracked_iou", "seconds")
        values = (loss, prompted, tracked, mean)
        rounded = [None if v is None else round(v, 4) for v in values]
        line = json.dumps({"stage": stage, "step": step, **dict(zip(names, rounded, strict=True))})
        self.file.write(line + "\n")
        self.file.flush()
        if not self.quiet:
            print(line, flush=True)
        self.rows.clear()
