"""`napari-sam-i2v export`: labels that are there already, in the formats of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_sam_i2v.cli.console import Failed, sentences
from napari_sam_i2v.errors import InputError, SamI2VError
from napari_sam_i2v.exports import FORMATS, Tracked, check_export, export, format_of, open_tracked

__all__ = ["check_apart", "checked_exports", "division_lines", "run", "write_exports"]

Exports = list[tuple[str, Path]]
"""(name of the format, path)."""
SHOWN_DIVISIONS = 8


def run(args: argparse.Namespace) -> None:
    """Check everything, then write one after the other."""
    exports = checked_exports(args.to, has_movie=args.movie is not None, overwrite=args.overwrite)
    check_apart(
        written=[path for _, path in exports],
        read=[path for path in (args.labels, args.movie, args.lineage) if path is not None],
    )
    part = {"channel": args.channel, "z": args.z, "axes": args.axes, "scene": args.scene}
    if args.movie is None and (chosen := [name for name, at in part.items() if at is not None]):
        raise InputError(f"--{chosen[0]} chooses a part of the movie: name it too (--movie).")
    tracked = open_tracked(
        args.labels, movie=args.movie, lineage=args.lineage,
        **part,
    )  # fmt: skip
    written, problems = write_exports(tracked, exports, overwrite=args.overwrite)
    if not args.quiet:
        for line in (*written, *division_lines(tracked)):
            print(line)
    if problems:
        raise Failed(sentences(*problems))


def checked_exports(given: Sequence[str], *, has_movie: bool, overwrite: bool) -> Exports:
    """Read FORMAT=PATH, or PATH alone where its suffix tells; check that each can be written.

    Raises
    ------
    InputError, OutputError
        As for `check_export`.
    """
    exports: Exports = []
    for text in given:
        name, equals, path = text.partition("=")
        if not equals and text in FORMATS:
            raise InputError(f"{text} is a format: say where to write it, {text}=PATH.")
        if not equals:
            name, path = format_of(text), text
        exports.append((name, check_export(name, path, has_movie=has_movie, overwrite=overwrite)))
    return exports


def check_apart(*, written: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse to write over what is read, or twice to one place, whatever may be overwritten.

    Links, and ways through other folders, count as the place that they lead to.

    Raises
    ------
    InputError
        If a file or folder would be read and written, or written twice.
    """
    sources = [path.expanduser().resolve() for path in read]
    places: set[Path] = set()
    for target in written:
        place = target.expanduser().resolve()
        if place in places:
            raise InputError(f"{target} is named twice: every file needs its own name.")
        places.add(place)
        if any(_holds(place, source) or _is_frame_of(place, source) for source in sources):
            raise InputError(
                f"{target} is read by this command, so nothing is written there: choose another "
                "name."
            )


def _holds(place: Path, source: Path) -> bool:
    """Whether what is read is there, or in it."""
    return place == source or place in source.parents


def _is_frame_of(place: Path, source: Path) -> bool:
    """Whether a picture is one of a folder that is read."""
    return place.parent == source and place.suffix.lower() in (".tif", ".tiff") and place.is_file()


def write_exports(
    tracked: Tracked, exports: Exports, *, overwrite: bool
) -> tuple[list[str], list[str]]:
    """Write each that can be written; return a line about each, and what went wrong."""
    written, problems = [], []
    for name, path in exports:
        try:
            export(tracked, path, to=name, overwrite=overwrite)
        except SamI2VError as error:
            problems.append(f"{path} was not written: {error}")
        else:
            written.append(f"{path}: {name}")
    return written, problems


def division_lines(tracked: Tracked) -> list[str]:
    """Lines that say which objects may have divided."""
    from napari_sam_i2v.measure.divisions import propose_divisions

    lines = [
        f"  object {one.object_id} from frame {one.frame} (parts of {one.areas[0]} and "
        f"{one.areas[1]} pixels)"
        for one in propose_divisions(tracked.labels)
    ]
    more = len(lines) - SHOWN_DIVISIONS
    rest = [f"  and {more} more; the format divisions has all"] if more > 0 else []
    return ["may have divided:", *lines[:SHOWN_DIVISIONS], *rest] if lines else []
