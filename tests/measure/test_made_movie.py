"""The movie that speed is measured on: what is clicked is there, however many and however small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_sam_i2v.measure.made_movie import BACKGROUND, BRIGHTNESS, clicks, frames_of, write_movie
from napari_sam_i2v.movies.movie import open_movie


@pytest.mark.parametrize(("side", "objects"), [(64, 1), (256, 10), (256, 100)])
def test_every_click_is_on_a_disc_of_its_own(side: int, objects: int) -> None:
    first = next(frames_of(1, side, objects))
    bright = ndimage.median_filter(first, 3) > BACKGROUND + BRIGHTNESS / 2
    discs, count = ndimage.label(bright)
    places = np.concatenate([one.points for one in clicks(side, objects)]).astype(int)
    assert count == objects
    assert sorted(discs[tuple(places.T)]) == list(range(1, objects + 1))


def test_is_written_as_it_is_made(tmp_path: Path) -> None:
    movie = open_movie(write_movie(tmp_path / "movie.ome.zarr", 3, 64, 2))
    assert movie.shape == (3, 64, 64)
    for t, frame in enumerate(frames_of(3, 64, 2)):
        np.testing.assert_array_equal(np.asarray(movie[t]), frame)
    assert (np.asarray(movie[0]) != np.asarray(movie[2])).any()
