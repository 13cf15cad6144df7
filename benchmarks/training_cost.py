"""What the two steps of training cost: the image SAM (a) against its upgrade to video (b).

    python benchmarks/training_cost.py RECIPE.toml [--run RUN_FOLDER]

Floating point operations, a multiplication and an addition counted as two, are counted in forward
and backward passes of one object and averaged over draws, because the number of clicks is drawn.
Hours are what a run folder's log says, all steps that were really made.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.training.arms import video_step_of
from napari_sam_i2v.training.beginning import initialise
from napari_sam_i2v.training.forward import image_step
from napari_sam_i2v.training.recipe import Recipe, Stage, StagePlan, read_recipe
from napari_sam_i2v.training.samples import TARGET_SHARE, Batch


@dataclass(frozen=True)
class Cost:
    """FLOPs of a stage."""

    per_object: float
    per_step: float
    total: float


def stage_cost(recipe: Recipe, stage: Stage, *, draws: int = 6) -> Cost:
    """Count a stage of a recipe; additional steps for first answers are averaged in."""
    plan = recipe.image if stage == "image" else recipe.video
    torch.manual_seed(0)
    model = SamI2V(recipe.config)
    initialise(model)
    model.train()
    kinds = [(plan.batch, plan.frames)]
    if plan.prompts:  # every other step
        kinds.append((plan.prompts, 1))
    per_object = [_flops(model, plan, stage, frames, draws) for _, frames in kinds]
    steps = [objects * cost for (objects, _), cost in zip(kinds, per_object, strict=True)]
    mean = float(np.mean(steps))
    return Cost(per_object[0], mean, mean * plan.steps)


def _flops(model: SamI2V, plan: StagePlan, stage: Stage, frames: int, draws: int) -> float:
    """Forward and backward FLOPs of one object, averaged over draws of clicks and prompts."""
    step = image_step if stage == "image" else video_step_of(plan.arm)
    counts = []
    for seed in range(draws):
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            outcome = step(
                model, _one_object(model, frames), np.random.default_rng(seed), clicks=plan.clicks
            )
            if outcome.loss.requires_grad:
                outcome.loss.backward()
        counts.append(counter.get_total_flops())
        model.zero_grad()
    return float(np.mean(counts))


def _one_object(model: SamI2V, frames: int) -> Batch:
    config = model.config
    side = config.image_size // TARGET_SHARE
    y, x = np.mgrid[:side, :side] - side / 2
    disc = torch.from_numpy((y**2 + x**2 < (side / 5) ** 2).astype(np.float32))
    size = config.image_size
    return Batch(
        torch.randn(1, frames, 3, config.clip_length, size, size),
        disc.expand(1, frames, 1, side, side),
        torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, frames, 4),
    )


def logged_hours(folder: Path) -> dict[str, tuple[int, float]]:
    """Steps and hours of each stage by a run's log, whose rows are means over some steps."""
    done: dict[str, tuple[int, float]] = {}
    last: dict[str, int] = {}
    for line in (folder / "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        stage, step = row["stage"], int(row["step"])
        new = step - last.get(stage, 0)
        new = new if 0 < new <= 10 else 10  # a resumed run goes back to its checkpoint
        last[stage] = step
        steps, hours = done.get(stage, (0, 0.0))
        done[stage] = (steps + new, hours + new * float(row["seconds"]) / 3600)
    return done


def report(recipe: Recipe, run: Path | None, *, draws: int = 6) -> str:
    """Markdown: a row for each stage, and what (b) costs in units of (a)."""
    costs = {stage: stage_cost(recipe, stage, draws=draws) for stage in ("image", "video")}
    logged = logged_hours(run) if run is not None else {}
    rows = [
        "| | GFLOP an object | GFLOP a step | steps | PFLOP | logged steps | hours |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    plans = {"image": recipe.image, "video": recipe.video}
    names = {"image": "(a) image SAM", "video": "(b) upgrade to video"}
    for stage, cost in costs.items():
        steps, hours = logged.get(stage, (0, float("nan")))
        rows.append(
            f"| {names[stage]} | {cost.per_object / 1e9:.1f} | {cost.per_step / 1e9:.0f} "
            f"| {plans[stage].steps} | {cost.total / 1e15:.3f} | {steps or '–'} "
            f"| {f'{hours:.2f}' if steps else '–'} |"
        )
    if costs["image"].total:
        rows.append(f"\n(b) / (a): {costs['video'].total / costs['image'].total:.2f} in FLOPs")
    if {"image", "video"} <= set(logged):
        rows[-1] += f", {logged['video'][1] / logged['image'][1]:.2f} in hours"
    return "\n".join(rows)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, help="folder of a run, for hours")
    options = parser.parse_args()
    print(report(read_recipe(options.recipe), options.run))


if __name__ == "__main__":
    main()
