"""Fast statistics against slow ones that follow the definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasaudit.stats import interval, permutation
from biasaudit.stats.multiplicity import benjamini_hochberg, holm

Stratum = tuple[list[int], list[int]]
strata = st.lists(
    st.tuples(st.lists(st.integers(0, 1), min_size=1, max_size=3), st.lists(st.integers(0, 1), min_size=1, max_size=3)),
    min_size=1,
    max_size=3,
)


def enumerated(cells: list[Stratum]) -> float:
    """The exact stratified test by listing every relabelling of every stratum."""
    totals: dict[int, int] = {0: 1}
    for y1, y0 in cells:
        pooled = y1 + y0
        sums: dict[int, int] = {}
        for chosen in itertools.combinations(range(len(pooled)), len(y1)):
            total = sum(pooled[k] for k in chosen)
            sums[total] = sums.get(total, 0) + 1
        merged: dict[int, int] = {}
        for (a, m), (b, n) in itertools.product(totals.items(), sums.items()):
            merged[a + b] = merged.get(a + b, 0) + m * n
        totals = merged
    observed = totals[sum(sum(y1) for y1, _ in cells)]
    return sum(count for count in totals.values() if count <= observed) / sum(totals.values())


@given(strata)
def test_the_exact_stratified_test_equals_enumeration(cells: list[Stratum]) -> None:
    p = permutation.stratified_exact(
        [sum(y1) for y1, _ in cells],
        [len(y1) for y1, _ in cells],
        [sum(y0) for _, y0 in cells],
        [len(y0) for _, y0 in cells],
    )
    assert p == pytest.approx(enumerated(cells))


@given(st.integers(0, 9), st.integers(0, 9))
def test_the_exact_paired_test_equals_enumeration(up: int, down: int) -> None:
    n = up + down
    observed = math.comb(n, up)
    expected = sum(math.comb(n, k) for k in range(n + 1) if math.comb(n, k) <= observed) / 2**n
    assert permutation.paired_exact(up, down) == pytest.approx(expected)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_sign_flips_equal_enumeration(units: list[int]) -> None:
    sums = [
        abs(sum(s * u for s, u in zip(signs, units, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(units))
    ]
    expected = sum(s >= abs(sum(units)) for s in sums) / len(sums)
    assert permutation.sign_flip(np.array(units, dtype=float), rng=np.random.default_rng(0)) == pytest.approx(expected)


def test_random_sign_flips_come_close_to_the_exact_ones() -> None:
    rng = np.random.default_rng(5)
    few = rng.normal(0.6, 1.0, 16)
    exact = permutation.sign_flip(few, rng=rng)
    # The same units, each split into two that always flip apart, would differ; zeros carry no information instead.
    padded = np.concatenate([few, np.full(4, 1e-12)])
    assert permutation.sign_flip(padded, rng=rng) == pytest.approx(exact, abs=0.01)


def test_random_permutations_within_prompts_come_close_to_enumeration() -> None:
    y1, y0 = np.array([3.0, 5.0, 4.0, 6.0]), np.array([2.0, 4.5, 1.0, 3.5])
    pooled = np.concatenate([y1, y0])
    sums = [pooled[list(chosen)].sum() for chosen in itertools.combinations(range(8), 4)]
    centre = pooled.sum() / 2
    exact = np.mean([abs(s - centre) >= abs(y1.sum() - centre) - 1e-9 for s in sums])
    p = permutation.within_prompts([y1], [y0], np.ones(1), rng=np.random.default_rng(1))
    assert p == pytest.approx(exact, abs=0.015)


def test_permutations_within_prompts_are_independent_between_prompts() -> None:
    rng = np.random.default_rng(2)
    tuned = [rng.normal(0.0, 1.0, 20) for _ in range(30)]
    reference = [rng.normal(0.0, 1.0, 20) for _ in range(30)]
    weights = np.full(30, 1 / 30)
    difference = float(np.mean([a.mean() - b.mean() for a, b in zip(tuned, reference, strict=True)]))
    p = permutation.within_prompts(tuned, reference, weights, rng=rng)
    spread = (
        math.sqrt(sum(np.concatenate([a, b]).var(ddof=1) * 2 / 20 for a, b in zip(tuned, reference, strict=True))) / 30
    )
    assert p == pytest.approx(math.erfc(abs(difference) / spread / math.sqrt(2)), abs=0.02)


def test_a_monte_carlo_p_value_is_never_zero() -> None:
    p = permutation.within_prompts(
        [np.full(30, 9.0)], [np.zeros(30)], np.ones(1), draws=199, rng=np.random.default_rng(0)
    )
    assert p == 1 / 200


def test_the_exact_test_of_many_prompts_stays_exact_where_tails_are_dropped() -> None:
    one = permutation.stratified_exact([40] * 400, [100] * 400, [40] * 400, [100] * 400)
    far = permutation.stratified_exact([90] * 400, [100] * 400, [10] * 400, [100] * 400)
    assert one == pytest.approx(1.0)
    assert 0 < far < 1e-12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_values_follow_their_definitions(p_values: list[float]) -> None:
    m = len(p_values)
    order = sorted(range(m), key=lambda k: p_values[k])
    running, step = 0.0, [0.0] * m
    for rank, k in enumerate(order):
        running = max(running, min(1.0, (m - rank) * p_values[k]))
        step[k] = running
    assert holm(p_values) == pytest.approx(step)
    best, up = 1.0, [0.0] * m
    for rank in range(m - 1, -1, -1):
        best = min(best, p_values[order[rank]] * m / (rank + 1))
        up[order[rank]] = best
    assert benjamini_hochberg(p_values) == pytest.approx(up)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_observed_rate_and_stays_inside_the_unit(n: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, n))
    found = interval.wilson(x, n)
    assert 0 <= found.low <= x / n <= found.high <= 1
    mirrored = interval.wilson(n - x, n)
    assert mirrored.low == pytest.approx(1 - found.high, abs=1e-12)
