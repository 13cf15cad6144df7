"""A label store as an array with all axes of its layer; those that are fixed have length 1."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FixedAxes"]

_BASIC = (Integral, slice, type(Ellipsis))


class FixedAxes:
    """An array with more axes; nothing is copied, and what is written is written to the array.

    It is indexed as numpy has it: a Labels layer shows it, paints on it and undoes that.

    Parameters
    ----------
    array : array-like
        numpy or zarr.
    fixed : iterable of int
        Which axes of this one have length 1 and are not the array's.
    """

    def __init__(self, array: Any, fixed: Iterable[int]) -> None:
        self._array = array
        self._fixed = frozenset(fixed)
        shape = [int(n) for n in array.shape]
        for axis in sorted(self._fixed):
            shape.insert(axis, 1)
        self.shape = tuple(shape)
        self.dtype = np.dtype(array.dtype)
        self.ndim, self.size = len(shape), int(np.prod(shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        shape, inner = self._indexed(key)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        return np.asarray(self._array[inner]).reshape(shape)[()]

    def __setitem__(self, key: Any, values: Any) -> None:
        shape, inner = self._indexed(key)
        if 0 in shape:
            return
        given = np.broadcast_to(np.asarray(values, self.dtype), shape)
        self._array[inner] = given.reshape(_shape_of(self._array.shape, inner))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def _indexed(self, key: Any) -> tuple[tuple[int, ...], tuple[Any, ...]]:
        """Return the shape of what a key means, and the array's own key for the same elements."""
        keys = key if isinstance(key, tuple) else (key,)
        shape = _shape_of(self.shape, keys)  # an IndexError if there is no such thing
        if all(isinstance(k, _BASIC) and not isinstance(k, bool) for k in keys):
            whole = self._whole(keys)
        else:
            whole = [_places(self.shape, axis, keys) for axis in range(self.ndim)]
        return shape, tuple(k for axis, k in enumerate(whole) if axis not in self._fixed)

    def _whole(self, keys: tuple[Any, ...]) -> list[Any]:
        """Return one integer or slice for each axis."""
        given = [k for k in keys if k is not Ellipsis]
        left = [slice(None)] * (self.ndim - len(given))
        at = next((n for n, k in enumerate(keys) if k is Ellipsis), len(given))
        return [*given[:at], *left, *given[at:]]


def _shape_of(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(np.broadcast_to(np.uint8(0), shape)[key].shape)


def _places(shape: tuple[int, ...], axis: int, key: tuple[Any, ...]) -> NDArray[np.intp]:
    """Return where along an axis the elements lie that a key means, one after the other."""
    along = np.arange(shape[axis]).reshape(-1, *[1] * (len(shape) - axis - 1))
    return np.broadcast_to(along, shape)[key].ravel()
