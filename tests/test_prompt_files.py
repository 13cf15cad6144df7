"""Prompts from files: what is read, and what is said about files that are wrong."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pandas
import pytest
import tifffile
from PIL import Image

from napari_sam_i2v.errors import OutputError, PromptError
from napari_sam_i2v.movies.export import save_ome_zarr
from napari_sam_i2v.prompt_files import read_prompts, read_saved_prompts, write_prompts
from napari_sam_i2v.propagation.prompts import Prompt

SHAPE = (5, 60, 80)


@pytest.fixture
def saved(tmp_path: Path):
    def save(text: str, name: str = "prompts.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return save


def listed(prompts: list[Prompt]) -> list[tuple]:
    return [
        (p.object_id, p.frame, *(None if a is None else a.tolist() for a in (p.points, p.labels)))
        for p in prompts
    ]


# --- CSV -----------------------------------------------------------------------------------------


def test_points_of_an_object_on_a_frame_are_one_prompt(saved) -> None:
    text = "object_id,frame,y,x,label\n2,0,10,20,1\n1,3,5.5,6,1\n2,0,11,21,0\n2,1,1,2,1\n"
    assert listed(read_prompts(saved(text))) == [
        (2, 0, [[10, 20], [11, 21]], [1, 0]),
        (2, 1, [[1, 2]], [1]),
        (1, 3, [[5.5, 6]], [1]),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "object_id,frame,y,x\n1,2,3,4\n",
        "x,y,frame,object_id\n4,3,2,1\n",
        "\ufeffObject_ID, Frame, Y, X, Label\r\n\r\n1, 2, 3, 4, 1\r\n",
        "object_id;frame;y;x;label\n1;2;3;4;\n",
        "object_id\tframe\ty\tx\n1\t2\t3\t4\n",
        "object_id,frame,y,x,label,note\n1.0,2.0,3,4,1.0,hello\n",
        "object_id,frame,y,x,label\n1,2,3,4,positive",
    ],
)
def test_ways_of_writing_csv(saved, text: str) -> None:
    assert listed(read_prompts(saved(text))) == [(1, 2, [[3, 4]], [1])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("object_id,frame,y,x\n", "holds no prompts"),
        ("1,0,10,20,1\n", "line 1: a header .* is required"),
        ("object_id,frame,y\n1,2,3\n", "line 1: .* x missing"),
        ("object_id,frame,y,x\n1,0,3,4\nb,0,3,4\n", "line 3: object_id must be a number"),
        ("object_id,frame,y,x\n1.5,0,3,4\n", "line 2: object_id must be a whole number"),
        ("object_id,frame,y,x\n0,0,3,4\n", r"line 2: object_id .* in 1\.\.65535"),
        ("object_id,frame,y,x\n65536,0,3,4\n", r"line 2: object_id .* in 1\.\.65535"),
        ("object_id,frame,y,x\n1,0.5,3,4\n", "line 2: frame must be a whole number"),
        ("object_id,frame,y,x\n1,-1,3,4\n", "line 2: frame must be a whole number from 0"),
        ("object_id,frame,y,x\n1,0,nan,4\n", "line 2: y must be finite"),
        ("object_id,frame,y,x\n1,0,3,inf\n", "line 2: x must be finite"),
        ("object_id,frame,y,x\n1,0,3,\n", "line 2: x must be a number"),
        ("object_id,frame,y,x\n1,0,3\n", "line 2: the line is too short, x is missing"),
        ("object_id,frame,y,x,label\n1,0,3,4,2\n", "line 2: label must be 1"),
        ("object_id,frame,y,x,X\n1,0,3,4,5\n", "line 1: x is there twice"),
        (
            "index,axis-0,axis-1,axis-2,axis-3\n0,1,2,3,4\n",
            "line 1: points and shapes need the columns",
        ),
    ],
)
def test_wrong_csv(saved, text: str, message: str) -> None:
    path = saved(text)
    with pytest.raises(PromptError, match=message) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,5,3,4", r"line 2: object 1 is on frame 5, the movie has frames 0\.\.4"),
        ("1,0,60,4", r"line 2: the point \(y=60, x=4\) of object 1 lies outside"),
        ("1,0,3,-1", "line 2: the point .* lies outside"),
    ],
)
def test_prompts_outside_the_movie(saved, line: str, message: str) -> None:
    path = saved(f"object_id,frame,y,x\n{line}\n")
    assert len(read_prompts(path)) == 1
    with pytest.raises(PromptError, match=message):
        read_prompts(path, movie_shape=SHAPE)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="there is no prompts file"):
        read_prompts(tmp_path / "nowhere.csv")
    with pytest.raises(PromptError, match=r"no prompts file .* and no label image"):
        read_prompts(tmp_path)


def test_binary_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(PromptError, match="cannot be read as text"):
        read_prompts(path)


# --- the CSV of a Points layer -------------------------------------------------------------------


def test_points_layer_without_ids(saved) -> None:
    text = "index,axis-0,axis-1,axis-2\n0.0,2.0,10.5,20.25\n1.0,0.0,3.0,4.0\n"
    assert listed(read_prompts(saved(text))) == [
        (2, 0, [[3, 4]], [1]),
        (1, 2, [[10.5, 20.25]], [1]),
    ]


def test_points_layer_with_features(saved) -> None:
    text = (
        "index,axis-0,axis-1,axis-2,object_id,label\n"
        "0,0.0,1.0,2.0,7,1\n1,0.0,3.0,4.0,7,0\n2,1.0,5.0,6.0,9,1\n"
    )
    assert listed(read_prompts(saved(text))) == [
        (7, 0, [[1, 2], [3, 4]], [1, 0]),
        (9, 1, [[5, 6]], [1]),
    ]


def test_points_layer_of_an_image(saved) -> None:
    text = "index,axis-0,axis-1\n0,10.0,20.0\n"
    assert listed(read_prompts(saved(text))) == [(1, 0, [[10, 20]], [1])]


def test_what_napari_itself_writes(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers")
    from napari_builtins.io import napari_write_points

    features = {"object_id": [4, 4], "label": [1, 0]}
    points = layers.Points([[2, 10.5, 20], [2, 11, 21]], features=features, scale=(1, 0.5, 0.5))
    path = str(tmp_path / "points.csv")
    napari_write_points(path, points.data, points._get_state())
    assert listed(read_prompts(path)) == [(4, 2, [[10.5, 20], [11, 21]], [1, 0])]


# --- the CSV of a Shapes layer -------------------------------------------------------------------

SHAPES = "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n"


def corners(index: int, frame: float, *yx: tuple[float, float], kind: str = "rectangle") -> str:
    rows = [f"{index},{kind},{i},{frame},{y},{x}\n" for i, (y, x) in enumerate(yx)]
    return "".join(rows)


def test_rectangles_become_boxes(saved) -> None:
    text = corners(0, 2.0, (22, 12), (22, 28), (38, 28), (38, 12))
    text += corners(1, 0.9999999, (5, 8.5), (2, 6), (8, 6), (5, 3.5))  # turned
    found = read_prompts(saved(SHAPES + text), movie_shape=SHAPE)
    assert [(p.object_id, p.frame, p.box, p.points) for p in found] == [
        (2, 1, (2, 3.5, 8, 8.5), None),
        (1, 2, (22, 12, 38, 28), None),
    ]


def test_rectangles_on_one_picture_are_on_frame_0(saved) -> None:
    text = "index,shape-type,vertex-index,axis-0,axis-1\n0,rectangle,0,1,2\n0,rectangle,1,3,5\n"
    (found,) = read_prompts(saved(text))
    assert (found.object_id, found.frame, found.box) == (1, 0, (1, 2, 3, 5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (corners(0, 0, (1, 2), (3, 4), kind="polygon"), "line 2: rectangles are required.*polygon"),
        (corners(0, 0, (1, 2)) + corners(0, 3, (3, 4)), "rectangle 0 lies on the frames 0 to 3"),
        (corners(0, 0, (1, 2), (1, 4)), "line 2: a box needs y0 < y1"),
        (corners(0, 9, (1, 2), (3, 4)), "object 1 is on frame 9"),
        (corners(-1, 0, (1, 2), (3, 4)), "index must be a whole number"),
        ("0,rectangle,0\n", "line 2: axis-0,axis-1,axis-2 missing"),
    ],
)
def test_wrong_shapes(saved, text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        read_prompts(saved(SHAPES + text), movie_shape=SHAPE)


def test_rectangles_that_napari_itself_writes(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers")
    from napari_builtins.io import napari_write_shapes

    drawn = [[[2, 10, 20], [2, 10, 30], [2, 15, 30], [2, 15, 20]]]
    shapes = layers.Shapes(drawn, shape_type="rectangle", scale=(1, 0.5, 0.5))
    path = str(tmp_path / "shapes.csv")
    napari_write_shapes(path, shapes.data, shapes._get_state())
    (found,) = read_prompts(path)
    assert (found.object_id, found.frame, found.box) == (1, 2, (10, 20, 15, 30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("object_id,frame,y,x\n1,0,2," + "3" * 200_000, "line 2: not valid CSV, field larger"),
        ("object_id,frame,y,x\n" + "9" * 400 + ",0,2,3", "line 2: object_id must be finite"),
        (",,,\n", "is empty"),
    ],
)
def test_monstrous_csv(saved, text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message) as said:
        read_prompts(saved(text))
    assert len(str(said.value)) < 400


# --- JSON ----------------------------------------------------------------------------------------


def test_json(saved) -> None:
    text = """{"prompts": [
      {"object_id": 3, "frame": 1, "points": [[1, 2], [3, 4]], "labels": [1, 0]},
      {"object_id": 1, "frame": 0, "box": [1, 2, 3.5, 4]},
      {"object_id": 3, "frame": 1, "points": [[5, 6]]},
      {"object_id": 2, "frame": 0, "mask": {"shape": [2, 3], "runs": [1, 2, 3]}}
    ]}"""
    box, mask, points = read_prompts(saved(text, "prompts.json"))
    assert box.box == (1.0, 2.0, 3.5, 4.0) and box.points is None
    assert mask.mask is not None
    np.testing.assert_array_equal(mask.mask, [[False, True, True], [False, False, False]])
    assert listed([points]) == [(3, 1, [[1, 2], [3, 4], [5, 6]], [1, 0, 1])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ("[]", r'"prompts": \[\.\.\.\]\} is required'),
        ('{"prompts": []}', "holds no prompts"),
        ('{"prompts": [{"frame": 0}]}', r"prompts\[0\]: object_id and frame are required"),
        ('{"prompts": [{"object_id": 1, "frame": 0}]}', "points, a box or a mask are required"),
        ('{"prompts": [{"object_id": true, "frame": 0}]}', "object_id must be a whole number"),
        ('{"prompts": [{"object_id": 1, "frame": 0, "points": [1, 2]}]}', r"a point \[y, x\]"),
        ('{"prompts": [{"object_id": 1, "frame": 0, "points": 3}]}', "a list is required"),
        ('{"prompts": [{"object_id": 1, "frame": 0, "points": [[1, NaN]]}]}', "finite"),
        (
            '{"prompts": [{"object_id": 1, "frame": 0, "points": [[1, 2]], "labels": [1, 0]}]}',
            "1 points need as many labels, got 2",
        ),
        ('{"prompts": [{"object_id": 1, "frame": 0, "box": [3, 2, 1, 4]}]}', "y0 < y1"),
        ('{"prompts": [{"object_id": 1, "frame": 0, "mask": [1]}]}', "a mask is"),
        ('{"prompts": [{"object_id": 1, "frame": 0, "round": 0}]}', "round must be a whole number"),
        (
            '{"prompts": [{"object_id": 1, "frame": 0, "box": [1, 2, 3, 4]},'
            '{"object_id": 1, "frame": 0, "box": [1, 2, 3, 5]}]}',
            'prompts.1.: one object can have one box .* "round"',
        ),
        (
            '{"prompts": [{"object_id": 1, "frame": 0, "mask": {"shape": [2, 2], "runs": [9]}}]}',
            "must add up",
        ),
        ("[" * 100_000, "JSON that cannot be read"),
        (f'{{"prompts": [{"9" * 5000}]}}', "JSON that cannot be read"),
        (
            f'{{"prompts": [{{"object_id": {"9" * 400}, "frame": 0}}]}}',
            r"prompts\[0\]: object_id must be finite",
        ),
        (
            f'{{"prompts": [{{"object_id": 1, "frame": {"9" * 400}}}]}}',
            r"prompts\[0\]: frame must be finite",
        ),
        *(
            (
                '{"prompts": [{"object_id": 1, "frame": 0, "mask": '
                f'{{"shape": {shape}, "runs": {runs}}}}}]}}',
                rf"prompts\[0\]: {message}",
            )
            for shape, runs, message in (
                ("[2, 2]", "[1e400]", "a mask is"),
                ("[1e400, 2]", "[4]", "a mask is"),
                ("[-64, -64]", "[4096]", "a mask's shape must be"),
                ("[0, 0]", "[]", "a mask's shape must be"),
                ("[2, 2, 1]", "[4]", "a mask's shape must be"),
                ("[1000000, 1000000]", "[1000000000000]", "a mask's shape must be"),
                ("[64, 64]", "[1000000000000]", "the mask's runs must add up"),
                ("[64, 64]", f"[{'9' * 400}]", "the mask's runs must add up"),
            )
        ),
    ],
)
def test_wrong_json(saved, text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        read_prompts(saved(text, "prompts.json"))


def test_json_rounds(saved) -> None:
    text = """{"prompts": [
      {"object_id": 1, "frame": 0, "points": [[5, 6]], "round": 3},
      {"object_id": 1, "frame": 0, "points": [[1, 2]]},
      {"object_id": 1, "frame": 0, "box": [1, 2, 3, 4], "round": 2},
      {"object_id": 1, "frame": 0, "points": [[3, 4]], "labels": [0], "round": 1},
      {"object_id": 1, "frame": 0, "box": [2, 2, 3, 4], "round": 4}
    ]}"""
    first, box, points, other = read_prompts(saved(text, "prompts.json"))
    assert listed([first, points]) == [
        (1, 0, [[1, 2], [3, 4]], [1, 0]),
        (1, 0, [[5, 6]], [1]),
    ]
    assert (box.box, other.box) == ((1, 2, 3, 4), (2, 2, 3, 4))


def test_json_outside_the_movie(saved) -> None:
    box = '{"prompts": [{"object_id": 1, "frame": 0, "box": [60, 2, 70, 4]}]}'
    with pytest.raises(PromptError, match=r"the box .* lies outside"):
        read_prompts(saved(box, "prompts.json"), movie_shape=SHAPE)
    mask = '{"prompts": [{"object_id": 1, "frame": 0, "mask": {"shape": [1, 2], "runs": [0, 2]}}]}'
    with pytest.raises(PromptError, match="must agree"):
        read_prompts(saved(mask, "prompts.json"), movie_shape=SHAPE)


# --- label images --------------------------------------------------------------------------------


def labels() -> np.ndarray:
    stack = np.zeros(SHAPE, np.uint16)
    stack[0:4, 10:20, 10:20] = 5
    stack[2:, 30:40, 30:50] = 2
    return stack


@pytest.mark.parametrize("kind", ["array", "dask", "tif", "zarr"])
def test_label_stack(tmp_path: Path, kind: str) -> None:
    source: object = labels()
    if kind == "dask":
        source = da.from_array(labels(), chunks=(1, 60, 80))
    elif kind == "tif":
        source = tmp_path / "labels.tif"
        tifffile.imwrite(source, labels(), imagej=True, metadata={"axes": "TYX"})
    elif kind == "zarr":
        source = save_ome_zarr(labels(), tmp_path / "labels.zarr")
    first, second = read_prompts(source, movie_shape=SHAPE)
    assert [(p.object_id, p.frame, p.points) for p in (first, second)] == [
        (5, 0, None),
        (2, 2, None),
    ]
    assert first.mask is not None and second.mask is not None
    np.testing.assert_array_equal(first.mask, labels()[0] == 5)
    np.testing.assert_array_equal(second.mask, labels()[2] == 2)


def test_depth_of_a_label_image_is_time_unless_a_plane_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, labels(), imagej=True, metadata={"axes": "ZYX"})
    assert [(p.object_id, p.frame) for p in read_prompts(path)] == [(5, 0), (2, 2)]
    first, second = read_prompts(path, movie_shape=SHAPE, z=3)
    assert [(p.object_id, p.frame) for p in (first, second)] == [(2, 0), (5, 0)]
    np.testing.assert_array_equal(first.mask, labels()[3] == 2)
    with pytest.raises(PromptError, match=r"z must lie in 0\.\.4"):
        read_prompts(path, z=5)


def test_the_chosen_plane_of_each_frame_of_a_label_image_prompts(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    planes = np.stack([np.zeros_like(labels()), labels()], axis=1)
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(PromptError, match="2 z planes: choose one"):
        read_prompts(path)
    found = read_prompts(path, movie_shape=SHAPE, z=1)
    assert [(p.object_id, p.frame) for p in found] == [(5, 0), (2, 2)]


def test_a_label_image_without_depth_fits_any_plane(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, labels(), imagej=True, metadata={"axes": "TYX"})
    found = read_prompts(path, movie_shape=SHAPE, z=1)
    assert [(p.object_id, p.frame) for p in found] == [(5, 0), (2, 2)]


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_label_image_prompts_frame_0(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"labels.{ending}"
    Image.fromarray(labels()[3].astype(np.uint8)).save(path)
    assert [(p.object_id, p.frame) for p in read_prompts(path, movie_shape=SHAPE)] == [
        (2, 0),
        (5, 0),
    ]


@pytest.mark.parametrize("stack", [False, True])
def test_a_mask_of_booleans_is_object_1(stack: bool) -> None:
    mask = labels()[3] == 2
    (found,) = read_prompts(mask[None] if stack else mask)
    assert (found.object_id, found.frame) == (1, 0)
    np.testing.assert_array_equal(found.mask, mask)


def write_indexed(path: Path, plane: np.ndarray) -> None:
    picture = Image.fromarray(plane.astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128])
    picture.save(path)


def test_palette_pictures_hold_ids_as_indices(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for t, plane in enumerate(labels()):
        write_indexed(clip / f"{t:05d}.png", plane)
    found = read_prompts(clip, movie_shape=SHAPE)
    assert [(p.object_id, p.frame) for p in found] == [(5, 0), (2, 2)]
    np.testing.assert_array_equal(found[1].mask, labels()[2] == 2)
    one = read_prompts(clip / "00003.png", movie_shape=SHAPE)
    assert [(p.object_id, p.frame) for p in one] == [(2, 0), (5, 0)]


def test_a_picture_of_bits_is_object_1(tmp_path: Path) -> None:
    Image.fromarray(labels()[0] == 5).save(tmp_path / "mask.png")
    (found,) = read_prompts(tmp_path / "mask.png")
    assert found.object_id == 1
    np.testing.assert_array_equal(found.mask, labels()[0] == 5)


def test_palette_pictures_among_others_are_told_apart(tmp_path: Path) -> None:
    write_indexed(tmp_path / "0.png", labels()[0])
    Image.fromarray(np.ones((60, 80, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(PromptError, match=r"1\.png: labels must be whole numbers"):
        read_prompts(tmp_path)
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:90])
    with pytest.raises(PromptError, match=r"0\.png"):
        read_prompts(tmp_path / "0.png")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros(SHAPE, np.uint8), "holds no prompts"),
        (np.ones((2, 3)), "must be integers"),
        (np.ones((2, 3, 4, 5), int), r"\(Y, X\) or \(T, Y, X\)"),
        (np.full((2, 3), 70000), r"1\.\.65535"),
        (np.full((2, 3), -1), r"1\.\.65535"),
        (np.ones((2, 3), int), "must agree"),
        ("rubbish", "there is no prompts file"),
    ],
)
def test_wrong_label_images(source: object, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        read_prompts(source, movie_shape=SHAPE)


# --- writing -------------------------------------------------------------------------------------

POINTS = Prompt(1, 0, points=np.array([[1.0, 2.5], [3, 4]]), labels=np.array([1, 0]))
BOX = Prompt(2, 1, box=(1.0, 2.0, 3.0, 4.0))
MASK = Prompt(3, 2, mask=np.eye(4, 5, dtype=bool), correction=True)
EMPTY = Prompt(4, 2, mask=np.zeros((4, 5), bool))


def test_csv_round_trip(tmp_path: Path) -> None:
    path = write_prompts(tmp_path / "p.csv", [POINTS])
    assert path.read_text() == "object_id,frame,y,x,label\n1,0,1,2.5,1\n1,0,3,4,0\n"
    assert listed(read_prompts(path)) == listed([POINTS])


def test_json_round_trip(tmp_path: Path) -> None:
    refined = Prompt(3, 2, points=np.array([[0.0, 1.0]]), correction=True)
    given = [POINTS, BOX, MASK, refined, EMPTY]
    again = read_prompts(write_prompts(tmp_path / "p.json", given))
    assert listed(again) == listed(given)
    assert [p.correction for p in again] == [p.correction for p in given]
    assert again[1].box == BOX.box
    for one, other in ((again[2], MASK), (again[4], EMPTY)):
        assert one.mask is not None and other.mask is not None
        np.testing.assert_array_equal(one.mask, other.mask)


def test_json_keeps_rounds_and_says_so_only_where_there_are_several(tmp_path: Path) -> None:
    clicks = [Prompt(1, 0, points=np.array([[5.0, n]])) for n in (3, 1, 2)]
    other = Prompt(1, 0, box=(0, 0, 4, 4))
    given = [*clicks, EMPTY, Prompt(1, 0, mask=MASK.mask), other, other]
    path = write_prompts(tmp_path / "p.json", given)
    again = read_prompts(path)
    assert listed(again[:3]) == listed(clicks)
    assert [p.mask is not None for p in again[3:]] == [True, False, False, True]
    assert [again[4].box, again[5].box] == [other.box, other.box]
    assert [line.count('"round"') for line in path.read_text().splitlines()[1:-1]] == [
        1, 1, 1, 0, 1, 1, 1
    ]  # fmt: skip


def test_json_in_its_own_order(tmp_path: Path) -> None:
    given = [BOX, POINTS, EMPTY, MASK]
    again = read_saved_prompts(write_prompts(tmp_path / "p.json", given))
    assert [p.object_id for p in again] == [2, 1, 4, 3]
    assert [p.object_id for p in read_prompts(tmp_path / "p.json")] == [1, 2, 3, 4]
    assert read_saved_prompts(write_prompts(tmp_path / "none.json", [])) == []
    with pytest.raises(PromptError, match="is on frame 2, the movie has"):
        read_saved_prompts(tmp_path / "p.json", movie_shape=(2, 4, 5))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for prompt in (BOX, MASK):
        with pytest.raises(PromptError, match="CSV holds points only"):
            write_prompts(tmp_path / "p.csv", [POINTS, prompt])
    with pytest.raises(PromptError, match=r"\.csv or \.json"):
        write_prompts(tmp_path / "p.txt", [POINTS])
    with pytest.raises(OutputError, match="does not exist"):
        write_prompts(tmp_path / "missing" / "p.csv", [POINTS])
    assert list(tmp_path.iterdir()) == []


def test_overwriting_is_asked_for(tmp_path: Path) -> None:
    write_prompts(tmp_path / "p.csv", [POINTS])
    with pytest.raises(OutputError, match="exists"):
        write_prompts(tmp_path / "p.csv", [POINTS])
    write_prompts(tmp_path / "p.csv", [POINTS, POINTS], overwrite=True)


def test_development_prompts(shared_data: Path) -> None:
    shapes = {"c2c12": (10, 234, 234), "cine_z3": (20, 256, 256), "cho01_z0": (92, 443, 512)}
    counts = {"c2c12": 16, "cine_z3": 2, "cho01_z0": 8}
    for name, shape in shapes.items():
        prompts = read_prompts(shared_data / name / "prompts.csv", movie_shape=shape)
        assert len(prompts) == counts[name]
    dog = shared_data / "davis" / "Prompts" / "480p" / "dog.csv"
    assert listed(read_prompts(dog, movie_shape=(60, 480, 854, 3))) == [(1, 0, [[147, 309]], [1])]


# ---- tables ------------------------------------------------------------------------------------


def test_a_table_is_read_as_its_csv(saved) -> None:
    text = "object_id,frame,y,x,label\n2,1,10.5,20,1\n2,1,11,21,0\n3,0,5,6,1\n"
    table = pandas.read_csv(saved(text))
    assert listed(read_prompts(table)) == listed(read_prompts(saved(text)))
    with pytest.raises(PromptError, match=r"the table, line 1: a header .* x missing"):
        read_prompts(table.drop(columns="x"))
    with pytest.raises(PromptError, match="the table holds no prompts"):
        read_prompts(table.head(0))


def test_jpeg_holds_no_labels(tmp_path: Path) -> None:
    plane = np.zeros((40, 60), np.uint8)
    plane[5:15, 5:15] = 3
    Image.fromarray(plane).save(tmp_path / "labels.jpg")
    with pytest.raises(PromptError, match="JPEG changes grey values"):
        read_prompts(tmp_path / "labels.jpg")
