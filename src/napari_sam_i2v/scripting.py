"""`segment` and `Session`: the job in one call, or step by step; from files, arrays or layers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.inputs import open_input, points_to_prompts
from napari_sam_i2v.job import Direction, Filter, Job, Settings, ViewMode, check_contrast, make_job
from napari_sam_i2v.propagation.session import Session as EngineSession
from napari_sam_i2v.results import LabelOutput

if TYPE_CHECKING:
    from napari_sam_i2v.network.sam_i2v import SamI2V

__all__ = ["Session", "points_to_prompts", "segment"]


def segment(
    movie: Any,
    prompts: Any,
    *,
    model: str | Path | SamI2V = "default",
    output: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    direction: Direction = "forward",
    frames: range | tuple[int, int] | None = None,
    channel: int | str | None = None,
    z: int | None = None,
    axes: str | None = None,
    scene: int | str | None = None,
    view: ViewMode = "auto",
    seed: int = 0,
    contrast: tuple[float, float] | None = None,
    memory_filter: Filter = "top-k",
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> Any:
    """Track prompted objects through a movie.

    Parameters
    ----------
    movie
        A file or folder (see `open_movie`), a `Movie`, an array (T, Y, X) or (T, Y, X, 3), or a
        napari Image layer.
    prompts
        A file (CSV, JSON or label image, see `napari_sam_i2v.prompt_files`), a table of pandas
        with the columns of such a CSV, a list of `Prompt`,
        an array of points (N, 3) as (frame, y, x) with an object for each, a label image (Y, X)
        or (T, Y, X), or one or several napari Points layers with the optional features
        `object_id` and `label` (1 on the object, 0 not).
    model
        Name, file, or a network; see `load_model`.
    output
        Write the labels here, frame by frame: .tif, .tiff or .zarr. Needed for movies whose
        labels do not fit into memory.
    device, precision, direction, view, seed, memory_filter
        As for `Session` and `Session.propagate`.
    frames
        Stay within a range (or, as a tuple, from A up to B, not included); the labels still have
        the movie's shape, with zeros elsewhere.
    channel, z
        Of a movie with several. For an array (T, Y, X, 3), `channel` is the colour.
    axes
        What the axes of a file are, where it does not tell; see `open_movie`.
    scene
        Which image of a file with several: a position, a series, a field of a plate.
    contrast
        Grey values (black, white) for the whole movie. By default an Image layer's contrast
        limits, else robust percentiles.
    overwrite
        Whether an older result of ours at `output` may be replaced.
    resume
        Go on from what a killed run left at `output`, to the same labels; begin if it left
        nothing.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    labels
        (T, Y, X), 0 is background and values are the prompts' object ids. For an Image layer a
        napari Labels layer that lies on it (it belongs to no viewer yet). Otherwise a uint16
        numpy array, or with `output` a lazy array of that file: zarr, or dask for a TIFF.

    Raises
    ------
    InputError
        If something given cannot be used; nothing is written then.
    OutputError
        If the output cannot be written. Finished frames are kept.

    Notes
    -----
    Points of a Points layer are converted from world to data coordinates when the movie is an
    Image layer. For any other movie they are taken as data pixels, whatever the layer's scale.
    """
    target = None if output is None else LabelOutput(output, overwrite=overwrite, resume=resume)
    settings = Settings(
        model=model, device=device, precision=precision, direction=direction,
        frames=_as_range(frames),
        view=view, memory_filter=memory_filter, seed=seed, contrast=contrast,
        channel=channel, z=z, axes=axes, scene=scene,
    )  # fmt: skip
    source = open_input(movie, channel=channel, z=z, axes=axes, scene=scene)
    if contrast is None:
        settings = replace(settings, contrast=source.contrast)
    labels = _tracked(make_job(source.pixels, source.prompts(prompts), settings), target, progress)
    return labels if source.image is None else source.labels_layer(labels)


class Session(EngineSession):
    """A session for scripts: `propagation.Session` that takes files and napari layers too.

    Prompt, propagate, correct, and look at the result at any time.

    Parameters
    ----------
    movie
        A file or folder (see `open_movie`), a `Movie`, an array (T, Y, X) or (T, Y, X, 3), or a
        napari Image layer.
    labels
        (T, Y, X) integer array to write to, frame by frame; a `LabelStore` for long movies. A
        new uint16 array where not given.
    contrast
        Grey values (black, white) for the whole movie. By default an Image layer's contrast
        limits, else robust percentiles.
    channel, z, axes, scene
        Which part of the movie, as for `segment`.
    **options
        model, device, precision, view, seed and memory_filter as for `propagation.Session`.

    Examples
    --------
    >>> session = Session("movie.tif")  # doctest: +SKIP
    >>> session.add_points(1, 0, points=[(120, 80)])  # doctest: +SKIP
    >>> for result in session.propagate("both"):  # doctest: +SKIP
    ...     print(result.frame, result.masks[1].area)
    >>> viewer.add_layer(session.labels_layer())  # doctest: +SKIP
    """

    def __init__(
        self,
        movie: Any,
        *,
        labels: Any = None,
        contrast: tuple[float, float] | None = None,
        channel: int | str | None = None,
        z: int | None = None,
        axes: str | None = None,
        scene: int | str | None = None,
        **options: Any,
    ) -> None:
        self.source = open_input(movie, channel=channel, z=z, axes=axes, scene=scene)
        super().__init__(
            self.source.pixels,
            labels=labels,
            contrast=self._contrast(self.source.contrast if contrast is None else contrast),
            **options,
        )

    def _contrast(self, limits: tuple[float, ...] | None) -> tuple[float, ...] | None:
        """Find the gamma that goes with given limits."""
        from napari_sam_i2v.propagation.frames import estimate_contrast

        if limits is not None:
            check_contrast(limits)
        if limits is None or len(limits) != 2:
            return limits
        found = estimate_contrast(self.source.pixels, limits=(limits[0], limits[1]))
        return None if found is None else found.values

    def add_prompts(self, prompts: Any) -> None:
        """Add many prompts without answering them yet; none is added if one does not fit.

        `prompts` is anything that `segment` takes: `Prompt`s, a file, points, a label image, or
        napari Points layers.
        """
        super().add_prompts(self.source.prompts(prompts))

    def export(
        self, path: str | os.PathLike[str], *, to: str | None = None, overwrite: bool = False
    ) -> Path:
        """Write the labels, with the divisions and how sure the answers were.

        Parameters and errors are those of `napari_sam_i2v.export`.
        """
        from napari_sam_i2v.exports import Tracked, export

        pixels = self.source.pixels
        known = {
            name: getattr(pixels, name) for name in ("scale", "units") if hasattr(pixels, name)
        }
        tracked = Tracked(
            labels=self.labels, lineage=dict(self.lineage), movie=pixels,
            movie_path=getattr(pixels, "path", None), confidence=self.confidence, **known,
        )  # fmt: skip
        return export(tracked, path, to=to, overwrite=overwrite)

    def labels_layer(self) -> Any:
        """Return a napari Labels layer that shows this session's labels where the movie lies."""
        return self.source.labels_layer(self.labels)


def _as_range(frames: Any) -> range | None:
    """Give the range of frames that a caller named in one of two ways."""
    if frames is None or isinstance(frames, range):
        return frames
    whole = (int, np.integer)
    if isinstance(frames, tuple) and len(frames) == 2 and all(isinstance(n, whole) for n in frames):
        return range(int(frames[0]), int(frames[1]))
    raise InputError(
        "frames must be a range, or a tuple (A, B) of whole numbers for the frames A to B - 1; got "
        f"{frames!r:.80}."
    )


# ---- running ----------------------------------------------------------------------------------


def _tracked(job: Job, target: LabelOutput | None, progress: bool) -> Any:
    """Run a job into memory or a file, and return the labels."""
    job = job.with_contrast()
    if target is None:
        labels = np.zeros(job.shape, np.uint16)
        _drain(job, labels, progress)
        return labels
    store = target.open(
        shape=job.shape,
        scale=job.scale,
        units=job.units,
        metadata=job.provenance(),
        object_ids={prompt.object_id for prompt in job.prompts},
    )
    try:
        _drain(job, store, progress, record=target.record, resume=target.resume)
    except BaseException:
        target.keep()
        raise
    return _lazy(target.finish())


def _drain(job: Job, labels: Any, progress: bool, **record: Any) -> None:
    for _ in with_progress(job.run(labels, **record), job.steps, show=progress):
        pass


def with_progress(results: Iterator[Any], total: int, *, show: bool | None) -> Iterator[Any]:
    """Show a progress bar on stderr; `show` None means on a terminal only."""
    from tqdm import tqdm

    disabled = None if show is None else not show
    yield from tqdm(results, total=total, unit="frame", disable=disabled, leave=False)


def _lazy(path: Path) -> Any:
    """Labels of a finished file, sliceable without reading it all."""
    if path.suffix.lower() == ".zarr":
        from napari_sam_i2v.movies.labels import LabelStore

        return LabelStore.open(path).array
    from napari_sam_i2v.movies.movie import open_movie

    return open_movie(path).as_dask()
