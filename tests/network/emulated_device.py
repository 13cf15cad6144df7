"""A second device, played by the CPU: it fails where a real one would, and computes the numbers.

Its tensors say that they are on "cuda" or "mps", and hold tensors of the CPU, on which all is
computed. What mixes the two is refused as torch refuses it, and so is what Apple's chips lack:
float64, and operators for which torch names no kernel there. Memory, streams, kernels of their
own and the rounding of real devices are not played.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from napari_sam_i2v.network.attention import rotary_grid, sine_map
from tests.network.apple import is_on_mps

__all__ = ["Emulated", "emulated"]

ATEN = torch.ops.aten
INDEXED = {ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default}
"""Take indices of the CPU, too."""
WAITING = {ATEN._local_scalar_dense.default, ATEN.nonzero.default, ATEN.is_nonzero.default}
"""Give what the CPU must know, or that of a size that it must know, before it goes on."""
FULL = ("layer_norm", "softmax", "sum", "norm", "pow", "exp", "log", "rsqrt",
        "binary_cross_entropy_with_logits")  # fmt: skip
"""Of what autocast computes in float32 on GPUs, and not on CPUs: what our code calls."""
PARTED = torch._C.DispatchKey.CompositeImplicitAutograd
HALF = (torch.bfloat16, torch.float16)


class Remote(Tensor):
    """A tensor of the device; `held` is the CPU's that plays it."""

    held: Tensor
    played: Emulated

    @staticmethod
    def __new__(cls, held: Tensor, played: Emulated) -> Remote:
        """Show `held` as one of the device."""
        played.check_type(held.dtype)
        # To torch itself it is one of the CPU: a CPU build cannot go back through any other.
        # Views of what is no inference tensor are none, either.
        with torch.inference_mode(held.is_inference()):
            made: Remote = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
                dtype=held.dtype, device="cpu",
            )  # fmt: skip
        made.held, made.played = held, played
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it seems to be."""
        return self.played.device

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be read again as one of the CPU, as with `map_location="cpu"`."""
        return self.held.detach().__reduce_ex__(protocol)

    def data_ptr(self) -> int:
        """Where its numbers are."""
        return self.held.data_ptr()

    def tolist(self) -> Any:
        """Wait for its numbers."""
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        """Fail as torch does."""
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is called, on the device."""
        return _played(args, kwargs).call(func, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU."""
        return _played(args, kwargs).compute(func, args, kwargs or {})


class Emulated(TorchFunctionMode):
    """While entered, tensors can be made on the device, and moved there and back.

    Parameters
    ----------
    kind
        "cuda" or "mps".

    Attributes
    ----------
    waits
        How often the CPU waited for the device: for numbers that are copied from it or to it, or
        that decide what comes next.
    room
        Called with each operator and its arguments before it is computed; raises what a device
        would that has no memory left.
    """

    def __init__(self, kind: str) -> None:
        self.device = torch.device(kind, 0)
        self.waits = 0
        self.room: Callable[[Any, Any], None] = lambda *_: None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See to what is made on the device, or moved."""
        return self.call(func, args, kwargs)

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Do what is called in Python, with arguments as a user gives them."""
        kwargs = dict(kwargs or {})
        if func is Tensor.cpu:
            return self._moved(args[0], torch.device("cpu"), args[0].dtype)
        if func is Tensor.to:
            place, dtype = _target(*args, **kwargs)
            if place.type != args[0].device.type:
                return self._moved(args[0], place, dtype)
            args, kwargs = args[:1], {**kwargs, "dtype": dtype, "device": None}
        made = self._is_here(kwargs.get("device"))
        if made:
            kwargs["device"] = "cpu"
            if kwargs.get("generator") is not None:
                raise RuntimeError(f"Expected a {self.device.type!r} device type for generator")
            if func in (torch.tensor, torch.as_tensor):
                return self._moved(func(*args, **kwargs), self.device, kwargs.get("dtype"))
        if func.__name__ == "scaled_dot_product_attention":
            func = _attend
        if torch.is_autocast_enabled("cpu"):
            if func.__name__.startswith("fft_") and any(map(_is_half, _leaves(args))):
                raise RuntimeError("Unsupported dtype BFloat16")
            if func.__name__ in FULL:
                args = _mapped(lambda x: x.float() if _is_half(x) else x, args)
        with torch._C.DisableTorchFunctionSubclass():
            found = func(*args, **kwargs)
        return Remote(found, self) if made and type(found) is Tensor else found

    def compute(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Compute an operator of torch on the CPU, if the device would compute it."""
        # In inference mode, torch leaves it to us to take apart what has no kernel of its own.
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), PARTED.name):
            with torch._C.DisableTorchFunction():
                return func._op_dk(PARTED, *args, **kwargs)
        self._check(func, args, kwargs)
        self.room(func, args)
        if func in WAITING:
            self.waits += 1
        held_args, held_kwargs = _mapped(
            lambda x: x.held if isinstance(x, Remote) else x, (args, kwargs)
        )
        # Complex numbers that are conjugated later would not be, here.
        found = (ATEN._conj_physical if func is ATEN._conj.default else func)(
            *held_args, **held_kwargs
        )
        names = [a.name for a in func._schema.arguments if a.alias_info and a.alias_info.is_write]
        if names:
            given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
            return given[names[0]] if len(names) == 1 else tuple(given[name] for name in names)
        return _mapped(lambda x: Remote(x, self) if isinstance(x, Tensor) else x, found)

    def check_type(self, dtype: torch.dtype) -> None:
        """Refuse numbers that the device does not have."""
        if self.device.type == "mps" and dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    def _check(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Refuse tensors of the CPU among the device's, and operators that it lacks."""
        tensors = [x for x in _leaves((args, kwargs)) if isinstance(x, Tensor)]
        if func in INDEXED and isinstance(args[0], Remote):
            tensors = [args[0], *args[2:3]]
        strays = [x for x in tensors if not isinstance(x, Remote) and x.ndim]
        if func is ATEN.copy_.default:
            if strays:
                self.waits += 1
        elif strays:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{self.device} and cpu! ({func}, {[tuple(x.shape) for x in strays]})"
            )
        if self.device.type == "mps" and not is_on_mps(func):
            raise NotImplementedError(f"The operator '{func}' is not implemented for MPS")

    def _is_here(self, place: Any) -> bool:
        return place is not None and torch.device(place).type == self.device.type

    def _moved(self, x: Tensor, place: torch.device, dtype: torch.dtype | None) -> Tensor:
        """A copy of a tensor on this device or on the CPU."""
        self.waits += 1
        held = x.held if isinstance(x, Remote) else x.detach()
        if held.requires_grad or (torch.is_grad_enabled() and x.requires_grad and not x.is_leaf):
            raise NotImplementedError("gradients do not go from one device to the other")
        copied = held.to(dtype or x.dtype, copy=True)
        return Remote(copied, self) if self._is_here(place) else copied


def _leaves(values: Any) -> Iterator[Any]:
    """All that is in nested containers: torch's own way takes most of the time."""
    if isinstance(values, tuple | list):
        for one in values:
            yield from _leaves(one)
    elif isinstance(values, dict):
        yield from _leaves([*values.values()])
    else:
        yield values


def _mapped(function: Callable[[Any], Any], values: Any) -> Any:
    """The same containers with what a function makes of all that is in them."""
    if isinstance(values, tuple | list):
        parts = [_mapped(function, one) for one in values]
        return parts if isinstance(values, list) else tuple(parts)
    if isinstance(values, dict):
        return {key: _mapped(function, one) for key, one in values.items()}
    return function(values)


def _played(args: Any, kwargs: Any) -> Emulated:
    return next(x.played for x in _leaves((args, kwargs)) if isinstance(x, Remote))


def _target(x: Tensor, *args: Any, **kwargs: Any) -> tuple[torch.device, torch.dtype]:
    """Device and type that `x.to(...)` asks for."""
    place, dtype = kwargs.get("device") or x.device, kwargs.get("dtype") or x.dtype
    for one in (*args, kwargs.get("other")):
        if isinstance(one, Tensor):
            place, dtype = one.device, one.dtype
        elif isinstance(one, torch.dtype):
            dtype = one
        elif isinstance(one, str | torch.device):
            place = one
    return torch.device(place), dtype


def _is_half(x: Any) -> bool:
    return isinstance(x, Remote) and x.dtype in HALF


def _attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """Attend by the plain formula: torch would take kernels that are the CPU's own."""
    inputs = [query, key, value, *([] if attn_mask is None else [attn_mask])]
    if torch.is_autocast_enabled("cpu"):
        inputs = [x.to(torch.get_autocast_dtype("cpu")) for x in inputs]
    if len({x.dtype for x in inputs}) > 1:
        raise RuntimeError("Expected query, key, value and bias to have the same dtype")
    with torch.autocast("cpu", enabled=False):
        return ATEN._scaled_dot_product_attention_math(*inputs)[0]  # type: ignore[no-any-return]


@contextmanager
def emulated(monkeypatch: pytest.MonkeyPatch, kind: str = "cuda") -> Iterator[Emulated]:
    """A machine with such a device, for as long as the block lasts."""
    played = torch.cuda if kind == "cuda" else torch.backends.mps
    real = torch.autocast, torch.is_autocast_enabled, torch.get_autocast_dtype
    with monkeypatch.context() as patch:
        patch.setattr(played, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
        for name, function in zip(
            ("autocast", "is_autocast_enabled", "get_autocast_dtype"), real, strict=True
        ):
            patch.setattr(torch, name, functools.partial(_for_cpu, function, kind))
        replaced = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with Emulated(kind) as device:
                yield device
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(replaced)
            for table in (rotary_grid, sine_map):  # kept by device
                table.cache_clear()


def _for_cpu(function: Callable[..., Any], kind: str, asked: str, **given: Any) -> Any:
    """Ask of the CPU what is asked of the device."""
    return function("cpu" if asked == kind else asked, **given)
