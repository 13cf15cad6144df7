"""Where the network runs, and in which precision: decided here and nowhere else."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast, get_args

import torch

from napari_sam_i2v.errors import InputError

__all__ = [
    "Precision",
    "autocast",
    "processor_facts",
    "product_dtype",
    "resolve_device",
    "resolve_precision",
    "spared_core",
    "threads",
    "use_threads",
]

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str | torch.device | None = "auto") -> torch.device:
    """Return the device to run on.

    Parameters
    ----------
    name
        "auto" (or None) takes CUDA, else Apple's MPS, else the CPU; otherwise a torch device
        name.

    Raises
    ------
    InputError
        If that device is not there.
    """
    if name is None or name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(
            f"Unknown device {name!r}: use auto, cpu, cuda, cuda:0 (or another index) or mps."
        ) from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise InputError(f"Device {name!r} is not available here: use auto or cpu.")
    return device


def resolve_precision(name: str, device: torch.device) -> Precision:
    """Return the arithmetic for a device.

    "auto" is bf16 on CUDA cards that have it, and fp32 elsewhere, so that a CPU gives the same
    masks on every machine.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name == "auto":
        # Older cards take bf16, too, and imitate it slowly.
        capable = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
        return "bf16" if capable else "fp32"
    if name not in get_args(Precision):
        raise InputError(f"Unknown precision {name!r}: use auto, fp32, bf16 or fp16.")
    if name == "fp16" and device.type == "cpu":
        raise InputError("Precision fp16 is for GPUs: use bf16 or fp32 on a CPU.")
    return cast(Precision, name)


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager:
    """Context in which the network runs in that precision."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def product_dtype(device: torch.device) -> torch.dtype:
    """Type in which matrix products are computed here and now."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32


@contextlib.contextmanager
def spared_core() -> Iterator[None]:
    """Leave a core to the program's window while the network computes on all the others.

    With as many threads as cores, a window that is drawn meanwhile waits for its turn.
    """
    with threads(min(torch.get_num_threads(), max(1, (os.cpu_count() or 2) - 1))):
        yield


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Have so many of torch's threads here for a while, and then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def use_threads(count: int) -> None:
    """Have so many of torch's threads here; other threads that began before keep theirs."""
    torch.get_num_threads()  # asked first, lest the number that is set is taken back later
    torch.set_num_threads(count)


@lru_cache(maxsize=1)
def processor_facts() -> str:
    """All that the system says of its processor, where it says anything."""
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        return listed.read_text(encoding="utf-8", errors="replace")
    return platform.processor()
