"""Every format is read as its own library reads it, lazily; docs/formats.md says nothing else.

`python -m tests.movies.test_formats` writes the table of the page anew.
"""

from __future__ import annotations

import gc
import importlib
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.movies.samples import SAMPLES, Sample, frames_to_compare

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.extras import EXTRAS
from napari_sam_i2v.movies.movie import open_movie, open_source

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "formats.md"
SHARED = ROOT.parent / "shared" / "data" / "formats"
HEAD = "| format | read with | lazy | axes | frames | tested with |\n|---|---|---|---|---|---|"


@pytest.fixture(params=SAMPLES, ids=lambda one: one.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    return request.param


@pytest.fixture
def path(sample: Sample, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    for module in EXTRAS.get(sample.extra, ()):
        pytest.importorskip(module, reason=f"the extra {sample.extra} is not installed")
    if callable(sample.file):
        return sample.file(tmp_path)
    return request.getfixturevalue("shared_data") / "formats" / sample.file


def test_frames_are_those_of_the_formats_library(sample: Sample, path: Path) -> None:
    movie = open_movie(path, **sample.options)
    expected = sample.reference(path)
    assert movie.shape == expected.shape
    assert movie.dtype == expected.dtype.newbyteorder("=")
    for t in frames_to_compare(len(movie)):
        np.testing.assert_array_equal(movie[t], expected[t], err_msg=f"frame {t}")


def test_row_of_the_table(sample: Sample, path: Path) -> None:
    assert row(sample, path) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_table_has_no_other_rows() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEAD.splitlines()[0]) + 2
    rows = lines[start : lines.index("", start)]
    assert len(rows) == len(SAMPLES)


def test_every_sample_file_is_tested(shared_data: Path) -> None:
    """Nothing in the folder of samples is left out; the two without pixels are said to be."""
    tested = {one.file.split("/labels/")[0] for one in SAMPLES if isinstance(one.file, str)}
    without_pixels = {f"ome_zarr_examples/data/valid/image-{n}.zarr" for n in ("01", "04")}
    folder = shared_data / "formats"
    there = set()
    for one in folder.rglob("*"):
        inside = any(part.endswith(".zarr") for part in one.parent.parts)
        is_movie = one.suffix == ".zarr" or (one.is_file() and one.suffix not in ("", ".md"))
        if is_movie and not inside:
            name = one.relative_to(folder).as_posix()
            there.add("mitocheck_image_sequence" if "mitocheck" in name else name)
    assert there == tested | without_pixels


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_missing_extra_is_named(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    one = next(one for one in SAMPLES if one.extra == extra)
    for module in EXTRAS[extra]:
        pytest.importorskip(module)
    path = one.file(tmp_path) if callable(one.file) else shared_data / "formats" / one.file
    for module in [*sys.modules]:
        if module.partition(".")[0] in EXTRAS[extra]:
            monkeypatch.delitem(sys.modules, module)
    for module in EXTRAS[extra]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MovieError, match=rf"pip install 'napari-sam-i2v\[{extra}\]'"):
        open_movie(path, **one.options)
    other = next(one for one in SAMPLES if not one.extra and callable(one.file))
    assert len(open_movie(other.file(tmp_path), **other.options)) > 1


def test_nothing_of_an_extra_is_needed_to_import_the_readers() -> None:
    for name in ("video", "dicom", "nifti", "nd2", "czi", "lif"):
        importlib.import_module(f"napari_sam_i2v.movies.{name}")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated_file(sample: Sample, path: Path, tmp_path: Path, keep: float) -> None:
    """A file that was cut short gives its frames as they are as far as they go, or our error."""
    if path.is_dir():
        pytest.skip("a folder")
    whole = open_movie(path, **sample.options)
    cut = tmp_path / f"cut-{path.name}"
    content = path.read_bytes()
    cut.write_bytes(content[: int(len(content) * keep)])
    try:
        movie = open_movie(cut, **sample.options)
        for t in frames_to_compare(len(movie)):
            np.testing.assert_array_equal(movie[t], whole[t])
    except MovieError:
        return


@pytest.mark.parametrize("seed", range(3))
def test_garbled_file(sample: Sample, path: Path, tmp_path: Path, seed: int) -> None:
    """A file with flipped bytes gives frames, or our error."""
    if path.is_dir():
        pytest.skip("a folder")
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    at = rng.integers(352, min(len(content), 4000), 12)
    content[at] = rng.integers(0, 256, at.size)
    garbled = tmp_path / f"garbled-{path.name}"
    garbled.write_bytes(content.tobytes())
    try:
        movie = open_movie(garbled, **sample.options)
        movie[0]
        movie[len(movie) - 1]
    except MovieError:
        pass


def row(sample: Sample, path: Path) -> str:
    """Make a line of the table from what opening and reading one frame shows."""
    source = open_source(path, scene=sample.options.get("scene"))
    movie = open_movie(path, **sample.options)
    assert source.axes == sample.axes
    cells = (
        sample.format,
        f"{sample.library} (`{sample.extra}`)" if sample.extra else sample.library,
        {True: "yes", False: "no", None: "–"}[is_lazy(path, sample)],
        source.axes,
        str(len(movie)),
        f"`{sample.file}`" if isinstance(sample.file, str) else sample.name,
    )
    return f"| {' | '.join(cells)} |"


def is_lazy(path: Path, sample: Sample) -> bool | None:
    """Whether a frame costs the memory of a few frames, not of the movie; None if it is short."""
    movie = open_movie(path, **sample.options)
    frame = movie[0].nbytes  # what is imported is imported now
    if len(movie) < 10:
        return None
    opening = _peak(lambda: open_movie(path, **sample.options))
    reading = _peak(lambda: open_movie(path, **sample.options)[0])
    return max(opening, reading) - sample.buffer < min(len(movie) * frame / 2, 10 * frame + 2**18)


def _peak(action: Callable[[], object]) -> int:
    """Give the most bytes that Python and NumPy held at once while something was done."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def main() -> None:
    """Write the table of the page anew."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for number, one in enumerate(SAMPLES):
            place = Path(folder) / str(number)
            place.mkdir()
            lines.append(row(one, one.file(place) if callable(one.file) else SHARED / one.file))
    text = PAGE.read_text(encoding="utf-8")
    start = text.index(HEAD) + len(HEAD)
    PAGE.write_text(text[:start] + "\n" + "\n".join(lines) + text[text.index("\n\n", start) :])


if __name__ == "__main__":
    main()
