"""Stretches and links: nothing lost at gaps and divisions, always a valid forest."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.lineage import Stretch, link_graph, roots_of, stretches_of


def columns(presence: dict[int, list[int]]) -> dict[str, np.ndarray]:
    rows = [(one, frame) for one, frames in presence.items() for frame in frames]
    ids, frames = np.array(rows).T
    return {"object_id": ids, "frame": frames}


def test_an_object_that_comes_back_goes_on_from_itself():
    found = stretches_of({4: [0, 1, 5, 7, 8]})
    assert found == [Stretch(4, 4, 0, 1), Stretch(5, 4, 5, 5, 4), Stretch(6, 4, 7, 8, 5)]


def test_daughters_go_on_from_the_mothers_last_stretch_before_them():
    presence = {1: [0, 2, 3], 2: [4, 5], 3: [6]}
    found = stretches_of(presence, {2: (1, 4), 3: (1, 4)})
    assert [(one.object_id, one.parent_id) for one in found] == [(1, 0), (2, 4), (3, 4), (1, 1)]


def test_a_mother_who_is_still_there_is_cut():
    found = stretches_of({1: [0, 1, 2, 3], 2: [2, 3]}, {2: (1, 2)})
    assert found == [Stretch(1, 1, 0, 1), Stretch(2, 2, 2, 3, 1), Stretch(3, 1, 2, 3, 1)]
    ends = {one.track_id: one.last for one in found}
    assert all(ends[one.parent_id] < one.first for one in found if one.parent_id)


def test_who_is_not_there_is_left_out():
    lineage = {2: (1, 4), 3: (9, 1), 5: (6, 0)}
    found = stretches_of({1: [0], 2: [], 3: [1], 5: [0], 6: [0]}, lineage)
    assert [one.parent_id for one in found] == [0, 0, 0, 0]


def test_large_ids_are_numbered_anew():
    found = stretches_of({70_000: [0, 2], 5: [1]})
    assert [(one.track_id, one.object_id) for one in found] == [(1, 5), (2, 70_000), (3, 70_000)]
    with pytest.raises(InputError, match="3 tracks do not fit a format that numbers at most 2"):
        stretches_of({1: [0, 2, 4]}, largest=2)


def test_links_lead_forward_and_to_daughters():
    presence = {1: [0, 1], 2: [2, 4], 3: [2]}
    graph = link_graph(columns(presence), {2: (1, 2), 3: (1, 2)})
    assert {tuple(link) for link in graph.links.tolist()} == {(0, 1), (2, 3), (1, 2), (1, 4)}
    assert len(set(graph.family.tolist())) == 1
    np.testing.assert_array_equal(np.diff(graph.tracklet), [0, 1, 0, 1])


def test_a_single_daughter_is_the_same_unbranched_path():
    graph = link_graph(columns({1: [0], 2: [1], 8: [0]}), {2: (1, 1)})
    assert graph.tracklet[0] == graph.tracklet[1] != graph.tracklet[2]


def test_an_own_ancestor_is_refused():
    lineage = {1: (2, 3), 2: (1, 1)}
    for ask in (lambda: roots_of(lineage), lambda: stretches_of({1: [0], 2: [1]}, lineage)):
        with pytest.raises(InputError, match="cannot be its own ancestor"):
            ask()


def test_two_places_on_a_frame_are_refused():
    with pytest.raises(InputError, match="object 3 has two on 1"):
        link_graph(columns({3: [0, 1, 1]}))
    with pytest.raises(InputError, match="no object on any frame"):
        link_graph({"object_id": np.empty(0, int), "frame": np.empty(0, int)})
