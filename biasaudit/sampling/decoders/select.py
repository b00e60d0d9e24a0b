"""Which decoder runs a model: the fastest that is proven, here and now, to compute what the model computes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch

from biasaudit.sampling.choose import refuse_no_numbers
from biasaudit.sampling.decoders import families, gpt2
from biasaudit.sampling.decoders.base import Allocate, Decoder, allocate_zeros, context_length
from biasaudit.sampling.decoders.blocks import BLOCK
from biasaudit.sampling.decoders.general import GeneralDecoder, RecomputeDecoder
from biasaudit.sampling.decoders.transformer import TransformerDecoder

_LOG = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.1

_PROOF = BLOCK + 8
"""Tokens of the text that a decoder must get right: more than a block of the cache."""

_STEPS = 3
"""Of them, how many are fed one by one."""

_PROOF_WINDOW = 260
"""The longest window that the text is made longer for; a larger one would make loading slow."""


def choose(model: Any, *, vocabulary: int, allocate: Allocate = allocate_zeros) -> Decoder:
    """The decoder for `model`: a fast path, else the general one, else the one without a cache.

    Args:
        model: a causal model of transformers, in evaluation mode, on its device.
        vocabulary: tokens that may be chosen, at most the model's.
        allocate: makes the cache's tensors.

    Raises:
        BiasAuditError: the model's own logits are not numbers.
    """
    for decoder in _candidates(model, vocabulary, allocate):
        if _holds(decoder, model):
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
    """Whether every layer sees the whole text, and a row's products have the tile's shape.

    Windows and recurrent states need caches of their own kind; angles of longrope change with the longest row; how many
    rows share an expert depends on what the neighbours say.
    """
    if any("expert" in name and isinstance(value, int) and value > 1 for name, value in vars(config).items()):
        return False
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
def _holds(decoder: Decoder, model: Any) -> bool:
    """Whether a decoder computes what `model` does, beyond a block and a window, and a row never changes another."""
    window = _window(model.config) or 0
    size = min(decoder.context, max(_PROOF, window + 8 if window <= _PROOF_WINDOW else 0))
    texts = torch.randint(0, decoder.vocabulary, (2, size), generator=torch.Generator().manual_seed(20))
    long, short = texts[0].tolist(), texts[1, : max(1, size // 4)].tolist()
    try:
        first, second = _last_logits(decoder, [long, short])
        if not (_near(first, model, long, decoder) and _near(second, model, short, decoder)):
            return False
        again = _last_logits(decoder, [long, long])
        return torch.equal(again[0], first) and torch.equal(again[1], first)
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, IndexError, KeyError) as error:
        _LOG.info("%s path refused by %s: %s", decoder.path, type(model).__name__, error)
        return False


def _last_logits(decoder: Decoder, texts: list[list[int]]) -> torch.Tensor:
    """fp32 (rows, V): logits after each text, whose last tokens are fed step by step."""
    steps = min(_STEPS, *(len(text) - 1 for text in texts))
    starts = [len(text) - steps for text in texts]
    decoder.open(len(texts), decoder.length_class(max(map(len, texts))))
    for row, (text, start) in enumerate(zip(texts, starts, strict=True)):
        decoder.admit(row, decoder.prefill([text[:start]])[0], len(text))
    for step in range(steps):
        tokens = torch.tensor([text[start + step] for text, start in zip(texts, starts, strict=True)])
        positions = torch.tensor([start + step for start in starts])
        decoder.step(tokens.to(decoder.device), positions.to(decoder.device), max(starts) + step)
    return decoder.logits().clone()


def _near(found: torch.Tensor, model: Any, text: list[int], decoder: Decoder) -> bool:
    """Whether logits (V,) are those of the model's own forward, within what its dtype allows."""
    want = model(input_ids=torch.tensor([text], device=decoder.device)).logits[0, -1, : decoder.vocabulary].float()
    if bool(want.isnan().any()):  # no path can be held against that
        refuse_no_numbers(False)
    tolerance = _TOLERANCE.get(decoder.dtype, _HALF_TOLERANCE) * max(1.0, float(want.abs().max()))
    return float((found - want).abs().max()) <= tolerance
