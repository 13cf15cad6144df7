"""Which frames are looked back to: published arithmetic, counted from the object's own prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam_i2v.network import get_config
from napari_sam_i2v.network.memory_filter import Selection, candidates, pick, select

CONFIG = get_config("sam-i2v")


def chosen(frame: int, first: int = 0) -> Selection:
    """Selection with one prompt, where candidates were tracked and the newest are most similar."""
    distant, recent = candidates(CONFIG, frame, range(first + 1, frame))
    return select(
        CONFIG, frame,
        conditioning=[first], global_picks=distant[-4:], local_picks=recent[-2:],
    )  # fmt: skip


def expanded(selection: Selection) -> tuple[list[int], list[float]]:
    """Time positions and pointer values with their copies written out."""
    times = np.repeat(selection.time_positions, selection.copies).tolist()
    return times, np.repeat(selection.pointer_values, selection.pointer_copies).tolist()


@pytest.mark.parametrize(
    ("frame", "times", "values", "unit"),
    [
        (1, [0], [1], 1),
        (2, [0, 5], [2, -3], 2),
        (3, [0, 5, 6], [3, -2, -3], 3),
        (6, [0, 0, 0, 1, 5, 6], [6, 6, 6, 5, 1, 0], 6),
        (9, [0, 1, 2, 3, 4, 5, 6], [7, 6, 5, 4, 3, 2, 1], 7),
    ],
)
def test_worked_examples_with_the_prompt_on_frame_0(
    frame: int, times: list[int], values: list[int], unit: int
) -> None:
    own_times, own_values = expanded(chosen(frame))
    assert own_times == times
    assert own_values == pytest.approx([v / unit for v in values])


@pytest.mark.parametrize("name", ["i2v_e2e_long_topk", "i2vpp_e2e_long_topk"])
def test_recorded_selections(golden: Path, name: str) -> None:
    """Candidates, picks, positions and copies of every frame of the published long runs."""
    config = get_config("sam-i2v++" if name.startswith("i2vpp") else "sam-i2v")
    events = json.loads((golden / f"{name}.json").read_text())["events"]
    records = [record for event in events for record in event["selection"]]
    assert len(records) > 10
    for record in records:
        check_record(config, record)


def check_record(config: Any, record: dict[str, Any]) -> None:
    frame = record["frame"]
    distant, recent = candidates(config, frame, range(1, frame))
    assert distant == record["global_candidates"]
    assert recent == record["local_candidates"]
    picked = {}
    for kind, frames, count in (
        ("global", distant, config.global_picks),
        ("local", recent, config.local_picks),
    ):
        similarity = record["similarity_global"].get(kind, {})
        values = torch.tensor([similarity[str(x)] for x in frames])
        picked[kind] = [frames[i] for i in pick(values, count, "top-k")]
        assert picked[kind] == record[f"{kind}_selected"]
    own = select(
        config, frame,
        conditioning=record["cond"], global_picks=picked["global"], local_picks=picked["local"],
    )  # fmt: skip
    times, values = expanded(own)
    assert times == record["t_pos"]
    assert values == pytest.approx([v / record["ptr_pos_max"] for v in record["ptr_pos"]])
    assert own.copies[0] == 1 + record["n_fill"]


@pytest.mark.parametrize("first", [1, 6, 40])
@pytest.mark.parametrize("age", [1, 2, 5, 9, 30])
def test_late_first_prompt_gives_no_copies(first: int, age: int) -> None:
    """Defect 5: time counts from the object's own first prompt, not from frame 0."""
    late, early = chosen(first + age, first), chosen(age)
    assert late.frames == tuple(x + first for x in early.frames)
    assert late.copies == early.copies
    assert late.time_positions == early.time_positions
    assert late.pointer_values == early.pointer_values
    assert late.pointer_copies == early.pointer_copies


def test_first_tracked_frame_after_a_late_prompt_sees_it_once() -> None:
    """The published network sees 7 copies here."""
    assert chosen(41, 40).copies == (1,)


@pytest.mark.parametrize("frame", range(8))
def test_values_are_finite_on_every_frame(frame: int) -> None:
    """Defect 1: frame 0 with memory, and frames before the prompt, are ordinary frames."""
    own = select(CONFIG, frame, conditioning=[5], global_picks=[], local_picks=[])
    assert np.isfinite(own.pointer_values).all()
    assert own.copies[0] >= 1
    assert own.pointer_copies[0] >= 1


def test_frame_before_the_first_prompt_sees_its_pointer() -> None:
    """Defect 4: the published network finds no past pointer to repeat, and crashes."""
    own = select(CONFIG, 2, conditioning=[7, 5], global_picks=[], local_picks=[])
    assert own.frames == (7, 5)
    assert own.pointer_frames == (5,)
    assert sum(own.pointer_copies) == sum(own.copies)


def test_later_prompts_are_seen_without_their_pointers() -> None:
    own = select(CONFIG, 9, conditioning=[3, 20], global_picks=[], local_picks=[7, 8])
    assert own.frames == (3, 20, 7, 8)
    assert own.time_positions == (0, 0, 5, 6)
    assert own.pointer_frames == (3, 7, 8)


def test_copies_stand_in_for_missing_picks() -> None:
    """The memory has the length it would have had if all candidates had been picked."""
    own = chosen(6)
    assert sum(own.copies) == 1 + 5
    assert len(own.frames) == 4
    assert sum(own.pointer_copies) == sum(own.copies)


def test_candidates_end_before_the_frame_and_within_reach() -> None:
    distant, recent = candidates(CONFIG, 50, range(100))
    assert recent == [46, 47, 48, 49]
    assert distant == list(range(30, 46))


def test_candidates_of_the_second_variant() -> None:
    distant, recent = candidates(get_config("sam-i2v++"), 300, range(300))
    assert recent == list(range(290, 300))
    assert distant == list(range(90, 290))


def test_top_k_takes_the_most_similar_and_the_earlier_on_a_tie() -> None:
    assert pick(torch.tensor([0.1, 0.9, 0.5, 0.9]), 2, "top-k") == [1, 3]
    assert pick(torch.tensor([0.5, 0.9, 0.5, 0.5]), 2, "top-k") == [0, 1]


@pytest.mark.parametrize("strategy", ["top-k", "multinomial"])
def test_few_candidates_are_all_taken(strategy: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    assert pick(torch.tensor([0.3, 0.1]), 4, strategy, generator) == [0, 1]
    assert pick(torch.zeros(0), 4, strategy, generator) == []


def test_multinomial_is_seeded() -> None:
    """Defect 7: the same seed draws the same, whatever the global generator did before."""
    similarity = torch.rand(16, generator=torch.Generator().manual_seed(1))

    def draw(seed: int) -> list[int]:
        torch.rand(3)  # moves the global generator
        return pick(similarity, 4, "multinomial", torch.Generator().manual_seed(seed))

    assert draw(3) == draw(3)
    assert len({tuple(draw(seed)) for seed in range(20)}) > 5
    assert all(len(set(draw(seed))) == 4 for seed in range(20))


def test_multinomial_prefers_similar_frames() -> None:
    similarity = torch.tensor([0.0] * 9 + [6.0])
    draws = [
        pick(similarity, 1, "multinomial", torch.Generator().manual_seed(seed))[0]
        for seed in range(200)
    ]
    assert draws.count(9) > 180
