"""How sure each answer is: what sends a user to the first doubtful frame.

The confidence of an object on a frame is the network's object score times the overlap with the
truth, 0 .. 1, that is expected of its mask: the network's own guess, less where the mask or what
it follows from is doubtful (`Seen.expected_iou`). That of an object that is answered to be absent
is therefore about 0, and so it is in files and in calibration. Where objects compete, what counts
is the guess (`ObjectMask.claim`).

How sure the *answer* is, also of an absence, is in `ConfidenceTable.sureness`: what users see.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_sam_i2v.propagation.answer import ObjectMask

__all__ = ["DOUBTFUL_BELOW", "ConfidenceTable", "FrameConfidence"]

DOUBTFUL_BELOW = 0.5
"""Answers of less confidence are worth a look."""
PRESENT_ABOVE = 0.5
"""Answers of a lower score say that the object is absent."""
COLUMNS = ("object_id", "frame", "confidence", "score", "iou", "area")


@dataclass(frozen=True)
class FrameConfidence:
    """One object on one frame.

    Attributes
    ----------
    object_id, frame
        Which.
    score
        Probability that the object is on the frame.
    iou
        Overlap with the truth, 0 .. 1, that is expected of its mask.
    area
        In the labels, in pixels; 0 where absent.
    """

    object_id: int
    frame: int
    score: float
    iou: float
    area: int

    @property
    def confidence(self) -> float:
        """Object score times expected IoU."""
        return self.score * self.iou


class ConfidenceTable:
    """Confidence of every answer of a session, by object and frame.

    Parameters
    ----------
    n_frames
        Length of the movie.
    """

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames
        self._tables: dict[int, NDArray[np.float32]] = {}

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects that have answers, ascending."""
        return tuple(sorted(self._tables))

    def note(
        self,
        frame: int,
        masks: Mapping[int, ObjectMask],
        labels: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Take down the answers of a frame; earlier ones of the same objects are replaced.

        Areas are those in `labels` (Y, X), as they were written; without, those of the masks.
        """
        for object_id, mask in masks.items():
            if object_id not in self._tables:
                self._tables[object_id] = np.full((self.n_frames, 3), np.nan, np.float32)
            area = mask.area if labels is None else _area_in(labels, object_id, mask)
            self._tables[object_id][frame] = mask.score, mask.iou, area

    def recount(self, frame: int, labels: NDArray[np.integer[Any]]) -> None:
        """Take areas from the labels (Y, X) of a frame that no answer has changed."""
        most = max(self._tables, default=0)
        known = labels[(labels > 0) & (labels <= most)]  # labels may hold what are no ids of ours
        areas = np.bincount(known, minlength=most + 1)
        for object_id, table in self._tables.items():
            if np.isfinite(table[frame, 0]):
                table[frame, 2] = areas[object_id]

    def blank(self, object_id: int, frame: int) -> None:
        """Drop the answer of an object on a frame."""
        table = self._tables.get(object_id)
        if table is not None:
            table[frame] = np.nan
            if np.isnan(table[:, 0]).all():
                self.forget(object_id)

    def forget(self, object_id: int) -> None:
        """Drop an object."""
        self._tables.pop(object_id, None)

    def take(self, object_id: int) -> NDArray[np.float32] | None:
        """Return a copy of an object's table (T, 3) of score, expected IoU and area."""
        table = self._tables.get(object_id)
        return None if table is None else table.copy()

    def put(self, object_id: int, table: NDArray[np.float32] | None) -> None:
        """Set an object's table, as `take` gave it."""
        self.forget(object_id)
        if table is not None:
            self._tables[object_id] = table.copy()

    def area(self, object_id: int) -> NDArray[np.float32]:
        """Area (T,) of an object in the labels, in pixels; NaN without an answer."""
        table = self._tables.get(object_id)
        return np.full(self.n_frames, np.nan, np.float32) if table is None else table[:, 2].copy()

    def of(self, object_id: int) -> NDArray[np.float32]:
        """Confidence (T,) of an object; NaN on frames without an answer."""
        table = self._tables.get(object_id)
        if table is None:
            return np.full(self.n_frames, np.nan, np.float32)
        return table[:, 0] * table[:, 1]

    def sureness(self, object_id: int) -> NDArray[np.float32]:
        """How sure the answers (T,) for an object are; NaN on frames without one.

        Of a mask it is the confidence; of an absence the probability that the object is not
        there, 1 - score.
        """
        sure, table = self.of(object_id), self._tables.get(object_id)
        if table is None:
            return sure
        return np.where(table[:, 0] <= PRESENT_ABOVE, 1 - table[:, 0], sure)

    def __iter__(self) -> Iterator[FrameConfidence]:
        """All answers, by object and then by frame."""
        for object_id in self.object_ids:
            table = self._tables[object_id]
            for frame in np.flatnonzero(np.isfinite(table[:, 0])).tolist():
                score, iou, area = table[frame].tolist()
                yield FrameConfidence(object_id, frame, score, iou, int(area))

    def doubtful(self, below: float = DOUBTFUL_BELOW) -> list[FrameConfidence]:
        """Answers of less confidence than `below`, in the order of frames: where to look first."""
        return sorted(
            (one for one in self if one.confidence < below), key=lambda o: (o.frame, o.object_id)
        )

    def as_csv(self) -> str:
        """All answers as a table with a header line."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in self:
            numbers = (f"{v:.4f}" for v in (one.confidence, one.score, one.iou))
            writer.writerow((one.object_id, one.frame, *numbers, one.area))
        return text.getvalue()


def _area_in(labels: NDArray[np.integer[Any]], object_id: int, mask: ObjectMask) -> int:
    """Pixels that an object has in labels (Y, X): it has none outside its mask."""
    y0, x0, y1, x1 = mask.box
    return int((labels[y0:y1, x0:x1] == object_id).sum())
