"""Libraries of formats that not everybody needs: present, or an error that says how to get them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import MovieError

EXTRAS = {
    "dicom": ("pydicom",),
    "nifti": ("nibabel",),
    "video": ("av",),
    "nd2": ("nd2",),
    "czi": ("pylibCZIrw",),
    "lif": ("liffile",),
}
"""Extras of this package, and the modules that readers import from each."""


def library(module: str, *, extra: str, path: Path) -> Any:
    """Import what reads a format.

    Parameters
    ----------
    module
        To import.
    extra
        The extra of this package that installs it.
    path
        The file to be read, for the message.

    Raises
    ------
    MovieError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as err:
        raise MovieError(
            f"{path} needs the package {module.partition('.')[0]!r}, which cannot be imported "
            f"({err}): install it with  pip install 'napari-sam-i2v[{extra}]'"
        ) from err
