"""Which decoder runs a model: the fastest that is proven, here and now, to compute what the model computes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch

from biasaudit.sampling.decoders import families, gpt2
from biasaudit.sampling.decoders.base import Allocate, Decoder, allocate_zeros, context_length
from biasaudit.sampling.decoders.general import GeneralDecoder, RecomputeDecoder
from biasaudit.sampling.decoders.transformer import TransformerDecoder

_LOG = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.1

_PROOF = 40
"""Tokens of the text that a decoder must get right: more than a block of the cache."""

_PROOF_WINDOW = 260
"""The longest window that the text is made longer for; a larger one would make loading slow."""


def choose(model: Any, *, vocabulary: int, allocate: Allocate = allocate_zeros) -> Decoder:
    """The decoder for `model`: a fast path, else the general one, else the one without a cache.

    Args:
        model: a causal model of transformers, in evaluation mode, on its device.
        vocabulary: tokens that may be chosen, at most the model's.
        allocate: makes the cache's tensors.
    """
    for decoder in _candidates(model, vocabulary, allocate):
        if _agrees(decoder, model):
            return decoder
        _LOG.warning("the %s path does not fit this %s; trying a slower one", decoder.path, type(model).__name__)
    return RecomputeDecoder(model, vocabulary=vocabulary, allocate=allocate)


def _candidates(model: Any, vocabulary: int, allocate: Allocate) -> Iterator[Decoder]:
    """Decoders that may fit, fastest first."""
    if gpt2.fits(model) and families.is_plain(model):
        yield gpt2.Gpt2Decoder(model, vocabulary=vocabulary, allocate=allocate)
    stack = families.describe(model)
    if stack is not None:
        yield TransformerDecoder(stack, vocabulary=vocabulary, allocate=allocate)
    if _looks_far(model.config):
        yield GeneralDecoder(model, vocabulary=vocabulary, allocate=allocate)


def _looks_far(config: Any) -> bool:
    """Whether every layer sees the whole text, in the same way whatever its length.

    Windows and recurrent states need caches of their own kind; angles of longrope change with the longest row.
    """
    kinds = getattr(config, "layer_types", None) or []
    if any(kind != "full_attention" for kind in kinds):
        return False
    if "local" in (getattr(config, "attention_layers", None) or []):
        return False
    if (getattr(config, "rope_parameters", None) or {}).get("rope_type") == "longrope":
        return False
    return _window(config) is None


def _window(config: Any) -> int | None:
    """The window of a model's layers, when it is shorter than the context."""
    sliding = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    local = (
        getattr(config, "window_size", None) if "local" in (getattr(config, "attention_layers", None) or []) else None
    )
    windows = [w for w in (sliding, local) if isinstance(w, int) and w < context_length(config)]
    return min(windows, default=None)


@torch.inference_mode()
def _agrees(decoder: Decoder, model: Any) -> bool:
    """Whether two rows at different positions get the logits of a plain forward, beyond a block and a window."""
    window = _window(model.config) or 0
    size = min(decoder.context, max(_PROOF, window + 8 if window <= _PROOF_WINDOW else 0))
    generator = torch.Generator().manual_seed(20)
    texts = torch.randint(0, decoder.vocabulary, (2, size), generator=generator)
    starts = (max(1, size - 3), max(1, size // 4 - 3))
    steps = min(3, size - starts[0])
    try:
        decoder.open(2, decoder.length_class(size))
        for row, start in enumerate(starts):
            decoder.admit(row, decoder.prefill([texts[row, :start].tolist()])[0], start + steps)
        for offset in range(steps):
            positions = torch.tensor([start + offset for start in starts])
            tokens = texts.gather(1, positions[:, None])[:, 0]
            decoder.step(tokens.to(decoder.device), positions.to(decoder.device), int(positions.max()))
        got = decoder.logits()
        for row, start in enumerate(starts):
            want = model(input_ids=texts[row : row + 1, : start + steps].to(decoder.device)).logits[0, -1]
            want = want[: decoder.vocabulary].float()
            tolerance = _TOLERANCE.get(decoder.dtype, _HALF_TOLERANCE) * max(1.0, float(want.abs().max()))
            if not float((got[row] - want).abs().max()) <= tolerance:
                return False
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, IndexError, KeyError) as error:
        _LOG.info("%s path refused by %s: %s", decoder.path, type(model).__name__, error)
        return False
    return True
