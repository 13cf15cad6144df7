"""A user's own movies with labels, found in folders of three layouts.

TIFF pairs: `movie.tif` and `labels.tif`, or `NAME.tif` and `NAME_labels.tif`. DAVIS:
`JPEGImages/480p/CLIP/*.jpg` and `Annotations/480p/CLIP/*.png`. Cell Tracking Challenge:
`01/t000.tif`, `01_GT/SEG/man_seg000.tif` and `01_GT/TRA/man_track000.tif`. Each may lie in the
folder or in its subfolders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies import Movie, open_movie
from napari_sam_i2v.movies.sequence import frame_files
from napari_sam_i2v.movies.truth import CellTrackingTruth, PictureTruth, StackTruth, Truth

__all__ = ["LAYOUTS", "OwnMovie", "cell_tracking", "check_shape", "find_movies"]

LAYOUTS = (
    "(1) TIFF pairs, movie.tif with labels.tif or NAME.tif with NAME_labels.tif; "
    "(2) DAVIS, JPEGImages/480p/CLIP/*.jpg with Annotations/480p/CLIP/*.png; "
    "(3) Cell Tracking Challenge, 01/t000.tif with 01_GT/SEG/man_seg000.tif and "
    "01_GT/TRA/man_track000.tif"
)
TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class OwnMovie:
    """A movie and where its objects are; nothing but paths.

    Attributes
    ----------
    name
        For messages and tables.
    path
        What `open_movie` opens.
    truth
        Labels by frame.
    runs
        Annotated frames that may be shown one after the other, in order. One run where objects
        keep their ids; a run for each frame where they do not.
    """

    name: str
    path: Path
    truth: Truth
    runs: tuple[tuple[int, ...], ...]

    @property
    def longest(self) -> int:
        """Frames of the longest run."""
        return max(len(run) for run in self.runs)

    def open(self) -> Movie:
        """Open the frames."""
        return open_movie(self.path)


def find_movies(folders: Sequence[str | Path]) -> list[OwnMovie]:
    """Find all movies with labels in some folders, and check the first annotated frame of each.

    Raises
    ------
    InputError
        If a folder is missing or has none of the three layouts, or if labels do not fit.
    """
    found: list[OwnMovie] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}: give folders of movies with labels.")
        here = [movie for place in _places(folder) for movie in _in(place)]
        if not here:
            raise InputError(f"{folder} holds no movie with labels. It must have one of three "
                             f"layouts, itself or in its subfolders: {LAYOUTS}.")  # fmt: skip
        found += here
    for movie in found:
        _check(movie)
    return found


def _places(folder: Path) -> list[Path]:
    return [folder, *sorted(one for one in folder.iterdir() if one.is_dir())]


def _in(place: Path) -> Iterator[OwnMovie]:
    yield from _tiff_pairs(place)
    yield from _davis(place)
    yield from cell_tracking(place)


def _check(movie: OwnMovie) -> None:
    """Refuse labels of another shape than their movie's, and frames that do not exist."""
    frames = movie.open()
    last = max(max(run) for run in movie.runs)
    if last >= len(frames):
        raise InputError(
            f"{movie.truth.path} has labels of frame {last}, but {movie.path} has only "
            f"{len(frames)} frames (the first is 0)."
        )
    if isinstance(movie.truth, PictureTruth):
        _check_sizes(movie, movie.truth, frames.shape[1:3])
    labels, _ = movie.truth.read(movie.runs[0][0])
    check_shape(movie, frames.shape[1:3], labels.shape, movie.truth.path)


def check_shape(
    movie: OwnMovie, wanted: Sequence[int], found: Sequence[int], path: Path, *, on: str = ""
) -> None:
    """Refuse labels of another shape than their movie's frames, `wanted` (Y, X).

    `path` is where they lie; `on` says where there, if that must be said.
    """
    if tuple(found) != tuple(wanted):
        raise InputError(
            f"{path} has labels of shape {found}{on}, {movie.path} frames of shape {wanted}: both "
            "must have one shape (Y, X)."
        )


def _check_sizes(movie: OwnMovie, truth: PictureTruth, shape: tuple[int, ...]) -> None:
    """Refuse pictures of another shape; only their headers are read."""
    for file in (truth.files[t] for run in movie.runs for t in run):
        try:
            with Image.open(file) as picture:
                found = picture.size[::-1]
        except OSError as error:
            raise InputError(f"{file} is no picture, truncated or damaged: {error}.") from None
        check_shape(movie, shape, found, file)


# ---- TIFF pairs ------------------------------------------------------------------------------


def _tiff_pairs(place: Path) -> Iterator[OwnMovie]:
    """Give `movie.tif` with `labels.tif`, and each `NAME.tif` with `NAME_labels.tif`."""
    files = {one.stem: one for one in sorted(place.iterdir()) if one.suffix.lower() in TIFF}
    for stem, labels in files.items():
        name = stem.removesuffix("_labels")
        if stem == "labels" and "movie" in files:
            yield _pair(place.name, files["movie"], labels, place / "annotated_frames.txt")
        elif name != stem and name in files:
            listed = place / f"{name}_annotated_frames.txt"
            yield _pair(f"{place.name}/{name}", files[name], labels, listed)


def _pair(name: str, movie: Path, labels: Path, listed: Path) -> OwnMovie:
    frames, ids = open_movie(movie).shape[:3], open_movie(labels).shape
    if frames != ids:
        raise InputError(
            f"{labels} has shape {ids}, {movie} {frames}: labels and movie must have one shape "
            "(T, Y, X)."
        )
    annotated = _listed(listed) if listed.is_file() else range(frames[0])
    return OwnMovie(name, movie, StackTruth(labels), (tuple(annotated),))


def _listed(path: Path) -> list[int]:
    words = path.read_text(encoding="utf-8-sig").split()  # editors of Windows write a mark first
    if not words or not all(word.isdecimal() for word in words):
        raise InputError(f"{path} must list the annotated frames, one number from 0 up a line.")
    return sorted({int(word) for word in words})


# ---- DAVIS -----------------------------------------------------------------------------------


def _davis(place: Path) -> Iterator[OwnMovie]:
    """Give the clips of `JPEGImages`, of 480p where there are several resolutions."""
    pictures, annotations = place / "JPEGImages", place / "Annotations"
    if not (pictures.is_dir() and annotations.is_dir()):
        return
    sizes = sorted(one.name for one in pictures.iterdir() if (annotations / one.name).is_dir())
    size = "480p" if "480p" in sizes else next(iter(sizes), "")
    clips = sorted(one for one in (pictures / size).iterdir() if one.is_dir()) if size else []
    for clip in clips:
        masks = annotations / size / clip.name
        if not (masks.is_dir() and any(clip.iterdir())):  # a download of a part, perhaps
            continue
        # In the order in which the movie is opened: 2.jpg comes before 10.jpg.
        files = tuple(masks / f"{one.stem}.png" for one in frame_files(clip))
        annotated = tuple(t for t, file in enumerate(files) if file.is_file())
        if annotated:
            yield OwnMovie(clip.name, clip, PictureTruth(masks, files), (annotated,))


# ---- Cell Tracking Challenge -----------------------------------------------------------------


def cell_tracking(place: Path) -> Iterator[OwnMovie]:
    """Give the sequences 01, 02, ... of a folder in the Cell Tracking Challenge's layout.

    Those without a truth, gold or silver, are left out.

    Raises
    ------
    InputError
        If the truth is of a frame that is not there, or of a movie with depth.
    """
    for frames in sorted(one for one in place.iterdir() if re.fullmatch(r"\d\d+", one.name)):
        gold, silver = (place / f"{frames.name}_{kind}" for kind in ("GT", "ST"))
        # Gold truth outlines a few frames, silver truth, where there is one, usually all.
        both = [_numbered(truth / "SEG", "man_seg") for truth in (gold, silver)]
        masks = max(both, key=len)
        markers = _numbered(gold / "TRA", "man_track") or _numbered(silver / "TRA", "man_track")
        times = _numbered(frames, "t") if masks or markers else {}
        if not times:
            continue
        # Masks and markers carry the number of a frame; a movie counts its frames from 0.
        index = {number: i for i, number in enumerate(times)}
        strange = sorted((set(masks) | set(markers)) - set(index))
        if strange:
            raise InputError(f"{gold} has a truth of frame {strange[0]}, which {frames} lacks.")
        truth = CellTrackingTruth(
            gold if gold.is_dir() else silver,
            {index[number]: file for number, file in masks.items()},
            {index[number]: file for number, file in markers.items()},
        )
        yield OwnMovie(f"{place.name}/{frames.name}", frames, truth, _runs(truth))


def _runs(truth: CellTrackingTruth) -> tuple[tuple[int, ...], ...]:
    """All annotated frames, or each by itself where no marker says which mask is which cell."""
    annotated = tuple(truth.masks or truth.markers)
    if not truth.masks:
        return (annotated,)
    known = tuple(t for t in annotated if t in truth.markers)
    return (known,) if known else tuple((t,) for t in annotated)


def _numbered(folder: Path, prefix: str) -> dict[int, Path]:
    """Number -> file of `PREFIXnnn.tif` in a folder that may be missing, ascending.

    Raises
    ------
    InputError
        If a file is of a plane of a volume, `man_seg_003_005.tif`.
    """
    if not folder.is_dir():
        return {}
    files: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        if re.fullmatch(rf"{prefix}_\d+_\d+\.tiff?", file.name):
            raise InputError(
                f"{file} is of one plane of a volume: movies with depth cannot be used. "
                "Save one plane of each frame, and its labels, as a TIFF pair."
            )
        if number := re.fullmatch(rf"{prefix}(\d+)\.tiff?", file.name):
            files[int(number[1])] = file
    return dict(sorted(files.items()))
