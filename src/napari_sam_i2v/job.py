"""One run, from checked inputs to labels: what the command line and `segment` share.

`Job` is made from inputs that fit each other; until then nothing is written and no frame is
read. `Job.run` then tracks into any label array, frame by frame.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sam_i2v.errors import InputError, MovieError, PromptError
from napari_sam_i2v.movies.units import SPACE_UNKNOWN, TIME_UNKNOWN
from napari_sam_i2v.results import frame_ranges

if TYPE_CHECKING:
    from napari_sam_i2v.network.sam_i2v import SamI2V
    from napari_sam_i2v.propagation.prompts import Prompt
    from napari_sam_i2v.propagation.session import FrameResult
    from napari_sam_i2v.resuming import RunRecord

__all__ = ["Job", "Settings", "check_contrast", "make_job", "parse_frames", "plain"]

Direction = Literal["forward", "backward", "both"]
ViewMode = Literal["auto", "frame", "follow"]
Filter = Literal["top-k", "multinomial"]
_NO_SCALE: tuple[float, float, float] = (1.0, 1.0, 1.0)
_NO_UNITS: tuple[str, str, str] = (TIME_UNKNOWN, SPACE_UNKNOWN, SPACE_UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to track; see `Session`.

    Attributes
    ----------
    model
        Name, file, or a network.
    frames
        Stay within these frames; all of them where not given.
    contrast
        Grey values (black, white); robust percentiles of the movie where not given.
    channel, z, axes, scene
        How the movie was opened: for the record only.

    Raises
    ------
    InputError
        If a choice does not exist.
    """

    model: str | Path | SamI2V = "default"
    device: str = "auto"
    precision: str = "auto"
    direction: Direction = "forward"
    frames: range | None = None
    view: ViewMode = "auto"
    memory_filter: Filter = "top-k"
    seed: int = 0
    contrast: tuple[float, ...] | None = None
    channel: int | str | None = None
    z: int | None = None
    axes: str | None = None
    scene: int | str | None = None

    def __post_init__(self) -> None:
        for name in ("seed", "z", "channel", "scene"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if not isinstance(self.seed, int):
            raise InputError(f"The seed must be a whole number; got {self.seed!r:.80}.")
        kinds = {"direction": Direction, "view": ViewMode, "memory_filter": Filter}
        for name, kind in kinds.items():
            if getattr(self, name) not in get_args(kind):
                choices = ", ".join(get_args(kind))
                raise InputError(f"{name} must be one of {choices}; got {getattr(self, name)!r}.")
        if not isinstance(self.frames, range | None):
            raise InputError(f"frames must be a range, or None for all; got {self.frames!r:.80}.")


@dataclass(frozen=True)
class Job:
    """A movie, prompts inside it, a loaded network and settings; made by `make_job`."""

    movie: Any
    prompts: tuple[Prompt, ...]
    settings: Settings
    network: SamI2V
    model: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X) of the labels: the movie's, whatever frames are tracked."""
        t, y, x = (int(n) for n in self.movie.shape[:3])
        return t, y, x

    @property
    def scale(self) -> tuple[float, float, float]:
        """Step along (t, y, x), as the movie has it."""
        return getattr(self.movie, "scale", _NO_SCALE)

    @property
    def units(self) -> tuple[str, str, str]:
        """Units of `scale`."""
        return getattr(self.movie, "units", _NO_UNITS)

    @property
    def steps(self) -> int:
        """How many frames the run reports; going both ways, some may be reported twice."""
        limits = self.settings.frames or range(self.shape[0])
        by_object: dict[int, list[int]] = {}
        for prompt in self.prompts:
            if not prompt.absent:  # nothing to begin from
                by_object.setdefault(prompt.object_id, []).append(prompt.frame)
        firsts = [min(frames) for frames in by_object.values()]
        lasts = [max(frames) for frames in by_object.values()]
        return {
            "forward": limits.stop - min(firsts),
            "backward": max(lasts) - limits.start + 1,
            "both": limits.stop - min(firsts) + max(firsts) - limits.start,
        }[self.settings.direction]

    def with_contrast(self) -> Job:
        """Return the job with its one contrast mapping; reads a sample of frames.

        Raises
        ------
        MovieError
            If they cannot be read, or hold no finite value.
        """
        from napari_sam_i2v.propagation.frames import estimate_contrast

        given = self.settings.contrast
        if given is not None and len(given) > 2:
            return self
        limits = None if given is None else (given[0], given[1])
        try:
            found = estimate_contrast(self.movie, limits=limits)
        except MovieError:
            # A range of frames is how to leave out those that are broken.
            if self.settings.frames is None:
                raise
            found = estimate_contrast(self.movie, list(self.settings.frames))
        if found is None:  # RGB bytes go as they are
            return self
        return replace(self, settings=replace(self.settings, contrast=found.values))

    def provenance(self) -> dict[str, Any]:
        """Return what made the labels, as plain values: no date, no path, so twice is the same."""
        import torch

        import napari_sam_i2v
        from napari_sam_i2v.network.device import resolve_device, resolve_precision
        from napari_sam_i2v.prompt_writer import prompt_entry

        settings = asdict(replace(self.settings, model=""))
        del settings["model"]  # it has its own entry
        device = resolve_device(self.settings.device)
        settings["device"] = device.type
        settings["precision"] = resolve_precision(self.settings.precision, device)
        frames = self.settings.frames
        settings["frames"] = frame_ranges(frames)[0] if frames is not None else None
        return {
            "model": self.model,
            "settings": settings,
            "prompts": [prompt_entry(prompt) for prompt in self.prompts],
            "movie": {
                "name": str(getattr(self.movie, "name", "array")),
                "shape": [int(n) for n in self.movie.shape],
                "dtype": str(getattr(self.movie, "dtype", "")),
            },
            "versions": {
                "napari-sam-i2v": str(napari_sam_i2v.__version__),
                "numpy": np.__version__,
                "torch": str(torch.__version__),
            },
        }

    def run(
        self, labels: Any, record: RunRecord | None = None, *, resume: bool = False
    ) -> Generator[FrameResult, None, None]:
        """Track into labels (T, Y, X), yielding every frame once it is written.

        Parameters
        ----------
        labels
            To write to.
        record
            Takes down how far the run is.
        resume
            Go on from what the record says.
        """
        from napari_sam_i2v.propagation.session import Session

        chosen = self.settings
        session = Session(
            self.movie,
            model=self.network, device=chosen.device, precision=chosen.precision,
            view=chosen.view, seed=chosen.seed, contrast=chosen.contrast, labels=labels,
            memory_filter=chosen.memory_filter,
        )  # fmt: skip
        session.add_prompts(self.prompts)
        if record is not None and resume:
            record.restore(session)
            if not session.pending(chosen.direction):
                return
        for result in session.propagate(chosen.direction, frames=chosen.frames):
            if record is not None:
                record.note(session, result)
            yield result


def make_job(movie: Any, prompts: Sequence[Prompt], settings: Settings) -> Job:
    """Check that movie, prompts and settings fit each other, and load the network.

    Parameters
    ----------
    movie
        (T, Y, X) or (T, Y, X, 3): a `Movie` or an array. No frame is read.
    prompts
        At least one.
    settings
        Of the run.

    Raises
    ------
    InputError
        If something does not fit; the cheap checks come first.
    """
    _check_shape(tuple(movie.shape))
    if all(prompt.absent for prompt in prompts):
        raise PromptError("Nothing to track: at least one prompt is required, got none.")
    for prompt in prompts:
        prompt.check_inside(movie.shape)
    if settings.frames is not None:
        _check_frames(settings.frames, int(movie.shape[0]), prompts)
    check_contrast(settings.contrast)
    network, model = _load(settings)
    return Job(movie, tuple(prompts), settings, network, model)


def parse_frames(text: str, n_frames: int) -> range:
    """Read ``A:B``, half open as in Python; ``A:`` and ``:B`` go to the movie's end or start.

    Raises
    ------
    InputError
        If the text is something else, or the range is empty.
    """
    start, colon, stop = text.strip().partition(":")
    try:
        frames = range(int(start or 0), int(stop or n_frames))
    except ValueError:
        frames = range(0)
    if not colon or frames.start < 0 or not frames:
        raise InputError(
            f"--frames needs A:B, the frames A to B - 1, within 0 to {n_frames} of this movie; "
            f"got {text!r}."
        )
    return frames


def _check_shape(shape: tuple[int, ...]) -> None:
    if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (3, 4))) or 0 in shape:
        raise MovieError(
            f"A movie needs the axes (T, Y, X), or (T, Y, X, 3) for RGB, none of them empty; got "
            f"the shape {shape}. Choose one channel and one z first."
        )


def _check_frames(frames: range, n_frames: int, prompts: Sequence[Prompt]) -> None:
    if not (len(frames) and frames.step == 1 and frames[0] >= 0 and frames[-1] < n_frames):
        raise InputError(
            f"The movie has the frames 0 to {n_frames - 1}; frames {_span(frames)} were asked "
            "for. A range A:B within it is required, B not included, with every frame between."
        )
    for prompt in prompts:
        if prompt.frame not in frames:
            raise PromptError(
                f"The prompt of object {prompt.object_id} is on frame {prompt.frame}, outside "
                f"the frames asked for ({_span(frames)}): widen the range, or leave the prompt "
                "out."
            )


def _span(frames: range) -> str:
    step = "" if frames.step == 1 else f":{frames.step}"
    return f"{frames.start}:{frames.stop}{step}"


def plain(value: Any) -> Any:
    """Give a whole number of numpy's as one of Python's, anything else as it is."""
    return int(value) if isinstance(value, np.integer) else value


def check_contrast(limits: tuple[float, ...] | None) -> None:
    """Check limits (low, high), or those with their gamma.

    Raises
    ------
    InputError
        If they are something else.
    """
    if limits is None:
        return
    try:
        numbers = np.asarray(limits, float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    # A third is the gamma that goes with them.
    if numbers.shape not in ((2,), (3,)) or not (
        np.isfinite(numbers).all() and numbers[0] < numbers[1]
    ):
        raise InputError(
            f"Contrast limits (low, high) must be two finite numbers with low < high, got "
            f"{limits!r:.80}."
        )


def _load(settings: Settings) -> tuple[SamI2V, dict[str, Any]]:
    """Network on its device, and what to note about it."""
    from napari_sam_i2v.network.checkpoints import check_model, load_model, weights_sha256
    from napari_sam_i2v.network.config import DEFAULT_VARIANT
    from napari_sam_i2v.network.device import resolve_device, resolve_precision

    device = resolve_device(settings.device)
    resolve_precision(settings.precision, device)
    if not isinstance(settings.model, str | Path):
        network = check_model(settings.model)
        return network, {"name": "custom", "variant": network.config.name, "sha256": None}
    network = load_model(settings.model, device=device)
    name = DEFAULT_VARIANT if settings.model == "default" else Path(settings.model).name
    return network, {
        "name": name,
        "variant": network.config.name,
        "sha256": weights_sha256(settings.model),
    }
