"""The published weights' way to a user: a `.pt` file on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from tests.network import golden
from tests.network.golden import needs_golden

pytestmark = [pytest.mark.parity, pytest.mark.slow, needs_golden]

FRAMES = 4
PIXELS = 10


@pytest.mark.parametrize("variant", ["i2v", "i2vpp"])
def test_segment_with_a_published_checkpoint(variant: str, tmp_path: Path) -> None:
    """Mask areas of the run long_topk (one click on frame 0), through files and all."""
    weights = {
        key: torch.from_numpy(np.asarray(value))
        for key, value in golden.util().synth_state_dict(variant).items()
    }
    torch.save({"model": weights}, tmp_path / "checkpoint.pt")
    movie = np.load(golden.FOLDER / "movie.npz")["frames"]
    tifffile.imwrite(tmp_path / "movie.tif", movie, photometric="rgb", metadata={"axes": "TYXS"})
    (tmp_path / "clicks.csv").write_text("object_id,frame,y,x,label\n1,0,80,70,1\n")
    command = [
        sys.executable, "-m", "napari_sam_i2v", "segment", str(tmp_path / "movie.tif"),
        "--prompts", str(tmp_path / "clicks.csv"), "--output", str(tmp_path / "out.tif"),
        "--model", str(tmp_path / "checkpoint.pt"), "--view", "frame",
        "--frames", f"0:{FRAMES}", "--device", "cpu",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    labels = tifffile.imread(tmp_path / "out.tif")
    events = json.loads((golden.FOLDER / f"{variant}_e2e_long_topk.json").read_text())["events"]
    areas = {event["frame"]: event["area"][0] for event in events if event["kind"] == "frame"}
    for frame in range(FRAMES):
        assert abs(int((labels[frame] == 1).sum()) - areas[frame]) <= PIXELS
    assert not labels[FRAMES:].any()
