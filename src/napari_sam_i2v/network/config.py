"""Every number that tells one SAM-I2V network from another, and the named variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from napari_sam_i2v.errors import InputError

__all__ = ["DEFAULT_VARIANT", "VARIANTS", "SamI2VConfig", "get_config"]

DEFAULT_VARIANT = "sam-i2v-micro"


@dataclass(frozen=True, kw_only=True)
class SamI2VConfig:
    """Hyper-parameters of one network; the defaults are the published SAM-I2V.

    Attributes
    ----------
    name
        Variant name, as used by `load_model` and the command line.
    image_size
        Side of the square network input in pixels. Features have stride 16, mask logits
        stride 4.
    embed_dims, depths, num_heads, window_sizes
        The four stages of the TinyViT trunk; the first stage is convolutional, so that its
        head count and window are not used.
    hidden_dim, memory_dim
        Channels of image features and tokens, and of one spatial memory.
    clip_length, temporal_dim
        Frames the temporal feature integrator sees, and its channels (paper, sec. 3.2).
    memory_block
        Self-attention of the memory attention: global with rotary positions (SAM-I2V), or
        criss-cross with scale adapters (SAM-I2V++).
    memory_layers, cross_dim, feed_forward_dim
        Depth and inner widths of the memory attention.
    fuser_kernel
        Depth-wise kernel of the memory encoder.
    decoder_mlp_dim
        Hidden width of the mask decoder's two-way transformer.
    memory_queries
        Prompt tokens the memory prompt generator makes (paper, sec. 3.4).
    num_memories
        Length of the table of temporal embeddings.
    local_window, local_picks, global_window, global_picks
        Memory filtering (paper, sec. 3.3): how many of the most recent frames, and of the
        frames before those, are candidates, and how many are remembered.
    classes
        Width of the trunk's unused classification head; 0 leaves the head out.
    fill_hole_area
        Holes of at most this many mask-logit pixels are filled.
    follow_below
        Objects smaller than this share of the frame's longer side are looked at through a
        window that follows them (view "auto").
    window_scale
        Side of such a window in units of the object's size.
    box_scale
        Side of the nearer window through which a drawn box is answered, in units of the box;
        0 answers it as it is tracked.
    fine_dim
        Channels of image features at stride 4 that refine masks, together with the mask of the
        frame before, which tracking is then given; 0 does neither, as published.
    """

    name: str
    image_size: int = 1024
    embed_dims: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    num_heads: tuple[int, int, int, int] = (2, 4, 5, 10)
    window_sizes: tuple[int, int, int, int] = (7, 7, 14, 7)
    hidden_dim: int = 256
    memory_dim: int = 64
    clip_length: int = 5
    temporal_dim: int = 96
    memory_block: Literal["rope", "criss-cross"] = "rope"
    memory_layers: int = 4
    cross_dim: int = 256
    feed_forward_dim: int = 512
    fuser_kernel: int = 7
    decoder_mlp_dim: int = 2048
    memory_queries: int = 3
    num_memories: int = 7
    local_window: int = 4
    local_picks: int = 2
    global_window: int = 16
    global_picks: int = 4
    classes: int = 1000
    fill_hole_area: int = 8
    follow_below: float = 0.05
    window_scale: float = 6.0
    box_scale: float = 0.0
    fine_dim: int = 0

    @property
    def feature_size(self) -> int:
        """Side of the feature map, in tokens."""
        return self.image_size // 16

    @property
    def mask_size(self) -> int:
        """Side of the mask logits, in pixels."""
        return self.image_size // 4


VARIANTS: Mapping[str, SamI2VConfig] = MappingProxyType(
    {
        "sam-i2v": SamI2VConfig(name="sam-i2v"),
        "sam-i2v++": SamI2VConfig(
            name="sam-i2v++",
            clip_length=3,
            temporal_dim=64,
            memory_block="criss-cross",
            cross_dim=128,
            feed_forward_dim=256,
            fuser_kernel=9,
            local_window=10,
            global_window=200,
        ),
        # Ours: the same architecture at a size that two CPU cores can train and run.
        "sam-i2v-micro": SamI2VConfig(
            name="sam-i2v-micro",
            image_size=192,
            embed_dims=(32, 64, 96, 160),
            depths=(1, 2, 4, 1),
            num_heads=(1, 2, 3, 5),
            window_sizes=(8, 8, 12, 12),
            hidden_dim=128,
            memory_dim=32,
            clip_length=3,
            temporal_dim=32,
            memory_layers=2,
            cross_dim=128,
            feed_forward_dim=256,
            decoder_mlp_dim=512,
            classes=0,
            follow_below=0.3,
            window_scale=2.5,
            box_scale=2.0,
            fine_dim=8,
        ),
    }
)


def get_config(name: str) -> SamI2VConfig:
    """Return the configuration of a named variant.

    Raises
    ------
    InputError
        If there is no such variant; the message lists those that exist.
    """
    try:
        return VARIANTS[name]
    except KeyError:
        raise InputError(
            f"Unknown network variant {name!r}: choose one of {', '.join(VARIANTS)}."
        ) from None
