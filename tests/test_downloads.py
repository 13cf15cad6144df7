"""Downloads, from a server on this machine: what arrives is whole, verified and known by name."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from napari_sam_i2v import downloads
from napari_sam_i2v.downloads import Finished, Order, Progress, download, readable_size
from napari_sam_i2v.errors import CheckpointError, DownloadError, InputError
from napari_sam_i2v.network import installed
from napari_sam_i2v.network.checkpoints import load_model, weights_sha256
from napari_sam_i2v.network.installed import find_installed
from tests import tiny
from tests.downloading import MODEL, PATH, Reply, Server, serving

pytestmark = pytest.mark.usefixtures("data_home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def order(server: Server, folder: Path) -> Order:
    return Order(model=MODEL, url=server.url(), folder=folder)


def run(order: Order) -> tuple[list[Progress], Finished]:
    *before, last = download(order)
    assert isinstance(last, Finished)
    return [event for event in before if isinstance(event, Progress)], last


def refused(order: Order) -> str:
    """The error's one sentence; nothing may be left in the folder."""
    with pytest.raises(DownloadError) as raised:
        run(order)
    text = str(raised.value)
    assert "use a local file" in text
    assert "\n" not in text
    left = [path.name for path in order.folder.iterdir()] if order.folder.exists() else []
    assert left == []
    assert find_installed(MODEL.name, order.folder) is None
    return text


# -- what succeeds -------------------------------------------------------------------------------
def test_a_model_arrives_whole_with_progress_and_is_known_by_name(order, folder, served):
    events, done = run(order)
    fetched = [event.done for event in events if event.step == "fetching"]
    assert fetched[0] == 0 and fetched[-1] == len(served)
    assert fetched == sorted(fetched) and len(fetched) > 3
    assert {event.total for event in events} == {len(served)}
    assert events[-1].step == "checking"
    sha256 = hashlib.sha256(served).hexdigest()
    path = folder / "test-i2v.safetensors"
    assert done == Finished(path, len(served), sha256)
    assert path.read_bytes() == served
    assert sorted(p.name for p in folder.iterdir()) == ["test-i2v.safetensors", "test-i2v.sha256"]
    assert (folder / "test-i2v.sha256").read_text() == f"{sha256}  test-i2v.safetensors\n"
    for place in (folder, None):  # without the folder, by the note in the user's data
        assert load_model(MODEL.name, device="cpu", folder=place).config.name == tiny.VARIANT
        assert weights_sha256(MODEL.name, folder=place) == sha256


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not here")
def test_the_records_are_what_sha256sum_checks(order, folder, data_home):
    run(order)
    for place in (folder, data_home):
        command = ["sha256sum", "--check", "--strict", "test-i2v.sha256"]
        subprocess.run(command, cwd=place, check=True, capture_output=True)


def test_a_size_that_the_server_does_not_say(order, server, served):
    server.replies[PATH].length = None
    events, done = run(order)
    assert {event.total for event in events if event.step == "fetching"} == {None}
    assert done.size == len(served)


def test_known_size_and_checksum_are_satisfied(order, served):
    sha256 = hashlib.sha256(served).hexdigest()
    known = replace(MODEL, sha256=sha256, size=len(served))
    assert run(replace(order, model=known, sha256=sha256))[1].sha256 == sha256


def test_the_users_data_folder_has_one_record(server, data_home):
    run(Order(model=MODEL, url=server.url(), folder=data_home))
    assert (data_home / "test-i2v.sha256").read_text().endswith("  test-i2v.safetensors\n")
    assert find_installed(MODEL.name) == data_home / "test-i2v.safetensors"


def test_a_folder_may_be_spelled_in_more_ways_than_one(server, data_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spelled = data_home.relative_to(tmp_path)
    path = run(Order(model=MODEL, url=server.url(), folder=spelled))[1].path
    path.write_bytes(path.read_bytes() + b" ")
    for name in (MODEL.name, path, path.absolute()):
        with pytest.raises(CheckpointError, match="not what was downloaded"):
            load_model(name, device="cpu")


def test_an_address_without_an_ending_gives_a_pt_that_is_read_by_its_content(order, server):
    server.replies["/get?file=3"] = server.replies[PATH]
    done = run(replace(order, url=server.url("/get?file=3")))[1]
    assert done.path.name == "test-i2v.pt"
    assert load_model(done.path, device="cpu").config.name == tiny.VARIANT


# -- again ---------------------------------------------------------------------------------------
def test_what_is_there_is_not_fetched_again(order, server):
    first = run(order)[1]
    events, second = run(order)
    assert (events, second) == ([], replace(first, fetched=False))
    assert server.asked == [PATH]


def test_what_was_damaged_is_refused_by_name_and_by_path_and_fetched_again(order, server, served):
    path = run(order)[1].path
    damaged = bytearray(served)
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    for name in (MODEL.name, path):
        with pytest.raises(CheckpointError, match=r"not what was downloaded.*use a local file"):
            load_model(name, device="cpu", folder=order.folder)
    assert run(order)[1].fetched
    assert path.read_bytes() == served
    assert server.asked == [PATH, PATH]
    load_model(path, device="cpu")


def test_another_checksum_than_that_of_the_installed_file_is_not_already_there(order, served):
    path = run(order)[1].path
    with pytest.raises(DownloadError, match="wrong checksum"):
        run(replace(order, sha256="0" * 64))
    assert path.read_bytes() == served  # what was there stays
    load_model(MODEL.name, device="cpu", folder=order.folder)


def test_a_file_of_the_users_is_not_replaced(order, server, folder):
    folder.mkdir()
    (folder / "test-i2v.safetensors").write_text("mine")
    with pytest.raises(DownloadError, match=r"not downloaded by.*use a local file"):
        run(order)
    assert (folder / "test-i2v.safetensors").read_text() == "mine"
    assert server.asked == []


def test_a_name_that_is_not_installed_says_how_to_get_it(folder):
    with pytest.raises(
        CheckpointError, match=r"models --download test-i2v --from URL.*example.org.*MIT"
    ):
        load_model(MODEL.name, folder=folder)


# -- what is refused -----------------------------------------------------------------------------
def test_a_wrong_checksum(order, served):
    sha256 = hashlib.sha256(served).hexdigest()
    wrong = "0" * 64
    assert re.search(f"must be {wrong} and is {sha256}", refused(replace(order, sha256=wrong)))
    assert "wrong checksum" in refused(replace(order, model=replace(MODEL, sha256=wrong)))


@pytest.mark.parametrize("said", [True, False])
def test_a_wrong_size(order, server, served, said):
    server.replies[PATH].length = -1 if said else None
    wanted = replace(MODEL, size=len(served) + 1)
    assert f"must have {len(served) + 1}" in refused(replace(order, model=wanted))


def test_a_body_that_ends_early(order, server, served):
    server.replies[PATH].length = len(served) + 10
    assert "broke off" in refused(order)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(b"", 404), "There is no file at .*404.*example.org"),
        (Reply(b"", 403), "403.*login"),
        (Reply(b"", 500), "500.*try again later"),
        (Reply(b"", 407), "proxy .*HTTP_PROXY"),
        (Reply(b"", 206), "206 "),
        (Reply(b"<html>", kind="text/html; charset=utf-8"), "web page.*download link"),
        (Reply(b""), "is empty"),
        (Reply(b"no weights at all"), "not the weights of TEST-I2V"),
    ],
)
def test_an_answer_that_is_not_the_file(order, server, reply, said):
    server.replies[PATH] = reply
    assert re.search(said, refused(order))


def test_weights_of_another_network_are_not_installed(order):
    text = refused(replace(order, model=replace(MODEL, variant="sam-i2v")))
    assert "does not fit sam-i2v" in text
    assert ".part" not in text


def test_nobody_at_the_address(order):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # taken, but nobody listens
        url = f"http://127.0.0.1:{free.getsockname()[1]}{PATH}"
        assert "cannot be reached" in refused(replace(order, url=url))


def test_a_server_that_falls_silent(order, server, monkeypatch):
    monkeypatch.setattr(downloads, "READ_S", 0.05)
    server.replies[PATH].hold_after = 1000
    assert "broke off" in refused(order)


def test_no_secret_of_the_address_is_said(order, server):
    server.replies[PATH] = Reply(status=404)
    url = server.url().replace("http://", "http://me:secret@") + "?token=secret"
    assert "secret" not in refused(replace(order, url=url))


def test_a_full_disk_is_said_before_or_in_the_middle(order, monkeypatch, served):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert re.search("no room for .*1 kB free", refused(order))
    monkeypatch.undo()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads.os, "fsync", full)
    assert f"no room for {readable_size(len(served))}" in refused(order)


def test_a_folder_that_cannot_be_made(order, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"cannot be written.*use a local file"):
        run(replace(order, folder=tmp_path / "file" / "checkpoints"))


@pytest.mark.parametrize(
    "url", ["", "weights.pt", "ftp://example.org/a.pt", "http:///a", "http://["]
)
def test_what_is_no_address(url, folder):
    with pytest.raises(InputError, match=r"begin with https://.*use a local file"):
        Order(model=MODEL, url=url, folder=folder)


def test_what_is_no_checksum(order):
    with pytest.raises(InputError, match="64 digits"):
        replace(order, sha256="12ab")


# -- cancelling ----------------------------------------------------------------------------------
def test_cancelled_in_the_middle_nothing_is_left(order, server, folder):
    server.replies[PATH].hold_after = 100_000
    with closing(download(order)) as steps:
        while next(steps).done == 0:
            pass
        (part,) = folder.iterdir()
        assert part.name.endswith(".part")
    assert list(folder.iterdir()) == []
    assert find_installed(MODEL.name, folder) is None


def test_parts_of_killed_programs_are_removed_those_at_work_are_not(order, folder):
    folder.mkdir()
    old, young, other = (
        folder / f"{name}.part" for name in ("test-i2v.pt.01234567", "test-i2v.pt.89abcdef", "x.y")
    )
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (time.time() - 7200,) * 2)
    run(order)
    assert not old.exists()
    assert young.exists() and other.exists()


# -- proxies -------------------------------------------------------------------------------------
def test_the_proxy_is_asked_unless_told_not_to(order, server, monkeypatch, served):
    with serving() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        done = run(order)[1]
        assert proxy.asked == [order.url]
        assert done.path.read_bytes() == served
        done.path.unlink()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        run(order)
        assert proxy.asked == [order.url]
        assert server.asked == [PATH, PATH]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named(order, monkeypatch, scheme):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{free.getsockname()[1]}")
        url = f"{scheme}://example.invalid/a.pt"
        assert "The proxy on the way to example.invalid" in refused(replace(order, url=url))


# -- the rest ------------------------------------------------------------------------------------
def test_importing_it_costs_neither_torch_nor_qt():
    probe = (
        "import sys, napari_sam_i2v.downloads;"
        "print({'torch', 'qtpy', 'napari', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_data_folder_that_cannot_be_written_is_no_hindrance(order, data_home, folder):
    data_home.parent.mkdir()
    data_home.touch()
    run(order)
    assert find_installed(MODEL.name) is None
    assert find_installed(MODEL.name, folder) is not None


@pytest.mark.parametrize("text", ["", "abc", "0" * 64, f"{'0' * 64}  gone.pt", "\udcff"])
def test_a_record_that_says_nothing(folder, text):
    folder.mkdir()
    note = folder / f"{MODEL.name}{installed.RECORD}"
    note.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert find_installed(MODEL.name, folder) is None
