"""What counts as two lasting parts, case by case."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.measure.divisions import ProposedDivision, as_json, propose_divisions


def movie(story: str, *, small: int = 4) -> np.ndarray:
    """One frame per letter: w whole, t two parts, f with a fragment, a absent, x parts swap ends.

    uint16 (T, 30, 40); the whole is 4 x 8; of two, one is 4 x 4 and the other 4 x `small`.
    """
    labels = np.zeros((len(story), 30, 40), np.uint16)
    for t, what in enumerate(story):
        if what == "w":
            labels[t, 10:14, 10:18] = 5
        if what in "tf":
            labels[t, 10:14, 10:14] = 5
            labels[t, 10 : 14 if what == "t" else 13, 16 : 16 + (small if what == "t" else 1)] = 5
        if what == "x":  # both parts are where the right one was
            labels[t, 8:12, 18:22] = 5
            labels[t, 14:18, 18:22] = 5
    return labels


def frames(story: str, **options: float) -> list[int]:
    return [one.frame for one in propose_divisions(movie(story), **options)]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("wwttt", [2]),
        ("wwtttttt", [2]),  # once
        ("wwttw", []),  # whole again
        ("wwtt", []),  # the movie ends before it lasts
        ("ttttt", []),  # never whole: two objects from the start
        ("wwtatt", []),  # absent meanwhile
        ("wattt", [2]),  # absent before: what counts is how it was last
        ("wfffff", []),  # a fragment is no daughter
        ("wttxttt", []),  # another pair
        ("wttwttt", [4]),
        ("wtttwttt", [1, 5]),
        ("aaaa", []),
    ],
)
def test_the_definition_of_lasting(story: str, expected: list[int]):
    assert frames(story) == expected


def test_how_long_and_how_large_can_be_chosen():
    assert frames("wtt", lasting=2) == [1]
    assert frames("wt", lasting=1) == [1]
    assert frames("wfff", smallest=0.1) == [1]
    assert [one.frame for one in propose_divisions(movie("wttt", small=2), smallest=0.4)] == []


def test_a_proposal_says_where():
    (one,) = propose_divisions(movie("wttt", small=3))
    assert (one.object_id, one.frame, one.areas) == (5, 1, (16, 12))
    plane = movie("t", small=3)[0]
    assert all(plane[int(y), int(x)] == 5 for y, x in one.places)
    assert one.places[0][1] < 14 <= one.places[1][1]


def test_a_pixel_inside_a_bent_part():
    labels = movie("wttt")
    labels[1:, 10:14, 10:14] = 0
    labels[1:, 8:16, 8] = labels[1:, 8, 8:14] = labels[1:, 15, 8:14] = 5
    (one,) = propose_divisions(labels)
    assert all(labels[1, int(y), int(x)] == 5 for y, x in one.places)


def test_parts_that_touch_by_a_corner_are_one():
    labels = np.zeros((4, 20, 20), np.uint16)
    labels[0, 4:8, 4:8] = 1
    labels[1:, 4:8, 4:8] = labels[1:, 8:12, 8:12] = 1
    assert propose_divisions(labels) == []


def test_several_objects_by_frame():
    labels = np.concatenate([movie("wwttt"), movie("wtttt") * 20], axis=1)
    assert [(p.frame, p.object_id) for p in propose_divisions(labels)] == [(1, 100), (2, 5)]


def test_json():
    proposal = ProposedDivision(5, 2, ((1.0, 2.0), (3.0, 4.0)), (16, 12))
    assert json.loads(as_json([proposal])) == [
        {"object_id": 5, "frame": 2, "places": [[1.0, 2.0], [3.0, 4.0]], "areas": [16, 12]}
    ]


@pytest.mark.parametrize("options", [{"lasting": 0}, {"smallest": 0.0}, {"smallest": 0.6}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(InputError, match="lasting >= 1"):
        propose_divisions(movie("w"), **options)
