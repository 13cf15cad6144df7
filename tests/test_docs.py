"""What the documents refer to is there, and every picture is made by the script."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SCRIPT = DOCS / "make_pictures.py"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
PICTURES = {".png", ".gif", ".jpg", ".jpeg", ".svg"}
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[tuple[bool, Path]]:
    """Relative links of a page: whether it is a picture, and what it points at."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = ((bool(mark), target.partition("#")[0]) for mark, target in LINK.findall(text))
    return [(mark, page.parent / to) for mark, to in found if to and "://" not in to]


def names_in_script() -> set[str]:
    """The pictures that the script names, without importing napari."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    (stories,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "STORIES"
    )
    assert isinstance(stories, ast.Dict)
    return {name for value in stories.values for name in ast.literal_eval(value)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    missing = [str(to) for _, to in links(page) if not to.exists()]
    assert not missing


def test_links_are_found_at_all() -> None:
    assert (DOCS / "window.png") in {to for _, to in links(ROOT / "README.md")}
    assert len(links(DOCS / "tutorial.md")) >= 10


def test_every_picture_is_made_by_the_script_and_shown() -> None:
    there = {path.name for path in DOCS.iterdir() if path.suffix in PICTURES}
    shown = {to.name for page in PAGES for mark, to in links(page) if mark}
    assert there == names_in_script()
    assert there == shown


def test_pictures_say_what_they_show() -> None:
    for page in DOCS.glob("*.md"):
        empty = re.findall(r"!\[\s*\]\(([^)]*)\)", page.read_text(encoding="utf-8"))
        assert not empty, page


@pytest.mark.parametrize("name", sorted(names_in_script()))
def test_pictures_are_small(name: str) -> None:
    size = (DOCS / name).stat().st_size
    assert size < (2_500_000 if name.endswith(".gif") else 300_000)


def test_the_film_is_a_film() -> None:
    with Image.open(DOCS / "tracking.gif") as film:
        seconds = 0.0
        for number in range(getattr(film, "n_frames", 1)):
            film.seek(number)
            seconds += film.info["duration"] / 1000
    assert 3 <= seconds <= 8


@pytest.mark.slow
@pytest.mark.gui
@pytest.mark.parametrize("name", ["tutorial-click.png", "tutorial-chamber.png"])
def test_the_script_makes_a_picture(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--only", name, "--output", str(tmp_path)]
    if not os.environ.get("DISPLAY") and shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", *command]
    environment = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings" / "settings.yaml")}
    subprocess.run(command, check=True, timeout=600, env=environment)
    assert [path.name for path in tmp_path.glob("*.png")] == [name]
    with Image.open(tmp_path / name) as made, Image.open(DOCS / name) as kept:
        assert made.size == kept.size
        colours = made.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colours is not None and len(colours) > 50  # not a black canvas


def promised() -> list[str]:
    """The tests that the table of promises names, as in `file.py::name`."""
    text = (DOCS / "promises.md").read_text(encoding="utf-8")
    return re.findall(r"`([\w/]+\.py(?:::\w+)?)`", text)


def has_test(name: str) -> bool:
    """Whether a test, or a whole file of them, is there."""
    file, _, function = name.partition("::")
    tests = ROOT / "tests"
    path = next(
        (p for p in (tests / "widget" / file, tests / file, ROOT / file) if p.exists()), None
    )
    if path is None or not function:
        return path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def test_every_test_of_the_promises_exists() -> None:
    names = promised()
    assert len(names) > 60
    assert not [name for name in names if not has_test(name)]
    assert not has_test("test_docs.py::test_of_nothing")


def test_every_promise_names_a_test_or_says_none() -> None:
    lines = (DOCS / "promises.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| promise")]
    assert rows
    assert not [row for row in rows if ".py" not in row and "none" not in row]
