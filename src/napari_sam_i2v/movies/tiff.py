"""TIFF movies: OME, ImageJ and plain; one page is read at a time."""

from __future__ import annotations

import logging
import math
import struct
import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_sam_i2v.errors import MovieError
from napari_sam_i2v.movies.output import OWN_KEY
from napari_sam_i2v.movies.source import Source, chosen_scene, native_dtype, planes_reader
from napari_sam_i2v.movies.tiff_metadata import channel_names, pixel_steps

_DAMAGED = "is truncated or damaged"
_IMAGE_DESCRIPTION = 270


def open_tiff(path: Path, *, scene: int | str | None = None) -> Source:
    """Open an image of a TIFF file, the first if not told; only its page directory is read.

    Several images with pages of one shape and no metadata (as writing frame by frame leaves them)
    are the frames of one movie. Of other files with several images the first is taken, with a
    warning; thumbnails are passed over.
    The files of one OME-TIFF over several files are found beside it.

    Raises
    ------
    MovieError
        If the file is truncated, damaged or holds no pixels that can be read.
    """
    with _quiet_tifffile() as said:
        try:
            tif = tifffile.TiffFile(path)
        except Exception as err:  # struct.error, TiffFileError, ... for broken files
            raise MovieError(f"{path} {_DAMAGED}: {err}") from err
        try:
            pages = _TiffPages(tif, path, scene)
        except MovieError:
            tif.close()
            raise
        except Exception as err:
            tif.close()
            detail = said[0].getMessage() if said else str(err)
            raise MovieError(f"{path} {_DAMAGED}: {detail}") from err
    if any("OME series failed to read" in record.getMessage() for record in said):
        tif.close()
        raise MovieError(
            f"{path} is one of several files of a movie, and some of the others are missing or "
            "damaged: put all of them into its folder"
        )
    return Source(
        path=path,
        name=path.name if len(pages.scenes) < 2 else f"{path.name} {pages.scenes[pages.scene]}",
        axes=pages.axes,
        shape=pages.shape,
        dtype=native_dtype(pages.dtype, path.name),
        read=planes_reader(pages.lead, pages.page),
        channel_names=channel_names(tif, pages.scene),
        pixel=pixel_steps(tif, pages.scene),
        is_labels=tif.pages.first.software == OWN_KEY,  # we write no other TIFFs
        scenes=pages.scenes,
        scene=pages.scene,
    )


class _TiffPages:
    """The pages of one TIFF image as an array; a lock, because napari slices from threads."""

    def __init__(self, tif: tifffile.TiffFile, path: Path, scene: int | str | None) -> None:
        self._tif, self._path, self._lock = tif, path, threading.Lock()
        self._finalizer = weakref.finalize(self, tif.close)
        self._size = path.stat().st_size
        joined, series = _joined_pages(tif), _images(tif)
        if not series:
            raise MovieError(f"{path} holds no image")
        self.scenes, self.scene = _scenes(series, scene, path) if not joined else ((), 0)
        first = series[self.scene]
        page = first.keyframe
        self.page_shape, self._offset = tuple(page.shape), first.dataoffset
        self.dtype = np.dtype(first.dtype).newbyteorder(tif.byteorder)
        self.axes, self.shape = first.axes, tuple(first.shape)
        self._pages: Any = first.pages
        if joined:
            self.axes, self.shape = "I" + page.axes, (len(joined), *self.page_shape)
            self._pages, self._offset = joined, None
        self.lead = self.shape[: len(self.shape) - len(self.page_shape)]
        self._refuse_truncated()

    def page(self, where: tuple[int, ...]) -> np.ndarray:
        """Read the page at a place along `lead`."""
        number = int(np.ravel_multi_index(where, self.lead)) if where else 0
        with self._lock:
            return self._at_offset(number) if self._offset is not None else self._decoded(number)

    def _at_offset(self, number: int) -> np.ndarray:
        """Read from a run of raw pixels; ImageJ describes only its first page when it is long."""
        count = math.prod(self.page_shape)
        handle = self._tif.filehandle
        handle.seek(self._offset + number * count * self.dtype.itemsize)
        return np.frombuffer(handle.read(count * self.dtype.itemsize), self.dtype).reshape(
            self.page_shape
        )

    def _decoded(self, number: int) -> np.ndarray:
        page = self._pages[number]
        if page is None:  # an OME file may leave planes out
            return np.zeros(self.page_shape, self.dtype)
        handle = page.parent.filehandle
        closed = handle.closed  # another file of the same movie
        if closed:
            handle.open()
        try:
            self._refuse_beyond_end(page)
            with _quiet_tifffile():
                return page.asarray().reshape(self.page_shape)
        finally:
            if closed:
                handle.close()

    def _refuse_truncated(self) -> None:
        """See from the page directory alone whether pixels are missing."""
        declared = math.prod(self.lead)
        if (stated := _imagej_images(self._tif)) > declared * _imagej_planes(self._tif):
            raise MovieError(f"{self._path} {_DAMAGED}: {stated} images are announced")
        if not _description_is_whole(self._tif, self._size):
            raise MovieError(f"{self._path} {_DAMAGED}: its description breaks off")
        if not _chain_ends(self._tif):
            raise MovieError(f"{self._path} {_DAMAGED}: its list of pages breaks off")
        if self._offset is not None:
            end = self._offset + math.prod(self.shape) * self.dtype.itemsize
            if end > self._size:
                raise MovieError(
                    f"{self._path} {_DAMAGED}: it should be {end} bytes long, it has {self._size}"
                )
            return
        if len(self._pages) < declared:
            raise MovieError(
                f"{self._path} {_DAMAGED}: {declared} pages are announced, {len(self._pages)} found"
            )
        if self._tif.is_ome:
            self._refuse_outside()
        if (last := self._pages[len(self._pages) - 1]) is not None:
            self._refuse_beyond_end(last)

    def _refuse_outside(self) -> None:
        """See that the other files which OME metadata name lie in the movie's own folder."""
        folder = self._path.resolve().parent
        named = {page.parent.filehandle.path for page in self._pages if page is not None}
        for one in named:
            if Path(one).resolve().parent != folder:
                raise MovieError(f"{self._path} points at a file outside its folder: refused")

    def _refuse_beyond_end(self, page: Any) -> None:
        handle = page.parent.filehandle if hasattr(page, "parent") else self._tif.filehandle
        size = self._size if handle is self._tif.filehandle else handle.size
        ends = (a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        if max(ends, default=0) > size:
            raise MovieError(f"{self._path} {_DAMAGED}: pixels lie beyond its {size} bytes")


def _images(tif: tifffile.TiffFile) -> list[Any]:
    """List the images of a file without thumbnails, wherever these lie; OME numbers its own."""
    series = tif.series
    whole = [one for one in series if not one.keyframe.is_reduced]
    return series if tif.is_ome or not whole else whole


def _scenes(series: list[Any], scene: int | str | None, path: Path) -> tuple[tuple[str, ...], int]:
    """Name the images of a file, and give the number of the chosen one: the first if not told."""
    if len(series) == 1 and scene is None:
        return (), 0
    names = tuple(str(one.name) or f"image {i}" for i, one in enumerate(series))
    if scene is None:
        warnings.warn(
            f"{path} holds {len(series)} images; the first is read: choose with scene=",
            stacklevel=5,
        )
        scene = 0
    number = chosen_scene(names, scene, path)
    return (names if len(names) > 1 else ()), number


def _joined_pages(tif: tifffile.TiffFile) -> list[Any] | None:
    """Find the pages of several images that are alike: the frames of one movie, in their order.

    Pages that differ in nothing but their compression are images of their own to tifffile.
    """
    series = _images(tif)
    if len(series) < 2 or tif.is_ome or tif.is_imagej:
        return None
    first = series[0].keyframe
    alike = all(
        one.keyframe.shape == first.shape and one.dtype == series[0].dtype and _is_list(one)
        for one in series
    )
    if not alike or not set(first.axes) <= set("YXS"):
        return None
    return sorted((page for one in series for page in one.pages), key=lambda page: page.index)


def _is_list(series: Any) -> bool:
    """Whether an image is a page, or a list of pages that is all there and of no known order."""
    if series.kind == "shaped" and len(series.pages) > 1:
        return False  # whoever wrote it said that it is a stack of its own
    lead = series.axes[: len(series.shape) - len(series.keyframe.shape)]
    return lead in ("", "I", "Q", "T") and len(series.pages) * math.prod(
        series.keyframe.shape
    ) == math.prod(series.shape)


def _imagej_images(tif: tifffile.TiffFile) -> int:
    """Give the number of planes ImageJ announces; 0 when it says nothing."""
    try:
        return int((tif.imagej_metadata or {}).get("images", 0))
    except (TypeError, ValueError):
        return 0


def _imagej_planes(tif: tifffile.TiffFile) -> int:
    """Give how many of ImageJ's planes one page may hold (channels of a planar page)."""
    return int(tif.pages.first.samplesperpixel)


def _chain_ends(tif: tifffile.TiffFile) -> bool:
    """Tell whether the last page says that it is the last; tifffile only logs when it is not."""
    layout, last = tif.tiff, tif.pages[-1].offset
    if not last:  # a page that tifffile made up, for a microscope's own way of listing them
        return True
    tif.filehandle.seek(last)
    try:
        (tags,) = struct.unpack(layout.tagnoformat, tif.filehandle.read(layout.tagnosize))
        tif.filehandle.seek(last + layout.tagnosize + tags * layout.tagsize)
        (following,) = struct.unpack(layout.offsetformat, tif.filehandle.read(layout.offsetsize))
    except struct.error:
        return False
    return following == 0


def _description_is_whole(tif: tifffile.TiffFile, size: int) -> bool:
    """Tell whether ImageDescription, which names the axes and often comes last, is all there.

    tifffile drops a tag that it cannot read and would go on with axes of unknown meaning.
    """
    layout, first = tif.tiff, tif.pages.first.offset
    if layout.tagsize != 4 + 2 * layout.offsetsize:  # Hamamatsu's own kind of TIFF
        return True
    tif.filehandle.seek(first)
    (tags,) = struct.unpack(layout.tagnoformat, tif.filehandle.read(layout.tagnosize))
    entries = tif.filehandle.read(tags * layout.tagsize)
    tail = 2 * layout.offsetsize  # an entry ends in a count and a place
    for end in range(layout.tagsize, len(entries) + 1, layout.tagsize):
        (code,) = struct.unpack_from(layout.byteorder + "H", entries, end - layout.tagsize)
        count, place = struct.unpack_from(
            layout.byteorder + 2 * layout.offsetformat[1:], entries, end - tail
        )
        if code == _IMAGE_DESCRIPTION and count > layout.offsetsize and place + count > size:
            return False
    return True


@contextmanager
def _quiet_tifffile() -> Iterator[list[logging.LogRecord]]:
    """Collect what tifffile logs in this thread; a broken file gives one error, no chatter."""
    said: list[logging.LogRecord] = []
    me = threading.get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.thread != me:
            return True
        said.append(record)
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield said
    finally:
        logger.removeFilter(collect)
