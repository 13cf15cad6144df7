"""TrackMate files, as ElementTree, pytrackmate and geff's converter read them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
from skimage.draw import polygon2mask
from tests.movies.families import LINEAGE, SCALE, UNITS, family

from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.measure.objects import measurements
from napari_sam_i2v.movies.trackmate import save_trackmate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    labels = family()
    return save_trackmate(
        measurements(labels, labels * 10), labels, tmp_path / "tracks.xml", lineage=LINEAGE,
        scale=SCALE, units=UNITS, movie_path=tmp_path / "movie.tif",
    )  # fmt: skip


def test_spots_in_units(path: Path):
    root = ElementTree.parse(path).getroot()
    model = root.find("Model")
    assert (model.get("spatialunits"), model.get("timeunits")) == ("micron", "min")
    spots = model.findall("AllSpots/SpotsInFrame/Spot")
    assert len(spots) == int(model.find("AllSpots").get("nspots")) == 13
    first = spots[0].attrib
    assert first["name"] == "1"
    assert (float(first["POSITION_Y"]), float(first["POSITION_X"])) == (9.5 * 0.5, 5.5 * 0.25)
    assert float(first["AREA"]) == 16 * 0.125
    assert float(first["MEAN_INTENSITY_CH1"]) == 10
    assert float(spots[-1].get("POSITION_T")) == 7 * 5.0
    image = root.find("Settings/ImageData")
    assert (image.get("filename"), image.get("nframes")) == ("movie.tif", "8")


def test_outlines_cover_the_masks(path: Path):
    labels = family()
    for spot in ElementTree.parse(path).getroot().iter("Spot"):
        numbers = np.array(spot.text.split(), float).reshape(int(spot.get("ROI_N_POINTS")), 2)
        x, y = (numbers + [float(spot.get(f"POSITION_{a}")) for a in "XY"]).T
        plane = labels[int(spot.get("FRAME"))]
        found = polygon2mask(plane.shape, np.stack([y / 0.5, x / 0.25], axis=1))
        np.testing.assert_array_equal(found, plane == int(spot.get("name")))


def test_a_family_is_a_track_that_splits(path: Path):
    root = ElementTree.parse(path).getroot()
    spots = {s.get("ID"): (int(s.get("name")), int(s.get("FRAME"))) for s in root.iter("Spot")}
    (track,) = root.findall("Model/AllTracks/Track")
    edges = [
        (spots[e.get("SPOT_SOURCE_ID")], spots[e.get("SPOT_TARGET_ID")])
        for e in track.findall("Edge")
    ]
    births = {edge for edge in edges if edge[0][0] != edge[1][0]}
    assert births == {((1, 2), (2, 3)), ((1, 2), (3, 3))}
    assert (track.get("NUMBER_SPOTS"), track.get("NUMBER_SPLITS")) == ("12", "1")
    assert len(edges) == 11  # object 7, on one frame, is in no track
    assert [one.get("TRACK_ID") for one in root.iter("TrackID")] == ["0"]


def test_pytrackmate_reads_it(path: Path):
    reader = pytest.importorskip("pytrackmate", reason="the extra test installs pytrackmate")
    table = reader.trackmate_peak_import(path, get_tracks=True)
    assert len(table) == 13
    assert table["label"].nunique() == 2
    expected = measurements(family(), scale=SCALE)
    np.testing.assert_allclose(sorted(table["y"]), sorted(expected["centroid_y_units"]), rtol=1e-6)
    np.testing.assert_allclose(sorted(table["t"]), sorted(expected["time"]), rtol=1e-6)


def test_geff_converts_it(path: Path, tmp_path: Path):
    convert = pytest.importorskip("geff.convert", reason="the extra tracks is not installed")
    geff = pytest.importorskip("geff")
    convert.from_trackmate_xml_to_geff(path, tmp_path / "read.geff")
    graph, _ = geff.read(tmp_path / "read.geff", backend="networkx")
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (13, 11)
    names = nx.get_node_attributes(graph, "name")
    mothers = [n for n in graph if graph.out_degree(n) == 2]
    assert [names[n] for n in mothers] == ["1"]
    assert sorted(names[n] for n in graph.successors(mothers[0])) == ["2", "3"]


def test_never_overwrites_unasked(path: Path):
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_trackmate(measurements(family()), family(), path)
    assert path.read_bytes() == before
