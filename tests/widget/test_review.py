"""Which frames are marked for a look, and jumping between them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.widget.review import (
    AREA_FACTOR,
    DOUBTFUL_BELOW,
    SMALLEST_CHANGE,
    Curves,
    curves_of,
    next_suspicious,
    suspicious_frames,
)

NAN = np.nan


def sure(n: int) -> np.ndarray:
    return np.full(n, 0.9)


def by_area(*area: float, prompted=()) -> tuple[int, ...]:
    return suspicious_frames(sure(len(area)), area, prompted=prompted)


def test_steady_object_is_left_alone():
    assert by_area(100, 104, 99, 110, 107, 101, 95) == ()


def test_first_doubtful_frame_of_each_run():
    low = DOUBTFUL_BELOW - 0.1
    confidence = [0.9, low, low, low, 0.9, 0.9, low, 0.9]
    assert suspicious_frames(confidence, np.full(8, 100)) == (1, 6)


def test_the_limit_itself_is_not_doubtful():
    assert suspicious_frames([0.9, DOUBTFUL_BELOW], [100, 100]) == ()


@pytest.mark.parametrize("factor", [AREA_FACTOR * 1.1, 1 / (AREA_FACTOR * 1.1)])
def test_sudden_change_both_ways_is_one_mark(factor):
    area = [1000.0] * 6 + [1000.0 * factor] * 8
    assert by_area(*area) == (6,)


def test_slow_growth_to_three_times_is_none():
    assert by_area(*np.linspace(100, 300, 30)) == ()


CHAMBER = (
    672, 693, 751, 822, 939, 1056, 1193, 1351, 1517, 1645, 1791, 1862, 1897, 1883, 1708, 1440,
    1194, 996, 819, 736,
)  # fmt: skip
"""Areas of a beating heart's chamber, the sample movie's, as they were tracked."""


def test_a_heart_that_contracts_steadily_is_left_alone():
    assert by_area(*CHAMBER) == ()
    assert by_area(*CHAMBER[::-1]) == ()


@pytest.mark.parametrize("frame", [4, 10, 14, 17])
@pytest.mark.parametrize("factor", [2.0, 0.4])
def test_a_jump_of_a_beating_heart_is_marked(frame, factor):
    area = np.array(CHAMBER, float)
    area[frame] *= factor
    assert frame in by_area(*area)


def test_a_jump_over_two_frames_is_marked():
    assert by_area(100, 100, 100, 100, 150, 225, 225) == (5,)


def test_one_step_is_no_pace():
    assert by_area(1000, 1300, 2100) == (2,)


def test_single_bad_mask_does_not_make_the_next_good_one_suspicious():
    assert by_area(100, 100, 100, 300, 100, 100) == (3,)


def test_noise_of_tiny_objects_is_none():
    assert by_area(6, 6, 6, 6 + SMALLEST_CHANGE - 1, 6) == ()
    assert by_area(6, 6, 6, 6 + SMALLEST_CHANGE, 6) == (3,)


def test_vanishing_and_coming_back_but_not_absence():
    assert by_area(100, 100, 0, 0, 0, 0, 0, 0, 0, 100, 100) == (2, 9)


def test_absence_is_no_doubt():
    confidence = [0.9, 0.9, 0.01, 0.01, 0.01, 0.9, 0.9]
    assert suspicious_frames(confidence, [50, 50, 0, 0, 0, 50, 50]) == (2, 5)


def test_after_a_long_absence_the_size_is_a_new_one():
    assert by_area(*[100] * 4, *[0] * 8, *[400] * 4) == (4, 12)


def test_prompted_frame_is_trusted_and_is_what_follows_is_measured_by():
    area = [100, 100, 100, 100, 300, 300, 300, 300]
    assert by_area(*area) == (4,)
    assert by_area(*area, prompted=[4]) == ()
    assert suspicious_frames([0.9, 0.1, 0.9], [9, 9, 9], prompted=[1]) == ()


def test_prompt_inside_a_run_begins_another_run():
    assert suspicious_frames([0.1] * 5, [90] * 5, prompted=[2]) == (0, 3)


def test_no_answer_is_no_change():
    assert by_area(100, 100, NAN, NAN, 400, 400) == ()
    assert suspicious_frames([NAN, 0.1, NAN, 0.1], [NAN, 10, NAN, 10]) == (1, 3)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_shortest_movies(n):
    assert by_area(*[100] * n, prompted=[7]) == ()


def test_one_value_per_frame_is_required():
    with pytest.raises(InputError, match=r"\(3,\) and \(2,\)"):
        suspicious_frames([1, 1, 1], [5, 5])


def test_long_movies_are_quick():
    rng = np.random.default_rng(0)
    area = rng.integers(80, 120, 10_000)
    began = time.thread_time()  # of the processor: other programs do not count
    suspicious_frames(rng.random(10_000), area)
    assert time.thread_time() - began < 0.2


def marked(object_id: int, *frames: int) -> Curves:
    return Curves(object_id, sure(50), sure(50), frames)


def test_next_and_previous_over_objects():
    curves = [marked(7, 3, 20), marked(2, 10, 20)]
    assert next_suspicious(curves, 0) == (3, 7)
    assert next_suspicious(curves, 3) == (10, 2)
    assert next_suspicious(curves, 10) == (20, 7)
    assert next_suspicious(curves, 25, -1) == (20, 7)
    assert next_suspicious(curves, 20, -1) == (10, 2)
    assert next_suspicious(curves, 4, -1) == (3, 7)


def test_it_never_wraps():
    curves = [marked(7, 3, 20)]
    assert next_suspicious(curves, 20) is None
    assert next_suspicious(curves, 3, -1) is None
    assert next_suspicious([], 3) is None


def test_curves_know_their_marks():
    curves = curves_of(4, [0.9, 0.2], area=[30, 30])
    assert (curves.object_id, curves.suspicious) == (4, (1,))
    assert curves.area.dtype == float
