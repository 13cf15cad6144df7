"""Three short synthetic movies with known truth: File > Open Sample in napari, and the demo.

They are made when asked for (under a second each) and are the same on every call. Nothing heavy
is imported until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from napari_sam_i2v.training.synthetic.bodies import Scene
    from napari_sam_i2v.training.synthetic.motion import Stage

__all__ = ["SAMPLES", "SampleMovie", "chamber", "migration", "nuclei", "sample_movie"]

LayerData = tuple[Any, dict[str, Any], str]

_SIZE = 256
_LEAST_AREA = 80  # pixels an object shows before it is clicked


@dataclass(frozen=True)
class _Recipe:
    """How a sample is made; the seed was chosen by eye for its look."""

    title: str
    look: str
    seed: int
    frames: int
    scale: tuple[float, float, float]
    units: tuple[str, str, str]
    counts: float  # camera counts at brightness 1


_RECIPES = {
    "nuclei": _Recipe(
        "Nuclei", "nuclei_dividing", 8, 24, (5.0, 0.65, 0.65), ("minute", "um", "um"), 6000.0
    ),
    "migration": _Recipe(
        "Migrating cells", "phase_spread", 4, 20, (10.0, 1.3, 1.3), ("minute", "um", "um"), 9000.0
    ),
    "chamber": _Recipe(
        "Heart chamber", "cine", 3, 20, (0.04, 1.2, 1.2), ("second", "mm", "mm"), 1500.0
    ),
}

SAMPLES = tuple(_RECIPES)
"""Names of the sample movies."""


@dataclass(frozen=True)
class SampleMovie:
    """A synthetic movie, its truth and one click per object.

    Attributes
    ----------
    name : str
        One of `SAMPLES`.
    title : str
        Name for people.
    movie : np.ndarray
        uint16 (T, Y, X).
    labels : np.ndarray
        uint16 (T, Y, X); 0 is background. At a division one daughter keeps the mother's id.
    prompts : list of tuple
        (object_id, frame, y, x) in data pixels: one click well inside each object, on the first
        frame on which it shows enough of itself.
    scale : tuple of float
        Size of a step along (t, y, x), in `units`.
    units : tuple of str
        Units of (t, y, x).
    """

    name: str
    title: str
    movie: np.ndarray
    labels: np.ndarray
    prompts: list[tuple[int, int, float, float]]
    scale: tuple[float, float, float]
    units: tuple[str, str, str]


def sample_movie(name: str) -> SampleMovie:
    """Make a sample movie with its truth and its clicks.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.

    Raises
    ------
    InputError
        If there is no sample of that name.
    """
    import numpy as np

    if name not in _RECIPES:
        raise InputError(f"No sample movie {name!r}; choose one of {', '.join(SAMPLES)}.")
    recipe = _RECIPES[name]
    movie, labels = _record(recipe)
    prompts = _clicks(labels)
    labels[~np.isin(labels, [prompt[0] for prompt in prompts])] = 0
    return SampleMovie(name, recipe.title, movie, labels, prompts, recipe.scale, recipe.units)


def nuclei() -> list[LayerData]:
    """Fluorescent nuclei that move and divide, their truth and a click each, as layer data."""
    return _layers(sample_movie("nuclei"))


def migration() -> list[LayerData]:
    """Cells crawling in phase contrast, their truth and a click each, as layer data."""
    return _layers(sample_movie("migration"))


def chamber() -> list[LayerData]:
    """Beating heart chamber and its wall, their truth and a click each, as layer data."""
    return _layers(sample_movie("chamber"))


def _record(recipe: _Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Movie and labels, both uint16 (T, Y, X), imaged under good conditions."""
    import numpy as np

    from napari_sam_i2v.training.synthetic.optics import record

    stage, scene = _stage_and_scene(recipe)
    best = scene.optics.photons[1]
    optics = scene.optics.__class__(
        blur=(0.6, 1.0),
        photons=(best / 10, best / 5),
        read=(0.0, 0.01),
        uneven=0.1,
        flicker=0.0,
        defocus=0.0,
    )
    light = record(stage, scene.images, optics)
    counts = np.clip(500 + recipe.counts * light, 0, 65535)
    return counts.astype(np.uint16), scene.labels.astype(np.uint16)


def _stage_and_scene(recipe: _Recipe) -> tuple[Stage, Scene]:
    """Play the look's scene with an even sampling in time and a stage at rest."""
    import numpy as np

    from napari_sam_i2v.training.synthetic.clip import make_scene
    from napari_sam_i2v.training.synthetic.motion import Stage

    still = np.zeros((recipe.frames, 2))
    rng = np.random.default_rng(recipe.seed)
    stage = Stage(rng, recipe.frames, _SIZE, np.ones(recipe.frames), still)
    return stage, make_scene(stage, recipe.look)


def _clicks(labels: np.ndarray) -> list[tuple[int, int, float, float]]:
    """One (object_id, frame, y, x) per object, at its innermost pixel."""
    import numpy as np

    from napari_sam_i2v.propagation.view import interior_point

    clicks = []
    for ident in np.unique(labels[labels > 0]):
        area = (labels == ident).sum(axis=(1, 2))
        frames = np.flatnonzero(area >= _LEAST_AREA)
        if len(frames) < 2:  # only a sliver at the border
            continue
        t = int(frames[0])
        y, x = interior_point(labels[t] == ident)
        clicks.append((int(ident), t, float(y), float(x)))
    return clicks


def _layers(sample: SampleMovie) -> list[LayerData]:
    """Return an Image layer, a hidden Labels layer, a Points layer with the feature `object_id`."""
    import numpy as np

    common = {
        "scale": sample.scale,
        "units": sample.units,
        "axis_labels": ("t", "y", "x"),
    }
    low, high = (float(p) for p in np.percentile(sample.movie, [0.2, 99.8]))
    image = {"name": sample.title, "contrast_limits": (low, high), **common}
    truth = {
        "name": f"{sample.title} ground truth",
        # To compare with in the end: over the movie, it would be taken for what was tracked.
        "visible": False,
        **common,
    }
    points = {
        "name": f"{sample.title} suggested clicks",
        "features": {"object_id": np.array([p[0] for p in sample.prompts], dtype=float)},
        "feature_defaults": {"object_id": np.nan},  # the next click is a new object
        "ndim": 3,
        "size": 8,
        "face_color": "orange",
        **common,
    }
    where = np.array([prompt[1:] for prompt in sample.prompts], dtype=float)
    return [
        (sample.movie, image, "image"),
        (sample.labels, truth, "labels"),
        (where, points, "points"),
    ]
