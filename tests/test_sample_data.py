from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sam_i2v import sample_data
from napari_sam_i2v.errors import InputError
from napari_sam_i2v.sample_data import SAMPLES, SampleMovie, sample_movie


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> SampleMovie:
    return sample_movie(request.param)


def test_a_sample_is_a_short_uint16_movie_with_truth(sample: SampleMovie) -> None:
    assert sample.movie.shape == sample.labels.shape
    assert sample.movie.shape[1:] == (256, 256)
    assert 16 <= len(sample.movie) <= 30
    assert sample.movie.dtype == sample.labels.dtype == np.uint16
    assert sample.movie.max() > 400  # not an 8-bit range


def test_every_object_has_one_click_inside(sample: SampleMovie) -> None:
    ids = [prompt[0] for prompt in sample.prompts]
    assert ids == sorted(set(ids))
    assert set(ids) == set(np.unique(sample.labels)) - {0}
    for ident, frame, y, x in sample.prompts:
        assert sample.labels[frame, int(y), int(x)] == ident


def test_objects_move_but_can_be_followed(sample: SampleMovie) -> None:
    overlaps = []
    for ident, frame, _, _ in sample.prompts:
        now, later = (sample.labels[k] == ident for k in (frame, min(frame + 1, 10**6)))
        overlaps.append((now & later).sum() / (now | later).sum())
    assert np.median(overlaps) > 0.5
    assert not np.array_equal(sample.labels[0], sample.labels[-1])


def test_samples_are_the_same_on_every_call(sample: SampleMovie) -> None:
    again = sample_movie(sample.name)
    np.testing.assert_array_equal(again.movie, sample.movie)
    np.testing.assert_array_equal(again.labels, sample.labels)
    assert again.prompts == sample.prompts


def test_nuclei_divide() -> None:
    nuclei = sample_movie("nuclei")
    assert any(frame > 0 for _, frame, _, _ in nuclei.prompts)  # daughters are clicked when born


def test_the_chamber_beats_inside_its_wall() -> None:
    labels = sample_movie("chamber").labels
    cavity = (labels == 1).sum(axis=(1, 2))
    assert cavity.min() < 0.75 * cavity.max()
    assert {p[0] for p in sample_movie("chamber").prompts} == {1, 2}


@pytest.mark.parametrize("name", SAMPLES)
def test_layer_data_makes_napari_layers(name: str) -> None:
    layers = pytest.importorskip("napari.layers")
    made = [layers.Layer.create(*part) for part in getattr(sample_data, name)()]
    image, truth, points = made
    assert [type(layer) for layer in made] == [layers.Image, layers.Labels, layers.Points]
    for layer in (truth, points):
        np.testing.assert_array_equal(image.scale, layer.scale)
        assert image.units == layer.units
        assert image.axis_labels == layer.axis_labels
    np.testing.assert_array_equal(truth.data, sample_movie(name).labels)
    assert points.data.shape == (len(points.features["object_id"]), 3)
    assert list(points.features["object_id"]) == [p[0] for p in sample_movie(name).prompts]


def test_the_truth_is_hidden_and_named_so_that_nobody_takes_it_for_a_result() -> None:
    layers = pytest.importorskip("napari.layers")
    image, truth, points = (layers.Layer.create(*part) for part in sample_data.nuclei())
    assert (image.visible, truth.visible, points.visible) == (True, False, True)
    assert "ground truth" in truth.name
    assert "tracked" not in truth.name


def test_the_dock_takes_neither_truth_nor_clicks_by_itself(tmp_path: Path) -> None:
    components = pytest.importorskip("napari.components")
    from napari.layers import Layer

    from napari_sam_i2v.widget.tracking import TrackController

    viewer = components.ViewerModel()
    image, truth, points = (viewer.add_layer(Layer.create(*p)) for p in sample_data.chamber())
    pixels = truth.data.copy()
    controller = TrackController(viewer)
    assert controller.images() == [image]
    controller.open(image, folder=tmp_path / "s.sam-i2v")
    assert not np.asarray(controller.labels.data[:]).any()
    assert controller.labels.name != truth.name
    assert [row.prompts for row in controller.rows()] == [0]
    assert not len(controller.prompt_layers.points.data)
    assert controller.prompt_sources() == [truth, points]  # offered, for who wants them
    controller.close()
    assert not truth.visible
    np.testing.assert_array_equal(truth.data, pixels)


def test_unknown_sample_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="nuclei, migration, chamber"):
        sample_movie("zebra")


def test_importing_is_light() -> None:
    code = (
        "import sys, napari_sam_i2v.sample_data;"
        "print([m for m in ('torch', 'napari', 'qtpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
