"""Refinement of masks: by fine image features, and by what the object was on the frame before.

The decoder makes masks of features at stride 16, and so does memory: thin parts vanish. Features
at stride 4 know where edges are, and the mask of the frame before knows which parts there were.
Ours, for the embedded model; the published networks have nothing of the kind.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.image_encoder import gelu
from napari_sam_i2v.network.mask_decoder import RawMasks

__all__ = ["FineFeatures", "MaskRefiner", "laid_over", "unpacked"]

PATCH = 4
"""Fine cells along a side of a feature token."""
SURE = 4.0
"""Logits beyond this count as certain where masks are compared."""
GAIN = 0.1
"""How much better, as a share, a shifted mask must fit to be shifted."""
WIDTH = 16


class FineFeatures(nn.Module):
    """Features at stride 4, packed so that they travel with those at stride 16."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        self.near = nn.Conv2d(config.embed_dims[0], config.fine_dim, 1)
        self.wide = nn.Conv2d(config.embed_dims[1], config.fine_dim, 1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Map the trunk's levels to (B, fine_dim * 16, h, w); see `unpacked`."""
        wide = F.interpolate(self.wide(levels[1]), scale_factor=2)
        return F.pixel_unshuffle(self.near(levels[0]) + wide, PATCH)


def unpacked(packed: Tensor) -> Tensor:
    """Fine features (B, fine_dim, m, m) of packed ones (B, fine_dim * 16, h, w)."""
    return F.pixel_shuffle(packed, PATCH)


class MaskRefiner(nn.Module):
    """Mix a decoder's candidates with fine features and the mask of the frame before."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        self.trust = nn.Linear(config.hidden_dim, 1)
        self.look = nn.Conv2d(config.hidden_dim // 8, WIDTH, 3, padding=1)
        self.fine = nn.Conv2d(config.fine_dim, WIDTH, 3, padding=1, bias=False)
        self.compare = nn.Conv2d(2, WIDTH, 5, padding=2)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.out = nn.Conv2d(WIDTH, 1, 3, padding=1, bias=False)
        # To begin with, the mask has a fixed weight, and features have none.
        for zero in (self.trust, self.out):
            nn.init.zeros_(zero.weight)
        nn.init.constant_(self.trust.bias, 1.5)

    def forward(
        self, raw: RawMasks, fine: Tensor, handed: Tensor | None = None, *, first: int = 0
    ) -> RawMasks:
        """Change candidates, from the `first` one on.

        Parameters
        ----------
        raw
            Of B objects.
        fine
            (B, fine_dim, m, m), or (1, ...) where all objects look at the same.
        handed
            (B, 1, m, m) shares of each pixel, from -1 to 1, of the masks of the frame before;
            where nothing is above 0, there is none.
        """
        if raw.upscaled is None:
            raise ValueError("The decoder's features are required.")
        masks = raw.masks[:, first:].float()
        count = masks.shape[1]
        before = torch.zeros_like(masks)
        if handed is not None:
            given = (handed > 0).flatten(1).any(dim=1)[:, None, None, None]
            before = given * laid_over(handed.float(), masks.detach())
        # Channels last: several times as fast where many masks are refined at once.
        pairs = torch.stack((torch.tanh(masks / SURE), before), dim=-1)
        compared = self.compare(pairs.flatten(0, 1).permute(0, 3, 1, 2))
        seen = self.look(raw.upscaled.contiguous(memory_format=torch.channels_last))
        seen = seen + self.fine(fine.contiguous(memory_format=torch.channels_last))
        mixed = (compared.unflatten(0, (-1, count)) + seen[:, None]).flatten(0, 1)
        mixed = self.mix(gelu(mixed))
        change = self.out(gelu(mixed)).unflatten(0, (-1, count))[:, :, 0]
        trust = self.trust(raw.tokens[:, first:])[..., None]
        refined = masks + (trust * before + change).float()
        return raw._replace(masks=torch.cat((raw.masks[:, :first].float(), refined), dim=1))


@torch.no_grad()
def laid_over(handed: Tensor, masks: Tensor) -> Tensor:
    """Shift masks (B, 1, m, m), -1 to 1, to where candidates (B, M, m, m), logits, are.

    Gives (B, M, m, m). The shift is of whole pixels, at most half the side, and has the highest
    correlation; what comes in is -1. A mask that does not fit clearly better elsewhere stays.
    """
    side = masks.shape[-1]
    size, reach = (2 * side, 2 * side), side // 2
    spectrum = torch.fft.rfft2(handed + 1, size).conj()
    product = spectrum * torch.fft.rfft2(masks.clamp(-SURE, SURE) / SURE, size)
    near = torch.arange(-reach, reach + 1, device=masks.device)
    fit = torch.fft.irfft2(product, size)[..., near[:, None], near]
    best, where = fit.flatten(2).max(dim=2)
    clear = (best > 0) & (best - fit[..., reach, reach] > GAIN * best)
    shift = torch.where(clear, where, where.new_tensor(fit.shape[-1] * reach + reach))
    cells = torch.arange(side, device=masks.device)
    rows = cells - (shift // fit.shape[-1] - reach)[..., None]
    columns = cells - (shift % fit.shape[-1] - reach)[..., None]
    inside = _within(rows, side)[..., :, None] & _within(columns, side)[..., None, :]
    objects = torch.arange(len(masks), device=masks.device)[:, None, None, None]
    at = (objects, rows.clamp(0, side - 1)[..., :, None], columns.clamp(0, side - 1)[..., None, :])
    return torch.where(inside, handed[:, 0][at], -1.0)


def _within(index: Tensor, side: int) -> Tensor:
    return (index >= 0) & (index < side)
