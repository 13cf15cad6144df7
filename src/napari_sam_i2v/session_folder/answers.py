"""What the network said of each object and frame, on disk as soon as it was said.

A text file of JSON lines, only ever appended to: one line per answer, and one for answers that do
not count any more. A process that is killed leaves whole lines and at most one that is cut off.
"""

from __future__ import annotations

import io
import json
import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_i2v.errors import OutputError
from napari_sam_i2v.movies.output import write_text
from napari_sam_i2v.results import frame_ranges

__all__ = ["AnswerLog", "AnswerRecord"]


@dataclass(frozen=True)
class AnswerRecord:
    """The answer for one object on one frame.

    Attributes
    ----------
    frame, object_id
        Which.
    reverse
        Whether it was found going backward in time.
    score, iou
        Probability that the object is there; expected overlap of its mask with the truth.
    area
        In the labels as they were written, in pixels.
    prompted
        Whether it answers prompts, and no pass has been there.
    """

    frame: int
    object_id: int
    reverse: bool
    score: float
    iou: float
    area: int
    prompted: bool = False


class AnswerLog:
    """Answers in a file; may be used from several threads.

    Parameters
    ----------
    path
        The file; made with the first answer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: io.FileIO | None = None
        self._lock = threading.Lock()

    def note(self, records: Iterable[AnswerRecord]) -> None:
        """Append answers, in one write.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        self._append([_line(record) for record in records])

    def forget(
        self, object_id: int, *, frames: Iterable[int] | None = None, reverse: bool | None = None
    ) -> None:
        """Append that answers noted so far do not count any more.

        Parameters
        ----------
        object_id
            Whose.
        frames
            On which frames; on all where not given.
        reverse
            Of which direction; of both where not given.
        """
        ranges = None if frames is None else frame_ranges(sorted({int(t) for t in frames}))
        if ranges != []:
            facts = {"forget": int(object_id), "frames": ranges, "reverse": reverse}
            self._append([json.dumps(facts)])

    def read(self) -> list[AnswerRecord]:
        """Give the answers that count: the last of each object, frame and direction.

        They come in the order in which they were noted. Lines that cannot be read do not count.
        A file of more than twice as many lines as count is written anew.
        """
        with self._lock:
            lines = _whole_lines(self.path)
            counting = _counting(lines)
            if len(lines) > 2 * len(counting):
                self._close()
                text = "".join(f"{_line(record)}\n" for record in counting)
                write_text(self.path, text, overwrite=True)
        return counting

    def close(self) -> None:
        """Close the file; the next answer opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, lines: list[str]) -> None:
        if not lines:
            return
        data = "".join(f"{line}\n" for line in lines).encode()
        with self._lock:
            try:
                if self._file is None:
                    self._file = _open_at_end(self.path)
                # Not buffered: what was written is there whatever becomes of this process.
                if self._file.write(data) != len(data):
                    raise OSError("the disk is full")
            except OSError as error:
                self._close()  # opening it again removes what was written in part
                raise OutputError(
                    f"{self.path} cannot be written: {error.strerror or error}"
                ) from error


def _open_at_end(path: Path) -> io.FileIO:
    """Open for appending, after the last line that is whole."""
    if path.is_file():
        whole = path.read_bytes().rfind(b"\n") + 1
        if whole < path.stat().st_size:
            os.truncate(path, whole)
    return io.FileIO(path, "a")


def _whole_lines(path: Path) -> list[bytes]:
    if not path.is_file():
        return []
    return path.read_bytes().split(b"\n")[:-1]  # the rest after the last newline was cut off


def _line(record: AnswerRecord) -> str:
    facts = {
        "frame": int(record.frame),
        "object_id": int(record.object_id),
        "reverse": bool(record.reverse),
        "score": _number(record.score),
        "iou": _number(record.iou),
        "area": int(record.area),
        "prompted": bool(record.prompted),
    }
    return json.dumps(facts)


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


_Key = tuple[int, bool]
_Counted = dict[int, dict[_Key, tuple[int, AnswerRecord]]]


def _counting(lines: list[bytes]) -> list[AnswerRecord]:
    """What counts, in the order of the lines."""
    counted: _Counted = {}
    for number, line in enumerate(lines):
        try:
            _take(counted, json.loads(line), number)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # a power cut can leave rubbish; the frame's answer is then unknown
    by_line = sorted(pair for answers in counted.values() for pair in answers.values())
    return [record for _, record in by_line]


def _take(counted: _Counted, facts: dict[str, Any], number: int) -> None:
    """Take one line."""
    if "forget" not in facts:
        record = _record(facts)
        answers = counted.setdefault(record.object_id, {})
        answers[record.frame, record.reverse] = number, record
        return
    answers = counted.get(facts["forget"], {})
    gone = [key for key in answers if _is_meant(key, facts["frames"], facts["reverse"])]
    for key in gone:
        del answers[key]


def _is_meant(key: _Key, ranges: list[list[int]] | None, reverse: bool | None) -> bool:
    frame, backward = key
    if reverse is not None and reverse != backward:
        return False
    return ranges is None or any(start <= frame < stop for start, stop in ranges)


def _record(facts: dict[str, Any]) -> AnswerRecord:
    score, iou = (math.nan if facts[n] is None else float(facts[n]) for n in ("score", "iou"))
    return AnswerRecord(
        int(facts["frame"]), int(facts["object_id"]), bool(facts["reverse"]),
        score, iou, int(facts["area"]), bool(facts["prompted"]),
    )  # fmt: skip
