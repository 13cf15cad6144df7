"""docs/exports.md says what is so: its table is that of the code, its tests are there and read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from napari_sam_i2v.exports import FORMATS
from napari_sam_i2v.measure.divisions import LASTING, SMALLEST_PART

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| name")
]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def source_of(file: str, test: str) -> str:
    """A test with the fixtures, helpers and imports of its file."""
    text = (ROOT / file).read_text(encoding="utf-8")
    functions = [one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef)]
    assert test in {one.name for one in functions}, f"{file} has no {test}"
    others = [one for one in functions if one.name.startswith("test_") and one.name != test]
    lines = text.splitlines()
    for one in reversed(others):
        del lines[one.lineno - 1 : one.end_lineno]
    return "\n".join(lines)


def test_the_table_is_that_of_the_code():
    found = [row[:4] for row in ROWS if row[0]]
    expected = [
        [name, one.title, " ".join(one.suffixes) or "(a folder)", one.lineage or "–"]
        for name, one in FORMATS.items()
    ]
    assert found == expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[4]}")
def test_a_format_is_read_back_by_the_reader_that_is_named(row: list[str]):
    (file, test) = re.fullmatch(r"`(.+)::(.+)`", row[5]).groups()
    assert re.search(rf"\b{row[4]}\b", source_of(file, test))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_that_is_named_is_there(file: str, test: str):
    assert source_of(file, test)


def test_the_definition_of_a_proposal_has_the_numbers_of_the_code():
    assert f"at least {SMALLEST_PART:.0%}".replace("%", " %") in PAGE
    assert f"at least {LASTING}" in PAGE
