"""The folder of the Cell Tracking Challenge, as two other readers of it see it."""

from __future__ import annotations

import warnings
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import tifffile
from tests.movies.families import LINEAGE, family

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.ctc import presence_of, read_track_file, save_ctc

LINES = ["1 0 2 0", "2 3 7 1", "3 3 4 1", "7 6 6 0", "8 6 7 3"]


def test_masks_and_tracks(tmp_path: Path):
    folder = save_ctc(family(), tmp_path / "01_RES", lineage=LINEAGE)
    assert (folder / "res_track.txt").read_text().splitlines() == LINES
    names = sorted(path.name for path in folder.glob("*.tif"))
    assert names == [f"mask{t:03d}.tif" for t in range(8)]
    expected = family()
    expected[6:][expected[6:] == 3] = 8  # it was away on frame 5
    masks = np.stack([tifffile.imread(folder / name) for name in names])
    assert masks.dtype == np.uint16
    np.testing.assert_array_equal(masks, expected)


def test_the_challenge_s_own_checks_find_it_valid(tmp_path: Path):
    ctc = pytest.importorskip("ctc_metrics", reason="the extra ctc is not installed")
    folder = save_ctc(family(), tmp_path / "01_RES", lineage=LINEAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # how it tells what is wrong
        assert ctc.validate_sequence(str(folder))["Valid"] == 1


def test_geff_s_reader_finds_the_divisions(tmp_path: Path):
    convert = pytest.importorskip("geff.convert", reason="the extra tracks is not installed")
    geff = pytest.importorskip("geff")
    folder = save_ctc(family(), tmp_path / "01_RES", lineage=LINEAGE)
    convert.from_ctc_to_geff(folder, tmp_path / "read.geff")
    graph, _ = geff.read(tmp_path / "read.geff", backend="networkx")
    track = nx.get_node_attributes(graph, "tracklet_id")
    found = {(track[a], track[b]) for a, b in graph.edges if track[a] != track[b]}
    assert found == {(1, 2), (1, 3), (3, 8)}
    assert graph.number_of_nodes() == sum(len(one) for one in presence_of(family()).values())


def test_the_lineage_comes_back(tmp_path: Path):
    folder = save_ctc(family(), tmp_path / "01_RES", lineage=LINEAGE)
    assert read_track_file(folder / "res_track.txt") == {2: (1, 3), 3: (1, 3), 8: (3, 6)}


def test_a_thousand_frames_have_names_in_order(tmp_path: Path):
    labels = np.zeros((1001, 2, 2), np.uint8)
    folder = save_ctc(labels, tmp_path / "long")
    assert (folder / "mask1000.tif").is_file() and (folder / "mask0000.tif").is_file()
    assert (folder / "res_track.txt").read_text() == ""


def test_only_our_own_folder_is_replaced_and_only_when_asked(tmp_path: Path):
    folder = save_ctc(family(), tmp_path / "res")
    with pytest.raises(OutputError, match="exists"):
        save_ctc(family(), folder)
    save_ctc(family()[:4], folder, overwrite=True)
    assert len(list(folder.glob("mask*.tif"))) == 4
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        save_ctc(family(), folder, overwrite=True)
    (folder / "notes.txt").unlink()
    tifffile.imwrite(folder / "mask000.tif", np.zeros((4, 4), np.uint16))
    with pytest.raises(OutputError, match=r"mask000\.tif"):
        save_ctc(family(), folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["res"]


def test_a_folder_with_another_s_track_file_alone_is_not_ours(tmp_path: Path):
    (tmp_path / "res").mkdir()
    (tmp_path / "res" / "res_track.txt").write_text("1 0 3 0\n")
    with pytest.raises(OutputError, match="not a result which napari-sam-i2v wrote"):
        save_ctc(family(), tmp_path / "res", overwrite=True)


def test_a_failure_leaves_nothing(tmp_path: Path):
    class Broken:
        shape, dtype = (3, 4, 4), np.dtype(np.uint16)
        reads = 0

        def __getitem__(self, t: int) -> np.ndarray:
            self.reads += 1
            if self.reads > 4:
                raise RuntimeError("frame lost")
            return np.ones((4, 4), np.uint16)

    with pytest.raises(RuntimeError):
        save_ctc(Broken(), tmp_path / "res")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["1 0 3", "a b c d", "1 0 3 0 0"])
def test_a_track_file_that_is_none(tmp_path: Path, text: str):
    (tmp_path / "man_track.txt").write_text(text)
    with pytest.raises(InputError, match="four whole numbers per track"):
        read_track_file(tmp_path / "man_track.txt")
