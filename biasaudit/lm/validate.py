"""Loss on held-out tokens: nats per token and bits per byte of text, in a fixed order and without randomness."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biasaudit.lm import device as devices
from biasaudit.lm.blocks import Tokens
from biasaudit.lm.recipe import Training

VALIDATION_TOKENS = 200_000
"""Held-out tokens that the validations before and after training read unless the user says otherwise."""
PERIODIC_VALIDATION_TOKENS = 65_536
"""Most tokens read by the validations between those two."""
BEFORE, DURING, AFTER = "validating before training", "validating", "validating after training"

Stages = Callable[[str, float, float | None, str], None]
"""Told (stage, done, total, note) of the work around a training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Loss over every token of a held-out shard but its first, or over windows spread evenly over it."""

    nats_per_token: float
    bits_per_byte: float | None
    """None where the bytes of a token are not known."""
    tokens: int
    """Tokens that were predicted."""
    bytes: int | None


def windows(length: int, *, block: int, limit: int | None) -> npt.NDArray[np.int64]:
    """First tokens of the windows that a validation reads; they follow from these three numbers alone.

    Args:
        length: tokens of the shard.
        block: window length in tokens; windows overlap by one token.
        limit: a longer shard is read in at most about so many tokens, in windows spread evenly from its first to its
            last; None reads all.
    """
    starts = np.arange(0, length - 1, block - 1)
    if limit is None or length <= limit:
        return starts
    keep = max(1, limit // block)
    return starts[np.linspace(0, len(starts) - 1, keep).round().astype(np.int64)] if keep < len(starts) else starts


def predicted(starts: npt.NDArray[np.int64], length: int, *, block: int) -> int:
    """Tokens that windows beginning at `starts` predict: all of each but its first."""
    return int((np.minimum(starts + block, length) - starts - 1).sum())


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
    report: Callable[[int, int], object] | None = None,
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
        limit: as in `windows`.
        report: called with (tokens predicted, tokens in all), first and after every forward pass.

    Returns:
        The loss, or None when the shard has fewer than two tokens.
    """
    starts = windows(len(tokens), block=block, limit=limit)
    if not len(starts):
        return None
    tell, total = report or (lambda _done, _total: None), predicted(starts, len(tokens), block=block)
    tell(0, total)
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
        tell(count, total)
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


class HeldOut:
    """The validations of one training: the same tokens before and after, in the training's own precision.

    Attributes:
        tokens: predicted by those two.
    """

    def __init__(self, training: Training, limit: int | None, stages: Stages) -> None:
        """Read at most about `limit` tokens; tell `stages` how far it is."""
        self._training, self._limit, self._stages = training, limit, stages
        block, length = training.config.block_size or 0, len(training.val)
        self.tokens = predicted(windows(length, block=block, limit=limit), length, block=block)

    def measure(self, model: Any, when: str) -> Validation | None:
        """Validate `model`; `when` is `BEFORE`, `AFTER`, or `DURING`, which reads fewer tokens."""
        training, limit = self._training, self._limit
        bytes_, tokens = training.corpus_card.get("val_bytes"), training.corpus_card.get("val_tokens")
        if when == DURING:
            limit = min(PERIODIC_VALIDATION_TOKENS, limit or PERIODIC_VALIDATION_TOKENS)
        return validate(
            model,
            training.val,
            block=training.config.block_size or 0,
            batch=training.config.batch_size,
            autocast=None if training.precision == "float32" else devices.DTYPES[training.precision],
            byte_lengths=training.tokenizer.byte_lengths,
            bytes_per_token=bytes_ / tokens if bytes_ and tokens else None,
            limit=limit,
            report=lambda done, total: self._stages(when, done, total, ""),
        )
