"""DICOM: values, places and times as the standard says, and nothing about the patient."""

from __future__ import annotations

import importlib.util
import json
import logging
import traceback
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from tests import tiny  # noqa: E402
from tests.movies.patients import SECRET, write_cine, write_file  # noqa: E402

from napari_sam_i2v import cli  # noqa: E402
from napari_sam_i2v.errors import MovieError  # noqa: E402
from napari_sam_i2v.exports import FORMATS  # noqa: E402
from napari_sam_i2v.movies.movie import open_movie, open_source  # noqa: E402
from napari_sam_i2v.movies.napari_io import get_reader, read_layers  # noqa: E402

STACK = np.random.default_rng(3).integers(0, 4000, (6, 20, 30)).astype(np.uint16)


def item(**elements: Any) -> Dataset:
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


# --- values --------------------------------------------------------------------------------------


def test_rescaled_values_are_float(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a", STACK, RescaleSlope="0.5", RescaleIntercept="-1024")
    movie = open_movie(path)
    assert movie.dtype == np.float32
    np.testing.assert_array_equal(movie[4], STACK[4] * np.float32(0.5) - 1024)


def test_slope_one_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a", STACK, RescaleSlope="1", RescaleIntercept="0")
    assert open_movie(path).dtype == np.uint16


def test_window_is_the_contrast(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "a", STACK, WindowCenter=["600", "40"], WindowWidth=["1601", "400"]
    )
    movie = open_movie(path)
    assert movie.contrast == (599.5 - 800, 599.5 + 800)
    ((_, meta, _),) = read_layers(str(path))
    assert meta["contrast_limits"] == movie.contrast


def test_low_values_that_are_shown_bright(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a", STACK, PhotometricInterpretation="MONOCHROME1")
    ((_, meta, _),) = read_layers(str(path))
    assert meta["colormap"] == "gray_r"
    np.testing.assert_array_equal(open_movie(path)[0], STACK[0])


def test_palette_becomes_colour(tmp_path: Path) -> None:
    table = np.arange(256, dtype=np.uint8)
    tables = {
        f"{name}PaletteColorLookupTable{part}": value
        for name, entries in (("Red", table), ("Green", table[::-1]), ("Blue", table))
        for part, value in (("Descriptor", [256, 0, 8]), ("Data", entries.tobytes()))
    }
    pixels = (STACK >> 4).astype(np.uint8)
    path = write_file(tmp_path / "a", pixels, PhotometricInterpretation="PALETTE COLOR", **tables)
    movie = open_movie(path)
    assert movie.dims == ("T", "Y", "X", "S") and movie.dtype == np.uint8
    expected = np.stack([pixels[2], 255 - pixels[2], pixels[2]], axis=-1)
    np.testing.assert_array_equal(movie[2], expected)


# --- places and times ----------------------------------------------------------------------------


def test_multi_frame_xray(tmp_path: Path) -> None:
    path = write_file(
        tmp_path / "a", STACK, modality="XA", FrameTime="66.7", ImagerPixelSpacing=[0.3, 0.3],
        EstimatedRadiographicMagnificationFactor="1.5",
    )  # fmt: skip
    movie = open_movie(path)
    assert movie.scale == pytest.approx((66.7, 0.2, 0.2))
    assert movie.units == ("millisecond", "millimeter", "millimeter")


def test_spacing_at_the_detector_alone_is_not_the_patients(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a", STACK, modality="XA", ImagerPixelSpacing=[0.3, 0.3])
    assert open_movie(path).units == ("frame", "pixel", "pixel")


def test_ultrasound_region(tmp_path: Path) -> None:
    region = item(
        RegionSpatialFormat=1, PhysicalUnitsXDirection=3, PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.02, PhysicalDeltaY=0.03,
    )  # fmt: skip
    curve = item(RegionSpatialFormat=3, PhysicalUnitsXDirection=4, PhysicalUnitsYDirection=7)
    path = write_file(
        tmp_path / "a", STACK, modality="US", CineRate="25",
        SequenceOfUltrasoundRegions=Sequence([region, curve]),
    )  # fmt: skip
    movie = open_movie(path)
    assert movie.scale == pytest.approx((40, 0.3, 0.2))


def test_uneven_frame_times_give_no_interval(tmp_path: Path) -> None:
    even = write_file(tmp_path / "a", STACK, FrameTimeVector=[0, 30, 30, 30, 30, 30])
    uneven = write_file(tmp_path / "b", STACK, FrameTimeVector=[0, 30, 60, 30, 30, 30])
    assert open_movie(even).scale[0] == 30
    assert open_movie(uneven).units[0] == "frame"


def test_enhanced_frames_have_places_and_times(tmp_path: Path) -> None:
    def groups(number: int) -> Dataset:
        time, place = divmod(number, 2)
        content = item(InStackPositionNumber=2 - place, TemporalPositionIndex=time + 1)
        values = item(RescaleSlope="2", RescaleIntercept=str(number), RescaleType="US")
        return item(
            FrameContentSequence=Sequence([content]),
            PixelValueTransformationSequence=Sequence([values]),
        )

    shared = item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[1.5, 1.25])]))
    path = write_file(
        tmp_path / "a", STACK,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([groups(k) for k in range(6)]),
    )  # fmt: skip
    assert open_source(path).axes == "TZYX"
    movie = open_movie(path, z=0)
    assert movie.shape == (3, 20, 30) and movie.scale[1:] == (1.5, 1.25)
    np.testing.assert_array_equal(movie[1], STACK[3] * 2.0 + 3)  # the second of each pair


# --- a folder ------------------------------------------------------------------------------------


def test_slices_are_sorted_by_trigger_time(tmp_path: Path) -> None:
    movie = open_movie(write_cine(tmp_path / "cine", STACK))
    np.testing.assert_array_equal(np.asarray(movie), STACK)
    assert movie.scale == pytest.approx((40, 0.7, 0.6))


def test_slices_at_two_depths(tmp_path: Path) -> None:
    folder = write_cine(tmp_path / "cine", STACK, depth=2)
    source = open_source(folder)
    assert (source.axes, source.shape[:2]) == ("TZYX", (3, 2))
    assert source.pixel["Z"] == (8.0, "millimeter")
    np.testing.assert_array_equal(open_movie(folder, z=1)[2], STACK[5])


def test_other_files_in_the_folder_pass(tmp_path: Path) -> None:
    folder = write_cine(tmp_path / "cine", STACK)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden").write_text("no picture")
    assert len(open_movie(folder)) == len(STACK)


def test_two_series_are_no_movie(tmp_path: Path) -> None:
    folder = write_cine(tmp_path / "cine", STACK)
    write_file(folder / "other", STACK[0], SeriesInstanceUID="1.2.3.5", TriggerTime=500.0)
    with pytest.raises(MovieError, match="2 series"):
        open_movie(folder)


def test_missing_slices_are_noticed(tmp_path: Path) -> None:
    folder = write_cine(tmp_path / "cine", STACK, depth=2)
    sorted(folder.iterdir())[0].unlink()
    with pytest.raises(MovieError, match="2 places needs as many files"):
        open_movie(folder)


def test_slices_of_two_sizes(tmp_path: Path) -> None:
    folder = write_cine(tmp_path / "cine", STACK)
    write_file(folder / "other", STACK[0, :10], TriggerTime=500.0)
    with pytest.raises(MovieError, match="2 sizes or kinds"):
        open_movie(folder)


# --- refusals ------------------------------------------------------------------------------------


def test_no_picture(tmp_path: Path) -> None:
    file = pydicom.dcmread(write_file(tmp_path / "a", STACK))
    for name in ("PixelData", "Rows", "Columns", "NumberOfFrames"):
        del file[name]
    file.save_as(tmp_path / "report", enforce_file_format=True)
    with pytest.raises(MovieError, match="without a picture"):
        open_movie(tmp_path / "report")


def test_more_frames_than_pixels(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a", STACK)
    file = pydicom.dcmread(path)
    file.NumberOfFrames = 2_000_000_000
    file.save_as(path)
    with pytest.raises(MovieError, match="bytes of pixels are announced"):
        open_movie(path)


def test_more_compressed_frames_than_can_be(shared_data: Path, tmp_path: Path) -> None:
    file = pydicom.dcmread(shared_data / "formats" / "dicom" / "examples_ybr_color.dcm")
    file.NumberOfFrames = 2_000_000_000
    file.save_as(tmp_path / "a")
    with pytest.raises(MovieError, match="declares 2000000000 frames"):
        open_movie(tmp_path / "a")


# --- nobody is named -----------------------------------------------------------------------------


def write_patient(folder: Path) -> Path:
    return write_file(
        folder / "movie.dcm", tiny.blobs(), modality="US", FrameTime="40",
        WindowCenter="1600", WindowWidth="3200",
    )  # fmt: skip


def test_layers_do_not_tell_whose_pictures_they_are(tmp_path: Path) -> None:
    napari = pytest.importorskip("napari.components")
    folder = tmp_path / f"{SECRET}"  # a folder may be named after a patient, too
    folder.mkdir()
    path = write_patient(folder)
    assert get_reader(str(path)) is read_layers
    ((data, meta, _),) = read_layers(str(path))
    assert meta["name"] == "DICOM US" and meta["metadata"] == {}
    layer = napari.ViewerModel().add_image(data, **meta)
    told = [repr(meta), repr(layer.metadata), layer.name, repr(data), repr(open_movie(path))]
    assert not [one for one in told if SECRET in one]


def test_results_and_messages_do_not_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = tmp_path / "source"
    source.mkdir()
    path = write_patient(source)
    out = tmp_path / "out"
    out.mkdir()
    clicks = tiny.write_clicks(out / "clicks.csv")
    weights = tiny.write_weights(out / "tiny.safetensors")
    for name in ("labels.tif", "labels.zarr"):
        code = cli.main([
            "segment", str(path), "--prompts", str(clicks), "--output", str(out / name),
            "--model", str(weights), "--device", "cpu", "--confidence", str(out / f"{name}.csv"),
        ])  # fmt: skip
        assert code == 0
    written = [one for one in out.rglob("*") if one.is_file()]
    assert len(written) > 5
    told = [one.read_bytes() for one in written]
    printed = capsys.readouterr()
    told += [printed.out.encode(), printed.err.encode(), caplog.text.encode()]
    for secret in (SECRET.encode(), b"19590417", b"20260102"):
        assert not [one for one in told if secret in one]


@pytest.mark.parametrize("ending", [".dcm", ".tif", ""])
def test_no_result_holds_the_name_or_place_of_the_file(tmp_path: Path, ending: str) -> None:
    source = tmp_path / f"{SECRET} JANE"
    source.mkdir()
    path = write_patient(source).rename(source / f"{SECRET}{ending}")
    out = tmp_path / "out"
    out.mkdir()
    mask = np.zeros((tiny.SIZE, tiny.SIZE), np.uint8)
    mask[6:18, 8:20] = 1
    tifffile.imwrite(out / "mask.tif", mask)
    weights = tiny.write_weights(tmp_path / "tiny.safetensors")
    exports = {
        "ome-zarr": "o.zarr", "ctc": "01_RES", "trackmate": "o.xml", "csv": "o.csv",
        "coco": "o.json", "geff": "o.geff",
    }  # fmt: skip
    if importlib.util.find_spec("geff") is None:
        del exports["geff"]
    assert exports.keys() <= FORMATS.keys()
    options = [f"--export={name}={out / place}" for name, place in exports.items()]
    code = cli.main([
        "segment", str(path), "--prompts", str(out / "mask.tif"), "--output",
        str(out / "labels.zarr"), "--model", str(weights), "--device", "cpu", *options,
    ])  # fmt: skip
    assert code == 0
    written = [one for one in out.rglob("*") if one.is_file()]
    assert len(written) > 20
    assert not [one for one in written if SECRET.encode() in one.read_bytes()]


def test_a_session_of_a_file_that_is_named_after_a_patient(tmp_path: Path) -> None:
    napari = pytest.importorskip("napari.components")
    from napari_sam_i2v.widget.layers import resolve_axes
    from napari_sam_i2v.widget.opening import Opening, open_folder

    path = write_patient(tmp_path).rename(tmp_path / f"{SECRET}.dcm")
    viewer = napari.ViewerModel()
    ((data, meta, _),) = read_layers(str(path))
    image = viewer.add_image(data, **meta)
    axes = resolve_axes(image, viewer.dims.point)
    opening = Opening.of(image, axes, model="default", view="auto", device="cpu", precision="auto")
    opening = replace(opening, source=str(path))  # as napari notes it for what it opens itself
    for sessions in (None, tmp_path / "sessions"):
        kept = open_folder(opening, None, sessions=sessions)
        kept.folder.close()
        assert kept.folder.path.name == "DICOM US.sam-i2v"
        files = [one for one in kept.folder.path.rglob("*") if one.is_file()]
        assert not [one for one in files if SECRET.encode() in one.read_bytes()]


def test_a_session_does_not_tell(tmp_path: Path) -> None:
    napari = pytest.importorskip("napari.components")
    from napari_sam_i2v.widget.layers import resolve_axes
    from napari_sam_i2v.widget.opening import Opening, open_folder

    path = write_patient(tmp_path)
    ((data, meta, _),) = read_layers(str(path))
    viewer = napari.ViewerModel()
    image = viewer.add_image(data, **meta)
    axes = resolve_axes(image, viewer.dims.point)
    opening = Opening.of(image, axes, model="default", view="auto", device="cpu", precision="auto")
    kept = open_folder(opening, tmp_path / "session")
    kept.folder.close()
    files = [one for one in (tmp_path / "session").rglob("*") if one.is_file()]
    assert files
    assert not [one for one in files if SECRET.encode() in one.read_bytes()]
    assert json.loads((tmp_path / "session" / "session.json").read_text())["movie"]["name"] == (
        "DICOM US"
    )


@pytest.mark.parametrize("seed", range(60))
def test_damaged_headers_are_not_quoted(
    tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_patient(tmp_path)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    at = rng.integers(132, 1500, 8)
    content[at] = rng.integers(0, 256, at.size)
    path.write_bytes(content.tobytes())
    told = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            open_movie(path)[0]
        except MovieError as error:
            told = "".join(traceback.format_exception(error))
    told += caplog.text + "".join(str(one.message) for one in warned)
    assert SECRET not in told
