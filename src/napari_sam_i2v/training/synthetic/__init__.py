"""Synthetic movies with ground truth by construction: numpy, scipy and nothing else."""

from __future__ import annotations

from napari_sam_i2v.training.synthetic.clip import LOOKS, SyntheticClip, generate_clip
from napari_sam_i2v.training.synthetic.sheet import contact_sheet

__all__ = ["LOOKS", "SyntheticClip", "contact_sheet", "generate_clip"]
