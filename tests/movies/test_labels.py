"""The label store: what is written stays, through crashes; nothing of others is removed."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from napari_sam_i2v.errors import InputError, OutputError
from napari_sam_i2v.movies.labels import LabelStore
from napari_sam_i2v.movies.movie import open_movie

SHAPE = (4, 6, 8)


def plane(t: int, dtype: str = "uint16") -> np.ndarray:
    return np.full(SHAPE[1:], t + 1, dtype)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore.create(tmp_path / "out.zarr", shape=SHAPE)


def test_frames_written_are_read_again(store: LabelStore) -> None:
    assert store.done == []
    store[2] = plane(2)
    store[-4] = plane(0)
    again = LabelStore.open(store.path)
    assert again.done == [0, 2]
    np.testing.assert_array_equal(again[2], plane(2))
    assert not again[1].any()
    assert (again.shape, again.ndim, again.dtype, len(again)) == (SHAPE, 3, np.dtype("u2"), 4)
    np.testing.assert_array_equal(np.asarray(again)[0], plane(0))
    np.testing.assert_array_equal(again.array[2], plane(2))


def test_one_chunk_per_frame(store: LabelStore) -> None:
    assert store.array.chunks == (1, *SHAPE[1:])
    store[3] = plane(3)
    assert [p.name for p in (store.path / "0" / "c").iterdir()] == ["3"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_any_reader_can_open_it(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "out.zarr"
    scale, units = (5.0, 0.5, 0.25), ("minute", "micrometer", "micrometer")
    store = LabelStore.create(
        path, shape=SHAPE, scale=scale, units=units, zarr_format=zarr_format, dtype="uint32"
    )
    store[1] = plane(1)
    movie = open_movie(path)
    assert movie.is_labels and movie.scale == scale and movie.units == units
    assert (store.scale, store.units) == (scale, units)
    np.testing.assert_array_equal(movie[1], plane(1))
    attributes = dict(zarr.open_group(str(path), mode="r").attrs)
    ome = attributes if zarr_format == 2 else attributes["ome"]
    version = "0.4" if zarr_format == 2 else "0.5"
    assert (ome["multiscales"][0] if zarr_format == 2 else ome)["version"] == version
    assert "image-label" in ome
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["t", "y", "x"]
    assert LabelStore.open(path).done == [1]


def test_unknown_units_are_not_invented(store: LabelStore) -> None:
    assert "unit" not in json.dumps(dict(store._group.attrs))
    assert store.units == ("frame", "pixel", "pixel")


def test_metadata_is_kept_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    LabelStore.create(path, shape=SHAPE, metadata={"model": "m", "seed": 3})
    store = LabelStore.open(path)
    assert store.metadata == {"model": "m", "seed": 3}
    store.metadata = {"model": "n"}
    assert LabelStore.open(path).metadata == {"model": "n"}
    with pytest.raises(InputError, match="JSON"):
        store.metadata = {"array": np.zeros(3)}


def test_empty_frames_count_as_done(store: LabelStore) -> None:
    store[1] = np.zeros(SHAPE[1:], np.uint16)
    assert LabelStore.open(store.path).done == [1]


def test_crash_while_a_chunk_is_written(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store[0] = plane(0)

    async def crash(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", crash)
        with pytest.raises(OSError, match="disk full"):
            store[1] = plane(1)
        with pytest.raises(OSError, match="disk full"):
            store[0] = plane(7)
    again = LabelStore.open(store.path)
    assert again.done == [0]
    np.testing.assert_array_equal(again[0], plane(0))
    again[1] = plane(1)
    assert again.done == [0, 1]


def test_painting_does_not_make_a_frame_done(store: LabelStore) -> None:
    store.array[3, 1:2, 1:3] = 9
    assert LabelStore.open(store.path).done == []
    assert store[3].sum() == 18


def test_lost_record_is_told_by_the_chunks(store: LabelStore) -> None:
    store[0], store[2] = np.zeros(SHAPE[1:], int), plane(2)
    (store.path / "0" / ".frames_done").unlink()
    again = LabelStore.open(store.path)
    assert again.done == [0, 2]
    again[3] = plane(3)
    assert again.done == [0, 2, 3]


def test_threads(store: LabelStore) -> None:
    def write(t: int) -> None:
        store[t] = plane(t)

    threads = [threading.Thread(target=write, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.done == [0, 1, 2, 3]
    np.testing.assert_array_equal(np.asarray(store), np.stack([plane(t) for t in range(4)]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((5, 8), int), "must be"),
        (np.zeros(SHAPE[1:]), "integers"),
        (np.full(SHAPE[1:], 70000), "uint32"),
        (np.full(SHAPE[1:], -1), "0..65535"),
    ],
)
def test_planes_that_would_be_changed(store: LabelStore, value: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        store[0] = value
    assert store.done == []


def test_wrong_indices(store: LabelStore) -> None:
    with pytest.raises(IndexError, match="4 frames"):
        store[4] = plane(0)
    with pytest.raises(TypeError, match="whole frames"):
        store[0:2]  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (4, 6)}, r"\(T, Y, X\)"),
        ({"shape": (0, 6, 8)}, "at least 1"),
        ({"shape": SHAPE, "dtype": "int64"}, "uint16 or uint32"),
        ({"shape": SHAPE, "metadata": {"a": {1, 2}}}, "JSON"),
    ],
)
def test_wrong_options_leave_nothing(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        LabelStore.create(tmp_path / "out.zarr", **options)
    assert list(tmp_path.iterdir()) == []


# --- overwriting ---------------------------------------------------------------------------------


def test_a_store_is_replaced_only_when_asked(store: LabelStore) -> None:
    store[0] = plane(0)
    with pytest.raises(OutputError, match="exists"):
        LabelStore.create(store.path, shape=SHAPE)
    assert LabelStore.open(store.path).done == [0]
    assert LabelStore.create(store.path, shape=SHAPE, overwrite=True).done == []


def precious(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "precious"
    if kind == "folder":
        path.mkdir()
        (path / "data.txt").write_text("years of work")
    elif kind == "zarr":
        zarr.create_group(str(path), attributes={"ome": {"multiscales": []}})
    elif kind == "file":
        path.write_text("years of work")
    elif kind == "link to a store":
        LabelStore.create(tmp_path / "real.zarr", shape=SHAPE)
        path.symlink_to(tmp_path / "real.zarr")
    elif kind == "store with notes":
        LabelStore.create(path, shape=SHAPE)
        (path / "notes.txt").write_text("years of work")
    return path


@pytest.mark.parametrize("kind", ["folder", "zarr", "file", "link to a store", "store with notes"])
def test_nothing_else_is_ever_removed(tmp_path: Path, kind: str) -> None:
    path = precious(tmp_path, kind)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="is not overwritten, because"):
        LabelStore.create(path, shape=SHAPE, overwrite=True)
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["..", ".", "sub/..", "", "missing/out.zarr"])
def test_paths_that_name_no_result(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    (tmp_path / "sub" / "sub").mkdir()
    with pytest.raises(OutputError, match=r"is no name for a result|does not exist"):
        LabelStore.create(path, shape=SHAPE, overwrite=True)
    assert (tmp_path / "sub" / "sub").is_dir()


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out.zarr").mkdir()
    assert LabelStore.create(tmp_path / "out.zarr", shape=SHAPE).done == []


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(zarr, "create_group", refuse)  # root may write anywhere
    with pytest.raises(OutputError, match=r"out\.zarr cannot be written: Permission denied"):
        LabelStore.create(tmp_path / "out.zarr", shape=SHAPE)


# --- opening -------------------------------------------------------------------------------------


def test_open_refuses_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no label store"):
        LabelStore.open(tmp_path / "nowhere.zarr")
    with pytest.raises(InputError, match="no readable label store"):
        LabelStore.open(tmp_path)
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(InputError, match="not a label store of napari-sam-i2v"):
        LabelStore.open(tmp_path / "other.zarr")


def test_open_refuses_a_store_without_pixels(store: LabelStore) -> None:
    shutil.rmtree(store.path / "0")
    with pytest.raises(InputError, match="no readable label store"):
        LabelStore.open(store.path)


def test_read_only(store: LabelStore) -> None:
    store[0] = plane(0)
    again = LabelStore.open(store.path, mode="r")
    with pytest.raises(ValueError, match="read"):
        again[1] = plane(1)
    assert again.done == [0]
