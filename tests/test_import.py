"""`import napari_sam_i2v` stays free: napari does it for every user at every start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import napari_sam_i2v

PROBE = """
import json, sys, time
start = time.process_time()  # of the processor: other programs do not count
import napari_sam_i2v
seconds = time.process_time() - start
heavy = {"torch", "napari", "qtpy", "PyQt6", "PySide6", "dask", "zarr", "skimage", "scipy", "numpy"}
print(json.dumps({"seconds": seconds, "heavy": sorted(heavy & set(sys.modules))}))
"""


def test_import_is_light_and_quick():
    answers = []
    for _ in range(3):  # the best of three: the first may compile
        done = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
        )
        answers.append(json.loads(done.stdout))
    assert answers[0]["heavy"] == []
    assert min(answer["seconds"] for answer in answers) < 0.3


@pytest.mark.parametrize("name", napari_sam_i2v.__all__)
def test_public_names_resolve(name):
    assert getattr(napari_sam_i2v, name) is not None
    assert name in dir(napari_sam_i2v)


def test_unknown_name_lists_the_public_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'sgment'.*'segment'"):
        napari_sam_i2v.sgment  # noqa: B018
