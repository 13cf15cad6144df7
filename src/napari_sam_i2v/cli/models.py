"""`napari-sam-i2v models`: which models can be named; downloads the published ones."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam_i2v.cli.console import Failed, Interrupted
from napari_sam_i2v.errors import DownloadError, InputError

if TYPE_CHECKING:
    from napari_sam_i2v.downloads import Finished, Order
    from napari_sam_i2v.network.registry import ModelInfo

HEADER = ("name", "variant", "input", "licence", "weights", "source")


def run(args: argparse.Namespace) -> None:
    """Print a table of models, the default first; or download one."""
    if args.download is not None:
        _download(args)
    elif args.address or args.sha256 or args.folder:
        raise InputError("--from, --sha256 and --folder need --download NAME: add it.")
    else:
        _list()


def _list() -> None:
    from napari_sam_i2v.network.registry import MODELS

    def row(info: ModelInfo) -> tuple[str, ...]:
        size = f"{info.input_size} px"
        return (info.name, info.variant, size, info.licence, _weights(info), info.source)

    print(_table([HEADER, *map(row, MODELS.values())]))
    print()
    for info in MODELS.values():
        print(f"{info.name}: {info.summary}")
    print(
        "\n--model takes a name with embedded or downloaded weights, or the file of any of these "
        "networks."
    )


def _weights(info: ModelInfo) -> str:
    from importlib.resources import files

    from napari_sam_i2v.network.installed import find_installed

    if info.file is None:
        return "your file" if find_installed(info.name) is None else "downloaded"
    there = (files("napari_sam_i2v") / "weights" / info.file).is_file()
    return "embedded" if there else "missing"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _download(args: argparse.Namespace) -> None:
    from napari_sam_i2v.downloads import LOCAL, readable_size

    order = _order(args)
    try:
        done = _fetched(order, quiet=args.quiet)
    except KeyboardInterrupt:
        raise Interrupted("nothing was kept") from None
    except DownloadError as error:
        how = str(error).replace(LOCAL, f"{LOCAL}: --model FILE")
        raise Failed(how) from error
    if args.quiet:
        return
    there = "" if done.fetched else " was there already and"
    print(f"{order.model.name}{there} is {done.path} ({readable_size(done.size)})")
    print(f"SHA-256 {done.sha256}")
    print(f"Licence {order.model.licence}; --model {order.model.name} uses it.")


def _order(args: argparse.Namespace) -> Order:
    from napari_sam_i2v.downloads import Order
    from napari_sam_i2v.network.installed import data_folder
    from napari_sam_i2v.network.registry import published

    models = {info.name: info for info in published()}
    info = models.get(args.download)
    if info is None:
        raise InputError(
            f"--download needs one of {', '.join(models)}, got {args.download!r}: other models "
            "come with the package, or are files."
        )
    url = args.address or info.url
    if url is None:
        raise InputError(
            f"No address is known for {info.name}: find that of its checkpoint from {info.source} "
            f"(licence {info.licence}) and give it with --from URL. A file that you have needs no "
            "download: name it where a model is used, as in segment --model FILE."
        )
    folder = Path(args.folder).expanduser() if args.folder else data_folder()
    return Order(model=info, url=url, folder=folder, sha256=args.sha256)


def _fetched(order: Order, *, quiet: bool) -> Finished:
    """Run the download, with a bar on a terminal."""
    from contextlib import closing

    from tqdm import tqdm

    from napari_sam_i2v.downloads import Finished, download

    hidden = True if quiet else None  # None: where stderr is no terminal
    with (
        closing(download(order)) as steps,
        tqdm(unit="B", unit_scale=True, disable=hidden, leave=False) as bar,
    ):
        for event in steps:
            if isinstance(event, Finished):
                return event
            bar.total = event.total
            bar.set_description(event.step)
            bar.update(event.done - bar.n)
    raise AssertionError("a download ends with what it made, or with an error")
