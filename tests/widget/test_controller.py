"""The controller on a viewer model: no Qt, no window."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam_i2v.widget.controller import KEY, Controller
from napari_sam_i2v.widget.plan import Choices


@pytest.fixture
def viewer():
    return ViewerModel()


def make(viewer, fake, **kwargs):
    session = fake(**kwargs)
    return Controller(viewer, start=session.start), session


def run(controller, output, *, follow=False):
    for step in output.steps():
        if step.frame is not None:
            output.add(step.frame)
            controller.draw(output, follow=follow)
    controller.end(output)


def test_no_qt_is_imported():
    code = "import sys, napari_sam_i2v.widget.controller\nprint('qtpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_result_lies_on_a_calibrated_movie(viewer, fake, movie):
    controller, session = make(viewer, fake)
    image = viewer.add_image(
        movie,
        name="m",
        scale=(10, 0.5, 0.25),
        translate=(100, 7, -3),
        axis_labels=("t", "y", "x"),
        units=("s", "um", "um"),
    )
    points = viewer.add_points([[100 + 20, 7 + 0.5 * 11, -3 + 0.25 * 13]])
    output = controller.begin(Choices(image, (points,)))
    layer = output.layer
    assert layer.name == "m tracked"
    assert not layer.editable
    run(controller, output)
    assert layer.editable
    assert np.array_equal(layer.scale, image.scale)
    assert np.array_equal(layer.translate, image.translate)
    assert (layer.axis_labels, layer.units) == (image.axis_labels, image.units)
    # The layer's value under the click, asked in world coordinates, is the object.
    assert layer.get_value(points.data[0], world=True) == 1
    assert session.plan.clicks[0].points == ((11.0, 13.0),)


def test_result_lies_between_movie_and_clicks_which_stay_active(viewer, fake, movie):
    controller, _ = make(viewer, fake)
    image = viewer.add_image(movie, name="m")
    clicks = controller.add_clicks_layer(image)
    clicks.add([[0, 5, 5]])
    controller.begin(Choices(image, (clicks,)))
    assert [layer.name for layer in viewer.layers] == ["m", "m tracked", "clicks"]
    assert viewer.layers.selection.active == clicks
    assert clicks.mode == "add"


def test_labels_are_on_disk_frame_by_frame_until_the_program_ends(viewer, fake, movie):
    controller, session = make(viewer, fake)
    image = viewer.add_image(movie, scale=(10, 0.5, 0.25))
    points = viewer.add_points([[20, 5, 5]])
    output = controller.begin(Choices(image, (points,)))
    run(controller, output)
    store = session.labels
    assert store.done == [2, 3, 4, 5]
    assert store.scale == (10, 0.5, 0.25)
    assert store.metadata["prompts"][0]["frame"] == 2
    assert output.layer.data.chunks == (1, 30, 40)
    assert store.path.is_dir()


def test_movie_of_a_channel_gives_labels_at_that_channel(viewer, fake):
    controller, _ = make(viewer, fake)
    stack = np.zeros((5, 3, 20, 20), np.uint8)
    image = viewer.add_image(stack, scale=(1, 4, 1, 1), axis_labels=("t", "c", "y", "x"))
    points = viewer.add_points([[0, 8, 5, 6]])
    viewer.dims.set_point(1, 8)
    output = controller.begin(Choices(image, (points,)))
    run(controller, output)
    assert output.layer.data.shape == (5, 1, 20, 20)
    assert output.layer.get_value((3, 8, 5, 6), world=True) == 1


def test_follow_goes_to_the_latest_frame(viewer, fake, movie):
    controller, _ = make(viewer, fake)
    image = viewer.add_image(movie, scale=(10, 1, 1))
    points = viewer.add_points([[0, 5, 5]])
    viewer.dims.set_point(0, 20)
    output = controller.begin(Choices(image, (points,)))
    run(controller, output)
    assert viewer.dims.point[0] == 20  # not asked to follow
    run(controller, controller.begin(Choices(image, (points,))), follow=True)
    assert viewer.dims.point[0] == 50


def test_only_the_frame_on_screen_is_redrawn(viewer, fake, movie, monkeypatch):
    controller, _ = make(viewer, fake)
    image = viewer.add_image(movie)
    points = viewer.add_points([[0, 5, 5]])
    viewer.dims.set_point(0, 3)
    output = controller.begin(Choices(image, (points,)))
    drawn = []
    monkeypatch.setattr(output.layer, "refresh", lambda **_: drawn.append(output.finished[-1]))
    for step in output.steps():
        if step.frame is not None:
            output.add(step.frame)
            controller.draw(output, follow=False)
    assert drawn == [3]


def test_each_run_gets_a_layer_of_its_own_with_its_provenance(viewer, fake, movie):
    controller, _ = make(viewer, fake)
    image = viewer.add_image(movie, name="m", contrast_limits=(10, 3000))
    points = viewer.add_points([[1, 5, 6]])
    first = controller.begin(Choices(image, (points,)))
    second = controller.begin(Choices(image, (points,), direction="both"))
    assert first.layer.data is not second.layer.data
    assert second.layer.metadata[KEY] == {
        "movie": "m",
        "model": "default",
        "direction": "both",
        "view": "auto",
        "contrast": (10.0, 3000.0),
        "prompts": [{"object_id": 1, "frame": 1, "points": ((5.0, 6.0),), "labels": (1,)}],
    }


def test_layer_removed_during_a_run_is_left_alone(viewer, fake, movie):
    controller, _ = make(viewer, fake)
    image = viewer.add_image(movie)
    points = viewer.add_points([[0, 5, 5]])
    output = controller.begin(Choices(image, (points,)))
    viewer.layers.remove(output.layer)
    before = viewer.dims.point
    run(controller, output, follow=True)
    assert viewer.dims.point == before
    assert not output.layer.editable


def test_readiness_names_what_is_missing(viewer, fake, movie):
    controller, _ = make(viewer, fake)
    assert "Open a movie" in controller.readiness(Choices(None)).text
    image = viewer.add_image(movie)
    assert not controller.readiness(Choices(image)).ready
    points = viewer.add_points([[0, 5, 5]])
    ready = controller.readiness(Choices(image, (points,)))
    assert (ready.ready, ready.text) == (True, "1 object, 1 click, 6 frames to do")


def test_clicks_layer_lies_on_the_movie(viewer, fake, movie):
    controller, _ = make(viewer, fake)
    image = viewer.add_image(movie, scale=(10, 0.5, 0.25), translate=(0, 7, 0))
    layer = controller.add_clicks_layer(image)
    assert (layer.ndim, layer.mode, len(layer.data)) == (3, "add", 0)
    layer.add([[2, 3, 4]])
    (clicks,) = controller.plan(Choices(image, (layer,))).clicks
    assert (clicks.frame, clicks.points) == (2, ((3.0, 4.0),))
