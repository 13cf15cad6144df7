"""Which stored axis counts the frames, and what is fixed along the others.

This is the one place which knows; readers only name their axes.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.source import AXES, Index, Source

_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class FramePlan:
    """How frame t of a movie is cut out of a stored array.

    Attributes
    ----------
    n_frames
        Number of frames.
    time
        Position of the axis which counts them; None for a single image.
    index
        The entry of every stored axis (0 stands in for the time axis).
    transpose
        Order which brings the axes that are left to (Y, X) or (Y, X, S).
    rgb
        Whether frames are (Y, X, 3).
    timed
        Whether the frames are known to be times (and not, say, planes of a depth axis).
    """

    n_frames: int
    time: int | None
    index: Index
    transpose: tuple[int, ...]
    rgb: bool
    timed: bool

    def at(self, t: int) -> Index:
        """Give the index of frame `t`, 0 <= t < n_frames."""
        if self.time is None:
            return self.index
        return (*self.index[: self.time], t, *self.index[self.time + 1 :])


def plan_frames(
    source: Source, *, channel: int | str | None = None, z: int | None = None
) -> FramePlan:
    """Decide how a stored array is a movie.

    Frames are counted by T; without it by the only axis of unknown meaning; without that by Z,
    because many movies are saved as a depth stack (give `z` to say that Z really is depth).

    Raises
    ------
    MovieError
        If a channel or plane must be chosen and was not, does not exist, or if the axes do not
        tell which one is time.
    """
    axes = _sample_axis_named(source)
    sizes = dict(zip(axes, source.shape, strict=True))
    time = _time_axis(source, sizes, z)
    chosen: dict[str, int | None] = {
        "C": _chosen_channel(source, sizes, channel),
        "Z": 0 if time == "Z" else _chosen_plane(source, sizes, z),
    }
    whole = {"Y", "X"}
    if "S" in sizes:
        sample = _chosen_sample(source, channel) if sizes.get("C", 1) == 1 else None
        chosen["S"] = sample
        whole |= {"S"} if sample is None else set()
    left = [axis for axis in axes if axis in whole]
    return FramePlan(
        n_frames=sizes[time] if time else 1,
        time=axes.index(time) if time else None,
        index=tuple(None if axis in whole else chosen.get(axis) or 0 for axis in axes),
        transpose=tuple(left.index(axis) for axis in "YXS" if axis in left),
        rgb="S" in whole,
        timed=time is not None and time != "Z",
    )


def _sample_axis_named(source: Source) -> str:
    """Call samples which are no colours channels, and a lone sample nothing in particular."""
    axes, sizes = source.axes, source.sizes
    _refuse_unnamed_twins(source)
    if not {"Y", "X"} <= sizes.keys():
        raise MovieError(f"a movie needs axes Y and X; {source.name} has {axes} {source.shape}")
    if "S" not in sizes or sizes["S"] in (3, 4):
        return axes
    if sizes["S"] > 1 and "C" not in axes:
        return axes.replace("S", "C")
    if sizes["S"] == 1:
        return axes.replace("S", "?")
    raise MovieError(
        f"{source.name} has {sizes['S']} samples per pixel besides {sizes['C']} channels, "
        "which cannot be read: save one channel"
    )


def _refuse_unnamed_twins(source: Source) -> None:
    if len(set(source.axes)) == len(source.axes):
        return
    raise MovieError(
        f"{source.name} of shape {source.shape} does not say what its axes are ({source.axes}): "
        f"name them with axes=, one letter of {AXES} each, for example axes={_guess(source)!r}"
    )


def _guess(source: Source) -> str:
    """Make up an example of `axes` of the right length."""
    tail = source.axes[source.axes.index("Y") :] if "Y" in source.axes else "YX"
    lead = len(source.shape) - len(tail)
    return {0: "", 1: "T", 2: "TC", 3: "TCZ"}.get(lead, "TCZ") + tail


def _time_axis(source: Source, sizes: dict[str, int], z: int | None) -> str | None:
    unknown = [axis for axis, size in sizes.items() if axis not in AXES and size > 1]
    if sizes.get("T", 1) > 1:
        unknown = ["T", *unknown]
    if len(unknown) > 1:
        raise MovieError(
            f"{source.name} of shape {source.shape} has several axes that may be time "
            f"({source.axes}): name them with axes=, for example axes={_guess(source)!r}"
        )
    if unknown:
        return unknown[0]
    return "Z" if sizes.get("Z", 1) > 1 and z is None else None


def _chosen_plane(source: Source, sizes: dict[str, int], z: int | None) -> int:
    n = sizes.get("Z", 1)
    if z is None:
        if n == 1:
            return 0
        raise MovieError(f"{source.name} has {n} z planes: choose one, z=0 to z={n - 1}")
    if not 0 <= z < n:
        raise MovieError(f"z must lie in 0..{n - 1} for {source.name}, got {z}")
    return int(z)


def _chosen_channel(source: Source, sizes: dict[str, int], channel: int | str | None) -> int:
    n = sizes.get("C", 1)
    if n == 1:
        if "S" not in sizes and channel is not None:
            return _index_of(source, channel, source.channel_names, n)
        return 0
    if channel is None:
        raise MovieError(
            f"{source.name} has {n} channels: {_listed(source.channel_names, n)}. Choose one with "
            "channel=NUMBER or NAME"
        )
    return _index_of(source, channel, source.channel_names, n)


def _chosen_sample(source: Source, channel: int | str | None) -> int | None:
    """Colour movies stay in colour unless one colour is asked for."""
    return None if channel is None else _index_of(source, channel, _COLOURS, 3)


def _index_of(source: Source, channel: int | str, names: tuple[str, ...], n: int) -> int:
    """Find a channel by its name (any case), or by its number (also as text)."""
    number: int | None = None
    if isinstance(channel, str):
        matches = [i for i, name in enumerate(names) if name.lower() == channel.strip().lower()]
        if len(matches) == 1:
            return matches[0]
        if channel.strip().isdecimal():
            number = int(channel)
    else:
        number = int(channel)
    if number is None or not 0 <= number < n:
        raise MovieError(
            f"{source.name} has no single channel {channel!r}; it has {_listed(names, n)}"
        )
    return number


def _listed(names: tuple[str, ...], n: int) -> str:
    """List channels for a message, by number and (where known) name."""
    known = [names[i] if i < len(names) and names[i] else "" for i in range(n)]
    return ", ".join(f"{i} = {name}" if name else str(i) for i, name in enumerate(known))
