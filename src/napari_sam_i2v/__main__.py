"""`python -m napari_sam_i2v`: the command line, where its script is not on the path."""

from __future__ import annotations

import sys

from napari_sam_i2v.cli import main

if __name__ == "__main__":
    sys.exit(main())
