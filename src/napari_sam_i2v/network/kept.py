"""Values that follow from a network's parameters alone: computed once, not once per frame."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch
from torch import Tensor

__all__ = ["Kept"]

_Value = TypeVar("_Value")


class Kept(Generic[_Value]):
    """One value that follows from some tensors, kept for as long as they stay as they are."""

    def __init__(self) -> None:
        self._state: tuple[Hashable, ...] = ()
        self._tensors: tuple[Tensor, ...] = ()  # held, so that no other takes their place
        self._value: _Value | None = None

    def of(
        self, make: Callable[[], _Value], *tensors: Tensor, also: tuple[Hashable, ...] = ()
    ) -> _Value:
        """Return what `make` gives, called anew after a change only.

        Parameters
        ----------
        make
            Computes the value.
        *tensors
            Parameters and buffers that it follows from.
        also
            What else it follows from.

        Returns
        -------
        _Value
            Not kept where gradients are recorded, which belong to one pass, nor if it follows
            from tensors that were made in inference mode, whose changes nobody counts.
        """
        if torch.is_grad_enabled() or any(t.is_inference() for t in tensors):
            return make()
        state = (*also, *((t.data_ptr(), t._version) for t in tensors))
        if self._value is None or state != self._state:
            self._state, self._tensors, self._value = state, tensors, make()
        return self._value
