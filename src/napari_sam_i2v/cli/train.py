"""`napari-sam-i2v train`: a recipe to weights, or a look at the synthetic movies."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam_i2v.cli.console import Interrupted
from napari_sam_i2v.errors import InputError
from napari_sam_i2v.overlay import check_picture, save_picture


def run(args: argparse.Namespace) -> None:
    """Train, or draw."""
    if args.preview is not None:
        _preview(args)
        return
    if args.recipe is None or args.folder is None:
        raise InputError("train needs RECIPE.toml and FOLDER, or --preview SHEET.png.")
    from napari_sam_i2v.training.fit import train
    from napari_sam_i2v.training.recipe import read_recipe

    recipe = read_recipe(args.recipe)
    try:
        path = train(
            recipe, args.folder, device=args.device, precision=args.precision, quiet=args.quiet
        )
    except KeyboardInterrupt:
        raise Interrupted(
            f"checkpoints are kept in {args.folder}; the same command goes on from the last one"
        ) from None
    if not args.quiet:
        print(path)


def _preview(args: argparse.Namespace) -> None:
    check_picture(args.preview, overwrite=args.overwrite)
    save_picture(_sheet(args.recipe, args.seed), args.preview, overwrite=args.overwrite)
    if not args.quiet:
        print(args.preview)


def _sheet(recipe: Path | None, seed: int) -> NDArray[np.uint8]:
    """Draw movies as a recipe trains on; of the usual length and size without one."""
    from napari_sam_i2v.training.synthetic import contact_sheet

    if recipe is None:
        return contact_sheet(seed)
    from napari_sam_i2v.training.recipe import read_recipe

    data = read_recipe(recipe).data
    return contact_sheet(seed, frames=data.frames, size=data.size)
