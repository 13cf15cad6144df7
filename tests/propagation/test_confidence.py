"""How sure each answer is, by object and frame."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.propagation.answer import ObjectMask
from napari_sam_i2v.propagation.confidence import ConfidenceTable


def mask(score: float, iou: float, area: int = 4) -> ObjectMask:
    filled = np.ones((1, area), bool)
    return ObjectMask((0, 0, 1, area), filled, score, iou, filled.astype(np.float16))


@pytest.fixture
def table() -> ConfidenceTable:
    table = ConfidenceTable(4)
    table.note(0, {2: mask(1.0, 0.9), 7: mask(0.8, 0.5)})
    table.note(1, {2: mask(0.9, 0.5), 7: mask(0.9, 0.9)})
    table.note(3, {2: mask(0.2, 0.5, area=0)})
    return table


def test_confidence_is_score_times_predicted_iou(table: ConfidenceTable) -> None:
    np.testing.assert_allclose(table.of(2), [0.9, 0.45, np.nan, 0.1], rtol=1e-6)
    assert np.isnan(table.of(5)).all()
    assert mask(0.8, 0.5).confidence == pytest.approx(0.4)


def test_an_absence_is_as_sure_as_the_object_is_unlikely(table: ConfidenceTable) -> None:
    np.testing.assert_allclose(table.sureness(2), [0.9, 0.45, np.nan, 0.8], rtol=1e-6)
    assert np.isnan(table.sureness(5)).all()


def test_areas_are_those_in_the_labels() -> None:
    table, labels = ConfidenceTable(2), np.array([[1, 1, 2, 2], [9, 9, 9, 9]])
    table.note(0, {1: mask(1.0, 0.9), 2: mask(1.0, 0.9)}, labels)
    assert (table.area(1)[0], table.area(2)[0]) == (2, 2)
    labels[0] = 2
    table.recount(0, labels)
    assert (table.area(1)[0], table.area(2)[0]) == (0, 4)
    assert np.isnan(table.area(1)[1])


def test_areas_are_counted_among_labels_that_are_no_object_ids() -> None:
    table, labels = ConfidenceTable(1), np.array([[-1, 1, 1, 2_000_000_000]])
    table.note(0, {1: mask(1.0, 0.9)})
    table.recount(0, labels)
    assert table.area(1)[0] == 2


def test_doubtful_answers_come_in_the_order_of_frames(table: ConfidenceTable) -> None:
    assert [(o.frame, o.object_id) for o in table.doubtful()] == [(0, 7), (1, 2), (3, 2)]
    assert [(o.frame, o.object_id) for o in table.doubtful(below=0.2)] == [(3, 2)]
    assert table.doubtful(below=0.05) == []


def test_a_later_answer_replaces_an_earlier_one(table: ConfidenceTable) -> None:
    table.note(3, {2: mask(0.9, 0.9)})
    assert table.of(2)[3] == pytest.approx(0.81)


def test_a_forgotten_object_is_gone(table: ConfidenceTable) -> None:
    table.forget(2)
    table.forget(99)
    assert table.object_ids == (7,)


def test_an_answer_that_is_dropped_leaves_nothing(table: ConfidenceTable) -> None:
    table.blank(7, 0)
    table.blank(99, 0)
    assert [(o.object_id, o.frame) for o in table] == [(2, 0), (2, 1), (2, 3), (7, 1)]
    table.blank(7, 1)
    assert table.object_ids == (2,)


def test_table_as_csv(table: ConfidenceTable) -> None:
    lines = table.as_csv().splitlines()
    assert lines[0] == "object_id,frame,confidence,score,iou,area"
    assert lines[1] == "2,0,0.9000,1.0000,0.9000,4"
    assert lines[3] == "2,3,0.1000,0.2000,0.5000,0"
    assert len(lines) == 1 + 5
