"""Device and precision: what is there is taken, what is not is refused by name."""

from __future__ import annotations

import os

import pytest
import torch

from napari_sam_i2v.errors import InputError
from napari_sam_i2v.network.device import (
    autocast,
    resolve_device,
    resolve_precision,
    spared_core,
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any accelerator; tests add one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


def add_cuda(machine: pytest.MonkeyPatch, *, cards: int = 1, capability: int = 9) -> None:
    """Cards, the first with that (major) capability and any other with 7: too old for bf16."""
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "device_count", lambda: cards)
    machine.setattr(torch.cuda, "is_bf16_supported", lambda *a, **k: True)  # by imitation, too
    machine.setattr(
        torch.cuda, "get_device_capability", lambda card: (7 if card.index else capability, 5)
    )


def test_auto_prefers_cuda_then_mps_then_cpu(machine: pytest.MonkeyPatch) -> None:
    assert resolve_device("auto").type == "cpu"
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    add_cuda(machine)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device(None).type == "cuda"


def test_a_device_that_is_there_is_taken_as_it_is(machine: pytest.MonkeyPatch) -> None:
    add_cuda(machine, cards=2)
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "xpu"])
def test_a_missing_device_is_refused_by_name(machine: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*not available here: use auto or cpu"):
        resolve_device(name)


def test_a_missing_card_is_refused(machine: pytest.MonkeyPatch) -> None:
    add_cuda(machine, cards=1)
    with pytest.raises(InputError, match="cuda:1"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_an_unknown_device_is_refused(machine: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(InputError, match="Unknown device"):
        resolve_device(name)


def test_auto_precision(machine: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    add_cuda(machine, cards=2)
    assert resolve_precision("auto", cuda) == "bf16"
    assert resolve_precision("auto", torch.device("cuda:1")) == "fp32"
    add_cuda(machine, capability=7)
    assert resolve_precision("auto", cuda) == "fp32"
    assert resolve_precision("auto", torch.device("cpu")) == "fp32"
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


def test_precision_is_what_was_asked_for() -> None:
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    assert resolve_precision("fp16", torch.device("cuda")) == "fp16"
    assert resolve_precision("fp32", torch.device("cuda")) == "fp32"


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(InputError, match="fp16 is for GPUs"):
        resolve_precision("fp16", torch.device("cpu"))


@pytest.mark.parametrize("name", ["fp8", "", "float32"])
def test_an_unknown_precision_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="Unknown precision"):
        resolve_precision(name, torch.device("cpu"))


def test_autocast_changes_matrix_products_only_where_asked() -> None:
    a = torch.ones(4, 4)
    cpu = torch.device("cpu")
    with autocast(cpu, "bf16"):
        assert (a @ a).dtype == torch.bfloat16
    with autocast(cpu, "fp32"):
        assert (a @ a).dtype == torch.float32


@pytest.mark.parametrize(
    ("cores", "threads", "used"), [(4, 4, 3), (4, 2, 2), (2, 2, 1), (1, 1, 1), (None, 2, 1)]
)
def test_a_core_is_spared_for_a_while(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int, used: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.raises(KeyError), spared_core():
            assert torch.get_num_threads() == used
            raise KeyError
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
