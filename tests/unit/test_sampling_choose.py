"""Truncation and the race: the same law as softmax followed by the rules, and the same set as a slow reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from biasaudit.errors import BiasAuditError
from biasaudit.records import Decoding
from biasaudit.sampling import noise, truncate
from biasaudit.sampling.choose import Chooser
from biasaudit.sampling.survey import Surveyor

VOCABULARY = 40
DRAWS = 40_000


def slow_law(logits: list[float], decoding: Decoding) -> list[float]:
    """Probabilities by the rules of the contract, in Python floats, token by token."""
    if decoding.temperature == 0:
        return [1.0 if v == logits.index(max(logits)) else 0.0 for v in range(len(logits))]
    scaled = [x / decoding.temperature for x in logits]
    top = max(scaled)
    weight = {v: math.exp(x - top) for v, x in enumerate(scaled)}
    order = sorted(weight, key=lambda v: (-scaled[v], v))
    if decoding.top_k:
        order = order[: decoding.top_k]
    mass = sum(weight[v] for v in order)
    kept, before = [], 0.0
    for v in order:
        if before < decoding.top_p * mass or decoding.top_p == 1:
            kept.append(v)
        before += weight[v]
    kept = [v for v in kept if v == order[0] or weight[v] >= decoding.min_p]
    mass = sum(weight[v] for v in kept)
    return [weight[v] / mass if v in kept else 0.0 for v in range(len(logits))]


def some_logits(spread: float = 1.5) -> torch.Tensor:
    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(3)) * spread


def draw(logits: torch.Tensor, decoding: Decoding, *, best: int, draws: int = DRAWS) -> np.ndarray:
    rows = 1000
    chooser = Chooser(rows, len(logits), best=best)
    for row in range(rows):
        chooser.admit(row, decoding, [])
    counts = np.zeros(len(logits))
    table = logits.expand(rows, -1).contiguous()
    for turn in range(draws // rows):
        keys = noise.position_keys(torch.arange(rows) * 7919 + 13, torch.full((rows,), turn))
        counts += np.bincount(chooser.choose(table, keys)[0].numpy(), minlength=len(logits))
    return counts


def p_value(counts: np.ndarray, law: list[float]) -> float:
    expected = np.array(law) * counts.sum()
    assert counts[expected == 0].sum() == 0, "a removed token was drawn"
    seen = expected > 0
    return float(stats.chisquare(counts[seen], expected[seen]).pvalue) if seen.sum() > 1 else 1.0


DECODINGS = [
    Decoding(),
    Decoding(temperature=0.7),
    Decoding(top_k=5),
    Decoding(top_k=30, temperature=1.3),
    Decoding(top_p=0.8),
    Decoding(min_p=0.1),
    Decoding(top_k=12, top_p=0.9, min_p=0.05, temperature=1.2),
]


@pytest.mark.parametrize("best", [4, 16, 1024])
@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda d: f"T{d.temperature}k{d.top_k}p{d.top_p}m{d.min_p}")
def test_draws_follow_the_softmax_under_every_truncation(decoding, best):
    logits = some_logits()
    assert p_value(draw(logits, decoding, best=best), slow_law(logits.tolist(), decoding)) > 1e-3


def test_a_broken_sampler_is_rejected():
    logits = some_logits()
    law = slow_law(logits.tolist(), Decoding())
    assert p_value(draw(logits * 1.05, Decoding(), best=16), law) < 1e-3
    assert p_value(draw(logits, Decoding(temperature=0.95), best=16), law) < 1e-3


def test_the_lumped_rest_wins_as_often_as_its_mass():
    logits = some_logits(0.5)
    counts = draw(logits, Decoding(), best=3)
    law = np.array(slow_law(logits.tolist(), Decoding()))
    rest = np.argsort(-law)[3:]
    assert counts[rest].sum() / counts.sum() == pytest.approx(law[rest].sum(), abs=0.01)


def test_truncation_never_shifts_noise():
    logits = torch.randn(1, 300, generator=torch.Generator().manual_seed(5)) * 4
    for turn in range(50):
        keys = noise.position_keys(torch.tensor([99]), torch.tensor([turn]))
        drawn = {}
        for decoding in (Decoding(), Decoding(top_k=100), Decoding(top_p=0.9999), Decoding(min_p=1e-6)):
            chooser = Chooser(1, 300)
            chooser.admit(0, decoding, [])
            drawn[decoding] = int(chooser.choose(logits, keys)[0])
        assert len(set(drawn.values())) == 1


values = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), min_size=2, max_size=24)


@settings(max_examples=40)
@given(rows=st.lists(values, min_size=1, max_size=4), k=st.integers(1, 30))
def test_the_best_k_break_ties_by_lowest_id(rows, k):
    width = min(map(len, rows))
    logits = torch.tensor([row[:width] for row in rows])
    want = [sorted(sorted(range(width), key=lambda v: (-row[v], v))[:k]) for row in logits.tolist()]
    assert truncate.best(logits, k)[1].tolist() == want


@settings(max_examples=40)
@given(
    row=values,
    top_k=st.integers(0, 30),
    top_p=st.floats(0.05, 1.0),
    min_p=st.floats(0.0, 1.0),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    best=st.integers(1, 30),
)
def test_a_drawn_token_is_one_that_the_rules_keep(row, top_k, top_p, min_p, temperature, best):
    decoding = Decoding(top_k=top_k, top_p=top_p * 0.999, min_p=min_p * 0.999, temperature=temperature)
    chooser = Chooser(8, len(row), best=best)
    for place in range(8):
        chooser.admit(place, decoding, [])
    drawn = chooser.choose(torch.tensor([row] * 8), torch.arange(8) * 12345)[0].tolist()
    law = slow_law(row, decoding)
    assert all(law[v] > 0 for v in drawn)


def test_greedy_takes_the_lowest_of_equal_ids():
    chooser = Chooser(2, 5)
    chooser.admit(0, Decoding(temperature=0.0), [])
    tokens, _ = chooser.choose(torch.tensor([[0.0, 2.0, 1.0, 2.0, 2.0]] * 2), torch.zeros(2, dtype=torch.int64))
    assert tokens.tolist() == [1, 0]


def test_logprobs_are_of_the_untruncated_distribution_at_temperature_1():
    logits = some_logits()[None]
    for decoding in (*DECODINGS, Decoding(temperature=0.0), Decoding(repetition_penalty=1.5)):
        chooser = Chooser(1, VOCABULARY, best=8)
        chooser.admit(0, decoding, [1, 2, 3])
        token, logprob = chooser.choose(logits, torch.tensor([77]))
        assert float(logprob) == pytest.approx(float(torch.log_softmax(logits, -1)[0, token]), abs=1e-5)


def test_a_row_does_not_depend_on_the_decodings_beside_it():
    logits = torch.randn(8, 500, generator=torch.Generator().manual_seed(2)) * 2
    keys = torch.arange(8) * 31337
    every = [Decoding(), Decoding(top_k=7), Decoding(temperature=0.0), Decoding(top_p=0.7), Decoding(temperature=0.6),
             Decoding(repetition_penalty=1.3), Decoding(min_p=0.2), Decoding(top_p=0.99, temperature=3.0)]  # fmt: skip

    def run(decodings):
        chooser = Chooser(8, 500, best=64)
        for row, decoding in enumerate(decodings):
            if decoding is not None:
                chooser.admit(row, decoding, [row, row + 1])
        return torch.stack([x.double() for x in chooser.choose(logits, keys)])

    mixed = run(every)
    for row in range(8):
        alone = run([d if r == row else None for r, d in enumerate(every)])
        assert torch.equal(alone[:, row], mixed[:, row])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_numbers_are_refused(bad):
    logits = torch.zeros(2, 5)
    logits[1, 2] = bad
    chooser = Chooser(2, 5)
    chooser.admit(0, Decoding(), [])
    chooser.choose(logits, torch.zeros(2, dtype=torch.int64))
    chooser.admit(1, Decoding(), [])
    with pytest.raises(BiasAuditError, match="not numbers"):
        chooser.choose(logits, torch.zeros(2, dtype=torch.int64))


def test_rows_race_alike_in_any_company_and_torch_keeps_its_threads(monkeypatch):
    """Threads share the rows in parts; the parts must shape no row, and what they set must stay theirs."""
    monkeypatch.setattr("biasaudit.sampling.survey._TOGETHER", 4 * 3001)
    before = torch.get_num_threads()
    logits = torch.randn(37, 3001, generator=torch.Generator().manual_seed(4))
    keys, table = torch.arange(37) * 7919, noise.token_table(3001)
    surveyor = Surveyor(37, 3001, torch.device("cpu"))
    assert torch.get_num_threads() == before
    found = surveyor(logits, 301, rest=True)
    chosen, score = surveyor.race(found, keys, table)
    for row in range(37):
        alone = surveyor(logits[row : row + 1], 301, rest=True)
        here = slice(row, row + 1)
        assert torch.equal(alone.total, found.total[here])
        assert torch.equal(alone.rest, found.rest[here])
        one = surveyor.race(alone, keys[here], table)
        assert torch.equal(one[0], chosen[here])
        assert torch.equal(one[1], score[here])
