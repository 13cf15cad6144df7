"""DICOM: multi-frame files, and folders of cine slices, one file per picture.

Only the elements listed here are ever read: no patient's name, number or date reaches a layer, a
log, a session or a result. A movie is called after its modality, not after its file.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.kinds import is_dicom, is_shown
from napari_sam_i2v.movies.limits import MAX_PLANES
from napari_sam_i2v.movies.source import Source, planes_reader

_PIXELS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PlanarConfiguration",
    "NumberOfFrames",
)
_VALUES = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
)
_PLACES = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
    "SpacingBetweenSlices",
    "SequenceOfUltrasoundRegions",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
)
_TIMES = (
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "TriggerTime",
    "TemporalPositionIdentifier",
    "AcquisitionTime",
    "ContentTime",
    "InstanceNumber",
)
_REST = (
    "SOPClassUID",
    "Modality",
    "SeriesInstanceUID",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
_READ = [*_PIXELS, *_VALUES, *_PLACES, *_TIMES, *_REST]
"""All that is read of a header."""
_FOLDER_ORDER = (
    "TriggerTime",
    "TemporalPositionIdentifier",
    "AcquisitionTime",
    "ContentTime",
    "InstanceNumber",
)
_DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR: a list of files, no picture
_CENTIMETRE = 3  # how ultrasound regions number their units
_COLOUR = "RGB"
_PIXELS_HEAD = 12  # bytes of the tag, kind and length of compressed pixels


def open_dicom(path: Path) -> Source:
    """Open a file of one or more frames; only its header is read.

    Values are rescaled (modality LUT); colours come as RGB, from YBR and palettes too. The window
    gives `Source.contrast`.

    Raises
    ------
    MovieError
        If it is damaged, holds no picture, or pydicom is not installed.
    """
    header = _header(path)
    _check_length(path, header)
    n = int(header.get("NumberOfFrames") or 1)
    if not 0 < n <= MAX_PLANES:
        raise MovieError(f"{path} declares {n} frames; 1 to {MAX_PLANES} can be read")
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    grid = _Grid.of([_stack_place(one) for one in per_frame]) if len(per_frame) == n > 1 else None
    grid = grid or _Grid.of([(0.0, float(k)) for k in range(n)])
    assert grid is not None  # one place always makes a grid
    values = _Values(path, header)
    steps = _plane_steps(header)
    if (interval := _interval(header)) is not None:
        steps["T"] = (interval, "millisecond")
    return _source(path, header, grid, steps, lambda k: values.frame(path, k))


def open_dicom_folder(folder: Path) -> Source:
    """Open a folder of single-frame files: sorted by trigger time, planes apart.

    All headers are read. Without trigger times the temporal position, the time of acquisition or
    the instance number sorts them, whichever all files have and tells them apart.

    Raises
    ------
    MovieError
        If the files are of several series, sizes or kinds, or one is damaged.
    """
    files = sorted(one for one in folder.iterdir() if is_shown(one) and one.is_file())
    files = [one for one in files if is_dicom(one)]
    headers = [_header(one, folder=True) for one in files]
    kept = [
        (file, one) for file, one in zip(files, headers, strict=True) if one.get("Rows") is not None
    ]
    if not kept:
        raise MovieError(f"{folder} holds no DICOM pictures")
    files, headers = [file for file, _ in kept], [one for _, one in kept]
    if len(files) == 1:
        return open_dicom(files[0])
    _check_alike(folder, headers)
    grid, key = _folder_grid(folder, headers)
    values = [_Values(file, one) for file, one in zip(files, headers, strict=True)]
    steps = _plane_steps(headers[0])
    times = [_number(headers[k], key) for k in grid.of_place(0)]
    if key == "TriggerTime" and (interval := _even_step(times)) is not None:
        steps["T"] = (interval, "millisecond")
    if (depth := _even_step(grid.places)) is not None:
        steps["Z"] = (depth, "millimeter")
    return _source(folder, headers[0], grid, steps, lambda k: values[k].frame(files[k], 0))


def _source(
    path: Path,
    header: Any,
    grid: _Grid,
    steps: dict[str, tuple[float, str]],
    frame: Callable[[int], np.ndarray],
) -> Source:
    colour = _is_colour(header)
    lead = (grid.n_times, grid.n_places) if grid.n_places > 1 else (grid.n_times,)
    shape = (*lead, int(header.Rows), int(header.Columns))
    modality = "".join(filter(str.isalnum, str(header.get("Modality") or "")))[:16]
    return Source(
        path=path,
        name=f"DICOM {modality}".strip(),
        axes="TZ"[: len(lead)] + "YX" + "S" * colour,
        shape=(*shape, 3) if colour else shape,
        dtype=_dtype(header),
        read=planes_reader(lead, lambda at: frame(grid.number(*at))),
        pixel=steps,
        contrast=None if colour else _window(header),
        inverted=header.get("PhotometricInterpretation") == "MONOCHROME1",
        private=True,
    )


@dataclass(frozen=True)
class _Grid:
    """Which frame shows place z at time t.

    Attributes
    ----------
    places
        Positions along the depth axis, ascending.
    numbers
        (T, Z) numbers of frames.
    """

    places: tuple[float, ...]
    numbers: np.ndarray

    @classmethod
    def of(cls, keys: Sequence[tuple[float, float]]) -> _Grid | None:
        """Sort frames by (place, time); None if the places are not seen equally often."""
        at: dict[float, list[tuple[float, int]]] = {}
        for number, (place, time) in enumerate(keys):
            at.setdefault(place, []).append((time, number))
        if len({len(frames) for frames in at.values()}) != 1:
            return None
        places = sorted(at)
        return cls(
            tuple(places), np.array([[k for _, k in sorted(at[place])] for place in places]).T
        )

    @property
    def n_times(self) -> int:
        """Number of times."""
        return int(self.numbers.shape[0])

    @property
    def n_places(self) -> int:
        """Number of places."""
        return int(self.numbers.shape[1])

    def number(self, time: int, place: int = 0) -> int:
        """Give the frame of a time and place."""
        return int(self.numbers[time, place])

    def of_place(self, place: int) -> list[int]:
        """Give the frames of a place, in the order of time."""
        return [int(k) for k in self.numbers[:, place]]


class _Values:
    """What stored pixels of one file mean: rescaled grey values, or RGB."""

    def __init__(self, path: Path, header: Any) -> None:
        pixels = library("pydicom.pixels", extra="dicom", what=path)
        self._pixels, self._header = pixels, header
        self._dtype, self._palette = _dtype(header), _is_palette(header)

    def frame(self, path: Path, number: int) -> np.ndarray:
        """Decode frame `number`: (Y, X) or (Y, X, 3)."""
        with _quiet_pydicom():
            try:
                stored = self._pixels.pixel_array(path, index=number)
            except Exception as err:  # each decoder has its own errors for broken data
                raise MovieError(
                    f"frame {number} of {path} cannot be decoded, the file may be truncated or "
                    f"damaged: {type(err).__name__}: {err}"
                ) from err
            if self._palette:
                stored = self._pixels.apply_color_lut(stored, self._header)
            elif not _is_colour(self._header):
                stored = self._rescaled(stored, number)
        return np.asarray(stored, self._dtype)

    def _rescaled(self, stored: np.ndarray, number: int) -> np.ndarray:
        group = _group(self._header, "PixelValueTransformationSequence", number)
        if group is None:
            return np.asarray(self._pixels.apply_modality_lut(stored, self._header))
        return stored * float(group.RescaleSlope) + float(group.RescaleIntercept)


def _header(path: Path, *, folder: bool = False) -> Any:
    """Read the elements that are used; of a folder, files without a picture pass."""
    pydicom = library("pydicom", extra="dicom", what=path)
    with _quiet_pydicom():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_READ)
            pictured = bool(header.get("Rows")) and bool(header.get("Columns"))
            _plain(header)
        except Exception as err:  # what it says may quote the header
            raise MovieError(f"{path} is truncated or damaged: {type(err).__name__}") from None
    if not pictured and not folder:
        listing = header.get("SOPClassUID") == _DIRECTORY or path.name.upper() == "DICOMDIR"
        raise MovieError(
            f"{path} is a list of DICOM files: open their folder"
            if listing
            else f"{path} is a DICOM file without a picture"
        )
    return header


def _plain(header: Any) -> None:
    """Make every element be decoded now, where broken values are caught."""
    for element in header:
        if element.VR == "SQ":
            for item in element.value:
                _plain(item)


@contextmanager
def _quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from quoting a header in warnings and logs."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("pydicom")
    logger.addFilter(drop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(drop)


def _check_length(path: Path, header: Any) -> None:
    """See whether the pixels of an uncompressed file can all be there."""
    samples = int(header.get("SamplesPerPixel") or 1)
    bits = int(header.get("BitsAllocated") or 8)
    pixels = int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames") or 1)
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is not None and syntax.is_encapsulated:
        _check_fragments(path)
    if syntax is None or syntax.is_compressed:
        return
    halved = header.get("PhotometricInterpretation") == "YBR_FULL_422"
    needed = pixels * (2 if halved else samples) * bits // 8
    if needed > (size := path.stat().st_size):
        raise MovieError(
            f"{path} is truncated or damaged: {needed} bytes of pixels are announced, the file has "
            f"{size}"
        )


def _check_fragments(path: Path) -> None:
    """See whether the last piece of compressed pixels is whole; decoders make up what is not."""
    pydicom = library("pydicom", extra="dicom", what=path)
    encaps = library("pydicom.encaps", extra="dicom", what=path)
    size = path.stat().st_size
    with path.open("rb") as file, _quiet_pydicom():
        pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[])
        file.seek(_PIXELS_HEAD, 1)
        _, places = encaps.parse_fragments(file)
        if places:
            file.seek(places[-1] + 4)
            end = places[-1] + 8 + int.from_bytes(file.read(4), "little")
            if end <= size:
                return
    raise MovieError(f"{path} is truncated or damaged: its compressed pixels break off")


def _check_alike(folder: Path, headers: list[Any]) -> None:
    series = {str(one.get("SeriesInstanceUID")) for one in headers}
    if len(series) > 1:
        raise MovieError(
            f"{folder} holds the files of {len(series)} series: give each series its own folder"
        )
    if any(int(one.get("NumberOfFrames") or 1) > 1 for one in headers):
        raise MovieError(f"{folder} holds files of several frames each: open one of them")
    kinds = {(one.Rows, one.Columns, _is_colour(one), _dtype(one)) for one in headers}
    if len(kinds) > 1:
        raise MovieError(
            f"{folder} holds pictures of {len(kinds)} sizes or kinds: all frames must be alike"
        )


def _folder_grid(folder: Path, headers: list[Any]) -> tuple[_Grid, str]:
    """Sort files into times and places; also what the times are read from."""
    places = [_depth(one) for one in headers]
    for key in _FOLDER_ORDER:
        times = [_number(one, key) for one in headers]
        pairs = [
            (place, time) for place, time in zip(places, times, strict=True) if time is not None
        ]
        if len(pairs) < len(headers) or len(set(pairs)) < len(pairs):
            continue
        if (grid := _Grid.of(pairs)) is not None:
            return grid, key
    raise MovieError(
        f"{folder} holds {len(headers)} slices that make no movie: each of its "
        f"{len(set(places))} places needs as many files, told apart by trigger time, temporal "
        "position, time of acquisition or instance number"
    )


def _depth(header: Any) -> float:
    """Give the position of a slice along its normal, in millimetres, to a hundredth."""
    position, turned = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if position and turned and len(position) == 3 and len(turned) == 6:
        normal = np.cross(np.array(turned[:3], float), np.array(turned[3:], float))
        return round(float(normal @ np.array(position, float)), 2)
    return round(_number(header, "SliceLocation") or 0.0, 2)


def _stack_place(groups: Any) -> tuple[float, float]:
    """Give (place, time) of a frame from its functional groups."""
    content = (groups.get("FrameContentSequence") or [None])[0]
    if content is None:
        return 0.0, 0.0
    return (
        _number(content, "InStackPositionNumber") or 0.0,
        _number(content, "TemporalPositionIndex") or 0.0,
    )


def _number(header: Any, key: str) -> float | None:
    """Give an element as a number; a time of day as seconds."""
    value = header.get(key)
    if value in (None, ""):
        return None
    try:
        if key.endswith("Time") and isinstance(value, str):
            text = value.strip()
            return int(text[:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:] or 0)
        return float(value)
    except (TypeError, ValueError):
        return None


def _interval(header: Any) -> float | None:
    """Give the time between frames in milliseconds, if it is always the same."""
    if (step := _number(header, "FrameTime")) is not None and step > 0:
        return step
    vector = header.get("FrameTimeVector")
    if vector is not None and len(steps := [float(one) for one in vector][1:]) > 0:
        return _even_step(list(np.cumsum([0.0, *steps])))
    rate = _number(header, "CineRate")
    return 1000 / rate if rate else None


def _even_step(values: Sequence[float | None]) -> float | None:
    """Give the step of values that are evenly spaced, to a twentieth of it; None otherwise."""
    if len(values) < 2 or None in values:
        return None
    steps = np.diff(np.array(values, float))
    step = float(steps.mean())
    return step if step > 0 and np.all(np.abs(steps - step) <= step / 20) else None


def _plane_steps(header: Any) -> dict[str, tuple[float, str]]:
    """Give the pixel size, and the distance of slices, in millimetres."""
    group = _group(header, "PixelMeasuresSequence", 0)
    measured = header if group is None else group
    spacing = _pair(measured.get("PixelSpacing")) or _magnified(header) or _ultrasound(header)
    steps = {}
    if spacing is not None:
        steps = {"Y": (spacing[0], "millimeter"), "X": (spacing[1], "millimeter")}
    depth = _number(measured, "SpacingBetweenSlices")
    return steps | ({"Z": (depth, "millimeter")} if depth and depth > 0 else {})


def _pair(value: Any) -> tuple[float, float] | None:
    if value is None or isinstance(value, str) or len(value) != 2:
        return None
    pair = float(value[0]), float(value[1])
    return pair if all(math.isfinite(one) and one > 0 for one in pair) else None


def _magnified(header: Any) -> tuple[float, float] | None:
    """Give an X-ray's pixel size in the patient: at the detector alone it would be too large."""
    pair = _pair(header.get("ImagerPixelSpacing"))
    factor = _number(header, "EstimatedRadiographicMagnificationFactor")
    return (pair[0] / factor, pair[1] / factor) if pair and factor and factor > 0 else None


def _ultrasound(header: Any) -> tuple[float, float] | None:
    """Give the pixel size of an ultrasound with one region of tissue (others are curves)."""
    regions = [
        one
        for one in header.get("SequenceOfUltrasoundRegions") or []
        if one.get("RegionSpatialFormat") == 1
        and one.get("PhysicalUnitsXDirection") == one.get("PhysicalUnitsYDirection") == _CENTIMETRE
    ]
    if len(regions) != 1:
        return None
    x, y = _number(regions[0], "PhysicalDeltaX"), _number(regions[0], "PhysicalDeltaY")
    return (abs(y) * 10, abs(x) * 10) if x and y else None


def _window(header: Any) -> tuple[float, float] | None:
    """Give the grey values that the (first) window shows as black and white."""
    group = _group(header, "FrameVOILUTSequence", 0)
    chosen = header if group is None else group
    centre, width = (_first(chosen.get(key)) for key in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 1:
        return None
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    many = not isinstance(value, str | float | int)
    return float(value[0] if many else value)


def _group(header: Any, name: str, number: int) -> Any | None:
    """Find a functional group of a frame: its own, or the one all frames share."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    own = [per_frame[number]] if number < len(per_frame) else []
    for groups in (*own, *shared[:1]):
        if found := groups.get(name):
            return found[0]
    return None


def _is_palette(header: Any) -> bool:
    return bool(header.get("PhotometricInterpretation") == "PALETTE COLOR")


def _is_colour(header: Any) -> bool:
    return _is_palette(header) or int(header.get("SamplesPerPixel") or 1) == len(_COLOUR)


def _dtype(header: Any) -> np.dtype:
    """Give the dtype of the values: as stored, or float32 where they are rescaled."""
    if _is_palette(header):
        bits = header.get("RedPaletteColorLookupTableDescriptor")[2]
        return np.dtype(np.uint8 if int(bits) <= 8 else np.uint16)
    if not _is_colour(header) and _is_rescaled(header):
        return np.dtype(np.float32)
    signed = int(header.get("PixelRepresentation") or 0) == 1
    bits = int(header.get("BitsAllocated") or 8)
    if bits not in (1, 8, 16, 32):
        raise MovieError(f"pixels of {bits} bits, which this DICOM file has, cannot be read")
    return np.dtype(f"{'i' if signed else 'u'}{max(bits, 8) // 8}")


def _is_rescaled(header: Any) -> bool:
    if header.get("ModalityLUTSequence"):
        return True
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if per_frame and _group(header, "PixelValueTransformationSequence", 0) is not None:
        return True
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return (slope, intercept) not in ((None, None), (1, 0), (1, None))
