"""Log P(continuation | prompt) for many continuations, and the law of the next token, from one run of the prompt.

The prompt runs once, alone, at the padded length of its own bucket. Continuations run in batches of a fixed shape that
follows from their own length and the prompt's: LIKELIHOOD_TOKENS / T rows of T tokens, spare rows filled with token 0.
So a value never depends on the continuations beside it, bit for bit. The last token of a continuation predicts nothing
and never enters the model; a continuation of one token needs the prompt alone.

Logits are fp32 whatever the weights are; log-probabilities are normalised and added in fp64 from these. A decoder that
cannot share its prompt (`SharesPrompts`) runs prompt and continuation together, one forward each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from biasaudit.sampling.decoders.base import Decoder, PromptState, SharesPrompts, bucket_length

LIKELIHOOD_TOKENS = 64
"""Tokens of one batch of continuations: enough rows for the processor's matrix units, few enough to waste little."""

GRAIN = 4
"""Rows are padded to a multiple of this many tokens."""


def row_length(tokens: int) -> int:
    """Padded length of a continuation of which `tokens` enter the model: the next multiple of GRAIN.

    Near the context's end it is what the prompt leaves, for there are no positions beyond.
    """
    return -(-tokens // GRAIN) * GRAIN


def rows_of(length: int) -> int:
    """Rows of a batch whose rows hold `length` tokens."""
    return max(1, LIKELIHOOD_TOKENS // length)


@torch.inference_mode()
def continuation_logprobs(
    decoder: Decoder, prompt: Sequence[int], continuations: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """Log P of every token of every continuation, given the prompt and the tokens before it.

    Args:
        decoder: runs the model.
        prompt: at least one id.
        continuations: ids; prompt and continuation together have at most one token more than the context.

    Returns:
        fp64 (n,) nats on the CPU for each continuation of n tokens, in the order given.
    """
    if not isinstance(decoder, SharesPrompts):
        return [joint_logprobs(decoder, prompt, continuation) for continuation in continuations]
    state = decoder.read(prompt)
    first = torch.log_softmax(decoder.head(state.output[None])[0].double(), 0).cpu()
    found = [torch.empty(len(c), dtype=torch.float64) for c in continuations]
    groups: dict[int, list[int]] = {}
    for place, continuation in enumerate(continuations):
        if continuation:
            found[place][0] = first[continuation[0]]
        if len(continuation) > 1:
            length = min(row_length(len(continuation) - 1), decoder.context - len(prompt))
            groups.setdefault(length, []).append(place)
    for length, places in groups.items():
        rows = rows_of(length)
        for start in range(0, len(places), rows):
            batch = places[start : start + rows]
            logprobs = _batch(decoder, state, [continuations[place] for place in batch], length)
            for row, place in enumerate(batch):
                found[place][1:] = logprobs[row, : len(continuations[place]) - 1]
    return found


def _batch(
    decoder: SharesPrompts, state: PromptState, continuations: Sequence[Sequence[int]], length: int
) -> torch.Tensor:
    """fp64 (R, T) on the CPU: log P of the token after each token of one batch; padding means nothing."""
    ids = torch.zeros((rows_of(length), length + 1), dtype=torch.int64)
    for row, continuation in enumerate(continuations):
        ids[row, : len(continuation)] = torch.tensor(continuation, dtype=torch.int64)
    outputs = decoder.extend(state, ids[:, :-1].to(state.output.device))
    targets = ids[:, 1:].to(outputs.device)
    return _chosen(decoder.head(outputs.flatten(0, 1)), targets.flatten()).view(targets.shape).cpu()


def _chosen(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """fp64 (N,): log P of int64 (N,) `targets` under fp32 logits (N, V)."""
    picked = logits.gather(1, targets[:, None])[:, 0].double()
    top = logits.amax(1, keepdim=True)
    return picked - top[:, 0].double() - (logits - top).exp_().sum(1, dtype=torch.float64).log()


def _row(decoder: Decoder, ids: Sequence[int]) -> torch.Tensor:
    """int64 (T,): ids, padded to their bucket where padding means nothing.

    A model that only the path without a cache runs may look at the length of its input, as longrope does.
    """
    length = bucket_length(len(ids), decoder.context) if isinstance(decoder, SharesPrompts) else len(ids)
    row = torch.zeros(length, dtype=torch.int64)
    row[: len(ids)] = torch.tensor(ids)
    return row.to(decoder.device)


def joint_logprobs(decoder: Decoder, prompt: Sequence[int], continuation: Sequence[int]) -> torch.Tensor:
    """Prompt and continuation in one forward of their own bucket."""
    if not continuation:
        return torch.empty(0, dtype=torch.float64)
    ids = [*prompt, *continuation]
    logits = decoder.all_logits(_row(decoder, ids[:-1]))[len(prompt) - 1 : len(ids) - 1]
    return _chosen(logits, torch.tensor(continuation, device=logits.device)).cpu()


@torch.inference_mode()
def text_logprob(decoder: Decoder, ids: Sequence[int], start: int) -> float:
    """Log P of a text of any length, nats.

    The first window of the context is read from `start` (the end-of-text token) on. After it the windows overlap by
    half: every further token is given at least half a context before it.
    """
    whole, half = [start, *ids], max(1, decoder.context // 2)
    total, at = 0.0, 1
    while at < len(whole):
        end = min(at + (decoder.context if at == 1 else half), len(whole))
        begin = max(0, end - 1 - decoder.context)
        total += float(joint_logprobs(decoder, whole[begin:at], whole[at:end]).sum())
        at = end
    return total


@torch.inference_mode()
def next_token_logprobs(decoder: Decoder, prompt: Sequence[int]) -> torch.Tensor:
    """fp64 (V,) on the CPU: log P of every token as the next one after `prompt`, temperature 1, nothing truncated."""
    if isinstance(decoder, SharesPrompts):
        logits = decoder.head(decoder.read(prompt).output[None])[0]
    else:
        logits = decoder.all_logits(_row(decoder, prompt))[len(prompt) - 1]
    return torch.log_softmax(logits.double(), 0).cpu()
