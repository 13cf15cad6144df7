"""Every format from one table: the same labels, divisions and units wherever they go."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_sam_i2v
from napari_sam_i2v import cli
from napari_sam_i2v.cli.arguments import FORMAT_NAMES
from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.exports import FORMATS, Tracked, export, format_of, open_tracked
from napari_sam_i2v.movies import LabelStore, list_labels, open_movie, save_tiff
from napari_sam_i2v.movies.lineage_notes import read_lineage
from tests.movies.families import LINEAGE, SCALE, UNITS, family
from tests.movies.test_ome_zarr import multiscales, write_image

NAMES = {
    "tiff": "o.tif", "ome-zarr": "o.zarr", "ctc": "o", "geff": "o.geff", "trackmate": "o.xml",
    "csv": "o.csv", "coco": "o.json", "divisions": "d.json", "overlay": "o.gif",
}  # fmt: skip


@pytest.fixture
def tracked() -> Tracked:
    labels = family()
    return Tracked(labels=labels, lineage=LINEAGE, scale=SCALE, units=UNITS, movie=labels * 10)


@pytest.fixture
def labels_file(tmp_path: Path, tracked: Tracked) -> Path:
    return export(tracked, tmp_path / "labels.tif")


def test_the_command_line_lists_every_format():
    assert FORMAT_NAMES.split(", ") == list(FORMATS) == list(NAMES)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_and_never_over_another_file(
    tmp_path: Path, tracked: Tracked, name: str
):
    path = tmp_path / NAMES[name]
    if name != "divisions":
        assert format_of(path) == name
    assert export(tracked, path, to=name) == path
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="exists"):
        export(tracked, path, to=name)
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before
    export(tracked, path, to=name, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["tiff", "ome-zarr", "ctc"])
def test_divisions_come_back_from_labels(tmp_path: Path, tracked: Tracked, name: str):
    path = export(tracked, tmp_path / NAMES[name], to=name)
    again = open_tracked(path)
    np.testing.assert_array_equal(np.asarray(again.labels) > 0, family() > 0)
    expected = dict(LINEAGE) | ({8: (3, 6)} if name == "ctc" else {})
    assert dict(again.lineage) == expected
    if name != "ctc":
        assert (again.scale, again.units) == (SCALE, UNITS)


def test_divisions_in_an_ome_tiff(tmp_path: Path, tracked: Tracked):
    large = family().astype(np.uint32) * 50_000
    lineage = {d * 50_000: (p * 50_000, t) for d, (p, t) in LINEAGE.items()}
    path = export(Tracked(labels=large, lineage=lineage), tmp_path / "large.tif")
    assert read_lineage(path) == lineage


def test_labels_of_others_have_no_divisions(tmp_path: Path):
    path = tmp_path / "labels.tif"
    for options in ({"imagej": True}, {"ome": True}, {"description": "{not json"}):
        tifffile.imwrite(path, family(), **options)
        assert read_lineage(path) == {}
    path.unlink()
    assert read_lineage(save_tiff(family(), path, metadata={"lineage": [1, 2]})) == {}


def test_csv_holds_units_and_ancestors(tmp_path: Path, tracked: Tracked):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(export(tracked, tmp_path / "o.csv"))
    first = table.iloc[0]
    assert (first["object_id"], first["parent_id"], first["root_id"]) == (1, 0, 1)
    assert set(table.loc[table.object_id.isin([2, 3]), "parent_id"]) == {1}
    assert first["area_micrometer2"] == 16 * 0.125
    assert first["centroid_y_micrometer"] == 9.5 * 0.5
    assert table["time_minute"].max() == 7 * 5
    assert first["mean_intensity"] == 10


def test_a_scale_without_a_unit_is_no_size_of_a_pixel(tmp_path: Path, tracked: Tracked):
    """napari's layers have such scales; the columns say pixels."""
    plain = replace(tracked, scale=(1, 1, 1), units=("frame", "pixel", "pixel"))
    scaled = replace(plain, scale=(3, 0.5, 0.5))
    for suffix in (".csv", ".xml"):
        one, other = (export(t, tmp_path / f"{n}{suffix}") for n, t in enumerate((plain, scaled)))
        assert one.read_text() == other.read_text()
    assert open_movie(export(scaled, tmp_path / "l.zarr")).scale == (3, 0.5, 0.5)  # on the layer


@pytest.mark.parametrize("name", ["o.csv", "o.xml", "o.geff", "o.tif"])
def test_negative_ids_are_refused(tmp_path: Path, name: str):
    with pytest.raises(InputError, match="ids must lie in 0"):
        export(Tracked(labels=-family().astype(np.int32)), tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, tracked: Tracked):
    with pytest.raises(InputError, match="Formats are tiff, "):
        export(tracked, tmp_path / "o", to="matlab")
    with pytest.raises(InputError, match=r"ends in \.geff, got 'o\.txt'"):
        export(tracked, tmp_path / "o.txt", to="geff")
    with pytest.raises(InputError, match="is not known: name one of"):
        export(tracked, tmp_path / "o.mat")
    with pytest.raises(InputError, match="needs the movie"):
        export(Tracked(labels=family()), tmp_path / "o.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_public():
    assert napari_sam_i2v.export is export
    assert napari_sam_i2v.open_tracked is open_tracked
    assert napari_sam_i2v.Tracked is Tracked


def test_a_path_that_may_name_a_patient_stays_out(tmp_path: Path, tracked: Tracked):
    for suffix, expected in ((".dcm", False), (".tif", True)):
        where = tmp_path / f"Smith{suffix}"
        named = replace(tracked, movie_path=where)
        for name in ("trackmate", "coco"):
            path = export(named, tmp_path / NAMES[name], to=name, overwrite=True)
            assert ("Smith" in path.read_text()) is (expected and name == "trackmate")


# ---- the command ------------------------------------------------------------------------------


def command(*argv: object) -> int:
    try:
        return cli.main(["export", *map(str, argv)])
    except SystemExit as leave:
        return int(leave.code or 0)


def test_the_command_writes_several_and_carries_divisions(
    tmp_path: Path, labels_file: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    out.mkdir()
    assert command(labels_file, "--to", f"ctc={out / '01_RES'}", "--to", out / "o.json",
                   "--to", out / "o.csv", "--to", out / "o.zarr") == 0  # fmt: skip
    assert read_lineage(out / "01_RES") == {2: (1, 3), 3: (1, 3), 8: (3, 6)}
    tracks = json.loads((out / "o.json").read_text())["tracks"]
    assert {one["id"]: one.get("parent_id") for one in tracks} == {1: None, 2: 1, 3: 1, 7: None}
    assert LabelStore.open(out / "o.zarr").scale == SCALE
    assert capsys.readouterr().out.splitlines()[0] == f"{out / '01_RES'}: ctc"


def test_the_command_makes_the_labels_of_an_image(tmp_path: Path, labels_file: Path):
    image = write_image(tmp_path / "image.zarr", family(), images=multiscales("tyx"))
    assert command(labels_file, "--to", image / "labels" / "cells.zarr", "--quiet") == 0
    assert list_labels(image) == ("cells.zarr",)
    assert command(labels_file, "--to", image / "nowhere" / "cells.zarr", "--quiet") == 2


def test_the_command_reads_a_ctc_folder_and_another_lineage(tmp_path: Path, labels_file: Path):
    assert command(labels_file, "--to", f"ctc={tmp_path / 'res'}", "--quiet") == 0
    assert command(tmp_path / "res", "--to", tmp_path / "o.zarr", "--quiet") == 0
    assert read_lineage(tmp_path / "o.zarr") == {2: (1, 3), 3: (1, 3), 8: (3, 6)}
    (tmp_path / "man_track.txt").write_text("1 0 2 0\n7 6 6 1\n")
    assert command(labels_file, "--lineage", tmp_path / "man_track.txt", "--to",
                   tmp_path / "p.zarr", "--quiet") == 0  # fmt: skip
    assert read_lineage(tmp_path / "p.zarr") == {7: (1, 6)}


def test_a_lineage_file_may_be_without_a_division(
    tmp_path: Path, labels_file: Path, capsys: pytest.CaptureFixture[str]
):
    text = tmp_path / "man_track.txt"
    text.write_text("1 0 2 0\n7 6 6 0\n")
    assert command(labels_file, "--lineage", text, "--to", tmp_path / "o.zarr", "--quiet") == 0
    assert read_lineage(tmp_path / "o.zarr") == {}
    text.write_text("\n")
    assert command(labels_file, "--lineage", text, "--to", tmp_path / "p.zarr", "--quiet") == 2
    assert "a line “label first last parent” per object" in capsys.readouterr().err


def test_the_command_names_what_may_have_divided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    labels = family()
    labels[3:][labels[3:] == 3] = 2  # nobody marked it: both daughters are object 2
    labels[:3][labels[:3] == 1] = 2
    labels[5, 12:16, 6:12] = 2
    path = save_tiff(labels, tmp_path / "labels.tif")
    assert command(path, "--to", f"divisions={tmp_path / 'd.json'}") == 0
    assert "object 2 from frame 3 (parts of 24 and 16 pixels)" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "d.json").read_text())
    assert (found["object_id"], found["frame"], found["areas"]) == (2, 3, [24, 16])


def test_the_command_opens_the_movie_that_was_tracked(tmp_path: Path, labels_file: Path):
    movie = np.stack([family() * 0 + 3, family() * 0 + 7], axis=1)
    tifffile.imwrite(tmp_path / "deep.tif", movie, photometric="minisblack")  # no axes told
    with tifffile.TiffWriter(tmp_path / "several.ome.tif", ome=True) as file:
        for value in (3, 9):
            file.write(family() * 0 + value, metadata={"axes": "TYX"})
    for name, more, expected in (
        ("deep.tif", ("--axes", "TZYX", "--z", "1"), "7"),
        ("several.ome.tif", ("--scene", "1"), "9"),
    ):
        out = tmp_path / f"{name}.csv"
        assert command(labels_file, "--movie", tmp_path / name, *more, "--to", out) == 0
        header, first, *_ = out.read_text().splitlines()
        row = dict(zip(header.split(","), first.split(","), strict=True))
        assert row["mean_intensity"] == expected


def test_labels_with_depth_are_refused_without_naming_an_option_of_the_movie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "deep.tif"
    deep = np.stack([family(), family()], axis=1)
    tifffile.imwrite(path, deep, imagej=True, metadata={"axes": "TZYX"})
    assert command(path, "--to", tmp_path / "o.csv") == 2
    said = capsys.readouterr().err
    assert f"must be (T, Y, X), got the shape {deep.shape} with the axes TZYX" in said
    assert "z=" not in said


@pytest.mark.parametrize(
    "more",
    [
        ["labels.tif", "--movie", "movie.gif", "--to", "movie.gif"],
        ["labels.tif", "--movie", "movie.gif", "--to", "overlay=a/../movie.gif"],
        ["labels.tif", "--to", "labels.tif"],
        ["labels.tif", "--lineage", "res/res_track.txt", "--to", "ctc=res"],
        ["res", "--to", "res/mask000.tif"],
    ],
)
def test_what_is_read_is_never_overwritten(
    labels_file: Path, monkeypatch, capsys: pytest.CaptureFixture[str], more: list[str]
):
    monkeypatch.chdir(labels_file.parent)
    assert command("labels.tif", "--to", "ctc=res", "--quiet") == 0
    Path("a").mkdir()
    Path("movie.gif").write_bytes(labels_file.read_bytes())
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert command(*more, "--overwrite") == 2
    assert "is read by this command" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--to", "o.json", "--to", "coco=o.json"], "named twice"),
        (["--to", "labels.tif"], "exists"),
        (["--to", "o.gif"], "needs the movie"),
        (["--to", "gif=o.gif"], "Formats are"),
        (["--to", "o.csv", "--lineage", "nowhere.txt"], "There is no lineage file nowhere.txt"),
        (["--to", "o.csv", "--lineage", "."], "no division is noted there"),
    ],
)
def test_wrong_use_is_said_in_a_line_and_writes_nothing(
    labels_file: Path, monkeypatch, capsys: pytest.CaptureFixture[str], more, message
):
    monkeypatch.chdir(labels_file.parent)
    assert command("labels.tif", *more) == 2
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == [Path("labels.tif")]
