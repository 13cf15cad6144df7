"""What a track remembers survives a file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam_i2v.network import get_config
from napari_sam_i2v.propagation.answer import Answer, ObjectMask
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.prompts import Prompt
from napari_sam_i2v.propagation.remembered import pack_track, unpack_track
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import View


def no_name(tensor: Tensor, *, lasting: bool) -> str:
    raise AssertionError("an empty memory has no tensors")


def no_tensor(name: str) -> Tensor:
    raise AssertionError("an empty memory has no tensors")


@pytest.mark.parametrize("seen", [None, Seen(12.25, 40.5, 77, (8, 36, 17, 45), 8, 0.75)])
def test_where_a_track_is_survives(seen: Seen | None) -> None:
    config = get_config("sam-i2v-micro")
    track = Track(
        3, MemoryBank(config), view=View(1, 2, 30, 40), size=9.5, lost=1, at=9, seen=seen, usual=8.5
    )
    facts = json.loads(json.dumps(pack_track(track, no_name)))
    back = unpack_track(
        facts, object_id=3, config=config, tensor=no_tensor, rounds=lambda index: ()
    )
    assert (back.view, back.size, back.lost, back.at) == (track.view, 9.5, 1, 9)
    assert (back.seen, back.usual) == (seen, 8.5)
    if seen is not None:
        del facts["seen"][-1]  # kept by an older version
        older = unpack_track(
            facts, object_id=3, config=config, tensor=no_tensor, rounds=lambda index: ()
        )
        assert older.seen == replace(seen, iou=1.0)


def test_the_mask_that_is_handed_over_survives() -> None:
    config = get_config("sam-i2v-micro")
    kept: dict[str, Tensor] = {}

    def name(tensor: Tensor, *, lasting: bool) -> str:
        assert not lasting
        kept[str(id(tensor))] = tensor
        return str(id(tensor))

    before = ObjectMask.given(np.array([[0, 1, 1], [1, 1, 0]], bool), 30, 41)
    facts = json.loads(json.dumps(pack_track(Track(3, MemoryBank(config), before=before), name)))
    back = unpack_track(
        facts, object_id=3, config=config, tensor=kept.__getitem__, rounds=lambda index: ()
    ).before
    assert before is not None and back is not None
    assert back.box == before.box and np.array_equal(back.mask, before.mask)
    del facts["before"]  # kept by an older version
    track = unpack_track(
        facts, object_id=3, config=config, tensor=no_tensor, rounds=lambda index: ()
    )
    assert track.before is None


def test_what_confines_an_answer_survives() -> None:
    config = get_config("sam-i2v-micro")
    kept: dict[str, Tensor] = {}

    def name(tensor: Tensor, *, lasting: bool) -> str:
        kept[str(id(tensor))] = tensor
        return str(id(tensor))

    low = torch.ones(1, 4, 4)
    answer = Answer(
        View(0, 0, 8, 8), low, low, torch.zeros(2), 3.0, 0.5,
        heeded=((1.5, 2.0),), within=(1.0, 2.0, 6.5, 7.0),
    )  # fmt: skip
    track = Track(3, MemoryBank(config), answers={7: answer})
    facts = json.loads(json.dumps(pack_track(track, name)))
    back = unpack_track(
        facts, object_id=3, config=config, tensor=kept.__getitem__,
        rounds=lambda index: (Prompt(3, index, points=np.array([[4.0, 4.0]])),),
    )  # fmt: skip
    assert back.answers[7].heeded == answer.heeded
    assert back.answers[7].within == answer.within
    assert back.answers[7].paste().box == (1, 2, 7, 7)
    assert back.answers[7].heeds(np.array([[1.5, 2.0]]))
    assert not back.answers[7].heeds(np.array([[3.0, 3.0]]))
