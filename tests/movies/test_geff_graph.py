"""GEFF, as its own library reads and validates it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tests.movies.families import LINEAGE, SCALE, UNITS, family

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.measure.objects import measurements
from napari_sam_i2v.movies.geff_graph import save_geff


@pytest.fixture
def table() -> dict[str, np.ndarray]:
    return measurements(family())


def test_nodes_links_and_units(tmp_path: Path, table):
    geff = pytest.importorskip("geff", reason="the extra tracks is not installed")
    path = save_geff(table, tmp_path / "t.geff", lineage=LINEAGE, scale=SCALE, units=UNITS)
    geff.validate_structure(path)
    graph, metadata = geff.read(path, backend="networkx")
    place = {n: (d["object_id"], d["t"], d["y"], d["x"]) for n, d in graph.nodes(data=True)}
    assert (1, 0, 9.5, 5.5) in place.values()
    births = {(place[a][:2], place[b][:2]) for a, b in graph.edges if place[a][0] != place[b][0]}
    assert births == {((1, 2), (2, 3)), ((1, 2), (3, 3))}
    assert ((3, 4), (3, 6)) in {(place[a][:2], place[b][:2]) for a, b in graph.edges}
    axes = [(one.name, one.type, one.unit, one.scale, one.scaled_unit) for one in metadata.axes]
    assert axes == [
        ("t", "time", "frame", 5.0, "minute"),
        ("y", "space", "pixel", 0.5, "micrometer"),
        ("x", "space", "pixel", 0.25, "micrometer"),
    ]


def test_tracklets_and_lineages_are_what_the_format_says(tmp_path: Path, table):
    tracks = pytest.importorskip("geff.validate.tracks", reason="the extra tracks is missing")
    geff = pytest.importorskip("geff")
    path = save_geff(table, tmp_path / "t.geff", lineage=LINEAGE)
    graph, metadata = geff.read(path, backend="networkx")
    names = metadata.track_node_props
    edges = list(graph.edges)
    for check, kind in (
        (tracks.validate_tracklets, "tracklet"),
        (tracks.validate_lineages, "lineage"),
    ):
        values = [data[names[kind]] for _, data in graph.nodes(data=True)]
        valid, errors = check(list(graph.nodes), edges, values)
        assert valid, errors


def test_what_is_not_known_is_missing(tmp_path: Path, table):
    geff = pytest.importorskip("geff", reason="the extra tracks is not installed")
    table["confidence"][0] = 0.5
    path = save_geff(table, tmp_path / "t.geff")
    graph, _ = geff.read(path, backend="networkx")
    assert [data["confidence"] for _, data in graph.nodes(data=True) if "confidence" in data] == [
        0.5
    ]


def test_only_our_own_is_replaced_and_only_when_asked(tmp_path: Path, table):
    geff = pytest.importorskip("geff", reason="the extra tracks is not installed")
    path = save_geff(table, tmp_path / "t.geff")
    with pytest.raises(OutputError, match="exists"):
        save_geff(table, path)
    few = {name: values[:3] for name, values in table.items()}
    save_geff(few, path, overwrite=True)
    assert geff.read(path, backend="networkx")[0].number_of_nodes() == 3
    (path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        save_geff(table, path, overwrite=True)


def test_without_the_library_the_extra_is_named(tmp_path: Path, table, monkeypatch):
    monkeypatch.setitem(sys.modules, "geff", None)
    with pytest.raises(InputError, match=r"napari-sam-i2v\[tracks\]"):
        save_geff(table, tmp_path / "t.geff")
    assert list(tmp_path.iterdir()) == []
