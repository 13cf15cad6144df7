"""The arguments of all commands. Commands are imported when they run: `--help` costs no torch."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, Protocol

from napari_sam_i2v.cli.console import PROGRAM, say_error

SAMPLE_NAMES = ("nuclei", "migration", "chamber")
FORMAT_NAMES = "tiff, ome-zarr, ctc, geff, trackmate, csv, coco, divisions, overlay"
PROTOCOL_NAMES = ("click", "clicks3", "box", "mask", "interactive")


class _Options(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *names: str, **meaning: Any) -> Any:
        """Add an option."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line, like every other error."""
        say_error(f"{message} (see {self.prog} --help)")
        raise SystemExit(2)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        import napari_sam_i2v

        print(f"{PROGRAM} {napari_sam_i2v.__version__}")
        raise SystemExit(0)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments; the result's `run` is the command, to be called with the result."""
    parser = _Parser(
        prog=PROGRAM,
        description="Clicks on a time-lapse become tracked labels (SAM-I2V).",
        epilog=f"`{PROGRAM} COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_segment, _add_export, _add_demo, _add_models, _add_train, _add_evaluate,
        _add_benchmark,
    ):  # fmt: skip
        add(commands)
    return parser.parse_args(argv)


def _command(commands: Any, name: str, summary: str, **more: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter, **more,
    )  # fmt: skip
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=_later(name))
    return parser


def _later(name: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        import_module(f"napari_sam_i2v.cli.{name}").run(args)

    return run


def _add_segment(commands: Any) -> None:
    parser = _command(
        commands, "segment", "track prompted objects through a movie and write their labels",
        epilog=(
            "The labels have the movie's shape; frames that were not tracked are 0. While a run "
            "goes on,\nfinished frames are in the .zarr output itself, or in "
            "OUTPUT.partial.zarr beside a .tif (or beside\nan older result that is to be "
            "overwritten). Ctrl-C stops after the current frame and keeps them.\n\n"
            f"  {PROGRAM} segment movie.tif --prompts prompts.csv --output labels.tif"
        ),
    )  # fmt: skip
    parser.add_argument(
        "movie", metavar="MOVIE", type=_path,
        help="TIFF, OME-Zarr, DICOM, NIfTI, AVI, MP4, MOV, MKV, ND2, CZI, LIF, or a folder with "
        "one picture per frame",
    )  # fmt: skip
    parser.add_argument(
        "--prompts", required=True, type=_path, metavar="FILE",
        help="CSV with object_id,frame,y,x[,label], napari's CSV of points or rectangles, JSON, "
        "or a label image",
    )  # fmt: skip
    parser.add_argument(
        "--output", required=True, type=_path, metavar="OUT", help="NAME.tif or NAME.zarr"
    )
    _add_tracking(parser.add_argument_group("tracking"))
    _add_reading(parser.add_argument_group("how the movie is read"))
    _add_network(network := parser.add_argument_group("the network"))
    _add_threads(network)
    _add_writing(parser.add_argument_group("what is written"))


def _add_tracking(options: _Options) -> None:
    options.add_argument(
        "--direction", choices=("forward", "backward", "both"), default="forward",
        help="in time, from each object's prompt (default: forward)",
    )  # fmt: skip
    options.add_argument(
        "--frames", metavar="A:B", help="track frames A to B - 1 only, counted from 0"
    )
    _add_view(options)
    options.add_argument(
        "--memory-filter", choices=("top-k", "multinomial"), default="top-k",
        help="how past frames are remembered; multinomial is random, as published",
    )  # fmt: skip
    options.add_argument("--seed", type=int, default=0, metavar="N", help="of multinomial")


def _add_reading(options: _Options) -> None:
    _add_part(
        options, z="plane of a movie with depth, and of a label image with depth that prompts it"
    )
    options.add_argument(
        "--contrast", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="grey values shown as black and white (default: percentiles of the movie)",
    )  # fmt: skip


def _add_part(options: _Options, *, z: str) -> None:
    """Which part of a movie is read, where there are several."""
    options.add_argument("--channel", metavar="C", help="channel, by number (from 0) or name")
    options.add_argument("--z", type=int, metavar="Z", help=z)
    options.add_argument(
        "--axes", metavar="AXES",
        help="stored axes, e.g. TZYX, where the file does not tell or is wrong",
    )  # fmt: skip
    options.add_argument(
        "--scene", metavar="S", help="image of a file with several, by number (from 0) or name"
    )


def _add_writing(options: _Options) -> None:
    options.add_argument(
        "--confidence", type=_path, metavar="FILE.csv",
        help="write how sure every answer is: object_id,frame,confidence,score,iou,area",
    )  # fmt: skip
    options.add_argument(
        "--export", action="append", default=[], metavar="FORMAT=PATH",
        help=f"write the result in another format too; as often as wanted: {FORMAT_NAMES}",
    )  # fmt: skip
    _add_overwrite(
        options,
        "replace older results (label files and folders only if we wrote them), and what a stopped "
        "run left; never what is read",
    )
    options.add_argument(
        "--resume", action="store_true",
        help="go on from what a killed run of the same command left: the labels are those of a "
        "run without a stop",
    )  # fmt: skip


def _add_export(commands: Any) -> None:
    parser = _command(
        commands, "export", "write labels that are there in the formats of other tools",
        epilog=(
            f"formats: {FORMAT_NAMES}.\n"
            "FORMAT= may be left out where the suffix tells; a name without one is a folder for "
            "ctc.\nDivisions that are noted with the labels, by us or in a res_track.txt or "
            "man_track.txt beside\nmasks, go along.\n\n"
            f"  {PROGRAM} export labels.tif --to ctc=01_RES --to trackmate=tracks.xml"
        ),
    )  # fmt: skip
    parser.add_argument(
        "labels", metavar="LABELS", type=_path, help="TIFF, OME-Zarr, or a folder of masks"
    )
    parser.add_argument(
        "--to", action="append", required=True, metavar="FORMAT=PATH",
        help="as often as wanted",
    )  # fmt: skip
    parser.add_argument(
        "--movie", type=_path, metavar="MOVIE",
        help="the movie that was tracked, for intensities and overlays",
    )  # fmt: skip
    _add_part(parser.add_argument_group("how the movie is read"), z="plane of a movie with depth")
    parser.add_argument(
        "--lineage", type=_path, metavar="FILE",
        help="divisions: text as man_track.txt, a line “label first last parent” per object",
    )  # fmt: skip
    _add_overwrite(
        parser,
        "replace older results; folders and label files only if we wrote them, and never what is "
        "read",
    )


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands, "demo", "track a bundled sample movie, measure it, and draw the result"
    )
    parser.add_argument(
        "--output", type=_path, metavar="DIR",
        help=f"folder for the results (default: a new {PROGRAM}-demo here)",
    )  # fmt: skip
    parser.add_argument(
        "--sample", choices=SAMPLE_NAMES, default="nuclei", help="(default: nuclei)"
    )
    _add_network(parser)
    _add_overwrite(parser, "replace older results of a demo in DIR")


def _add_models(commands: Any) -> None:
    parser = _command(
        commands, "models", "list the models that can be named, or download a published one",
        epilog=(
            "The download goes through the proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Its "
            "SHA-256 is noted\nbeside the file and checked whenever the model is loaded. "
            "--model FILE needs no download:\nit takes a file that you have.\n\n"
            f"  {PROGRAM} models --download sam-i2v --from https://..."
        ),
    )  # fmt: skip
    parser.add_argument("--download", metavar="NAME", help="a model whose weights are not here")
    parser.add_argument(
        "--from", dest="address", metavar="URL", help="address of its weights file, see its source"
    )
    parser.add_argument("--sha256", metavar="HEX", help="refuse the file if it has another")
    parser.add_argument(
        "--folder", metavar="DIR", help="where the file goes (default: the user's data folder)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")


def _add_train(commands: Any) -> None:
    parser = _command(
        commands, "train", "train a network from a recipe on synthetic movies",
        epilog="Started again with the same FOLDER, training goes on where it stopped.",
    )  # fmt: skip
    parser.add_argument("recipe", nargs="?", type=_path, metavar="RECIPE.toml")
    parser.add_argument("folder", nargs="?", type=_path, metavar="FOLDER")
    parser.add_argument(
        "--preview", type=_path, metavar="SHEET.png",
        help="train nothing: draw a sheet of synthetic movies with their outlines",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the preview")
    _add_place(parser)
    _add_overwrite(parser, "replace an older preview")


def _add_evaluate(commands: Any) -> None:
    parser = _command(
        commands, "evaluate", "measure a model on movies with a known truth",
        epilog=(
            "A case is a folder with movie.tif and labels.tif, and optionally annotated_frames.txt "
            "and\nprompts.csv; a clip of the DAVIS layout; or a sequence of the Cell Tracking "
            "Challenge. A folder of\ncases stands for all of them.\n\n"
            "protocols:\n"
            "  click        the case's prompts: one click per object on its first frame\n"
            "  clicks3      that click and two corrections on the same frame, placed by the error\n"
            "  box, mask    the true box or mask on the first frame\n"
            "  interactive  5 rounds: click, then a correction per object on its worst frame\n\n"
            f"  {PROGRAM} evaluate my_movies --protocol click,box --markdown accuracy.md"
        ),
    )  # fmt: skip
    parser.add_argument(
        "data", metavar="FOLDER", type=_path, nargs="+", help="cases, or folders of cases"
    )
    parser.add_argument(
        "--protocol", type=_protocols, default=["click"], metavar="P,Q",
        help=f"any of {','.join(PROTOCOL_NAMES)}, or all (default: click)",
    )  # fmt: skip
    _add_network(parser)
    _add_view(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the session")
    parser.add_argument(
        "--ctc", action="store_true",
        help="measure SEG, DET and TRA of the Cell Tracking Challenge too (extra: ctc)",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=_path, metavar="FILE.json", help="write all numbers, of every object too"
    )
    parser.add_argument(
        "--markdown", type=_path, metavar="FILE.md", help="write the tables in Markdown"
    )
    _add_overwrite(parser, "replace older reports")


def _add_benchmark(commands: Any) -> None:
    parser = _command(
        commands, "benchmark", "measure speed and memory on this machine",
        epilog=(
            "Every combination of models, devices, objects and sizes is a case, run in a process "
            "of its own on a\nmovie of drifting discs that is made for it in TMPDIR. "
            "docs/performance.md says what the columns mean.\n\n"
            f"  {PROGRAM} benchmark --objects 1 10 100 --size 512 1024 --json speed.json"
        ),
    )  # fmt: skip
    parser.add_argument(
        "--model", nargs="+", default=["default"], metavar="NAME|FILE",
        help=f"names that `{PROGRAM} models` lists, or files",
    )  # fmt: skip
    parser.add_argument(
        "--device", nargs="+", default=["auto"], metavar="D", help="auto, cpu, cuda, cuda:1, mps"
    )
    _add_precision(parser)
    parser.add_argument(
        "--objects", type=_count, nargs="+", default=[1, 10], metavar="N", help="(default: 1 10)"
    )
    parser.add_argument(
        "--size", type=_count, nargs="+", default=[512], metavar="PIXELS",
        help="sides of the square frames (default: 512)",
    )  # fmt: skip
    parser.add_argument(
        "--frames", type=_count, default=60, metavar="N",
        help="of each movie (default: 60); growth of memory is that after frame 50",
    )  # fmt: skip
    _add_threads(parser)
    parser.add_argument(
        "--profile", action="store_true", help="show in which modules the time is spent"
    )
    parser.add_argument("--json", type=_path, metavar="FILE.json", help="write all numbers")
    _add_overwrite(parser, "replace an older report")


def _add_network(options: _Options) -> None:
    options.add_argument(
        "--model", default="default", metavar="NAME|FILE",
        help=f"a name that `{PROGRAM} models` lists, or a .safetensors or published .pt file",
    )  # fmt: skip
    _add_place(options)


def _add_place(options: _Options) -> None:
    options.add_argument(
        "--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1, mps"
    )
    _add_precision(options)


def _add_threads(options: _Options) -> None:
    options.add_argument("--threads", type=_threads, metavar="N", help="CPU threads of torch")


def _add_precision(options: _Options) -> None:
    options.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto",
        help="arithmetic of the network",
    )  # fmt: skip


def _add_view(options: _Options) -> None:
    options.add_argument(
        "--view", choices=("auto", "frame", "follow"), default="auto",
        help="look at the whole frame, or through a window that follows each object",
    )  # fmt: skip


def _add_overwrite(options: _Options, meaning: str) -> None:
    options.add_argument("--overwrite", action="store_true", help=meaning)
    options.add_argument(
        "--quiet", action="store_true", help="no progress and no summary; errors only"
    )


def _protocols(text: str) -> list[str]:
    """Names in their usual order, each once."""
    names = text.split(",")
    if names == ["all"]:
        return list(PROTOCOL_NAMES)
    if unknown := [repr(name) for name in names if name not in PROTOCOL_NAMES]:
        raise argparse.ArgumentTypeError(
            f"protocols are {', '.join(PROTOCOL_NAMES)}, or all; got {', '.join(unknown)}"
        )
    return [name for name in PROTOCOL_NAMES if name in names]


def _path(text: str) -> Path:
    if not text:  # of a shell variable that is not set; it would be the folder we are in
        raise argparse.ArgumentTypeError("a file or folder is required, got an empty text")
    return Path(text)


def _threads(text: str) -> int:
    most = 4 * (os.cpu_count() or 1)
    if not (text.isdecimal() and 1 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"a number from 1 to {most} is required, got {text}")
    return int(text)


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1 is required, got {text}")
    return number
