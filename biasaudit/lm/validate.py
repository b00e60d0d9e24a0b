"""Loss on held-out tokens: nats per token and bits per byte of text, in a fixed order and without randomness."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from biasaudit.lm.blocks import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Loss over every token of a held-out shard but its first."""

    nats_per_token: float
    bits_per_byte: float | None
    """None where the bytes of a token are not known."""
    tokens: int
    bytes: int | None


def validate(
    model: Any,
    tokens: Tokens,
    *,
    block: int,
    batch: int,
    autocast: torch.dtype | None,
    byte_lengths: Sequence[int] | None,
    bytes_per_token: float | None = None,
    limit: int | None = None,
) -> Validation | None:
    """Measure `model` on `tokens`.

    Windows of `block` tokens overlap by one, so that each token but the first is predicted exactly once.
    The model's mode is put back afterwards; no random number is drawn.

    Args:
        model: a causal language model of transformers.
        tokens: shape (N,), the shard.
        block: window length in tokens.
        batch: windows a forward pass.
        autocast: precision of the forward pass; None is the weights' own.
        byte_lengths: UTF-8 bytes of each id, where the tokenizer knows them.
        bytes_per_token: used instead when `byte_lengths` is None.
        limit: read at most about this many tokens, in windows spread evenly over the shard.

    Returns:
        The loss, or None when the shard has fewer than two tokens.
    """
    starts = np.arange(0, len(tokens) - 1, block - 1)
    if limit is not None and len(starts) * block > limit:
        keep = max(1, limit // block)
        starts = starts[np.linspace(0, len(starts) - 1, keep).round().astype(np.int64)]
    if not len(starts):
        return None
    whole = [int(s) for s in starts if s + block <= len(tokens)]
    groups = [whole[i : i + batch] for i in range(0, len(whole), batch)]
    groups += [[int(s)] for s in starts if s + block > len(tokens)]
    lengths = None if byte_lengths is None else np.asarray(byte_lengths, dtype=np.int64)
    nats, count, size = 0.0, 0, 0
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    for group in groups:
        rows = np.stack([np.asarray(tokens[s : s + block], dtype=np.int64) for s in group])
        nats += _nats(model, torch.from_numpy(rows).to(device), autocast)
        count += rows[:, 1:].size
        size += int(lengths[rows[:, 1:]].sum()) if lengths is not None else 0
    model.train(was_training)
    if lengths is None and bytes_per_token is not None:
        size = round(bytes_per_token * count)
    return Validation(
        nats_per_token=nats / count,
        bits_per_byte=nats / math.log(2) / size if size else None,
        tokens=count,
        bytes=size or None,
    )


@torch.no_grad()
def _nats(model: Any, ids: torch.Tensor, autocast: torch.dtype | None) -> float:
    """Summed negative log-likelihood of `ids[:, 1:]`, in fp32."""
    context = torch.autocast(ids.device.type, dtype=autocast) if autocast is not None else contextlib.nullcontext()
    with context:
        logits = model(input_ids=ids, use_cache=False).logits
    flat = logits[:, :-1].float().reshape(-1, logits.shape[-1])
    return float(torch.nn.functional.cross_entropy(flat, ids[:, 1:].reshape(-1), reduction="sum"))
