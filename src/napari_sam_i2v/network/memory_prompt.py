"""Memory prompt generator: memory as prompt, innovation (iii) of the paper (sec. 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam_i2v.network.attention import Attention, rotary_grid
from napari_sam_i2v.network.config import SamI2VConfig

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
        self.linear1 = nn.Linear(dim, dim)
        self.linear2 = nn.Linear(dim, dim)

    def without_memory(self, batch: int) -> Tensor:
        """Prompt tokens (batch, queries, hidden_dim) of a frame that has no memory."""
        return self.no_memory_prompt_embeddings_fg.weight.expand(batch, self.queries, -1)

    def forward(
        self,
        memory: Tensor,
        position: Tensor,
        foreground: Tensor,
        *,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Generate prompt tokens from memory.

        Parameters
        ----------
        memory, position
            (B, N, memory_dim) tokens as in `MemoryAttention.forward`.
        foreground
            (B, N) bool: the tokens that may be read, at least one per element.
        bias
            (B, N) added to the attention logits.

        Returns
        -------
        Tensor
            (B, queries, hidden_dim).
        """
        q = self.query_embedding_fg.weight.expand(memory.shape[0], -1, -1)
        dim, device = q.shape[-1], q.device
        own = rotary_grid(dim, self.queries, 1, device)
        grid = rotary_grid(dim, self.side, self.side, device)
        hidden = torch.zeros(foreground.shape, device=device).masked_fill(~foreground, -torch.inf)
        q = q + self.cross_attn(
            self.norm_fg_ca(q), memory + position, memory,
            query_rotary=own, key_rotary=grid, bias=hidden if bias is None else hidden + bias,
        )  # fmt: skip
        u = self.norm_fg_sa(q)
        q = q + self.self_attn(u, u, u, query_rotary=own, key_rotary=own)
        return q + self.linear2(F.relu(self.linear1(self.norm1(q))))
