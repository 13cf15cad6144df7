"""SAM-I2V in PyTorch: tensors in, tensors out. Knows no movie, no file format, no napari.

The public names are imported when they are first used, so that `network.registry`, which menus
are made of, costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam_i2v.network.config import VARIANTS, SamI2VConfig, get_config
    from napari_sam_i2v.network.device import resolve_device, resolve_precision
    from napari_sam_i2v.network.memory_filter import FilterStrategy
    from napari_sam_i2v.network.sam_i2v import ABSENT, Decoded, Memory, SamI2V

__all__ = [
    "ABSENT",
    "VARIANTS",
    "Decoded",
    "FilterStrategy",
    "Memory",
    "SamI2V",
    "SamI2VConfig",
    "get_config",
    "resolve_device",
    "resolve_precision",
]

_HOMES = {
    "config": ("VARIANTS", "SamI2VConfig", "get_config"),
    "device": ("resolve_device", "resolve_precision"),
    "memory_filter": ("FilterStrategy",),
    "sam_i2v": ("ABSENT", "Decoded", "Memory", "SamI2V"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
