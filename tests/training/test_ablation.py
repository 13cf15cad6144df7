"""The arms of the ablation: what each trains and lacks, and the benchmarks that compare them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import ablation, training_cost
from safetensors.torch import save_file
from scipy import ndimage
from tests.movies.layouts import discs, write_tiff
from tests.network import tiny

from napari_sam_i2v.network import SamI2V, checkpoints
from napari_sam_i2v.network import config as configs
from napari_sam_i2v.propagation.view import View
from napari_sam_i2v.training.arms import video_step_of
from napari_sam_i2v.training.beginning import initialise, start_from_image
from napari_sam_i2v.training.forward import video_step
from napari_sam_i2v.training.hand_over import answer_handed, held_after
from napari_sam_i2v.training.recipe import Arm, Recipe, StagePlan, read_recipe
from napari_sam_i2v.training.recrop import handed_over, recrop
from napari_sam_i2v.training.samples import Batch, Movie8, draw_batch, draw_bytes, moved

RECIPES = Path(__file__).parents[2] / "benchmarks" / "ablation"


@pytest.fixture(autouse=True)
def variant(monkeypatch: pytest.MonkeyPatch) -> None:
    known = MappingProxyType({**configs.VARIANTS, tiny.NAME: tiny.config()})
    monkeypatch.setattr(configs, "VARIANTS", known)
    monkeypatch.setattr(checkpoints, "VARIANTS", known)


def network() -> SamI2V:
    torch.manual_seed(0)
    model = SamI2V(tiny.config())
    initialise(model)
    start_from_image(model)
    return model.train()


@pytest.fixture(scope="module")
def batch() -> Batch:
    movie, labels = discs(side=96)
    return draw_batch(
        [Movie8.of(movie, labels)], tiny.config(), np.random.default_rng(3), size=2, frames=4
    )


# ---- masks that move with windows ------------------------------------------------------------


def test_recrop_shows_the_same_pixels_through_the_next_window() -> None:
    y, x = np.mgrid[:96, :96]
    scene = torch.from_numpy(np.where((y - 40) ** 2 + (x - 56) ** 2 < 200, 9.0, -9.0))
    before, after = View(0, 0, 96, 96), View(24, 32, 48, 48)
    moves = torch.from_numpy(moved([before, after]))
    assert torch.allclose(recrop(scene[None, None].float(), moves[:1]), scene.float(), atol=1e-4)
    seen = recrop(scene[None, None].float(), moves[1:])[0, 0] > 0
    wanted = scene[24:72, 32:80].repeat_interleave(2, 0).repeat_interleave(2, 1) > 0
    assert (seen != wanted).float().mean() < 0.02
    outside = recrop(scene[None, None].float(), torch.from_numpy(moved([after, before]))[1:])
    assert (outside[0, 0, :20] < -20).all(), "what was not seen is background"


def test_moves_of_samples_are_those_of_their_windows() -> None:
    """On an object that stands still, each target is the one before, re-cropped."""
    labels = np.zeros((6, 160, 160), np.uint8)
    labels[:, 60:84, 70:110] = 1
    labels[:, 60:70, 70:80] = 0  # no symmetry, so that turns and flips would be noticed
    movie = Movie8(labels * 200, labels)
    rng = np.random.default_rng(0)
    _, targets, moves = draw_bytes([movie], tiny.config(), rng, size=40, frames=4)
    overlaps = []
    for t in range(1, 4):
        before, real = targets[:, t - 1], targets[:, t] >= 0.5
        seen = recrop(before * 20 - 10, moves[:, t]) > 0
        both, either = (seen & real).flatten(1).sum(1), (seen | real).flatten(1).sum(1)
        whole = ~touches(before > 0) & ~touches(real) & real.flatten(1).any(1)
        overlaps += (both / either.clamp(min=1))[whole & before.flatten(1).any(1)].tolist()
    assert len(overlaps) > 60
    assert np.median(overlaps) > 0.9
    assert min(overlaps) > 0.7


def test_moves_go_with_what_windows_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a field that drifts, windows drift along, and what they show stays in its place."""
    monkeypatch.setattr("napari_sam_i2v.training.samples.MOVED_ALONG", 1.0)
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.random((200, 320)), 3)
    field = ((field - field.min()) / np.ptp(field) * 255).astype(np.uint8)
    frames = np.stack([field[20:180, 12 * t : 12 * t + 160] for t in range(6)])
    labels = np.zeros((6, 160, 160), np.uint8)
    for t in range(6):
        labels[t, 60:84, 100 - 12 * t : 124 - 12 * t] = 1
    config = tiny.config(window_scale=2.5)
    _, targets, moves = draw_bytes([Movie8(frames, labels)], config, rng, size=30, frames=3)
    overlaps = []
    for t in (1, 2):
        before, real = targets[:, t - 1], targets[:, t] >= 0.5
        seen = recrop(before * 20 - 10, moves[:, t]) > 0
        both, either = (seen & real).flatten(1).sum(1), (seen | real).flatten(1).sum(1)
        overlaps += (both / either.clamp(min=1))[real.flatten(1).any(1)].tolist()
    assert np.median(overlaps) > 0.75, "a shift of half of the object would leave a third"


def test_answers_are_handed_over_without_doubt_and_now_and_then_not_at_all() -> None:
    low = torch.full((200, 1, 16, 16), -0.5)
    low[:, :, 4:9, 6:12] = 0.2
    moves = torch.tensor([[1.0, 1, 0, 0]]).expand(200, -1)
    handed = handed_over(low, moves, np.random.default_rng(0))
    assert handed.shape == low.shape and handed.amax() == 10 and handed.amin() == -10
    given = (handed > 0).flatten(1).any(1)
    assert 0.05 < 1 - given.float().mean() < 0.16
    assert ((handed[given] > 0) == (low[given] > 0)).float().mean() > 0.97
    shifted = handed_over(low, moves + torch.tensor([0, 0, 0.25, 0]), np.random.default_rng(0))
    assert torch.equal(shifted[given][..., :14, :], handed[given][..., 2:, :])
    assert (shifted[given][..., 14:, :] == -10).all(), "what was not seen is background"


def touches(masks: torch.Tensor) -> torch.Tensor:
    """Which masks (B, 1, h, w) reach the border of their window."""
    edge = torch.cat((masks[..., 0, :], masks[..., -1, :], masks[..., 0], masks[..., -1]), dim=-1)
    return edge.flatten(1).any(1)


def test_a_lost_object_is_looked_for_with_its_last_mask() -> None:
    shown, nothing = torch.full((1, 1, 16, 16), -5.0), torch.full((1, 1, 16, 16), -1024.0)
    shown[..., 4:8, 4:8] = 5
    assert torch.equal(held_after(nothing, shown), shown)
    assert torch.equal(held_after(shown, nothing), shown)
    model = network().eval()
    feature = torch.randn(1, 32, 4, 4)
    with torch.inference_mode():
        assert torch.isfinite(answer_handed(model, feature, held_after(nothing, nothing)).iou).all()
        a, b = (answer_handed(model, feature, one).raw for one in (shown, shown.flip(-1)))
    assert a and b and not torch.equal(a.masks, b.masks)


# ---- training --------------------------------------------------------------------------------

MEMORY = "memory_attention.layers.0.cross_attn_image.q_proj.weight"
PROMPT = "memory_prompt_generator.query_embedding_fg.weight"
TEMPORAL = "image_encoder.trunk_video.temporal_stem.weight"
TRUNK = "image_encoder.trunk_image.neck.0.weight"


@pytest.mark.parametrize(
    ("arm", "trained"),
    [
        ("full", {TRUNK, TEMPORAL, MEMORY, PROMPT}),
        ("no-prompt", {TRUNK, TEMPORAL, MEMORY}),
        ("hand-over", {TRUNK, TEMPORAL}),
        ("hand-over-image", {TRUNK}),
    ],
)
def test_each_arm_trains_what_it_has(batch: Batch, arm: Arm, trained: set[str]) -> None:
    model = network()
    outcome = video_step_of(arm)(model, batch, np.random.default_rng(2), clicks=1)
    assert torch.isfinite(outcome.loss) and 0 <= outcome.tracked_iou <= 1
    outcome.loss.backward()
    found = set()
    for name in (TRUNK, TEMPORAL, MEMORY, PROMPT):
        gradient = model.get_parameter(name).grad
        if gradient is not None and gradient.abs().sum() > 0:
            found.add(name)
    assert found == trained


@pytest.mark.parametrize("arm", ["no-prompt", "hand-over", "hand-over-image"])
def test_arms_take_first_answers_alone(batch: Batch, arm: Arm) -> None:
    alone = Batch(batch.clips[:, :1], batch.targets[:, :1], batch.moves[:, :1])
    outcome = video_step_of(arm)(network(), alone, np.random.default_rng(0), clicks=1)
    assert torch.isfinite(outcome.loss) and np.isnan(outcome.tracked_iou)


def test_the_full_arm_is_the_video_step(batch: Batch) -> None:
    assert video_step_of("full") is video_step
    model = network()
    losses = {
        arm: video_step_of(arm)(model, batch, np.random.default_rng(2), clicks=0).loss.item()
        for arm in ("full", "no-prompt", "hand-over")
    }  # fmt: skip
    assert len(set(losses.values())) == 3


def test_training_and_tracking_lack_memory_prompts_alike(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []
    original = SamI2V.track

    def track(model: SamI2V, *given: Any, **options: bool) -> object:
        seen.append(given)
        return original(model, *given, **options)

    monkeypatch.setattr(SamI2V, "track", track)
    model = network().eval()
    with torch.inference_mode():
        video_step(model, batch, np.random.default_rng(2), clicks=0)
        monkeypatch.undo()
        lacking = ablation.WithoutMemoryPrompts(model.config)
        lacking.load_state_dict(model.state_dict())
        for given in seen:
            trained = model.track(*given, memory_prompts=False)
            tracked = lacking.eval().track(*given)
            assert torch.allclose(trained.low, tracked.low, atol=1e-3)
            full = model.track(*given)
            assert full.raw and tracked.raw
            assert not torch.allclose(full.raw.masks, tracked.raw.masks, atol=1e-3)


def test_recipes_differ_in_the_arm_alone() -> None:
    recipes = {path.stem: read_recipe(path) for path in sorted(RECIPES.glob("*.toml"))}
    assert {k: r.video.arm for k, r in recipes.items()} == {
        "A": "hand-over-image", "B": "hand-over", "C": "no-prompt", "D": "full",
    }  # fmt: skip
    same = {
        dataclasses.replace(r, video=dataclasses.replace(r.video, arm="full"))
        for r in recipes.values()
    }
    assert len(same) == 1


# ---- benchmarks ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One case with clicks, and the weights of a network that knows nothing."""
    folder = tmp_path_factory.mktemp("data")
    write_tiff(folder / "case", *discs(frames=4))
    (folder / "case" / "prompts.csv").write_text(
        "object_id,frame,y,x,label\n3,0,24,24,1\n8,1,70,65,1\n"
    )
    write_tiff(folder / "without_clicks", *discs(frames=4))
    save_file(dict(tiny.build().state_dict()), folder / "tiny.safetensors",
              metadata={"variant": tiny.NAME})  # fmt: skip
    yield folder


def test_arms_share_first_answers_and_differ_after(data: Path) -> None:
    (case,) = ablation.find_cases(data)
    found = {
        arm: ablation.track(
            arm, case, ablation.arm_model(arm, data / "tiny.safetensors"), device="cpu"
        )
        for arm in ablation.ARMS
    }
    assert all(labels.shape == (4, 96, 96) for labels in found.values())
    assert np.array_equal(found["B"][0], found["D"][0])
    assert np.array_equal(found["C"][0], found["D"][0])
    later = [labels[1:].tobytes() for labels in found.values()]
    assert len(set(later)) == 4


def test_truth_is_perfect(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = ablation.find_cases(data, ["case"])
    monkeypatch.setattr(ablation, "track", lambda arm, case, model, **_: case.truth([3, 8]))
    assert ablation.mean_j("D", case, tiny.shared()) == 1.0


def test_the_command_prints_a_table(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(data / "tiny.safetensors")
    argv = ["ablation.py", str(data), "--arms", "B", "D", "--weights", f"B={file}", f"D={file}"]
    monkeypatch.setattr("sys.argv", argv)
    ablation.main()
    lines = capsys.readouterr().out.splitlines()
    assert "| movie | B | D |" in lines
    assert any(line.startswith("| case | 0.") for line in lines)
    monkeypatch.setattr("sys.argv", [*argv[:-1]])
    with pytest.raises(SystemExit, match="D=FILE"):
        ablation.main()


def test_table() -> None:
    scores = {"one": {"A": 0.5, "D": 0.7}, "two": {"A": 0.3, "D": 0.4}}
    assert ablation.table(scores, ["A", "D"]).splitlines()[-2:] == [
        "| **mean** | **0.400** | **0.550** |", "| gain over the arm before |  | +0.150 |",
    ]  # fmt: skip


def test_cost_of_both_steps(tmp_path: Path) -> None:
    image, video = StagePlan(steps=10, batch=4), StagePlan(steps=5, batch=2, frames=3)
    recipe = Recipe(variant=tiny.NAME, image=image, video=video)
    costs = {s: training_cost.stage_cost(recipe, s, draws=1) for s in ("image", "video")}  # type: ignore[arg-type]
    assert costs["video"].per_object > 2 * costs["image"].per_object > 1e6
    assert costs["image"].total == pytest.approx(40 * costs["image"].per_object)
    more = dataclasses.replace(recipe, video=dataclasses.replace(video, prompts=8))
    mixed = training_cost.stage_cost(more, "video", draws=1)
    assert mixed.per_step != costs["video"].per_step
    rows = [("image", 10, 2.0), ("image", 20, 1.0), ("video", 10, 3.6), ("video", 20, 3.6),
            ("video", 10, 3.6)]  # fmt: skip
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps({"stage": s, "step": n, "seconds": t}) + "\n" for s, n, t in rows)
    )
    hours = training_cost.logged_hours(tmp_path)
    assert hours["image"] == (20, pytest.approx(30 / 3600))
    assert hours["video"] == (30, pytest.approx(0.03))
    printed = training_cost.report(recipe, tmp_path, draws=1)
    assert "(b) / (a)" in printed and "in hours" in printed
