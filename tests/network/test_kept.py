"""Values that follow from weights are made once, and anew when the weights change."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from napari_sam_i2v.network.image_encoder import ConvBN
from napari_sam_i2v.network.kept import Kept


class Counted:
    """Doubles a tensor, and counts how often."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.times = tensor, 0

    def __call__(self) -> torch.Tensor:
        self.times += 1
        return self.tensor * 2


def test_a_value_is_made_once() -> None:
    weight = nn.Parameter(torch.ones(3))
    kept, make = Kept[torch.Tensor](), Counted(weight)
    with torch.no_grad():
        for _ in range(3):
            assert kept.of(make, weight).tolist() == [2, 2, 2]
        assert make.times == 1
        weight.add_(1)
        assert kept.of(make, weight).tolist() == [4, 4, 4]
        weight.data = torch.zeros(3)
        assert kept.of(make, weight).tolist() == [0, 0, 0]
        kept.of(make, weight, also=("otherwise",))
    assert make.times == 4


def test_with_gradients_nothing_is_kept() -> None:
    weight = nn.Parameter(torch.ones(3))
    kept, make = Kept[torch.Tensor](), Counted(weight)
    for _ in range(2):
        kept.of(make, weight).sum().backward()
    assert make.times == 2
    assert weight.grad is not None
    assert weight.grad.tolist() == [4, 4, 4]


def test_what_follows_from_uncounted_tensors_is_not_kept() -> None:
    kept = Kept[torch.Tensor]()
    with torch.inference_mode():
        weight = torch.ones(3)
        make = Counted(weight)
        kept.of(make, weight)
        weight.add_(1)
        assert kept.of(make, weight).tolist() == [4, 4, 4]


def change_in_place(conv: ConvBN, other: ConvBN) -> None:
    with torch.no_grad():
        for own, new in zip(conv.parameters(), other.parameters(), strict=True):
            own.copy_(new)


def load(conv: ConvBN, other: ConvBN) -> None:
    conv.load_state_dict(other.state_dict())


def assign(conv: ConvBN, other: ConvBN) -> None:
    conv.load_state_dict(other.state_dict(), assign=True)


@pytest.mark.parametrize("change", [change_in_place, load, assign])
def test_a_folded_norm_follows_its_weights(change: object) -> None:
    torch.manual_seed(0)
    conv, other = ConvBN(4, 6, 3).eval(), ConvBN(4, 6, 3).eval()
    x = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        before, wanted = conv(x), other(x)
        assert not torch.allclose(before, wanted)
    assert callable(change)
    change(conv, other)
    with torch.inference_mode():
        assert torch.equal(conv(x), wanted)


def test_a_copy_goes_its_own_way() -> None:
    conv = ConvBN(4, 6, 3).eval()
    x = torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        before = conv(x)
    twin = copy.deepcopy(conv)
    with torch.no_grad():
        twin.c.weight.mul_(2)
    with torch.inference_mode():
        assert torch.equal(conv(x), before)
        assert not torch.equal(twin(x), before)
