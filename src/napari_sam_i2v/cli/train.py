"""`napari-sam-i2v train`: a recipe to weights, or a look at the synthetic movies."""

from __future__ import annotations

import argparse

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
    if args.recipe is not None:
        raise InputError("--preview draws without a recipe: give one or the other.")
    check_picture(args.preview, overwrite=args.overwrite)
    from napari_sam_i2v.training.synthetic import contact_sheet

    save_picture(contact_sheet(args.seed), args.preview, overwrite=args.overwrite)
    if not args.quiet:
        print(args.preview)
