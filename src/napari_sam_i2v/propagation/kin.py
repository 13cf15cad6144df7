"""Who came of whom, and between which frames objects exist: how changes of who is who change that.

A division is kept as daughter -> (mother, first frame after it): the mother's last frame lies
before that one. What an object is from some frame on is one thing, what it was before another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["hull", "renamed", "spliced", "without_mothers"]

Lineage = Mapping[int, tuple[int, int]]


def renamed(lineage: Lineage, ids: Mapping[int, int], frame: int) -> dict[int, tuple[int, int]]:
    """Divisions after objects got other ids, from a frame on.

    Where an object would come of itself, or of two, the earlier division is kept.
    """
    found: dict[int, tuple[int, int]] = {}
    for daughter, (mother, born) in sorted(lineage.items(), key=lambda entry: entry[1][1]):
        if born >= frame:
            daughter = ids.get(daughter, daughter)
        if born > frame:
            mother = ids.get(mother, mother)
        if daughter not in found and daughter not in _line(mother, found):
            found[daughter] = (mother, born)
    return found


def spliced(mine: range | None, theirs: range | None, frame: int, n_frames: int) -> range | None:
    """My life before a frame and theirs from it on; a gap between them is no end of it."""
    if mine is None and theirs is None:
        return None
    before, after = (range(n_frames) if life is None else life for life in (mine, theirs))
    early = range(before.start, min(before.stop, frame))
    late = range(max(after.start, frame), after.stop)
    return hull([life for life in (early, late) if life])


def hull(lives: Iterable[range | None]) -> range | None:
    """From the first frame of all lives to the last; None if one of them has no limit."""
    known = list(lives)
    limited = [life for life in known if life is not None]
    if not known or len(limited) < len(known):
        return None
    return range(min(life.start for life in limited), max(life.stop for life in limited))


def without_mothers(lineage: Lineage, mothers: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Divisions but those of some mothers."""
    gone = set(mothers)
    return {one: origin for one, origin in lineage.items() if origin[0] not in gone}


def _line(object_id: int, lineage: Lineage) -> set[int]:
    """An object and all that it came of."""
    line = {object_id}
    while object_id in lineage and lineage[object_id][0] not in line:
        object_id = lineage[object_id][0]
        line.add(object_id)
    return line
