from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam_i2v import cli
from napari_sam_i2v.cli.console import stop_on_ctrl_c
from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.movies import LabelStore, list_labels, open_movie, save_tiff
from napari_sam_i2v.movies.movie import open_source
from napari_sam_i2v.movies.napari_io import read_layers
from tests import tiny
from tests.movies.test_ome_zarr import multiscales, write_image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with movie.tif and clicks.csv, where the command runs."""
    monkeypatch.chdir(tmp_path)
    tiny.write_movie(Path("movie.tif"))
    tiny.write_clicks(Path("clicks.csv"))
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: exit code, stdout, stderr."""

    def call(*argv: str | Path) -> tuple[int, str, str]:
        try:
            code = cli.main([str(one) for one in argv])
        except SystemExit as leave:
            code = int(leave.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture
def segment(here: Path, run: Run, weights: Path) -> Run:
    """`segment` with defaults that later arguments replace."""

    def call(*more: str | Path, movie: str = "movie.tif", out: str = "labels.tif",
             prompts: str = "clicks.csv") -> tuple[int, str, str]:  # fmt: skip
        fixed = ("--prompts", prompts, "--output", out, "--model", weights, "--device", "cpu")
        return run("segment", movie, *fixed, *more)

    return call


def described(path: Path | str) -> dict:
    """Provenance in a TIFF of ours."""
    with tifffile.TiffFile(path) as tif:
        return json.loads(tif.imagej_metadata["Info"])


def the_error(err: str) -> str:
    """The one line of an error, without the program's name."""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("napari-sam-i2v: error: ")
    return lines[0].removeprefix("napari-sam-i2v: error: ")


def digest(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of all files in a folder."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def listing(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


# ---- the main job -----------------------------------------------------------------------------


def test_segment_writes_a_tiff_of_the_movies_shape(segment: Run, here: Path) -> None:
    code, out, err = segment()
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "labels.tif: 2 objects, 6 of 6 frames tracked"
    labels = tifffile.imread("labels.tif")
    assert labels.shape == (6, tiny.SIZE, tiny.SIZE)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) <= {0, 1, 2}
    assert listing(here) == ["clicks.csv", "labels.tif", "movie.tif"]


def test_the_result_says_where_it_comes_from(segment: Run, weights: Path) -> None:
    segment("--seed", "5", "--frames", "0:3", "--contrast", "100", "3000")
    noted = described("labels.tif")
    assert noted["model"] == {
        "name": "tiny.safetensors",
        "variant": tiny.VARIANT,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    assert noted["settings"]["seed"] == 5
    low, high, gamma = noted["settings"]["contrast"]
    assert (low, high) == (100, 3000)
    assert 0.4 <= gamma < 1, "a dark movie is brightened"
    assert noted["settings"]["device"] == "cpu"
    assert noted["prompts"][1] == {
        "object_id": 2, "frame": 1, "points": [[33.0, 30.0]], "labels": [1]
    }  # fmt: skip
    assert noted["complete"] is True
    assert noted["frames_done"] == [[0, 3]]
    assert set(noted["versions"]) == {"napari-sam-i2v", "numpy", "torch"}


@pytest.mark.parametrize("out", ["labels.tif", "labels.zarr"])
def test_the_same_command_twice_gives_the_same_bytes(segment: Run, here: Path, out: str) -> None:
    prompts = here / "masks.tif"  # masks, so that there certainly are labels
    masks = np.zeros((tiny.SIZE, tiny.SIZE), np.uint8)
    masks[5:20, 5:20] = 3
    tifffile.imwrite(prompts, masks)
    options = ("--memory-filter", "multinomial", "--seed", "4")
    assert segment(*options, out=out, prompts="masks.tif")[0] == 0
    first = digest(here / out)
    assert np.asarray(open_movie(out)).max() == 3
    assert segment(*options, "--overwrite", out=out, prompts="masks.tif")[0] == 0
    assert digest(here / out) == first
    assert not list(here.glob("*partial*"))


def test_zarr_holds_the_same_labels(segment: Run, here: Path) -> None:
    assert segment()[0] == segment(out="labels.zarr")[0] == 0
    store = LabelStore.open("labels.zarr", mode="r")
    np.testing.assert_array_equal(np.asarray(store), tifffile.imread("labels.tif"))
    assert store.done == list(range(6))
    assert store.metadata == described("labels.tif")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_inside_an_image_are_its_own(segment: Run, here: Path, version: str) -> None:
    movie = write_image(
        here / "image.zarr", tiny.blobs(), version=version, images=multiscales("tyx")
    )
    out = "image.zarr/labels/cells.zarr"
    for more in ((), ("--overwrite",)):
        assert segment(*more, movie="image.zarr", out=out)[0] == 0
        assert list_labels(movie) == ("cells.zarr",)
        assert [kind for _, _, kind in read_layers(str(movie))] == ["image", "labels"]
    inside = zarr.open_group(str(here / out), mode="r")
    assert inside.metadata.zarr_format == (2 if version == "0.4" else 3)
    assert open_movie(out).scale == open_movie(movie).scale


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_inside_an_image_have_its_levels(segment: Run, here: Path, version: str) -> None:
    yaozarrs = pytest.importorskip("yaozarrs", reason="the extra test installs yaozarrs")
    images = multiscales("tyx")
    first = images[0]["datasets"][0]
    half = [{"type": "scale", "scale": [2.0, 1.0, 0.5]}]
    images[0]["datasets"] = [first, {"path": "s1", "coordinateTransformations": half}]
    if version == "0.4":
        images[0]["version"] = version
    image = write_image(here / "image.zarr", tiny.blobs(), version=version, images=images)
    small = tiny.blobs()[:, ::2, ::2]
    group = zarr.open_group(str(image), mode="r+")
    about = dict(group.attrs) if version == "0.4" else dict(group.attrs["ome"])
    del about["omero"]  # not whole, which the check below would say
    group.attrs.put(about if version == "0.4" else {"ome": about})
    group.create_array("s1", shape=small.shape, chunks=(1, *small.shape[1:]), dtype=small.dtype)
    out = "image.zarr/labels/cells.zarr"
    for more in ((), ("--overwrite",)):
        assert segment(*more, movie="image.zarr", out=out)[0] == 0
    labels = zarr.open_group(str(here / out), mode="r")
    np.testing.assert_array_equal(labels["1"][:], labels["0"][:, 1::2, 1::2])
    source = open_source(here / out)
    assert [level.shape for level in source.levels] == [small.shape]
    y, x = (source.pixel[axis][0] for axis in "YX")
    assert [source.levels[0].pixel[axis][0] for axis in "YX"] == [2 * y, 2 * x]
    yaozarrs.validate_zarr_store(str(image))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("before", [True, False])
def test_labels_inside_an_image_whose_metadata_are_consolidated(
    segment: Run, here: Path, version: str, before: bool
) -> None:
    """What was consolidated is of then; labels were made before it, or come after it."""
    movie = write_image(
        here / "image.zarr", tiny.blobs(), version=version, images=multiscales("tyx")
    )
    if before:
        zarr.open_group(str(movie), mode="r+").require_group("labels")
    zarr.consolidate_metadata(str(movie))
    for name in ("a.zarr", "b.zarr"):
        assert segment(movie="image.zarr", out=f"image.zarr/labels/{name}")[0] == 0
    assert list_labels(movie) == ("a.zarr", "b.zarr")


def test_a_refused_command_makes_no_labels_inside_an_image(segment: Run, here: Path) -> None:
    write_image(here / "image.zarr", tiny.blobs(), images=multiscales("tyx"))
    before = digest(here / "image.zarr")
    code, _, _ = segment(
        "--device", "abacus", movie="image.zarr", out="image.zarr/labels/cells.zarr"
    )
    assert code == 2
    code, _, err = segment(movie="image.zarr", out="image.zarr/labels/cells.tif")
    assert code == 2
    assert "does not exist" in the_error(err)
    assert digest(here / "image.zarr") == before
    assert listing(here / "image.zarr") == ["s0", "zarr.json"]


def test_frames_outside_the_range_stay_empty(segment: Run) -> None:
    tiny.write_clicks(Path("late.csv"), ((1, 2, 12, 14),))
    code, out, _ = segment("--frames", "2:4", prompts="late.csv", out="labels.zarr")
    assert (code, out.splitlines()[0]) == (0, "labels.zarr: 1 object, 2 of 6 frames tracked")
    store = LabelStore.open("labels.zarr", mode="r")
    assert store.done == [2, 3]
    assert store.shape[0] == 6
    assert not np.asarray(store)[[0, 1, 4, 5]].any()


@pytest.mark.parametrize(
    ("direction", "done"),
    [("forward", [3, 4, 5]), ("backward", [0, 1, 2, 3]), ("both", [0, 1, 2, 3, 4, 5])],
)
def test_directions(segment: Run, direction: str, done: list[int]) -> None:
    tiny.write_clicks(Path("late.csv"), ((1, 3, 12, 14),))
    code, _, _ = segment("--direction", direction, prompts="late.csv", out="labels.zarr")
    assert code == 0
    assert LabelStore.open("labels.zarr").done == done


def test_a_movie_of_one_frame(segment: Run, here: Path) -> None:
    tifffile.imwrite("one.tif", tiny.blobs(1)[0])
    tiny.write_clicks(Path("one.csv"), ((1, 0, 12, 14),))
    code, out, _ = segment(movie="one.tif", prompts="one.csv")
    assert (code, out.splitlines()[0]) == (0, "labels.tif: 1 object, 1 of 1 frames tracked")
    assert np.squeeze(tifffile.imread("labels.tif")).shape == (tiny.SIZE, tiny.SIZE)


def test_a_folder_of_pictures(segment: Run) -> None:
    Path("frames").mkdir()
    for t, frame in enumerate(tiny.blobs(4)):
        tifffile.imwrite(f"frames/t{t}.tif", frame)
    assert segment(movie="frames")[1].startswith("labels.tif: 2 objects, 4 of 4 frames tracked\n")


def test_float_movies_may_have_holes(segment: Run) -> None:
    movie = tiny.blobs().astype(np.float32)
    movie[:, :4] = np.nan
    tifffile.imwrite("holes.tif", movie)
    assert segment(movie="holes.tif")[0] == 0


def test_quiet_says_nothing(segment: Run) -> None:
    assert segment("--quiet") == (0, "", "")


# ---- in other formats -------------------------------------------------------------------------


def test_segment_writes_what_other_tools_read(segment: Run, here: Path) -> None:
    mask = np.zeros((tiny.SIZE, tiny.SIZE), np.uint8)
    mask[6:18, 8:20] = 4  # a mask prompt is answered by itself, whatever the network
    tifffile.imwrite("mask.tif", mask)
    options = ("--export", "ctc=01_RES", "--export", "table.csv")
    code, out, err = segment(*options, prompts="mask.tif")
    assert (code, err) == (0, "")
    assert {"01_RES: ctc", "table.csv: csv"} <= set(out.splitlines())
    masks = np.stack([tifffile.imread(path) for path in sorted(Path("01_RES").glob("*.tif"))])
    np.testing.assert_array_equal(masks > 0, tifffile.imread("labels.tif") > 0)
    header, *rows = Path("table.csv").read_text().splitlines()
    assert "mean_intensity" in header and "parent_id" in header
    row = dict(zip(header.split(","), rows[0].split(","), strict=True))
    assert 0 <= float(row["confidence"]) <= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [("ctc=here", "here exists"), ("labels.tif", "named twice"), ("nowhere/o.csv", "nowhere")],
)
def test_an_export_that_cannot_be_is_refused_before_tracking(
    segment: Run, here: Path, given: str, message: str
) -> None:
    (here / "here").mkdir()
    (here / "here" / "mine").touch()
    before = listing(here)
    code, _, err = segment("--export", given)
    assert code == 2
    assert message in the_error(err)
    assert listing(here) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--confidence", "clicks.csv"), "clicks.csv is read by this command"),
        (("--confidence", "a/../clicks.csv"), "clicks.csv is read by this command"),
        (("--confidence", "link.csv"), "link.csv is read by this command"),
        (("--export", "overlay=movie.gif"), "movie.gif is read by this command"),
        (("--export", "csv=x.csv", "--confidence", "x.csv"), "x.csv is named twice"),
        (("--export", "csv=x.csv", "--confidence", "a/../x.csv"), "x.csv is named twice"),
        (("--export", "a/../labels.tif"), "named twice"),
    ],
)
def test_what_is_read_is_never_overwritten(
    segment: Run, here: Path, more: tuple[str, ...], message: str
) -> None:
    (here / "a").mkdir()
    (here / "link.csv").symlink_to("clicks.csv")
    (here / "movie.tif").rename("movie.gif")
    before = listing(here), digest(here)
    code, _, err = segment(*more, "--overwrite", movie="movie.gif")
    assert code == 2
    assert message in the_error(err)
    assert (listing(here), digest(here)) == before


def test_labels_that_are_the_prompts_are_not_overwritten(segment: Run, here: Path) -> None:
    save_tiff((tiny.blobs() > 1000).astype(np.uint16), here / "labels.tif")
    before = digest(here)
    code, _, err = segment("--overwrite", prompts="labels.tif")
    assert code == 2
    assert "labels.tif is read by this command" in the_error(err)
    assert digest(here) == before


# ---- what is refused --------------------------------------------------------------------------


def _no_movie(_: Path) -> dict:
    return {"movie": "nowhere.tif"}, "there is no file or folder nowhere.tif"


def _folder_without_pictures(_: Path) -> dict:
    Path("notes").mkdir()
    Path("notes/readme.txt").write_text("no movie")
    return {"movie": "notes"}, "notes is no movie"


def _no_prompts(_: Path) -> dict:
    return {"prompts": "nowhere.csv"}, "there is no prompts file nowhere.csv"


def _broken_prompts(_: Path) -> dict:
    Path("bad.csv").write_text("object,frame\n1,0\n")
    return {"prompts": "bad.csv"}, "object_id,frame,y,x"


def _prompt_beside_the_movie(_: Path) -> dict:
    tiny.write_clicks(Path("out.csv"), ((1, 0, 12, 400),))
    return {"prompts": "out.csv"}, "outside the movie"


def _prompt_on_a_missing_frame(_: Path) -> dict:
    tiny.write_clicks(Path("out.csv"), ((1, 6, 12, 14),))
    return {"prompts": "out.csv"}, "frame 6, the movie has frames 0..5"


def _prompt_outside_the_range(_: Path) -> dict:
    return {"more": ("--frames", "0:1")}, "object 2 is on frame 1, outside the frames asked for"


def _frames_beyond_the_end(_: Path) -> dict:
    return {"more": ("--frames", "0:9")}, "frames 0 to 5; frames 0:9"


def _frames_backwards(_: Path) -> dict:
    return {"more": ("--frames", "4:2")}, "--frames needs A:B"


def _unknown_model(_: Path) -> dict:
    return {"more": ("--model", "sam-3")}, "Unknown model 'sam-3': name one of"


def _weights_of_another_network(_: Path) -> dict:
    import torch
    from safetensors.torch import save_file

    save_file({"layer.weight": torch.zeros(3)}, "other.safetensors")
    message = "does not hold the weights of a SAM-I2V network"
    return {"more": ("--model", "other.safetensors")}, message


def _weights_that_are_none(_: Path) -> dict:
    Path("text.pt").write_text("hello")
    return {"more": ("--model", "text.pt")}, "cannot be read as weights"


def _unknown_device(_: Path) -> dict:
    return {"more": ("--device", "abacus")}, "Unknown device 'abacus'"


def _contrast_upside_down(_: Path) -> dict:
    return {"more": ("--contrast", "9", "3")}, "low < high"


def _another_suffix(_: Path) -> dict:
    return {"out": "labels.png"}, "must end in .tif, .tiff or .zarr, got 'labels.png'"


def _no_folder(_: Path) -> dict:
    return {"out": "missing/labels.tif"}, "the folder missing does not exist"


def _an_empty_folder(_: Path) -> dict:
    Path("labels.tif").mkdir()
    return {}, "labels.tif exists"


def _a_pipe(_: Path) -> dict:
    os.mkfifo("pipe.csv")
    return {"prompts": "pipe.csv"}, "pipe.csv is neither a file nor a folder"


def _a_format_without_a_path(_: Path) -> dict:
    return {"more": ("--export", "csv")}, "csv is a format: say where to write it, csv=PATH"


def _no_movie_at_all(_: Path) -> dict:
    return {"movie": ""}, "a file or folder is required, got an empty text"


def _no_threads(_: Path) -> dict:
    return {"more": ("--threads", "x")}, "a number from 1 to "


REFUSED = [
    _no_movie, _folder_without_pictures, _no_prompts, _broken_prompts, _prompt_beside_the_movie,
    _prompt_on_a_missing_frame, _prompt_outside_the_range, _frames_beyond_the_end,
    _frames_backwards, _unknown_model, _weights_of_another_network, _weights_that_are_none,
    _unknown_device, _contrast_upside_down, _another_suffix, _no_folder,
    _an_empty_folder, _a_pipe, _a_format_without_a_path, _no_movie_at_all, _no_threads,
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__[1:])
def test_wrong_use_is_one_line_and_writes_nothing(
    segment: Run, here: Path, case: Callable[[Path], tuple[dict, str]]
) -> None:
    given, message = case(here)
    before = listing(here)
    code, out, err = segment(*given.pop("more", ()), **given)
    assert (code, out) == (2, "")
    assert message in the_error(err)
    assert listing(here) == before


def test_a_truncated_tiff_is_refused(segment: Run, here: Path) -> None:
    whole = Path("movie.tif").read_bytes()
    Path("cut.tif").write_bytes(whole[: len(whole) // 2])
    code, _, err = segment(movie="cut.tif")
    assert code == 2
    assert "truncated" in the_error(err)
    assert not Path("labels.tif").exists()


def test_a_movie_of_nothing_but_nan_fails(segment: Run, here: Path) -> None:
    tifffile.imwrite("nan.tif", np.full((6, tiny.SIZE, tiny.SIZE), np.nan, np.float32))
    code, _, err = segment(movie="nan.tif")
    assert code == 1
    assert "finite grey values" in the_error(err)
    assert listing(here) == ["clicks.csv", "movie.tif", "nan.tif"]


@pytest.mark.parametrize("out", ["labels.tif", "labels.zarr"])
def test_an_older_result_is_not_overwritten_unasked(segment: Run, here: Path, out: str) -> None:
    assert segment(out=out)[0] == 0
    before = digest(here)
    code, _, err = segment("--seed", "1", out=out)
    assert code == 2
    assert f"{out} exists" in the_error(err)
    assert digest(here) == before


def test_a_file_that_is_not_ours_is_never_overwritten(segment: Run, here: Path) -> None:
    before = digest(here)
    code, _, err = segment("--overwrite", out="movie.tif")
    assert code == 2
    assert "not a TIFF which napari-sam-i2v wrote" in the_error(err)
    assert digest(here) == before


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("fly",),
        ("segment", "movie.tif"),
        ("segment", "m.tif", "--prompts", "p.csv", "--output", "o.tif", "--direction", "up"),
        ("segment", "m.tif", "--prompts", "p.csv", "--output", "o.tif", "--threads", "0"),
        ("train",),
        ("train", "recipe.toml"),
        ("train", "nowhere.toml", "folder"),
        ("train", "--preview", "sheet.jpg"),
    ],
)
def test_wrong_arguments_exit_2_with_one_line(here: Path, run: Run, argv: tuple[str, ...]) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    the_error(err)


def test_debug_shows_the_traceback(segment: Run) -> None:
    code, _, err = segment("--debug", movie="nowhere.tif")
    assert code == 2
    assert "Traceback" in err


# ---- stopping on the way ----------------------------------------------------------------------


def broken_folder(folder: str, broken: int) -> None:
    """A movie as a folder of which one frame cannot be read."""
    Path(folder).mkdir()
    for t, frame in enumerate(tiny.blobs(6)):
        tifffile.imwrite(f"{folder}/t{t}.tif", frame)
    Path(f"{folder}/t{broken}.tif").write_bytes(b"II*\x00")


def test_an_unreadable_frame_fails_and_keeps_what_was_done(segment: Run, here: Path) -> None:
    broken_folder("frames", 4)
    contrast = ("--contrast", "0", "4000")  # else the frame is met while sampling
    code, _, err = segment(*contrast, movie="frames")
    assert code == 1
    assert "t4.tif" in the_error(err)
    noted = described("labels.tif")
    kept = noted["frames_done"][0][1]
    assert 0 < kept <= 4
    assert f"{kept} finished frame" in err
    assert noted["complete"] is False
    assert not list(here.glob("*partial*"))


def test_a_range_leaves_broken_frames_out(segment: Run) -> None:
    broken_folder("frames", 5)
    code, out, _ = segment("--frames", "0:3", movie="frames")
    assert (code, out.splitlines()[0]) == (0, "labels.tif: 2 objects, 3 of 6 frames tracked")


def test_failing_before_the_first_frame_leaves_nothing(segment: Run, here: Path) -> None:
    broken_folder("frames", 0)
    before = listing(here)
    code, _, err = segment("--contrast", "0", "4000", movie="frames")
    assert code in (1, 2)
    the_error(err)
    assert listing(here) == before


def test_where_the_frames_are_is_said_whatever_went_wrong(
    segment: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("max_denominator should be at least 1")

    monkeypatch.setattr("napari_sam_i2v.movies.export.save_tiff", broken)
    code, _, err = segment()
    assert code == 1
    assert "6 finished frames left in labels.tif.partial.zarr" in the_error(err)
    assert LabelStore.open("labels.tif.partial.zarr").done == list(range(6))


def test_failing_does_not_touch_the_older_result(segment: Run, here: Path) -> None:
    assert segment()[0] == 0
    before = digest(here / "labels.tif")
    broken_folder("frames", 4)
    code, _, err = segment("--overwrite", "--contrast", "0", "4000", movie="frames")
    assert code == 1
    assert "kept in labels.tif.partial.zarr; labels.tif is as it was" in the_error(err)
    assert digest(here / "labels.tif") == before
    assert LabelStore.open("labels.tif.partial.zarr", mode="r").done


def test_what_a_killed_run_left_is_named_and_kept(segment: Run, here: Path) -> None:
    left = LabelStore.create("labels.tif.partial.zarr", shape=(6, tiny.SIZE, tiny.SIZE))
    left[0] = np.ones((tiny.SIZE, tiny.SIZE), np.uint16)
    code, _, err = segment()
    assert code == 2
    assert "1 of 6 frames are in it" in the_error(err)
    assert LabelStore.open("labels.tif.partial.zarr").done == [0]
    assert segment("--overwrite")[0] == 0
    assert not Path("labels.tif.partial.zarr").exists()


def interrupted(here: Path, weights: Path, out: str, *, again: bool = False) -> tuple[int, str]:
    """Run `segment` on a long movie in its own process and press Ctrl-C after two frames."""
    save_tiff(tiny.blobs(300), "long.tif")
    argv = ("segment", "long.tif", "--prompts", "clicks.csv", "--output", out, "--model", weights,
            "--device", "cpu", "--threads", "1", *(("--overwrite",) if again else ()))  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_sam_i2v", *map(str, argv)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    direct = out.endswith(".zarr") and not again
    record = here / (out if direct else f"{out}.partial.zarr") / "0" / ".frames_done"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if record.is_file() and sum(record.read_bytes()) >= 2:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.02)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to a process")
@pytest.mark.parametrize("out", ["labels.tif", "labels.zarr"])
def test_ctrl_c_keeps_finished_frames(here: Path, weights: Path, out: str) -> None:
    code, err = interrupted(here, weights, out)
    assert code == 130, err
    (line,) = err.strip().splitlines()
    labels = open_movie(out)
    assert len(np.asarray(labels)) == 300
    noted = LabelStore.open(out).metadata if out.endswith(".zarr") else described(out)
    ((start, stop),) = noted["frames_done"]
    assert (start, noted["complete"]) == (0, False)
    assert 2 <= stop < 300
    assert line == f"napari-sam-i2v: interrupted: {stop} finished frames kept in {out}."
    assert not list(here.glob("*partial*"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to a process")
def test_ctrl_c_does_not_touch_the_older_result(segment: Run, here: Path, weights: Path) -> None:
    assert segment(out="labels.zarr")[0] == 0
    before = digest(here / "labels.zarr")
    code, err = interrupted(here, weights, "labels.zarr", again=True)
    assert code == 130, err
    assert "kept in labels.zarr.partial.zarr; labels.zarr is as it was." in err
    assert digest(here / "labels.zarr") == before
    assert len(LabelStore.open("labels.zarr.partial.zarr").done) >= 2


@pytest.fixture
def listens_to_ctrl_c() -> Iterator[None]:
    """Python's own handler, even where the tests run in the background and Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
def test_ctrl_c_twice_interrupts_at_once() -> None:
    with stop_on_ctrl_c() as wished:
        assert not wished()
        signal.raise_signal(signal.SIGINT)
        assert wished()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # as it was before
        signal.raise_signal(signal.SIGINT)


# ---- the other commands -----------------------------------------------------------------------


def test_help_is_quick_and_light(here: Path) -> None:
    probe = (
        "import sys, time; start = time.process_time()\n"
        "from napari_sam_i2v.cli import main\n"
        "try: main(['segment', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'napari', 'qtpy', 'zarr'} & set(sys.modules)\n"
        "print(heavy or 'light', time.process_time() - start)"
    )
    done = [subprocess.check_output([sys.executable, "-c", probe], text=True) for _ in range(3)]
    lasts = [one.split()[-2:] for one in done]
    assert {kind for kind, _ in lasts} == {"light"}
    assert min(float(seconds) for _, seconds in lasts) < 0.3


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("napari-sam-i2v ")


def test_models_lists_all(run: Run) -> None:
    from napari_sam_i2v.network.checkpoints import MODELS

    code, out, _ = run("models")
    rows = [line.split() for line in out.splitlines()[1 : 1 + len(MODELS)]]
    assert code == 0
    assert [row[0] for row in rows] == list(MODELS)
    assert all(info.licence in out and info.source in out for info in MODELS.values())
    assert "192 px" in out


def short_sample() -> object:
    from napari_sam_i2v.sample_data import SampleMovie

    labels = np.zeros((5, tiny.SIZE, tiny.SIZE), np.uint16)
    labels[:, 6:19, 8:21], labels[1:, 27:40, 24:37] = 1, 2
    clicks = [(i, t, float(y), float(x)) for i, t, y, x in tiny.CLICKS]
    return SampleMovie(
        "nuclei", "Discs", tiny.blobs(5), labels, clicks, (5.0, 0.65, 0.65),
        ("minute", "um", "um"),
    )  # fmt: skip


@pytest.fixture
def demo(here: Path, run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("napari_sam_i2v.sample_data.sample_movie", lambda name: short_sample())
    return lambda *more: run("demo", "--model", weights, "--device", "cpu", *more)


def test_demo_writes_measures_and_draws(demo: Run, here: Path) -> None:
    from napari_sam_i2v.measure import measure_accuracy

    code, out, err = demo()
    assert (code, err) == (0, "")
    folder = here / "napari-sam-i2v-demo"
    assert listing(folder) == ["labels.tif", "movie.tif", "overlay.png", "prompts.csv"]
    movie, labels = open_movie(folder / "movie.tif"), open_movie(folder / "labels.tif")
    np.testing.assert_array_equal(np.asarray(movie), tiny.blobs(5))
    assert movie.scale == labels.scale == pytest.approx((5, 0.65, 0.65))
    assert movie.units == ("minute", "micrometer", "micrometer")
    truth = measure_accuracy(labels, short_sample().labels, starts={1: 0, 2: 1})
    assert f"mean J {truth.j:.3f}" in out
    assert all(str(Path("napari-sam-i2v-demo") / name) in out for name in listing(folder))
    with Image.open(folder / "overlay.png") as picture:
        assert picture.width > 1000
        assert len(picture.getcolors(2**24)) > 100


def test_demo_again_makes_a_new_folder_and_never_overwrites(demo: Run, here: Path) -> None:
    assert demo("--quiet") == (0, "", "")
    first = digest(here / "napari-sam-i2v-demo")
    assert demo("--quiet")[0] == 0
    assert digest(here / "napari-sam-i2v-demo") == first
    assert digest(here / "napari-sam-i2v-demo-2") == first  # the same twice
    code, _, err = demo("--output", "napari-sam-i2v-demo")
    assert code == 2
    assert "holds movie.tif, prompts.csv, labels.tif, overlay.png already" in the_error(err)
    assert demo("--output", "napari-sam-i2v-demo", "--overwrite", "--quiet")[0] == 0


@pytest.mark.accuracy
def test_demo_with_the_embedded_model_finds_the_nuclei(here: Path, run: Run) -> None:
    """The bar of a first model on its own kind of movie; skipped in a checkout without weights."""
    from importlib.resources import files

    if not (files("napari_sam_i2v") / "weights" / f"{tiny.VARIANT}.safetensors").is_file():
        pytest.skip("the embedded weights are not in this checkout")
    code, out, _ = run("demo", "--device", "cpu")
    assert code == 0
    (line,) = (one for one in out.splitlines() if one.startswith("mean J"))
    assert float(line.split()[2]) >= 0.6


def test_train_preview_draws_a_sheet(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_sam_i2v.training.synthetic import contact_sheet

    monkeypatch.setattr(
        "napari_sam_i2v.training.synthetic.contact_sheet",
        lambda seed: contact_sheet(seed, looks=["nuclei_dividing"], size=96),
    )
    code, out, _ = run("train", "--preview", "sheet.png")
    assert (code, out) == (0, "sheet.png\n")
    with Image.open("sheet.png") as picture:
        assert picture.size == (6 * 96, 96)
    before = digest(here)
    assert run("train", "--preview", "sheet.png")[0] == 2
    assert digest(here) == before


def test_train_runs_a_recipe(here: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def train(recipe: object, folder: Path, **options: object) -> Path:
        asked.update(recipe=recipe, folder=folder, **options)
        return folder / "video.safetensors"

    monkeypatch.setattr("napari_sam_i2v.training.fit.train", train)
    Path("recipe.toml").write_text("seed = 9\n")
    code, out, _ = run("train", "recipe.toml", "out", "--precision", "bf16")
    assert (code, out) == (0, f"{Path('out') / 'video.safetensors'}\n")
    assert asked["recipe"].seed == 9
    assert (asked["precision"], asked["device"], asked["quiet"]) == ("bf16", "auto", False)


def test_confidence_of_every_answer_is_written(segment: Run, here: Path) -> None:
    code, out, _ = segment("--confidence", "sure.csv")
    assert code == 0
    lines = (here / "sure.csv").read_text().splitlines()
    assert lines[0] == "object_id,frame,confidence,score,iou,area"
    tracked = {tuple(map(int, line.split(",")[:2])) for line in lines[1:]}
    expected = {(i, t) for i, first, _, _ in tiny.CLICKS for t in range(first, 6)}
    assert tracked == expected
    doubtful = any(float(line.split(",")[2]) < 0.5 for line in lines[1:])
    assert ("worth a look" in out) == doubtful


@pytest.mark.parametrize("name", ["sure.txt", "nowhere/sure.csv", "clicks.csv"])
def test_a_confidence_file_that_cannot_be_is_refused_first(
    segment: Run, here: Path, name: str
) -> None:
    before = (here / "clicks.csv").read_bytes()
    code, _, err = segment("--confidence", name)
    assert code == 2
    assert the_error(err)
    assert not (here / "labels.tif").exists()
    assert (here / "clicks.csv").read_bytes() == before


# ---- movies of other formats -------------------------------------------------------------------


def test_wrong_axes_are_corrected(segment: Run) -> None:
    tifffile.imwrite("wrong.tif", tiny.blobs().transpose(1, 2, 0), photometric="minisblack")
    code, _, err = segment(movie="wrong.tif")
    assert code == 2, err  # the clicks lie outside
    code, _, err = segment("--axes", "YXT", movie="wrong.tif")
    assert (code, err) == (0, "")
    assert tifffile.imread("labels.tif").shape == (6, tiny.SIZE, tiny.SIZE)
    assert described("labels.tif")["settings"]["axes"] == "YXT"


def two_channels(path: str, *names: str) -> None:
    """Write an OME-TIFF whose channels have these names, the second of them empty."""
    pixels = np.stack([tiny.blobs(), np.zeros_like(tiny.blobs())], axis=1)
    metadata = {"axes": "TCYX", "Channel": {"Name": list(names)}}
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)


def test_a_part_is_chosen_of_a_movie_that_is_named(run: Run, here: Path) -> None:
    save_tiff((tiny.blobs() > 1000).astype(np.uint16), here / "discs.tif")
    code, _, err = run("export", "discs.tif", "--z", "1", "--to", "o.csv")
    assert code == 2
    assert "--z chooses a part of the movie: name it too (--movie)" in the_error(err)


def test_matroska_is_among_the_kinds_that_are_named(run: Run, here: Path, segment: Run) -> None:
    Path("movie.doc").write_text("no movie")
    assert "MKV" in the_error(segment(movie="movie.doc")[2])


def test_what_is_to_be_chosen_is_called_as_on_the_command_line(
    segment: Run, run: Run, here: Path
) -> None:
    two_channels("channels.ome.tif", "red", "green")
    deep = np.stack([tiny.blobs()] * 2, axis=1)
    tifffile.imwrite("deep.tif", deep, imagej=True, metadata={"axes": "TZYX"})
    tifffile.imwrite("unnamed.tif", np.stack([deep] * 2), photometric="minisblack")
    for movie, said in (
        ("channels.ome.tif", "Choose one with --channel NUMBER or NAME"),
        ("deep.tif", "choose one, --z 0 to --z 1"),
        ("unnamed.tif", "name them with --axes, one letter of TCZYXS each, for example --axes '"),
    ):
        code, _, err = segment(movie=movie)
        assert code == 2
        assert said in the_error(err)


def test_channels_may_be_named_by_their_wavelength(segment: Run, run: Run, here: Path) -> None:
    two_channels("movie.ome.tif", "488", "405")
    assert segment("--channel", "488", movie="movie.ome.tif")[0] == 0
    assert segment("--channel", "0", movie="movie.ome.tif", out="other.tif")[0] == 0
    np.testing.assert_array_equal(tifffile.imread("labels.tif"), tifffile.imread("other.tif"))
    more = ("--movie", "movie.ome.tif", "--channel", "405", "--to", "o.csv")
    save_tiff((tiny.blobs() > 1000).astype(np.uint16), here / "discs.tif")
    assert run("export", "discs.tif", *more)[0] == 0
    header, first, *_ = (here / "o.csv").read_text().splitlines()
    assert dict(zip(header.split(","), first.split(","), strict=True))["mean_intensity"] == "0"


def test_depth_of_a_label_image_is_that_of_the_movie(segment: Run) -> None:
    deep = np.stack([tiny.blobs(2)] * 3, axis=1)
    tifffile.imwrite("deep.tif", deep, imagej=True, metadata={"axes": "TZYX"})
    masks = np.zeros(deep.shape[1:], np.uint16)
    masks[1, 6:18, 8:20], masks[2, 27:39, 24:36] = 1, 2
    tifffile.imwrite("masks.tif", masks, imagej=True, metadata={"axes": "ZYX"})
    assert segment("--z", "2", movie="deep.tif", prompts="masks.tif")[0] == 0
    (prompt,) = described("labels.tif")["prompts"]
    assert (prompt["object_id"], prompt["frame"]) == (2, 0)


def test_one_image_of_several(segment: Run) -> None:
    with tifffile.TiffWriter("two.ome.tif", ome=True) as out:
        out.write(tiny.blobs()[:2], metadata={"axes": "TYX", "Name": "left"})
        out.write(tiny.blobs(), metadata={"axes": "TYX", "Name": "right"})
    code, _, err = segment("--scene", "right", movie="two.ome.tif")
    assert (code, err) == (0, "")
    assert tifffile.imread("labels.tif").shape[0] == 6
    code, _, err = segment("--scene", "up", "--overwrite", movie="two.ome.tif")
    assert code == 2 and "no single image 'up'; it has 0 = left, 1 = right" in the_error(err)


def test_an_ultrasound_movie(segment: Run) -> None:
    pytest.importorskip("pydicom")
    from tests.movies.patients import write_file

    window = {"WindowCenter": "1600", "WindowWidth": "3201"}
    write_file(Path("movie.dcm"), tiny.blobs(), modality="US", FrameTime="40", **window)
    code, _, err = segment(movie="movie.dcm")
    assert (code, err) == (0, "")
    noted = described("labels.tif")
    assert noted["movie"]["name"] == "DICOM US"
    assert noted["settings"]["contrast"][:2] == [1600 - 0.5 - 1600, 1600 - 0.5 + 1600]


def test_a_video(segment: Run) -> None:
    pytest.importorskip("av")
    from tests.movies.samples import matroska

    matroska(Path("."))
    code, _, err = segment("--frames", "0:4", movie="even.mkv")
    assert (code, err) == (0, "")
    assert tifffile.imread("labels.tif").shape == (30, 128, 192)


def full(path: Path, *_: object, **__: object) -> None:
    """Stand in for what writes to a disk that is full."""
    raise OutputError(f"{path}: the disk is full")


def test_what_cannot_be_written_keeps_nothing_else_from_it(
    segment: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels are there by then: they are named, and all that can be written is."""
    monkeypatch.setattr("napari_sam_i2v.cli.segment.write_text", full)
    monkeypatch.setattr("napari_sam_i2v.movies.ctc.save_ctc", lambda _, path, **__: full(path))
    code, out, err = segment(
        "--confidence", "sure.csv", "--export", "ctc=01_RES", "--export", "csv=cells.csv"
    )
    assert code == 1
    assert the_error(err) == (
        "The labels are in labels.tif. sure.csv was not written: sure.csv: the disk is full. "
        "01_RES was not written: 01_RES: the disk is full."
    )
    assert out.splitlines()[:2] == [
        "labels.tif: 2 objects, 6 of 6 frames tracked",
        "cells.csv: csv",
    ]
    assert listing(here) == ["cells.csv", "clicks.csv", "labels.tif", "movie.tif"]


def test_a_run_that_stops_says_what_is_kept_where_no_confidence_can_be_written(
    segment: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam_i2v.cli.segment.write_text", full)
    broken_folder("frames", 4)
    code, _, err = segment("--contrast", "0", "4000", "--confidence", "sure.csv", movie="frames")
    assert code == 1
    assert "finished frame" in the_error(err) and the_error(err).endswith("the disk is full.")
