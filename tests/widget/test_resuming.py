"""A kept session goes on with what it was made with, or says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from safetensors.torch import load_file, save_file
from tests.propagation.fakes import BrightEngine, discs
from tests.widget.test_tracking import Told, click, drive

from napari_sam_i2v.errors import CheckpointError
from napari_sam_i2v.network.checkpoints import weights_sha256
from napari_sam_i2v.propagation import session as session_module
from napari_sam_i2v.widget.choices import Choices
from napari_sam_i2v.widget.resuming import Present, plan_of
from napari_sam_i2v.widget.settings import Settings
from napari_sam_i2v.widget.tracking import TrackController

PRESENT = Present(model="default", view="auto", limits=(0.0, 255.0))
RECORDED = {
    "model": "/w/mine.pt", "model_sha256": "m", "view": "frame", "contrast": [10.0, 200.0, 0.5],
    "device": "cuda", "precision": "bf16",
}  # fmt: skip
FILES = {"default": "d", "/w/mine.pt": "m", "/w/other.pt": "o"}
STAYS = (
    "The layer’s contrast limits are 0 to 255 now: the session stays with 10 to 200, which its "
    "labels were made with."
)


# -- what is decided, without files and layers ----------------------------------------------------
def planned(
    present: Present = PRESENT, *, begun: bool = True, files: dict[str, str] = FILES, **other: Any
) -> tuple[str, str, Any, tuple[str, ...]]:
    plan = plan_of(present, RECORDED | other, begun=begun, sha256_of=files.get)
    return plan.model, plan.view, plan.contrast, plan.notes


def test_a_new_session_takes_what_is_present() -> None:
    plan = plan_of(PRESENT, {}, begun=False, sha256_of=FILES.get)
    assert (plan.model, plan.view, plan.contrast, plan.notes) == ("default", "auto", None, ())


def test_a_kept_session_takes_its_own_and_says_so() -> None:
    model, view, contrast, notes = planned()
    assert (model, view, contrast) == ("/w/mine.pt", "frame", (10.0, 200.0, 0.5))
    assert notes == ("This session goes on with mine.pt and view “Whole frame”, as before.", STAYS)


def test_nothing_is_said_where_nothing_differs() -> None:
    same = Present("/w/mine.pt", "frame", (10.0, 200.0))
    assert planned(same)[3] == ()
    assert planned(replace(same, limits=None))[3] == ()  # RGB has no limits


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({"model"}, ("default", "frame")), ({"view"}, ("/w/mine.pt", "auto")),
     ({"model", "view"}, ("default", "auto"))],
)  # fmt: skip
def test_what_was_chosen_in_the_dock_counts(chosen: set[str], expected: tuple[str, str]) -> None:
    model, view, contrast, _ = planned(replace(PRESENT, chosen=chosen))
    assert (model, view) == expected
    assert contrast == (10.0, 200.0, 0.5)


@pytest.mark.parametrize(
    ("files", "own", "present", "used", "said"),
    [
        ({"default": "d"}, "/w/mine.pt", "default", "default",
         "This session was made with mine.pt, which is gone: the built-in model is used."),
        ({"/w/other.pt": "o"}, "sam-i2v", "/w/other.pt", "/w/other.pt",
         "This session was made with SAM-I2V, which is gone: other.pt is used."),
        ({"/w/mine.pt": "new", "default": "d"}, "/w/mine.pt", "default", "default",
         "This session was made before mine.pt changed (SHA-256): the built-in model is used."),
        ({"default": "d"}, "default", "default", "default",
         "This session was made before the built-in model changed (SHA-256): it is used as it is "
         "now."),
    ],
)  # fmt: skip
def test_a_model_that_is_not_to_be_had_is_said(
    files: dict[str, str], own: str, present: str, used: str, said: str
) -> None:
    now = replace(PRESENT, model=present, view="frame", limits=None)
    model, *_, notes = planned(now, files=files, model=own)
    assert (model, notes) == (used, (said,))


def test_the_same_weights_elsewhere_are_the_same_model() -> None:
    now = Present("/new/mine.pt", "frame", None)
    model, *_, notes = planned(now, files={"/new/mine.pt": "m"})
    assert (model, notes) == ("/new/mine.pt", ())


def test_without_prompts_the_layer_s_contrast_counts() -> None:
    model, view, contrast, notes = planned(begun=False)
    assert (model, view, contrast) == ("/w/mine.pt", "frame", None)
    assert STAYS not in notes


@pytest.mark.parametrize("damaged", ["?", 3, [1.0], [5.0, 5.0, 1.0], [0, float("nan"), 1], None])
def test_what_is_no_setting_is_left_out(damaged: Any) -> None:
    model, view, contrast, notes = planned(model=None, view=damaged, contrast=damaged)
    assert (model, view, contrast, notes) == ("default", "auto", None, ())


# -- with real weights, files and layers ----------------------------------------------------------
@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The built-in weights in a file that is not theirs."""
    (built_in,) = (Path(session_module.__file__).parents[1] / "weights").glob("*.safetensors")
    path = tmp_path / "mine.safetensors"
    save_file(load_file(built_in), path, {"variant": "sam-i2v-micro"})
    return path


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackController]:
    monkeypatch.setattr(session_module, "Engine", BrightEngine)
    viewer = ViewerModel()
    movie = discs([[(16.0, 10.0)]] * 3, (32, 32), values=(200,))
    viewer.add_image(movie, name="cells", contrast_limits=(10, 240))
    controller = TrackController(viewer)
    yield controller
    controller.close()


@pytest.fixture
def reopen(control: TrackController, weights: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Open again a session that was made with other weights, view and contrast limits."""
    folder, layers = tmp_path / "s.sam-i2v", control.viewer.layers
    image = layers["cells"]
    control.open(image, model=str(weights), view="frame", device="cpu", folder=folder)
    drive(control)
    click(control, 0, 16, 10)
    control.close()
    for layer in list(layers)[1:]:
        layers.remove(layer)

    def again(**options: Any) -> list[str]:
        told = Told(control)
        control.open(image, device="cpu", folder=folder, **options)
        drive(control)
        assert not told.problems
        greeting, said = f"Reopened the session in {folder}.", told.notes[-1]
        assert said.startswith(greeting)
        return [note for note in [said.removeprefix(greeting).strip()] if note]

    return again


def session_of(control: TrackController) -> tuple[Any, ...]:
    """What is in use, and what is written down of it."""
    assert control._desk is not None and control._desk.bench is not None
    bench = control._desk.bench
    assert {key: bench.settings[key] for key in ("model", "view")} == control.in_use
    assert bench.settings["model_sha256"] == weights_sha256(control.in_use["model"])
    assert tuple(bench.settings["contrast"]) == bench.session.contrast.values
    return Path(control.in_use["model"]).name, bench.session.view, bench.session.contrast.values[:2]


def test_model_view_and_contrast_are_the_session_s(
    control: TrackController, reopen: Callable[..., list[str]], tmp_path: Path
) -> None:
    kept = json.loads((tmp_path / "s.sam-i2v" / "session.json").read_text("utf-8"))
    gamma = kept["state"]["settings"]["contrast"][2]
    assert gamma < 1
    control.viewer.layers["cells"].contrast_limits = (0, 90)  # with a gamma of its own
    (said,) = reopen()
    assert session_of(control) == ("mine.safetensors", "frame", (10, 240))
    assert control._desk.bench.session.contrast.gamma == gamma
    assert "goes on with mine.safetensors and view “Whole frame”" in said
    assert "stays with 10 to 240" in said
    assert control.in_use["model"] == str(tmp_path / "mine.safetensors")


def test_what_was_chosen_in_the_dock_is_used_and_kept(
    control: TrackController, reopen: Callable[..., list[str]]
) -> None:
    said = reopen(view="follow", chosen=frozenset({"model", "view"}))
    assert session_of(control) == ("default", "follow", (10, 240))
    assert said == []
    click(control, 0, 16, 11)
    control.close()
    control.viewer.layers.remove("cells tracked")
    reopen()
    assert session_of(control) == ("default", "follow", (10, 240))


def test_weights_that_are_gone_or_changed(
    control: TrackController, reopen: Callable[..., list[str]], weights: Path
) -> None:
    save_file(load_file(weights), weights, {"variant": "sam-i2v-micro", "changed": "yes"})
    (said,) = reopen(view="frame")
    assert said.endswith("before mine.safetensors changed (SHA-256): the built-in model is used.")
    assert session_of(control) == ("default", "frame", (10, 240))
    control.close()
    weights.unlink()
    (said,) = reopen(view="frame")
    assert said.endswith("with mine.safetensors, which is gone: the built-in model is used.")
    assert session_of(control) == ("default", "frame", (10, 240))
    control.close()
    with pytest.raises(CheckpointError, match="There is no weights file"):
        reopen(model=str(weights))  # in Preferences, too


def test_weights_that_were_moved(
    control: TrackController, reopen: Callable[..., list[str]], weights: Path
) -> None:
    moved = weights.with_name("moved.safetensors")
    shutil.move(weights, moved)
    assert reopen(model=str(moved), view="frame") == []
    assert session_of(control) == ("moved.safetensors", "frame", (10, 240))


def test_a_session_whose_objects_are_gone_takes_the_layer_s_contrast(
    control: TrackController, reopen: Callable[..., list[str]]
) -> None:
    reopen()
    control.delete([1])
    drive(control)
    control.close()
    control.viewer.layers.remove("cells tracked")
    control.viewer.layers["cells"].contrast_limits = (0, 90)
    (said,) = reopen()
    assert "contrast" not in said
    assert session_of(control) == ("mine.safetensors", "frame", (0, 90))


def test_the_device_is_the_machine_s(
    control: TrackController, reopen: Callable[..., list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "s.sam-i2v" / "session.json"
    content = json.loads(path.read_text("utf-8"))
    content["state"]["settings"] |= {"device": "cuda", "precision": "fp16"}
    path.write_text(json.dumps(content), "utf-8")
    reopen(precision="bf16")
    bench = control._desk.bench
    assert (bench.session.model.device.type, bench.session.engine.precision) == ("cpu", "bf16")


# -- what the menus show --------------------------------------------------------------------------
def test_menus_show_what_is_in_use() -> None:
    movie = 1
    choices = Choices(lambda text: None, movie=lambda: movie, read=Settings)
    choices.note_used(model="mine.pt", view="frame")
    shown = choices.shown()
    assert (shown.model, shown.view, shown.chosen) == ("mine.pt", "frame", frozenset())
    assert choices.now().model == "default"  # the session's folder decides, not what is shown
    choices.choose(model="default")
    assert (choices.shown().model, choices.shown().view) == ("default", "frame")
    assert choices.now().chosen == {"model"}
    choices.choose(folder=Path("/another"))  # whose session nobody has seen
    assert choices.shown().view == "auto"
    movie = 2
    assert choices.shown() == choices.now()
