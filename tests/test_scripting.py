from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
import tifffile
import torch

import napari_sam_i2v
from napari_sam_i2v.errors import InputError, OutputError, PromptError
from napari_sam_i2v.inputs import open_input
from napari_sam_i2v.job import Settings
from napari_sam_i2v.movies import LabelStore, open_movie
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.scripting import Session, points_to_prompts, segment
from tests import tiny

SCALE = (5.0, 0.5, 0.25)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="session")
def network(weights: Path):
    return napari_sam_i2v.load_model(weights, device="cpu")


def square(side: int = 12) -> np.ndarray:
    """A mask (Y, X): a mask prompt is answered by itself, whatever the network."""
    mask = np.zeros((tiny.SIZE, tiny.SIZE), np.uint8)
    mask[6 : 6 + side, 8 : 8 + side] = 4
    return mask


def prompts() -> list[Prompt]:
    return [Prompt(i, t, np.array([[y, x]], float)) for i, t, y, x in tiny.CLICKS]


def test_it_is_public() -> None:
    assert napari_sam_i2v.segment is segment


def test_files_arrays_and_movies_give_the_same(tmp_path: Path, weights: Path, network) -> None:
    movie = tiny.write_movie(tmp_path / "movie.tif")
    clicks = tiny.write_clicks(tmp_path / "clicks.csv")
    from_files = segment(movie, str(clicks), model=weights, device="cpu")
    assert isinstance(from_files, np.ndarray)
    assert (from_files.shape, from_files.dtype) == (tiny.blobs().shape, np.uint16)
    assert set(np.unique(from_files)) <= {0, 1, 2}
    points = np.array([(t, y, x) for _, t, y, x in tiny.CLICKS], float)
    options = {"model": network, "device": "cpu"}
    for same in (
        segment(tiny.blobs(), prompts(), **options),
        segment(open_movie(movie), points, **options),
        segment(tiny.blobs().tolist(), points.tolist(), **options),
    ):
        np.testing.assert_array_equal(same, from_files)


def test_a_label_image_prompts_by_masks(network) -> None:
    labels = segment(tiny.blobs(), square(), model=network, device="cpu")
    np.testing.assert_array_equal(labels[0], square())
    assert set(np.unique(labels)) <= {0, 4}


@pytest.mark.parametrize("name", ["labels.zarr", "labels.tif"])
def test_output_is_a_lazy_array_of_the_file(tmp_path: Path, network, name: str) -> None:
    options = {"model": network, "device": "cpu"}
    in_memory = segment(tiny.blobs(), square(), **options)
    lazy = segment(tiny.blobs(), square(), output=tmp_path / name, **options)
    assert not isinstance(lazy, np.ndarray)
    np.testing.assert_array_equal(np.asarray(lazy[1:3]), in_memory[1:3])
    np.testing.assert_array_equal(np.asarray(open_movie(tmp_path / name)), in_memory)
    with pytest.raises(OutputError, match="exists"):
        segment(tiny.blobs(), square(), output=tmp_path / name, **options)


def test_frames_may_be_a_tuple(network) -> None:
    options = {"model": network, "device": "cpu"}
    part = segment(tiny.blobs(), square(), frames=(0, 2), **options)
    whole = segment(tiny.blobs(), square(), **options)
    np.testing.assert_array_equal(part[:2], whole[:2])
    assert not part[2:].any()


def test_an_error_on_the_way_keeps_finished_frames(tmp_path: Path, network) -> None:
    class Broken:
        shape, dtype = tiny.blobs().shape, np.dtype(np.uint16)

        def __getitem__(self, t: int) -> np.ndarray:
            if t == 4:
                raise OSError("disk gone")
            return tiny.blobs()[t]

    options = {"model": network, "device": "cpu", "contrast": (0, 4000)}
    with pytest.raises(InputError, match="Frame 4 of the movie cannot be read"):
        segment(Broken(), square(), output=tmp_path / "labels.zarr", **options)
    assert LabelStore.open(tmp_path / "labels.zarr").done[0] == 0
    assert LabelStore.open(tmp_path / "labels.zarr").metadata["complete"] is False


def test_a_progress_bar_is_shown_when_asked(network, capsys: pytest.CaptureFixture[str]) -> None:
    segment(tiny.blobs(), square(), model=network, device="cpu")
    assert capsys.readouterr().err == ""
    segment(tiny.blobs(), square(), model=network, device="cpu", progress=True)
    assert "/6 [" in capsys.readouterr().err


def test_one_colour_of_an_rgb_array(network) -> None:
    grey = (tiny.blobs() / 16).astype(np.uint8)
    rgb = np.stack([grey, np.zeros_like(grey), grey // 2], axis=-1)
    options = {"model": network, "device": "cpu"}
    red = segment(rgb, prompts(), channel=0, **options)
    np.testing.assert_array_equal(red, segment(grey, prompts(), **options))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompts": np.zeros((3, 5))}, "points \\(N, 3\\)"),
        ({"prompts": []}, "points"),
        ({"prompts": [(9, 3, 3)]}, "frame 9"),
        ({"prompts": [(0, 3, float("nan"))]}, "finite"),
        ({"prompts": [(1.5, 3, 3)]}, "a whole number for the frame; got 1.5"),
        ({"prompts": [(0, 3, 3), (0, 3)]}, "points \\(N, 3\\)"),
        ({"prompts": [Prompt(1, 0, box=(2, 2, 9, 9)), (0, 3, 3)]}, "points \\(N, 3\\)"),
        ({"model": None}, "The model must be a name"),
        ({"model": 5}, "The model must be a name"),
        ({"seed": 1.5}, "seed must be a whole number; got 1.5"),
        ({"seed": "7"}, "seed must be a whole number"),
        ({"frames": range(0, 4, 2)}, "frames 0:4:2 were asked for"),
        ({"frames": (0, 99)}, "frames 0 to 5"),
        ({"frames": (1, 3)}, "outside the frames asked for"),
        ({"frames": [0, 2]}, r"a tuple \(A, B\) of whole numbers .* got \[0, 2\]"),
        ({"frames": slice(0, 2)}, "frames must be a range"),
        ({"frames": (0, 2, 1)}, "frames must be a range"),
        ({"frames": (0, 2.5)}, "frames must be a range"),
        ({"contrast": (5, 5)}, "low < high"),
        ({"contrast": (100,)}, r"two finite numbers .* got \(100,\)"),
        ({"contrast": 100}, "two finite numbers"),
        ({"contrast": "ab"}, "two finite numbers"),
        ({"z": 1}, "choose what is read from a file"),
        ({"channel": 1}, "number of a colour"),
        ({"output": "labels.npy"}, "must end in"),
        ({"device": "abacus"}, "Unknown device"),
        ({"model": "sam-9"}, "Unknown model"),
        ({"view": "sideways"}, "view must be one of"),
        ({"direction": "up"}, "direction must be one of"),
    ],
)
def test_misuse_is_refused(network, given: dict, message: str) -> None:
    options = {"prompts": [(0, 12, 14)], "model": network, "device": "cpu", **given}
    with pytest.raises(InputError, match=message):
        segment(tiny.blobs(), **options)


@pytest.mark.parametrize("contrast", [(100,), 100, (5, 5), "ab"])
def test_a_session_refuses_contrasts_that_are_none(network, contrast: object) -> None:
    with pytest.raises(InputError, match="two finite numbers"):
        Session(tiny.blobs(), model=network, device="cpu", contrast=contrast)


def test_whole_numbers_may_be_numpys(tmp_path: Path, network) -> None:
    rgb = np.repeat((tiny.blobs() / 16).astype(np.uint8)[..., None], 3, axis=-1)
    options = {"model": network, "device": "cpu", "channel": np.int64(1), "seed": np.uint8(3)}
    limits = np.array([0.0, 250.0])
    written = segment(rgb, prompts(), output=tmp_path / "l.tif", contrast=limits, **options)
    session = Session(rgb, contrast=limits, **options)
    session.add_prompts(prompts())
    list(session.propagate())
    np.testing.assert_array_equal(np.asarray(written), session.labels)


def test_a_table_and_a_tensor_prompt(network) -> None:
    points = [(0, 12.0, 14.0), (0, 30.0, 34.0)]
    options = {"model": network, "device": "cpu"}
    expected = segment(tiny.blobs(), points, **options)
    table = pandas.DataFrame(points, columns=["frame", "y", "x"])
    table["object_id"] = [1, 2]
    for given in (table, torch.tensor(points), np.array(points, ">f4")):
        np.testing.assert_array_equal(segment(tiny.blobs(), given, **options), expected)


def test_a_session_takes_the_path_of_a_model(weights: Path, network) -> None:
    session = Session(tiny.blobs(), model=weights, device="cpu")
    assert session.model.config == network.config
    with pytest.raises(InputError, match="The model must be a name"):
        Session(tiny.blobs(), model=5, device="cpu")


@pytest.mark.parametrize(
    ("labels", "message"), [([[[0]]], "got list"), (np.zeros((6, 48, 48), np.uint16), "read-only")]
)
def test_labels_that_cannot_be_written_to_are_refused(network, labels, message: str) -> None:
    if isinstance(labels, np.ndarray):
        labels.flags.writeable = False
    with pytest.raises(InputError, match=message):
        Session(tiny.blobs(), model=network, device="cpu", labels=labels)


def test_settings_take_frames_as_a_range_only() -> None:
    with pytest.raises(InputError, match="frames must be a range"):
        Settings(frames=[0, 2])


@pytest.mark.parametrize("kind", ["c8", "U3", "M8[s]"])
def test_arrays_without_grey_values_are_refused(network, kind: str) -> None:
    with pytest.raises(InputError, match="A movie needs grey values"):
        segment(tiny.blobs().astype(kind), prompts(), model=network, device="cpu")


@pytest.mark.parametrize("shape", [(48, 48), (6, 2, 48, 48), (0, 48, 48)])
def test_arrays_that_are_no_movie_are_refused(network, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="needs the axes"):
        segment(np.zeros(shape, np.uint8), prompts(), model=network, device="cpu")


def test_the_plane_of_the_movie_is_that_of_a_label_image(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "movie.tif", np.stack([tiny.blobs()] * 2, axis=1), imagej=True,
        metadata={"axes": "TZYX"},
    )  # fmt: skip
    masks = np.zeros((2, tiny.SIZE, tiny.SIZE), np.uint16)
    masks[0, 2:9, 2:9], masks[1, 20:29, 20:29] = 3, 4
    tifffile.imwrite(tmp_path / "masks.tif", masks, imagej=True, metadata={"axes": "ZYX"})
    (prompt,) = open_input(tmp_path / "movie.tif", z=1).prompts(tmp_path / "masks.tif")
    assert (prompt.object_id, prompt.frame) == (4, 0)


def test_wrong_choices_leave_no_output(tmp_path: Path, network) -> None:
    with pytest.raises(InputError, match="direction must be one of"):
        segment(tiny.blobs(), square(), model=network, direction="up", output=tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


# ---- napari layers ----------------------------------------------------------------------------

layers = pytest.importorskip("napari.layers")


def image_layer(data: np.ndarray | None = None, **more: object):
    pixels = tiny.blobs() if data is None else data
    placed = {"scale": SCALE, "translate": (0, 100, 50), "units": ("minute", "um", "um")}
    return layers.Image(pixels, name="cells", axis_labels=("t", "y", "x"), **(placed | more))


def points_layer(**more: object):
    """The tiny movie's clicks in world coordinates of `image_layer`, in a layer of its own."""
    where = [(5 * t, 100 + 0.5 * y, 50 + 0.25 * x) for _, t, y, x in tiny.CLICKS]
    return layers.Points(np.array(where), name="clicks", **more)


def test_points_go_through_world_coordinates() -> None:
    from napari_sam_i2v.widget.layers import resolve_axes

    image = image_layer()
    found = points_to_prompts(points_layer(), image=image, axes=resolve_axes(image, (0, 0, 0)))
    assert [(p.object_id, p.frame) for p in found] == [(1, 0), (2, 1)]
    np.testing.assert_allclose(np.concatenate([p.points for p in found]), [[12, 14], [33, 30]])


def test_points_of_a_plain_movie_are_data_pixels() -> None:
    where = np.array([(t, y, x) for _, t, y, x in tiny.CLICKS], float)
    features = {"object_id": [7, 7], "label": [1, 0]}
    layer = layers.Points(where, features=features, scale=SCALE)
    first, second = points_to_prompts([layer])
    assert (first.object_id, first.frame, second.frame) == (7, 0, 1)
    np.testing.assert_array_equal(second.points, [[33, 30]])
    np.testing.assert_array_equal(second.labels, [0])


def test_layers_in_a_labels_layer_out(network) -> None:
    image = image_layer()
    labels = segment(image, points_layer(), model=network, device="cpu")
    assert isinstance(labels, layers.Labels)
    np.testing.assert_array_equal(labels.scale, image.scale)
    np.testing.assert_array_equal(labels.translate, image.translate)
    assert labels.units == image.units
    assert labels.name == "cells tracked"
    expected = segment(
        tiny.blobs(), prompts(), model=network, device="cpu", contrast=image.contrast_limits
    )
    np.testing.assert_array_equal(labels.data, expected)


def test_a_layers_output_keeps_its_steps_and_units(tmp_path: Path, network) -> None:
    target = tmp_path / "labels.tif"
    layer = segment(image_layer(), [points_layer()], model=network, device="cpu", output=target)
    saved = open_movie(target)
    assert saved.scale == pytest.approx(SCALE)
    assert saved.units == ("minute", "micrometer", "micrometer")
    np.testing.assert_array_equal(np.asarray(layer.data), tifffile.imread(target))


@pytest.mark.parametrize("output", ["labels.tif", "labels.zarr"])
def test_a_mirrored_layer_has_sizes_as_steps(tmp_path: Path, network, output: str) -> None:
    image = image_layer(scale=(-2, -0.5, 250), units=("s", "um", "nm"))
    path = tmp_path / output
    segment(image, prompts(), model=network, device="cpu", output=path)
    opened = open_movie(path)
    assert opened.scale == pytest.approx((2.0, 0.5, 0.25))
    assert opened.units == ("second", "micrometer", "micrometer")


def test_layers_of_other_kinds_prompt(network) -> None:
    image = image_layer()
    options = {"model": network, "device": "cpu"}
    corners = np.array([[0, 6, 8], [0, 6, 20], [0, 18, 20], [0, 18, 8]], float)
    drawn = layers.Shapes(
        [[image.data_to_world(corner) for corner in corners]], shape_type="rectangle"
    )
    boxed = segment(image, drawn, **options)
    expected = segment(tiny.blobs(), Prompt(1, 0, box=(6, 8, 18, 20)), **options)
    np.testing.assert_array_equal(boxed.data, expected)
    mask = np.zeros((48, 48), np.uint16)
    mask[6:18, 8:20] = 3
    masked = segment(image, layers.Labels(mask), **options)
    np.testing.assert_array_equal(masked.data, segment(tiny.blobs(), mask, **options))
    with pytest.raises(PromptError, match="Shapes layers are taken by themselves"):
        segment(tiny.blobs(), layers.Shapes([corners], shape_type="rectangle"), **options)


def test_a_further_axis_needs_a_position(network) -> None:
    stack = np.stack([np.zeros_like(tiny.blobs()), tiny.blobs()], axis=1)  # (T, C, Y, X)
    image = layers.Image(stack, axis_labels=("t", "c", "y", "x"), contrast_limits=(0, 4000))
    options = {"model": network, "device": "cpu"}
    with pytest.raises(InputError, match="channel= or z="):
        segment(image, prompts(), **options)
    with pytest.raises(InputError, match="there is no 5"):
        segment(image, prompts(), channel=5, **options)
    labels = segment(image, prompts(), channel=1, **options)
    assert labels.data.shape == (6, 1, tiny.SIZE, tiny.SIZE)
    np.testing.assert_array_equal(labels.translate, (0, 1, 0, 0))
    expected = segment(tiny.blobs(), prompts(), contrast=(0, 4000), **options)
    np.testing.assert_array_equal(labels.data[:, 0], expected)


def test_points_outside_the_image_are_refused(network) -> None:
    far = layers.Points(np.array([[0.0, 900.0, 60.0]]))
    with pytest.raises(PromptError, match="outside"):
        segment(image_layer(), far, model=network, device="cpu")


def test_session_takes_files_and_layers(tmp_path: Path, network) -> None:
    from napari.layers import Image, Points

    from napari_sam_i2v import Session

    movie = np.random.default_rng(0).integers(0, 255, (4, 48, 48)).astype(np.uint8)
    image = Image(movie, scale=(1, 0.5, 0.5), translate=(0, 10, 20), contrast_limits=(0, 200))
    points = Points(np.array([[1, 22.0, 32.0]]), features={"object_id": [7]})
    session = Session(image, model=network, device="cpu")
    session.add_prompts(points)
    assert session.object_ids == (7,)
    (prompt,) = session.prompts.rounds(7, 1)
    np.testing.assert_allclose(prompt.points, [[24, 24]])  # world (22, 32) is pixel (24, 24)
    frames = [result.frame for result in session.propagate("both")]
    assert sorted(frames) == [0, 1, 2, 3]
    layer = session.labels_layer()
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.data is session.labels

    tifffile.imwrite(tmp_path / "movie.tif", movie, metadata={"axes": "TYX"}, imagej=True)
    other = Session(str(tmp_path / "movie.tif"), model=network, device="cpu")
    assert other.shape == (4, 48, 48)
    assert other.labels_layer().data.shape == (4, 48, 48)


def test_a_session_exports_with_its_divisions(tmp_path: Path, network) -> None:
    from napari_sam_i2v import Session

    session = Session(tiny.blobs(), model=network, device="cpu")
    session.add_mask(4, 0, mask=square() > 0)
    session.labels[:3, 6:18, 8:20] = 4
    session.labels[3:, 6:18, 8:20] = 9
    session.lineage[9] = (4, 3)
    session.export(tmp_path / "01_RES", to="ctc")
    assert (tmp_path / "01_RES" / "res_track.txt").read_text() == "4 0 2 0\n9 3 5 4\n"
    text = session.export(tmp_path / "table.csv").read_text()
    assert "mean_intensity" in text.splitlines()[0]
