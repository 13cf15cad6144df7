from __future__ import annotations

import pytest

from napari_sam_i2v.movies.units import plain_steps

UNKNOWN = ((2.0, 1.0, 1.0), ("second", "pixel", "pixel"))


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((2, 0.5, 0.25), ("s", "um", "um"), ((2, 0.5, 0.25), ("s", "um", "um"))),
        ((-2, -0.5, 0.25), ("s", "um", "um"), ((2, 0.5, 0.25), ("s", "um", "um"))),
        (
            (2, 0.5, 250), ("second", "micrometer", "nanometer"),
            ((2, 0.5, 0.25), ("second", "micrometer", "micrometer")),
        ),
        ((2, 1, 1), ("second", "inch", "meter"), ((2, 1, 1 / 0.0254), ("second", "inch", "inch"))),
        ((2, 0.5, 3), ("second", "micrometer", "pixel"), UNKNOWN),
        ((2, 0, 0.5), ("second", "micrometer", "micrometer"), UNKNOWN),
        ((2, float("nan"), 0.5), ("second", "micrometer", "micrometer"), UNKNOWN),
        ((2, 0.5, 0.5), ("pixel",) * 3, ((2, 0.5, 0.5), ("frame", "pixel", "pixel"))),
        ((0, 3, 4), ("second", "parsec", "parsec"), ((1, 3, 4), ("frame", "parsec", "parsec"))),
    ],
)  # fmt: skip
def test_steps_are_sizes_and_y_and_x_have_one_unit(scale, units, expected) -> None:
    found = plain_steps(scale, units)
    assert found[0] == pytest.approx(expected[0])
    assert found[1] == expected[1]
