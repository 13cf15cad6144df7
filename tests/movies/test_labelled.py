"""A user's own movies: three layouts are read, ids stay, and what cannot be used is said."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.movies.layouts import (
    as_markers,
    discs,
    write_cell_tracking,
    write_davis,
    write_tiff,
)

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.labelled import OwnMovie, find_movies
from napari_sam_i2v.movies.truth import same_identities
from napari_sam_i2v.training.cuts import OwnMovies

MOVIE, LABELS = discs()


def labels_of(movie: OwnMovie, t: int) -> np.ndarray:
    return np.asarray(movie.truth.read(t)[0])


# ---- layouts ---------------------------------------------------------------------------------


def test_tiff_pairs_in_a_folder_and_its_subfolders(tmp_path: Path) -> None:
    write_tiff(tmp_path, MOVIE, LABELS, "first")
    write_tiff(tmp_path, MOVIE, LABELS, "second")
    write_tiff(tmp_path / "case", MOVIE, LABELS)
    found = find_movies([tmp_path])
    assert [m.path.name for m in found] == ["first.tif", "second.tif", "movie.tif"]
    assert len({m.name for m in found}) == 3
    for movie in found:
        assert movie.runs == (tuple(range(6)),)
        assert np.array_equal(movie.open()[4], MOVIE[4])
        assert np.array_equal(labels_of(movie, 4), LABELS[4])


def test_annotated_frames_are_those_listed(tmp_path: Path) -> None:
    (write_tiff(tmp_path, MOVIE, LABELS) / "annotated_frames.txt").write_text("4\n0\n2\n")
    assert find_movies([tmp_path])[0].runs == ((0, 2, 4),)
    (tmp_path / "annotated_frames.txt").write_text("0\n5\n", encoding="utf-8-sig")
    assert find_movies([tmp_path])[0].runs == ((0, 5),), "with a byte order mark"


def test_davis_ids_are_palette_indices(tmp_path: Path) -> None:
    write_davis(tmp_path, MOVIE, LABELS, frames=[0, 1, 4])
    (movie,) = find_movies([tmp_path])
    assert movie.runs == ((0, 1, 4),)
    assert movie.open().shape == (6, 96, 96, 3)
    assert np.array_equal(labels_of(movie, 4), LABELS[4])


def test_davis_names_without_leading_zeros(tmp_path: Path) -> None:
    """2.jpg comes before 10.jpg, in the movie and in what is annotated; hidden files are none."""
    movie, labels = discs(12)
    write_davis(tmp_path, movie, labels)
    for file in [*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.png")]:
        file.rename(file.with_name(f"{int(file.stem)}{file.suffix}"))
    (tmp_path / "JPEGImages/480p/clip/._0.jpg").write_bytes(b"of another system")
    (found,) = find_movies([tmp_path])
    assert found.runs == (tuple(range(12)),)
    for t in range(12):
        assert np.array_equal(labels_of(found, t), labels[t]), t
    assert np.abs(found.open()[2][..., 0].astype(int) - movie[2]).mean() < 5


def test_a_davis_clip_without_frames_is_passed_over(tmp_path: Path) -> None:
    write_davis(tmp_path, MOVIE, LABELS)
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / part / "480p/dog").mkdir()
    assert [movie.name for movie in find_movies([tmp_path])] == ["clip"]


def test_davis_names_with_a_dot(tmp_path: Path) -> None:
    write_davis(tmp_path, MOVIE, LABELS)
    for file in [*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.png")]:
        file.rename(file.with_name(f"run.{file.name}"))
    (found,) = find_movies([tmp_path])
    assert np.array_equal(labels_of(found, 4), LABELS[4])


def test_cell_tracking_masks_get_the_ids_of_their_markers(tmp_path: Path) -> None:
    write_cell_tracking(tmp_path, MOVIE, LABELS, outlined=[1, 2, 5])
    (movie,) = find_movies([tmp_path])
    assert movie.runs == ((1, 2, 5),), "frames without SEG are not annotated, not empty"
    for t in (1, 2, 5):
        assert np.array_equal(labels_of(movie, t), LABELS[t])
        assert movie.truth.read(t)[1] == frozenset()


def test_a_tracked_cell_without_outline_is_unclear(tmp_path: Path) -> None:
    write_cell_tracking(tmp_path, MOVIE, LABELS, outlined=[1])
    only = np.where(LABELS[2] == 3, 7, 0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "01_GT/SEG/man_seg002.tif", only)
    (movie,) = find_movies([tmp_path])
    assert movie.truth.read(2)[1] == {8}
    part = OwnMovies([tmp_path], seed=0, frames=2, size=96, least=2).draw(0)
    assert len(part.labels) == 2
    assert np.array_equal(part.labels, np.where(LABELS[1:3] == 3, 1, 0)), "8 may not be a target"


def test_cell_tracking_without_markers_gives_frames_of_their_own(tmp_path: Path) -> None:
    write_cell_tracking(tmp_path, MOVIE, LABELS, outlined=[1, 2], markers=False)
    assert find_movies([tmp_path])[0].runs == ((1,), (2,))
    assert len(OwnMovies([tmp_path], seed=0, frames=4, size=96).draw(0).frames) == 1
    with pytest.raises(InputError, match="at least 2 annotated frames"):
        OwnMovies([tmp_path], seed=0, frames=4, size=96, least=2)


def test_cell_tracking_with_markers_alone_and_with_silver_truth(tmp_path: Path) -> None:
    write_cell_tracking(tmp_path, MOVIE, LABELS, outlined=[])
    (movie,) = find_movies([tmp_path])
    assert np.array_equal(labels_of(movie, 3), as_markers(LABELS[3]))
    silver = tmp_path / "01_ST" / "SEG"
    silver.mkdir(parents=True)
    for t in range(6):
        tifffile.imwrite(silver / f"man_seg{t:03d}.tif", (LABELS[t] > 0).astype(np.uint8))
    (movie,) = find_movies([tmp_path])
    assert movie.runs == (tuple(range(6)),)
    # One mask that covers both markers belongs to one of them alone.
    assert len(np.unique(labels_of(movie, 3))) == 2


def test_same_identities() -> None:
    masks = np.array([[1, 1, 1, 2, 2, 0, 4, 4]])
    markers = np.array([[9, 9, 5, 9, 0, 6, 0, 0]])
    # Mask 1 overlaps 9 most; mask 2 finds 9 taken; mask 4 has no marker, marker 6 no mask.
    assert same_identities(masks, markers).tolist() == [[9, 9, 9, 0, 0, 0, 0, 0]]


# ---- refusals --------------------------------------------------------------------------------


def test_no_layout_says_which_three_there_are(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", MOVIE)
    with pytest.raises(InputError, match=r"TIFF pairs.*DAVIS.*Cell Tracking Challenge"):
        find_movies([tmp_path])
    with pytest.raises(InputError, match="There is no folder"):
        find_movies([tmp_path / "nowhere"])


def test_labels_of_another_shape(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a", MOVIE, LABELS[:-1])
    with pytest.raises(InputError, match=r"labels.tif has shape \(5, 96, 96\).*one shape"):
        find_movies([tmp_path / "a"])
    write_davis(tmp_path / "b", MOVIE, LABELS[:, ::2])
    with pytest.raises(InputError, match=r"labels of shape \(48, 96\)"):
        find_movies([tmp_path / "b"])
    write_cell_tracking(tmp_path / "c", MOVIE, LABELS, outlined=[0])
    tifffile.imwrite(tmp_path / "c/01_GT/SEG/man_seg000.tif", LABELS[0, :50])
    with pytest.raises(InputError, match="one shape"):
        find_movies([tmp_path / "c"])


def test_labels_of_another_shape_on_a_later_frame(tmp_path: Path) -> None:
    write_davis(tmp_path / "a", MOVIE, LABELS)
    Image.fromarray(LABELS[3, :50].astype(np.uint8)).save(
        tmp_path / "a/Annotations/480p/clip/00003.png"
    )
    with pytest.raises(InputError, match=r"00003.png has labels of shape \(50, 96\)"):
        find_movies([tmp_path / "a"])
    (tmp_path / "a/Annotations/480p/clip/00003.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00003.png is no picture"):
        find_movies([tmp_path / "a"])
    write_cell_tracking(tmp_path / "b", MOVIE, LABELS, outlined=[1, 2], markers=False)
    tifffile.imwrite(tmp_path / "b/01_GT/SEG/man_seg002.tif", LABELS[2, :50])
    own = OwnMovies([tmp_path / "b"], seed=0, frames=4, size=96)
    with pytest.raises(InputError, match=r"01_GT has labels of shape \(50, 96\) on frame 2"):
        for n in range(20):
            own.draw(n)


def test_labels_that_are_no_ids(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a", MOVIE, LABELS.astype(np.float32))
    with pytest.raises(InputError, match="whole numbers"):
        find_movies([tmp_path / "a"])
    write_davis(tmp_path / "b", MOVIE, LABELS)
    colours = Image.new("RGB", (96, 96), "red")
    colours.save(tmp_path / "b/Annotations/480p/clip/00000.png")
    with pytest.raises(InputError, match="palette"):
        find_movies([tmp_path / "b"])


def test_broken_lists_volumes_and_frames_that_do_not_exist(tmp_path: Path) -> None:
    listed = write_tiff(tmp_path / "a", MOVIE, LABELS) / "annotated_frames.txt"
    for text, message in (("first\n", "annotated frames"), ("", "annotated"), ("6", "only 6")):
        listed.write_text(text)
        with pytest.raises(InputError, match=message):
            find_movies([tmp_path / "a"])
    write_cell_tracking(tmp_path / "b", MOVIE, LABELS, outlined=[0])
    tifffile.imwrite(tmp_path / "b/01_GT/SEG/man_seg_000_003.tif", LABELS[0])
    with pytest.raises(InputError, match="plane of a volume"):
        find_movies([tmp_path / "b"])
    write_cell_tracking(tmp_path / "c", MOVIE, LABELS, outlined=[0])
    tifffile.imwrite(tmp_path / "c/01_GT/SEG/man_seg009.tif", LABELS[0])
    with pytest.raises(InputError, match="truth of frame 9"):
        find_movies([tmp_path / "c"])


# ---- parts -----------------------------------------------------------------------------------


def test_parts_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    write_tiff(tmp_path / "tiff", MOVIE, LABELS)
    write_davis(tmp_path / "davis", MOVIE, LABELS)
    first = OwnMovies([tmp_path / "tiff", tmp_path / "davis"], seed=1, frames=3, size=48)
    parts = [first.draw(n) for n in range(6)]
    again = pickle.loads(pickle.dumps(first))
    for n in (5, 0, 3):
        assert np.array_equal(again.draw(n).frames, parts[n].frames)
        assert np.array_equal(again.draw(n).labels, parts[n].labels)
    other = OwnMovies([tmp_path / "tiff", tmp_path / "davis"], seed=2, frames=3, size=48)
    assert any(
        other.draw(n).frames.shape != parts[n].frames.shape
        or not np.array_equal(other.draw(n).frames, parts[n].frames)
        for n in range(6)
    )


def test_parts_are_bounded_and_fit_their_labels(tmp_path: Path) -> None:
    movie, labels = discs(frames=20, side=700, radius=9)
    write_tiff(tmp_path, movie, labels)
    own = OwnMovies([tmp_path], seed=3, frames=99, size=9999)
    for n in range(4):
        part = own.draw(n)
        assert part.frames.shape == part.labels.shape == (16, 512, 512)
        assert part.frames.dtype == np.uint8
        assert part.frames[part.labels > 0].min() > part.frames[part.labels == 0].mean()
    assert len(OwnMovies([tmp_path], seed=3, frames=8, size=128).draw(0).frames) == 8


def test_large_objects_are_reduced_with_their_labels(tmp_path: Path) -> None:
    movie, labels = discs(side=256, radius=50)
    write_tiff(tmp_path, movie, labels)
    part = OwnMovies([tmp_path], seed=3, frames=4, size=64).draw(1)
    assert part.frames.shape[1:] == part.labels.shape[1:] == (64, 64)
    inside, outside = part.frames[part.labels > 0], part.frames[part.labels == 0]
    assert inside.mean() > outside.mean() + 100


def test_only_annotated_frames_are_shown(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[[1, 3, 5]] = 0
    (write_tiff(tmp_path, MOVIE, labels) / "annotated_frames.txt").write_text("0 2 4")
    own = OwnMovies([tmp_path], seed=0, frames=6, size=96, least=2)
    for n in range(5):
        part = own.draw(n)
        assert len(part.frames) == 3
        assert (part.labels > 0).any(axis=(1, 2)).all()


def test_labels_without_objects(tmp_path: Path) -> None:
    write_tiff(tmp_path, MOVIE, np.zeros_like(LABELS))
    with pytest.raises(InputError, match="No object of at least 12 pixels"):
        OwnMovies([tmp_path], seed=0, frames=4, size=96).draw(0)
