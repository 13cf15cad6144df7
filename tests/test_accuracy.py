"""Embedded weights on real movies with ground truth: one click per object, nothing else.

`pytest -m slow tests/test_accuracy.py -s` prints the table. The movies are for validation only.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam_i2v.measure.accuracy import Accuracy, measure_accuracy
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation.session import Session

pytestmark = [pytest.mark.accuracy, pytest.mark.slow]

FLOORS = {
    "cho01_z0": 0.88,
    "cho01_z1": 0.87,
    "nuclei_crowded": 0.48,
    "c2c12": 0.48,
    "cine_z3": 0.66,
}
"""Mean J that must be reached, a little below the model card: training anew moves it."""


def accuracy(folder: Path) -> Accuracy:
    """Track a case of the development movies from its clicks."""
    session = Session(tifffile.imread(folder / "movie.tif"), device="cpu")
    session.add_prompts(read_prompts(folder / "prompts.csv"))
    for _ in session.propagate():
        pass
    with (folder / "prompts.csv").open(newline="") as file:
        starts = {int(row["object_id"]): int(row["frame"]) for row in csv.DictReader(file)}
    annotated = [int(line) for line in (folder / "annotated_frames.txt").read_text().split()]
    truth = tifffile.imread(folder / "labels.tif")
    return measure_accuracy(session.labels, truth, starts=starts, frames=annotated)


@pytest.mark.parametrize("name", FLOORS)
def test_mean_j(name: str, shared_data: Path) -> None:
    found = accuracy(shared_data / name)
    print(f"\n{name}: J {found.j:.3f}, F {found.f:.3f}, tracked {found.tracked:.2f}")
    assert np.isfinite(found.j)
    assert found.j >= FLOORS[name]
