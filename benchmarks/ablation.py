"""What each of the paper's three innovations adds, on movies with truth: one click per object.

    python benchmarks/ablation.py DATA --weights A=A.safetensors B=... C=... D=...
    python benchmarks/ablation.py DATA --weights model.safetensors [--cases NAME ...] [--arms A D]

A  the image model frame by frame; each mask is handed to the next frame, re-cropped to its window,
   as a mask prompt, with its most interior point as a click
B  A, seen through the temporal feature integrator
C  integrator, and memory attention with memory filtering; no memory as prompt
D  everything: the product

Arms are best trained separately from one image step at an equal budget (`benchmarks/ablation/`);
one file for all shows what the parts of that model contribute to it. Weights of an image step
alone are upgraded as training would begin.

DATA is a folder of cases: `movie.tif`, `labels.tif`, `prompts.csv` and perhaps
`annotated_frames.txt`, and DAVIS clips with `Prompts/480p/CLIP.csv`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam_i2v.measure.accuracy import measure_accuracy
from napari_sam_i2v.measure.tables import markdown_rows
from napari_sam_i2v.movies.labelled import OwnMovie, find_movies
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.network.memory_attention import MemoryTokens
from napari_sam_i2v.network.sam_i2v import SamI2V
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.propagator import Propagator
from napari_sam_i2v.propagation.session import Session
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import View
from napari_sam_i2v.training.beginning import is_upgraded, start_from_image
from napari_sam_i2v.training.hand_over import answer_handed, held_after, image_feature
from napari_sam_i2v.training.recrop import recrop
from napari_sam_i2v.training.samples import moved

ARMS = {
    "A": "image model, mask hand-over",
    "B": "A + temporal integrator",
    "C": "integrator + memory attention and filtering",
    "D": "C + memory as prompt",
}


class WithoutIntegrator(SamI2V):
    """Features are the image trunk's."""

    def encode_frame(
        self, clip: Tensor, levels: list[Tensor] | None = None, *, taps: object = None
    ) -> Tensor:
        """Encode the newest frame alone."""
        return image_feature(self.encode_image(clip[:, :, -1]) if levels is None else levels)


class WithoutMemoryPrompts(SamI2V):
    """Memory conditions features, and makes no prompt tokens."""

    def memory_prompts(self, recalled: MemoryTokens | None, batch: int) -> Tensor:
        """Prompt tokens of a frame that has no memory."""
        return super().memory_prompts(None, batch)


class HandOver(Propagator):
    """Tracks by handing each mask to the next frame as a prompt; memory is never read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._held: dict[int, tuple[View, Tensor]] = {}

    def answer(self, track: Track, index: int) -> Answer:
        """Answer prompts, and hold the mask."""
        answer = super().answer(track, index)
        self._held[track.object_id] = (answer.view, held_after(answer.low[None], answer.low[None]))
        return answer

    def _track(
        self,
        tracks: Sequence[Track],
        index: int,
        given: Sequence[ObjectMask],
        *,
        ahead: bool = False,
    ) -> dict[int, Answer]:
        """Every object by itself: nothing is settled between them."""
        if not tracks:
            return {}
        views = [track.view or View.whole(self.source.shape) for track in tracks]
        features = self.engine.encode(self.source, index, views)
        answers = {}
        for track, view, feature in zip(tracks, views, features, strict=True):
            answers[track.object_id] = self._asked(track.object_id, view, feature)
        return answers

    def _asked(self, object_id: int, view: View, feature: Tensor) -> Answer:
        before, held = self._held[object_id]
        with torch.inference_mode():
            held = recrop(held, torch.from_numpy(moved([before, view])[1:]).to(held.device))
            decoded = answer_handed(self.engine.model, feature[None], held)
            self._held[object_id] = (view, held_after(decoded.low, held))
            return self.engine._answers(decoded, [view])[0]


class HandOverSession(Session):
    """A session whose passes hand masks over."""

    def _side(self, reverse: bool) -> Any:
        side = super()._side(reverse)
        plain = side.propagator
        side.propagator = HandOver(
            plain.engine, plain.source, view=plain.view_mode, strategy=plain.strategy,
            seed=plain.seed,
        )  # fmt: skip
        return side


@dataclass(frozen=True)
class Case:
    """A movie, its clicks and its truth."""

    movie: OwnMovie
    clicks: Path

    def truth(self, ids: Sequence[int]) -> NDArray[Any]:
        """Labels (T, Y, X) of the annotated frames; one object stands for all that is marked."""
        frames = self.movie.open()
        labels = np.zeros(frames.shape[:3], np.uint16)
        for t in self.movie.runs[0]:
            plane = self.movie.truth.read(t)[0]
            single = len(ids) == 1 and len(np.unique(plane[plane > 0])) == 1
            labels[t] = np.where(plane > 0, ids[0], 0) if single else plane
        return labels


def find_cases(data: Path, wanted: Sequence[str] | None = None) -> list[Case]:
    """Find cases with clicks, by name where names are given."""
    cases = []
    for movie in find_movies([data]):
        root = movie.path.parents[2] if movie.path.is_dir() else movie.path.parent
        davis = root / "Prompts" / "480p" / f"{movie.name}.csv"
        clicks = davis if movie.path.is_dir() else root / "prompts.csv"
        if clicks.is_file() and (wanted is None or movie.name in wanted):
            cases.append(Case(movie, clicks))
    if not cases:
        raise SystemExit(f"{data} has no movie with labels and clicks of these names.")
    return cases


def arm_model(arm: str, weights: str | Path, device: str = "cpu") -> SamI2V:
    """Load a network, and take away what an arm lacks."""
    model = load_model(weights, device=device)
    if not is_upgraded(model):
        start_from_image(model)
    kind = {"A": WithoutIntegrator, "C": WithoutMemoryPrompts}.get(arm, SamI2V)
    changed = kind(model.config)
    changed.load_state_dict(model.state_dict())
    return changed.to(model.device).eval().requires_grad_(False)


def track(arm: str, case: Case, model: SamI2V, **options: Any) -> NDArray[Any]:
    """Labels (T, Y, X) that an arm finds from a case's clicks."""
    kind = HandOverSession if arm in "AB" else Session
    session = kind(case.movie.open(), model=model, **options)
    session.add_prompts(read_prompts(case.clicks))
    for _ in session.propagate():
        pass
    return np.asarray(session.labels)


def mean_j(arm: str, case: Case, model: SamI2V, **options: Any) -> float:
    """Mean J of a case's objects."""
    prompts = read_prompts(case.clicks)
    starts = {p.object_id: p.frame for p in reversed(list(prompts))}
    truth = case.truth(list(starts))
    shown = {
        ident: start for ident, start in starts.items()
        if any((truth[t] == ident).any() for t in case.movie.runs[0] if t >= start)
    }  # fmt: skip
    labels = track(arm, case, model, **options)
    return measure_accuracy(labels, truth, starts=shown, frames=case.movie.runs[0]).j


def table(scores: Mapping[str, Mapping[str, float]], arms: Sequence[str]) -> str:
    """Markdown: a row per movie, a column per arm, the mean, and what each arm adds to it."""
    rows = [[name, *(f"{row[arm]:.3f}" for arm in arms)] for name, row in scores.items()]
    means = [float(np.mean([row[arm] for row in scores.values()])) for arm in arms]
    rows.append(["**mean**", *(f"**{mean:.3f}**" for mean in means)])
    gains = [f"{b - a:+.3f}" for a, b in pairwise(means)]
    rows.append(["gain over the arm before", "", *gains])
    return markdown_rows(["movie", *arms], rows)


def _weights(given: Sequence[str], arms: Sequence[str]) -> dict[str, str]:
    if len(given) == 1 and given[0][1:2] != "=":
        return dict.fromkeys(arms, given[0])
    named = dict(one.split("=", 1) for one in given)
    if missing := [arm for arm in arms if arm not in named]:
        raise SystemExit(f"Give --weights {' '.join(f'{arm}=FILE' for arm in missing)} too.")
    return {arm: named[arm] for arm in arms}


def main() -> None:
    """Track every case with every arm, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", nargs="+", default=["default"], metavar="[ARM=]FILE")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--cases", nargs="+")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    cases = find_cases(options.data, options.cases)
    scores: dict[str, dict[str, float]] = {case.movie.name: {} for case in cases}
    for arm, weights in _weights(options.weights, options.arms).items():
        model = arm_model(arm, weights, options.device)
        for case in cases:
            begun = time.monotonic()
            score = mean_j(arm, case, model, device=options.device, precision=options.precision)
            scores[case.movie.name][arm] = score
            print(f"{arm} {case.movie.name}: J {score:.3f}, {time.monotonic() - begun:.0f} s",
                  flush=True)  # fmt: skip
    print("\n" + table(scores, options.arms) + "\n")
    for arm in options.arms:
        print(f"{arm}: {ARMS[arm]}")


if __name__ == "__main__":
    main()
