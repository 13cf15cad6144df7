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
        # State and value at once: another thread must not see one without the other. The tensors
        # are held, so that no other takes their place.
        self._kept: tuple[tuple[Hashable, ...], tuple[Tensor, ...], _Value] | None = None

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
        kept = self._kept
        if kept is None or kept[0] != state:
            kept = self._kept = (state, tensors, make())
        return kept[2]
