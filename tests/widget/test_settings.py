"""Settings: from napari's Preferences and its files to what a movie is opened with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

import napari.settings
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget
from tests import downloading
from tests.propagation.fakes import discs

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.installed import record
from napari_sam_i2v.network.registry import published
from napari_sam_i2v.session_folder import folder_in
from napari_sam_i2v.widget.choices import Choices, OpenChoices, weights_in
from napari_sam_i2v.widget.download_dialog import DownloadDialog
from napari_sam_i2v.widget.menus import MoreMenu
from napari_sam_i2v.widget.settings import PLUGIN, Settings, read_settings
from napari_sam_i2v.widget.tracking import TrackController

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


@pytest.fixture
def known(npe2pm: Any) -> None:
    """napari knows the plugin."""
    npe2pm.register(PluginManifest.from_file(MANIFEST))


@pytest.fixture
def file(tmp_path: Path, known: None) -> Path:
    """Where napari keeps our settings (see the fixture `plugin_settings`)."""
    return tmp_path / f"{PLUGIN}.yaml"


def held() -> Any:
    return napari.settings.get_plugin_settings(PLUGIN)


# -- reading -------------------------------------------------------------------------------------
def test_nothing_set_is_the_defaults(known):
    assert read_settings() == Settings()


def test_what_is_set_in_preferences_is_read_at_once(known, tmp_path):
    read_settings()
    held().tracking.device = "cpu"
    held().tracking.precision = "bf16"
    held().tracking.view = "follow"
    held().files.model = "~/mine.pt"
    held().files.checkpoint_folder = " ~/weights "
    held().files.session_folder = str(tmp_path)
    held().downloads.sam_i2v_address = " https://example.org/a.pt"
    held().downloads.sam_i2vpp_address = "https://example.org/b.pt"
    settings = read_settings()
    assert settings == Settings(
        "cpu", "bf16", "follow", "~/mine.pt", Path.home() / "weights", tmp_path,
        "https://example.org/a.pt", "https://example.org/b.pt",
    )  # fmt: skip
    assert settings.download_folder == settings.checkpoint_folder
    addresses = [settings.address(info) for info in published()]
    assert addresses == ["https://example.org/a.pt", "https://example.org/b.pt"]


def test_without_settings_models_go_into_the_users_data(data_home):
    assert Settings().download_folder == data_home
    info = replace(downloading.MODEL, url="https://example.org/known.pt")
    assert Settings().address(info) == info.url
    assert Settings().address(downloading.MODEL) == ""


def test_a_downloaded_model_is_found_by_its_name(known, data_home, tmp_path):
    held().files.model = downloading.MODEL.name
    assert read_settings().model == downloading.MODEL.name  # not there: it is said on opening
    for folder in (data_home, tmp_path / "mine"):
        folder.mkdir(parents=True)
        (folder / "w.pt").write_text(str(folder))
        record(folder / "w.pt", "0" * 64, downloading.MODEL.name)
        held().files.checkpoint_folder = str(folder)
        assert read_settings().model == str(folder / "w.pt")


def test_a_model_is_found_in_the_checkpoint_folder(known, tmp_path):
    (tmp_path / "mine.pt").touch()
    held().files.checkpoint_folder = str(tmp_path)
    held().files.model = "mine.pt"
    assert read_settings().model == str(tmp_path / "mine.pt")
    held().files.model = "sam-i2v"
    assert read_settings().model == "sam-i2v"
    held().files.model = ""
    assert read_settings().model == "default"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("tracking:\n  device: gpu\n  view: follow\n", "tracking.device is 'gpu'.*auto, cpu, cuda"),
        ("tracking: {view: follow, precision: 16}\n", "precision is 16 .*fp32, bf16, fp16"),
        ("tracking: {view: follow}\nfiles: {model: [1]}\n", r"files.model is \[1\].*a text"),
        ("tracking: {view: follow}\nfiles: 3\n", "Setting files is 3 "),
    ],
)
def test_a_wrong_value_is_said_and_the_others_count(file, content, said):
    file.write_text(content)
    settings = read_settings()
    assert settings == Settings(view="follow", problems=settings.problems)
    (problem,) = settings.problems
    assert str(file) in problem
    assert re.search(said, problem)


@pytest.mark.parametrize(
    "content", [b"tracking: {device: cpu", b"- a\n- list\n", b"only words", b"\xff\xfe\x00a"]
)
def test_a_broken_file_is_said_and_everything_is_default(file, content):
    file.write_bytes(content)
    for _ in range(2):  # napari may remember that it failed
        settings = read_settings()
        assert settings == Settings(problems=settings.problems)
        assert len(settings.problems) == 1
    file.unlink()
    napari.settings._clear_plugin_settings_cache()
    assert read_settings() == Settings()


def test_a_broken_file_of_another_plugin_is_not_said_to_be_ours(file, npe2pm):
    section = {"title": "x", "properties": {"y": {"type": "string", "default": "", "title": "y"}}}
    other = PluginManifest(name="a-plugin", contributions={"configurations": {"x": section}})
    npe2pm.register(other)
    file.with_name("a-plugin.yaml").write_text("- list")
    (problem,) = read_settings().problems
    assert "settings of its plugins" in problem
    assert str(file) not in problem


def test_settings_that_napari_has_not_read_are_said(known, monkeypatch):
    monkeypatch.setitem(napari.settings._PLUGIN_SETTINGS, "another", object())
    assert "Start it again" in read_settings().problems[0]


def test_without_being_installed_there_is_nothing_to_say(npe2pm):
    assert read_settings() == Settings()


def test_napari_without_plugin_settings(known, monkeypatch):
    held().tracking.device = "cpu"
    monkeypatch.delattr(napari.settings, "get_plugin_settings")  # as before 0.9
    assert read_settings() == Settings()


PROBE = """
import json, sys
import npe2
npe2.PluginManager.instance().register(npe2.PluginManifest.from_file(sys.argv[1]))
from napari_sam_i2v.session_folder import folder_in
from napari_sam_i2v.widget.choices import Choices
said = []
now = Choices(said.append).now()
heavy = sorted({"torch", "qtpy", "PyQt6"} & set(sys.modules))
print(json.dumps([now.device, now.view, len(said), heavy]))
"""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("tracking: {device: cpu, view: frame}", ["cpu", "frame", 0]),
        ("- list", ["auto", "auto", 1]),
    ],
)
def test_in_a_napari_of_its_own_without_torch_and_qt(tmp_path, content, expected):
    (tmp_path / f"{PLUGIN}.yaml").write_text(content)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE, str(MANIFEST)],
        env={**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == [*expected, []]


# -- choosing ------------------------------------------------------------------------------------
def test_choices_have_the_fields_of_open():
    options = dict(signature(TrackController.open).parameters)
    wanted = {name: options[name].default for name in list(options)[2:]}
    assert {field.name: field.default for field in fields(OpenChoices)} == wanted
    assert OpenChoices().options() == wanted


def test_what_is_chosen_for_a_movie_lies_over_the_settings():
    now = Settings(device="cpu", view="follow", session_folder=Path("/s"))
    said: list[str] = []
    movie = 1
    choices = Choices(said.append, movie=lambda: movie, read=lambda: now)
    choices.choose(view="frame")
    view = frozenset({"view"})
    assert choices.now() == OpenChoices(
        view="frame", device="cpu", sessions=Path("/s"), chosen=view
    )
    now = Settings(device="cuda", view="follow", problems=("Oh.",))  # meanwhile, in Preferences
    assert choices.now() == OpenChoices(view="frame", device="cuda", chosen=view)
    movie = 2
    assert choices.now() == OpenChoices(view="follow", device="cuda")
    movie = None  # none is there yet: what is chosen is for all that come
    choices.choose(model="m.pt", view="auto")
    movie = 1
    both = frozenset({"model", "view"})
    assert choices.now() == OpenChoices(model="m.pt", view="frame", device="cuda", chosen=both)
    assert said == ["Oh."]
    with pytest.raises(TypeError):
        choices.choose(colour="red")


def test_weights_in_a_folder(tmp_path):
    for name, size in (("b.PT", 2_345_678), ("A.safetensors", 10), ("c.txt", 1), ("d.pth", 3e9)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(int(size))
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "gone.pt").symlink_to(tmp_path / "nowhere")
    texts = [file.text for file in weights_in(tmp_path)]
    assert texts == ["A.safetensors (1 kB)", "b.PT (2.3 MB)", "d.pth (3.0 GB)"]


# -- the menu ------------------------------------------------------------------------------------
class Host:
    """As much of the dock as the menu asks for."""

    def __init__(self, settings: Settings) -> None:
        self.controller = TrackController(ViewerModel())
        self.choices = Choices(lambda text: None, read=lambda: settings)

    def attempt(self, action: Any) -> bool:
        return bool(action())

    open_session = close_session = ask_axes = show_keys = attempt


@pytest.fixture
def menu_of(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    kept = []

    def make(settings: Settings) -> tuple[Host, MoreMenu]:
        host = Host(settings)
        kept.append(MoreMenu(host, parent))
        return host, kept[-1]

    return make


def models(menu: MoreMenu) -> dict[str, Any]:
    menu.fill()
    (action,) = (a for a in menu.actions() if a.text() == "Model")
    assert isinstance(action.menu(), QMenu)
    assert action.menu().toolTipsVisible()
    return {a.text(): a for a in action.menu().actions() if a.text()}


def ticked(entries: dict[str, Any]) -> list[str]:
    return [text for text, action in entries.items() if action.isChecked()]


def test_model_menu_lists_the_checkpoint_folder(menu_of, tmp_path, monkeypatch, data_home):
    (tmp_path / "a & b.pt").write_bytes(bytes(4200))
    host, menu = menu_of(Settings(checkpoint_folder=tmp_path))
    shown = models(menu)
    downloads = ["SAM-I2V: download…", "SAM-I2V++: download…", "TEST-I2V: download…"]
    assert list(shown) == ["Built-in", "a && b.pt (4 kB)", "From file…", *downloads]
    assert ticked(shown) == ["Built-in"]
    assert shown["a && b.pt (4 kB)"].toolTip() == str(tmp_path / "a & b.pt")
    for info in published():
        tip = shown[f"{info.title}: download…"].toolTip()
        assert info.source in tip and info.licence in tip
    shown["a && b.pt (4 kB)"].trigger()
    assert host.choices.now().model == str(tmp_path / "a & b.pt")
    assert ticked(models(menu)) == ["a && b.pt (4 kB)"]
    asked = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a: (asked.append(a[2]), "")[1:] * 2)
    models(menu)["From file…"].trigger()
    assert asked == [str(tmp_path)]


def test_model_menu_lists_a_downloaded_model_once_by_its_name(menu_of, tmp_path, data_home):
    path = tmp_path / "test-i2v.pt"
    path.write_bytes(bytes(4200))
    record(path, "0" * 64, downloading.MODEL.name)
    host, menu = menu_of(Settings(checkpoint_folder=tmp_path))
    shown = models(menu)
    rest = ["From file…", "SAM-I2V: download…", "SAM-I2V++: download…"]
    assert list(shown) == ["Built-in", "TEST-I2V", *rest]
    shown["TEST-I2V"].trigger()
    assert host.choices.now().model == str(path)
    assert ticked(models(menu)) == ["TEST-I2V"]
    _, other = menu_of(Settings())  # known from the user's data folder
    assert list(models(other)) == ["Built-in", "TEST-I2V", *rest]


def test_model_menu_opens_one_dialog_per_model_and_takes_its_file(menu_of, tmp_path, qtbot):
    settings = Settings(checkpoint_folder=tmp_path, sam_i2v_address="https://example.org/a.pt")
    host, menu = menu_of(settings)
    dialogs = lambda: menu.parentWidget().findChildren(DownloadDialog)  # noqa: E731
    for text in ("SAM-I2V: download…", "SAM-I2V: download…", "SAM-I2V++: download…"):
        models(menu)[text].trigger()
    first, second = dialogs()
    assert (first.address.text(), second.address.text()) == ("https://example.org/a.pt", "")
    first.model_chosen.emit("/w/chosen.pt")
    assert host.choices.now().model == "/w/chosen.pt"
    first.close()
    qtbot.waitUntil(lambda: dialogs() == [second])
    models(menu)["SAM-I2V: download…"].trigger()
    assert len(dialogs()) == 2
    menu.stop_downloads()
    assert all(dialog.stop.is_set() for dialog in dialogs())


def test_model_menu_shows_the_model_of_the_settings_and_a_missing_folder(menu_of, tmp_path):
    _, menu = menu_of(Settings(model="/w/mine.pt", checkpoint_folder=tmp_path / "gone"))
    shown = models(menu)
    assert ticked(shown) == ["mine.pt"]
    (missing,) = (a for text, a in shown.items() if "cannot be read" in text)
    assert not missing.isEnabled()
    assert str(tmp_path / "gone") in missing.toolTip()


# -- opening -------------------------------------------------------------------------------------
@pytest.fixture
def control() -> TrackController:
    viewer = ViewerModel()
    viewer.add_image(discs([[(16.0, 10.0)]] * 3, (32, 32), values=(200,)), name="cells")
    return TrackController(viewer)


def work(control: TrackController) -> None:
    while control.has_work:
        for event in control.run():
            control.handle(event)


def test_device_precision_and_place_reach_the_session(control, tmp_path):
    chosen = OpenChoices(device="cpu", precision="bf16", sessions=tmp_path / "all")
    control.open(control.viewer.layers["cells"], **chosen.options())
    assert control.folder == tmp_path / "all" / "cells.sam-i2v"
    work(control)
    session = control._desk.bench.session
    assert (session.engine.precision, session.model.device.type) == ("bf16", "cpu")
    assert control._desk.bench.settings["precision"] == "bf16"
    control.close()


def test_what_a_processor_cannot_do_is_refused_in_words(control, tmp_path):
    chosen = OpenChoices(device="cpu", precision="fp16", sessions=tmp_path)
    control.open(control.viewer.layers["cells"], **chosen.options())
    said: list[str] = []
    control.problem.connect(said.append)
    with pytest.raises(InputError, match="fp16 is for GPUs") as raised:
        work(control)
    control.failed(raised.value)  # as the worker does it
    assert said == [str(raised.value)]
    assert not control.opened and not control.has_work  # nothing tries again


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [("cells.ome.tif", "layer", "cells"), (None, "a/b", "a_b"), ("gone.tif", "x", "x")],
)
def test_a_session_in_a_folder_of_sessions(tmp_path, source, name, expected):
    (tmp_path / "cells.ome.tif").touch()
    given = None if source is None else tmp_path / source
    place = folder_in(tmp_path / "all", given, name)
    assert place == tmp_path / "all" / f"{expected}.sam-i2v"
    assert not (tmp_path / "all").exists()
