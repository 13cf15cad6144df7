"""Every kind of layer that a movie may be: the answer lies where the user clicked in the world."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image
from tests.network import tiny
from tests.propagation.fakes import BrightEngine, discs
from tests.widget.test_tracking import drive
from torch import Tensor

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.propagation.frames import FrameSource
from napari_sam_i2v.propagation.history import RecordedLabels
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.view import View
from napari_sam_i2v.widget.opening import Kept, Opening
from napari_sam_i2v.widget.tracking import TrackController
from napari_sam_i2v.workbench import Workbench

FRAMES = 5
SHAPE = (48, 64)  # rows and columns that cannot be mistaken for each other
START = (30.0, 12.0)
CENTRES = [[(START[0] - 2 * t, START[1] + 3 * t), (10.0, 50.0)] for t in range(FRAMES)]
MOVIE = discs(CENTRES, SHAPE, values=(200, 120))
OTHER = np.ascontiguousarray(MOVIE[::-1, ::-1, ::-1])  # what lies on the planes not chosen


def stacked(axis: int, at: int, count: int = 3) -> np.ndarray:
    """The movie as one plane of a stack, among others."""
    planes = [OTHER] * count
    planes[at] = MOVIE
    return np.stack(planes, axis=axis)


@dataclass(frozen=True)
class Kind:
    """A layer, and how its movie is found in it."""

    data: Callable[[], Any]
    layer: dict[str, Any] = field(default_factory=dict)
    slider: tuple[int, int] | None = None
    """(axis, data index) of the slider that must be moved."""
    time: int = 0


SCALED = {"scale": (5.0, 0.65, 0.3), "translate": (100.0, -7.0, 20.0),
          "axis_labels": ("t", "y", "x"), "units": ("minute", "um", "um")}  # fmt: skip
TZYX = {"axis_labels": ("t", "z", "y", "x"), "units": ("second", "um", "um", "um"),
        "scale": (2.0, 4.0, 0.5, 0.5), "translate": (3.0, 11.0, -2.0, 6.0)}  # fmt: skip

KINDS = {
    "uint8": Kind(lambda: MOVIE),
    "uint16": Kind(lambda: MOVIE.astype(np.uint16) * 100),
    "float32": Kind(lambda: (MOVIE / 255).astype(np.float32)),
    "dask": Kind(lambda: da.from_array(MOVIE, chunks=(1, 20, 20))),
    "zarr": Kind(lambda: zarr.array(MOVIE, chunks=(1, 24, 32))),
    "multiscale": Kind(lambda: [MOVIE, MOVIE[:, ::2, ::2]], {"multiscale": True, **SCALED}),
    "rgb": Kind(lambda: np.stack([MOVIE] * 3, axis=-1), {"rgb": True, **SCALED}),
    "scaled": Kind(lambda: MOVIE, SCALED),
    "turned": Kind(lambda: MOVIE, {"rotate": 30, **SCALED}),
    "channel": Kind(
        lambda: stacked(1, 1), {"axis_labels": ("t", "c", "y", "x")}, slider=(1, 1)
    ),
    "channel first": Kind(
        lambda: stacked(0, 2), {"axis_labels": ("c", "t", "y", "x")}, slider=(0, 2), time=1
    ),
    "z of a volume": Kind(lambda: stacked(1, 2), TZYX, slider=(1, 2)),
    "z of a volume, zarr": Kind(lambda: zarr.array(stacked(1, 2)), TZYX, slider=(1, 2)),
    "time second": Kind(
        lambda: stacked(0, 1), {**TZYX, "axis_labels": ("z", "time", "y", "x")},
        slider=(0, 1), time=1,
    ),
}  # fmt: skip


class GreyEngine(BrightEngine):
    """Sees what the network would: the movie's contrast applied; of colours the mean."""

    def encode(
        self, source: FrameSource, index: int, views: Sequence[View], *, beside: bool = False
    ) -> list[Tensor]:
        class Grey:
            def frame(self, index: int) -> np.ndarray:
                frame = source.frame(index)
                seen = frame if source.contrast is None else 255 * source.contrast.apply(frame)
                return seen.mean(axis=-1) if seen.ndim == 3 else seen

        return super().encode(Grey(), index, views)  # type: ignore[arg-type]


def bench_of(opening: Opening, kept: Kept) -> Workbench:
    """As the dock's own, with an engine that tracks by brightness."""
    session = Session(
        opening.movie, model=tiny.shared_fine(), device="cpu", view="follow",
        contrast=opening.contrast, labels=RecordedLabels(kept.labels),
    )  # fmt: skip
    return Workbench(session, kept.folder, kept.settings)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def controller(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrackController]:
    monkeypatch.setattr(session_module, "Engine", GreyEngine)
    viewer = ViewerModel()
    image = viewer.add_image(kind.data(), name="movie", **kind.layer)
    if kind.slider is not None:
        axis, index = kind.slider
        at = np.zeros(image.ndim)
        at[axis] = index
        viewer.dims.set_point(axis, image.data_to_world(at)[axis])
    controller = TrackController(viewer, bench=bench_of)
    controller.open(image, folder=tmp_path / "s.sam-i2v")
    yield controller
    controller.close()


def in_layer(image: Image, kind: Kind, frame: int, y: float, x: float) -> np.ndarray:
    """A place of the movie in data coordinates of its layer."""
    at = np.zeros(image.ndim)
    at[[kind.time, -2, -1]] = frame, y, x
    if kind.slider is not None:
        at[kind.slider[0]] = kind.slider[1]
    return at


def value_at(controller: TrackController, kind: Kind, frame: int, y: float, x: float) -> int:
    """The label that a user sees where the movie has this pixel: through the world."""
    image, labels = controller.image, controller.labels
    world = image.data_to_world(in_layer(image, kind, frame, y, x))
    place = np.round(np.asarray(labels.world_to_data(world))).astype(int)
    return int(np.asarray(labels.data[tuple(place.tolist())]))


def test_the_mask_sits_where_the_user_clicked(controller: TrackController, kind: Kind) -> None:
    image, clicks = controller.image, controller.prompt_layers.points
    controller.go_to(0)
    world = image.data_to_world(in_layer(image, kind, 0, *START))
    clicks.add([clicks.world_to_data(world)])  # what napari does on a click
    drive(controller)
    assert value_at(controller, kind, 0, *START) == 1
    controller.propagate()
    drive(controller)
    assert controller.progress == (FRAMES, FRAMES)
    for frame, ((y, x), other) in enumerate(CENTRES):
        assert value_at(controller, kind, frame, y, x) == 1
        assert value_at(controller, kind, frame, y, x + 10) == 0
        assert value_at(controller, kind, frame, *other) == 0


def test_the_labels_lie_exactly_over_the_image(controller: TrackController, kind: Kind) -> None:
    image, labels = controller.image, controller.labels
    assert (labels.axis_labels, labels.units) == (image.axis_labels, image.units)
    for frame, y, x in ((0, 0, 0), (FRAMES - 1, 0, SHAPE[1] - 1), (1, SHAPE[0] - 1, 0)):
        at = in_layer(image, kind, frame, y, x)
        expected = at.copy()
        if kind.slider is not None:
            expected[kind.slider[0]] = 0  # the only plane that the labels have
        world = image.data_to_world(at)
        np.testing.assert_allclose(labels.world_to_data(world), expected, atol=1e-6)
    sizes = [size for axis, size in enumerate(labels.data.shape)
             if kind.slider is None or axis != kind.slider[0]]  # fmt: skip
    assert sizes == [FRAMES, *SHAPE]


def test_tracks_lie_on_the_objects(controller: TrackController, kind: Kind) -> None:
    image, clicks = controller.image, controller.prompt_layers.points
    clicks.add([in_layer(image, kind, 0, *START)])
    controller.propagate()
    drive(controller)
    controller.add_tracks()
    drive(controller)
    tracks = controller.viewer.layers["movie tracks"]
    assert tracks.units == image.units[kind.time :]
    assert tracks.axis_labels == image.axis_labels[kind.time :]
    assert len(tracks.data) == FRAMES
    for row, ((y, x), _) in zip(tracks.data, CENTRES, strict=True):
        expected = image.data_to_world(in_layer(image, kind, int(row[1]), y, x))
        pixel = np.abs(np.asarray(image.scale)[kind.time :])
        got = np.asarray(tracks.data_to_world(row[1:]))
        np.testing.assert_array_less(np.abs(got - expected[kind.time :]), pixel)


def test_tracks_of_a_movie_with_too_many_axes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "Engine", GreyEngine)
    viewer = ViewerModel()
    names = ("t", "c", "z", "y", "x")
    image = viewer.add_image(MOVIE[:, None, None], name="movie", axis_labels=names)
    controller = TrackController(viewer, bench=bench_of)
    controller.open(image, folder=tmp_path / "s.sam-i2v")
    controller.prompt_layers.points.add([[0, 0, 0, *START]])
    drive(controller)
    with pytest.raises(InputError, match=r"at most 3 axes after time; .* has 4 \(c, z, y, x\)"):
        controller.add_tracks()
    controller.close()


@pytest.mark.parametrize("limits", [(0, 255), (50, 180)])
def test_the_movie_s_contrast_is_the_layer_s(
    limits: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sam_i2v.widget.opening import open_bench

    seen: list[Any] = []

    class Told(Session):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            seen.append(kwargs["contrast"])
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(session_module, "Session", Told)
    viewer = ViewerModel()
    image = viewer.add_image(MOVIE, name="movie", contrast_limits=limits)
    controller = TrackController(viewer, bench=open_bench)
    controller.open(image, folder=tmp_path / "s.sam-i2v", device="cpu")
    drive(controller)
    controller.close()
    assert tuple(seen[0][:2]) == limits
