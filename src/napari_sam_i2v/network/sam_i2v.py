"""SAM-I2V assembled: encode a frame, decode prompts, track with memory, remember.

Tensors in, tensors out. The network knows one frame at a time; which frames to remember, and
where to look, is decided in `napari_sam_i2v.propagation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import MLP, scalar_code, sine_map
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.image_encoder import TinyViT
from napari_sam_i2v.network.mask_decoder import MaskDecoder, RawMasks, choose_single
from napari_sam_i2v.network.memory_attention import MemoryAttention, MemoryTokens
from napari_sam_i2v.network.memory_encoder import MemoryEncoder
from napari_sam_i2v.network.memory_prompt import MemoryPromptGenerator
from napari_sam_i2v.network.products import Linear
from napari_sam_i2v.network.prompt_encoder import PADDING, PromptEncoder
from napari_sam_i2v.network.refine import FineFeatures, MaskRefiner, unpacked
from napari_sam_i2v.network.temporal import TemporalFeatureIntegrator

__all__ = ["ABSENT", "IMAGE_MEAN", "IMAGE_STD", "Decoded", "Memory", "SamI2V"]

ABSENT = -1024.0
"""Logit of every pixel of an object that is not there."""
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
LOGIT_CLAMP = 32.0
"""Range of an earlier answer when it is fed back as a prompt."""
MASK_LOGIT = 10.0
"""Logit that stands for a given mask's foreground; its negative for the background."""


@dataclass(frozen=True)
class Memory:
    """What B objects remember, padded to the same length.

    Attributes
    ----------
    spatial
        (B, K, memory_dim, h, w) spatial memories.
    foreground
        (B, K, h*w) bool: where the remembered object was.
    time_positions
        (B, K) int: index of each memory's temporal embedding, 0 for conditioning frames.
    copies
        (B, K): how many copies this memory stands for; 0 is padding.
    pointers
        (B, P, hidden_dim) object pointers.
    pointer_values
        (B, P) their positions in time as a share of the memory's length.
    pointer_copies
        (B, P), like `copies`.
    """

    spatial: Tensor
    foreground: Tensor
    time_positions: Tensor
    copies: Tensor
    pointers: Tensor
    pointer_values: Tensor
    pointer_copies: Tensor


@dataclass(frozen=True)
class Decoded:
    """One frame's answer for B objects.

    Attributes
    ----------
    low
        (B, 1, m, m) mask logits at stride 4; `ABSENT` everywhere for an absent object.
    iou
        (B, 1) predicted IoU of that mask.
    ious
        (B, N) of those that were chosen among.
    pointer
        (B, hidden_dim) object pointer.
    score
        (B, 1) object score, a logit: present where > 0.
    raw
        Everything the mask decoder gave, before selection; None for a given mask.
    """

    low: Tensor
    iou: Tensor
    ious: Tensor
    pointer: Tensor
    score: Tensor
    raw: RawMasks | None = None


class ImageEncoder(nn.Module):
    """Image trunk and temporal feature integrator."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        self.trunk_image = TinyViT(config)
        self.trunk_video = TemporalFeatureIntegrator(config)


class SamI2V(nn.Module):
    """Promptable video segmentation (Mei, Zhang, Shou, CVPR 2025).

    Parameters
    ----------
    config
        See `SamI2VConfig`; `get_config` has the named ones.
    """

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        self.config = config
        hidden, memory = config.hidden_dim, config.memory_dim
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(config.num_memories, 1, 1, memory))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, hidden))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, hidden))  # in checkpoints, unused
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, hidden))
        self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory))
        self.image_encoder = ImageEncoder(config)
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        self.memory_prompt_generator = MemoryPromptGenerator(config)
        self.sam_prompt_encoder = PromptEncoder(config)
        self.sam_mask_decoder = MaskDecoder(config)
        if config.fine_dim:
            self.fine_features = FineFeatures(config)
            self.mask_refiner = MaskRefiner(config)
        self.obj_ptr_proj = MLP(hidden, hidden, hidden, 3)
        self.obj_ptr_tpos_proj = Linear(hidden, memory)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_mem_embed.device

    # ---- encode -------------------------------------------------------------------------

    def encode_image(self, frames: Tensor) -> list[Tensor]:
        """Image features of normalised frames (B, 3, S, S); see `TinyViT.forward`."""
        return self.image_encoder.trunk_image(frames)

    def encode_frame(
        self,
        clip: Tensor,
        levels: list[Tensor] | None = None,
        *,
        taps: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Video feature of a clip's newest frame (paper, sec. 3.2).

        Parameters
        ----------
        clip
            Normalised frames (B, 3, clip_length, S, S), oldest first; see `clip_indices`. Where
            `taps` are given, the newest one is enough.
        levels
            Image features of the newest frame, where they are known already.
        taps
            Of all frames of the clip, where they are known already; see `stem_taps`.

        Returns
        -------
        Tensor
            (B, hidden_dim, h, w); with fine features, (B, hidden_dim + fine_dim * 16, h, w).
        """
        levels = self.encode_image(clip[:, :, -1]) if levels is None else levels
        if taps is None:
            frames = clip.transpose(1, 2)
            taps = self.stem_taps(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).unbind(1)
        feature = self.image_encoder.trunk_video(levels, taps)
        if not self.config.fine_dim:
            return feature
        return torch.cat((feature, self.fine_features(levels).to(feature.dtype)), dim=1)

    def _coarse(self, feature: Tensor) -> Tensor:
        """What of a feature (B, C, h, w) is at stride 16: (B, hidden_dim, h, w)."""
        return feature[:, : self.config.hidden_dim]

    def _fine(self, feature: Tensor) -> Tensor | None:
        """What of a feature (B, C, h, w) is at stride 4: (B, fine_dim, m, m), if anything."""
        packed = feature[:, self.config.hidden_dim :]
        return unpacked(packed) if packed.shape[1] else None

    def stem_taps(self, frames: Tensor) -> Tensor:
        """What frames (B, 3, S, S) contribute to a clip; see `TemporalFeatureIntegrator.taps`."""
        return self.image_encoder.trunk_video.taps(frames)

    # ---- decode -------------------------------------------------------------------------

    def decode_prompts(
        self,
        feature: Tensor,
        points: Tensor,
        labels: Tensor,
        *,
        mask_logits: Tensor | None = None,
        memory: Memory | None = None,
        multimask: bool | None = None,
    ) -> Decoded:
        """Answer prompts on a frame.

        Parameters
        ----------
        feature
            (B, hidden_dim, h, w) from `encode_frame`.
        points, labels
            (B, P, 2) in network pixels (x, y) and (B, P); labels as in `PromptEncoder.points`.
        mask_logits
            (B, 1, m, m): the frame's previous answer, to be corrected.
        memory
            What is known from other frames, where the prompts correct a tracked frame.
        multimask
            Choose among three candidates; by default where at most one point is given.
        """
        if multimask is None:
            multimask = points.shape[1] <= 1
        recalled = None if memory is None else self.recall(memory)
        return self._heads(
            self.condition(feature, recalled), points, labels,
            fine=self._fine(feature), mask_logits=mask_logits, recalled=recalled,
            multimask=multimask,
        )  # fmt: skip

    def track(
        self,
        feature: Tensor,
        memory: Memory,
        handed: Tensor | None = None,
        *,
        memory_prompts: bool = True,
    ) -> Decoded:
        """Find the objects on a frame without prompts (paper, sec. 3.3 and 3.4).

        Parameters
        ----------
        feature
            (B, hidden_dim, h, w), or (1, ...) where all objects look at the same.
        memory
            What is known from other frames.
        handed
            (B, 1, m, m) logits: the masks of the frame before, where `config.fine_dim`. One
            without anything above 0 is none.
        memory_prompts
            Whether memory makes prompt tokens, too. Without, an ablation, it conditions features
            alone.
        """
        recalled = self.recall(memory)
        batch, device = memory.spatial.shape[0], feature.device
        points = torch.zeros(batch, 1, 2, device=device)
        labels = torch.full((batch, 1), PADDING, device=device)
        return self._heads(
            self.condition(feature, recalled), points, labels,
            mask_logits=None, recalled=recalled if memory_prompts else None, multimask=True,
            fine=self._fine(feature), handed=handed,
        )  # fmt: skip

    def use_mask(self, feature: Tensor, mask: Tensor) -> Decoded:
        """Take a given mask as the frame's answer.

        Parameters
        ----------
        feature
            (B, hidden_dim, h, w).
        mask
            (B, 1, S, S) of 0 and 1; an empty one says that the object is absent.
        """
        logits = mask.float() * (2 * MASK_LOGIT) - MASK_LOGIT
        low = _shrunk(logits, self.config.mask_size)
        batch, device = mask.shape[0], mask.device
        seen = self._heads(
            self._coarse(feature),
            torch.zeros(batch, 1, 2, device=device),
            torch.full((batch, 1), PADDING, device=device),
            mask_logits=self.mask_downsample(mask.to(self.mask_downsample.weight.dtype)),
            recalled=None,
            multimask=False,
        )
        present = mask.flatten(1).any(dim=1, keepdim=True).float()
        pointer = present * seen.pointer + (1 - present) * self.no_obj_ptr
        one = torch.ones_like(present)
        return Decoded(low, one, one, pointer, present * (2 * MASK_LOGIT) - MASK_LOGIT)

    def upsample(self, low: Tensor) -> Tensor:
        """Mask logits (B, 1, m, m) at network resolution (B, 1, S, S)."""
        return F.interpolate(low.float(), size=(self.config.image_size,) * 2, mode="bilinear")

    def _heads(
        self,
        feature: Tensor,
        points: Tensor,
        labels: Tensor,
        *,
        mask_logits: Tensor | None,
        recalled: MemoryTokens | None,
        multimask: bool,
        fine: Tensor | None = None,
        handed: Tensor | None = None,
    ) -> Decoded:
        """Prompt encoder, memory prompts and mask decoder on a conditioned feature."""
        batch = feature.shape[0]
        sparse = self.sam_prompt_encoder.points(points, labels)
        if handed is None:
            dense = self.sam_prompt_encoder.mask(mask_logits, batch)
        else:
            dense = self.sam_prompt_encoder.masks_or_none(handed)
        prompts = torch.cat((sparse, self.memory_prompts(recalled, batch)), dim=1)
        position = self.sam_prompt_encoder.dense_position()
        raw = self.sam_mask_decoder(feature + dense, position, prompts)
        if fine is not None:
            # Where one of several is chosen, that is never the single mask.
            before = None if handed is None else handed / MASK_LOGIT
            raw = self.mask_refiner(raw, fine, before, first=1 if multimask else 0)
        # The largest of it, 8 MiB an object in the published networks, is of no more use.
        return self._answer(raw._replace(upscaled=None), multimask=multimask)

    def choose(self, raw: RawMasks, which: Tensor) -> Decoded:
        """Make answers of masks that were chosen by their numbers (B,): 0 is the single one."""
        rows = torch.arange(len(which), device=which.device)
        return self._decoded(
            raw, raw.masks[rows, which][:, None], raw.ious[rows, which][:, None],
            ious=raw.ious, token=raw.tokens[rows, which],
        )  # fmt: skip

    def _answer(self, raw: RawMasks, *, multimask: bool) -> Decoded:
        """Choose masks as published: the best candidates, or the single ones where stable."""
        if multimask:
            best = 1 + raw.ious[:, 1:].argmax(dim=1)
            return replace(self.choose(raw, best), ious=raw.ious[:, 1:].float())
        low, iou = choose_single(raw.masks, raw.ious)
        return self._decoded(raw, low, iou, ious=iou, token=raw.tokens[:, 0])

    def _decoded(
        self, raw: RawMasks, low: Tensor, iou: Tensor, *, ious: Tensor, token: Tensor
    ) -> Decoded:
        """Blank masks where the object is absent, and make pointers."""
        present = raw.score > 0
        low = torch.where(present[:, :, None, None], low.float(), ABSENT)
        pointer = torch.where(present, self.obj_ptr_proj(token).float(), self.no_obj_ptr)
        return Decoded(low, iou.float(), ious.float(), pointer, raw.score.float(), raw)

    # ---- memory -------------------------------------------------------------------------

    def condition(self, feature: Tensor, recalled: MemoryTokens | None) -> Tensor:
        """Condition a feature (B, C, h, w) on memory, or mark it as having none.

        Gives (B, hidden_dim, h, w), without fine features.
        """
        feature = self._coarse(feature)
        if recalled is None:
            return feature + self.no_mem_embed.transpose(1, 2)[..., None]
        side = self.config.feature_size
        position = sine_map(self.config.hidden_dim, side, feature.device)
        out = self.memory_attention(
            feature.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2), recalled
        )
        return out.transpose(1, 2).unflatten(-1, (side, side))

    def memory_prompts(self, recalled: MemoryTokens | None, batch: int) -> Tensor:
        """Prompt tokens (B, queries, C) from memory (paper, sec. 3.4)."""
        if recalled is None:
            return self.memory_prompt_generator.without_memory(batch)
        return self.memory_prompt_generator(recalled)

    def remember(self, feature: Tensor, logits: Tensor, score: Tensor, *, prompted: bool) -> Tensor:
        """Encode a frame and its answer as a spatial memory.

        Parameters
        ----------
        feature
            (B, hidden_dim, h, w), or (1, ...) shared by all objects.
        logits
            (B, 1, S, S) mask logits.
        score
            (B, 1) object score.
        prompted
            Whether a user prompted this frame: its mask is then taken as certain.

        Returns
        -------
        Tensor
            (B, memory_dim, h, w).
        """
        mask = (logits > 0).float() if prompted else logits.float().sigmoid()
        memory = self.memory_encoder(self._coarse(feature), mask * (2 * MASK_LOGIT) - MASK_LOGIT)
        absent = (score <= 0).to(memory.dtype)[:, :, None, None]
        return memory + absent * self.no_obj_embed_spatial[:, :, None, None]

    def foreground(self, low: Tensor) -> Tensor:
        """Feature tokens (B, h*w) inside the mask of logits (B, 1, m, m)."""
        side = self.config.feature_size
        share = F.interpolate(low.float().sigmoid(), size=(side, side), mode="bilinear")
        return (share >= 0.5).flatten(1)

    def recall(self, memory: Memory) -> MemoryTokens:
        """Make the tokens that memory attention and memory prompts read."""
        tokens = self._tokens(memory)
        # Accelerators have kernels for attention as it is; training wants gradients.
        plain = torch.is_grad_enabled() or tokens.tokens.device.type != "cpu"
        return tokens if plain else tokens.on_grid(self.config.feature_size)

    def _tokens(self, memory: Memory) -> MemoryTokens:
        cfg = self.config
        batch, count, width = memory.spatial.shape[:3]
        area, parts = cfg.feature_size**2, cfg.hidden_dim // cfg.memory_dim
        spatial = memory.spatial.flatten(3).transpose(2, 3).reshape(batch, count * area, width)
        place = sine_map(width, cfg.feature_size, spatial.device).flatten(2).transpose(1, 2)
        time = self.maskmem_tpos_enc[cfg.num_memories - 1 - memory.time_positions].flatten(2)
        where = (place[:, None] + time[:, :, None]).reshape(batch, count * area, width)
        pointers = memory.pointers.reshape(batch, -1, width)
        when = self.obj_ptr_tpos_proj(scalar_code(memory.pointer_values, cfg.hidden_dim))
        tokens = torch.cat((spatial.to(pointers.dtype), pointers), dim=1)
        positions = torch.cat((where, when.repeat_interleave(parts, dim=1).to(where.dtype)), dim=1)
        copies = torch.cat(
            (
                memory.copies.repeat_interleave(area, dim=1),
                memory.pointer_copies.repeat_interleave(parts, dim=1),
            ),
            dim=1,
        )
        bias = None if bool((copies == 1).all()) else copies.float().log()
        on_mask = memory.foreground.flatten(1)
        foreground = torch.cat((on_mask, on_mask.new_ones(pointers.shape[:2])), dim=1)
        return MemoryTokens(tokens, positions, count * area, foreground, bias)


def _shrunk(logits: Tensor, side: int) -> Tensor:
    """Logits (B, 1, S, S) as (B, 1, side, side), each the mean of what it stands for."""
    # On Apple's chips, older versions of torch lack this; such masks are few.
    there = logits.cpu() if logits.device.type == "mps" else logits
    shrunk = F.interpolate(there, size=(side, side), mode="bilinear", antialias=True)
    return shrunk.to(logits.device)
