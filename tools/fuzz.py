"""Damages files in thousands of ways, opens each, and says what did not end as it should.

    python tools/fuzz.py --variants 2000 --seed 0

A variant must open, with frames that can be read, or end in an error of ours: within seconds,
without ending the process, in no more memory than twice what the whole file takes (and a constant),
and without opening a file outside its own folder. Variants are opened in a worker process: that it
crashes or hangs is found, and it is replaced. A variant is known by its number and the seed: give
--only N to look at one.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared" / "data" / "formats"
SECONDS = 20.0
"""A variant may take so long, on a busy machine."""
CONSTANT = 96 * 2**20
"""Bytes beyond twice the honest size: what libraries load when they first meet a format."""
LARGEST = 700_000
"""Larger samples are left out: every variant is a copy."""
VALUES = ("-1", "0", "99999999999", "1e999", "NaN", "null", "{}", "[]", '""', "true", "2.5")


# --- samples --------------------------------------------------------------------------------------


def write_samples(folder: Path) -> dict[str, tuple[str, Path]]:
    """Write and collect whole samples: name -> (what opens it, where)."""
    sys.path.insert(0, str(ROOT))
    folder.mkdir(parents=True)
    made: dict[str, tuple[str, Path]] = {}
    for write in (_tiffs, _zarrs, _medical, _prompts, _session, _weights):
        for kind, path in write(folder):
            made[path.name] = (kind, path)
    for path in _published():
        made[path.name] = ("movie", path)
    return made


def _pixels() -> Any:
    import numpy as np

    return np.random.default_rng(5).integers(0, 4000, (5, 24, 32)).astype(np.uint16)


def _tiffs(folder: Path) -> Iterator[tuple[str, Path]]:
    import tifffile

    kinds: dict[str, dict[str, Any]] = {
        "imagej.tif": {"imagej": True, "metadata": {"axes": "TYX"}},
        "ome.ome.tif": {"ome": True, "metadata": {"axes": "TYX"}},
        "big.tif": {"bigtiff": True, "metadata": {"axes": "TYX"}},
        "deflate.tif": {"compression": "zlib", "metadata": {"axes": "TYX"}, "predictor": True},
        "lzw.tif": {"compression": "lzw"},
        "tiled.tif": {"tile": (16, 16), "compression": "zstd"},
        "jpeg2000.tif": {"compression": "jpeg2000"},
    }
    for name, options in kinds.items():
        tifffile.imwrite(folder / name, _pixels(), **options)
        yield "movie", folder / name


def _zarrs(folder: Path) -> Iterator[tuple[str, Path]]:
    from napari_sam_i2v.movies import LabelStore

    for zarr_format in (2, 3):
        path = folder / f"v{zarr_format}.zarr"
        store = LabelStore.create(path, shape=(5, 24, 32), zarr_format=zarr_format)
        for t, plane in enumerate(_pixels()):
            store[t] = plane
        store.colour([1, 2])
        yield "movie", path
        yield "store", Path(shutil.copytree(path, folder / f"store{zarr_format}.zarr"))


def _medical(folder: Path) -> Iterator[tuple[str, Path]]:
    import nibabel
    import numpy as np
    from tests.movies.patients import write_cine, write_file

    yield "movie", write_file(folder / "frames.dcm", _pixels(), modality="XA")
    yield "movie", write_cine(folder / "cine", _pixels())
    for name in ("movie.nii", "movie.nii.gz"):
        image = nibabel.Nifti1Image(_pixels().T[:, :, None].astype(np.int16), np.eye(4))
        nibabel.save(image, folder / name)
        yield "movie", folder / name


def _prompts(folder: Path) -> Iterator[tuple[str, Path]]:
    (folder / "clicks.csv").write_text(
        "object_id,frame,y,x,label\n1,0,12,14,1\n2,1,13.5,30,1\n1,0,2,2,0\n"
    )
    (folder / "points.csv").write_text("index,axis-0,axis-1,axis-2,label\n0,0,3,4,1\n1,2,5,6,0\n")
    entries = [
        {"object_id": 1, "frame": 0, "points": [[3, 4], [5, 6]], "labels": [1, 0]},
        {"object_id": 2, "frame": 3, "box": [2, 3, 10, 12], "round": 2, "correction": True},
        {"object_id": 3, "frame": 1, "mask": {"shape": [24, 32], "runs": [100, 20, 648]}},
    ]
    (folder / "prompts.json").write_text(json.dumps({"prompts": entries}, indent=1))
    for name in ("clicks.csv", "points.csv", "prompts.json"):
        yield "prompts", folder / name


def _session(folder: Path) -> Iterator[tuple[str, Path]]:
    import torch

    from napari_sam_i2v.prompt_files import read_prompts
    from napari_sam_i2v.session_folder import AnswerRecord, SessionFolder
    from napari_sam_i2v.snapshots import Snapshots

    path = folder / "movie.sam-i2v"
    units = ("frame", "pixel", "pixel")
    movie = {"shape": [5, 24, 32], "name": "movie", "fingerprint": "0" * 32}
    with SessionFolder.create(
        path, shape=(5, 24, 32), scale=(1, 1, 1), units=units, movie=movie
    ) as session:
        session.save_prompts(read_prompts(folder / "prompts.json"))
        session.save_state({"settings": {"model": "default"}, "pending": {"forward": {"1": 3}}})
        for t, plane in enumerate(_pixels()):
            session.labels[t] = plane
            session.note([AnswerRecord(t, 1, False, 0.9, 0.8, 40)])
    yield "session", path
    memory = Snapshots(folder / "memory")
    for number in range(3):
        tensor = torch.full((4, 8, 8), float(number))
        memory.save(lambda name, t=tensor: {"tensor": name(t, lasting=False)})
    yield "snapshots", folder / "memory"


def _weights(folder: Path) -> Iterator[tuple[str, Path]]:
    import torch
    from safetensors.torch import save_file

    tensors = {f"layer.{i}.weight": torch.rand(8, 8) for i in range(6)}
    save_file(tensors, folder / "weights.safetensors", metadata={"variant": "sam-i2v-micro"})
    torch.save({"model": tensors}, folder / "weights.pt")
    yield "weights", folder / "weights.safetensors"
    yield "weights", folder / "weights.pt"


def _published() -> Iterator[Path]:
    """Third-party samples, where they are; one that needs a choice to be made counts as refused."""
    if not SAMPLES.is_dir():
        return
    found = [SAMPLES / "xyt_8bit_polyp.tif", SAMPLES / "cluster.nd2"]
    found += [*(SAMPLES / "dicom").glob("*.dcm"), *(SAMPLES / "ome_zarr_examples").glob("*.zarr")]
    found += [*(SAMPLES / "derived").glob("*.gz"), *(SAMPLES / "derived").glob("*.dcm")]
    yield from (path for path in sorted(found) if path.exists() and size_of(path) < LARGEST)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


# --- damage ---------------------------------------------------------------------------------------


def damaged(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Damage bytes in one of many ways; say in which."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [_cut, _flip, _splice, _overwrite]
    if _is_text(data):
        ways += [_value, _value, _outward]
    way = draw.choice(ways)
    return way(data, draw), way.__name__.lstrip("_")


def _at(data: bytes, draw: random.Random) -> int:
    """A place; as often near the beginning, where headers are, as anywhere."""
    return draw.randrange(min(len(data), 1024) if draw.random() < 0.5 else max(1, len(data)))


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)] if data else data


def _flip(data: bytes, draw: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))) if data else ():
        out[_at(data, draw)] ^= 1 << draw.randrange(8)
    return bytes(out)


def _splice(data: bytes, draw: random.Random) -> bytes:
    if not data:
        return data
    at, other, size = _at(data, draw), _at(data, draw), draw.randrange(1, 200)
    piece = draw.choice((data[other : other + size], draw.randbytes(size), b""))
    return data[:at] + piece + data[at + draw.choice((0, size)) :]


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    """A number that a header may take for a size or a place."""
    if not data:
        return data
    size = draw.choice((2, 4, 8))
    value = draw.choice((b"\xff" * size, b"\x00" * size, b"\xff" * (size - 1) + b"\x7f",
                         draw.randbytes(size), b"\x00" * (size - 1) + b"\x40"))  # fmt: skip
    at = _at(data, draw)
    return data[:at] + value + data[at + size :]


def _value(data: bytes, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"-?\d+\.?\d*|\"[^\"]*\"|true|null", data))
    if not found:
        return _splice(data, draw)
    one = draw.choice(found)
    return data[: one.start()] + draw.choice(VALUES).encode() + data[one.end() :]


def _outward(data: bytes, draw: random.Random) -> bytes:
    """A name that leads out of the folder."""
    found = list(re.finditer(rb"\"[^\"]*\"", data))
    if not found:
        return _splice(data, draw)
    one, name = draw.choice(found), draw.choice((b'"../outside"', b'"../../outside/frames.dcm"'))
    return data[: one.start()] + name + data[one.end() :]


def _is_text(data: bytes) -> bool:
    return bool(data) and data[:400].isascii() and b"\x00" not in data[:400]


def write_variant(sample: Path, folder: Path, draw: random.Random) -> str:
    """Copy a sample into a folder and damage it; say how."""
    target = folder / sample.name
    if sample.is_file():
        data, how = damaged(sample.read_bytes(), draw)
        target.write_bytes(data)
        return how
    shutil.copytree(sample, target)
    files = sorted(one for one in target.rglob("*") if one.is_file())
    texts = [one for one in files if _is_text(one.read_bytes()[:400])]
    file = draw.choice(texts if texts and draw.random() < 0.6 else files)
    name = file.relative_to(target).as_posix()
    if draw.random() < 0.06:
        file.unlink()
        return f"{name}: removed"
    data, how = damaged(file.read_bytes(), draw)
    file.write_bytes(data)
    return f"{name}: {how}"


# --- opening, in a worker -------------------------------------------------------------------------


def open_movie_and_read(path: Path) -> None:
    """Read the first, middle and last frame."""
    from napari_sam_i2v.movies import open_movie

    several = path.name == "cluster.nd2"
    movie = open_movie(path, channel=0, z=3) if several else open_movie(path)
    for t in sorted({0, len(movie) // 2, len(movie) - 1}):
        frame = movie[t]
        assert frame.shape == movie.shape[1:] and frame.dtype == movie.dtype
    assert len(movie.scale) == len(movie.units) == 3
    repr(movie)


def open_store(path: Path) -> None:
    """Read a label store as we do and as an export does."""
    from napari_sam_i2v.exports import open_tracked
    from napari_sam_i2v.movies import LabelStore

    store = LabelStore.open(path)
    for t in store.done:
        assert store[t].shape == store.shape[1:]
    assert len(store.scale) == len(store.units) == 3
    open_tracked(path)


def open_prompts(path: Path) -> None:
    """Read prompts."""
    from napari_sam_i2v.prompt_files import read_prompts

    read_prompts(path, movie_shape=(5, 24, 32))


def open_session(path: Path) -> None:
    """Read all that a session folder holds."""
    from napari_sam_i2v.session_folder import SessionFolder

    with SessionFolder.open(path) as session:
        session.prompts()
        session.answers()
        session.fits({"shape": [5, 24, 32], "fingerprint": "1"})
        json.dumps(session.state())
        for t in session.labels.done:
            assert session.labels[t].shape == (24, 32)


def open_snapshots(path: Path) -> None:
    """Read the latest snapshot that is whole; none may be."""
    import torch

    from napari_sam_i2v.snapshots import Snapshots

    found = Snapshots(path).load(torch.device("cpu"))
    assert found is None or found[1][found[0]["tensor"]].shape == (4, 8, 8)


def open_weights(path: Path) -> None:
    """Read weights, and try to make a network of them."""
    from napari_sam_i2v.errors import CheckpointError
    from napari_sam_i2v.network.checkpoints import load_model, read_weights

    weights, _ = read_weights(path)
    assert all(one.numel() >= 0 for one in weights.values())
    try:
        load_model(path, device="cpu")
    except CheckpointError:  # too few tensors, for they are small
        return


def crash(path: Path) -> None:
    """End the process: for the test of this file, as those below."""
    os.abort()


def hang(path: Path) -> None:
    """Never come back."""
    time.sleep(3600)


def hoard(path: Path) -> None:
    """Take much memory."""
    bytearray(os.urandom(1) * 2**28)


def stray(path: Path) -> None:
    """Write outside the folder."""
    (path.parent.parent / "outside.txt").write_text("")


def fail(path: Path) -> None:
    """End in an error that is not ours."""
    raise KeyError(path.name)


OPENERS = {
    "crash": crash, "hang": hang, "hoard": hoard, "stray": stray, "fail": fail,
    "movie": open_movie_and_read, "store": open_store, "prompts": open_prompts,
    "session": open_session, "snapshots": open_snapshots, "weights": open_weights,
}  # fmt: skip


def work() -> None:
    """Open what comes in, a line of JSON each, and answer with a line each."""
    import resource

    warnings.simplefilter("ignore")
    opened: list[str] = []
    sys.addaudithook(
        lambda event, args: (
            opened.append(os.fspath(args[0]))
            if event == "open" and isinstance(args[0], str | bytes | os.PathLike)
            else None
        )
    )
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        task = json.loads(line)
        folder = Path(task["folder"])
        opened.clear()
        base = _memory("VmRSS", reset=True)
        problem = _opened(OPENERS[task["kind"]], folder / task["name"])
        used = _memory("VmHWM") - base
        if used > task["bytes"]:
            problem = f"took {used >> 20} MiB: {problem}"
        root = str(folder.parent)
        outside = [
            p for p in map(os.fsdecode, opened)
            if os.path.abspath(p).startswith(root + os.sep)
            and not os.path.abspath(p).startswith(str(folder) + os.sep)
        ]  # fmt: skip
        if outside:
            problem = f"opened {outside[0]}"
        answers.write(json.dumps({"problem": problem}) + "\n")
        answers.flush()


def _opened(opener: Callable[[Path], None], path: Path) -> str:
    """How it ended: "opened", "refused", or what is wrong."""
    from napari_sam_i2v.errors import SamI2VError

    try:
        opener(path)
        return "opened"
    except SamI2VError:
        return "refused"
    except BaseException as error:
        import traceback

        last = traceback.extract_tb(error.__traceback__)
        ours = [
            f"{Path(one.filename).name}:{one.lineno}" for one in last if "sam_i2v" in one.filename
        ]
        return f"{type(error).__name__}: {str(error)[:120]} at {' '.join(ours[-3:])}"


def _memory(name: str, *, reset: bool = False) -> int:
    """A line of /proc/self/status in bytes; 0 where there is no such file."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]


# --- the run --------------------------------------------------------------------------------------


class Worker:
    """A process that opens variants."""

    def __init__(self, samples: Mapping[str, tuple[str, Path]] = MappingProxyType({})) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        for name, (kind, path) in sorted(samples.items()):  # whole ones: that loads the libraries
            self.open({"kind": kind, "folder": str(path.parent), "name": name, "bytes": 2**40})

    def open(self, task: dict[str, Any]) -> str:
        """Open a variant; say how it ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            late = not ready.select(SECONDS)
        if late:
            self.close()
            return f"took more than {SECONDS:.0f} s"
        line = self.process.stdout.readline()
        if not line:
            return f"the process ended with {self.process.wait()}"
        return str(json.loads(line)["problem"])

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def fuzz(variants: int, seed: int, only: int | None, folder: Path) -> dict[str, Any]:
    """Open variants; count how they ended."""
    samples = write_samples(folder / "samples")
    (folder / "outside").mkdir()
    names = sorted(samples)
    ended: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong = []
    worker = Worker(samples)
    for number in range(variants) if only is None else [only]:
        draw = random.Random(f"{seed}/{number}")
        name = names[number % len(names)]
        kind, path = samples[name]
        place = folder / f"v{number}"
        place.mkdir()
        how = write_variant(path, place, draw)
        limit = CONSTANT + 2 * max(size_of(path), 8 * 24 * 32 * 5)
        task = {"kind": kind, "folder": str(place), "name": path.name, "bytes": limit}
        problem = worker.open(task)
        if worker.process.poll() is not None:
            worker = Worker(samples)
        fine = problem in ("opened", "refused")
        ended[f"{kind} {name}"][problem if fine else "WRONG"] += 1
        if not fine:
            wrong.append(f"{number} {name} ({how}): {problem}")
            print(wrong[-1], flush=True)
        if only is None:
            shutil.rmtree(place)
    worker.close()
    return {"ended": {k: dict(v) for k, v in sorted(ended.items())}, "wrong": wrong}


def main() -> int:
    """Run, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one variant, which is kept")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work()
        return 0
    begin = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        said = fuzz(args.variants, args.seed, args.only, folder)
    finally:
        if args.only is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept in {folder}/v{args.only}")
    total: collections.Counter[str] = collections.Counter()
    for name, counts in said["ended"].items():
        total.update(counts)
        print(f"{name:40} " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    print(f"{sum(total.values())} variants, seed {args.seed}: {total['opened']} opened, "
          f"{total['refused']} refused, {total['WRONG']} wrong; "
          f"{time.monotonic() - begin:.0f} s")  # fmt: skip
    return 1 if said["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
