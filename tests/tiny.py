"""Small things for tests: a network's weights that nobody trained, and a short movie."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import tifffile

VARIANT = "sam-i2v-micro"
SIZE = 48
CLICKS = ((1, 0, 12, 14), (2, 1, 33, 30))
"""(object_id, frame, y, x)"""


@lru_cache(maxsize=1)
def _state():
    import torch

    from napari_sam_i2v.network.config import get_config
    from napari_sam_i2v.network.sam_i2v import SamI2V
    from napari_sam_i2v.training.fit import initialise

    torch.manual_seed(3)
    model = SamI2V(get_config(VARIANT))
    initialise(model)
    return {key: value.contiguous() for key, value in model.state_dict().items()}


def write_weights(path: Path) -> Path:
    from safetensors.torch import save_file

    save_file(_state(), path, metadata={"variant": VARIANT})
    return path


def blobs(frames: int = 6, size: int = SIZE) -> np.ndarray:
    """Two bright discs that drift apart, uint16 (T, Y, X)."""
    y, x = np.mgrid[:size, :size]
    movie = np.full((frames, size, size), 200, np.uint16)
    for t in range(frames):
        for cy, cx in ((12 + 0.5 * t, 14), (33, 30 + 0.5 * t)):
            movie[t] += (3000 * ((y - cy) ** 2 + (x - cx) ** 2 < 36)).astype(np.uint16)
    return movie


def write_movie(path: Path, movie: np.ndarray | None = None) -> Path:
    pixels = blobs() if movie is None else movie
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "TYX"})
    return path


def write_clicks(path: Path, clicks: tuple[tuple[int, int, float, float], ...] = CLICKS) -> Path:
    rows = [f"{i},{t},{y},{x},1" for i, t, y, x in clicks]
    path.write_text("\n".join(["object_id,frame,y,x,label", *rows]) + "\n")
    return path
