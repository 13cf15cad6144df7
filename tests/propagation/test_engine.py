"""The network at work on frames, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.errors import DeviceError
from napari_sam_i2v.network.temporal import clip_indices
from napari_sam_i2v.propagation import engine as engine_module
from napari_sam_i2v.propagation.choosing import fitting_masks, steady_masks
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import Contrast, FrameSource
from napari_sam_i2v.propagation.memory_bank import (
    MAX_CONDITIONING,
    MemoryBank,
    MemoryEntry,
    stack_memories,
)
from napari_sam_i2v.propagation.obeying import obeying
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.view import View
from tests.network import tiny
from tests.propagation.fakes import noise

WHOLE = View.whole((40, 48))


@pytest.fixture
def source() -> FrameSource:
    return FrameSource(noise(), Contrast(0, 255), tiny.config().image_size)


# ---- batches -------------------------------------------------------------------------------


def count_encoded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many views each call of the network encodes."""
    counts: list[int] = []
    original = engine.model.encode_frame
    monkeypatch.setattr(
        engine.model,
        "encode_frame",
        lambda clip, **given: (counts.append(len(clip)), original(clip, **given))[1],
    )
    return counts


def test_equal_views_are_encoded_once(source: FrameSource, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny.shared())
    clips = count_encoded(engine, monkeypatch)
    views = [WHOLE, View(0, 0, 32, 32), WHOLE, View(0, 0, 32, 32)]
    features = engine.encode(source, 5, views)
    assert sum(clips) == 2
    assert features[0] is features[2]
    assert not torch.equal(features[0], features[1])
    assert features[0].shape == (32, 4, 4)


def test_a_frame_is_encoded_once(source: FrameSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clicks on a frame that was looked at cost no encoding; what is kept is bounded."""
    engine = Engine(tiny.shared())
    encoded = count_encoded(engine, monkeypatch)
    window = View(0, 0, 32, 32)
    first = engine.encode(source, 5, [WHOLE, window])
    again = engine.encode(source, 5, [window, View(2, 2, 32, 32), WHOLE])
    assert sum(encoded) == 3
    assert again[0] is first[1]
    assert again[2] is first[0]
    for t in range(10):
        engine.encode(source, t, [WHOLE])
    assert len(engine._features[source]) == engine_module.KEPT_FRAMES
    monkeypatch.setattr(engine_module, "KEPT_BYTES", 1)
    engine.encode(source, 3, [WHOLE])
    assert not engine._features[source]


@pytest.mark.parametrize("view", [WHOLE, View(3, 5, 32, 36)])
def test_clips_through_one_view_share_what_frames_add(source: FrameSource, view: View) -> None:
    """Wherever a pass comes from, a frame's feature is that of its clip."""
    engine = Engine(tiny.shared())
    for t in (0, 1, 2, 5, 4, 9):
        # Others are looked through at times, too.
        views = [view, View(t % 3, 0, 32, 32), view]
        found = engine.encode(source, t, views)
        indices = clip_indices(t, engine.config.clip_length)
        with torch.inference_mode():
            wanted = engine.model.encode_frame(source.clip(indices, views))
        torch.testing.assert_close(torch.stack(found), wanted, atol=1e-4, rtol=1e-4)
        assert engine._taps[source].keys() == {*indices}


def test_frames_are_cut_out_once_for_a_window_that_stays(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny.shared())
    looked: list[tuple[int, View]] = []
    clip = source.clip

    def spied(indices: Sequence[int], views: Sequence[View]) -> Tensor:
        looked.extend((i, view) for i in indices for view in views)
        return clip(indices, views)

    monkeypatch.setattr(source, "clip", spied)
    stays = View(0, 0, 32, 32)
    for t in range(6):
        engine.encode(source, t, [stays, View(0, t, 32, 32)])
    assert sum(view == stays for _, view in looked) == 6
    assert len(looked) > 12, "a window that moves sees earlier frames anew"


def test_what_frames_add_is_kept_within_bounds(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for it, it is computed anew, and comes out the same."""
    views = [WHOLE, View(0, 0, 32, 32), View(2, 3, 32, 32)]
    roomy, narrow = Engine(tiny.shared()), Engine(tiny.shared())
    for t in range(6):
        wanted = roomy.encode(source, t, views)
        size = engine_module._size(roomy._taps[source].values())
        monkeypatch.setattr(engine_module, "KEPT_TAPS", size // 2)
        found = narrow.encode(source, t, views)
        torch.testing.assert_close(torch.stack(found), torch.stack(wanted), atol=1e-4, rtol=1e-4)
        assert engine_module._size(narrow._taps[source].values()) <= size // 2
        monkeypatch.undo()


def test_objects_in_one_view_are_tracked_together(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny.shared())
    banks, _ = remembered(engine, source, [(0,), (2,), (1,), (3,)])
    views = [WHOLE, View(4, 4, 32, 32), WHOLE, WHOLE]
    features = engine.encode(source, 8, views)
    recalled = [(b, b.filter(8, f)) for b, f in zip(banks, features, strict=True)]
    shapes = []
    original = engine.model.track
    monkeypatch.setattr(
        engine.model,
        "track",
        lambda f, m, handed: (shapes.append((len(f), len(m.spatial))), original(f, m, handed))[1],
    )
    found = engine.track(features, views, recalled, [None] * len(views))  # type: ignore[arg-type]
    assert sorted(shapes) == [(1, 1), (1, 3)]
    for i in range(4):
        alone = engine.track([features[i]], [views[i]], [recalled[i]], [None])[0]  # type: ignore[list-item]
        torch.testing.assert_close(found[i].stored, alone.stored, atol=2e-3, rtol=1e-3)
        assert found[i].view == views[i]
    monkeypatch.setattr(engine_module, "PIXELS_AT_ONCE", 1)  # each in a batch of its own
    entries = engine.remember(features, found, prompted=False)
    assert entries[0].fingerprint is entries[2].fingerprint is entries[3].fingerprint
    for i in range(4):
        alone_entry = engine.remember([features[i]], [found[i]], prompted=False)[0]
        torch.testing.assert_close(
            entries[i].spatial.float(), alone_entry.spatial.float(), atol=2e-2, rtol=1e-2
        )
        assert torch.equal(entries[i].fingerprint, alone_entry.fingerprint)


def test_batches_of_any_size_give_the_same(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects with memories of different length share a batch; padding must not be seen."""
    engine = Engine(tiny.shared())
    banks, views = remembered(engine, source, [(0,), (3,), (0, 4), (5,)])
    features = engine.encode(source, 8, views)
    recalled = [(b, b.filter(8, f)) for b, f in zip(banks, features, strict=True)]
    assert len({len(s.frames) for _, s in recalled}) > 1  # type: ignore[union-attr]
    together = engine.track(features, views, recalled, [None] * len(views))  # type: ignore[arg-type]
    monkeypatch.setattr(engine_module, "TOKENS_AT_ONCE", 1)
    monkeypatch.setattr(engine_module, "PIXELS_AT_ONCE", 1)
    alone = engine.track(engine.encode(source, 8, views), views, recalled, [None] * len(views))  # type: ignore[arg-type]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.stored, b.stored, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(a.pointer, b.pointer, atol=1e-3, rtol=1e-3)
        assert a.score == pytest.approx(b.score, abs=1e-3)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_batches_are_halved_where_memory_is_too_small(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    engine = Engine(tiny.shared())
    banks, views = remembered(engine, source, [(0,), (3,), (0, 4), (5,)])
    features = engine.encode(source, 8, views)
    recalled = [(b, b.filter(8, f)) for b, f in zip(banks, features, strict=True)]
    together = engine.track(features, views, recalled, [None] * len(views))  # type: ignore[arg-type]
    entries = engine.remember(features, together, prompted=False)
    sizes = poor(engine, monkeypatch, error, most=1)
    engine.forget(source)
    again = engine.encode(source, 8, views)
    answers = engine.track(again, views, recalled, [None] * len(views))  # type: ignore[arg-type]
    for a, b in zip(together, answers, strict=True):
        torch.testing.assert_close(a.stored, b.stored, atol=2e-3, rtol=1e-3)
    for one, two in zip(entries, engine.remember(features, answers, prompted=False), strict=True):
        torch.testing.assert_close(one.pointer, two.pointer, atol=1e-3, rtol=1e-3)
    assert max(sizes) == 4 and sizes.count(4) == 1, "what did not fit is not tried again"


def poor(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, *, most: int
) -> list[int]:
    """Let a network fail on larger batches; returns the sizes that it is given."""
    sizes: list[int] = []

    def limited(original):
        def call(batch: Tensor, *args, **given):
            sizes.append(len(batch))
            if len(batch) > most:
                raise error
            return original(batch, *args, **given)

        return call

    for name in ("encode_frame", "track", "remember", "decode_prompts", "use_mask"):
        monkeypatch.setattr(engine.model, name, limited(getattr(engine.model, name)))
    return sizes


def test_memory_for_not_even_one_object_is_said(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, view = Engine(tiny.shared()), View(0, 0, 32, 32)
    feature = engine.encode(source, 8, [view])[0]
    poor(engine, monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), most=0)
    click = Prompt(1, 8, points=np.array([[15.0, 20.0]]))
    for use in (
        lambda: engine.prompt(feature, [click], view),
        lambda: engine.try_views(source, 8, click, [view]),
        lambda: engine.encode(source, 9, [view]),
        lambda: engine.recall_mask(feature, np.ones((40, 48), bool), view),
    ):
        with pytest.raises(DeviceError, match="not enough memory for one object"):
            use()


def test_other_errors_of_the_device_pass_as_they_are(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(tiny.shared())
    poor(engine, monkeypatch, RuntimeError("device-side assert"), most=0)
    with pytest.raises(RuntimeError, match="device-side assert"):
        engine.encode(source, 8, [View(0, 0, 32, 32)])


def remembered(
    engine: Engine, source: FrameSource, prompted: list[tuple[int, ...]]
) -> tuple[list[MemoryBank], list[View]]:
    """Banks of objects that were prompted on some frames and tracked up to frame 7."""
    banks, views = [], []
    for i, frames in enumerate(prompted):
        bank, view = MemoryBank(engine.config), View(i, i, 32, 36)
        for t in range(min(frames), 8):
            feature = engine.encode(source, t, [view])[0]
            prompt = Prompt(i + 1, t, points=np.array([[15.0 + i, 20.0]]))
            found = engine.prompt(feature, [prompt], view)
            entry = engine.remember([feature], [found], prompted=t in frames)[0]
            bank.remember(t, entry, prompted=t in frames)
        banks.append(bank)
        views.append(view)
    return banks, views


def test_rounds_see_the_answer_before_them(source: FrameSource) -> None:
    engine = Engine(tiny.shared())
    feature = engine.encode(source, 3, [WHOLE])[0]
    first = Prompt(1, 3, points=np.array([[20.0, 20.0]]))
    second = Prompt(1, 3, points=np.array([[30.0, 10.0]]), labels=np.array([0]))
    both = Prompt(1, 3, points=np.array([[20.0, 20.0], [30.0, 10.0]]), labels=np.array([1, 0]))
    stepwise = engine.prompt(feature, [first, second], WHOLE)
    once = engine.prompt(feature, [both], WHOLE)
    before = obeying(engine.prompt(feature, [first], WHOLE), [first])
    seen = engine.prompt(feature, [both], WHOLE, previous=before.low)
    assert not torch.allclose(stepwise.stored, once.stored, atol=1e-2)
    torch.testing.assert_close(stepwise.stored, seen.stored)


@pytest.mark.parametrize("remembering", [True, False])
def test_clicks_of_several_objects_are_those_of_each(
    source: FrameSource, monkeypatch: pytest.MonkeyPatch, remembering: bool
) -> None:
    engine = Engine(tiny.shared(), published=True)
    banks, views = remembered(engine, source, [(0,), (3,), (0, 4), (5,)])
    features = engine.encode(source, 8, views)
    recalled = [(b, b.filter(8, f)) for b, f in zip(banks, features, strict=True)]
    places = np.array([(view.y + 9.0, view.x + 12.0) for view in views])
    batches: list[int] = []
    original = engine.model.decode_prompts

    def noted(feature: Tensor, *args: Tensor, **kwargs: object) -> object:
        batches.append(len(feature))
        return original(feature, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.model, "decode_prompts", noted)
    found = engine.click(features, views, places, recalled if remembering else None)  # type: ignore[arg-type]
    assert max(batches) > 1
    for i, one in enumerate(found):
        click = Prompt(1, 8, points=places[i][None], labels=np.array([1]))
        memory = recalled[i] if remembering else None
        alone = engine.prompt(features[i], [click], views[i], recalled=memory)  # type: ignore[arg-type]
        torch.testing.assert_close(one.stored, alone.stored, atol=2e-3, rtol=1e-3)
        assert one.iou == pytest.approx(alone.iou, abs=1e-3)
        assert one.view == views[i]


def test_prompts_choose_what_fits_or_as_published(source: FrameSource) -> None:
    engine, published = Engine(tiny.shared()), Engine(tiny.shared(), published=True)
    feature = engine.encode(source, 3, [WHOLE])[0]
    box = Prompt(1, 3, box=np.array([4.0, 4.0, 36.0, 44.0]))
    points, labels = engine._network_points(box, WHOLE)
    with torch.inference_mode():
        decoded = engine.model.decode_prompts(feature[None], points, labels)
        assert decoded.raw is not None
        scale = engine.config.mask_size / engine.config.image_size
        best = fitting_masks(
            decoded.raw, points[0].numpy() * scale, labels[0].numpy(), confined=True
        )
        fitting = [engine.model.choose(decoded.raw, one) for one in best.split(1)]
    assert torch.equal(published.prompt(feature, [box], WHOLE).stored, decoded.low[0])
    assert len(published.offers(feature, [box], WHOLE)) == 1
    assert torch.equal(engine.prompt(feature, [box], WHOLE).stored, fitting[0].low[0])
    offered = engine.offers(feature, [box], WHOLE)
    assert len(offered) == len(fitting) >= 3
    for answer, wanted in zip(offered, fitting, strict=True):
        assert torch.equal(answer.stored, wanted.low[0])
        assert answer.iou == wanted.iou.item()


def test_a_box_confines_its_answer_or_not_as_published(source: FrameSource) -> None:
    engine, published = Engine(tiny.shared()), Engine(tiny.shared(), published=True)
    feature = engine.encode(source, 3, [WHOLE])[0]
    box = Prompt(1, 3, box=(4.0, 4.0, 20.0, 24.0))
    inside, outside = (Prompt(1, 3, points=np.array([place])) for place in ([9.0, 9], [30.0, 9]))
    painted = Prompt(1, 3, mask=np.ones((40, 48), bool))
    assert engine.prompt(feature, [box], WHOLE).within == box.box
    assert engine.prompt(feature, [box, inside], WHOLE).within == box.box
    assert engine.prompt(feature, [box, inside, outside], WHOLE).within is None
    assert engine.prompt(feature, [painted], WHOLE).within is None
    assert published.prompt(feature, [box], WHOLE).within is None
    found = replace(engine.prompt(feature, [box], WHOLE), low=torch.ones(1, 4, 4), score=1.0)
    assert found.paste().box == (4, 4, 20, 24)


def test_candidates_are_chosen_by_the_past_or_as_published(source: FrameSource) -> None:
    engine, published = Engine(tiny.shared()), Engine(tiny.shared(), published=True)
    banks, _ = remembered(engine, source, [(0,), (2,)])
    views = [View(4, 4, 32, 32), WHOLE]
    features = engine.encode(source, 8, views)
    recalled = [(b, b.filter(8, f)) for b, f in zip(banks, features, strict=True)]
    seen = [Seen(5, 6, 4, (4, 5, 6, 7), 7), Seen(20, 24, 1900, (0, 0, 40, 48), 7)]
    with torch.inference_mode():
        for i in range(2):
            bank, chosen = recalled[i]
            assert chosen is not None
            decoded = engine.model.track(features[i][None], stack_memories([bank], [chosen]))
            assert decoded.raw is not None
            steady = steady_masks(decoded.raw, [views[i]], [seen[i]])
            wanted = engine.model.choose(decoded.raw, steady)
            one = [features[i]], [views[i]], [(bank, chosen)], [seen[i]]
            torch.testing.assert_close(engine.track(*one)[0].stored, wanted.low[0])
            torch.testing.assert_close(published.track(*one)[0].stored, decoded.low[0])


def test_absent_instead_of_an_answer(source: FrameSource) -> None:
    engine = Engine(tiny.shared())
    feature = engine.encode(source, 3, [WHOLE])[0]
    found = engine.prompt(feature, [Prompt(1, 3, points=np.array([[20.0, 20.0]]))], WHOLE)
    gone = engine.absent(found)
    assert gone.score < 0
    assert gone.paste().area == 0
    assert torch.equal(gone.pointer, engine.model.no_obj_ptr[0])
    assert gone.low.shape == found.low.shape
    engine.remember([feature], [gone], prompted=False)  # as the network's own absent answers


def test_a_given_mask_is_its_own_answer(source: FrameSource) -> None:
    engine = Engine(tiny.shared())
    view = View(4, 8, 32, 32)
    mask = np.zeros((40, 48), bool)
    mask[12:28, 16:32] = True
    feature = engine.encode(source, 3, [view])[0]
    found = engine.prompt(feature, [Prompt(1, 3, mask=mask)], view).paste()
    assert found.box == pytest.approx((12, 16, 28, 32), abs=1)
    assert found.score > 0.99


def test_bf16_gives_nearly_the_same(source: FrameSource) -> None:
    answers = []
    for precision in ("fp32", "bf16"):
        engine = Engine(tiny.shared(), precision)  # type: ignore[arg-type]
        feature = engine.encode(source, 3, [WHOLE])[0]
        assert feature.dtype == torch.float32
        prompt = Prompt(1, 3, points=np.array([[20.0, 20.0]]))
        answers.append(engine.prompt(feature, [prompt], WHOLE))
    exact, rough = (a.stored for a in answers)
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert ((exact > 0) == (rough > 0)).float().mean() > 0.9


# ---- the bank ------------------------------------------------------------------------------


def entry() -> MemoryEntry:
    nothing = torch.zeros(1)
    return MemoryEntry(nothing, nothing, nothing, nothing)


def test_bank_keeps_what_can_still_be_picked() -> None:
    bank = MemoryBank(tiny.config())
    bank.remember(0, entry(), prompted=True)
    for t in range(1, 100):
        bank.remember(t, entry(), prompted=False)
        wanted = set(range(max(1, t + 1 - bank.reach), t + 1))
        assert set(bank.rolling) == wanted
    assert set(bank.permanent) == {0}


def test_prompting_a_tracked_frame_makes_it_permanent() -> None:
    bank = MemoryBank(tiny.config())
    bank.remember(3, entry(), prompted=False)
    bank.remember(3, entry(), prompted=True)
    assert (list(bank.permanent), list(bank.rolling)) == ([3], [])


def test_forgetting_spares_prompted_frames() -> None:
    bank = MemoryBank(tiny.config())
    for t in range(6):
        bank.remember(t, entry(), prompted=t in (0, 4))
    bank.forget_from(3)
    assert sorted(bank.rolling) == [1, 2]
    assert sorted(bank.permanent) == [0, 4]


def test_conditioning_frames_are_the_first_and_the_nearest() -> None:
    bank = MemoryBank(tiny.config())
    for t in range(0, 100, 5):
        bank.remember(t, entry(), prompted=True)
    kept = bank.conditioning(52)
    assert kept == [0, 35, 40, 45, 50, 55, 60, 65]
    assert len(kept) == MAX_CONDITIONING
    assert 50 not in bank.conditioning(50)


def test_nothing_to_remember() -> None:
    assert MemoryBank(tiny.config()).filter(3, torch.zeros(32, 4, 4)) is None
