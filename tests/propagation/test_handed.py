"""Masks of the frame before are handed over to tracking, as its window shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.engine import Engine
from napari_sam_i2v.propagation.frames import Contrast, FrameSource
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.view import View
from tests.network import tiny
from tests.propagation.conftest import MakeSession
from tests.propagation.fakes import BrightEngine, discs, noise, run, square

SHAPE = (200, 240)


# ---- what a view shows of a mask ---------------------------------------------------------------


def test_a_mask_is_shown_as_shares_of_cells() -> None:
    shown = square(10, 20, 10).shown(View(0, 0, 40, 80), 8)  # cells of 5 by 10 pixels
    wanted = np.zeros((8, 8), np.float32)
    wanted[2:4, 2] = 1
    np.testing.assert_allclose(shown, wanted, atol=1e-6)
    shown = square(10, 20, 10).shown(View(8, 15, 40, 80), 8)
    np.testing.assert_allclose(shown[:3, :2], np.outer([0.6, 1, 0.4], [0.5, 0.5]), atol=1e-6)
    assert shown.sum() * 50 == pytest.approx(100)


def test_a_mask_is_shown_through_windows_smaller_than_the_grid() -> None:
    mask = ObjectMask.given(np.array([[1, 0], [1, 1]], bool), 6, 7)
    assert mask is not None
    shown = mask.shown(View(4, 4, 8, 8), 32)
    wanted = np.zeros((8, 8))
    wanted[2:4, 3:5] = mask.mask
    np.testing.assert_allclose(shown, wanted.repeat(4, 0).repeat(4, 1), atol=1e-6)


def test_what_lies_outside_the_view_is_not_shown() -> None:
    assert not square(10, 20).shown(View(60, 60, 40, 40), 8).any()
    half = square(10, 20).shown(View(15, 20, 40, 40), 8)
    assert half.sum() * 25 == pytest.approx(50)


# ---- what a pass hands over --------------------------------------------------------------------


class Told(BrightEngine):
    """Notes what it is handed."""

    handed: list[tuple[int, View, np.ndarray | None]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.handed = []

    def track(self, features: Sequence[Tensor], views: Sequence[View], *rest: Any) -> list[Answer]:
        self.handed += [(self._index, *one) for one in zip(views, rest[-1], strict=True)]
        return super().track(features, views, *rest)


@pytest.fixture
def told(bright: MakeSession, monkeypatch: pytest.MonkeyPatch) -> MakeSession:
    """Make a session on a network that hands over, and that notes what it is handed."""
    monkeypatch.setattr("napari_sam_i2v.propagation.session.Engine", Told)
    model = tiny.build(fine_dim=4, image_size=192)
    return lambda movie, **options: bright(movie, **({"model": model} | options))


def handed(session: Session) -> dict[int, tuple[View, np.ndarray | None]]:
    """By frame: through which view it was tracked, and what was handed to it."""
    assert isinstance(session.engine, Told)
    return {index: (view, share) for index, view, share in session.engine.handed}


def test_every_frame_is_handed_the_mask_before_where_its_window_was_placed(
    told: MakeSession,
) -> None:
    centres = [(60.0 + 2 * t, 50.0 + 4 * t) for t in range(8)]
    session = told(discs([[c] for c in centres], SHAPE, radius=9))
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    given = handed(session)
    assert sorted(given) == list(range(1, 8))
    for t, (_, share) in given.items():
        assert share is not None and share.shape == (48, 48)
        y, x = (float(v) for v in np.argwhere(share > 0.5).mean(axis=0))
        assert (y, x) == pytest.approx((23.5, 23.5), abs=2), "placed on the object, as it was"
        assert share.sum() / 48**2 == pytest.approx(np.pi / 4 / 6**2, rel=0.2), t


def test_nothing_is_handed_over_where_the_object_was_not_seen(told: MakeSession) -> None:
    centres = [(100.0, 60.0)] * 3 + [(-50.0, -50.0)] * 2 + [(100.0, 66.0)] * 3
    session = told(discs([[c] for c in centres], SHAPE))
    session.add_points(1, 0, points=centres[0])
    run(session.propagate())
    given = handed(session)
    assert [t for t in given if given[t][1] is None] == [4, 5]


def test_networks_that_do_not_hand_over_are_handed_nothing(told: MakeSession) -> None:
    session = told(discs([[(100, 60)]] * 4, SHAPE), model=tiny.shared_fine())
    session.add_points(1, 0, points=(100, 60))
    run(session.propagate())
    assert all(share is None for _, share in handed(session).values())


def test_a_pass_that_goes_on_is_handed_what_the_pass_before_it_left(told: MakeSession) -> None:
    centres = [(60.0 + 2 * t, 50.0 + 4 * t) for t in range(8)]
    movie = discs([[c] for c in centres], SHAPE, radius=9)
    whole = told(movie)
    whole.add_points(1, 0, points=centres[0])
    run(whole.propagate())
    parts = told(movie)
    parts.add_points(1, 0, points=centres[0])
    run(parts.propagate(frames=range(4)))
    run(parts.propagate(frames=range(4, 8)))
    for t, (view, share) in handed(whole).items():
        assert handed(parts)[t][0] == view
        np.testing.assert_array_equal(handed(parts)[t][1], share)


def test_after_a_painted_frame_the_painted_mask_is_handed_over(told: MakeSession) -> None:
    session = told(discs([[(100, 60)]] * 6, SHAPE))
    session.add_points(1, 0, points=(100, 60))
    run(session.propagate())
    painted = np.zeros(SHAPE, bool)
    painted[96:104, 56:64] = True
    session.add_mask(1, 3, mask=painted)
    session.engine.handed.clear()  # type: ignore[attr-defined]
    run(session.propagate(frames=range(4, 6)))
    view, share = handed(session)[4]
    assert share is not None
    assert share.sum() * (view.height / 48) ** 2 == pytest.approx(64, rel=1e-3)


# ---- the engine --------------------------------------------------------------------------------


def test_batches_with_and_without_masks_give_what_each_gives_alone() -> None:
    engine = Engine(tiny.build(fine_dim=4))
    source = FrameSource(noise(), Contrast(0, 255), 64)
    views = [View(0, 0, 32, 32), View(4, 8, 32, 32), View(8, 16, 32, 32)]
    features = engine.encode(source, 3, views)
    prompts = engine.click(features, views, np.array([[16.0, 16], [20, 24], [24, 30]]))
    banks = [engine_bank(engine, f, a) for f, a in zip(features, prompts, strict=True)]
    recalled = [(b, b.filter(1, f)) for b, f in zip(banks, features, strict=True)]
    shares = [None, square(8, 12, 12).shown(views[1], 16), square(20, 24, 8).shown(views[2], 16)]
    together = engine.track(features, views, recalled, [None] * 3, shares)  # type: ignore[arg-type]
    bare = engine.track(features, views, recalled, [None] * 3)  # type: ignore[arg-type]
    for i, answer in enumerate(together):
        one = engine.track([features[i]], [views[i]], [recalled[i]], [None], [shares[i]])[0]  # type: ignore[list-item]
        torch.testing.assert_close(answer.stored, one.stored, atol=2e-3, rtol=1e-3)
        same = torch.allclose(answer.stored, bare[i].stored, atol=1e-2)
        assert same == (shares[i] is None)


def engine_bank(engine: Engine, feature: Tensor, answer: Answer) -> Any:
    from napari_sam_i2v.propagation.memory_bank import MemoryBank

    bank = MemoryBank(engine.config)
    bank.remember(0, engine.remember([feature], [answer], prompted=True)[0], prompted=True)
    return bank
