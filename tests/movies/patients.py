"""DICOM files of a patient whose every element is recognisable, so that a leak is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SECRET = "XYZZYSECRET"
_KINDS = {
    "US": "1.2.840.10008.5.1.4.1.1.3.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
}


def write_file(path: Path, pixels: np.ndarray, *, modality: str = "MR", **elements: Any) -> Path:
    """Write frames (T, Y, X), (Y, X) or colour (T, Y, X, 3) of a patient."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _KINDS[modality]
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID = meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Modality = modality
    file.PatientName, file.PatientID = f"{SECRET}^JANE", f"{SECRET}-1"
    file.PatientBirthDate, file.StudyDate = "19590417", "20260102"
    file.InstitutionName = file.StudyDescription = file.SeriesDescription = SECRET
    file.ReferringPhysicianName = file.OperatorsName = SECRET
    file.ImageComments = file.ProtocolName = SECRET
    colour = pixels.ndim == 4
    file.Rows, file.Columns = pixels.shape[1:3] if pixels.ndim > 2 else pixels.shape
    if pixels.ndim > 2:
        file.NumberOfFrames = pixels.shape[0]
    file.SamplesPerPixel = 3 if colour else 1
    file.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        file.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    file.BitsAllocated = file.BitsStored = bits
    file.HighBit, file.PixelRepresentation = bits - 1, 0
    file.SeriesInstanceUID = elements.pop("SeriesInstanceUID", "1.2.3.4")
    for name, value in elements.items():
        setattr(file, name, value)
    file.PixelData = np.ascontiguousarray(pixels).tobytes()
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


def write_cine(folder: Path, frames: np.ndarray, *, depth: int = 1, **elements: Any) -> Path:
    """Write one file per frame, `depth` slices at each time; names are in no order of time."""
    folder.mkdir()
    for number, pixels in enumerate(frames):
        time, place = divmod(number, depth)
        write_file(
            folder / f"IM{(number * 5 + 3) % 97:04d}", pixels,
            TriggerTime=40.0 * time, InstanceNumber=len(frames) - number,
            ImagePositionPatient=[0, 0, 8.0 * place], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.7, 0.6], **elements,
        )  # fmt: skip
    return folder
