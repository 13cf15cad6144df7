"""The list of objects by itself."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QApplication, QHeaderView
from tests.widget.fake_controller import Row

from napari_sam_i2v.widget.object_table import NAME, PROMPTS, ObjectTable

pytestmark = pytest.mark.gui


class Counting(ObjectTable):
    """Counts how often all rows of a column are measured."""

    measured = 0

    def sizeHintForColumn(self, column: int) -> int:
        self.measured += 1
        return super().sizeHintForColumn(column)


def test_columns_are_measured_once_and_not_at_each_row(qtbot: Any) -> None:
    """A thousand objects took many seconds, each time that one of them changed."""
    table = Counting()
    qtbot.addWidget(table)
    table.show()
    counts = []
    for n in (20, 200):
        for prompts in (1, 2):
            rows = [Row(i, f"object {i}", (1, 0.5, 0.1, 1), prompts) for i in range(1, n + 1)]
            before = table.measured
            table.set_rows(rows, current=1)
            QApplication.processEvents()
        counts.append(table.measured - before)
    assert 0 < counts[1] <= counts[0] + 4
    modes = [table.horizontalHeader().sectionResizeMode(n) for n in range(table.columnCount())]
    fits, stretches = QHeaderView.ResizeMode.ResizeToContents, QHeaderView.ResizeMode.Stretch
    assert modes == [stretches if n == NAME else fits for n in range(len(modes))]


def test_columns_are_as_wide_as_what_is_in_them(qtbot: Any) -> None:
    table = ObjectTable()
    qtbot.addWidget(table)
    table.show()
    widths = []
    for prompts in (1, 10**12, 2):
        table.set_rows([Row(7, "g", (1, 0.5, 0.1, 1), prompts)], current=7)
        QApplication.processEvents()
        widths.append(table.columnWidth(PROMPTS))
    assert widths[0] == widths[2] < widths[1]
