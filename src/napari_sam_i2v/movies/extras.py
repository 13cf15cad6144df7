"""Libraries of formats that not everybody needs: present, or an error that says how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from napari_sam_i2v.errors import MovieError, SamI2VError

EXTRAS = {
    "dicom": ("pydicom",),
    "nifti": ("nibabel",),
    "video": ("av",),
    "nd2": ("nd2",),
    "czi": ("pylibCZIrw",),
    "lif": ("liffile",),
}
"""Extras of this package, and the modules that readers import from each."""


def library(module: str, *, extra: str, what: object, error: type[SamI2VError] = MovieError) -> Any:
    """Import what reads or writes a format, or measures.

    Parameters
    ----------
    module
        To import.
    extra
        The extra of this package that installs it.
    what
        What needs it, for the message: the file to be read, or the name of a format.
    error
        What to raise.

    Raises
    ------
    MovieError
        Or the given error, if it is not installed; it says what to install.
    """
    try:
        return import_module(module)
    except ImportError as err:
        raise error(
            f"{what} needs the package {module.partition('.')[0]!r}, which cannot be imported "
            f"({err}): install it with  pip install 'napari-sam-i2v[{extra}]'"
        ) from err
