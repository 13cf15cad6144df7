"""What napari sees: `npe2 validate` notices neither unknown commands nor unknown menus."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

from napari_sam_i2v.network.registry import published
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.widget import settings

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "napari.yaml"
TEXT = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
CONTRIBUTIONS = TEXT["contributions"]
COMMANDS = {command["id"]: command["python_name"] for command in CONTRIBUTIONS["commands"]}

# The menus napari 0.9 lets plugins add to; a wrong id is dropped in silence.
LAYER_MENUS = (
    "visualize annotate data metadata layer_type transform measure filter register project "
    "segment track classify"
)
MENUS = {f"napari/layers/{name}" for name in LAYER_MENUS.split()} | {
    "napari/file/new_layer",
    "napari/file/io_utilities",
    "napari/file/acquire",
}


def used_commands() -> set[str]:
    """Ids of the commands that readers, writers, widgets, samples and menus name."""
    listed = [CONTRIBUTIONS[kind] for kind in ("readers", "writers", "widgets", "sample_data")]
    listed += list(CONTRIBUTIONS["menus"].values())
    return {item["command"] for items in listed for item in items}


def test_manifest_is_valid_and_named_as_the_distribution():
    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.name == "napari-sam-i2v"
    assert [widget.display_name for widget in manifest.contributions.widgets] == ["SAM-I2V"]


def test_every_used_command_is_declared_and_every_declared_one_is_used():
    assert used_commands() == set(COMMANDS)


@pytest.mark.parametrize("python_name", COMMANDS.values())
def test_command_imports(python_name):
    module, name = python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_menus_exist_in_napari():
    assert set(CONTRIBUTIONS["menus"]) <= MENUS


def declared() -> dict[str, dict]:
    """Every setting, by name."""
    sections = CONTRIBUTIONS["configurations"].values()
    return {name: item for section in sections for name, item in section["properties"].items()}


def test_settings_are_valid_and_those_that_the_code_reads():
    configurations = PluginManifest.from_file(MANIFEST).contributions.configurations
    found = {name: tuple(section.properties) for name, section in configurations.items()}
    assert found == dict(settings.SECTIONS)
    for section in configurations.values():
        assert section.title
        for item in section.properties.values():
            assert item.type == "string"
            assert item.title and item.description


def test_settings_offer_and_default_to_what_the_code_does():
    assert {k: tuple(v["enum"]) for k, v in declared().items() if "enum" in v} == settings.CHOICES
    for name, item in declared().items():
        assert item["default"] == (getattr(settings.Settings(), name) or ""), name
    session = signature(Session).parameters
    for name in ("device", "precision", "view", "model"):
        assert declared()[name]["default"] == session[name].default


def test_every_published_model_has_an_address_in_the_settings():
    assert list(settings.ADDRESSES) == [info.name for info in published()]
    assert set(settings.ADDRESSES.values()) == set(settings.SECTIONS["downloads"])
    for name, key in settings.ADDRESSES.items():
        assert declared()[key]["title"].endswith(f" {name.upper()}")


def test_package_sees_the_root_manifest():
    assert (ROOT / "src/napari_sam_i2v/napari.yaml").read_text(encoding="utf-8") == (
        MANIFEST.read_text(encoding="utf-8")
    )


def test_archives_hold_manifest_weights_and_licence(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = wheel.namelist()
        assert wheel.read("napari_sam_i2v/napari.yaml") == MANIFEST.read_bytes()
    assert held.count("napari_sam_i2v/napari.yaml") == 1
    assert "napari_sam_i2v/py.typed" in held
    assert any(name.endswith("licenses/LICENSE") for name in held)
    for pattern in ("*.safetensors", "*.md"):
        for file in (ROOT / "src/napari_sam_i2v/weights").glob(pattern):
            assert f"napari_sam_i2v/weights/{file.name}" in held
    assert any(name.endswith(".safetensors") for name in held)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert {"napari.yaml", "LICENSE", "tests/conftest.py", "tools/test.sh"} <= names
