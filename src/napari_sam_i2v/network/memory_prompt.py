"""Memory prompt generator: memory as prompt, innovation (iii) of the paper (sec. 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import Attention, RotaryTable, rotary_grid
from napari_sam_i2v.network.config import SamI2VConfig
from napari_sam_i2v.network.grid_attention import GridReader
from napari_sam_i2v.network.memory_attention import MemoryTokens
from napari_sam_i2v.network.products import Linear

__all__ = ["MemoryPromptGenerator"]


class MemoryPromptGenerator(nn.Module):
    """Learnt queries read the remembered foreground and become prompt tokens."""

    def __init__(self, config: SamI2VConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.side, self.queries = config.feature_size, config.memory_queries
        self.self_attn = Attention(dim, dim)
        self.cross_attn = Attention(dim, dim, memory_dim=config.memory_dim)
        self.no_memory_prompt_embeddings_fg = nn.Embedding(1, dim)
        self.query_embedding_fg = nn.Embedding(self.queries, dim)
        self.norm_fg_sa = nn.LayerNorm(dim)
        self.norm_fg_ca = nn.LayerNorm(dim)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = Linear(dim, dim)
        self.linear2 = Linear(dim, dim)
        self._reader = GridReader(self.cross_attn, self.side)

    def without_memory(self, batch: int) -> Tensor:
        """Prompt tokens (batch, queries, hidden_dim) of a frame that has no memory."""
        return self.no_memory_prompt_embeddings_fg.weight.expand(batch, self.queries, -1)

    def forward(self, memory: MemoryTokens) -> Tensor:
        """Generate prompt tokens (B, queries, hidden_dim) from the foreground of memory."""
        q = self.query_embedding_fg.weight.expand(len(memory.tokens), -1, -1)
        dim, device = q.shape[-1], q.device
        own = rotary_grid(dim, self.queries, 1, device)
        q = q + self._cross(self.norm_fg_ca(q), own, memory)
        u = self.norm_fg_sa(q)
        q = q + self.self_attn(u, u, u, query_rotary=own, key_rotary=own)
        return q + self.linear2(F.relu(self.linear1(self.norm1(q))))

    def _cross(self, q: Tensor, place: RotaryTable, memory: MemoryTokens) -> Tensor:
        if memory.grids:
            return self._reader.read(q, place, memory.grids, foreground=True)
        foreground = memory.foreground
        hidden = torch.zeros(foreground.shape, device=q.device)
        hidden = hidden.masked_fill(~foreground, -torch.inf)
        return self.cross_attn(
            q, memory.tokens + memory.positions, memory.tokens, query_rotary=place,
            key_rotary=rotary_grid(q.shape[-1], self.side, self.side, q.device),
            bias=hidden if memory.bias is None else hidden + memory.bias,
        )  # fmt: skip
