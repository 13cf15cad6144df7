"""Access to the numbers that the published implementation gives, and networks to compare."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.network import SamI2V, get_config

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "golden"
VARIANTS = {"i2v": "sam-i2v", "i2vpp": "sam-i2v++"}
UNIT_TOLERANCE = 1e-5
"""Of the largest golden value, as golden/README.md suggests."""

needs_golden = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the golden fixtures are not there: {FOLDER}"
)


@functools.cache
def util() -> ModuleType:
    """Rules W and R, the movie and the comparison."""
    spec = importlib.util.spec_from_file_location("golden_util", FOLDER / "golden_util.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def model(variant: str) -> SamI2V:
    """Full-size network on the golden rule weights."""
    network = SamI2V(get_config(VARIANTS[variant]))
    weights = util().synth_state_dict(variant)
    state = {key: torch.from_numpy(np.asarray(value)) for key, value in weights.items()}
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


@functools.cache
def fixtures(stem: str) -> object:
    """Samples of the reference tensors."""
    return util().Golden(stem)


_COMPARED: dict[str, set[str]] = {}


def compared(stem: str) -> set[str]:
    """Fixtures that have been compared in this run."""
    return _COMPARED.get(stem, set())


def rnd(name: str, *shape: int) -> Tensor:
    """Seeded input."""
    return torch.from_numpy(util().rnd(name, shape))


def check(stem: str, name: str, value: Tensor, tolerance: float = UNIT_TOLERANCE) -> None:
    """Compare a tensor with its fixture."""
    _COMPARED.setdefault(stem, set()).add(name)
    difference, largest = fixtures(stem).check(name, value.detach().numpy())
    assert difference <= tolerance * largest, (
        f"{stem}: {name} differs by {difference:.3g}; allowed {tolerance * largest:.3g}"
    )


def check_known(stem: str, name: str, value: Tensor, tolerance: float = UNIT_TOLERANCE) -> None:
    """Compare a tensor with its fixture where it is not NaN: with what we compute at all."""
    _COMPARED.setdefault(stem, set()).add(name)
    entry, wanted = fixtures(stem).idx[name], fixtures(stem).val[name]
    assert list(value.shape) == entry["shape"]
    got = value.detach().numpy().reshape(-1)[:: entry["stride"]]
    known = ~np.isnan(got)
    assert known.mean() > 0.1, f"{stem}: nearly nothing of {name} is computed"
    difference = np.abs(got - wanted)[known].max()
    assert difference <= tolerance * np.abs(wanted).max(), f"{stem}: {name} differs"
