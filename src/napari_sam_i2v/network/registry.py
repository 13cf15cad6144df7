"""The models that can be named. Light: menus and tables are made of it without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from napari_sam_i2v.network.config import DEFAULT_VARIANT, get_config

__all__ = ["MODELS", "WEIGHTS_SUFFIXES", "ModelInfo", "published"]

WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth")
"""Endings of files that `load_model` reads."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model that can be named.

    Attributes
    ----------
    name, variant
        Name for `load_model`, and the network it fills.
    summary, licence, source
        What it is, under which terms, and where its weights come from.
    file
        Name of the embedded weights; None where the user brings a file.
    sha256, size
        Of that file or of the one to be downloaded, where known; the size in bytes.
    url
        Where the file can be downloaded, where known; else the user gives an address.
    """

    name: str
    variant: str
    summary: str
    licence: str
    source: str
    file: str | None = None
    sha256: str | None = None
    size: int | None = None
    url: str | None = None

    @property
    def title(self) -> str:
        """Name as it is written in a text."""
        return self.name.upper()

    @property
    def input_size(self) -> int:
        """Side of the network input in pixels."""
        return get_config(self.variant).image_size


MODELS: Mapping[str, ModelInfo] = MappingProxyType(
    {
        DEFAULT_VARIANT: ModelInfo(
            name=DEFAULT_VARIANT,
            variant=DEFAULT_VARIANT,
            summary="small SAM-I2V trained on synthetic microscopy and medical movies; the default",
            licence="BSD-3-Clause",
            source="comes with napari-sam-i2v",
            file=f"{DEFAULT_VARIANT}.safetensors",
            sha256="a1e549a0627a4eb624dd71303d156b0cc99e154899cfe70d15582e31e65d2e7d",
        ),
        "sam-i2v": ModelInfo(
            name="sam-i2v",
            variant="sam-i2v",
            summary="published SAM-I2V (CVPR 2025), trained on natural video",
            licence="Apache-2.0",
            source="https://github.com/showlab/SAM-I2V",
        ),
        "sam-i2v++": ModelInfo(
            name="sam-i2v++",
            variant="sam-i2v++",
            summary="published SAM-I2V++, trained on natural video",
            licence="Apache-2.0",
            source="https://github.com/showlab/SAM-I2VPP",
        ),
    }
)


def published() -> list[ModelInfo]:
    """Models that do not come with the package."""
    return [info for info in MODELS.values() if info.file is None]
