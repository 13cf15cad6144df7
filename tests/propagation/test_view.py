"""Windows lie inside the frame, hold their object, and map points there and back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.propagation.view import (
    MIN_SIDE,
    View,
    bounding_box,
    box_overlap,
    box_size,
    click_views,
    place,
    steady,
    window,
)


def inside(view: View, shape: tuple[int, int]) -> bool:
    return (
        view.height > 0
        and view.width > 0
        and 0 <= view.y <= shape[0] - view.height
        and 0 <= view.x <= shape[1] - view.width
    )


def cases(count: int = 400) -> list[tuple[tuple[int, int], np.random.Generator]]:
    rng = np.random.default_rng(0)
    return [((int(rng.integers(1, 400)), int(rng.integers(1, 400))), rng) for _ in range(count)]


def test_windows_lie_inside_the_frame() -> None:
    for shape, rng in cases():
        centre = rng.uniform(-100, 500, 2)
        side = float(rng.uniform(0, 800))
        view = window(centre, side, shape)
        assert inside(view, shape), (shape, centre, side, view)
        for own, extent in zip((view.height, view.width), shape, strict=True):
            assert own == round(min(max(side, MIN_SIDE), extent))


def test_windows_are_centred_where_there_is_room() -> None:
    view = window((100, 60.5), 40, (200, 200))
    assert view == View(80, 40, 40, 40)


def test_windows_hold_their_centre() -> None:
    for shape, rng in cases():
        y, x = rng.uniform(0, shape)
        view = window((y, x), float(rng.uniform(1, 300)), shape)
        assert view.y - 0.5 <= y <= view.y + view.height + 0.5
        assert view.x - 0.5 <= x <= view.x + view.width + 0.5


def test_click_views_lie_inside_and_end_with_the_whole_frame() -> None:
    for shape, rng in cases(200):
        centre = rng.uniform((0, 0), shape)
        views = click_views(centre, shape)
        assert all(inside(view, shape) for view in views)
        assert views[-1] == View.whole(shape)
        sides = [max(view.height, view.width) for view in views]
        assert sides == sorted(sides)
        assert len(views) <= 7


@pytest.mark.parametrize("mode", ["auto", "frame", "follow"])
def test_placed_views_lie_inside_the_frame(mode: str) -> None:
    for shape, rng in cases():
        y0, x0 = rng.uniform((-20, -20), shape)
        height, width = rng.uniform(0.1, 300, 2)
        box = (y0, x0, y0 + height, x0 + width)
        view = place(box, shape, scale=2.5, below=0.3, mode=mode)  # type: ignore[arg-type]
        assert inside(view, shape)
        small = box_size(box) < 0.3 * max(shape)
        if mode == "frame" or (mode == "auto" and not small):
            assert view == View.whole(shape)


@pytest.mark.parametrize("shape", [(64, 1000), (1000, 64)])
def test_in_a_strip_small_things_are_seen_through_windows(shape: tuple[int, int]) -> None:
    """The whole strip would be squeezed to a square, and a disc to a line."""
    centre = (shape[0] / 2, shape[1] / 2)
    box = (centre[0] - 10, centre[1] - 10, centre[0] + 10, centre[1] + 10)
    view = place(box, shape, scale=2.5, below=0.3)
    assert (view.height, view.width) == (50, 50)
    sides = [max(view.height, view.width) for view in click_views(centre, shape)]
    assert sides == [40, 80, 160, 320, 640, 1000]


def test_placed_windows_hold_their_object() -> None:
    box = (10, 100, 30, 112)
    view = place(box, (200, 200), scale=2.5, below=0.3)
    assert (view.height, view.width) == (50, 50)
    assert view.y <= 10
    assert view.y + view.height >= 30
    assert view.x <= 100
    assert view.x + view.width >= 112


def test_points_map_to_network_pixels() -> None:
    view = View(10, 20, 40, 80)
    xy = view.to_network(np.array([[10, 20], [50, 100], [30, 40]]), 64)
    np.testing.assert_allclose(xy, [[0, 0], [64, 64], [16, 32]])
    assert xy.dtype == np.float32


def test_points_map_back() -> None:
    for shape, rng in cases(100):
        view = window(rng.uniform((0, 0), shape), float(rng.uniform(1, 300)), shape)
        points = rng.uniform((0, 0), shape, (5, 2))
        xy = view.to_network(points, 192).astype(np.float64)
        back = xy[:, ::-1] / 192 * (view.height, view.width) + (view.y, view.x)
        np.testing.assert_allclose(back, points, atol=1e-3)


def test_boxes_on_a_grid_map_to_the_movie() -> None:
    view = View(10, 20, 40, 80)
    assert view.to_movie((0, 0, 16, 16), 16) == (10, 20, 50, 100)
    assert view.to_movie((4, 8, 6, 9), 16) == (20, 60, 25, 65)


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        ((0, 0, 4, 6), 1),
        ((0, 0, 2, 6), 0.5),
        ((2, 3, 6, 9), 1 / 7),
        ((4, 0, 8, 6), 0),
        ((9, 9, 9, 9), 0),
    ],
)
def test_boxes_overlap_as_much_as_they_share(other: tuple[int, ...], overlap: float) -> None:
    assert box_overlap((0, 0, 4, 6), other) == pytest.approx(overlap)
    assert box_overlap(other, (0, 0, 4, 6)) == pytest.approx(overlap)


def test_slices_cut_the_view_out() -> None:
    frame = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(frame[View(1, 2, 2, 3).slices], frame[1:3, 2:5])
    np.testing.assert_array_equal(frame[View.whole(frame.shape).slices], frame)


def test_bounding_box_is_tight() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        mask = rng.random((rng.integers(1, 12), rng.integers(1, 12))) < 0.1
        box = bounding_box(mask)
        if box is None:
            assert not mask.any()
            continue
        y0, x0, y1, x1 = box
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert all(side.any() for side in (mask[y0], mask[y1 - 1], mask[:, x0], mask[:, x1 - 1]))


def test_box_size_is_the_longer_side() -> None:
    assert box_size((2, 3, 5, 10)) == 7


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (View(50, 60, 40, 40), True),
        (View(51, 59, 40, 40), True),
        (View(52, 60, 40, 40), False),
        (View(50, 58, 40, 40), False),
        (View(49, 59, 42, 42), True),
        (View(48, 58, 44, 44), False),
        (View(52, 62, 36, 36), False),
        (View(0, 0, 200, 200), False),
    ],
)
def test_a_window_stays_where_it_is_nearly_right(wanted: View, kept: bool) -> None:
    view = View(50, 60, 40, 40)
    assert steady(view, wanted) == (view if kept else wanted)


def test_a_window_that_drifts_is_not_kept_for_ever() -> None:
    view = View(50, 60, 40, 40)
    for y in range(50, 80):
        view = steady(view, View(y, 60, 40, 40))
        assert abs(view.y - y) <= 1
