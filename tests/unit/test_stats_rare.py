"""Population inference for rare outcomes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from biasaudit.stats import rare
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import About, contrast
from biasaudit.stats.rare import Counts, Rates

ABOUT = About(
    measure="m", scorer="s", outcome="value", unit="share", direction="", tuned="t", reference="r", decoding_id="",
    language="pt", role="primary", margin=0.05,
)  # fmt: skip
UP = (6, 2, 9, 4, 30, 3, 10, 5, 2, 8)
DOWN = (2, 1, 3, 1, 12, 1, 3, 2, 0, 3)


def cells(up: tuple[int, ...], down: tuple[int, ...], n: int = 100) -> list[Cell]:
    def outcomes(k: int) -> np.ndarray:
        return (np.arange(n) < k).astype(np.float64)

    return [
        Cell(prompt_id=str(k), topic=str(k), tuned=outcomes(a), reference=outcomes(b))
        for k, (a, b) in enumerate(zip(up, down, strict=True))
    ]


def counts(up: tuple[int, ...] = UP, down: tuple[int, ...] = DOWN, n: float = 100.0) -> Counts:
    size = np.full(len(up), n)
    return Counts(x1=np.array(up, dtype=float), n1=size, x0=np.array(down, dtype=float), n0=size)


def found(up: tuple[int, ...], down: tuple[int, ...], design: Design | None = None):  # type: ignore[no-untyped-def]
    return contrast(cells(up, down), design or Design(binary=True), ABOUT, rng=np.random.default_rng(3))


def test_rare_and_nearly_certain_outcomes_are_rare_and_others_or_none_at_all_are_not() -> None:
    assert counts().rare
    assert counts(tuple(100 - k for k in UP), tuple(100 - k for k in DOWN)).rare
    assert not counts(tuple(40 + k for k in UP), tuple(40 + k for k in DOWN)).rare
    assert not counts((0,) * 10, (0,) * 10).rare


def test_a_rare_outcome_reaches_further_towards_the_larger_effect_and_says_so() -> None:
    row = found(UP, DOWN)
    plain = found(UP, DOWN, Design(binary=False))
    assert row.population.method == "t on 10 topic means, calibrated for a rare outcome"
    assert plain.population.method == "t on 10 topic means"
    assert row.difference == plain.difference
    above, below = row.population.interval.high - row.difference, row.difference - row.population.interval.low
    assert above > 1.3 * below
    assert row.population.interval.high > plain.population.interval.high
    assert row.equivalence.interval.high > plain.equivalence.interval.high


def test_an_ordinary_outcome_keeps_students_t_to_the_last_digit() -> None:
    up, down = tuple(30 + 2 * k for k in UP), tuple(25 + k for k in DOWN)
    assert found(up, down).population.p == found(up, down, Design(binary=False)).population.p


def test_arms_change_places_and_outcomes_are_negated_with_the_same_answer() -> None:
    one, other = found(UP, DOWN).population, found(DOWN, UP).population
    assert other.interval.low == pytest.approx(-one.interval.high, abs=0.006)
    assert other.p == pytest.approx(one.p, abs=0.02)
    turned = found(tuple(100 - k for k in UP), tuple(100 - k for k in DOWN)).population
    assert turned.interval.low == pytest.approx(-one.interval.high, abs=0.006)


def test_the_same_audit_gives_the_same_digits() -> None:
    assert found(UP, DOWN).population == found(UP, DOWN).population


def test_the_model_meets_the_mean_rate_and_both_arms_are_alike_without_a_shift() -> None:
    rates = Rates(mean=0.02, spread=1.2, effects=0.4)
    level, none = rates.at(0.0)
    assert none == 0.0
    rng = np.random.default_rng(1)
    base, effect = level + 1.2 * rng.standard_normal(400_000), 0.4 * rng.standard_normal(400_000)
    drawn = 1 / (1 + np.exp(-(base + effect / 2)))
    assert drawn.mean() == pytest.approx(0.02, rel=0.02)
    assert rates.at(1.0)[1] == pytest.approx(-rates.at(-1.0)[1], abs=1e-9)
    assert 0 < rates.at(0.5)[1] < rates.at(2.0)[1] < 0.04


def test_the_spread_of_topics_is_found_again() -> None:
    rng = np.random.default_rng(2)
    n = np.full(400, 300.0)
    for spread in (0.5, 1.0, 2.0):
        base = -3.5 + spread * rng.standard_normal(400)
        x1, x0 = (rng.binomial(300, 1 / (1 + np.exp(-base))).astype(float) for _ in range(2))
        assert rare.fitted(Counts(x1=x1, n1=n, x0=x0, n0=n)).spread == pytest.approx(spread, rel=0.15)


def test_no_interval_holds_what_its_p_rejects_nor_leaves_the_estimate_out() -> None:
    rng = np.random.default_rng(4)
    for _ in range(12):
        up, down = rng.binomial(60, 0.06, 8), rng.binomial(60, 0.03, 8)
        made = rare.calibrate(counts(tuple(up), tuple(down), 60.0), rng=rng, draws=199, at_null=199)
        interval = made.interval()
        assert interval.low <= made.centre <= interval.high
        assert (made.p >= 0.05) == (interval.low <= 0 <= interval.high)


def test_a_wider_margin_is_easier_to_stay_inside() -> None:
    made = rare.calibrate(counts(), rng=np.random.default_rng(5))
    tests = [made.equivalence(margin) for margin in (0.01, 0.03, 0.2)]
    assert [test.p for test in tests] == sorted((test.p for test in tests), reverse=True)
    assert tests[-1].equivalent
    assert not tests[0].equivalent
    assert dataclasses.replace(tests[0].interval, level=0.9) == tests[0].interval
