"""Which objects a pass tracks, and between which frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from napari_sam_i2v.errors import InputError, PromptError
from napari_sam_i2v.propagation.progress import Locks, Progress
from napari_sam_i2v.propagation.prompts import PromptBook

__all__ = ["Direction", "Planner", "Way"]

Direction = Literal["forward", "backward", "both"]


class Way(Protocol):
    """A direction of time: what is done in it, and how movie frames become indices."""

    @property
    def progress(self) -> Progress:
        """What is done."""
        ...

    @property
    def turn(self) -> Callable[[int], int]:
        """Map a movie frame to its index, or an index to its frame."""
        ...


@dataclass(frozen=True)
class Planner:
    """Knows what objects ask for: the parts of a session that decide about passes.

    Indices count in the direction of a pass, frames from the movie's beginning.
    """

    n_frames: int
    prompts: PromptBook
    locks: Locks
    lives: Mapping[int, range]

    def starts(
        self,
        ways: Mapping[bool, Way],
        direction: Direction,
        objects: Iterable[int] | None,
        *,
        again: bool,
    ) -> dict[bool, dict[int, int]]:
        """From where each object is to be tracked, in each direction of time.

        Parameters
        ----------
        ways
            Forward in time under False, backward under True.
        direction, objects, again
            See `Session.propagate`.

        Returns
        -------
        dict
            Of the ways to go, in order: object id -> first index.

        Raises
        ------
        PromptError
            If nothing can be tracked, or an object that was named cannot.
        """
        chosen = self._chosen(objects)
        starts = self._begin(ways, direction, chosen, pending=not again)
        if not again and (objects is not None or not any(starts.values())):
            # Objects that were named are tracked, also where nothing changed.
            idle = [o for o in chosen if not any(o in some for some in starts.values())]
            every = self._begin(ways, direction, idle, pending=False)
            starts = {reverse: {**every[reverse], **some} for reverse, some in starts.items()}
        return starts

    def pending(self, ways: Mapping[bool, Way], direction: Direction) -> tuple[int, ...]:
        """Objects with frames to be tracked in a direction of time, ascending."""
        starts = self._begin(ways, direction, self.prompts.object_ids, pending=True)
        whole = range(self.n_frames)
        found = {o for r, some in starts.items() for o in self.spans(ways[r], some, whole)}
        return tuple(sorted(found - self.locks.objects))

    def spans(
        self, way: Way, starts: Mapping[int, int], limits: range
    ) -> dict[int, tuple[int, int]]:
        """Object id -> first index and the one after the last, within limits and lifetimes."""
        low, high = sorted((way.turn(limits[0]), way.turn(limits[-1])))
        spans = {}
        for object_id, start in starts.items():
            born, dead = self.life(way, object_id)
            first, stop = max(start, low, born), min(high + 1, dead)
            if first < stop:
                spans[object_id] = (first, stop)
        return spans

    def life(self, way: Way, object_id: int) -> tuple[int, int]:
        """First index of an object's life and the one after its last."""
        life = self.lives.get(object_id) or range(self.n_frames)
        low, high = sorted(map(way.turn, (life[0], life[-1])))
        return low, high + 1

    def next_fixed(self, way: Way, object_id: int, start: int, stop: int) -> int:
        """First index after `start` that is prompted or locked, `stop` if none before it is."""
        fixed = {*self.prompts.frames(object_id), *self.locks.frames}
        return min((i for i in map(way.turn, fixed) if start < i < stop), default=stop)

    def limits(self, frames: range | None) -> range:
        """Frames to stay within; all where none are named.

        Raises
        ------
        InputError
            If they are not a range of the movie's frames.
        """
        limits = range(self.n_frames) if frames is None else frames
        inside = len(limits) and limits.step == 1 and 0 <= limits[0] <= limits[-1] < self.n_frames
        if not inside:
            raise InputError(
                f"A range of frames within 0 to {self.n_frames - 1} is required, got {frames!r}."
            )
        return limits

    def _begin(
        self,
        ways: Mapping[bool, Way],
        direction: Direction,
        objects: Sequence[int],
        *,
        pending: bool,
    ) -> dict[bool, dict[int, int]]:
        """`_starts` of each way that a direction takes."""
        return {
            reverse: self._starts(
                ways[reverse], objects,
                before_first=direction == "both" and reverse, pending=pending,
            )
            for reverse in (False, True)
            if direction in ("both", "backward" if reverse else "forward")
        }  # fmt: skip

    def _starts(
        self, way: Way, objects: Sequence[int], *, before_first: bool, pending: bool
    ) -> dict[int, int]:
        """Index from which each object is to be tracked in one direction, if it is at all.

        With `pending`, only objects with something to be done, from there; without, all of them
        from their first prompt. `before_first` leaves out what the other direction covers.
        """
        starts = {}
        for object_id in objects:
            shown = [way.turn(frame) for frame in self.prompts.shown(object_id)]
            if not shown:
                continue
            start = max(shown) + 1 if before_first else min(shown)
            if pending:
                start = max(start, way.progress.pending.get(object_id, self.n_frames))
            if start < self.n_frames:
                starts[object_id] = start
        return starts

    def _chosen(self, objects: Iterable[int] | None) -> list[int]:
        known = self.prompts.object_ids
        if not any(self.prompts.shown(object_id) for object_id in known):
            raise PromptError("Nothing to track: add points, a box or a mask for an object first.")
        if objects is None:
            free = [o for o in known if o not in self.locks.objects]
            if not free:
                raise PromptError("All objects are locked: unlock those that are to be tracked.")
            return free
        chosen = list(objects)
        unknown = [o for o in chosen if o not in known]
        if unknown:
            raise PromptError(
                f"No prompts for object {', '.join(map(str, unknown))}; "
                f"objects are: {', '.join(map(str, known))}."
            )
        if locked := self.locks.objects.intersection(chosen):
            named = ", ".join(map(str, sorted(locked)))
            raise PromptError(f"Object {named} is locked: unlock it first.")
        return chosen
