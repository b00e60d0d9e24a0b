"""Which decoder runs a model: the fastest that is known, or proven here, to compute what the model computes."""

from __future__ import annotations

import logging
from typing import Any

import torch

from biasaudit.sampling.decoders import gpt2
from biasaudit.sampling.decoders.base import Allocate, Decoder, allocate_zeros, context_length
from biasaudit.sampling.decoders.general import GeneralDecoder, RecomputeDecoder

_LOG = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.1


def choose(model: Any, *, vocabulary: int, allocate: Allocate = allocate_zeros) -> Decoder:
    """The decoder for `model`.

    Args:
        model: a causal model of transformers, in evaluation mode, on its device.
        vocabulary: tokens that may be chosen, at most the model's.
        allocate: makes the cache's tensors.
    """
    if gpt2.fits(model):
        return gpt2.Gpt2Decoder(model, vocabulary=vocabulary, allocate=allocate)
    if _looks_far(model.config):
        decoder = GeneralDecoder(model, vocabulary=vocabulary, allocate=allocate)
        if _agrees(decoder, model):
            return decoder
        _LOG.info("%s cannot share a cache between rows; using the slow path without one", type(model).__name__)
    return RecomputeDecoder(model, vocabulary=vocabulary, allocate=allocate)


def _looks_far(config: Any) -> bool:
    """Whether every layer sees the whole text: windows and recurrent states need caches of their own kind."""
    kinds = getattr(config, "layer_types", None) or []
    if any(kind != "full_attention" for kind in kinds):
        return False
    if "local" in (getattr(config, "attention_layers", None) or []):
        return False
    window = getattr(config, "sliding_window", None)
    used = getattr(config, "use_sliding_window", True)
    return not (isinstance(window, int) and used and window < context_length(config))


@torch.inference_mode()
def _agrees(decoder: Decoder, model: Any) -> bool:
    """Whether two rows at different positions get the logits of a plain forward."""
    generator = torch.Generator().manual_seed(20)
    texts = torch.randint(0, decoder.vocabulary, (2, 9), generator=generator)
    starts = (6, 3)
    try:
        decoder.open(2, decoder.length_class(9))
        for row, start in enumerate(starts):
            decoder.admit(row, decoder.prefill([texts[row, :start].tolist()])[0], 9)
        for offset in range(3):
            positions = torch.tensor([start + offset for start in starts])
            tokens = texts.gather(1, positions[:, None])[:, 0]
            decoder.step(tokens.to(decoder.device), positions.to(decoder.device), int(positions.max()))
        got = decoder.logits()
        for row, start in enumerate(starts):
            want = model(input_ids=texts[row : row + 1, : start + 3].to(decoder.device)).logits[0, -1]
            want = want[: decoder.vocabulary].float()
            tolerance = _TOLERANCE.get(decoder.dtype, _HALF_TOLERANCE) * max(1.0, float(want.abs().max()))
            if not float((got[row] - want).abs().max()) <= tolerance:
                return False
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, IndexError, KeyError) as error:
        _LOG.info("general path refused by %s: %s", type(model).__name__, error)
        return False
    return True
