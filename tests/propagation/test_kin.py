"""Who came of whom stays right when objects change, and nobody ever comes of herself."""

from __future__ import annotations

import pytest

from napari_sam_i2v.propagation.kin import hull, renamed, spliced, without_mothers


def test_only_what_comes_after_is_renamed() -> None:
    lineage = {3: (1, 5), 4: (1, 5), 6: (3, 8)}
    assert renamed(lineage, {1: 2, 2: 1}, 2) == {3: (2, 5), 4: (2, 5), 6: (3, 8)}
    assert renamed(lineage, {1: 2, 2: 1}, 5) == lineage
    assert renamed(lineage, {3: 2, 2: 3}, 5) == {2: (1, 5), 4: (1, 5), 6: (2, 8)}
    assert renamed(lineage, {3: 2, 2: 3}, 8) == lineage


@pytest.mark.parametrize(
    ("ids", "frame", "left"),
    [
        ({3: 1}, 0, {4: (1, 5), 6: (1, 8)}),  # a daughter who is her mother after all
        ({6: 1}, 0, {3: (1, 5), 4: (1, 5)}),  # a granddaughter who is
        ({1: 6}, 0, {3: (6, 5), 4: (6, 5)}),
        ({1: 6, 6: 1}, 8, {3: (1, 5), 4: (1, 5)}),
        ({4: 3}, 0, {3: (1, 5), 6: (3, 8)}),
    ],
)
def test_nobody_comes_of_herself(ids: dict[int, int], frame: int, left: object) -> None:
    assert renamed({6: (3, 8), 3: (1, 5), 4: (1, 5)}, ids, frame) == left


def test_lives_are_joined() -> None:
    assert spliced(range(5), None, 2, 10) == range(10)
    assert spliced(None, range(5), 2, 10) == range(5)
    assert spliced(range(5), range(7, 10), 6, 10) == range(10)
    assert spliced(range(5, 10), range(5), 5, 10) is None
    assert spliced(None, None, 5, 10) is None
    assert hull((range(5), range(7, 9))) == range(9)
    assert hull((range(5), None)) is None


def test_a_mother_who_is_gone_has_no_daughters() -> None:
    assert without_mothers({3: (1, 5), 6: (3, 8)}, [1]) == {6: (3, 8)}
