"""Measurements of objects, against numbers that are plain from how the labels were drawn."""

from __future__ import annotations

import csv
import time
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.objects import as_csv, measure_frames, measurements
from napari_sam_i2v.movies.labels import LabelStore
from napari_sam_i2v.propagation.confidence import ConfidenceTable


class Planes:
    """An array that tells which planes were read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.read: list[int] = []

    def __getitem__(self, t: int) -> np.ndarray:
        self.read.append(t)
        return self.array[t]


@pytest.fixture
def labels() -> np.ndarray:
    """Object 3 on frames 0 and 2, object 9 on frame 2; frame 1 is empty."""
    labels = np.zeros((3, 20, 30), np.uint16)
    labels[0, 2:5, 10:14] = 3
    labels[2, 6:8, 10:12] = 3
    labels[2, 19, 29] = 9
    return labels


@pytest.fixture
def movie(labels) -> np.ndarray:
    return np.broadcast_to(np.arange(30, dtype=np.uint8), labels.shape).copy()


@pytest.mark.parametrize("kind", ["numpy", "store", "zarr"])
def test_area_place_and_brightness(kind, labels, movie, tmp_path):
    given = labels
    if kind == "store":
        given = LabelStore.create(tmp_path / "labels.zarr", shape=labels.shape)
        for t, plane in enumerate(labels):
            given[t] = plane
    if kind == "zarr":
        given = zarr.array(labels, chunks=(1, 20, 30))
    rows = measurements(given, movie)
    assert list(rows) == [
        *("object_id", "frame", "area", "centroid_y", "centroid_x", "mean_intensity"),
        *("confidence", "score", "iou"),
    ]
    np.testing.assert_array_equal(rows["object_id"], [3, 3, 9])
    np.testing.assert_array_equal(rows["frame"], [0, 2, 2])
    np.testing.assert_array_equal(rows["area"], [12, 4, 1])
    np.testing.assert_array_equal(rows["centroid_y"], [3, 6.5, 19])
    np.testing.assert_array_equal(rows["centroid_x"], [11.5, 10.5, 29])
    np.testing.assert_array_equal(rows["mean_intensity"], [11.5, 10.5, 29])
    assert rows["area"].dtype.kind == "i"
    assert np.isnan(rows["confidence"]).all()


def test_known_scale_adds_units(labels):
    rows = measurements(labels, scale=(10, 0.5, 0.25))
    np.testing.assert_array_equal(rows["time"], [0, 20, 20])
    np.testing.assert_array_equal(rows["area_units"], [1.5, 0.5, 0.125])
    np.testing.assert_array_equal(rows["centroid_y_units"], [1.5, 3.25, 9.5])
    np.testing.assert_array_equal(rows["centroid_x_units"], [2.875, 2.625, 7.25])
    assert "mean_intensity" not in rows
    assert "area_units" not in measurements(labels)


def test_colours_are_measured_one_by_one(labels, movie):
    rows = measurements(labels, np.stack([movie, movie * 2, movie * 0], axis=-1))
    np.testing.assert_array_equal(rows["mean_intensity_red"], [11.5, 10.5, 29])
    np.testing.assert_array_equal(rows["mean_intensity_green"], [23, 21, 58])
    np.testing.assert_array_equal(rows["mean_intensity_blue"], [0, 0, 0])


def test_confidence_is_joined_by_object_and_frame(labels):
    table = ConfidenceTable(3)
    table.note(2, {9: SimpleNamespace(score=0.5, iou=0.75, area=1)})
    rows = measurements(labels, confidence=table)
    np.testing.assert_array_equal(rows["confidence"], [np.nan, np.nan, 0.375])
    np.testing.assert_array_equal(rows["score"], [np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(rows["iou"], [np.nan, np.nan, 0.75])


def test_one_frame_per_step_and_pixels_only_where_objects_are(labels, movie):
    ids, pixels = Planes(labels), Planes(movie)
    steps = measure_frames(ids, pixels)
    assert ids.read == []
    assert len(next(steps)["area"]) == 1
    assert ids.read == pixels.read == [0]
    empty = next(steps)
    assert {len(values) for values in empty.values()} == {0}
    assert len(next(steps)["area"]) == 2
    assert ids.read == [0, 1, 2]
    assert pixels.read == [0, 2]
    assert list(steps) == []


def test_chosen_objects_and_frames(labels):
    np.testing.assert_array_equal(measurements(labels, object_ids=[9])["frame"], [2])
    ids = Planes(labels)
    np.testing.assert_array_equal(measurements(ids, frames=[0])["area"], [12])
    assert ids.read == [0]


@pytest.mark.parametrize("frames", [[1], []])
def test_nothing_there_gives_empty_columns_of_the_same_kinds(labels, movie, frames):
    empty = measurements(labels, movie, frames=frames, scale=(1, 1, 1))
    full = measurements(labels, movie, scale=(1, 1, 1))
    assert {n: v.dtype for n, v in empty.items()} == {n: v.dtype for n, v in full.items()}
    assert list(empty) == list(full)
    assert all(len(values) == 0 for values in empty.values())


@pytest.mark.parametrize("background", [True, False])
def test_ids_as_large_as_labels_hold(background):
    labels = np.zeros((1, 4, 6), np.uint32)
    labels[0, 1:3, 1:3] = 4_000_000_000
    labels[0, 1:3, 4 if background else 3] = 70_000
    rows = measurements(labels)
    np.testing.assert_array_equal(rows["object_id"], [70_000, 4_000_000_000])
    np.testing.assert_array_equal(rows["area"], [2, 4])


def test_masks_are_object_one():
    rows = measurements(np.ones((1, 2, 3), bool))
    assert (rows["object_id"].tolist(), rows["area"].tolist()) == ([1], [6])


def test_other_sizes_are_refused_at_once(labels, movie):
    with pytest.raises(InputError, match=r"\(3, 20, 30\).*got \(2, 20, 30\)"):
        measure_frames(labels, movie[:2])
    with pytest.raises(InputError, match=r"\(T, Y, X\), got \(20, 30\)"):
        measure_frames(labels[0])
    with pytest.raises(InputError, match="frame 3 does not exist"):
        measure_frames(labels, frames=[3])
    with pytest.raises(InputError, match="integers, got float"):
        measure_frames(labels.astype(float))


def test_csv_reads_back(labels, movie):
    text = as_csv(measurements(labels, movie, scale=(2, 0.5, 0.5)))
    rows = list(csv.DictReader(StringIO(text)))
    assert len(rows) == 3
    assert rows[0]["object_id"] == "3"
    assert float(rows[1]["centroid_x"]) == 10.5
    assert rows[0]["confidence"] == ""
    assert text.endswith("\n")
    assert "\r" not in text


def test_csv_headers_name_the_units(labels):
    rows = measurements(labels, scale=(2, 0.5, 0.5))
    head = as_csv(rows, units=("minute", "micrometer", "micrometer")).splitlines()[0].split(",")
    assert {"time_minute", "area_micrometer2", "centroid_y_micrometer"} <= set(head)
    assert not any("units" in name for name in head)


def test_few_objects_on_large_planes_are_quick():
    labels = np.zeros((3, 2048, 2048), np.uint16)
    for one in range(1, 6):
        labels[:, 300 * one : 300 * one + 40, 300 * one : 300 * one + 40] = one
    movie = np.zeros_like(labels)
    began = time.thread_time()  # of the processor: other programs do not count
    rows = measurements(labels, movie)
    assert time.thread_time() - began < 0.6  # 0.03 s where nothing else runs
    assert len(rows["area"]) == 15
