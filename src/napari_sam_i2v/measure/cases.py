"""Movies with a known truth, as they lie in folders: found, checked and opened.

A case is a folder with

- ``movie.tif`` and ``labels.tif`` (or ``.tiff``, ``.zarr``), the same (T, Y, X) in both; labels
  are object ids, 0 is background or not annotated;
- ``annotated_frames.txt``, optional: the frames on which every object that is there has its
  mask. By default all frames that hold labels;
- ``prompts.csv``, optional: one click per object (``object_id,frame,y,x[,label]``). By default
  the most interior point of each object on its first annotated frame;

or a clip in the layout of DAVIS: ``JPEGImages/<size>/<clip>`` with
``Annotations/<size>/<clip>/*.png`` and, optional, ``Prompts/<size>/<clip>.csv``;

or a sequence of the Cell Tracking Challenge: ``01/t000.tif`` with ``01_GT/SEG/man_seg000.tif`` (or
``01_ST/SEG``), ``01_GT/TRA/man_track000.tif`` and, optional, ``01_prompts.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.labelled import cell_tracking
from napari_sam_i2v.movies.movie import open_movie
from napari_sam_i2v.movies.sequence import frame_files
from napari_sam_i2v.movies.truth import CellTrackingTruth
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.view import interior_point

__all__ = ["Case", "find_cases", "load_case", "load_cases"]

SUFFIXES = (".tif", ".tiff", ".zarr")
LAYOUT = (
    "a case is a folder with movie.tif and labels.tif, or a clip JPEGImages/<size>/<clip> with "
    "Annotations/<size>/<clip>/*.png, or a sequence of the Cell Tracking Challenge, 01 with "
    "01_GT/SEG and 01_GT/TRA"
)
FRAMES, TRUTH, CLICKS = "JPEGImages", "Annotations", "Prompts"


@dataclass(frozen=True, eq=False)
class Case:
    """A movie, its truth, and one prompt per object.

    Attributes
    ----------
    name
        Short, and different for every case of one evaluation.
    group
        "davis" for clips in that layout, whose mean is of interest; empty otherwise.
    movie, truth
        (T, Y, X[, 3]) and (T, Y, X), read frame by frame.
    annotated
        Frames on which the truth is complete, ascending.
    prompts
        In order of frame and object id.
    presence
        Object id -> annotated frames on which the truth shows it, ascending.
    """

    name: str
    group: str
    movie: Any
    truth: Any
    annotated: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    presence: Mapping[int, tuple[int, ...]]

    @cached_property
    def starts(self) -> dict[int, int]:
        """Object id -> frame of its first prompt."""
        starts: dict[int, int] = {}
        for prompt in self.prompts:
            starts[prompt.object_id] = min(prompt.frame, starts.get(prompt.object_id, prompt.frame))
        return starts

    @property
    def dense(self) -> bool:
        """Whether every frame is annotated: then an object without a mask is really gone."""
        return len(self.annotated) == int(self.movie.shape[0])

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_]:
        """An object's true mask (Y, X)."""
        return np.asarray(self.truth[frame]) == object_id


class _PlanesTruth:
    """Labels (T, Y, X) of which each annotated frame is a file of its own; the others are 0.

    Parameters
    ----------
    files
        Annotated frame -> its file.
    read
        Reads the labels (Y, X) of such a frame.
    shape
        (T, Y, X) of the movie.
    """

    def __init__(
        self,
        files: Mapping[int, Path],
        read: Callable[[int], NDArray[Any]],
        shape: Sequence[int],
    ) -> None:
        self.files, self.read = files, read
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(np.uint16)

    def __getitem__(self, t: int) -> NDArray[np.uint16]:
        """Read labels (Y, X) of frame `t`."""
        if t not in self.files:
            return np.zeros(self.shape[1:], np.uint16)
        plane = self.read(t)
        if plane.shape != self.shape[1:]:
            raise InputError(
                f"{self.files[t]} is {plane.shape}, the movie's frames are {self.shape[1:]}: "
                "they must agree"
            )
        return plane.astype(np.uint16)


def load_cases(paths: Iterable[Path], *, note: Callable[[str], None] | None = None) -> list[Case]:
    """Find and open the cases below some folders; see `find_cases` and `load_case`."""
    folders = find_cases(paths, note=note)
    cases = [load_case(folder) for folder in folders]
    named = _names([(case.name, _above(one)) for case, one in zip(cases, folders, strict=True)])
    return [replace(case, name=name) for case, name in zip(cases, named, strict=True)]


def find_cases(paths: Iterable[Path], *, note: Callable[[str], None] | None = None) -> list[Path]:
    """List the folders of cases.

    Parameters
    ----------
    paths
        Cases themselves, folders that hold cases, or roots of the DAVIS layout.
    note
        Called with a sentence for each folder that holds a movie but no truth.

    Returns
    -------
    list of Path
        Without repetitions, in the order given and by name below each.

    Raises
    ------
    InputError
        If a path is no folder, or holds no case.
    """
    found: dict[Path, None] = {}
    for path in paths:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder: {LAYOUT}")
        below = _cases_in(folder.resolve(), note)
        if not below:
            raise InputError(f"{folder} holds no case: {LAYOUT}")
        found |= dict.fromkeys(below)
    return list(found)


def load_case(folder: Path) -> Case:
    """Open a case; the truth is looked through once.

    Raises
    ------
    InputError
        If a part is missing, parts do not fit each other, or no object can be judged.
    """
    folder = folder.resolve()
    if _is_sequence(folder):
        return _load_sequence(folder)
    return _load_davis(folder) if _is_davis(folder) else _load_pair(folder)


# ---- finding ----------------------------------------------------------------------------------


def _cases_in(folder: Path, note: Callable[[str], None] | None) -> list[Path]:
    if own := _cases_at(folder):
        return own
    found = []
    for child in sorted(one for one in folder.iterdir() if one.is_dir()):
        below = _cases_at(child)
        if not below and _file(child, "movie") and note is not None:
            note(f"{child.name} has no labels: left out")
        found += below
    return found


def _cases_at(folder: Path) -> list[Path]:
    """The case that a folder is, or the clips or sequences of the root of a layout."""
    if _is_davis(folder) or _is_sequence(folder):
        return [folder]
    if _file(folder, "movie") and _file(folder, "labels"):
        return [folder]
    if sequences := sorted(one for one in folder.iterdir() if _is_sequence(one)):
        return sequences
    if not (folder / FRAMES).is_dir():
        return []
    sizes = sorted(one for one in (folder / FRAMES).iterdir() if one.is_dir())
    chosen = next((one for one in sizes if one.name == "480p"), sizes[0] if sizes else None)
    if chosen is None:
        return []
    return sorted(one for one in chosen.iterdir() if _davis_path(one, TRUTH).is_dir())


def _is_davis(folder: Path) -> bool:
    return folder.parent.parent.name == FRAMES


def _is_sequence(folder: Path) -> bool:
    """Whether a folder is a sequence of the Cell Tracking Challenge that has a truth."""
    truths = (folder.with_name(f"{folder.name}_{kind}") for kind in ("GT", "ST"))
    return bool(re.fullmatch(r"\d\d+", folder.name)) and any(one.is_dir() for one in truths)


def _davis_path(clip: Path, part: str) -> Path:
    return clip.parents[2] / part / clip.parent.name / clip.name


def _file(folder: Path, stem: str) -> Path | None:
    """The file `stem` of one of the known kinds, if it is there."""
    return next((p for s in SUFFIXES if (p := folder / f"{stem}{s}").exists()), None)


# ---- naming -----------------------------------------------------------------------------------


def _above(folder: Path) -> tuple[str, ...]:
    """Names of the folders above what a case is named after."""
    first = 2 if _is_davis(folder) else 1 if _is_sequence(folder) else 0
    return folder.parents[first].parts[1:]


def _names(cases: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Different names of cases: after as many of the folders above as tell equal ones apart."""
    alike: dict[str, list[tuple[str, ...]]] = {}
    for name, above in cases:
        alike.setdefault(name, []).append(above)
    depths = {name: _depth(above) for name, above in alike.items()}
    found: dict[str, None] = {}
    for name, above in cases:
        depth = depths[name]
        whole = "/".join((*_last(above, depth), name))
        one, again = whole, 1
        while one in found:  # one clip in two sizes, say
            again += 1
            one = f"{whole} ({again})"
        found[one] = None
    return list(found)


def _last(parts: tuple[str, ...], number: int) -> tuple[str, ...]:
    return parts[max(0, len(parts) - number) :]


def _depth(above: Sequence[tuple[str, ...]]) -> int:
    """Fewest last parts that tell as many apart as all of them do."""
    wanted = len(set(above))
    return next(depth for depth in count() if len({_last(one, depth) for one in above}) == wanted)


# ---- opening ----------------------------------------------------------------------------------


def _load_pair(folder: Path) -> Case:
    movie_file, labels_file = _file(folder, "movie"), _file(folder, "labels")
    if movie_file is None or labels_file is None:
        missing = "labels.tif" if movie_file else "movie.tif"
        raise InputError(f"{folder} lacks {missing}: {LAYOUT}")
    movie, truth = open_movie(movie_file), open_movie(labels_file)
    if truth.dtype.kind not in "biu":
        raise InputError(f"{labels_file}: labels must be whole numbers, got {truth.dtype}")
    listed = folder / "annotated_frames.txt"
    annotated = _read_frames(listed, int(movie.shape[0])) if listed.exists() else None
    return _case(folder.name, "", movie, truth, annotated, folder / "prompts.csv")


def _load_davis(clip: Path) -> Case:
    movie, root = open_movie(clip), _davis_path(clip, TRUTH)
    if not root.is_dir():
        raise InputError(f"{clip} lacks its truth, {root}: {LAYOUT}")
    pictures = {file.stem: file for file in root.glob("*.png")}
    stems = [file.stem for file in frame_files(clip)]
    files = {t: pictures[stem] for t, stem in enumerate(stems) if stem in pictures}
    truth = _PlanesTruth(files, lambda t: _davis_plane(files[t]), movie.shape[:3])
    clicks = _davis_path(clip, CLICKS).with_name(f"{clip.name}.csv")
    return _case(f"davis_{clip.name}", "davis", movie, truth, tuple(files), clicks)


def _load_sequence(frames: Path) -> Case:
    found = {movie.path: movie for movie in cell_tracking(frames.parent)}
    truth = found[frames].truth if frames in found else None
    if not isinstance(truth, CellTrackingTruth) or not truth.masks:
        raise InputError(
            f"{frames} has no outlines to be judged by: man_seg*.tif in {frames.name}_GT/SEG or "
            f"{frames.name}_ST/SEG are required"
        )
    if not truth.markers:
        raise InputError(
            f"{frames} has no tracking markers: without man_track*.tif in {frames.name}_GT/TRA "
            "nobody knows which outline of one frame is which of the next"
        )
    movie = open_movie(frames)
    # On gold truth's frames some cells are tracked and not outlined: better judged on the others.
    known = found[frames].runs[0]
    whole = tuple(t for t in known if not truth.read(t)[1])
    outlined = {t: truth.masks[t] for t in known if t in truth.markers}
    labels = _PlanesTruth(outlined, lambda t: truth.read(t)[0], movie.shape[:3])
    clicks = frames.with_name(f"{frames.name}_prompts.csv")
    name = f"{frames.parent.name}_{frames.name}"
    return _case(name, "", movie, labels, whole or known, clicks)


def _davis_plane(file: Path) -> NDArray[np.uint8]:
    """Labels of an annotation: a palette's indices are ids (2017), else all is one object."""
    try:
        with Image.open(file) as image:
            if image.mode == "P":
                return np.array(image)
            colours = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    return np.asarray((colours > 0).any(axis=-1), np.uint8)


def _case(
    name: str, group: str, movie: Any, truth: Any, annotated: tuple[int, ...] | None, clicks: Path
) -> Case:
    """Put the parts together, after a look through the truth."""
    if tuple(truth.shape) != tuple(movie.shape[:3]):
        raise InputError(
            f"{name}: movie and labels must have one shape (T, Y, X), got "
            f"{tuple(movie.shape[:3])} and {tuple(truth.shape)}"
        )
    frames = range(int(movie.shape[0])) if annotated is None else annotated
    presence: dict[int, list[int]] = {}
    for t in frames:
        for ident in np.unique(np.asarray(truth[t])).tolist():
            if ident > 0:
                presence.setdefault(int(ident), []).append(t)
    if annotated is None:
        annotated = tuple(sorted({t for shown in presence.values() for t in shown}))
    if not presence:
        raise InputError(f"{name}: the truth shows no object on any annotated frame")
    if clicks.exists():
        prompts = tuple(read_prompts(clicks, movie_shape=tuple(movie.shape)))
    else:
        prompts = _default_clicks(truth, presence)
    case = Case(
        name, group, movie, truth, annotated, prompts,
        {ident: tuple(shown) for ident, shown in sorted(presence.items())},
    )  # fmt: skip
    _check_judged(case)
    return case


def _default_clicks(truth: Any, presence: Mapping[int, Sequence[int]]) -> tuple[Prompt, ...]:
    firsts = sorted((shown[0], ident) for ident, shown in presence.items())
    return tuple(
        Prompt(ident, t, np.array([interior_point(np.asarray(truth[t]) == ident)], np.float64))
        for t, ident in firsts
    )


def _check_judged(case: Case) -> None:
    never = [
        ident
        for ident, start in case.starts.items()
        if not any(t >= start for t in case.presence.get(ident, ()))
    ]
    if never:
        raise InputError(
            f"{case.name}: object {', '.join(map(str, never))} is prompted, but on no annotated "
            "frame from its prompt on: take it out of the prompts, or correct the labels"
        )


def _read_frames(file: Path, n_frames: int) -> tuple[int, ...]:
    try:
        frames = sorted({int(word) for word in file.read_text(encoding="utf-8-sig").split()})
    except (OSError, ValueError) as error:
        raise InputError(f"{file} must hold frame numbers, one per line: {error}") from error
    if not frames or frames[0] < 0 or frames[-1] >= n_frames:
        raise InputError(
            f"{file} must name frames of the movie, 0 to {n_frames - 1}; got "
            f"{', '.join(map(str, frames)) or 'none'}"
        )
    return tuple(frames)
