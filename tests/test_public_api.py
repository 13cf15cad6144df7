"""Only what napari and the others offer in public is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import napari_sam_i2v

PACKAGE = Path(napari_sam_i2v.__file__).parent
ALLOWED = {
    "_replace": "public in spite of its name: a method of every named tuple",
    "_version": "public in spite of its name: how often a tensor was changed in place",
    "_current_frames": "public in spite of its name: a documented function of `sys`",
}
"""Foreign private names that cannot be done without -> why."""


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def defined(tree: ast.AST) -> Iterator[str]:
    """Private names that a module of ours makes: methods, attributes, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) in ("self", "cls")
        ):
            yield node.attr


def foreign(tree: ast.AST, ours: set[str]) -> Iterator[str]:
    """Private attributes and modules of others that a module uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in ours:
            yield f"{node.lineno}: .{node.attr}"
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        if any(is_private(name) and name not in ours for name in names):
            yield f"{node.lineno}: import of {'.'.join(names)}"


def test_no_private_name_of_others_is_used() -> None:
    ours = {name for _, tree in trees() for name in defined(tree)} | {*ALLOWED}
    found = [
        f"{path.relative_to(PACKAGE)}:{use}"
        for path, tree in trees()
        for use in foreign(tree, ours)
    ]
    assert not found


def test_private_names_are_noticed() -> None:
    tree = ast.parse("viewer.window._qt_window\nfrom napari._qt import x\nimport zarr._y\na._mine")
    assert len(list(foreign(tree, {"_mine"}))) == 3


def test_nothing_is_printed_but_by_commands() -> None:
    """The window, scripts and engine speak by notifications, exceptions and return values."""
    printing = {
        path.relative_to(PACKAGE).parts[0]
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
    }
    assert printing <= {"cli", "training"}  # training is a command, and logs
