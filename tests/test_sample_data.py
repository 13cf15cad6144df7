from __future__ import annotations

import subprocess
import sys

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
    (movie, image_meta, image_kind), (where, point_meta, point_kind) = getattr(sample_data, name)()
    assert (image_kind, point_kind) == ("image", "points")
    image, points = layers.Image(movie, **image_meta), layers.Points(where, **point_meta)
    np.testing.assert_array_equal(image.scale, points.scale)
    assert image.units == points.units
    assert where.shape == (len(points.features["object_id"]), 3)
    assert list(points.features["object_id"]) == [p[0] for p in sample_movie(name).prompts]


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
