"""World coordinates become data coordinates in one place; here is what it must get right."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image, Points

from napari_sam_i2v.errors import MovieError, PromptError
from napari_sam_i2v.widget.layers import (
    Clicks,
    contrast_limits,
    movie_array,
    read_clicks,
    resolve_axes,
)

ORIGIN = (0.0, 0.0, 0.0)


def clicks_on(image: Image, *layers: Points, at=None) -> tuple[Clicks, ...]:
    return read_clicks(image, resolve_axes(image, at or [0.0] * image.ndim), layers)


def test_one_object_per_point_without_features(movie):
    got = clicks_on(Image(movie), Points([[0, 3, 4], [2, 5.5, 6]]))
    assert got == (Clicks(1, 0, ((3, 4),), (1,)), Clicks(2, 2, ((5.5, 6),), (1,)))


def test_features_group_points_by_object_and_frame(movie):
    points = Points(
        [[0, 3, 4], [0, 5, 6], [0, 7, 8], [1, 9, 9]],
        features={"object_id": [7, 7, 3, 7], "label": [1, 0, 1, 0]},
    )
    assert clicks_on(Image(movie), points) == (
        Clicks(3, 0, ((7, 8),), (1,)),
        Clicks(7, 0, ((3, 4), (5, 6)), (1, 0)),
        Clicks(7, 1, ((9, 9),), (0,)),
    )


def test_points_without_id_are_numbered_after_all_ids(movie):
    plain = Points([[0, 1, 1], [0, 2, 2]])
    numbered = Points([[0, 3, 3], [0, 4, 4]], features={"object_id": [5, np.nan]})
    got = {c.object_id: c.points[0] for c in clicks_on(Image(movie), plain, numbered)}
    assert got == {5: (3, 3), 6: (1, 1), 7: (2, 2), 8: (4, 4)}


def test_scale_and_translate_of_both_layers_count(movie):
    image = Image(movie, scale=(10, 0.5, 0.25), translate=(100, 7, -3))
    # Clicked in a layer that has a transform of its own, as napari's “new points” button makes.
    world = np.array([100 + 10 * 2, 7 + 0.5 * 11, -3 + 0.25 * 13])
    points = Points([(world - 1) / 2], scale=(2, 2, 2), translate=(1, 1, 1))
    (got,) = clicks_on(image, points)
    assert (got.frame, got.points) == (2, ((11.0, 13.0),))


def test_multiscale_uses_full_resolution(movie):
    image = Image([movie, movie[:, ::2, ::2]], multiscale=True)
    axes = resolve_axes(image, ORIGIN)
    assert axes.shape == movie.shape
    assert np.array_equal(movie_array(image, axes)[1], movie[1])
    assert clicks_on(image, Points([[1, 29, 39]]))[0].points == ((29, 39),)


def test_rgb_keeps_its_colours_and_has_no_contrast():
    image = Image(np.zeros((4, 20, 30, 3), np.uint8), rgb=True)
    axes = resolve_axes(image, ORIGIN)
    assert axes.shape == (4, 20, 30)
    assert movie_array(image, axes).shape == (4, 20, 30, 3)
    assert contrast_limits(image) is None


def test_contrast_is_the_layers(movie):
    assert contrast_limits(Image(movie, contrast_limits=(100, 900))) == (100.0, 900.0)


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array, zarr.array])
def test_extra_axes_stay_where_the_sliders_are(wrap):
    stack = np.random.default_rng(0).integers(0, 99, (5, 3, 8, 9))
    image = Image(wrap(stack), scale=(1, 4, 1, 1), axis_labels=("t", "z", "y", "x"))
    axes = resolve_axes(image, (0, 8, 0, 0))
    assert axes.fixed == {1: 2}
    assert np.array_equal(np.asarray(movie_array(image, axes)[3]), stack[3, 2])
    (got,) = clicks_on(image, Points([[4, 2, 5, 6]], scale=(1, 4, 1, 1)), at=(0, 8, 0, 0))
    assert got == Clicks(1, 4, ((5, 6),), (1,))


def test_time_is_found_by_its_label():
    stack = np.arange(2 * 5 * 4 * 4).reshape(2, 5, 4, 4)
    image = Image(stack, axis_labels=("c", "t", "y", "x"))
    axes = resolve_axes(image, (1, 0, 0, 0))
    assert (axes.time, axes.fixed, axes.shape) == (1, {0: 1}, (5, 4, 4))
    assert np.array_equal(movie_array(image, axes)[3], stack[1, 3])


def test_picture_without_time_is_refused():
    with pytest.raises(MovieError, match="single picture"):
        resolve_axes(Image(np.zeros((20, 30))), (0, 0))


def test_time_among_rows_and_columns_is_refused() -> None:
    layer = Image(np.zeros((20, 30, 4)), axis_labels=("y", "x", "time"))
    with pytest.raises(MovieError, match="More ▸ Axes…"):
        resolve_axes(layer, ORIGIN)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_layer_without_frames_is_refused() -> None:
    with pytest.raises(MovieError, match=r"shape \(0, 20, 30\) is empty"):
        resolve_axes(Image(np.zeros((0, 20, 30), np.uint8)), ORIGIN)


@pytest.mark.parametrize(
    ("points", "features", "message"),
    [
        ([[6, 3, 4]], {}, "outside the movie of 6 frames of 30 × 40"),
        ([[0, 30, 4]], {}, "point 1 .* outside"),
        ([[0, 3, 4], [-1, 3, 4]], {}, "point 2 .* outside"),
        ([[3, 4]], {}, "needs 3"),
        ([[0, 3, 4]], {"object_id": [0]}, "whole number from 1"),
        ([[0, 3, 4]], {"object_id": ["cell"]}, "it is 'cell'"),
        ([[0, 3, 4]], {"object_id": [1], "label": [2]}, "from 0 to 1"),
        ([[0, 3, 4]], {"label": [0]}, "no object_id"),
    ],
)
def test_unusable_points_are_named(movie, points, features, message):
    with pytest.raises(PromptError, match=message):
        clicks_on(Image(movie), Points(points, features=features))


def test_points_of_another_plane_are_refused():
    image = Image(np.zeros((5, 3, 8, 9)), axis_labels=("t", "z", "y", "x"))
    with pytest.raises(PromptError, match=r"at 1 on axis “z”, the slider is at 0"):
        clicks_on(image, Points([[0, 1, 2, 2]]))


def test_border_clicks_stay_inside(movie):
    assert clicks_on(Image(movie), Points([[0, -0.4, 39.4]]))[0].points == ((0.0, 39.0),)
