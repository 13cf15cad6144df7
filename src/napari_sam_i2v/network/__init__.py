"""SAM-I2V in PyTorch: tensors in, tensors out. Knows no movie, no file format, no napari."""

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
