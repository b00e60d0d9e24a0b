"""Which decoder runs a model: the fastest that is proven, here and now, to compute what the model computes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch

from biasaudit.errors import BiasAuditError
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
        BiasAuditError: the model's own logits are not numbers, change from call to call, or depend on later tokens; or
            its forward fails.
    """
    for decoder in _candidates(model, vocabulary, allocate):
        if _holds(decoder, model):
            return decoder
        _LOG.warning("the %s path does not fit this %s; trying a slower one", decoder.path, type(model).__name__)
    _refuse_what_is_not_causal(model, vocabulary)
    return RecomputeDecoder(model, vocabulary=vocabulary, allocate=allocate)


@torch.inference_mode()
def _refuse_what_is_not_causal(model: Any, vocabulary: int) -> None:
    """Of a model that no path was proven for: see that its logits mean what a likelihood needs them to mean.

    Two texts differ in their last token alone. Encoders (BERT without `is_decoder`) look ahead; hashing at random
    (Reformer) answers otherwise every time.

    Raises:
        BiasAuditError: see `choose`.
    """
    name, dtype = type(model).__name__, str(model.dtype).removeprefix("torch.")
    size = min(context_length(model.config), _PROOF)
    texts = torch.randint(0, vocabulary, (size,), generator=torch.Generator().manual_seed(21)).repeat(2, 1)
    texts[1, -1] = (texts[1, -1] + 1) % vocabulary
    texts = texts.to(model.get_input_embeddings().weight.device)
    try:
        first, again, other = (model(input_ids=t[None], use_cache=False).logits[0].float() for t in texts[[0, 0, 1]])
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError, NotImplementedError, IndexError, KeyError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise BiasAuditError(
            f"transformers' own forward of {name} fails in {dtype} ({said}). Try another --dtype."
        ) from error
    refuse_no_numbers(torch.isfinite(first[:-1, :vocabulary]))
    tolerance = _TOLERANCE.get(model.dtype, _HALF_TOLERANCE) * max(1.0, float(first.abs().max()))
    if float((first - again).abs().max()) > tolerance:
        raise BiasAuditError(f"{name} gives other logits for the same text at every call, so no audit can repeat them.")
    if float((first - other)[:-1].abs().max()) > tolerance:
        raise BiasAuditError(
            f"{name} lets a token see those after it, as encoders do, so it is no causal language model. "
            "Use one, or set is_decoder in its config.json if it was trained as one."
        )


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
    """Whether every layer sees the text, or a window of it, and a row's products have the tile's shape.

    Recurrent states need caches of their own kind; angles of longrope change with the longest row; how many rows share
    an expert depends on what the neighbours say.
    """
    config = config.get_text_config()
    if any("expert" in name and isinstance(value, int) and value > 1 for name, value in vars(config).items()):
        return False
    kinds = getattr(config, "layer_types", None) or []
    windowed = isinstance(getattr(config, "sliding_window", None), int)
    if any(kind != "full_attention" and not (windowed and kind == "sliding_attention") for kind in kinds):
        return False
    if "local" in (getattr(config, "attention_layers", None) or []):
        return False
    angles = getattr(config, "rope_parameters", None) or {}
    return "longrope" not in [part.get("rope_type") for part in (angles, *angles.values()) if isinstance(part, dict)]


def _window(config: Any) -> int | None:
    """The window of a model's layers, when it is shorter than the context."""
    config = config.get_text_config()
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
