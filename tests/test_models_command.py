"""`napari-sam-i2v models --download`: what it says, where the file goes, how it ends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest

from napari_sam_i2v import cli, downloads
from napari_sam_i2v.network.checkpoints import load_model
from tests import tiny
from tests.downloading import MODEL, PATH, Reply

pytestmark = pytest.mark.usefixtures("data_home")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def models(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: object) -> tuple[int, str, str]:
        code = cli.main(["models", *map(str, argv)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def row_of(table: str) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"{MODEL.name} "))


def test_a_model_is_downloaded_once_and_then_used_by_name(models, server, served, data_home):
    ask = ("--download", MODEL.name, "--from", server.url())
    assert "your file" in row_of(models()[1])
    code, out, _ = models(*ask)
    assert code == 0
    path = data_home / "test-i2v.safetensors"
    assert str(path) in out and hashlib.sha256(served).hexdigest() in out and MODEL.licence in out
    assert load_model(MODEL.name, device="cpu").config.name == tiny.VARIANT
    assert "there already" in models(*ask)[1]
    assert server.asked == [PATH]
    assert [
        line for line in models()[1].splitlines() if MODEL.name in line and "downloaded" in line
    ]


def test_quiet_into_a_folder(models, server, tmp_path):
    asked = ("--download", MODEL.name, "--from", server.url(), "--folder", tmp_path / "f")
    assert models(*asked, "--quiet") == (0, "", "")
    assert (tmp_path / "f" / "test-i2v.safetensors").is_file()


def test_a_failed_download_is_one_line_and_code_1(models, server, data_home):
    server.replies[PATH] = Reply(status=404)
    code, out, err = models("--download", MODEL.name, "--from", server.url())
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "404" in err and "use a local file: --model FILE" in err
    assert list(data_home.iterdir()) == []


def test_a_wrong_checksum_is_refused(models, server, data_home):
    asked = ("--download", MODEL.name, "--from", server.url(), "--sha256", "0" * 64)
    code, _, err = models(*asked)
    assert code == 1 and "wrong checksum" in err
    assert list(data_home.iterdir()) == []


def test_ctrl_c_keeps_nothing(models, server, data_home, monkeypatch):
    checked = []

    def interrupted(*_: object) -> None:
        checked.extend(path.suffix for path in data_home.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_check_weights", interrupted)
    code, _, err = models("--download", MODEL.name, "--from", server.url())
    assert (code, checked) == (130, [".part"])
    assert "nothing was kept" in err
    assert list(data_home.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ("--download", MODEL.name),
            "No address is known.*example.org.*--from URL.*segment --model FILE",
        ),
        (("--download", "sam-i2v-micro", "--from", "http://x/y"), "one of sam-i2v, sam-i2v"),
        (("--download", MODEL.name, "--from", "x.pt"), "begin with https"),
        (("--sha256", "0" * 64), "need --download NAME"),
    ],
)
def test_wrong_use(models, argv, said):
    code, out, err = models(*argv)
    assert (code, out) == (2, "")
    assert re.search(said, err)
