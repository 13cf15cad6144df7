"""Where a run writes its labels, and what becomes of them when it ends, early or not.

Frames go into a label store at once, so that a run that is stopped or killed loses nothing. The
store is the result itself (.zarr), or lies beside it as NAME.partial.zarr until the result is
complete: then it becomes the TIFF, or takes the place of the older result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import InputError, OutputError, SamI2VError

if TYPE_CHECKING:
    from napari_sam_i2v.movies.labels import LabelStore

__all__ = ["SUFFIXES", "LabelOutput", "frame_ranges"]

SUFFIXES = (".tif", ".tiff", ".zarr")


class LabelOutput:
    """A result that does not exist yet.

    Making one checks everything that can be checked without writing, and writes nothing.

    Parameters
    ----------
    path
        Ends in .tif, .tiff or .zarr.
    overwrite
        Whether an older result of ours, and what a stopped run left beside it, may be replaced.

    Raises
    ------
    InputError
        If the name ends in something else.
    OutputError
        If something is there that may not be replaced, or the folder is missing.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        from napari_sam_i2v.movies.output import check_target

        if Path(path).suffix.lower() not in SUFFIXES:
            raise InputError(
                f"The output must end in .tif, .tiff or .zarr, got {str(path)!r}: labels are "
                "written as TIFF or OME-Zarr."
            )
        self.path = check_target(path, overwrite=overwrite)
        self.overwrite = overwrite
        self.is_tiff = self.path.suffix.lower() != ".zarr"
        if self.is_tiff and self.path.is_dir():
            raise OutputError(f"{self.path} is a folder: choose another name for the TIFF.")
        direct = not self.is_tiff and not os.path.lexists(self.path)
        self.store_path = self.path if direct else _beside(self.path)
        if not direct:
            self._check_leftover()
        self._store: LabelStore | None = None

    def open(
        self,
        *,
        shape: tuple[int, int, int],
        scale: tuple[float, float, float],
        units: tuple[str, str, str],
        metadata: Mapping[str, Any],
        object_ids: Iterable[int] = (),
    ) -> LabelStore:
        """Make the store (T, Y, X) that frames are written to, with colours for the objects."""
        from napari_sam_i2v.movies.labels import LabelStore

        self._store = LabelStore.create(
            self.store_path,
            shape=shape, scale=scale, units=units, metadata=metadata,
            name=self.path.stem, overwrite=self.overwrite,
        )  # fmt: skip
        self._store.colour(object_ids)
        return self._store

    def finish(self) -> Path:
        """Make the result from the store: all that was to be done is done."""
        self._note(complete=True)
        return self._put()

    def keep(self) -> Path | None:
        """Keep the finished frames of a run that stopped early.

        Returns
        -------
        Path or None
            Where they are: at the result's name if that was free, else in the store beside the
            older result, which is left as it is. None, and no trace, if no frame was finished.
        """
        if self._store is None:
            return None
        if not self._store.done:
            self._remove_store()
            return None
        self._note(complete=False)
        if os.path.lexists(self.path) and self.store_path != self.path:
            return self.store_path
        return self._put()

    @property
    def frames_done(self) -> list[int]:
        """Frames which were written, in order."""
        return [] if self._store is None else self._store.done

    def _put(self) -> Path:
        """Turn the store into the result; it is removed only when the result is whole."""
        from napari_sam_i2v.movies.export import save_tiff
        from napari_sam_i2v.movies.output import make_room

        store = self._opened()
        if self.is_tiff:
            save_tiff(
                store, self.path, scale=store.scale, units=store.units,
                metadata=store.metadata, overwrite=self.overwrite,
            )  # fmt: skip
            self._remove_store()
        elif self.store_path != self.path:
            make_room(self.path, overwrite=self.overwrite)
            os.replace(self.store_path, self.path)
        return self.path

    def _note(self, *, complete: bool) -> None:
        store = self._opened()
        store.metadata = {
            **store.metadata,
            "complete": complete,
            "frames_done": frame_ranges(store.done),
        }

    def _opened(self) -> LabelStore:
        if self._store is None:
            raise RuntimeError("open() comes first")
        return self._store

    def _remove_store(self) -> None:
        from napari_sam_i2v.movies.output import remove_own

        remove_own(self.store_path)
        self._store = None

    def _check_leftover(self) -> None:
        """Refuse to start over what a killed run left, unless that was asked for."""
        from napari_sam_i2v.movies.output import check_target

        if os.path.lexists(self.store_path) and not self.overwrite:
            raise OutputError(
                f"{self.store_path} is left from a run that was stopped ({_progress(self)}). "
                "Napari opens it as it is. Rename it to keep it; remove it, or allow "
                "overwriting, to start again."
            )
        check_target(self.store_path, overwrite=self.overwrite)


def frame_ranges(frames: Sequence[int]) -> list[list[int]]:
    """Return sorted frames as half-open ranges.

    >>> frame_ranges([0, 1, 2, 7])
    [[0, 3], [7, 8]]
    """
    ranges: list[list[int]] = []
    for frame in frames:
        if ranges and ranges[-1][1] == frame:
            ranges[-1][1] = frame + 1
        else:
            ranges.append([frame, frame + 1])
    return ranges


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial.zarr")


def _progress(output: LabelOutput) -> str:
    from napari_sam_i2v.movies.labels import LabelStore

    try:
        store = LabelStore.open(output.store_path, mode="r")
    except SamI2VError:
        return "it cannot be read"
    return f"{len(store.done)} of {len(store)} frames are in it"
