"""docs/reliability.md says what is so: its tests are there, and its numbers are theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools import fuzz

from tests.test_exports_page import source_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
ROWS = [line for line in PAGE.split("## A run", 1)[1].splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_every_test_that_is_named_is_there(file: str, test: str) -> None:
    assert source_of(file, test)


def test_every_fault_names_a_test() -> None:
    rows = [row for row in ROWS if not row.startswith(("| fault", "| what"))]
    assert len(rows) > 30
    assert not [row for row in rows if "::" not in row]


def numbers_of(file: str) -> tuple[int, int]:
    """How many a test of a file takes, always and when it is asked for."""
    text = (ROOT / "tests" / file).read_text()
    always, slow = re.search(r'"\w+", \[(\d+), pytest\.param\((\d+), marks', text).groups()
    return int(always), int(slow)


def test_kills_are_those_of_the_test() -> None:
    always, slow = numbers_of("test_resuming.py")
    assert f"| {slow} of {slow} |" in PAGE
    assert f"{always} in every test run" in PAGE


def test_variants_are_those_of_the_commands() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| damaged files that"))
    runs = [int(n) for n in re.findall(r"--variants (\d+)", row)]
    assert f"| {sum(runs):,} of {sum(runs):,} |" in row
    always, slow = numbers_of("test_fuzz.py")
    assert f"{always} in every test run" in row
    assert slow >= 2000
    assert f"twice the whole file's and {fuzz.CONSTANT // 2**20} MiB" in row
