"""Passes: directions, ranges, interruptions, and objects that come later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError, MovieError, PromptError
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from tests.network import tiny
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import CountingMovie, noise, only, run


def click(object_id: int, frame: int, y: float = 20, x: float = 20) -> Prompt:
    return Prompt(object_id, frame, points=np.array([[y, x]]))


def advance(session: Session, count: int, **options: Any) -> None:
    """Begin a pass and close it after some frames, as a cancel button does."""
    pass_ = session.propagate(**options)
    for _ in range(count):
        next(pass_)
    pass_.close()


# ---- results -------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["answered", "added", "set"])
def test_what_reaches_past_the_border_is_answered_as_if_cut_there(
    make: MakeSession, ask: str
) -> None:
    shown = []
    for box, point in (((30, 38, 55, 60), (39.5, 47.5)), ((30, 38, 40, 48), (39, 47))):
        session = make(view="auto")
        prompts = [Prompt(1, 0, box=box), Prompt(2, 0, points=np.array([point], float))]
        for prompt in prompts:
            if ask == "added":
                session.add_prompts([prompt])
            elif ask == "set":
                session.set_prompts(prompt.object_id, 0, [prompt])
            elif prompt.box is None:
                session.add_points(2, 0, points=point)
            else:
                session.add_box(1, 0, box=box)
        for object_id in (1, 2):
            session.preview(object_id, 0)
        shown.append(session.labels[0].copy())
    np.testing.assert_array_equal(*shown)
    assert (shown[0] == 2)[39, 47]


def test_result_is_what_is_written(make: MakeSession) -> None:
    session = make()
    session.add_prompts([click(1, 0), click(2, 0, 10, 30)])
    for result in session.propagate():
        np.testing.assert_array_equal(result.labels, session.labels[result.frame])
        for object_id, mask in result.masks.items():
            y0, x0, y1, x1 = mask.box
            assert mask.mask.shape == mask.logits.shape == (y1 - y0, x1 - x0)
            assert 0 <= mask.score <= 1
            assert 0 <= mask.iou <= 1
            whole = np.zeros(session.shape[1:], bool)
            whole[y0:y1, x0:x1] = mask.mask
            assert not (only(result.labels, object_id) & ~whole).any()
    assert session.labels.dtype == np.uint16


def test_preview_writes_its_frame_only(make: MakeSession) -> None:
    session = make()
    result = session.add_points(5, 3, points=(20, 20))
    assert result.frame == 3
    assert list(result.masks) == [5]
    assert only(session.labels[3], 5).sum() == result.masks[5].area > 0
    assert [t for t in range(12) if session.labels[t].any()] == [3]


def test_preview_is_what_the_pass_gives(make: MakeSession) -> None:
    shown, unseen = make(), make()
    preview = shown.add_points(1, 4, points=(20, 20))
    unseen.add_prompts([click(1, 4)])
    first = next(iter(shown.propagate()))
    assert first.frame == 4
    np.testing.assert_array_equal(first.labels, preview.labels)
    run(shown.propagate())
    run(unseen.propagate())
    np.testing.assert_array_equal(shown.labels, unseen.labels)


@pytest.mark.parametrize("kind", ["points", "box", "mask", "box and points"])
def test_every_kind_of_prompt_tracks(make: MakeSession, kind: str) -> None:
    session = make()
    mask = np.zeros((40, 48), bool)
    mask[10:25, 12:30] = True
    if kind == "points":
        session.add_points(1, 0, points=[(20, 20), (5, 5)], labels=[1, 0])
    elif kind == "box":
        session.add_box(1, 0, box=(10, 12, 25, 30))
    elif kind == "mask":
        session.add_mask(1, 0, mask=mask)
    else:
        session.add_points(1, 0, points=(20, 20), box=(10, 12, 25, 30))
    assert run(session.propagate()) == list(range(12))
    assert only(session.labels, 1).any(axis=(1, 2)).all()


# ---- directions ----------------------------------------------------------------------------


def test_directions_cover_their_frames(make: MakeSession) -> None:
    frames = {}
    for direction in ("forward", "backward", "both"):
        session = make()
        session.add_prompts([click(1, 4), click(1, 7)])
        frames[direction] = run(session.propagate(direction))
    assert frames["forward"] == list(range(4, 12))
    assert frames["backward"] == list(range(7, -1, -1))
    assert frames["both"] == [*range(4, 12), 3, 2, 1, 0]


def test_both_merges_at_each_object_s_first_prompt(make: MakeSession) -> None:
    prompts = [click(1, 4), click(2, 8, 10, 30)]
    both, forward, backward = make(), make(), make()
    for session in (both, forward, backward):
        session.add_prompts(prompts)
    results = list(both.propagate("both"))
    seen = [(r.frame, o) for r in results for o in r.masks]
    assert len(seen) == len(set(seen)) == 24, "each object once on each frame"
    run(forward.propagate("forward"))
    run(backward.propagate("backward", objects=[1]))
    np.testing.assert_array_equal(
        only(both.labels[8:], 1), only(forward.labels[8:], 1), "after both prompts"
    )
    own = {r.frame: r.masks for r in results if 2 not in r.masks or r.frame < 4}
    assert sorted(own)[:4] == [0, 1, 2, 3]


def test_both_before_the_prompt_equals_backward(make: MakeSession) -> None:
    both, backward = make(), make()
    for session, direction in ((both, "both"), (backward, "backward")):
        session.add_points(1, 6, points=(20, 20))
        run(session.propagate(direction))
    np.testing.assert_array_equal(both.labels[:6], backward.labels[:6])
    assert only(both.labels, 1).any(axis=(1, 2)).all()


@pytest.mark.parametrize(("frame", "direction"), [(0, "backward"), (11, "forward")])
def test_pass_of_one_frame(make: MakeSession, frame: int, direction: Any) -> None:
    session = make()
    session.add_points(1, frame, points=(20, 20))
    assert run(session.propagate(direction)) == [frame]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_movie_of_one_frame(make: MakeSession, direction: Any) -> None:
    session = make(noise(1))
    session.add_points(1, 0, points=(20, 20))
    assert run(session.propagate(direction)) == [0]


# ---- interruptions -------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("stops", [(1,), (3, 1, 1)])
def test_going_on_gives_the_same_as_never_stopping(
    make: MakeSession, direction: Any, stops: tuple[int, ...]
) -> None:
    parts, whole = make(), make()
    for session in (parts, whole):
        session.add_prompts([click(1, 3), click(2, 5, 10, 30)])
    frames = run(whole.propagate(direction))
    done = 0
    for count in stops:
        advance(parts, count, direction=direction)
        done += count
        for frame in frames[:done]:
            assert parts.labels[frame].any(), "frames that are done stay"
    assert run(parts.propagate(direction)) == frames[done:]
    np.testing.assert_array_equal(parts.labels, whole.labels)


def test_a_finished_pass_starts_over(make: MakeSession) -> None:
    session = make()
    session.add_prompts([click(1, 2), click(2, 0, 10, 30)])
    first = run(session.propagate())
    before = session.labels.copy()
    assert run(session.propagate()) == first == list(range(12))
    np.testing.assert_array_equal(session.labels, before)


def test_closing_at_the_last_frame_is_finishing(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    advance(session, 12)
    assert run(session.propagate()) == list(range(12))


def test_a_frame_that_cannot_be_read_keeps_what_was_done(make: MakeSession) -> None:
    session = make(CountingMovie(noise(), unreadable=[6]), contrast=(0, 255))
    session.add_points(1, 0, points=(20, 20))
    done = []
    with pytest.raises(MovieError, match=r"Frame 6 .*broken page"):
        for result in session.propagate():
            done.append(result.frame)
    assert done == list(range(6))
    assert only(session.labels[:6], 1).any(axis=(1, 2)).all()


# ---- ranges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "wanted"),
    [("forward", [4, 5, 6, 7]), ("backward", [4, 3, 2]), ("both", [4, 5, 6, 7, 3, 2])],
)
def test_range(make: MakeSession, direction: Any, wanted: list[int]) -> None:
    session = make()
    session.add_prompts([click(1, 4)])
    assert run(session.propagate(direction, frames=range(2, 8))) == wanted
    assert [t for t in range(12) if session.labels[t].any()] == sorted(wanted)


def test_consecutive_ranges_are_one_pass(make: MakeSession) -> None:
    parts, whole = make(), make()
    for session in (parts, whole):
        session.add_prompts([click(1, 0), click(2, 3, 10, 30)])
    for frames in (range(0, 5), range(5, 9), range(9, 12)):
        assert run(parts.propagate(frames=frames)) == list(frames)
    run(whole.propagate())
    np.testing.assert_array_equal(parts.labels, whole.labels)


def test_range_beyond_the_prompts_is_empty(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 6, points=(20, 20))
    assert run(session.propagate(frames=range(0, 4))) == []


@pytest.mark.parametrize(
    "frames", [range(0), range(0, 13), range(-2, 3), range(0, 10, 2), range(5, 1, -1)]
)
def test_bad_ranges_are_refused(make: MakeSession, frames: range) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    with pytest.raises(InputError, match="within 0 to 11"):
        run(session.propagate(frames=frames))


# ---- objects -------------------------------------------------------------------------------


def test_new_object_after_a_pass(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    run(session.propagate())
    before = session.labels.copy()
    session.add_points(9, 4, points=(10, 30))
    results = list(session.propagate())
    assert [r.frame for r in results] == list(range(4, 12))
    assert all(list(r.masks) == [9] for r in results)
    np.testing.assert_array_equal(only(session.labels, 1), only(before, 1))
    assert only(session.labels[4:], 9).any()


def test_new_object_before_the_others(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 6, points=(20, 20))
    run(session.propagate())
    session.add_points(2, 1, points=(10, 30))
    assert run(session.propagate()) == list(range(1, 12))
    assert only(session.labels[1:], 2).any(axis=(1, 2)).any()


def test_named_objects_alone_are_tracked(make: MakeSession) -> None:
    session = make()
    session.add_prompts([click(1, 0), click(2, 0, 10, 30), click(3, 0, 30, 10)])
    assert all(sorted(r.masks) == [2] for r in session.propagate(objects=[2]))
    assert all(sorted(r.masks) == [1, 3] for r in session.propagate())


def test_order_of_prompting_does_not_matter(make: MakeSession) -> None:
    labels = []
    prompts = [click(1, 0), click(2, 2, 10, 30), click(3, 0, 30, 10)]
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        session = make()
        session.add_prompts([prompts[i] for i in order])
        run(session.propagate())
        labels.append(session.labels)
    # Batches in another order round differently: a few pixels, no more.
    assert (labels[0] != labels[1]).mean() < 1e-3
    assert (labels[0] != labels[2]).mean() < 1e-3


def test_many_objects(make: MakeSession) -> None:
    """More objects than fit into one batch of tracking."""
    session = make(noise(3))
    session.add_prompts([click(o, 0, 1 + o % 38, 1 + o) for o in range(1, 41)])
    results = list(session.propagate())
    assert all(sorted(r.masks) == list(range(1, 41)) for r in results)


def test_existing_labels_of_others_are_kept(make: MakeSession) -> None:
    labels = np.zeros((12, 40, 48), np.uint16)
    labels[:, 15:25, 15:25] = 77
    session = make(labels=labels)
    session.add_points(1, 0, points=(20, 20))
    run(session.propagate())
    assert session.labels is labels
    assert (labels[:, 15:25, 15:25] == 77).all()
    assert only(labels, 1).any()


# ---- wrong use -----------------------------------------------------------------------------


def test_nothing_to_track(make: MakeSession) -> None:
    with pytest.raises(PromptError, match="Nothing to track"):
        run(make().propagate())


def test_unknown_objects_are_named(make: MakeSession) -> None:
    session = make()
    session.add_points(2, 0, points=(20, 20))
    with pytest.raises(PromptError, match=r"No prompts for object 5, 6; objects are: 2"):
        run(session.propagate(objects=[5, 2, 6]))
    with pytest.raises(PromptError, match=r"no object 3 to remove; objects are: 2"):
        session.remove_object(3)


def test_bad_prompts_change_nothing(make: MakeSession) -> None:
    session = make()
    with pytest.raises(PromptError, match="frames 0 to 11"):
        session.add_points(1, 12, points=(20, 20))
    with pytest.raises(PromptError, match="outside"):
        session.add_points(1, 0, points=(20, 200))
    with pytest.raises(PromptError, match="40 x 48"):
        session.add_mask(1, 0, mask=np.ones((3, 3)))
    with pytest.raises(PromptError):
        session.add_prompts([click(1, 0), click(2, 99)])
    assert session.object_ids == ()
    assert not session.labels.any()


def test_box_outside_the_movie_is_refused(make: MakeSession) -> None:
    with pytest.raises(PromptError, match="outside"):
        make().add_box(1, 0, box=(100, 100, 120, 130))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "far"}, "view must be one of auto, frame, follow"),
        ({"memory_filter": "best"}, "memory_filter must be one of"),
        ({"labels": np.zeros((3, 4, 5), np.uint16)}, "Labels of the movie's shape"),
        ({"contrast": (5, 5)}, "low < high"),
        ({"contrast": (0, float("nan"))}, "low < high"),
        ({"channel": 0}, "no channel 0"),
        ({"precision": "fp8"}, "Unknown precision"),
        ({"device": "abacus"}, "Unknown device"),
    ],
)
def test_bad_options(make: MakeSession, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(**options)


def test_unknown_direction(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    with pytest.raises(InputError, match="direction must be one of"):
        run(session.propagate("sideways"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "shape", [(40, 48), (5, 40, 48, 2), (0, 40, 48), (5, 0, 48), (2, 3, 4, 5, 6)]
)
def test_arrays_that_are_no_movie(make: MakeSession, shape: tuple[int, ...]) -> None:
    with pytest.raises(MovieError, match=r"\(T, Y, X\)"):
        make(np.zeros(shape, np.uint8))


def test_labels_too_narrow_for_an_id_are_refused(make: MakeSession) -> None:
    session = make(labels=np.zeros((12, 40, 48), np.uint8))
    with pytest.raises(InputError):
        session.add_points(300, 0, points=(20, 20))


def test_rgba_and_single_channels(make: MakeSession) -> None:
    rgba = np.random.default_rng(0).integers(0, 255, (4, 40, 48, 4), dtype=np.uint8)
    labels = []
    for movie, options in (
        (rgba, {}),
        (rgba[..., :3], {}),
        (rgba, {"channel": 1}),
        (rgba[..., 1], {}),
    ):
        session = make(movie, **options)
        session.add_points(1, 0, points=(20, 20))
        run(session.propagate())
        labels.append(session.labels)
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[2], labels[3])
    assert (labels[0] != labels[2]).any()


def test_network_may_be_given(make: MakeSession) -> None:
    network = tiny.build(seed=5)
    session = make(model=network)
    assert session.model is network
    assert not session.model.training


def test_both_after_forward_only_does_what_is_left(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 4, points=(20, 20))
    assert run(session.propagate()) == list(range(4, 12))
    assert run(session.propagate("both")) == [3, 2, 1, 0]


def test_both_starts_over_when_nothing_is_left(make: MakeSession) -> None:
    session = make()
    session.add_points(1, 0, points=(20, 20))
    assert run(session.propagate("both")) == list(range(12))
    assert run(session.propagate("both")) == list(range(12))
