"""What a file is, by its first bytes: cheap, because napari asks about every file it is given."""

from __future__ import annotations

from pathlib import Path

HEAD = 352
"""How many first bytes tell."""

_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_PICTURES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
_JPEG_2000 = b"\x00\x00\x00\x0cjP  "
_MAGIC = (
    # Where, which bytes, kind. DICOM's first 128 bytes are free and may pretend to be a TIFF.
    (128, b"DICM", "dicom"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"II+\x00", "tiff"),
    (0, b"MM\x00+", "tiff"),
    (0, b"\x89PNG\r\n\x1a\n", "picture"),
    (0, b"\xff\xd8\xff", "picture"),
    (8, b"AVI ", "video"),
    (4, b"ftyp", "video"),
    (4, b"moov", "video"),
    (4, b"mdat", "video"),
    (4, b"wide", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),  # Matroska
    (0, b"ZISRAW", "czi"),
    (0, b"\xda\xce\xbe\n", "nd2"),
    (344, b"n+1\x00", "nifti"),
    (344, b"ni1\x00", "nifti"),
    (4, b"n+2\x00", "nifti"),
    (4, b"ni2\x00", "nifti"),
)
# Only to say what a refused file is.
_FOREIGN = (
    (b"\x89HDF", "an HDF5 file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (_JPEG_2000, "a JPEG 2000 picture"),
)


def file_kind(path: Path) -> str | None:
    """Tell what a file is: "tiff", "picture", "video", "dicom", "nifti", "nd2", "czi" or "lif".

    None for anything else.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    head = first_bytes(path)
    for at, magic, kind in _MAGIC:
        if head[at : at + len(magic)] == magic:
            return kind
    if head.startswith(b"\x1f\x8b") and path.name.lower().endswith(".nii.gz"):
        return "nifti"
    if head.startswith(_JPEG_2000) and path.suffix.lower() == ".nd2":
        return "nd2"  # what Nikon wrote until 2008
    return "lif" if head[:4] == b"p\x00\x00\x00" and head[8:9] == b"*" else None


def folder_kind(path: Path) -> str | None:
    """Tell what a folder is: "zarr", "dicom" or "pictures"; None for anything else.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if any((path / name).is_file() for name in _ZARR_FILES):
        return "zarr"
    files = sorted(one for one in path.iterdir() if is_shown(one) and one.is_file())
    if any(one.suffix.lower() in _PICTURES for one in files):
        return "pictures"
    return "dicom" if any(is_dicom(one) for one in files[:20]) else None


def is_shown(path: Path) -> bool:
    """Tell whether a file is not hidden."""
    return not path.name.startswith(".")


def is_dicom(path: Path) -> bool:
    """Tell whether a file is a DICOM file."""
    return first_bytes(path)[128:132] == b"DICM"


def is_private(path: Path) -> bool:
    """Tell whether a movie is a patient's, so that its name and place must not be written down."""
    try:
        return (folder_kind(path) if path.is_dir() else file_kind(path)) == "dicom"
    except OSError:
        return False


def foreign_name(path: Path) -> str | None:
    """Name the kind of a file that no reader takes, where it is known."""
    head = first_bytes(path)
    return next((name for magic, name in _FOREIGN if head.startswith(magic)), None)


def first_bytes(path: Path) -> bytes:
    """Give the bytes by which kinds are told apart."""
    with path.open("rb") as file:
        return file.read(HEAD)
