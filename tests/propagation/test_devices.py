"""A session on another device, played by the CPU, gives the CPU's labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam_i2v.network import SamI2V
from napari_sam_i2v.network.checkpoints import load_model
from napari_sam_i2v.network.memory_filter import Selection
from napari_sam_i2v.propagation.memory_bank import MemoryBank, MemoryEntry, stack_memories
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.session import Session
from tests.network import tiny as network
from tests.network.emulated_device import emulated
from tests.tiny import blobs

FRAMES, SIDE = 4, 64
MASK = np.pad(np.ones((9, 9), bool), ((30, SIDE - 39), (27, SIDE - 36)))


def tracked(model: SamI2V, device: str, precision: str = "fp32", **options: Any) -> np.ndarray:
    """Labels of a click, a box and a mask, in both directions, and of corrections."""
    session = Session(blobs(FRAMES, SIDE), model=model, device=device, precision=precision,
                      **options)  # fmt: skip
    assert session.model.device.type == device
    session.add_points(1, 1, points=[(12, 14)])
    session.add_box(2, 2, box=(26, 24, 40, 38))
    session.add_mask(3, 3, mask=MASK)
    passed(session.propagate())
    session.add_points(1, 3, points=[(20, 22)], labels=[0])
    session.add_points(2, 0, points=[(33, 31)])
    passed(session.propagate())
    return np.asarray(session.labels).copy()


def passed(frames: Iterable[object]) -> None:
    for _ in frames:
        pass


def differing(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the labelled pixels whose labels differ."""
    assert wanted.any()
    return float((found != wanted).sum() / (wanted > 0).sum())


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_embedded_network_gives_the_cpus_labels(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    wanted = tracked(load_model(device="cpu"), "cpu")
    with emulated(monkeypatch, kind):
        assert differing(tracked(load_model(device="auto"), kind), wanted) < 0.01


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("cuda", {"view": "frame", "memory_filter": "multinomial"}),
        ("mps", {"view": "follow"}),
    ],
)
def test_the_published_architecture_gives_the_cpus_labels(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, Any]
) -> None:
    wanted = tracked(network.build(), "cpu", **options)
    with emulated(monkeypatch, kind):
        assert differing(tracked(network.build(), kind, **options), wanted) < 0.01


@pytest.mark.parametrize(
    ("kind", "precision"), [("cuda", "auto"), ("cuda", "fp16"), ("mps", "bf16")]
)
def test_half_precision_runs_on_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, precision: str
) -> None:
    model = network.build(memory_block="criss-cross", fine_dim=2)
    with emulated(monkeypatch, kind):
        session = Session(blobs(3, SIDE), model=model, device=kind, precision=precision)
        session.add_box(1, 0, box=(6, 8, 18, 20))
        passed(session.propagate())
    assert session.engine.precision == ("bf16" if precision == "auto" else precision)
    assert np.asarray(session.labels).any()


def test_what_does_not_fit_is_done_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks = [Prompt(i, 0, points=np.array([[12.0, 14.0 + 4 * i]])) for i in (1, 2, 3, 4)]

    def run(device: str) -> tuple[np.ndarray, int]:
        session = Session(blobs(3, SIDE), model=network.build(), device=device, precision="fp32")
        session.add_prompts(clicks)
        passed(session.propagate())
        return np.asarray(session.labels), session.engine._most

    wanted, _ = run("cpu")
    with emulated(monkeypatch) as device:

        def full(function: Any, args: Any) -> None:
            if function is torch.ops.aten.convolution.default and len(args[0]) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

        device.room = full
        found, most = run("cuda")
    assert most < len(clicks), "memory was not short"
    assert differing(found, wanted) < 0.01


def test_memories_of_many_objects_go_to_the_device_as_often_as_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = network.config()
    chosen = Selection((0,), (0,), (1,), (0,), (1.0,), (1,))

    with emulated(monkeypatch) as device:
        parts = (torch.zeros(16, 4, 4), torch.zeros(16), torch.zeros(32), torch.zeros(512))
        entry = MemoryEntry(*(part.to("cuda") for part in parts))

        def waits(objects: int) -> int:
            device.waits = 0
            memory = stack_memories([MemoryBank(config, {0: entry})] * objects, [chosen] * objects)
            assert {one.device.type for one in vars(memory).values()} == {"cuda"}
            return device.waits

        assert waits(6) == waits(1) > 0
