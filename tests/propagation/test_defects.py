"""One test per defect of the published predictor that must not exist here.

The numbers are those of "Behaviours of the reference that are defects" in the architecture notes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.frames import Contrast, FrameSource
from napari_sam_i2v.propagation.memory_bank import MAX_CONDITIONING
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.view import View
from tests.network import tiny
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import noise, only, run


def click(object_id: int, frame: int, y: float = 20, x: float = 20) -> Prompt:
    return Prompt(object_id, frame, points=np.array([[y, x]]))


def close(a: ObjectMask, b: ObjectMask) -> None:
    """Compare masks from batches of different size, whose last bits differ."""
    assert a.box == b.box
    np.testing.assert_allclose(a.logits, b.logits, atol=0.02)


# ---- 1: NaN on frame 0 when it is processed with memory ------------------------------------


def test_1_backward_down_to_frame_0_gives_a_mask_there(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 5, points=(20, 20))
    results = {r.frame: r.masks[1] for r in session.propagate("backward")}
    assert sorted(results) == [0, 1, 2, 3, 4, 5]
    assert all(np.isfinite([m.score, m.iou]).all() for m in results.values())
    assert all(np.isfinite(m.logits).all() for m in results.values())
    assert results[0].area > 0
    assert only(session.labels[0], 1).any()


def test_1_frame_0_does_not_poison_what_follows(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 1, points=(20, 20))
    run(session.propagate("backward"))
    session.add_points(1, 0, points=(10, 10))
    results = {r.frame: r.masks[1] for r in session.propagate("forward")}
    assert sorted(results) == list(range(12))
    assert all(m.area > 0 and np.isfinite(m.score) for m in results.values())


def test_1_correction_on_frame_0_is_finite(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 3, points=(20, 20))
    run(session.propagate("both"))
    answer = session.add_points(1, 0, points=(30, 30)).masks[1]
    assert np.isfinite(answer.score)
    assert answer.area > 0


# ---- 2: corrections on a prompted frame without effect -------------------------------------


@pytest.mark.parametrize("frame", [0, 4])
def test_2_correction_on_a_prompted_frame_changes_it_and_what_follows(
    make: MakeSession, frame: int
) -> None:
    session = make()
    session.add_points(1, frame, points=(20, 20))
    run(session.propagate())
    before = session.labels.copy()
    preview = session.add_points(1, frame, points=(12, 34), labels=[0])
    assert preview.masks[1].area > 0
    assert (session.labels[frame] != before[frame]).any()
    shown = session.labels[frame].copy()
    assert run(session.propagate()) == list(range(frame, 12))
    np.testing.assert_array_equal(session.labels[frame], shown)
    changed = [t for t in range(frame + 1, 12) if (session.labels[t] != before[t]).any()]
    assert len(changed) > (12 - frame) / 2


def test_2_correction_on_a_tracked_frame_becomes_a_conditioning_frame(
    make: MakeSession, selections: list[Any]
) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    run(session.propagate())
    before = session.labels.copy()
    session.add_points(1, 6, points=(12, 34))
    selections.clear()
    assert run(session.propagate()) == list(range(6, 12))
    assert [frame for _, frame, _ in selections] == list(range(7, 12))
    assert all(chosen.frames[:2] == (0, 6) for _, _, chosen in selections)
    assert (session.labels[6:] != before[6:]).any(axis=(1, 2)).all()


# ---- 3: memory-less reverse tracking -------------------------------------------------------


def test_3_backward_remembers_what_it_has_just_tracked(
    make: MakeSession, selections: list[Any]
) -> None:
    session = make()
    session.add_points(1, 11, points=(20, 20))
    selections.clear()
    run(session.propagate("backward"))
    by_index = {frame: chosen for _, frame, chosen in selections}
    assert sorted(by_index) == list(range(1, 12))
    assert by_index[1].frames == (0,)
    for index in range(3, 12):
        chosen = by_index[index]
        assert chosen.time_positions[-2:] == (5, 6)
        assert len([x for x in chosen.frames if index - 4 <= x < index and x > 0]) == 2
    assert 1 in by_index[8].time_positions, "older frames are picked too"


@pytest.mark.parametrize("view", ["frame", "follow"])
def test_3_backward_is_forward_on_the_flipped_movie(make: MakeSession, view: str) -> None:
    movie = noise(14, 90, 110)
    plain, flipped = make(movie, view=view), make(movie[::-1].copy(), view=view)
    for session, frames in ((plain, (13, 8)), (flipped, (0, 5))):
        session.add_prompts([click(1, frames[0]), click(7, frames[1], 60, 80)])
    backward, forward = list(plain.propagate("backward")), list(flipped.propagate("forward"))
    assert [r.frame for r in backward] == list(range(13, -1, -1))
    np.testing.assert_array_equal(plain.labels, flipped.labels[::-1])
    assert plain.labels[0].any()
    for a, b in zip(backward, forward, strict=True):
        assert a.masks.keys() == b.masks.keys()
        for object_id, mask in a.masks.items():
            assert mask.score == b.masks[object_id].score
            np.testing.assert_array_equal(mask.logits, b.masks[object_id].logits)


# ---- 4: crash on a frame before the first prompt -------------------------------------------


def test_4_forward_over_frames_before_the_first_prompt(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 5, points=(20, 20))
    run(session.propagate("backward"))
    session.add_points(1, 2, points=(10, 30))  # a correction that only sees a later prompt
    assert run(session.propagate("forward")) == list(range(2, 12))
    assert only(session.labels[2:], 1).any(axis=(1, 2)).all()


def test_4_range_that_begins_before_the_first_prompt(make: MakeSession) -> None:
    session = make()
    session.add_prompts([click(1, 5), click(2, 8)])
    results = list(session.propagate(frames=range(0, 10)))
    assert [r.frame for r in results] == list(range(5, 10))
    assert [sorted(r.masks) for r in results] == [[1]] * 3 + [[1, 2]] * 2
    assert not session.labels[:5].any()


# ---- 5: copies of one memory after a late first prompt -------------------------------------


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_5_late_first_prompt_is_not_copied(
    make: MakeSession, selections: list[Any], direction: Any
) -> None:
    session = make(noise(20))
    session.add_points(1, 9 if direction == "forward" else 10, points=(20, 20))
    selections.clear()
    run(session.propagate(direction))
    by_index = {frame: chosen for _, frame, chosen in selections}
    assert by_index[10].copies == (1,)  # the published network sees 7
    assert by_index[11].copies == (1, 1)
    assert by_index[15].copies == (3, 1, 1, 1)  # as on frame 6 after a prompt on frame 0
    assert by_index[18].copies == (1,) * 7


def test_5_shifting_the_movie_shifts_the_result(make: MakeSession) -> None:
    """The published result depends on the absolute number of the prompted frame."""
    movie = noise(16)
    late, early = make(movie, contrast=(0, 255)), make(movie[7:], contrast=(0, 255))
    # A mask, because a click looks at the frames before it.
    mask = np.zeros((40, 48), bool)
    mask[10:25, 12:30] = True
    for session, frame in ((late, 9), (early, 2)):
        session.add_mask(1, frame, mask=mask)
        run(session.propagate())
    np.testing.assert_array_equal(late.labels[9:], early.labels[2:])
    assert late.labels[15].any()


# ---- 6: crash after removing an object -----------------------------------------------------


def test_6_removing_an_object_leaves_the_others_at_work(make: MakeSession) -> None:
    movie = noise()
    session, alone = make(movie), make(movie)
    session.add_prompts([click(1, 0), click(2, 0, 10, 30), click(3, 0, 30, 10)])
    pass_ = session.propagate()
    for _ in range(3):
        next(pass_)
    pass_.close()
    session.remove_object(1)
    assert session.object_ids == (2, 3)
    assert not only(session.labels, 1).any()
    session.add_points(2, 2, points=(12, 34))  # where the published predictor raises
    results = list(session.propagate())
    assert [r.frame for r in results] == list(range(2, 12))
    assert all(1 not in r.masks for r in results)
    # Object 3 goes on as if object 1 had never been there.
    alone.add_prompts([click(3, 0, 30, 10)])
    own = {r.frame: r.masks[3] for r in alone.propagate()}
    for result in results[1:5]:  # later, differences in the last bit may have grown
        close(result.masks[3], own[result.frame])


def test_6_a_removed_object_can_come_back(make: MakeSession) -> None:
    session, fresh = make(), make()
    session.add_prompts([click(1, 0), click(2, 3)])
    run(session.propagate())
    session.remove_object(1)
    session.remove_object(2)
    assert not session.labels.any()
    for each in (session, fresh):
        each.add_prompts([click(1, 4, 30, 30)])
        run(each.propagate("both"))
    np.testing.assert_array_equal(session.labels, fresh.labels)


# ---- 7: unseeded selection -----------------------------------------------------------------


def picked(session: Any, selections: list[Any]) -> list[tuple[int, ...]]:
    session.add_prompts([click(1, 0), click(2, 0, 10, 30)])
    selections.clear()
    run(session.propagate())
    return [chosen.frames for _, _, chosen in selections]


def test_7_same_seed_same_labels(make: MakeSession, selections: list[Any]) -> None:
    sessions = [make(memory_filter="multinomial", seed=seed) for seed in (3, 3, 4)]
    frames = []
    for session in sessions:
        torch.rand(5)  # moves the global generator, which must not matter
        frames.append(picked(session, selections))
    assert frames[0] == frames[1]
    assert frames[0] != frames[2]
    np.testing.assert_array_equal(sessions[0].labels, sessions[1].labels)


def test_7_a_draw_does_not_depend_on_where_a_pass_was_interrupted(
    make: MakeSession, selections: list[Any]
) -> None:
    whole, parts = (make(memory_filter="multinomial", seed=1) for _ in range(2))
    frames = picked(whole, selections)
    selections.clear()
    parts.add_prompts([click(1, 0), click(2, 0, 10, 30)])
    for _ in range(3):
        pass_ = parts.propagate()
        for _ in range(3):
            next(pass_)
        pass_.close()
    run(parts.propagate())
    assert [chosen.frames for _, _, chosen in selections] == frames
    np.testing.assert_array_equal(parts.labels, whole.labels)


def test_7_objects_draw_independently(make: MakeSession, selections: list[Any]) -> None:
    frames = picked(make(memory_filter="multinomial"), selections)
    assert any(a != b for a, b in zip(frames[::2], frames[1::2], strict=True))


def test_7_top_k_does_not_depend_on_the_seed(make: MakeSession) -> None:
    labels = []
    for seed in (0, 1):
        session = make(seed=seed)
        session.add_prompts([click(1, 0)])
        run(session.propagate())
        labels.append(session.labels)
    np.testing.assert_array_equal(*labels)


# ---- 9: unbounded number of conditioning frames --------------------------------------------


def test_9_conditioning_frames_are_bounded(make: MakeSession, selections: list[Any]) -> None:
    session = make(noise(40))
    session.add_prompts([click(1, t) for t in range(0, 36, 2)])
    selections.clear()
    run(session.propagate())
    assert selections
    for _, frame, chosen in selections:
        prompted = [
            x for x, place in zip(chosen.frames, chosen.time_positions, strict=True) if not place
        ]
        assert len(prompted) <= MAX_CONDITIONING
        assert 0 in prompted
        assert min(range(0, 36, 2), key=lambda x: abs(x - frame)) in prompted
        assert len(chosen.frames) <= MAX_CONDITIONING + 6


# ---- 10: a prompt erases other objects on its frame ----------------------------------------


def test_10_prompting_object_2_leaves_object_1_alone(make: MakeSession) -> None:
    both, alone = make(), make()
    both.add_points(1, 0, points=(20, 20))
    both.add_points(2, 3, points=(10, 30))
    alone.add_points(1, 0, points=(20, 20))
    own = {r.frame: r.masks[1] for r in alone.propagate()}
    for result in both.propagate(frames=range(0, 7)):
        mask = result.masks[1]
        close(mask, own[result.frame])
        assert (2 in result.masks) == (result.frame >= 3)
    assert own[3].area > 0
    assert not only(both.labels[:3], 2).any()


# ---- 11: frames in double precision --------------------------------------------------------


def test_11_frames_are_single_precision() -> None:
    movie = noise(4).astype(np.float64)
    source = FrameSource(movie, Contrast(0, 255), tiny.config().image_size)
    assert source.clip([0, 1, 2], [View.whole((40, 48))]).dtype == torch.float32
