"""The smaller levels of labels inside an OME-Zarr image: as many as the image has."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sam_i2v.movies.labels import LabelStore, create_level
from napari_sam_i2v.movies.ome_zarr import ome_attributes

__all__ = ["match_levels"]


def match_levels(image: Any, name: str) -> None:
    """Give labels the levels of their image, each of its size, by the nearest pixel.

    Parameters
    ----------
    image
        The group of an OME-Zarr image.
    name
        Of labels in it, which `LabelStore` made.
    """
    group = image["labels"][name]
    store = LabelStore.open(image.store.root / group.path)
    try:
        levels = ome_attributes(image)["multiscales"][0]["datasets"]
        sizes = [tuple(image[one["path"]].shape[-2:]) for one in levels]
    except (KeyError, IndexError, TypeError):  # an image that is damaged has its labels anyway
        return
    datasets = [_dataset(store, "0", store.shape[1:])]
    for number, size in enumerate(sizes[1:], start=1):
        _write(group, store, str(number), size)
        datasets.append(_dataset(store, str(number), size))
    _set_datasets(group, datasets)


def _write(group: Any, store: LabelStore, path: str, size: tuple[int, int]) -> None:
    level = create_level(group, path, (len(store), *size), store.dtype, overwrite=True)
    rows, columns = (
        ((np.arange(n) + 0.5) * whole / n).astype(int)
        for n, whole in zip(size, store.shape[1:], strict=True)
    )
    for t in store.done:
        level[t] = store[t][np.ix_(rows, columns)]


def _dataset(store: LabelStore, path: str, size: tuple[int, ...]) -> dict[str, Any]:
    t, y, x = store.scale
    scale = [t, y * store.shape[1] / size[0], x * store.shape[2] / size[1]]
    return {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}


def _set_datasets(group: Any, datasets: list[dict[str, Any]]) -> None:
    ome = ome_attributes(group)
    image = {**ome["multiscales"][0], "datasets": datasets}
    if group.metadata.zarr_format == 2:
        group.attrs["multiscales"] = [image]
    else:
        group.attrs["ome"] = {**ome, "multiscales": [image]}
