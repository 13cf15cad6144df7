"""`napari-sam-i2v export`: labels that are there already, in the formats of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from napari_sam_i2v.cli.console import Failed
from napari_sam_i2v.errors import InputError, SamI2VError
from napari_sam_i2v.exports import Tracked, check_export, export, format_of, open_tracked

__all__ = ["checked_exports", "division_lines", "run", "write_exports"]

Exports = list[tuple[str, Path]]
"""(name of the format, path)."""
SHOWN_DIVISIONS = 8


def run(args: argparse.Namespace) -> None:
    """Check everything, then write one after the other."""
    exports = checked_exports(
        args.to, has_movie=args.movie is not None, overwrite=args.overwrite, taken=[args.labels]
    )
    channel = int(args.channel) if (args.channel or "").isdecimal() else args.channel
    tracked = open_tracked(
        args.labels, movie=args.movie, lineage=args.lineage, channel=channel, z=args.z
    )
    for line in write_exports(tracked, exports, overwrite=args.overwrite):
        if not args.quiet:
            print(line)
    if not args.quiet:
        for line in division_lines(tracked):
            print(line)


def checked_exports(
    given: Sequence[str], *, has_movie: bool, overwrite: bool, taken: Iterable[Path] = ()
) -> Exports:
    """Read FORMAT=PATH, or PATH alone where its suffix tells; check that each can be written.

    `taken` are paths that are used for something else.

    Raises
    ------
    InputError, OutputError
        As for `check_export`, and if one path is named twice.
    """
    used = {path.expanduser().absolute() for path in taken}
    exports: Exports = []
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            name, path = format_of(text), text
        target = check_export(name, path, has_movie=has_movie, overwrite=overwrite)
        if target.absolute() in used:
            raise InputError(f"{target} is named twice: every file needs its own name.")
        used.add(target.absolute())
        exports.append((name, target))
    return exports


def write_exports(tracked: Tracked, exports: Exports, *, overwrite: bool) -> Iterator[str]:
    """Write them, and give a line about each.

    Raises
    ------
    Failed
        If one cannot be written; those before it are.
    """
    for name, path in exports:
        try:
            export(tracked, path, to=name, overwrite=overwrite)
        except SamI2VError as error:
            raise Failed(f"{path} was not written: {error}") from error
        yield f"{path}: {name}"


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
