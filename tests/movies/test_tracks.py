"""Tracks and lineage, as a real napari Tracks layer takes them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from napari.layers import Tracks

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.tracks import tracks_of

PROBE = """
import json, sys
import napari_sam_i2v.movies.tracks
print(json.dumps(sorted({"torch", "napari", "qtpy", "pandas"} & set(sys.modules))))
"""


def columns(*rows: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Of (object, frame, y, x, area)."""
    table = np.array(rows, float)
    names = ("object_id", "frame", "centroid_y", "centroid_x", "area")
    found = dict(zip(names, table.T, strict=True))
    return found | {"object_id": table[:, 0].astype(int), "frame": table[:, 1].astype(int)}


@pytest.fixture
def dividing() -> dict[str, np.ndarray]:
    """By frame: object 1 divides into 4 and 2; 4 has a gap; 7 has one frame."""
    return columns(
        (1, 0, 10, 10, 50),
        (7, 0, 30, 5, 9),
        (1, 1, 11, 12, 55),
        (2, 2, 9, 15, 30),
        (4, 2, 14, 15, 31),
        (2, 3, 8, 16, 32),
        (4, 5, 17, 18, 33),
    )


def test_rows_by_track_and_frame_with_their_features(dividing):
    table = tracks_of(dividing)
    np.testing.assert_array_equal(table.data[:, 0], [1, 1, 2, 2, 4, 4, 7])
    np.testing.assert_array_equal(table.data[:, 1], [0, 1, 2, 3, 2, 5, 0])
    np.testing.assert_array_equal(table.data[4], [4, 2, 14, 15])
    np.testing.assert_array_equal(table.features["area"], [50, 55, 30, 32, 31, 33, 9])
    assert table.graph == {}


def test_lineage_in_a_real_layer(dividing):
    table = tracks_of(dividing, {2: (1, 2), 4: (1, 2)}, scale=(1, 0.5, 0.25))
    layer = Tracks(**table.layer_options())
    assert layer.graph == {2: [1], 4: [1]}
    np.testing.assert_array_equal(layer.data, table.data)
    np.testing.assert_array_equal(layer.scale, [1, 0.5, 0.25])
    np.testing.assert_array_equal(layer.features["area"], table.features["area"])
    layer.color_by = "root_id"
    families = dict(zip(table.data[:, 0].tolist(), table.features["root_id"], strict=True))
    assert families == {1: 1, 2: 1, 4: 1, 7: 7}
    np.testing.assert_array_equal(table.features["parent_id"], [0, 0, 1, 1, 1, 1, 0])


def test_unknown_values_and_single_rows_are_accepted_by_napari():
    rows = columns((3, 4, 1, 2, 5)) | {"confidence": np.array([np.nan])}
    layer = Tracks(**tracks_of(rows).layer_options())
    assert len(layer.data) == 1


def test_division_of_what_is_not_there_is_left_out(dividing):
    lineage = {2: (1, 2), 4: (99, 2), 50: (1, 2)}
    table = tracks_of(dividing, lineage)
    assert table.graph == {2: [1]}
    Tracks(**table.layer_options())


def test_grandmother_is_the_root(dividing):
    table = tracks_of(dividing, {7: (4, 5), 4: (1, 2)})
    assert table.features["root_id"].tolist() == [1, 1, 2, 2, 1, 1, 1]


def test_circles_are_refused(dividing):
    with pytest.raises(InputError, match="own ancestor"):
        tracks_of(dividing, {1: (2, 0), 2: (1, 2)})
    with pytest.raises(InputError, match="object 1 cannot be its own ancestor"):
        tracks_of(dividing, {1: (1, 0)})


def test_what_cannot_be_tracks_is_refused(dividing):
    with pytest.raises(InputError, match="object 1 has two on 0"):
        tracks_of(columns((1, 0, 1, 1, 1), (1, 0, 2, 2, 2)))
    with pytest.raises(InputError, match="track something first"):
        tracks_of({name: values[:0] for name, values in dividing.items()})
    del dividing["centroid_y"]
    with pytest.raises(InputError, match=r"missing: \['centroid_y'\]"):
        tracks_of(dividing)


def test_import_is_light():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
