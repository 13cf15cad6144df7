"""What the user chose and what the layers hold, resolved into one frozen plan of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from napari_sam_i2v.errors import MovieError, PromptError
from napari_sam_i2v.widget.layers import (
    Axes,
    Clicks,
    contrast_limits,
    movie_array,
    read_clicks,
    resolve_axes,
)

if TYPE_CHECKING:
    from napari.layers import Image, Points

Direction = Literal["forward", "backward", "both"]
View = Literal["auto", "frame", "follow"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
VIEWS: tuple[View, ...] = get_args(View)


@dataclass(frozen=True)
class Choices:
    """What is set in the widget.

    Attributes
    ----------
    image : Image or None
        The movie's layer.
    points : tuple of Points
        The ticked layers.
    model : str
        ``default``, a registered name or a weights file.
    direction : {"forward", "backward", "both"}
        Which way in time, from each object's prompt.
    view : {"auto", "frame", "follow"}
        What the network sees: the whole frame or a window that follows each object.
    """

    image: Image | None
    points: tuple[Points, ...] = ()
    model: str = "default"
    direction: Direction = "forward"
    view: View = "auto"


@dataclass(frozen=True)
class Plan:
    """All that one run needs; equal plans give equal results on the same pixels.

    Attributes
    ----------
    image : Image
        The movie's layer; for the main thread only.
    movie : array
        (T, Y, X) or (T, Y, X, 3), lazy.
    axes : Axes
        Where the movie lies in its layer.
    contrast : (float, float) or None
        The movie's one mapping; None for RGB.
    clicks : tuple of Clicks
        The prompts.
    model, direction, view : str
        As in `Choices`.
    """

    image: Image = field(compare=False, repr=False)
    movie: Any = field(compare=False, repr=False)
    axes: Axes
    contrast: tuple[float, float] | None
    clicks: tuple[Clicks, ...]
    model: str
    direction: Direction
    view: View

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the prompted objects, sorted."""
        return tuple(sorted({clicks.object_id for clicks in self.clicks}))

    @property
    def first_frame(self) -> int:
        """First frame with a click."""
        return min(clicks.frame for clicks in self.clicks)

    @property
    def frames_to_do(self) -> int:
        """How many frames the run will report; both ways, some are reported twice."""
        n_frames = self.axes.shape[0]
        if self.direction == "backward":
            return max(clicks.frame for clicks in self.clicks) + 1
        forward = n_frames - self.first_frame
        if self.direction == "forward":
            return forward
        # Clicks are sorted by frame within an object: the first is an object's first prompt.
        firsts = {clicks.object_id: clicks.frame for clicks in reversed(self.clicks)}
        return forward + max(firsts.values())


def resolve(choices: Choices, world_point: Sequence[float]) -> Plan:
    """Turn choices and the layers' present content into a plan.

    Parameters
    ----------
    choices : Choices
        What is set in the widget.
    world_point : sequence of float
        ``viewer.dims.point``.

    Raises
    ------
    MovieError
        When no movie is chosen, or it is none.
    PromptError
        When there is no click, or one that cannot be used.
    """
    image = choices.image
    if image is None:
        raise MovieError("Open a movie first, or one of File ▸ Open Sample ▸ SAM-I2V.")
    axes = resolve_axes(image, world_point)
    clicks = read_clicks(image, axes, choices.points)
    if not clicks:
        raise PromptError(
            "Click on each object once: press “New clicks layer”, then click in the picture."
        )
    return Plan(
        image=image,
        movie=movie_array(image, axes),
        axes=axes,
        contrast=contrast_limits(image),
        clicks=clicks,
        model=choices.model,
        direction=choices.direction,
        view=choices.view,
    )
