"""The network on a device other than the CPU; see `emulated_device` for what that can show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam_i2v.network import image_encoder
from napari_sam_i2v.network.image_encoder import MBConv, TinyViTMLP
from napari_sam_i2v.network.products import attend
from tests.network import tiny
from tests.network.emulated_device import emulated


@pytest.mark.parametrize(
    "mix",
    [
        lambda there: there + torch.ones(3),
        lambda there: torch.cat((there, torch.ones(3))),
        lambda there: torch.ones(3)[there.long()],
        lambda there: torch.stack([there]).matmul(torch.ones(3)),
    ],
)
def test_devices_do_not_mix(
    monkeypatch: pytest.MonkeyPatch, mix: Callable[[Tensor], Tensor]
) -> None:
    with emulated(monkeypatch), pytest.raises(RuntimeError, match="same device"):
        mix(torch.zeros(3, device="cuda"))


def test_numbers_come_back_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch):
        there = torch.tensor([1.0, 2.0], device="cuda")
        assert there.device == torch.device("cuda:0")
        for read in (there.numpy, lambda: np.asarray(there)):
            with pytest.raises(TypeError, match="numpy"):
                read()
        assert there[torch.tensor([1])].cpu().numpy().tolist() == [2.0]
        assert (there + torch.tensor(1)).tolist() == [2.0, 3.0]


def test_apple_lacks_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch, "mps"):
        with pytest.raises(TypeError, match="float64"):
            torch.tensor(np.ones(2), device="mps")
        with pytest.raises(NotImplementedError, match="eigh"):
            torch.linalg.eigh(torch.eye(2, device="mps"))
        assert torch.from_numpy(np.ones(2)).to("mps", torch.float32).dtype == torch.float32


@pytest.mark.parametrize("biased", [True, False])
def test_few_queries_are_attended_from_by_the_formula_on_apple(
    monkeypatch: pytest.MonkeyPatch, biased: bool
) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 1, n, 64) for n in (3, 37, 37)]
    inputs += [torch.randn(2, 1, 1, 37)] if biased else []
    wanted = F.scaled_dot_product_attention(*inputs)
    kernels: list[Tensor] = []
    with emulated(monkeypatch, "mps"):
        monkeypatch.setattr(F, "scaled_dot_product_attention", kernels.append)
        found = attend(*(x.to("mps") for x in inputs)).cpu()
    assert not kernels
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_a_given_mask_is_taken(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    torch.manual_seed(0)
    model, feature = tiny.build(), torch.randn(1, 32, 4, 4)
    mask = (torch.rand(1, 1, 64, 64) > 0.5).float()
    with torch.inference_mode():
        wanted = model.use_mask(feature, mask)
    with emulated(monkeypatch, kind), torch.inference_mode():
        found = model.to(kind).use_mask(feature.to(kind), mask.to(kind))
        assert found.low.device.type == kind
        torch.testing.assert_close(found.low.cpu(), wanted.low)
        torch.testing.assert_close(found.pointer.cpu(), wanted.pointer, atol=1e-4, rtol=1e-4)


def test_what_fits_no_cache_is_made_in_parts_on_a_cpu_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_encoder, "AT_ONCE", 1024)
    torch.manual_seed(0)
    parts, inputs = (MBConv(8).eval(), TinyViTMLP(8).eval()), torch.randn(1, 8, 16, 16)
    taken: list[tuple[str, tuple[int, ...]]] = []
    original = F.layer_norm, F.conv2d
    for name, function in zip(("layer_norm", "conv2d"), original, strict=True):
        monkeypatch.setattr(
            F, name, lambda x, *args, _name=name, _do=function, **given: (
                taken.append((_name, tuple(x.shape))), _do(x, *args, **given))[1],
        )  # fmt: skip

    def run(device: str) -> list[Tensor]:
        taken.clear()
        with torch.inference_mode():
            return [part.to(device)(inputs.to(device)) for part in parts[:1]] + [
                parts[1].to(device)(inputs.permute(0, 2, 3, 1).contiguous().to(device))
            ]

    wanted, on_cpu = run("cpu"), len(taken)
    with emulated(monkeypatch):
        found = [x.cpu() for x in run("cuda")]
    assert len(taken) < on_cpu
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
