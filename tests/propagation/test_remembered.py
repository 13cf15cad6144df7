"""What a track remembers survives a file."""

from __future__ import annotations

import json

import pytest
from torch import Tensor

from napari_sam_i2v.network import get_config
from napari_sam_i2v.propagation.memory_bank import MemoryBank
from napari_sam_i2v.propagation.remembered import pack_track, unpack_track
from napari_sam_i2v.propagation.seen import Seen
from napari_sam_i2v.propagation.track import Track
from napari_sam_i2v.propagation.view import View


def no_name(tensor: Tensor, *, lasting: bool) -> str:
    raise AssertionError("an empty memory has no tensors")


def no_tensor(name: str) -> Tensor:
    raise AssertionError("an empty memory has no tensors")


@pytest.mark.parametrize("seen", [None, Seen(12.25, 40.5, 77, (8, 36, 17, 45), 8)])
def test_where_a_track_is_survives(seen: Seen | None) -> None:
    config = get_config("sam-i2v-micro")
    track = Track(3, MemoryBank(config), view=View(1, 2, 30, 40), size=9.5, lost=1, at=9, seen=seen)
    facts = json.loads(json.dumps(pack_track(track, no_name)))
    back = unpack_track(
        facts, object_id=3, config=config, tensor=no_tensor, rounds=lambda index: ()
    )
    assert (back.view, back.size, back.lost, back.at) == (track.view, 9.5, 1, 9)
    assert back.seen == seen
