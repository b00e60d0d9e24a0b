"""How many rows to run: from the memory that is free, and from what happens when it runs out after all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from biasaudit.sampling import kernels
from biasaudit.sampling.decoders.base import context_length

LARGEST = 1024
"""More rows than this gain nothing: the weights' traffic is spread thin long before."""

SHARE = 0.6
"""Part of the free memory that a tile may plan for; the rest is for prompts, fragmentation and other programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides the memory of a row."""

    layers: int
    key_heads: int
    head_width: int
    width: int
    """Hidden size."""
    inner: int
    """Width of the feed-forward part."""
    vocabulary: int
    context: int


def shape_of(config: Any) -> Shape:
    """The shape of a transformers model, from its configuration; what a family does not name has its usual value."""
    config = getattr(config, "get_text_config", lambda: config)()
    heads = int(config.num_attention_heads)
    width = int(config.hidden_size)
    return Shape(
        layers=int(config.num_hidden_layers),
        key_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_width=int(getattr(config, "head_dim", None) or width // heads),
        width=width,
        inner=_widest(getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width),
        vocabulary=int(config.vocab_size),
        context=context_length(config),
    )


def _widest(size: Any) -> int:
    """A width, or the largest of those that a model names layer by layer."""
    return max(map(int, size)) if isinstance(size, (list, tuple)) else int(size)


def row_bytes(shape: Shape, bytes_per_value: int, tokens: int) -> int:
    """Memory of one row of `tokens` tokens: its cache, what a step computes, and the choice among the vocabulary.

    A cache that grows holds the old one and half as much again for a moment, so it counts 1.5 times. The choice keeps
    four fp32 vectors of the vocabulary (logits, weights, two copies) and a mask.
    """
    cache = 2 * shape.layers * shape.key_heads * shape.head_width * min(tokens, shape.context) * bytes_per_value
    step = (6 * shape.width + 2 * shape.inner) * bytes_per_value
    return cache * 3 // 2 + step + 17 * shape.vocabulary


PLANNED_TOKENS = 512
"""Tokens of a row that the automatic tile plans for; longer ones may run out of memory, and the tile shrinks then."""


def usual_tile(device: torch.device) -> int | None:
    """Rows that are fastest on a CPU when memory is no question; None on a GPU: as many as fit.

    Few rows wait for the weights to come from memory, and many need more of it; rows that are empty are left out.
    Measured at GPT-2's 124M shape by `benchmarks/sampling.py --tile`.
    """
    if device.type != "cpu":
        return None
    return 256 if kernels.asked() else 384


UNKNOWN = 128
"""Rows where the free memory, or a model's shape, is not known."""


def automatic_tile(config: Any, *, free: int | None, bytes_per_value: int, usual: int | None) -> int:
    """Rows when nobody asked for a number.

    Args:
        config: of a transformers model whose weights are loaded.
        free: bytes that can still be allocated; None where the system does not say.
        bytes_per_value: of the precision.
        usual: what is fastest on this kind of device when memory is no question; None for as many as fit.
    """
    try:
        shape = shape_of(config)
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return usual or UNKNOWN
    if free is None:
        return usual or UNKNOWN
    fits = tile_for(free, shape, bytes_per_value, PLANNED_TOKENS)
    return fits if usual is None else min(usual, fits)


def tile_for(free: int, shape: Shape, bytes_per_value: int, tokens: int) -> int:
    """Rows that fit: the largest power of two, between 1 and LARGEST.

    Args:
        free: bytes that can still be allocated once the weights are loaded.
        shape: of the model.
        bytes_per_value: of the precision that the cache is kept in: 2 or 4.
        tokens: the longest prompt and completion together.
    """
    rows = int(free * SHARE) // row_bytes(shape, bytes_per_value, tokens)
    return 1 << min(max(rows, 1), LARGEST).bit_length() - 1


class Backoff:
    """The tile of a run whose memory may run out, once by chance or always at a size.

    The first failure at a size may be another program's doing, so the tile starts again as it was: the same size is the
    same numerics. When a tile fails again before it has finished as many completions as it has rows, twice over, the
    size is too large: half of it is tried, and the larger one never again. So a real limit costs three attempts, once.
    """

    PATIENCE = 3

    def __init__(self, tile: int) -> None:
        """Begin with `tile` rows."""
        self.tile = tile
        self._failures = 0
        self._finished = 0

    def finished(self, completions: int) -> None:
        """Note completions that were finished."""
        self._finished += completions
        if self._finished >= self.tile:
            self._failures = 0

    def failed(self) -> bool:
        """Note that memory ran out, and set the next tile; False when there is no smaller one."""
        self._failures += 1
        self._finished = 0
        if self._failures < self.PATIENCE:
            return True
        self._failures = 0
        if self.tile == 1:
            return False
        self.tile //= 2
        return True
