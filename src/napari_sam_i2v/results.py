"""Where a run writes its labels, and what becomes of them when it ends, early or not.

Frames go into a label store at once, so that a run that is stopped or killed loses nothing. The
store is the result itself (.zarr), or lies beside it as NAME.partial.zarr until the result is
complete: then it becomes the TIFF, or takes the place of the older result.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_i2v.errors import InputError, OutputError, SamI2VError

if TYPE_CHECKING:
    from napari_sam_i2v.movies.labels import LabelStore
    from napari_sam_i2v.resuming import RunRecord
    from napari_sam_i2v.session_folder.lock import FolderLock

__all__ = ["SUFFIXES", "LabelOutput", "frame_ranges"]

SUFFIXES = (".tif", ".tiff", ".zarr")


class LabelOutput:
    """A result that does not exist yet.

    Making one checks everything that can be checked without writing, and writes nothing.

    Parameters
    ----------
    path
        Ends in .tif, .tiff or .zarr. IMAGE.zarr/labels/NAME.zarr of an OME-Zarr image is one of
        its label images: of the image's version, and entered in its list of labels.
    overwrite
        Whether an older result of ours, and what a stopped run left beside it, may be replaced.
    resume
        Go on from what a killed run left, if it left anything.

    Attributes
    ----------
    record
        How far the run has come, once `open` made the store; see `RunRecord`.

    Raises
    ------
    InputError
        If the name ends in something else.
    OutputError
        If something is there that may not be replaced, the folder is missing, or another run
        writes there.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, resume: bool = False
    ) -> None:
        from napari_sam_i2v.movies.export import check_labels_target, image_around
        from napari_sam_i2v.movies.output import check_target
        from napari_sam_i2v.session_folder.lock import FolderLock

        if Path(path).suffix.lower() not in SUFFIXES:
            raise InputError(
                f"The output must end in .tif, .tiff or .zarr, got {str(path)!r}: labels are "
                "written as TIFF or OME-Zarr."
            )
        self.overwrite, self.resume = overwrite, False
        self._store: LabelStore | None = None
        self.record: RunRecord | None = None
        self._lock: FolderLock | None = None
        self.path = Path(path).expanduser()
        self.is_tiff = self.path.suffix.lower() != ".zarr"
        self._image = None if self.is_tiff else image_around(self.path)
        self._lock_path = self.path.with_name(f".{self.path.name}.lock")
        FolderLock.check_free(self._lock_path, what=self.path)
        if resume and (left := self._left()) is not None:
            self.resume, self.store_path = True, left
            self.overwrite = overwrite or left == self.path or _is_whole(left)
            check_target(self.path, overwrite=self.overwrite)
            return
        check = check_target if self.is_tiff else check_labels_target
        check(self.path, overwrite=overwrite)
        if self.is_tiff and self.path.is_dir():
            raise OutputError(f"{self.path} is a folder: choose another name for the TIFF.")
        direct = not self.is_tiff and not os.path.lexists(self.path)
        self.store_path = self.path if direct else _beside(self.path)
        if not direct:
            self._check_leftover()

    def open(
        self,
        *,
        shape: tuple[int, int, int],
        scale: tuple[float, float, float],
        units: tuple[str, str, str],
        metadata: Mapping[str, Any],
        object_ids: Iterable[int] = (),
    ) -> LabelStore:
        """Make the store (T, Y, X) that frames are written to, with colours for the objects.

        Raises
        ------
        InputError
            If what is to go on was made from something else, or in another way.
        OutputError
            If another run writes there, or nothing can be written.
        """
        from napari_sam_i2v.movies.export import labels_group
        from napari_sam_i2v.movies.labels import LabelStore
        from napari_sam_i2v.movies.output import make_room, renamed_when_whole
        from napari_sam_i2v.resuming import RunRecord
        from napari_sam_i2v.session_folder.lock import FolderLock

        if self._image is not None:
            labels_group(self._image)
        self._lock = FolderLock.take(self._lock_path, what=self.path)
        self._sweep()
        if self.resume:
            _check_same(LabelStore.open(self.store_path, mode="r"), shape, metadata)
        else:
            make_room(self.store_path, overwrite=self.overwrite)
            with renamed_when_whole(self.store_path) as part:
                store = LabelStore.create(
                    part, shape=shape, scale=scale, units=units, metadata=metadata,
                    name=self.path.stem,
                    zarr_format=3 if self._image is None else self._image.metadata.zarr_format,
                )  # fmt: skip
                store.colour(object_ids)
                RunRecord(store)
        self._store = LabelStore.open(self.store_path)
        self.record = RunRecord(self._store)
        return self._store

    def finish(self) -> Path:
        """Make the result from the store: all that was to be done is done."""
        from napari_sam_i2v.resuming import remove_record

        self._note(complete=True)
        if self.record is not None:
            self.record.close()
        path = self._put()
        if not self.is_tiff:
            remove_record(path)
        self._let_go()
        return path

    def keep(self) -> Path | None:
        """Keep the finished frames of a run that stopped early.

        Returns
        -------
        Path or None
            Where they are: at the result's name if that was free, else in the store beside the
            older result, which is left as it is. None, and no trace, if no frame was finished.
        """
        try:
            return self._kept()
        finally:
            self._let_go()

    def _kept(self) -> Path | None:
        if self._store is None:
            return None
        if not self._store.done:
            self._remove_store()
            return None
        self._note(complete=False)
        if os.path.lexists(self.path) and self.store_path != self.path:
            return self.store_path
        return self._put()

    def _let_go(self) -> None:
        if self.record is not None:
            self.record.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def frames_done(self) -> list[int]:
        """Frames which were written, in order."""
        return [] if self._store is None else self._store.done

    def _put(self) -> Path:
        """Turn the store into the result; it is removed only when the result is whole."""
        from napari_sam_i2v.movies.export import enter_in_labels, save_tiff
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
        if self._image is not None:
            enter_in_labels(self._image, self.path.name)
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

        # Under a hidden name first: a kill leaves no half of a store that would be in the way.
        part = self.store_path.with_name(f".{self.store_path.name}.{os.getpid()}.part")
        os.replace(self.store_path, part)
        remove_own(part)
        self._store = None

    def _left(self) -> Path | None:
        """Find the store of a run that was stopped, and can go on."""
        from napari_sam_i2v.resuming import folder_of

        places = [_beside(self.path)] if self.is_tiff else [_beside(self.path), self.path]
        left = next((place for place in places if folder_of(place).is_dir()), None)
        if left is None and os.path.lexists(self.path) and not self.overwrite:
            raise OutputError(f"{self.path} is there, and nothing is left to be resumed.")
        return left

    def _sweep(self) -> None:
        """Remove what a killed process had begun to write under a hidden name."""
        for name in {self.path.name, self.store_path.name}:
            for part in self.path.parent.glob(f".{glob.escape(name)}.*.part"):
                if part.name.removesuffix(".part").rpartition(".")[2].isdecimal():
                    shutil.rmtree(part) if part.is_dir() else part.unlink()

    def _check_leftover(self) -> None:
        """Refuse to start over what a killed run left, unless that was asked for."""
        from napari_sam_i2v.movies.output import check_target

        if os.path.lexists(self.store_path) and not self.overwrite:
            raise OutputError(
                f"{self.store_path} is left from a run that was stopped ({_progress(self)}). "
                "Go on from there (--resume). Napari opens it as it is. Rename it to keep it; "
                "remove it, or allow overwriting, to start again."
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


_NOTED = ("complete", "frames_done")
"""What is noted in a store's metadata when a run ends."""


def _is_whole(store: Path) -> bool:
    """Whether a run had done everything and was stopped while its result was put into place."""
    from napari_sam_i2v.movies.labels import LabelStore

    return LabelStore.open(store, mode="r").metadata.get("complete") is True


def _check_same(store: LabelStore, shape: Sequence[int], metadata: Mapping[str, Any]) -> None:
    """Refuse to go on in another way than a run began."""
    began = {key: value for key, value in store.metadata.items() if key not in _NOTED}
    asked = json.loads(json.dumps(dict(metadata)))
    other = [key for key in {**began, **asked} if began.get(key) != asked.get(key)]
    if tuple(store.shape) != tuple(shape) or other:
        raise InputError(
            f"{store.path} was begun with another {' and '.join(sorted(other)) or 'movie'}: give "
            "what was given then, or start again (--overwrite)."
        )
