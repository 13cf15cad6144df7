"""`napari-sam-i2v`: the command line.

Exit codes: 0 done, 2 wrong use (nothing was written), 1 failed on the way, 130 interrupted; the
last two keep what was finished. An error is one line on stderr.
"""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from collections.abc import Sequence

from napari_sam_i2v.cli.console import Failed, Interrupted, say_error, say_warning
from napari_sam_i2v.errors import SamI2VError

__all__ = ["main"]

_ARGUMENT = re.compile(r"(?<=[\w,;] )(axes|channel|scene|z)=")
"""What `open_movie` calls what is an option here."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv
        Arguments after the program's name; those of the process where not given.

    Raises
    ------
    SystemExit
        From `argparse`, for `--help`, `--version` and arguments that cannot be parsed.
    """
    from napari_sam_i2v.cli.arguments import parse

    args = parse(argv)
    with warnings.catch_warnings():
        worded = _as_options if hasattr(args, "channel") else str
        warnings.showwarning = lambda message, *more: say_warning(worded(str(message)), *more)
        try:
            args.run(args)
            return 0
        except Interrupted as stop:
            say_error(str(stop), kind="interrupted")
            return 130
        except KeyboardInterrupt:
            say_error("nothing was written", kind="interrupted")
            return 130
        except Exception as error:
            if args.debug:
                traceback.print_exc()
            say_error(worded(_message(error)))
            return 2 if isinstance(error, SamI2VError) else 1


def _message(error: Exception) -> str:
    if isinstance(error, SamI2VError | Failed):
        return str(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror} (--debug shows where)"
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _as_options(message: str) -> str:
    """Call what is to be chosen of a movie as it is called on the command line."""
    return _ARGUMENT.sub(r"--\1 ", message).replace(" ,", ",")


if __name__ == "__main__":
    sys.exit(main())
