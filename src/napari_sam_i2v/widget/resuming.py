"""With what a movie's session goes on: what it was made with, as far as that is to be had.

Device and precision are the machine's, not the session's: they are never taken from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam_i2v.network.registry import MODELS
from napari_sam_i2v.widget.settings import CHOICES
from napari_sam_i2v.widget.wording import VIEWS

__all__ = ["Plan", "Present", "plan_of"]

Mapped = tuple[float, float, float]


@dataclass(frozen=True)
class Present:
    """What would count if the movie had no session yet.

    Attributes
    ----------
    model, view
        Of Preferences, or of the dock's menus.
    limits
        The layer's contrast limits; None for RGB.
    chosen
        Which of "model" and "view" the user chose in the dock: these count in any case.
    """

    model: str
    view: str
    limits: tuple[float, float] | None
    chosen: Collection[str] = ()


@dataclass(frozen=True)
class Plan:
    """With what the session goes on.

    Attributes
    ----------
    model, view
        As for `Session`.
    contrast
        (low, high, gamma); None where it is still to be estimated.
    notes
        Sentences about what the user may not expect.
    """

    model: str
    view: str
    contrast: Mapped | None
    notes: tuple[str, ...] = ()


def plan_of(
    present: Present,
    recorded: Mapping[str, Any],
    *,
    begun: bool,
    sha256_of: Callable[[str], str | None],
) -> Plan:
    """Decide with what a session goes on.

    Parameters
    ----------
    present
        What would count without it.
    recorded
        The settings in its folder; empty for a new one. What is no such setting is left out.
    begun
        Whether it has prompts: without any, nothing was made with its contrast.
    sha256_of
        Gives the SHA-256 of a model's weights, None where there are none. Asked no more than need
        be: files are large.
    """
    own_view = _known_view(recorded.get("view"))
    view = present.view if own_view is None or "view" in present.chosen else own_view
    model, missing = _model(present, recorded, sha256_of)
    contrast = _mapping(recorded.get("contrast")) if begun else None
    notes = (missing, _differs(present, model, view), _other_limits(contrast, present.limits))
    return Plan(model, view, contrast, tuple(note for note in notes if note))


def _model(
    present: Present, recorded: Mapping[str, Any], sha256_of: Callable[[str], str | None]
) -> tuple[str, str]:
    """Model, and a sentence where it is not the session's although nobody wanted another."""
    own, wanted = recorded.get("model"), recorded.get("model_sha256")
    if "model" in present.chosen or not isinstance(own, str):
        return present.model, ""
    found = sha256_of(own)
    if found is not None and wanted in (None, found):
        return own, ""
    if present.model != own and wanted is not None and sha256_of(present.model) == wanted:
        return present.model, ""  # the same weights in another place
    return present.model, _missing(own, present.model, gone=found is None)


def _missing(own: str, instead: str, *, gone: bool) -> str:
    name = _called(own)
    if gone:
        return f"This session was made with {name}, which is gone: {_called(instead)} is used."
    if own == instead:
        return f"This session was made before {name} changed (SHA-256): it is used as it is now."
    return f"This session was made before {name} changed (SHA-256): {_called(instead)} is used."


def _differs(present: Present, model: str, view: str) -> str:
    """Say that the session keeps its own, where the menus showed something else."""
    own = [_called(model)] if model != present.model else []
    own += [f"view “{VIEWS[view]}”"] if view != present.view else []
    return f"This session goes on with {' and '.join(own)}, as before." if own else ""


def _other_limits(own: Mapped | None, limits: tuple[float, float] | None) -> str:
    if own is None or limits is None:
        return ""
    if all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(own, limits, strict=False)):
        return ""
    return (
        f"The layer’s contrast limits are {limits[0]:g} to {limits[1]:g} now: the session stays "
        f"with {own[0]:g} to {own[1]:g}, which its labels were made with."
    )


def _called(model: str) -> str:
    """Name of a model in a sentence."""
    if model == "default":
        return "the built-in model"
    return MODELS[model].title if model in MODELS else Path(model).name


def _known_view(view: Any) -> str | None:
    return view if view in CHOICES["view"] else None


def _mapping(values: Any) -> Mapped | None:
    """Return a contrast as it was recorded, None where it is none."""
    try:
        low, high, gamma = (float(value) for value in values)
    except (TypeError, ValueError):
        return None
    usable = math.isfinite(low + high + gamma) and low < high and gamma > 0
    return (low, high, gamma) if usable else None
