"""From an image layer to a workbench: what the movie is, where its session lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam_i2v.errors import InputError, SamI2VError
from napari_sam_i2v.movies.kinds import is_private
from napari_sam_i2v.movies.units import plain_steps
from napari_sam_i2v.session_folder import (
    SessionFolder,
    fingerprint,
    folder_beside,
    folder_for,
    folder_in,
)
from napari_sam_i2v.widget.layers import (
    Axes,
    contrast_limits,
    layer_data,
    movie_array,
)
from napari_sam_i2v.widget.resuming import Present, plan_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam_i2v.workbench import Workbench

__all__ = ["Kept", "Opening", "open_bench", "open_folder"]


@dataclass(frozen=True, eq=False)
class Opening:
    """A movie to be opened, with all that the worker needs to know of its layer."""

    name: str
    source: str | None
    movie: Any
    axes: Axes
    scale: tuple[float, float, float]
    units: tuple[str, str, str]
    contrast: tuple[float, float] | None
    model: str
    view: str
    device: str
    precision: str = "auto"
    chosen: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, image: Image, axes: Axes, *, model: str, view: str, device: str, precision: str,
        chosen: frozenset[str] = frozenset(),
    ) -> Opening:  # fmt: skip
        """Read what there is to know from a layer."""
        use = (axes.time, image.ndim - 2, image.ndim - 1)
        scale, units = plain_steps(
            [image.scale[axis] for axis in use], [str(image.units[axis]) for axis in use]
        )
        path = image.source.path
        return cls(
            name=image.name, source=None if path is None else str(path),
            movie=movie_array(image, axes), axes=axes, scale=scale,
            units=units, contrast=contrast_limits(image),
            model=model, view=view, device=device, precision=precision, chosen=chosen,
        )  # fmt: skip

    @property
    def present(self) -> Present:
        """What would count if the movie had no session yet."""
        return Present(self.model, self.view, self.contrast, self.chosen)

    @cached_property
    def private(self) -> bool:
        """Whether the name of the movie's file may be a patient's."""
        return self.source is not None and is_private(Path(self.source))

    @property
    def facts(self) -> dict[str, Any]:
        """What the movie is recognised by."""
        return {
            "name": self.name,
            "source": None if self.private else self.source,
            "shape": list(self.axes.shape),
            "fixed": {str(axis): index for axis, index in self.axes.fixed.items()},
            "fingerprint": fingerprint(np.asarray(self.movie[0])),
        }


@dataclass
class Kept:
    """A session's folder, and what of it the Labels layer shows.

    Attributes
    ----------
    folder
        Where everything is kept.
    shown
        What the layer shows: the array of the store of labels, with the layer's axes.
    reopened
        Whether the session was there before.
    """

    folder: SessionFolder
    shown: Any
    reopened: bool
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> Any:
        """Labels to write to."""
        return self.folder.labels


def open_folder(opening: Opening, path: Path | None, *, sessions: Path | None = None) -> Kept:
    """Open a movie's session folder, or make one.

    Parameters
    ----------
    opening
        The movie.
    path
        The session's folder; found by the movie's name where not given.
    sessions
        Where to look for it, and to make it; beside the movie where not given.

    Raises
    ------
    SamI2VError
        If the folder belongs to another movie, is in use, or cannot be written.
    """
    facts = opening.facts
    chosen = path or folder_for(_usual_folder(opening, sessions), facts)
    reopened = (chosen / "session.json").exists()
    if reopened:
        folder = SessionFolder.open(chosen)
        if (why := folder.fits(facts)) is not None:
            folder.close()
            raise InputError(f"{why} Choose another folder.")
    else:
        folder = SessionFolder.create(
            chosen, shape=opening.axes.shape, scale=opening.scale, units=opening.units, movie=facts
        )
    shown = layer_data(folder.labels, opening.axes)
    settings = folder.state().get("settings", {})
    return Kept(folder, shown, reopened, dict(settings))


def _usual_folder(opening: Opening, sessions: Path | None) -> Path:
    if sessions is None:
        return folder_beside(opening.source, opening.name, private=opening.private)
    return folder_in(sessions, None if opening.private else opening.source, opening.name)


def open_bench(opening: Opening, kept: Kept) -> Workbench:
    """Make the workbench: imports torch, loads the model, looks at the movie's contrast.

    A session that was kept goes on with what it was made with; see `resuming`.
    """
    import torch

    import napari_sam_i2v
    from napari_sam_i2v.propagation.frames import estimate_contrast
    from napari_sam_i2v.propagation.history import RecordedLabels
    from napari_sam_i2v.propagation.session import Session
    from napari_sam_i2v.workbench import Workbench

    sha256_of = cache(_sha256)
    begun = kept.reopened and bool(kept.folder.prompts())
    plan = plan_of(opening.present, kept.settings, begun=begun, sha256_of=sha256_of)
    contrast = plan.contrast
    if contrast is None:
        found = estimate_contrast(opening.movie, limits=opening.contrast)
        contrast = None if found is None else found.values
    session = Session(
        opening.movie, model=plan.model, device=opening.device, precision=opening.precision,
        view=plan.view,  # type: ignore[arg-type]  # checked by the session
        contrast=contrast, labels=RecordedLabels(kept.labels),
    )  # fmt: skip
    settings: Mapping[str, Any] = {
        **kept.settings,
        "model": plan.model,
        "model_sha256": sha256_of(plan.model),
        "view": plan.view,
        "device": session.model.device.type,
        "precision": session.engine.precision,
        "contrast": None if contrast is None else list(contrast),
        "versions": {
            "napari-sam-i2v": str(napari_sam_i2v.__version__),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }
    return Workbench(session, kept.folder, settings, notes=plan.notes)


def _sha256(model: str) -> str | None:
    """SHA-256 of a model's weights, None where they cannot be read."""
    from napari_sam_i2v.network.checkpoints import weights_sha256

    try:
        return weights_sha256(model)
    except (SamI2VError, OSError):
        return None
