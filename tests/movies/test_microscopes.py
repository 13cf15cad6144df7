"""ND2, CZI and LIF: positions, scenes and series, steps and names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.movies.samples import STACK, leica, write_lif

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.movie import open_movie, open_source
from napari_sam_i2v.movies.napari_io import read_layers

# --- Nikon ---------------------------------------------------------------------------------------


@pytest.fixture
def nikon(shared_data: Path) -> Path:
    pytest.importorskip("nd2", reason="the extra nd2 is not installed")
    return shared_data / "formats" / "cluster.nd2"


def test_nd2_channels_and_steps(nikon: Path) -> None:
    source = open_source(nikon)
    assert source.channel_names[0] == "5-FAM/pH 9.0" and len(source.channel_names) == 2
    assert source.pixel["Z"] == (0.5, "micrometer")
    assert "T" not in source.pixel  # as fast as possible: no interval
    with pytest.raises(MovieError, match="2 channels"):
        open_movie(nikon, z=0)


def test_nd2_every_plane(nikon: Path) -> None:
    import nd2

    whole = nd2.imread(nikon)
    for channel in range(2):
        for z in (0, 9):
            movie = open_movie(nikon, channel=channel, z=z)
            np.testing.assert_array_equal(np.asarray(movie), whole[:, z, channel])


# --- Zeiss ---------------------------------------------------------------------------------------


def write_czi(path: Path, *, scenes: int = 1, colour: bool = False) -> Path:
    """Frames of two times, side by side in scenes."""
    from pylibCZIrw.czi import create_czi

    with create_czi(str(path)) as document:
        for scene in range(scenes):
            for t in range(2):
                data = STACK[2 * scene + t][..., None]
                if colour:
                    data = (STACK[t : t + 3] >> 8).astype(np.uint8).transpose(1, 2, 0)
                document.write(
                    data=np.ascontiguousarray(data), plane={"T": t, "C": 0, "Z": 0},
                    scene=scene, location=(1000 * scene + 7, 5),
                )  # fmt: skip
        document.write_metadata(
            "movie", channel_names={0: "GFP"}, scale_x=2e-7, scale_y=3e-7, scale_z=1e-6
        )
    return path


def test_czi_scenes(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="the extra czi is not installed")
    path = write_czi(tmp_path / "a.czi", scenes=2)
    with pytest.raises(MovieError, match=r"2 images: 0 = scene 0, 1 = scene 1\. Choose one"):
        open_movie(path)
    movie = open_movie(path, scene=1)
    np.testing.assert_array_equal(np.asarray(movie), STACK[2:4])
    assert movie.scale[1:] == pytest.approx((0.3, 0.2))
    assert movie.units[1:] == ("micrometer", "micrometer")
    first, second = read_layers(str(path))
    assert (first[1]["name"], second[1]["name"]) == ("a scene 0", "a scene 1")
    assert second[1]["visible"] is False


def test_czi_colours_are_rgb(tmp_path: Path) -> None:
    pytest.importorskip("pylibCZIrw", reason="the extra czi is not installed")
    movie = open_movie(write_czi(tmp_path / "a.czi", colour=True))
    assert movie.shape == (2, 128, 192, 3)
    written = (STACK[1:4] >> 8).astype(np.uint8).transpose(1, 2, 0)  # blue, green, red
    np.testing.assert_array_equal(movie[1], written[..., ::-1])


# --- Leica ---------------------------------------------------------------------------------------


def test_lif_series(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="the extra lif is not installed")
    path = leica(tmp_path)
    with pytest.raises(MovieError, match=r"2 images: 0 = .*first, 1 = .*second"):
        open_movie(path)
    movie = open_movie(path, scene=1)
    np.testing.assert_array_equal(np.asarray(movie), STACK)
    assert movie.scale == pytest.approx((30, 0.5, 0.5))
    assert movie.units == ("second", "micrometer", "micrometer")
    assert open_movie(path, scene=open_source(path, scene=0).scenes[0]).shape == (2, 128, 192)
    names = [meta["name"] for _, meta, _ in read_layers(str(path))]
    assert [name.rpartition(" ")[0] for name in names] == ["two", "two"]


def test_lif_with_one_series(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="the extra lif is not installed")
    path = write_lif(tmp_path / "one.lif", {"only": STACK})
    assert open_movie(path).name == "one.lif"
    with pytest.raises(MovieError, match="no single image 3"):
        open_movie(path, scene=3)


def test_many_series_open_the_first(tmp_path: Path) -> None:
    pytest.importorskip("liffile", reason="the extra lif is not installed")
    path = write_lif(tmp_path / "many.lif", {f"s{i}": STACK[:2] + i for i in range(20)})
    with pytest.warns(UserWarning, match="holds 20 images, from s0 to s19"):
        layers = read_layers(str(path))
    assert len(layers) == 1
