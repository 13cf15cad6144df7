"""How far accuracy depends on chance: each movie as it is, and mirrored up-down, left-right, both.

    python benchmarks/mirrored.py DATA [--protocol click,box] [--weights FILE ...] [--cases NAME]

A mirrored movie is as hard as the movie. What a network makes of it differs by chance alone, and
the mean of the four says more about a movie of the same kind that nobody has seen yet than the
movie itself does: above all where weights, or a constant, were chosen by what they do on it.

DATA is what `napari-sam-i2v evaluate` takes. With several files of weights, each has its rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.measure.cases import Case, load_cases
from napari_sam_i2v.measure.protocols import PROTOCOLS, Tracker, run_protocol
from napari_sam_i2v.measure.tables import markdown_rows
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.propagation.prompts import Prompt

MIRRORS: dict[str, tuple[int, ...]] = {
    "as it is": (), "up-down": (0,), "left-right": (1,), "both": (0, 1),
}  # fmt: skip
"""Name -> axes (0: y, 1: x) that are turned round."""

Scores = dict[str, dict[str, list[float]]]
"""Protocol -> movie -> mean J in each mirror."""


class Mirrored:
    """A movie (T, Y, X[, 3]) whose frames are mirrored when they are read."""

    def __init__(self, frames: Any, axes: Sequence[int]) -> None:
        self.frames, self.axes = frames, tuple(axes)
        self.shape: tuple[int, ...] = tuple(frames.shape)
        self.dtype = np.dtype(frames.dtype)

    def __getitem__(self, t: int) -> NDArray[Any]:
        """Frame `t`."""
        return np.ascontiguousarray(np.flip(np.asarray(self.frames[t]), self.axes))


def mirror(case: Case, axes: Sequence[int]) -> Case:
    """Mirror a case's movie, truth and clicks."""
    sides = case.movie.shape[1:3]
    return replace(
        case,
        movie=Mirrored(case.movie, axes),
        truth=Mirrored(case.truth, axes),
        prompts=tuple(_mirrored(prompt, axes, sides) for prompt in case.prompts),
    )


def _mirrored(prompt: Prompt, axes: Sequence[int], sides: Sequence[int]) -> Prompt:
    if prompt.points is None:
        raise SystemExit("Cases are prompted with clicks: prompts.csv has something else.")
    points = prompt.points.copy()
    for axis in axes:
        points[:, axis] = sides[axis] - 1 - points[:, axis]
    return replace(prompt, points=points)


def measure(cases: Sequence[Case], protocols: Sequence[Any], tracker: Tracker) -> Scores:
    """Mean J of each case in all mirrors."""
    scores: Scores = {protocol: {} for protocol in protocols}
    for protocol in protocols:
        for case in cases:
            scores[protocol][case.name] = [
                run_protocol(mirror(case, axes), protocol, tracker).accuracy.j
                for axes in MIRRORS.values()
            ]
            print(protocol, case.name, _shown(scores[protocol][case.name]), flush=True)
    return scores


def table(scores: Scores, groups: Mapping[str, Sequence[str]]) -> str:
    """Markdown: per protocol a row per movie and per group of movies; means and each mirror."""
    rows: list[list[str]] = []
    for protocol, movies in scores.items():
        lines = {name: np.array(values) for name, values in movies.items()}
        for group, names in groups.items():
            lines[f"**{group}**"] = np.mean([movies[name] for name in names], axis=0)
        rows += [[protocol, name, *_shown([values.mean(), *values]).split()]
                 for name, values in lines.items()]  # fmt: skip
    return markdown_rows(["prompt", "movie", "mean", *MIRRORS], rows, texts=2)


def groups_of(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Names of cases by what kind they are, and of all."""
    named = {"natural video": "davis", "biology and medicine": ""}
    groups = {kind: [c.name for c in cases if c.group == group] for kind, group in named.items()}
    groups[f"all {len(cases)}"] = [case.name for case in cases]
    return {kind: names for kind, names in groups.items() if names}


def _shown(values: Sequence[float] | NDArray[Any]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def main() -> None:
    """Measure all weights and print a table for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--protocol", default="click,box", help=", ".join(PROTOCOLS))
    parser.add_argument("--weights", nargs="+", default=["default"], metavar="FILE")
    parser.add_argument("--cases", nargs="+", metavar="NAME")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    protocols = options.protocol.split(",")
    if unknown := set(protocols) - set(PROTOCOLS):
        parser.error(f"--protocol takes {', '.join(PROTOCOLS)}; got {', '.join(sorted(unknown))}")
    cases = [
        case for case in load_cases(options.data)
        if options.cases is None or case.name in options.cases
    ]  # fmt: skip
    if not cases:
        parser.error("no case of these names")
    for weights in options.weights:
        network = load_model(weights, device=options.device)
        scores = measure(cases, protocols, Tracker(network=network, device=options.device))
        print(f"\n{weights}\n\n{table(scores, groups_of(cases))}\n", flush=True)


if __name__ == "__main__":
    main()
