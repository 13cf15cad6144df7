"""Masks are refined by fine features and by the mask of the frame before, where there is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_sam_i2v.network import SamI2V, get_config
from napari_sam_i2v.network.mask_decoder import RawMasks
from napari_sam_i2v.network.refine import FineFeatures, MaskRefiner, laid_over, unpacked
from napari_sam_i2v.network.sam_i2v import Memory
from tests.network import tiny

SIDE = 32


def block(y: int, x: int, height: int = 8, width: int = 8) -> Tensor:
    """A mask (1, 1, SIDE, SIDE) of -1 and 1."""
    mask = -torch.ones(1, 1, SIDE, SIDE)
    mask[..., y : y + height, x : x + width] = 1
    return mask


def rough(side: int = SIDE, *, width: int = 16) -> RawMasks:
    """Candidates of two objects, drawn at random."""
    torch.manual_seed(0)
    return RawMasks(
        torch.randn(2, 4, side, side), torch.rand(2, 4), torch.randn(2, 4, width),
        torch.ones(2, 1), torch.randn(2, width // 8, side, side),
    )  # fmt: skip


def test_a_mask_is_laid_over_where_each_candidate_is() -> None:
    candidates = torch.cat([block(10, 12), block(4, 20), block(11, 12)], dim=1) * 6
    found = laid_over(block(10, 12), candidates)
    assert torch.equal(found[:, :1], block(10, 12))
    assert torch.equal(found[:, 1:2], block(4, 20))
    assert torch.equal(found[:, 2:], block(11, 12)), "an eighth better is clearly better"


def test_a_mask_stays_where_it_fits_about_as_well() -> None:
    thin = torch.maximum(block(10, 12), block(2, 12, 8, 2))  # a body with a neck
    grown = torch.maximum(block(10, 12, 9, 9), block(2, 12, 8, 2)) * 6
    assert torch.equal(laid_over(thin, grown), thin)
    assert torch.equal(laid_over(thin, block(10, 12) * 6), thin), "the neck is not moved about"
    assert torch.equal(laid_over(thin, torch.full((1, 1, SIDE, SIDE), -6.0)), thin)


def test_what_comes_in_from_outside_is_not_the_object() -> None:
    cut = laid_over(block(0, 12), block(0, 12).roll(5, 2) * 6)
    assert torch.equal(cut, block(5, 12))
    kept = laid_over(block(0, 0), torch.full((1, 4, SIDE, SIDE), 6.0))
    assert kept.shape == (1, 4, SIDE, SIDE) and (kept.amin() == -1)


def test_each_object_has_its_own_shift() -> None:
    both = torch.cat([block(10, 12), block(3, 3, 4, 4)])
    candidates = torch.cat([block(16, 12), block(12, 9, 4, 4)]) * 6
    assert torch.equal(laid_over(both, candidates), torch.cat([block(16, 12), block(12, 9, 4, 4)]))


def test_refinement_starts_as_a_sum() -> None:
    raw, fine = rough(), torch.randn(2, 4, SIDE, SIDE)
    refiner = MaskRefiner(tiny.config(hidden_dim=16, fine_dim=4))
    handed = torch.cat([block(10, 12), -torch.ones(1, 1, SIDE, SIDE)])
    refined = refiner(raw, fine, handed)
    torch.testing.assert_close(refined.masks[1], raw.masks[1])
    added = refined.masks[0] - raw.masks[0]
    torch.testing.assert_close(added, 1.5 * laid_over(handed, raw.masks)[0])
    assert refined.tokens is raw.tokens and refined.ious is raw.ious
    torch.testing.assert_close(refiner(raw, fine).masks, raw.masks)
    with pytest.raises(ValueError, match="features are required"):
        refiner(raw._replace(upscaled=None), fine, handed)


def test_an_object_without_a_mask_is_refined_as_on_a_prompted_frame() -> None:
    raw, fine, refiner = rough(), torch.randn(1, 4, SIDE, SIDE), learnt()
    handed = torch.cat([block(10, 12), -torch.ones(1, 1, SIDE, SIDE)])
    told, alone = refiner(raw, fine, handed).masks, refiner(raw, fine).masks
    torch.testing.assert_close(told[1], alone[1])
    assert (told[0] - alone[0]).abs().max() > 0.5
    torch.testing.assert_close(refiner(raw, fine.expand(2, -1, -1, -1), handed).masks, told)


def test_masks_that_are_never_chosen_are_left_as_they_are() -> None:
    raw, fine, refiner = rough(), torch.randn(2, 4, SIDE, SIDE), learnt()
    handed = torch.cat([block(10, 12), block(3, 3)])
    every, some = refiner(raw, fine, handed), refiner(raw, fine, handed, first=1)
    assert torch.equal(some.masks[:, 0], raw.masks[:, 0])
    torch.testing.assert_close(some.masks[:, 1:], every.masks[:, 1:])
    assert (every.masks[:, 0] - raw.masks[:, 0]).abs().max() > 0.5


@pytest.mark.parametrize("points", [1, 2])
def test_the_single_mask_is_refined_where_it_may_be_chosen(points: int) -> None:
    model = tiny.build(fine_dim=4)
    torch.nn.init.normal_(model.mask_refiner.out.weight)
    size = model.config.feature_size
    feature = torch.randn(1, model.config.hidden_dim + 64, size, size)
    seen: list[int] = []
    model.mask_refiner.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["first"]), with_kwargs=True
    )
    with torch.inference_mode():
        model.decode_prompts(feature, torch.rand(1, points, 2) * 9, torch.ones(1, points).long())
    assert seen == [1 if points == 1 else 0]


def test_all_of_it_learns() -> None:
    refiner, raw = learnt(), rough()
    fine = torch.randn(2, 4, SIDE, SIDE).requires_grad_()
    assert raw.upscaled is not None
    raw.upscaled.requires_grad_()
    refiner(raw, fine, torch.cat([block(10, 12)] * 2)).masks.square().sum().backward()
    for name, parameter in refiner.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    for given in (fine, raw.upscaled):
        assert given.grad is not None and given.grad.abs().sum() > 0


def learnt() -> MaskRefiner:
    """A refiner whose last layers are not what they begin as."""
    refiner = MaskRefiner(tiny.config(hidden_dim=16, fine_dim=4))
    torch.nn.init.normal_(refiner.out.weight)
    torch.nn.init.normal_(refiner.trust.weight)
    return refiner


def test_fine_features_travel_packed() -> None:
    config = tiny.config(fine_dim=4)
    features = FineFeatures(config)
    near, wide = torch.randn(2, 32, 16, 16), torch.randn(2, 32, 8, 8)
    packed = features([near, wide])
    assert packed.shape == (2, 4 * 16, 4, 4)
    expected = features.near(near) + features.wide(wide).repeat_interleave(2, 2).repeat_interleave(
        2, 3
    )
    torch.testing.assert_close(unpacked(packed), expected)


# ---- in the network ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> SamI2V:
    return tiny.build(fine_dim=4)


@pytest.fixture(scope="module")
def feature(network: SamI2V) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    clips = torch.randn(2, 3, network.config.clip_length, 64, 64, generator=generator)
    with torch.inference_mode():
        return network.encode_frame(clips)


@pytest.fixture(scope="module")
def memory(network: SamI2V) -> Memory:
    config, generator = network.config, torch.Generator().manual_seed(1)
    side = config.feature_size
    return Memory(
        torch.randn(2, 1, config.memory_dim, side, side, generator=generator),
        torch.ones(2, 1, side * side, dtype=torch.bool),
        torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1),
        torch.randn(2, 1, config.hidden_dim, generator=generator),
        torch.zeros(2, 1), torch.ones(2, 1),
    )  # fmt: skip


def masks_before(network: SamI2V, *, objects: int) -> Tensor:
    """Logits (2, 1, m, m) of masks of the first objects; the others have none."""
    handed = torch.full((2, 1, network.config.mask_size, network.config.mask_size), -10.0)
    handed[:objects, :, 4:9, 4:9] = 10
    return handed


def test_only_the_embedded_network_refines() -> None:
    kinds = {name: get_config(name).fine_dim for name in ("sam-i2v", "sam-i2v++", "sam-i2v-micro")}
    assert kinds == {"sam-i2v": 0, "sam-i2v++": 0, "sam-i2v-micro": 8}
    assert not [name for name in tiny.shared().state_dict() if "fine" in name]


@torch.inference_mode()
def test_an_object_without_a_mask_is_tracked_from_memory_alone(
    network: SamI2V, feature: Tensor, memory: Memory
) -> None:
    alone = network.track(feature, memory)
    none = network.track(feature, memory, masks_before(network, objects=0))
    torch.testing.assert_close(none.low, alone.low)
    told = network.track(feature, memory, masks_before(network, objects=1))
    torch.testing.assert_close(told.low[1], alone.low[1])
    assert (told.low[0] - alone.low[0]).abs().max() > 0.5
    assert (told.score[0] - alone.score[0]).abs() > 1e-4, "it is a prompt as well"


@torch.inference_mode()
def test_without_memory_prompts_masks_are_handed_over_all_the_same(
    network: SamI2V, feature: Tensor, memory: Memory
) -> None:
    handed = masks_before(network, objects=2)
    lacking = network.track(feature, memory, handed, memory_prompts=False)
    assert not torch.allclose(lacking.low, network.track(feature, memory, handed).low)
    bare = network.track(feature, memory, memory_prompts=False)
    assert not torch.allclose(lacking.low, bare.low)


@torch.inference_mode()
def test_fine_features_refine_what_prompts_and_memory_give(
    network: SamI2V, feature: Tensor, memory: Memory
) -> None:
    hidden = network.config.hidden_dim
    other = torch.cat((feature[:, :hidden], feature[:, hidden:].flip(-1)), dim=1)
    points, labels = torch.full((2, 1, 2), 30.0), torch.ones(2, 1, dtype=torch.long)
    one, two = (network.decode_prompts(f, points, labels) for f in (feature, other))
    assert not torch.allclose(one.low, two.low)
    torch.testing.assert_close(one.score, two.score)
    assert not torch.allclose(network.track(feature, memory).low, network.track(other, memory).low)
    assert one.raw is not None and one.raw.upscaled is None, "8 MiB an object where published"
    mask, score = torch.ones(2, 1, 64, 64), torch.ones(2, 1)
    kept = [network.remember(f, mask, score, prompted=True) for f in (feature, other)]
    torch.testing.assert_close(*kept, msg="memory is at stride 16")


@torch.inference_mode()
def test_features_at_stride_16_alone_are_answered_unrefined(
    network: SamI2V, feature: Tensor
) -> None:
    """As an image model's, which training and the ablation decode."""
    points, labels = torch.full((2, 1, 2), 30.0), torch.ones(2, 1, dtype=torch.long)
    plain = network.decode_prompts(feature[:, : network.config.hidden_dim], points, labels)
    assert plain.low.shape == network.decode_prompts(feature, points, labels).low.shape
