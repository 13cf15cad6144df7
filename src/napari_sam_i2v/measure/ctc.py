"""SEG, DET and TRA of the Cell Tracking Challenge, by its own library.

SEG is the mean overlap (Jaccard) of every true object with the one found that covers more than
half of it; DET and TRA are one less the cost of correcting what was found, objects alone or with
their links in time. All of them lie in 0 .. 1.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.movies.ctc import track_table, write_masks
from napari_sam_i2v.movies.extras import library
from napari_sam_i2v.movies.lineage import Stretch, stretches_of
from napari_sam_i2v.movies.output import TRACK_FILE

__all__ = ["CtcScores", "check_ctc", "ctc_scores"]

LARGEST = 30_000
"""Track id; the library adds those of truth and result, in 16 bits."""


@dataclass(frozen=True)
class CtcScores:
    """The challenge's measures.

    Attributes
    ----------
    seg
        Of the frames with a truth.
    det, tra
        None where the truth is not known on every frame: they ask for all.
    """

    seg: float
    det: float | None
    tra: float | None


def check_ctc() -> None:
    """Check that the library is there.

    Raises
    ------
    InputError
        If it is not; it says what to install.
    """
    library("ctc_metrics", extra="ctc", what="--ctc", error=InputError)


def ctc_scores(
    labels: Any,
    truth: Any,
    *,
    starts: Mapping[int, int],
    frames: Iterable[int] | None = None,
) -> CtcScores:
    """Compare labels with the truth, as the Cell Tracking Challenge does.

    Of both, what counts are the objects of `starts`, each from its start on, as for
    `measure_accuracy`: what nobody prompted is not missed.

    Parameters
    ----------
    labels, truth
        (T, Y, X) integers, one frame of which is held at a time. An object may have different
        ids in the two.
    starts
        Object id -> frame from which it is judged.
    frames
        Frames on which the truth is complete; all of them where not given.

    Raises
    ------
    InputError
        If the library is missing, the shapes differ, or the truth shows none of the objects.
    """
    check_ctc()
    if tuple(labels.shape) != tuple(truth.shape):
        raise InputError(
            f"Labels and truth must have one shape (T, Y, X); got {tuple(labels.shape)} and "
            f"{tuple(truth.shape)}."
        )
    count = int(truth.shape[0])
    judged = list(range(count)) if frames is None else sorted(set(frames))
    real, found = _Judged(truth, starts), _Judged(labels, starts)
    real_tracks, found_tracks = real.tracks(judged), found.tracks(judged)
    if not real_tracks:
        raise InputError("The truth shows none of the objects from its start on.")
    dense = len(judged) == count
    if not found_tracks:
        return CtcScores(0.0, *((0.0, 0.0) if dense else (None, None)))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root / "01_RES", found, found_tracks, judged)
        _write(root / "01_GT", real, real_tracks, judged, truth=True)
        scores = _scored(root, ["SEG", "DET", "TRA"])
    return CtcScores(scores["SEG"], *((scores["DET"], scores["TRA"]) if dense else (None, None)))


class _Judged:
    """Labels without the objects, and the times before their starts, that are not judged."""

    def __init__(self, labels: Any, starts: Mapping[int, int]) -> None:
        self.labels, self.starts = labels, starts
        self.shape = tuple(int(n) for n in labels.shape)
        self.dtype = np.dtype(labels.dtype)

    def __getitem__(self, t: int) -> NDArray[Any]:
        plane = np.asarray(self.labels[t])
        wanted = [one for one, start in self.starts.items() if t >= start]
        return np.where(np.isin(plane, wanted), plane, 0)

    def tracks(self, frames: Sequence[int]) -> list[Stretch]:
        """Unbroken stretches, in the numbering of `frames` alone."""
        presence: dict[int, list[int]] = {}
        for k, t in enumerate(frames):
            for one in np.unique(self[t]).tolist():
                if one:
                    presence.setdefault(one, []).append(k)
        return stretches_of(presence, largest=LARGEST)


class _Chosen:
    """Some of the frames, as if there were no others, with a row of background below.

    The library takes the lowest value of a mask for background, whatever it is.
    """

    def __init__(self, labels: _Judged, frames: Sequence[int]) -> None:
        self.labels, self.frames = labels, frames
        self.shape = (len(frames), labels.shape[1] + 1, labels.shape[2])

    def __getitem__(self, k: int) -> NDArray[Any]:
        return np.pad(self.labels[self.frames[k]], ((0, 1), (0, 0)))


def _write(
    folder: Path,
    labels: _Judged,
    tracks: Sequence[Stretch],
    frames: Sequence[int],
    *,
    truth: bool = False,
) -> None:
    """Write a result folder, or the truth in its two parts."""
    chosen = _Chosen(labels, frames)
    parts = {"TRA": "man_track", "SEG": "man_seg"} if truth else {".": "mask"}
    for name, stem in parts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_masks(chosen, folder / name / stem, tracks)
    table = folder / ("TRA/man_track.txt" if truth else TRACK_FILE)
    table.write_text(track_table(tracks), encoding="ascii")


def _scored(root: Path, metrics: list[str]) -> dict[str, float]:
    """Call the library, which prints, on one core."""
    from ctc_metrics import evaluate_sequence

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of frames without objects
        result = evaluate_sequence(
            str(root / "01_RES"), str(root / "01_GT"), metrics=metrics, threads=1
        )
    return {name: float(result[name]) for name in metrics}
