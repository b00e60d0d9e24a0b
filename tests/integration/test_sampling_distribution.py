"""The engine's law, end to end: what it draws has the probabilities that transformers computes, token and sequence.

The laws come from the model's own forward and transformers' own logits processors. Every decoding runs in one queue,
so that all of them share tiles. The larger form (200,000 draws for each decoding) runs with -m slow.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from sampling_support import Letters, backend, gpt2
from scipy import stats
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from biasaudit.records import Decoding, SampleRequest
from biasaudit.sampling import noise

VOCABULARY = 120
PROMPT = "abcab"
LEAST = 1e-3
DRAWS = 8_000
MANY = 200_000

TOKEN_DECODINGS = {
    "none": {},
    "temperature": {"temperature": 0.7},
    "hot": {"temperature": 1.6},
    "top_k": {"top_k": 12},
    "top_p": {"top_p": 0.85},
    "min_p": {"min_p": 0.02},
    "penalty": {"repetition_penalty": 1.5},
    "top_k+top_p": {"top_k": 30, "top_p": 0.9},
    "all": {"temperature": 1.3, "top_k": 60, "top_p": 0.95, "min_p": 0.02, "repetition_penalty": 1.2},
}
TREE_DECODINGS = {
    "none": {},
    "temperature+top_k+penalty": {"temperature": 0.8, "top_k": 3, "repetition_penalty": 1.3},
    "top_p": {"top_p": 0.8},
}


def peaked(vocabulary: int, factor: float) -> Any:
    """A 2-layer model whose law is far from uniform, so that every truncation removes something."""
    model = gpt2(vocabulary=vocabulary)
    with torch.no_grad():
        model.transformer.ln_f.weight.mul_(factor)
    return model


def law(model: Any, ids: list[int], options: dict[str, Any]) -> np.ndarray:
    """Probabilities of the next token after `ids`, by transformers."""
    steps = LogitsProcessorList()
    if "repetition_penalty" in options:
        steps.append(RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    for name, step in (
        ("temperature", TemperatureLogitsWarper),
        ("top_k", TopKLogitsWarper),
        ("top_p", TopPLogitsWarper),
        ("min_p", MinPLogitsWarper),
    ):
        if name in options:
            steps.append(step(options[name]))
    row = torch.tensor([ids])
    with torch.no_grad():
        logits = model(row).logits[:, -1].float()
    return torch.softmax(steps(row, logits).double(), -1)[0].numpy()


def p_value(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Of Pearson's test; cells of fewer than five expected draws stand together; 0 where the impossible was drawn."""
    if counts[probabilities == 0].sum():
        return 0.0
    expected = probabilities * counts.sum()
    large = expected >= 5
    cells = [*zip(counts[large], expected[large], strict=True), (counts[~large].sum(), expected[~large].sum())]
    seen, wanted = zip(*(cell for cell in cells if cell[1] > 0), strict=True)
    return float(stats.chisquare(seen, np.array(wanted) * (sum(seen) / sum(wanted))).pvalue)


def draw(model: Any, decodings: list[Decoding], size: int, *, vocabulary: int, best: int) -> dict[str, Counter]:
    """Sequences of `size` completions for each decoding, all in one queue."""
    ours = backend(model, vocabulary=vocabulary, tile=1000, best=best)
    wanted = (
        SampleRequest(prompt_id="p", prompt=PROMPT, decoding=decoding, index=index)
        for index in range(size)
        for decoding in decodings
    )
    found: dict[str, Counter] = {decoding.decoding_id: Counter() for decoding in decodings}
    for completion in ours.complete(wanted):
        ended = (0,) if completion.finish_reason == "eos" else ()
        found[completion.decoding_id][completion.token_ids + ended] += 1
    assert all(sum(counts.values()) == size for counts in found.values())
    return found


def token_p_values(size: int, *, best: int, names: list[str]) -> dict[str, float]:
    model = peaked(VOCABULARY, 5.0)
    start = Letters(VOCABULARY).encode(PROMPT)
    decodings = {name: Decoding(max_new_tokens=1, **TOKEN_DECODINGS[name]) for name in names}
    found = draw(model, list(decodings.values()), size, vocabulary=VOCABULARY, best=best)
    values = {}
    for name, decoding in decodings.items():
        counts = np.zeros(VOCABULARY)
        for (token,), count in found[decoding.decoding_id].items():
            counts[token] = count
        values[name] = p_value(counts, law(model, start, TOKEN_DECODINGS[name]))
    return values


def tree_p_values(size: int, *, names: list[str]) -> dict[str, float]:
    few = 6
    model = peaked(few, 1.5)
    start = Letters(few).encode(PROMPT)
    decodings = {name: Decoding(max_new_tokens=3, **TREE_DECODINGS[name]) for name in names}
    found = draw(model, list(decodings.values()), size, vocabulary=few, best=2)
    values = {}
    for name, decoding in decodings.items():
        laws = {
            path: law(model, [*start, *path], TREE_DECODINGS[name])
            for n in range(3)
            for path in itertools.product(range(1, few), repeat=n)
        }
        leaves = [path for path in itertools.product(range(few), repeat=3) if 0 not in path[:2]]
        leaves += [(*path, 0) for n in range(2) for path in itertools.product(range(1, few), repeat=n)]
        reach = np.array([np.prod([laws[leaf[:t]][leaf[t]] for t in range(len(leaf))]) for leaf in leaves])
        assert reach.sum() == pytest.approx(1.0)
        counts = found[decoding.decoding_id]
        assert set(counts) <= set(leaves)
        values[name] = p_value(np.array([counts[leaf] for leaf in leaves]), reach)
    return values


def test_next_tokens_have_the_models_probabilities_under_every_truncation():
    values = token_p_values(DRAWS, best=8, names=list(TOKEN_DECODINGS))
    assert min(values.values()) > LEAST, values


def test_sequences_over_a_tree_of_three_tokens_have_the_models_probabilities():
    values = tree_p_values(DRAWS, names=list(TREE_DECODINGS))
    assert min(values.values()) > LEAST, values


@pytest.mark.slow
@pytest.mark.parametrize(("name", "best"), [*((name, 8) for name in TOKEN_DECODINGS), ("none", 1024)])
def test_two_hundred_thousand_tokens_have_the_models_probabilities(name, best):
    assert token_p_values(MANY, best=best, names=[name])[name] > LEAST


@pytest.mark.slow
@pytest.mark.parametrize("name", TREE_DECODINGS)
def test_two_hundred_thousand_sequences_have_the_models_probabilities(name):
    assert tree_p_values(MANY, names=[name])[name] > LEAST


def exponential(keys: torch.Tensor, hashed_ids: torch.Tensor) -> torch.Tensor:
    return noise.uniform(keys, hashed_ids).log_().neg_()


def slightly_small(keys: torch.Tensor, hashed_ids: torch.Tensor) -> torch.Tensor:
    return 0.9 * noise.uniform(keys, hashed_ids).log_().neg_().log_().neg_()


@pytest.mark.parametrize("wrong", [exponential, slightly_small])
def test_a_sampler_with_wrong_noise_is_rejected(monkeypatch, wrong):
    monkeypatch.setattr(noise, "gumbel", wrong)
    values = token_p_values(DRAWS, best=8, names=["none", "top_k"])
    assert max(values.values()) < LEAST, values
    assert tree_p_values(DRAWS, names=["none"])["none"] < LEAST


def test_a_sampler_that_repeats_its_noise_at_every_position_is_rejected(monkeypatch):
    once = noise.position_keys
    monkeypatch.setattr(noise, "position_keys", lambda keys, positions: once(keys, torch.zeros_like(positions)))
    assert tree_p_values(DRAWS, names=["none"])["none"] < LEAST
    assert token_p_values(DRAWS, best=8, names=["none"])["none"] > LEAST
