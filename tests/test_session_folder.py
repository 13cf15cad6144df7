"""A session's folder: what comes back after closing, after a crash, and what is refused."""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_sam_i2v.errors import InputError, OutputError, PromptError
from napari_sam_i2v.prompt_files import read_prompts
from napari_sam_i2v.propagation.prompts import Prompt, PromptBook
from napari_sam_i2v.session_folder import (
    AnswerRecord,
    FolderInUseError,
    SessionFolder,
    fingerprint,
    folder_beside,
    folder_for,
    free_folder,
    lock,
    places,
)
from napari_sam_i2v.session_folder.lock import FolderLock

SHAPE = (4, 12, 10)
MOVIE = {"name": "cells", "shape": SHAPE, "dtype": "uint16", "fixed": {"z": 3}}


def created(path: Path, **movie: object) -> SessionFolder:
    return SessionFolder.create(
        path,
        shape=SHAPE,
        scale=(2.0, 0.5, 0.5),
        units=("second", "micrometer", "micrometer"),
        movie={**MOVIE, **movie},
    )


def record(frame: int, object_id: int = 1, *, reverse: bool = False, area: int = 5) -> AnswerRecord:
    return AnswerRecord(frame, object_id, reverse, 0.9 + 1e-9 * frame, 0.8, area)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cells.sam-i2v"


# --- making and opening --------------------------------------------------------------------------


def test_all_comes_back(path: Path) -> None:
    plane = np.zeros(SHAPE[1:], np.uint16)
    plane[2:4, 3:6] = 7
    with created(path) as folder:
        assert folder.state() == {} and folder.prompts() == () and folder.answers() == []
        folder.save_prompts([Prompt(7, 2, points=np.array([[2.0, 3.5]]))])
        folder.save_state({"view": "follow", "names": {7: "µ-cell"}, "limits": (1, 2)})
        folder.labels[2] = plane
        folder.note([record(2, 7, area=6)])
    with SessionFolder.open(path) as again:
        assert [p.object_id for p in again.prompts()] == [7]
        assert again.state() == {"view": "follow", "names": {"7": "µ-cell"}, "limits": [1, 2]}
        assert again.answers() == [record(2, 7, area=6)]
        assert again.labels.done == [2]
        np.testing.assert_array_equal(again.labels[2], plane)
        assert again.labels.scale == (2.0, 0.5, 0.5)
        assert again.labels.units == ("second", "micrometer", "micrometer")
        assert again.movie == {**MOVIE, "shape": list(SHAPE)}
    assert not (path / "lock.json").exists()
    assert not [one for one in path.parent.iterdir() if one != path]


def test_state_is_a_copy(path: Path) -> None:
    with created(path) as folder:
        state = {"locks": [1]}
        folder.save_state(state)
        state["locks"].append(2)
        folder.state()["locks"].append(3)
        assert folder.state() == {"locks": [1]}


def test_nothing_is_replaced(path: Path) -> None:
    created(path).close()
    with pytest.raises(OutputError, match="exists: open it, or choose another"):
        created(path)
    other = path.parent / "mine"
    other.mkdir()
    created(other).close()  # an empty folder, as a dialog makes it
    (path.parent / "file").touch()
    with pytest.raises(OutputError, match="exists"):
        created(path.parent / "file")


def test_folders_above_are_made_and_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    created(tmp_path / "a" / "b.sam-i2v").close()
    with pytest.raises(InputError, match="shape"):
        SessionFolder.create(
            tmp_path / "c", shape=(0, 2, 2), scale=(1, 1, 1), units=("s", "m", "m"), movie={}
        )
    with pytest.raises(InputError, match="movie must be JSON"):
        created(tmp_path / "c", dtype=np.dtype("u1"))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be made"):
        created(tmp_path / "file" / "c")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "file"]


def test_what_cannot_be_opened(path: Path) -> None:
    with pytest.raises(InputError, match="there is no session folder"):
        SessionFolder.open(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"has no session\.json"):
        SessionFolder.open(path)
    path.rmdir()
    created(path).close()
    session = path / "session.json"
    content = json.loads(session.read_text())
    for text, message in (
        (json.dumps(content | {"version": 2}), "another version .* format 2, this one reads 1"),
        (json.dumps(content | {"kind": "x"}), "not written by napari-sam-i2v"),
        (json.dumps(content | {"state": 3}), "is damaged"),
        ("{", "cannot be read"),
        ("", "cannot be read"),
    ):
        session.write_text(text)
        with pytest.raises(InputError, match=message):
            SessionFolder.open(path)
    session.write_text(json.dumps(content))
    (path / "labels.zarr").rename(path / "elsewhere")
    with pytest.raises(InputError, match=r"no label store .*labels\.zarr"):
        SessionFolder.open(path)
    assert not (path / "lock.json").exists()  # a refusal leaves no lock


def test_a_closed_folder_is_not_written_to(path: Path) -> None:
    folder = created(path)
    folder.close()
    folder.close()
    assert folder.closed
    for write in (
        lambda: folder.save_state({}),
        lambda: folder.save_prompts([]),
        lambda: folder.note([record(0)]),
        lambda: folder.forget(1),
    ):
        with pytest.raises(OutputError, match="was closed"):
            write()


def test_a_failed_write_keeps_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with created(path) as folder:
        folder.save_state({"a": 1})
        with pytest.raises(InputError, match="state must be JSON"):
            folder.save_state({"a": {1}})
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match=r"session\.json cannot be written: No space"):
                folder.save_state({"a": 2})
        assert folder.state() == {"a": 1}
        assert not list(path.glob(".*.part"))
    with SessionFolder.open(path) as again:
        assert again.state() == {"a": 1}


# --- the movie -----------------------------------------------------------------------------------


def test_fits(path: Path) -> None:
    frame = np.arange(120).reshape(12, 10)
    with created(path, fingerprint=fingerprint(frame)) as folder:
        assert folder.fits(MOVIE) is None  # tuples, and nothing is said of the pixels
        assert folder.fits({**MOVIE, "name": "renamed", "dtype": "float32"}) is None
        shape, fixed, pixels = (
            folder.fits({**MOVIE, **other})
            for other in (
                {"shape": (5, 12, 10)},
                {"fixed": {"z": 4}},
                {"fingerprint": fingerprint(frame + 1)},
            )
        )
    assert shape is not None and "(4, 12, 10), not (5, 12, 10)" in shape
    assert fixed is not None and "z = 3, not z = 4" in fixed
    assert pixels is not None and "pixels are different" in pixels


def test_fingerprint_tells_shape_and_type() -> None:
    frame = np.zeros((4, 6), np.uint8)
    others = [frame.reshape(6, 4), frame.view(np.int8), frame + 1]
    assert fingerprint(frame) == fingerprint(frame.copy(order="F"))
    assert len({fingerprint(one) for one in (frame, *others)}) == 4


# --- prompts -------------------------------------------------------------------------------------


def rounds() -> list[Prompt]:
    """Objects and frames out of order; clicks, a mask, clicks, a box with a click on one frame."""
    mask = np.zeros(SHAPE[1:], bool)
    mask[1:3, 2:5] = True
    return [
        Prompt(9, 3, points=np.array([[1.0, 2.0]])),
        Prompt(2, 1, points=np.array([[1.0, 2.0]]), correction=True),
        Prompt(
            2, 1, points=np.array([[3.5, 4.0], [5, 6]]), labels=np.array([0, 1]), correction=True
        ),
        Prompt(2, 1, mask=mask, correction=True),
        Prompt(2, 1, points=np.array([[7.0, 8.0]]), labels=np.array([0]), correction=True),
        Prompt(2, 1, mask=~mask, correction=True),
        Prompt(2, 1, box=(1, 1, 5, 5), points=np.array([[2.0, 2.0]]), correction=True),
        Prompt(2, 0, mask=np.zeros(SHAPE[1:], bool)),
    ]


def plain(prompts: object) -> list[tuple]:
    return [
        (
            p.object_id,
            p.frame,
            *(None if a is None else a.tolist() for a in (p.points, p.labels, p.mask)),
            p.box,
            p.correction,
        )
        for p in prompts
    ]


def test_rounds_of_prompts_come_back_in_order(path: Path) -> None:
    book = PromptBook(rounds())
    with created(path) as folder:
        folder.save_prompts(book)
        folder.save_prompts(book)  # masks come from the cache now
        assert plain(folder.prompts()) == plain(book)
        again = PromptBook(folder.prompts())
    assert again.object_ids == (9, 2)
    assert again.frames(2) == (1, 0)
    assert plain(again.rounds(2, 1)) == plain(rounds()[6:7])
    headless = read_prompts(path / "prompts.json", movie_shape=SHAPE)  # as the command line does
    assert plain(PromptBook(headless).rounds(2, 1)) == plain(rounds()[6:7])
    assert [(p.frame, p.object_id) for p in headless] == [(0, 2), *[(1, 2)] * 6, (3, 9)]


def test_prompts_taken_back(path: Path) -> None:
    with created(path) as folder:
        folder.save_prompts(rounds())
        folder.save_prompts([])
        assert folder.prompts() == ()
        (path / "prompts.json").write_text('{"prompts": [{"object_id": 1, "frame": 99}]}')
        with pytest.raises(PromptError, match="points, a box or a mask"):
            folder.prompts()


# --- answers -------------------------------------------------------------------------------------


def test_the_last_answer_counts(path: Path) -> None:
    with created(path) as folder:
        folder.note([record(0, 1), record(0, 2)])
        folder.note([record(1, 1), record(0, 1, reverse=True)])
        folder.note([record(0, 1, area=9)])
        expected = [record(0, 2), record(1, 1), record(0, 1, reverse=True), record(0, 1, area=9)]
        assert folder.answers() == expected
    with SessionFolder.open(path) as again:
        assert again.answers() == expected


def test_numpy_numbers_and_nan(path: Path) -> None:
    odd = AnswerRecord(
        np.int64(1), np.uint16(2), np.bool_(True), np.float32(0.5), math.nan, np.int64(3), True
    )
    with created(path) as folder:
        folder.note([odd])
        (back,) = folder.answers()
    assert (back.frame, back.object_id, back.reverse, back.score) == (1, 2, True, 0.5)
    assert math.isnan(back.iou) and back.area == 3 and back.prompted is True
    assert "NaN" not in (path / "answers.jsonl").read_text()


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({}, []),
        ({"reverse": True}, [(0, False), (1, False), (2, False), (3, False)]),
        ({"frames": [3, 1]}, [(0, False), (0, True), (2, False), (2, True)]),
        ({"frames": range(1, 4), "reverse": False}, [(0, False), *[(t, True) for t in range(4)]]),
        ({"frames": []}, [(t, r) for t in range(4) for r in (False, True)]),
    ],
)
def test_forgetting(path: Path, what: dict, left: list) -> None:
    with created(path) as folder:
        folder.note([record(t, reverse=r) for t in range(4) for r in (False, True)])
        folder.note([record(0, 2)])
        folder.forget(1, **what)
        answers = folder.answers()
        assert record(0, 2) in answers
        assert sorted((a.frame, a.reverse) for a in answers if a.object_id == 1) == left
        folder.note([record(3)])
        assert record(3) in folder.answers()  # what is noted afterwards counts


def test_the_file_is_written_anew_when_most_of_it_does_not_count(path: Path) -> None:
    with created(path) as folder:
        file = path / "answers.jsonl"
        for turn in range(2):
            folder.note([record(t, area=turn) for t in range(4)])
        assert len(folder.answers()) == 4
        assert len(file.read_text().splitlines()) == 8  # just twice as much as counts
        folder.note([record(0, area=2)])
        before = folder.answers()
        assert len(file.read_text().splitlines()) == 4
        folder.note([record(1, area=3)])  # goes on in the new file
        assert folder.answers() == [*[a for a in before if a.frame != 1], record(1, area=3)]
        folder.forget(1)
        assert folder.answers() == []
        assert file.read_bytes() == b""


def test_a_line_cut_off_by_a_crash(path: Path) -> None:
    file = path / "answers.jsonl"
    with created(path) as folder:
        folder.note([record(0), record(1)])
    file.write_bytes(file.read_bytes()[:-9])
    with SessionFolder.open(path) as folder:
        assert folder.answers() == [record(0)]
        folder.note([record(2)])  # does not stick to the rest of the line
        assert folder.answers() == [record(0), record(2)]
    file.write_bytes(b"\0\0\0\n[]\n{}\n" + file.read_bytes())
    with SessionFolder.open(path) as folder:
        assert folder.answers() == [record(0), record(2)]


def test_noting_is_cheap(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the processor's time: how long the disk takes is not ours, but nobody waits for it."""
    with created(path) as folder:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        seconds = []
        for t in range(200):
            start = time.thread_time()
            folder.note([record(t, i) for i in range(5)])
            seconds.append(time.thread_time() - start)
    assert np.median(seconds) < 1e-3
    assert not synced


# --- the lock ------------------------------------------------------------------------------------

HOLD = """
import sys
from napari_sam_i2v.session_folder.lock import FolderLock
from pathlib import Path
lock = FolderLock.take(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path / "lock.json")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str], *, kill: bool) -> None:
    if kill:
        process.kill()
    process.communicate(timeout=120)


def test_one_process_at_a_time(path: Path) -> None:
    created(path).close()
    process = holder(path)
    try:
        here = f"process {process.pid} on {platform.node()}.*remove .*lock.json"
        with pytest.raises(FolderInUseError, match=here):
            SessionFolder.open(path)
        assert isinstance(FolderInUseError("x"), InputError)
    finally:
        end(process, kill=False)
    assert not (path / "lock.json").exists()  # let go when the process ended
    SessionFolder.open(path).close()


def test_a_killed_process_leaves_a_lock_that_is_taken_over(path: Path) -> None:
    created(path).close()
    end(holder(path), kill=True)
    assert (path / "lock.json").exists()
    SessionFolder.open(path).close()
    assert not (path / "lock.json").exists()


def test_two_windows_of_one_napari(path: Path) -> None:
    folder = created(path)
    with pytest.raises(FolderInUseError, match="open already in this napari"):
        SessionFolder.open(path)
    del folder
    gc.collect()  # forgotten without closing
    SessionFolder.open(path).close()


def leave(file: Path, **facts: object) -> None:
    """A lock file of this process's number in an earlier life, or as told."""
    me = {"pid": os.getpid(), "program": "python", "host": platform.node(), "token": "x"}
    file.write_text(json.dumps(me | facts))


def test_locks_of_others(path: Path) -> None:
    created(path).close()
    file = path / "lock.json"

    def left(**facts: object) -> None:
        leave(file, **facts)

    left()  # our own number, in an earlier life
    SessionFolder.open(path).close()
    left(pid=os.getppid(), program="some other program")  # the number was given anew
    SessionFolder.open(path).close()
    file.touch()  # killed between making and writing it
    SessionFolder.open(path).close()
    left(host="elsewhere", since="2024-05-06 07:08:09")
    with pytest.raises(FolderInUseError, match="on elsewhere, since 2024-05-06"):
        SessionFolder.open(path)
    with SessionFolder.open(path, force=True):
        left(host="elsewhere")  # and the other one forced it back
    assert file.exists()  # which is not ours to remove


def test_a_lock_is_taken_over_by_one_of_those_who_find_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.mkdir()
    file = path / "lock.json"
    leave(file)
    first: list[FolderLock] = []
    judged, made = lock._is_alive, lock._make

    def late(holder: dict) -> bool:
        """Another one is quicker by the time that this one has seen that the holder is gone."""
        alive = judged(holder)
        monkeypatch.setattr(lock, "_is_alive", judged)
        first.append(FolderLock.take(file))
        return alive

    monkeypatch.setattr(lock, "_is_alive", late)
    with pytest.raises(FolderInUseError):
        FolderLock.take(file)
    assert json.loads(file.read_text())["token"] in lock._HELD
    first.pop().release()
    assert list(path.iterdir()) == []

    def slow(file: Path, token: str) -> bool:
        """This one makes the file, and is held up so long that another one takes it for dead."""
        monkeypatch.setattr(lock, "_make", made)
        write = os.write

        def interrupted(number: int, data: bytes) -> int:
            monkeypatch.setattr(os, "write", write)
            first.append(FolderLock.take(file))
            return write(number, data)

        monkeypatch.setattr(os, "write", interrupted)
        return made(file, token)

    monkeypatch.setattr(lock, "UNWRITTEN_S", 0.01)
    monkeypatch.setattr(lock, "_make", slow)
    with pytest.raises(FolderInUseError):
        FolderLock.take(file)
    first.pop().release()
    assert list(path.iterdir()) == []


def test_who_was_killed_while_taking_a_lock_over_is_not_in_the_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.mkdir()
    file = path / "lock.json"
    leave(file)
    with monkeypatch.context() as killed:  # nothing is removed any more
        killed.setattr(Path, "unlink", lambda *_, **__: None)
        lock._remove(file, json.loads(file.read_text()))
    assert len(list(path.iterdir())) == 2, "the lock, and a claim to it"
    monkeypatch.setattr(lock, "CLAIMED_S", 0.05)
    FolderLock.take(file).release()
    assert list(path.iterdir()) == []


# --- crashes -------------------------------------------------------------------------------------

ENDLESS = """
import sys
from itertools import count
import numpy as np
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.session_folder import AnswerRecord, SessionFolder

folder = SessionFolder.create(
    sys.argv[1], shape=(5, 256, 256), scale=(1, 1, 1), units=("frame", "pixel", "pixel"), movie={}
)
prompts = []
for step in count(1):
    if step % 7 == 0:
        prompts = [*prompts[-20:], Prompt(1, step % 5, points=np.array([[1.0, step % 200]]))]
        folder.save_prompts(prompts)
        folder.save_state({"step": step})
    if step % 50 == 0:
        folder.forget(1, frames=[step % 5])
        folder.answers()
    noise = np.random.default_rng(step).integers(0, 1000, (256, 256))
    folder.labels[step % 5] = noise
    areas = {i: int((noise == i).sum()) for i in (1, 2)}
    folder.note([AnswerRecord(step % 5, i, False, step, 1.0, area) for i, area in areas.items()])
    print(step, flush=True)
"""


def test_sigkill_loses_at_most_the_frame_in_work(path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 120:
            break
    time.sleep(0.0137)  # anywhere within a step
    process.kill()
    rest = process.communicate(timeout=120)[0].split()
    process.wait()
    steps = [120, *map(int, rest[:-1])]  # the last line may be cut off

    with SessionFolder.open(path) as folder:
        answers = folder.answers()
        last = int(max(a.score for a in answers))
        assert last >= steps[-1]  # what was reported is there
        noted = {int(a.score) for a in answers}
        assert noted <= set(range(last - 4, last + 1)) and len(noted) >= 4
        for answer in answers:
            found, step = folder.labels[answer.frame], int(answer.score)
            in_work = answer.frame == (last + 1) % 5 and np.array_equal(found, planes(last + 1))
            if not in_work:
                np.testing.assert_array_equal(found, planes(step))
                assert int((found == answer.object_id).sum()) == answer.area
        assert folder.labels.done == [0, 1, 2, 3, 4]
        assert folder.state()["step"] in (last // 7 * 7, (last + 1) // 7 * 7)
        assert len(folder.prompts()) >= 120 // 7


def planes(step: int) -> np.ndarray:
    return np.random.default_rng(step).integers(0, 1000, (256, 256))


# --- where it lies -------------------------------------------------------------------------------


@pytest.fixture
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    return tmp_path / "data" / "sessions"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cells.tif", "cells"),
        ("cells.OME.TIF", "cells"),
        ("cells.v2.ome.tiff", "cells.v2"),
        ("mri.nii.gz", "mri"),
        ("cells.t01.mp4", "cells.t01"),
        ("cells", "cells"),
        ("exp.2024.05/", "exp.2024.05"),
        ("cells.zarr/", "cells"),
        ("cells.ome.zarr/", "cells"),
        ("plate.zarr/A/1/0/", "plate-A-1-0"),
        ("plate.zarr/inner.zarr/", "plate-inner.zarr"),
    ],
)
def test_beside_the_movie(tmp_path: Path, user_data: Path, name: str, expected: str) -> None:
    movie = tmp_path / name
    movie.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("/"):
        movie.mkdir()
    else:
        movie.touch()
    assert folder_beside(str(movie), "layer") == tmp_path / f"{expected}.sam-i2v"
    assert not user_data.exists()  # asking makes nothing


def test_a_zarr_is_known_by_its_files(tmp_path: Path, user_data: Path) -> None:
    (tmp_path / "movie" / "0").mkdir(parents=True)
    (tmp_path / "movie" / ".zgroup").touch()
    assert folder_beside(tmp_path / "movie" / "0", "x") == tmp_path / "movie-0.sam-i2v"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Image [1]", "Image [1]"), ("a/b\\c:d?\n", "a_b_c_d__"), ("..", "movie"), ("", "movie")],
)
def test_a_movie_without_a_file(user_data: Path, name: str, expected: str) -> None:
    for source in (None, "https://host/x.zarr", "/nowhere/at/all.tif"):
        assert folder_beside(source, name) == user_data / f"{expected}.sam-i2v"


def test_a_movie_on_a_read_only_drive(
    tmp_path: Path, user_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cells.tif").touch()
    tried = []
    monkeypatch.setattr(places, "_can_write", lambda folder: tried.append(folder))
    assert folder_beside(tmp_path / "cells.tif", "layer") == user_data / "cells.sam-i2v"
    (tmp_path / "cells.sam-i2v").mkdir()  # somebody's session that only they may write
    assert folder_beside(tmp_path / "cells.tif", "layer") == user_data / "cells.sam-i2v"
    assert tried == [tmp_path, tmp_path / "cells.sam-i2v"]


def test_can_write(tmp_path: Path) -> None:
    assert places._can_write(tmp_path)
    assert not places._can_write(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_free_folder(tmp_path: Path) -> None:
    assert free_folder(tmp_path / "a.sam-i2v") == tmp_path / "a.sam-i2v"
    (tmp_path / "a.sam-i2v").mkdir()
    (tmp_path / "a 2.sam-i2v").mkdir()
    assert free_folder(tmp_path / "a.sam-i2v") == tmp_path / "a 3.sam-i2v"
    (tmp_path / "exp.05").mkdir()
    assert free_folder(tmp_path / "exp.05") == tmp_path / "exp.05 2"


def test_every_movie_finds_its_own(path: Path) -> None:
    second = path.with_name("cells 2.sam-i2v")
    other = {**MOVIE, "shape": (9, 9, 9)}
    assert folder_for(path, MOVIE) == path
    created(path).close()
    assert folder_for(path, MOVIE) == path
    assert folder_for(path, other) == second
    second.mkdir()
    (second / "notes.txt").touch()  # not ours
    third = path.with_name("cells 3.sam-i2v")
    assert folder_for(path, other) == third
    created(third, shape=(9, 9, 9)).close()
    assert folder_for(path, other) == third
    (path / "session.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        folder_for(path, other)


def test_neither_torch_nor_qt_nor_napari() -> None:
    code = (
        "import sys, napari_sam_i2v.session_folder\n"
        "print({'torch', 'qtpy', 'napari', 'zarr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
