"""Which of torch's operators Apple's chips have."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torchgen
import yaml

__all__ = ["is_on_mps"]

SHARED = {"CompositeImplicitAutograd", "CompositeExplicitAutograd",
          "CompositeExplicitAutogradNonFunctional"}  # fmt: skip
"""Kernels that torch has for every device."""
LATE = ("_upsample_bilinear2d_aa",)
"""What our code calls that MPS has got since the oldest torch that we support."""


@functools.cache
def is_on_mps(operator: Any) -> bool:
    """Whether torch names a kernel of an operator for MPS, or one for all devices."""
    if operator.overloadpacket.__name__ in LATE:
        return False
    said = _operators().get(operator.name().removeprefix("aten::"), {})
    said = _operators().get(said.get("structured_delegate", ""), said)
    kernels = {key.strip() for keys in said.get("dispatch", {}) for key in keys.split(",")}
    return not kernels or not kernels.isdisjoint({"MPS", *SHARED})


@functools.cache
def _operators() -> dict[str, dict[str, Any]]:
    """What torch says of its operators, by their names."""
    listed = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    read = yaml.load(listed.read_text(encoding="utf-8"), loader)
    return {one["func"].partition("(")[0]: one for one in read}
