"""COCO masks, as pycocotools reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.movies.families import LINEAGE, family

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.coco import compressed_counts, run_lengths, save_coco


def test_pycocotools_reads_every_mask_back(tmp_path: Path):
    coco = pytest.importorskip("pycocotools.coco", reason="the extra test installs pycocotools")
    labels = family()
    read = coco.COCO(str(save_coco(labels, tmp_path / "masks.json", lineage=LINEAGE)))
    assert read.getImgIds() == list(range(len(labels)))
    for t, plane in enumerate(labels):
        found = np.zeros_like(plane)
        for row in read.loadAnns(read.getAnnIds(imgIds=[t])):
            mask = read.annToMask(row).astype(bool)
            found[mask] = row["track_id"]
            left, top, width, height = row["bbox"]
            assert row["area"] == mask.sum() == mask[top : top + height, left : left + width].sum()
        np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_those_of_pycocotools(seed: int):
    mask_of = pytest.importorskip("pycocotools.mask", reason="the extra test installs pycocotools")
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 90, 2))
    mask = rng.random(shape) < rng.choice([0.0, 0.02, 0.5, 0.98, 1.0])
    theirs = mask_of.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert compressed_counts(run_lengths(mask)) == theirs


@pytest.mark.parametrize("seed", range(5))
def test_objects_at_every_edge(tmp_path: Path, seed: int):
    mask_of = pytest.importorskip("pycocotools.mask", reason="the extra test installs pycocotools")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (2, 7, 9)).astype(np.uint32) * 40_000
    labels[0] = 80_000  # the whole frame
    content = json.loads(save_coco(labels, tmp_path / "masks.json").read_text())
    for row in content["annotations"]:
        found = mask_of.decode(row["segmentation"]).astype(bool)
        np.testing.assert_array_equal(found, labels[row["image_id"]] == row["track_id"])
    assert content["annotations"][0]["segmentation"]["counts"] == compressed_counts([0, 63])


def test_tracks_hold_the_divisions(tmp_path: Path):
    content = json.loads(save_coco(family(), tmp_path / "m.json", lineage=LINEAGE).read_text())
    assert content["tracks"] == [
        {"id": 1, "category_id": 1, "video_id": 1},
        {"id": 2, "category_id": 1, "video_id": 1, "parent_id": 1, "division_frame": 3},
        {"id": 3, "category_id": 1, "video_id": 1, "parent_id": 1, "division_frame": 3},
        {"id": 7, "category_id": 1, "video_id": 1},
    ]


def test_never_overwrites_unasked(tmp_path: Path):
    path = tmp_path / "m.json"
    path.write_text("{}")
    with pytest.raises(OutputError, match="exists"):
        save_coco(family(), path)
    assert path.read_text() == "{}"
    with pytest.raises(InputError, match=r"ends in \.json"):
        save_coco(family(), tmp_path / "m.txt")
