"""Folders with movies and truths: what is found, what is taken as given, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.movies.layouts import discs, write_cell_tracking

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.cases import find_cases, load_case, load_cases
from napari_sam_i2v.propagation.view import interior_point


def truth() -> np.ndarray:
    """Object 3 on frames 0 to 2, object 7 from frame 2 on; nothing on frame 4; (6, 20, 24)."""
    labels = np.zeros((6, 20, 24), np.uint16)
    labels[:3, 2:7, 3:10] = 3
    labels[2:4, 10:17, 12:17] = 7
    labels[5, 10:17, 12:17] = 7
    return labels


def write_case(folder: Path, labels: np.ndarray | None = None, **files: str) -> Path:
    """A case; `files` are texts by name without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = truth() if labels is None else labels
    tifffile.imwrite(
        folder / "movie.tif",
        labels.astype(np.uint16) * 9,
        photometric="minisblack",
        metadata={"axes": "TYX"},
    )
    tifffile.imwrite(
        folder / "labels.tif", labels, photometric="minisblack", metadata={"axes": "TYX"}
    )
    for name, text in files.items():
        suffix = ".csv" if name == "prompts" else ".txt"
        (folder / f"{name}{suffix}").write_text(text)
    return folder


def write_clip(root: Path, name: str, *, palette: bool = False, size: str = "480p") -> Path:
    """A clip of 3 frames (16 x 18), annotated on the first two; object 2 on the second alone."""
    movie, masks = (root / part / size / name for part in ("JPEGImages", "Annotations"))
    for folder in (movie, masks):
        folder.mkdir(parents=True)
    for t in range(3):
        Image.fromarray(np.full((16, 18, 3), 40 * t, np.uint8)).save(movie / f"{t:05}.jpg")
    for t in range(2):
        plane = np.zeros((16, 18), np.uint8)
        plane[3:8, 4:9] = 1 if palette else 255
        if t:
            plane[10:14, 10:14] = 2 if palette else 128
        picture = Image.fromarray(plane)
        if palette:
            picture = picture.convert("P")
            picture.putdata(plane.ravel().tolist())
            picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
        picture.save(masks / f"{t:05}.png")
    return movie


# ---- what is found ----------------------------------------------------------------------------


def test_a_case_itself_and_a_folder_of_cases(tmp_path: Path) -> None:
    a, b = write_case(tmp_path / "a"), write_case(tmp_path / "b")
    (tmp_path / "other").mkdir()
    assert find_cases([b]) == [b]
    assert find_cases([tmp_path]) == [a, b]
    assert find_cases([b, tmp_path]) == [b, a]


def test_a_movie_without_labels_is_noted_and_left_out(tmp_path: Path) -> None:
    a = write_case(tmp_path / "a")
    (write_case(tmp_path / "b") / "labels.tif").unlink()
    notes: list[str] = []
    assert find_cases([tmp_path], note=notes.append) == [a]
    assert notes == ["b has no labels: left out"]


def test_davis_clips_are_found_from_every_level(tmp_path: Path) -> None:
    a = write_clip(tmp_path / "davis", "ant")
    b = write_clip(tmp_path / "davis", "bee")
    write_clip(tmp_path / "davis", "ant", size="1080p")
    case = write_case(tmp_path / "cells")
    assert find_cases([tmp_path / "davis"]) == [a, b]
    assert find_cases([a]) == [a]
    assert find_cases([tmp_path]) == [case, a, b]


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    write_case(tmp_path / "x" / "cells")
    write_case(tmp_path / "y" / "cells")
    write_case(tmp_path / "y" / "more")
    cases = load_cases([tmp_path / "x", tmp_path / "y"])
    assert [case.name for case in cases] == ["x/cells", "y/cells", "more"]


def test_equal_names_in_folders_of_equal_names(tmp_path: Path) -> None:
    for top in ("x", "y"):
        write_case(tmp_path / top / "movies" / "cells")
        write_clip(tmp_path / top / "davis", "ant", palette=True)
        movie, labels = discs(3)
        write_cell_tracking(tmp_path / top / "ctc" / "hela", movie, labels, outlined=[0, 1])
    folders = [tmp_path / top / kind for kind in ("movies", "davis", "ctc") for top in ("x", "y")]
    names = [case.name for case in load_cases(folders)]
    assert names == [
        "x/movies/cells", "y/movies/cells", "x/davis/davis_ant", "y/davis/davis_ant",
        "x/ctc/hela_01", "y/ctc/hela_01",
    ]  # fmt: skip


def test_what_no_folder_tells_apart_is_numbered(tmp_path: Path) -> None:
    sizes = [write_clip(tmp_path, "ant", palette=True, size=size) for size in ("480p", "1080p")]
    other = write_case(tmp_path / "davis_ant (2)")
    names = [case.name for case in load_cases([other, *sizes])]
    assert names == ["davis_ant (2)", "davis_ant", "davis_ant (3)"]


def test_nothing_to_be_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no case: a case is a folder with movie\.tif"):
        find_cases([tmp_path])
    with pytest.raises(InputError, match="is no folder"):
        find_cases([tmp_path / "typo"])


# ---- what a case holds ------------------------------------------------------------------------


def test_defaults_without_lists(tmp_path: Path) -> None:
    case = load_case(write_case(tmp_path / "a"))
    assert (case.name, case.group) == ("a", "")
    assert case.annotated == (0, 1, 2, 3, 5), "frames that hold labels"
    assert not case.dense
    assert case.presence == {3: (0, 1, 2), 7: (2, 3, 5)}
    assert case.starts == {3: 0, 7: 2}
    clicks = [(p.object_id, p.frame, p.points.tolist()) for p in case.prompts]
    assert clicks == [(3, 0, [[4, 5]]), (7, 2, [[12, 14]])]
    assert case.mask(7, 3).sum() == 35


def test_lists_are_followed(tmp_path: Path) -> None:
    clicks = "object_id,frame,y,x,label\n7,2,11,13,1\n7,2,3,3,0\n"
    case = load_case(write_case(tmp_path / "a", prompts=clicks, annotated_frames="5\n2\n2\n"))
    assert case.annotated == (2, 5)
    assert case.starts == {7: 2}
    assert case.prompts[0].labels.tolist() == [1, 0]


def test_every_frame_annotated_is_dense(tmp_path: Path) -> None:
    listed = "\n".join(map(str, range(6)))
    assert load_case(write_case(tmp_path / "a", annotated_frames=listed)).dense


@pytest.mark.parametrize(("palette", "objects"), [(False, {1}), (True, {1, 2})])
def test_davis_annotations(tmp_path: Path, palette: bool, objects: set[int]) -> None:
    """Grey pictures show one object, whatever the values; a palette's indices are ids."""
    case = load_case(write_clip(tmp_path, "ant", palette=palette))
    assert (case.name, case.group) == ("davis_ant", "davis")
    assert case.movie.shape == (3, 16, 18, 3)
    assert case.truth.shape == (3, 16, 18)
    assert case.annotated == (0, 1), "there is no picture for frame 2"
    assert set(case.presence) == objects
    assert int(case.mask(1, 1).sum()) == (25 if palette else 41)


def test_davis_clicks(tmp_path: Path) -> None:
    clip = write_clip(tmp_path, "ant")
    clicks = tmp_path / "Prompts" / "480p" / "ant.csv"
    clicks.parent.mkdir(parents=True)
    clicks.write_text("object_id,frame,y,x,label\n1,1,11,12,1\n")
    assert load_case(clip).starts == {1: 1}


def test_interior_point_keeps_off_the_border() -> None:
    mask = np.zeros((9, 9), bool)
    mask[:5, :5] = True
    assert interior_point(mask) == (2, 2)
    mask[6, 6] = True
    assert interior_point(mask) == (2, 2)


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"annotated_frames": "0 6"}, "frames of the movie, 0 to 5; got 0, 6"),
        ({"annotated_frames": ""}, "got none"),
        ({"annotated_frames": "first"}, "one per line"),
        ({"annotated_frames": "4"}, "shows no object"),
        ({"prompts": "object_id,frame,y,x\n9,0,2,2\n"}, "object 9 is prompted, but on no"),
        ({"prompts": "object_id,frame,y,x\n3,4,2,2\n"}, "object 3 is prompted, but on no"),
        ({"prompts": "object_id,frame,y,x\n3,0,99,2\n"}, "outside the movie"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_case(write_case(tmp_path / "a", **files))


def test_labels_must_fit_the_movie(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a")
    tifffile.imwrite(
        folder / "labels.tif", truth()[:4], photometric="minisblack", metadata={"axes": "TYX"}
    )
    with pytest.raises(InputError, match=r"one shape \(T, Y, X\), got \(6, 20, 24\) and \(4"):
        load_case(folder)
    tifffile.imwrite(
        folder / "labels.tif", truth() * 0.5, photometric="minisblack", metadata={"axes": "TYX"}
    )
    with pytest.raises(InputError, match="whole numbers"):
        load_case(folder)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "a")
    (folder / "labels.tif").unlink()
    with pytest.raises(InputError, match=r"lacks labels\.tif"):
        load_case(folder)
    with pytest.raises(InputError, match="holds no case"):
        find_cases([folder])


# ---- Cell Tracking Challenge ------------------------------------------------------------------

MOVIE, LABELS = discs()


def test_sequences_are_found_from_every_level(tmp_path: Path) -> None:
    root = write_cell_tracking(tmp_path / "Fluo", MOVIE, LABELS, outlined=[0, 3])
    (root / "02").mkdir()  # without a truth
    other = write_case(tmp_path / "cells")
    assert find_cases([root]) == find_cases([root / "01"]) == [root / "01"]
    assert find_cases([tmp_path]) == [root / "01", other]


def test_outlines_of_a_sequence_have_the_ids_of_their_markers(tmp_path: Path) -> None:
    root = write_cell_tracking(tmp_path / "Fluo", MOVIE, LABELS, outlined=[1, 3])
    case = load_case(root / "01")
    assert (case.name, case.annotated, case.dense) == ("Fluo_01", (1, 3), False)
    assert case.presence == {3: (1, 3), 8: (1, 3)}
    assert np.array_equal(case.truth[3], LABELS[3])
    assert not case.truth[2].any()
    assert np.array_equal(case.movie[3], MOVIE[3])
    assert [(p.object_id, p.frame) for p in case.prompts] == [(3, 1), (8, 1)]
    (root / "01_prompts.csv").write_text("object_id,frame,y,x\n8,3,70,67\n")
    assert [(p.object_id, p.frame) for p in load_case(root / "01").prompts] == [(8, 3)]


def test_frames_on_which_a_cell_is_not_outlined_are_judged_only_if_there_are_no_others(
    tmp_path: Path,
) -> None:
    part = LABELS.copy()
    part[3][part[3] == 8] = 0
    root = write_cell_tracking(tmp_path / "Fluo", MOVIE, part, outlined=[1, 3])
    write_cell_tracking(tmp_path / "Fluo", MOVIE, LABELS, outlined=[])  # all markers
    assert load_case(root / "01").annotated == (1,)
    (root / "01_GT" / "SEG" / "man_seg001.tif").unlink()
    case = load_case(root / "01")
    assert (case.annotated, case.presence) == ((3,), {3: (3,)})


@pytest.mark.parametrize(
    ("outlined", "markers", "lacks"),
    [([], True, "has no outlines to be judged by"), ([0, 2], False, "has no tracking markers")],
)
def test_a_sequence_that_cannot_be_judged_is_refused(
    tmp_path: Path, outlined: list[int], markers: bool, lacks: str
) -> None:
    root = write_cell_tracking(tmp_path, MOVIE, LABELS, outlined=outlined, markers=markers)
    with pytest.raises(InputError, match=lacks):
        load_case(root / "01")


def test_outlines_of_another_size_are_refused(tmp_path: Path) -> None:
    root = write_cell_tracking(tmp_path, MOVIE[:, :80], LABELS, outlined=[0, 2])
    with pytest.raises(InputError, match=r"is \(96, 96\), the movie's frames are \(80, 96\)"):
        load_case(root / "01")
