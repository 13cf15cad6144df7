"""The layers of clicks and boxes: read, shown, and each edit reported once."""

from __future__ import annotations

import re
import warnings

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes, Vectors
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from tests.widget.on_screen import drawn_canvas

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.widget.layers import resolve_axes
from napari_sam_i2v.widget.prompt_layers import PromptLayers, prompts_from_layer, same_rounds

SCALE, SHIFT = (10, 0.5, 0.25), (100, 7, -3)
COLOURS = {1: (1, 0.5, 0), 2: (0, 0.5, 1), 3: (0.5, 1, 0)}


def colour_of(object_id: int) -> np.ndarray:
    return np.array(COLOURS.get(object_id, (0.2, 0.2, 0.2)))


class Calls:
    """Counts the reports; `take` gives how many came since the last time."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1

    def take(self) -> int:
        count, self.count = self.count, 0
        return count


class Desk:
    """A movie with its layers of prompts in a viewer."""

    def __init__(self, viewer, data, **placed) -> None:
        self.viewer = viewer
        self.image = viewer.add_image(data, name="m", **placed)
        self.calls = Calls()
        self.layers = self.open()

    def open(self, folder: str | None = None) -> PromptLayers:
        axes = resolve_axes(self.image, self.viewer.dims.point)
        return PromptLayers(
            self.viewer, self.image, axes,
            folder=folder or f"{self.image.name}.sam-i2v", colour_of=colour_of,
            on_change=self.calls,
        )  # fmt: skip

    def click(self, *at: float) -> None:
        self.layers.points.add([at])

    def draw(self, frame: int, y0: float, x0: float, y1: float, x1: float) -> None:
        corners = ((y0, x0), (y0, x1), (y1, x1), (y1, x0))
        self.layers.boxes.add([[frame, *yx] for yx in corners])


def plain(rounds) -> dict:
    """Rounds as plain values: a box is a tuple of 4, a click (y, x, label)."""
    return {
        key: [p.box or (*p.points[0].tolist(), int(p.labels[0])) for p in prompts]
        for key, prompts in rounds.items()
    }


@pytest.fixture
def desk(movie) -> Desk:
    return Desk(ViewerModel(), movie, scale=SCALE, translate=SHIFT)


# -- reading and reporting -----------------------------------------------------------------------
def test_layers_lie_on_the_movie(desk):
    points, boxes = desk.layers.points, desk.layers.boxes
    assert (points.name, boxes.name) == ("m clicks", "m boxes")
    for layer in (points, boxes):
        assert np.array_equal(layer.scale, desk.image.scale)
        assert np.array_equal(layer.translate, desk.image.translate)
        assert layer.axis_labels == desk.image.axis_labels
        assert layer.units == desk.image.units
        assert layer.ndim == 3
    assert desk.layers.read() == {}


def test_clicks_belong_to_the_current_object(desk):
    desk.click(0, 3, 4)
    desk.layers.current_object = 2
    desk.click(1, 5, 6)
    desk.click(1, 7, 8)
    assert desk.calls.take() == 3
    assert plain(desk.layers.read()) == {
        (1, 0): [(3, 4, 1)],
        (2, 1): [(5, 6, 1), (7, 8, 1)],
    }
    assert desk.layers.problems == []


def test_choosing_an_object_changes_no_click(desk):
    desk.click(0, 3, 4)  # stays selected, as after a click on the canvas
    desk.layers.current_object = 2
    assert plain(desk.layers.read()) == {(1, 0): [(3, 4, 1)]}
    assert np.allclose(desk.layers.points.face_color[0], (*COLOURS[1], 1))
    desk.calls.take()
    desk.layers.points.selected_data = {0}  # napari takes the next click's features from it
    desk.click(0, 9, 9)
    assert (2, 0) in desk.layers.read()
    assert desk.calls.take() == 1


def test_box_comes_first_and_replaces_an_older_one(desk):
    desk.click(2, 12, 13)
    desk.draw(2, 1, 2, 5, 6)
    desk.draw(3, 1, 2, 5, 6)
    desk.draw(2, 10, 11, 20.5, 30.25)
    assert desk.calls.take() == 4
    assert plain(desk.layers.read()) == {
        (1, 3): [(1, 2, 5, 6)],
        (1, 2): [(10, 11, 20.5, 30.25), (12, 13, 1)],
    }
    assert desk.layers.boxes.nshapes == 2


def test_only_the_latest_box_counts(desk):
    desk.draw(0, 1, 2, 5, 6)
    desk.layers.current_object = 2
    desk.draw(0, 3, 4, 7, 8)
    desk.layers.boxes.features = {"object_id": [1, 1]}
    assert plain(desk.layers.read()) == {(1, 0): [(3, 4, 7, 8)]}


def test_each_edit_is_reported_once(desk):
    layers, calls = desk.layers, desk.calls
    for at in ((0, 3, 4), (0, 5, 6), (1, 7, 8)):
        desk.click(*at)
    assert calls.take() == 3
    layers.points.selected_data = {1}
    layers.points.remove_selected()
    assert calls.take() == 1
    layers.points.data = np.add(layers.points.data, (0, 1, 1))
    assert calls.take() == 1
    layers.points.features = {"object_id": [1, 3], "label": [1, 0]}
    assert calls.take() == 1
    assert plain(layers.read()) == {(1, 0): [(4, 5, 1)], (3, 1): [(8, 9, 0)]}
    layers.points.data = np.empty((0, 3))
    assert calls.take() == 1
    assert layers.read() == {}
    desk.draw(0, 1, 2, 5, 6)
    assert calls.take() == 1
    layers.boxes.selected_data = {0}
    layers.boxes.remove_selected()
    assert calls.take() == 1


def test_what_changes_no_prompt_is_not_reported(desk):
    desk.click(0, 3, 4)
    desk.click(0, 5, 6)
    desk.calls.take()
    desk.layers.points.selected_data = {0}
    desk.layers.points.size = 3
    desk.layers.points.mode = "select"
    desk.layers.points.name = "renamed"
    desk.viewer.dims.set_point(0, 120)
    desk.layers.recolour()
    desk.layers.arm("box")
    desk.layers.current_object = 3
    desk.layers.points.features = desk.layers.points.features.copy()
    assert desk.calls.take() == 0


def test_report_may_replace_the_content(desk):
    desk.layers._on_change = lambda: desk.layers.show([])  # the edit is refused
    desk.click(0, 3, 4)
    assert len(desk.layers.points.data) == 0
    desk.draw(0, 1, 2, 5, 6)
    assert desk.layers.read() == {}


def test_clicks_read_in_pixels_whatever_the_transform(movie):
    desk = Desk(ViewerModel(), movie, scale=SCALE, translate=SHIFT, rotate=30, shear=(0, 0, 0.1))
    points = desk.layers.points
    assert np.allclose(points.data_to_world((2, 3, 4)), desk.image.data_to_world((2, 3, 4)))
    desk.click(2, 3, 4)
    assert plain(desk.layers.read()) == {(1, 2): [(3, 4, 1)]}
    desk.image.translate = (100, 8, -3)  # 2 pixels down: the click stays where it was drawn
    desk.image.rotate, desk.image.shear = (0, 0, 0), (0, 0, 0)
    points.rotate, points.shear = (0, 0, 0), (0, 0, 0)
    assert plain(desk.layers.read()) == {(1, 2): [(1, 4, 1)]}


def test_borders_belong_to_the_movie(desk):
    desk.click(5, -0.4, 39.4)
    desk.draw(5, -3, -3, 4, 99)
    assert plain(desk.layers.read()) == {(1, 5): [(0, 0, 4, 39), (0, 39, 1)]}
    assert desk.layers.problems == []


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"object_id": [1, 0]}, "object_id of point 2 must be a whole number"),
        ({"object_id": [1, np.nan]}, "object_id of point 2 must be a whole number"),
        ({"label": [1, 2]}, "label of point 2 must be"),
    ],
)
def test_unusable_clicks_are_named_and_left_out(desk, features, problem):
    desk.click(0, 1, 1)
    desk.click(0, 3, 4)
    desk.layers.points.features = {"object_id": [1, 1], "label": [1, 1]} | features
    assert plain(desk.layers.read()) == {(1, 0): [(1, 1, 1)]}
    (got,) = desk.layers.problems
    assert re.search(problem, got)
    desk.layers.points.remove([1])
    desk.layers.read()
    assert desk.layers.problems == []


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (
            (0, 30, 4),
            r"The new click .* outside the movie of .* pixels\. Click on the movie\.$",
        ),
        ((6, 3, 4), r"The new click \(frame 6\) lies outside"),
        ((0, np.nan, 4), "The new click .* not a number"),
    ],
)
def test_a_new_click_that_is_none_is_taken_away_and_said_once(desk, at, problem):
    desk.click(0, 1, 1)
    desk.calls.take()
    desk.layers.points.add([at, at])
    assert desk.calls.take() == 1  # to be told what is wrong
    assert plain(desk.layers.read()) == {(1, 0): [(1, 1, 1)]}
    (said,) = desk.layers.problems
    assert re.search(problem, said)
    assert len(desk.layers.points.data) == 1
    desk.click(0, 2, 2)
    assert desk.calls.take() == 1
    assert plain(desk.layers.read()) == {(1, 0): [(1, 1, 1), (2, 2, 1)]}
    assert desk.layers.problems == []


def test_a_click_moved_outside_stays_where_it_was(desk):
    desk.click(0, 1, 1)
    desk.layers.current_object = 2
    desk.click(0, 3, 4)
    desk.calls.take()
    desk.layers.points.data = [[0, 2, 2], [0, -9, 4]]
    assert desk.calls.take() == 2  # what is wrong, and that the other one was moved
    assert plain(desk.layers.read()) == {(1, 0): [(2, 2, 1)], (2, 0): [(3, 4, 1)]}
    (said,) = desk.layers.problems
    assert re.match(r"Click 2 \(object 2\) \(y -9.0, .* It stays where it was\.$", said)
    desk.layers.read()
    assert desk.layers.problems == []


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ((40, 1, 50, 9), "outside the movie"),
        ((3, 4, 3.5, 20), "at least 1 × 1"),
        ((-9, 4, -0.6, 20), "outside the movie"),
    ],
)
def test_a_box_moved_to_where_it_is_none_stays_where_it_was(desk, box, problem):
    desk.draw(0, 1, 2, 5, 6)
    desk.layers.current_object = 2
    desk.draw(0, 3, 4, 9, 9)
    desk.calls.take()
    y0, x0, y1, x1 = box
    moved = [(0, y0, x0), (0, y0, x1), (0, y1, x1), (0, y1, x0)]
    desk.layers.boxes.data = [desk.layers.boxes.data[0], moved]
    assert desk.calls.take() == 1
    assert plain(desk.layers.read()) == {(1, 0): [(1, 2, 5, 6)], (2, 0): [(3, 4, 9, 9)]}
    (said,) = desk.layers.problems
    assert "Box 2 (object 2)" in said
    assert problem in said
    assert "or delete" not in said
    assert np.allclose(desk.layers.boxes.edge_color[1], (*COLOURS[2], 1))
    desk.draw(0, 4, 4, 9, 9)  # and it is the same box still
    assert plain(desk.layers.read())[2, 0] == [(4, 4, 9, 9)]
    assert desk.layers.problems == []


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ((40, 1, 50, 9), r"The new box \(.*\) lies outside .* pixels\. Draw it on the movie\.$"),
        ((3, 4, 3.5, 20), r"The new box is 0\.5 × 16\.0 .* at least 1 × 1\. Draw it larger\.$"),
    ],
)
def test_a_new_box_that_is_none_takes_no_other_one_s_place(desk, box, problem):
    desk.draw(0, 1, 2, 5, 6)
    desk.calls.take()
    desk.draw(0, *box)
    assert desk.calls.take() == 1  # to be told what is wrong
    assert plain(desk.layers.read()) == {(1, 0): [(1, 2, 5, 6)]}
    (said,) = desk.layers.problems
    assert re.search(problem, said)
    assert desk.layers.boxes.nshapes == 1
    desk.layers.read()
    assert desk.layers.problems == []
    desk.draw(0, 2, 3, 6, 7)
    assert plain(desk.layers.read()) == {(1, 0): [(2, 3, 6, 7)]}


def test_lines_are_no_boxes(desk):
    desk.layers.boxes.add([[0, 1, 1], [0, 9, 9]], shape_type="line")
    assert desk.layers.read() == {}
    assert "is a line" in desk.layers.problems[0]


def test_other_planes_are_left_out():
    stack = np.zeros((5, 3, 20, 30), np.uint8)
    desk = Desk(ViewerModel(), stack, axis_labels=("t", "z", "y", "x"), scale=(1, 4, 1, 1))
    desk.viewer.dims.set_point(1, 4)
    desk.layers.detach()
    desk.viewer.layers.remove(desk.layers.points)
    desk.layers = desk.open()  # of z = 1
    desk.click(4, 1, 5, 6)
    desk.click(4, 2, 7, 8)
    assert plain(desk.layers.read()) == {(1, 4): [(5, 6, 1)]}
    assert "lies at 2 on axis “z”" in desk.layers.problems[0]
    desk.layers.show([Prompt(2, 3, points=np.array([(9, 10)]))])
    assert desk.layers.points.data.tolist() == [[3, 1, 9, 10]]


# -- showing -------------------------------------------------------------------------------------
def some_prompts() -> list[Prompt]:
    return [
        Prompt(2, 1, points=np.array([(3.14159, 4), (5, 6)]), labels=np.array([1, 0])),
        Prompt(2, 1, box=(1 / 3, 2, 10.5, 20.25)),
        Prompt(2, 1, points=np.array([(7.005, 8)]), labels=np.array([0])),
        Prompt(3, 4, mask=np.ones((30, 40), bool)),
        Prompt(3, 4, points=np.array([(9, 9)])),
        Prompt(1, 0, points=np.array([(29, 39), (0, 0)])),
    ]


def test_shown_prompts_are_read_again(desk):
    desk.click(0, 3, 4)
    desk.draw(0, 1, 2, 5, 6)
    desk.calls.take()
    desk.layers.show(some_prompts())
    read = desk.layers.read()
    assert set(read) == {(2, 1), (3, 4), (1, 0)}
    # The box started the frame over; masks are no click.
    assert same_rounds(read[2, 1], some_prompts()[1:3])
    assert same_rounds(read[3, 4], some_prompts()[4:5])
    assert same_rounds(read[1, 0], some_prompts()[5:])
    assert desk.calls.take() == 0
    desk.click(1, 2, 2)
    assert desk.calls.take() == 1
    assert plain(desk.layers.read())[1, 1] == [(2, 2, 1)]


def test_showing_nothing_empties_the_layers(desk):
    desk.layers.show(some_prompts())
    desk.layers.show([])
    assert desk.layers.read() == {}
    assert len(desk.layers.points.data) == desk.layers.boxes.nshapes == 0
    assert desk.calls.take() == 0


def test_showing_the_same_keeps_the_selection(desk):
    desk.layers.show(some_prompts())
    desk.layers.points.selected_data = {1}
    desk.layers.show(some_prompts())
    assert set(desk.layers.points.selected_data) == {1}
    desk.layers.show(some_prompts()[:1])
    assert set(desk.layers.points.selected_data) == set()


def test_same_rounds_sees_differences():
    a = Prompt(1, 0, points=np.array([(1, 2), (3, 4)]), labels=np.array([1, 0]))
    first, second = (Prompt(1, 0, points=a.points[[i]], labels=a.labels[[i]]) for i in (0, 1))
    box = Prompt(1, 0, box=(1, 2, 3, 4))
    assert same_rounds([a], [first, second])
    assert not same_rounds([a], [second, first])
    assert not same_rounds([a], [first])
    assert not same_rounds([box], [Prompt(1, 0, box=(1, 2, 3, 4.02))])
    assert not same_rounds([box], [box, first])


def test_drop_takes_an_object_away_unreported(desk):
    desk.layers.show(some_prompts())
    desk.layers.drop(2, 0)  # nothing there
    assert len(desk.layers.read()) == 3
    desk.layers.drop(1)
    assert set(desk.layers.read()) == {(2, 1), (3, 4)}
    desk.layers.drop(2, 1)
    assert set(desk.layers.read()) == {(3, 4)}
    assert desk.layers.boxes.nshapes == 0
    assert desk.calls.take() == 0


def test_colours_and_symbols_tell_clicks_apart(desk):
    desk.layers.show(some_prompts())
    points = desk.layers.points
    assert [str(s) for s in points.symbol] == ["cross", "disc", "disc", "disc"]
    assert points.border_color[0].tolist() == [1, 0, 0, 1]
    assert points.border_color[1].tolist() == [1, 1, 1, 1]
    assert np.allclose(points.face_color[:, :3], [COLOURS[i] for i in (2, 3, 1, 1)])
    assert np.allclose(desk.layers.boxes.edge_color[0, :3], COLOURS[2])
    assert desk.layers.boxes.face_color[0, 3] == 0


def test_recolour_asks_for_the_colours_again(desk, monkeypatch):
    desk.click(0, 3, 4)
    desk.draw(0, 1, 2, 5, 6)
    monkeypatch.setitem(COLOURS, 1, (0.1, 0.2, 0.3))
    desk.layers.recolour()
    assert np.allclose(desk.layers.points.face_color[0], (0.1, 0.2, 0.3, 1))
    assert np.allclose(desk.layers.boxes.edge_color[0], (0.1, 0.2, 0.3, 1))


# -- tools ---------------------------------------------------------------------------------------
def test_arming(desk):
    active = desk.viewer.layers.selection
    assert "m boxes" not in desk.viewer.layers
    desk.layers.arm("point")
    assert active.active == desk.layers.points
    assert desk.layers.points.mode == "add"
    desk.layers.arm("box")
    assert active.active == desk.layers.boxes
    assert (desk.layers.points.mode, desk.layers.boxes.mode) == ("pan_zoom", "add_rectangle")
    desk.layers.arm(None)
    assert desk.layers.boxes.mode == "pan_zoom"


def test_arming_brings_a_layer_back(desk):
    desk.click(0, 3, 4)
    desk.layers.points.visible = False
    desk.viewer.layers.remove(desk.layers.points)
    desk.layers.arm("point")
    assert desk.layers.points in desk.viewer.layers
    assert desk.layers.points.mode == "add"
    assert len(desk.layers.read()) == 1


def test_new_layers_leave_the_active_one_alone(desk):
    desk.viewer.layers.selection.active = desk.image
    assert desk.layers.boxes in desk.viewer.layers
    assert desk.viewer.layers.selection.active == desk.image


def test_detached_layers_are_taken_up_again(desk):
    desk.click(0, 3, 4)
    desk.draw(0, 1, 2, 5, 6)
    desk.calls.take()
    old = desk.layers
    old.arm("point")
    old.detach()
    assert old.points.mode == "pan_zoom"
    assert not old.points.editable and not old.boxes.editable
    old.points.mode = "add"
    assert old.points.mode == "pan_zoom"
    desk.click(0, 5, 6)
    assert desk.calls.take() == 0
    desk.layers = desk.open()
    assert desk.layers.points == old.points
    assert desk.layers.boxes == old.boxes
    assert old.points.editable and old.boxes.editable
    assert len(desk.viewer.layers) == 3
    assert len(desk.layers.read()[1, 0]) == 3
    desk.click(1, 5, 6)
    assert desk.calls.take() == 1


def test_two_sessions_of_a_movie_have_layers_of_their_own(desk):
    desk.click(0, 3, 4)
    desk.draw(0, 1, 2, 5, 6)
    other = desk.open("other.sam-i2v")
    assert not other.read()
    assert len(desk.layers.read()[1, 0]) == 2


def test_layers_that_are_taken_up_again_lie_where_the_movie_lies_now(desk):
    desk.click(0, 3, 4)
    desk.draw(0, 1, 2, 5, 6)
    desk.layers.detach()
    desk.image.scale, desk.image.translate = (5, 2, 2), (0, 10, 0)
    layers = desk.open()
    for layer in layers.layers:
        np.testing.assert_array_equal(layer.scale, (5, 2, 2))
        np.testing.assert_array_equal(layer.translate, (0, 10, 0))
    assert plain(layers.read()) == {(1, 0): [(1, 2, 5, 6), (3, 4, 1)]}


def test_two_movies_have_layers_of_their_own(desk):
    other = Desk(desk.viewer, np.zeros((2, 10, 10)))
    assert other.layers.points != desk.layers.points
    other.click(0, 1, 1)
    assert (other.calls.take(), desk.calls.take()) == (1, 0)


# -- layers from before --------------------------------------------------------------------------
def given(image: Image, layer, *, frame: int = 2, taken=(), at=None) -> list[Prompt]:
    axes = resolve_axes(image, at or [0.0] * image.ndim)
    return prompts_from_layer(image, axes, layer, frame=frame, taken=taken)


def flat(prompts) -> list[tuple]:
    return [(p.object_id, p.frame, p.points.tolist(), p.labels.tolist()) for p in prompts]


def test_points_become_objects_after_those_that_are_taken(movie):
    got = given(Image(movie), Points([[0, 3, 4], [2, 5, 6]]), taken={1, 7})
    assert flat(got) == [(8, 0, [[3, 4]], [1]), (9, 2, [[5, 6]], [1])]


def test_points_with_features_keep_their_objects(movie):
    points = Points(
        [[0, 3, 4], [0, 5, 6], [1, 7, 8]],
        features={"object_id": [7, 7, np.nan], "label": [1, 0, 1]},
    )
    got = given(Image(movie), points, taken={7, 2})
    assert flat(got) == [(7, 0, [[3, 4], [5, 6]], [1, 0]), (8, 1, [[7, 8]], [1])]


def test_points_are_converted_through_the_world(movie):
    image = Image(movie, scale=SCALE, translate=SHIFT)
    world = np.array([image.data_to_world((2, 11, 13))])
    got = given(image, Points((world - 1) / 2, scale=(2, 2, 2), translate=(1, 1, 1)))
    assert flat(got) == [(1, 2, [[11, 13]], [1])]


def test_flat_layers_go_to_the_frame(movie):
    image = Image(movie, scale=SCALE, translate=SHIFT)
    world = np.array([image.data_to_world((0, 11, 13))[1:]])
    assert flat(given(image, Points(world), frame=4)) == [(1, 4, [[11, 13]], [1])]
    box = Shapes(np.array([[8, 0], [8, 2], [12, 2], [12, 0]]))
    (got,) = given(image, box, frame=4)
    assert (got.frame, got.box) == (4, (2, 12, 10, 20))


def test_shapes_become_boxes(movie):
    shapes = Shapes(
        [
            np.array([[1, 2, 3], [1, 2, 9], [1, 8, 9], [1, 8, 3]]),
            np.array([[3, 2, 3], [3, 9, 5], [3, 4, 12]]),
            np.array([[0, 2, 3], [0, 2, 9], [0, 8, 9], [0, 8, 3]]),
        ],
        shape_type=["rectangle", "polygon", "ellipse"],
        features={"object_id": [5, None, 5]},
    )
    got = [(p.object_id, p.frame, p.box) for p in given(Image(movie), shapes, taken={9})]
    assert got == [(5, 1, (2, 3, 8, 9)), (10, 3, (2, 3, 9, 12)), (5, 0, (2, 3, 8, 9))]


def squares(shape=(30, 40), **corners) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for name, (y, x) in corners.items():
        labels[y : y + 5, x : x + 5] = int(name[1:])
    return labels


class Recorded:
    """An array which notes what is read of it, like a zarr array on a slow disk."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.read = data, []
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __getitem__(self, index):
        out = self.data[index]
        self.read.append(out.size)
        return out


def test_labels_become_masks(movie):
    plane = squares(n3=(2, 4), n70000=(10, 20), n5=(20, 30))
    got = {p.object_id: p for p in given(Image(movie), Labels(plane), taken={5, 8})}
    assert set(got) == {3, 9, 10}  # 5 is taken and 70,000 too high
    assert np.array_equal(got[3].mask, plane == 3)
    assert np.array_equal(got[9].mask, plane == 5)
    assert np.array_equal(got[10].mask, plane == 70000)
    assert {p.frame for p in got.values()} == {2}


@pytest.mark.parametrize("wrap", [np.asarray, da.from_array])
def test_labels_of_the_frame_are_used(movie, wrap):
    stack = np.zeros(movie.shape, np.uint16)
    stack[2] = squares(n1=(3, 3))
    stack[4] = squares(n2=(3, 3))
    (got,) = given(Image(movie), Labels(wrap(stack)), frame=4)
    assert (got.object_id, got.frame, int(got.mask.sum())) == (2, 4, 25)


def test_one_plane_of_labels_is_read(movie):
    stack = np.zeros(movie.shape, np.uint16)
    stack[2] = squares(n1=(3, 3))
    layer = Labels(stack)
    recorded = Recorded(stack)
    layer.data = recorded
    recorded.read.clear()
    assert len(given(Image(movie), layer)) == 1
    assert recorded.read == [30 * 40]


def test_multiscale_labels_use_full_resolution(movie):
    plane = squares(n1=(3, 3))
    stack = np.stack([plane] * 6)
    layer = Labels([stack, stack[:, ::2, ::2]], multiscale=True)
    assert int(given(Image(movie), layer)[0].mask.sum()) == 25


def test_coarse_labels_are_resampled_through_the_world(movie):
    image = Image(movie, scale=SCALE, translate=SHIFT)
    coarse = np.zeros((15, 20), np.uint8)
    coarse[3:5, 6:9] = 1
    # Two movie pixels wide each: centres lie half a movie pixel further on.
    layer = Labels(coarse, scale=(1, 0.5), translate=(7.25, -2.875))
    (got,) = given(image, layer)
    assert np.argwhere(got.mask).min(axis=0).tolist() == [6, 12]
    assert np.argwhere(got.mask).max(axis=0).tolist() == [9, 17]
    assert int(got.mask.sum()) == 24


def test_a_cut_out_of_labels_lands_where_it_lies(movie):
    (got,) = given(Image(movie), Labels(np.ones((4, 3), int), translate=(28, -1)))
    expected = np.zeros((30, 40), bool)
    expected[28:, :2] = True
    assert np.array_equal(got.mask, expected)


def test_turned_labels_are_resampled(movie):
    plane = squares((40, 30), n1=(3, 20))
    # (y, x) of the labels is (x, 29 - y) of the movie.
    layer = Labels(plane, affine=np.array([[0, -1, 29], [1, 0, 0], [0, 0, 1]]))
    (got,) = given(Image(movie), layer)
    assert np.array_equal(got.mask, np.rot90(plane == 1))


def test_labels_of_a_fixed_plane():
    image = Image(np.zeros((5, 3, 30, 40)), axis_labels=("t", "z", "y", "x"), scale=(1, 4, 1, 1))
    stack = np.zeros((5, 3, 30, 40), np.uint8)
    stack[3, 2] = squares(n4=(3, 3))
    layer = Labels(stack, scale=(1, 4, 1, 1))
    (got,) = given(image, layer, frame=3, at=(0, 8, 0, 0))
    assert (got.object_id, got.mask.shape) == (4, (30, 40))
    with pytest.raises(PromptError, match="no labels where frame 3"):
        given(image, layer, frame=3, at=(0, 4, 0, 0))


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (Points(ndim=3), PromptError, "is empty"),
        (Shapes(ndim=3), PromptError, "is empty"),
        (Points([[0, 30, 4]]), PromptError, "point 1 .* outside the movie"),
        (Points([[0, 1, 1]], features={"label": [0]}), PromptError, "no object_id"),
        (Points([[0, 1, 1]], features={"object_id": ["a"]}), PromptError, "whole number"),
        (Shapes(np.array([[0, 1, 1], [0, 9, 9]]), shape_type="line"), PromptError, "is a line"),
        (Shapes(np.array([[0, 1, 1], [3, 1, 9], [0, 9, 9], [3, 9, 1]])), PromptError, "several"),
        (Labels(np.zeros((30, 40), int)), PromptError, "no labels where frame 2"),
        (Labels(np.ones((2, 30, 40), int)), PromptError, "nothing on frame 2"),
        (Labels(np.ones((1, 6, 30, 40), int)), PromptError, "has 4 axes"),
        (Labels(np.ones((6, 30, 40), int), rotate=(10, 20, 30)), PromptError, "tilted"),
        (Vectors(np.zeros((1, 2, 3))), InputError, "Points, Shapes or Labels"),
    ],
)
def test_unusable_layers_are_refused(movie, layer, error, message):
    with pytest.raises(error, match=message):
        given(Image(movie), layer)


def test_points_of_too_few_axes_are_refused():
    image = Image(np.zeros((5, 3, 8, 9)), axis_labels=("t", "z", "y", "x"))
    with pytest.raises(PromptError, match=r"has 3 axes; .* needs 4"):
        given(image, Points([[0, 1, 1]]))


# -- a real canvas -------------------------------------------------------------------------------
class Canvas:
    """Real mouse events at positions of the movie."""

    ZOOM = 12.0  # canvas pixels per unit of the world

    def __init__(self, desk: Desk, qtbot) -> None:
        self.desk, self.qtbot = desk, qtbot
        self.widget = drawn_canvas(qtbot)
        self.look()

    def look(self) -> None:
        camera = self.desk.viewer.scene.camera
        camera.zoom = self.ZOOM
        camera.center = (0, 14, 2)
        QApplication.processEvents()

    def at(self, y: float, x: float) -> QPoint:
        world = np.array(self.desk.image.data_to_world((0, y, x))[1:])
        dy, dx = (world - (14, 2)) * self.ZOOM
        middle = self.widget.rect()
        return QPoint(round(middle.width() / 2 + dx), round(middle.height() / 2 + dy))

    def click(self, y, x, *, keys=Qt.KeyboardModifier.NoModifier, right=False) -> None:
        button = Qt.MouseButton.RightButton if right else Qt.MouseButton.LeftButton
        self.qtbot.mouseClick(self.widget, button, keys, self.at(y, x))

    def drag(
        self, start, end, *, steps=6, middle=lambda: None, button=Qt.MouseButton.LeftButton
    ) -> None:
        none = Qt.KeyboardModifier.NoModifier
        self.qtbot.mousePress(self.widget, button, none, self.at(*start))
        for step in range(1, steps + 1):
            part = step / steps
            y, x = (a + (b - a) * part for a, b in zip(start, end, strict=True))
            self.qtbot.mouseMove(self.widget, self.at(y, x))
            self.qtbot.wait(15)  # napari throttles moves
            if step == steps // 2:
                middle()
        self.qtbot.mouseRelease(self.widget, button, none, self.at(*end))

    def key(self, key) -> None:
        self.qtbot.keyClick(self.widget, key)


@pytest.fixture
def real(make_napari_viewer_proxy, movie) -> Desk:
    viewer = make_napari_viewer_proxy(show=True)
    desk = Desk(viewer, movie, scale=SCALE, translate=SHIFT)
    viewer.dims.set_point(0, 100 + 10 * 2)
    return desk


@pytest.fixture
def canvas(real, qtbot) -> Canvas:
    return Canvas(real, qtbot)


def near(got, expected) -> bool:
    """Within a canvas pixel, which is at most a third of a movie pixel here."""
    return bool(np.allclose(got, expected, atol=0.4))


@pytest.mark.gui
def test_real_clicks_positive_and_negative(real, canvas):
    mods = Qt.KeyboardModifier
    real.layers.arm("point")
    canvas.click(8, 10)
    assert real.calls.take() == 1
    for n, (y, keys, right) in enumerate(
        [
            (10, mods.ControlModifier, False),
            (12, mods.AltModifier, False),
            (14, mods.MetaModifier, False),
            (16, mods.NoModifier, True),
            (18, mods.NoModifier, False),
            (20, mods.ShiftModifier, False),
        ]
    ):
        real.layers.current_object = 1 if n < 4 else 2
        canvas.click(y, 20, keys=keys, right=right)
        assert real.calls.take() == 1
    got = plain(real.layers.read())
    assert set(got) == {(1, 2), (2, 2)}  # frame 2 is where the slider stands
    assert near(got[1, 2][0], (8, 10, 1))
    assert [click[2] for click in got[1, 2]] == [1, 0, 0, 0, 0]
    assert [click[2] for click in got[2, 2]] == [1, 1]
    assert near([click[:2] for click in got[2, 2]], [(18, 20), (20, 20)])


@pytest.mark.gui
def test_real_buttons_that_do_not_prompt(real, canvas):
    middle = Qt.MouseButton.MiddleButton
    real.layers.arm("point")
    for at in ((8, 10), (-6, 10)):
        canvas.qtbot.mouseClick(canvas.widget, middle, pos=canvas.at(*at))
    canvas.drag((8, 10), (14, 30), button=middle)
    canvas.look()
    assert real.calls.take() == 0
    real.layers.points.add([2, 9, 9])  # as pasted
    assert plain(real.layers.read()) == {(1, 2): [(9, 9, 1)]}
    real.layers.arm("box")
    canvas.drag((4, 6), (12, 20), button=middle)
    assert real.layers.boxes.nshapes == 0
    assert real.layers.problems == []


@pytest.mark.gui
def test_real_drag_and_delete_of_a_click(real, canvas):
    real.layers.arm("point")
    canvas.click(8, 10)
    canvas.click(20, 20)
    real.calls.take()
    canvas.drag((10, 10), (14, 30))  # in “add” mode a drag moves the camera
    assert real.calls.take() == 0
    canvas.look()
    real.layers.points.mode = "select"
    canvas.drag((8, 10), (12, 26))
    assert real.calls.take() == 1
    assert near(plain(real.layers.read())[1, 2][0], (12, 26, 1))
    canvas.drag((12, 26), (-5, 26))  # beside the movie: it stays, and can be moved again
    assert real.calls.take() == 1
    assert near(plain(real.layers.read())[1, 2][0], (12, 26, 1))
    assert "It stays where it was." in real.layers.problems[0]
    canvas.drag((12, 26), (13, 24))
    assert real.calls.take() == 1
    assert near(plain(real.layers.read())[1, 2][0], (13, 24, 1))
    canvas.click(20, 20)
    assert real.calls.take() == 0
    canvas.key(Qt.Key.Key_Delete)
    assert real.calls.take() == 1
    assert len(real.layers.read()[1, 2]) == 1


@pytest.mark.gui
def test_real_copy_of_a_box_to_another_frame(real, canvas):
    real.layers.arm("box")
    canvas.drag((4, 6), (12, 20))
    real.layers.boxes.mode = "select"
    real.layers.boxes.selected_data = {0}
    real.calls.take()
    control = Qt.KeyboardModifier.ControlModifier
    canvas.qtbot.keyClick(canvas.widget, Qt.Key.Key_C, control)
    real.viewer.dims.set_point(0, 100 + 10 * 4)
    assert real.calls.take() == 0
    canvas.qtbot.keyClick(canvas.widget, Qt.Key.Key_V, control)
    assert real.calls.take() == 1
    assert near(plain(real.layers.read())[1, 4], [(4, 6, 12, 20)])


@pytest.mark.gui
def test_real_boxes(real, canvas):
    real.layers.arm("box")
    canvas.drag((4, 6), (12, 20))
    assert real.calls.take() == 1
    assert near(plain(real.layers.read())[1, 2], [(4, 6, 12, 20)])
    canvas.click(20, 30)  # a mere click is no box
    assert real.calls.take() == 0
    assert real.layers.boxes.nshapes == 1
    canvas.drag((16, 22), (6, 8))  # replaces the first; from the lower right
    assert real.calls.take() == 1
    assert real.layers.boxes.nshapes == 1
    assert near(plain(real.layers.read())[1, 2], [(6, 8, 16, 22)])
    canvas.drag((-6, 8), (-2, 20))  # beside the movie: the one before stays
    assert real.calls.take() == 1
    assert near(plain(real.layers.read())[1, 2], [(6, 8, 16, 22)])
    assert "lies outside the movie" in real.layers.problems[0]
    real.layers.boxes.mode = "select"
    canvas.drag((6, 15), (10, 15))  # grabbed at its upper edge
    assert real.calls.take() == 1
    moved = plain(real.layers.read())
    canvas.drag((12, 15), (50, 15))  # beside the movie: it stays, and can be moved again
    assert real.calls.take() == 1
    assert plain(real.layers.read()) == moved
    assert "It stays where it was." in real.layers.problems[0]
    canvas.drag((12, 15), (14, 15))
    assert real.calls.take() == 1
    assert plain(real.layers.read()) != moved
    real.layers.boxes.selected_data = {0}
    canvas.key(Qt.Key.Key_Delete)
    assert real.calls.take() == 1
    assert real.layers.read() == {}


@pytest.mark.gui
def test_real_box_is_no_prompt_before_it_is_finished(real, canvas):
    real.layers.arm("box")
    seen = []
    canvas.drag((4, 6), (12, 20), middle=lambda: seen.append(real.layers.read()))
    assert seen == [{}]
    assert real.calls.take() == 1
    # Undo in the middle of a drag gives the drag up and leaves nothing behind.
    canvas.drag((20, 6), (28, 20), middle=lambda: real.layers.show([]))
    assert real.calls.take() == 0
    assert real.layers.read() == {}
    canvas.drag((4, 6), (12, 20))
    assert real.calls.take() == 1
    assert len(real.layers.read()) == 1


@pytest.mark.gui
def test_real_layers_are_taken_up_again(real, canvas):
    real.layers.arm("point")
    canvas.click(8, 10)
    real.layers.detach()
    real.layers = real.open()
    real.calls.take()
    real.layers.arm("point")
    canvas.click(12, 20, keys=Qt.KeyboardModifier.ControlModifier)
    assert real.calls.take() == 1
    assert [click[2] for click in plain(real.layers.read())[1, 2]] == [1, 0]


@pytest.mark.gui
def test_real_frames_without_clicks_show_none(real, canvas):
    real.layers.arm("point")
    canvas.click(8, 10)
    real.viewer.dims.set_point(0, 100 + 10 * 4)
    shots = []
    for real.layers.points.visible in (True, False):
        QApplication.processEvents()
        shots.append(real.viewer.screenshot(canvas_only=True, flash=False))
    np.testing.assert_array_equal(*shots)


@pytest.mark.gui
def test_real_use_warns_of_nothing(real, canvas):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="napari_sam_i2v")
        real.layers.arm("point")
        canvas.click(8, 10)
        real.layers.show(some_prompts())
        real.layers.drop(2)
        real.layers.detach()
