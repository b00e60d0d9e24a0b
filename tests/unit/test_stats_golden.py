"""Published worked examples, to their printed digits. The same figures stand in a reference file beside the real data."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from biasaudit.stats import equivalence, interval, permutation, power
from biasaudit.stats.contrast import population_estimate
from biasaudit.stats.multiplicity import benjamini_hochberg, holm

BH1995 = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0,
]  # fmt: skip
"""Benjamini & Hochberg 1995, section 4."""
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)
"""Fisher 1935, The Design of Experiments, chapter 3: maize, eighths of an inch."""
RABBITS = [(0, 6, 0, 5), (3, 6, 0, 6), (6, 6, 2, 6), (5, 6, 6, 6), (2, 2, 5, 5)]
"""R, datasets of `mantelhaen.test`: per penicillin level (cured, treated) at once and after 1.5 hours."""


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, dict[str, object]]:
    path = shared_data.parent / "methods" / "golden.json"
    if not path.is_file():
        pytest.skip("the reference file of worked examples is absent")
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_table_1_of_newcombe_1998(successes: int, n: int, low: float, high: float) -> None:
    found = interval.wilson(successes, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_newcombe_gives_the_examples_of_1998_and_of_fagerland_2015() -> None:
    found = interval.newcombe(56, 70, 48, 80)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    found = interval.newcombe(7, 34, 1, 34)
    assert (found.low, found.high) == (pytest.approx(0.0189, abs=5e-5), pytest.approx(0.3404, abs=5e-5))


def test_the_stratified_test_gives_the_rabbits_of_r() -> None:
    x1, n1, x0, n0 = zip(*RABBITS, strict=True)
    assert permutation.stratified_exact(x1, n1, x0, n0) == pytest.approx(0.03994, abs=6e-6)


def test_one_stratum_is_fishers_exact_test() -> None:
    assert permutation.stratified_exact([7], [34], [1], [34]) == pytest.approx(0.0544, abs=5e-5)


def test_swapped_pairs_are_mcnemars_exact_test() -> None:
    assert permutation.paired_exact(86, 150) == pytest.approx(3.7159361395713866e-05, rel=1e-9)


def test_topic_means_are_tested_as_fisher_tested_darwins_maize() -> None:
    found = population_estimate(DARWIN)
    assert found.interval is not None
    assert found.se is not None
    assert DARWIN.mean() / found.se == pytest.approx(2.148, abs=5e-4)
    assert found.p == pytest.approx(0.0497, abs=5e-5)
    assert (found.interval.low, found.interval.high) == (
        pytest.approx(0.031, abs=1e-3),
        pytest.approx(41.835, abs=1e-3),
    )


def test_sign_flips_count_1726_of_32768_for_darwins_maize() -> None:
    p = permutation.sign_flip(DARWIN, rng=np.random.default_rng(0))
    assert p == 1726 / 32768


def test_benjamini_hochberg_rejects_four_and_holm_three_of_1995() -> None:
    assert sum(p <= 0.05 for p in benjamini_hochberg(BH1995)) == 4
    assert sum(p <= 0.05 for p in holm(BH1995)) == 3


def test_power_reproduces_the_sample_size_of_miller_2024() -> None:
    se = power.planning_se(topics=969, prompts=969, completions=1, within=0.0, prompt_variance=1 / 9)
    assert power.detectable(se) == pytest.approx(0.03, abs=2e-5)


@pytest.mark.parametrize(
    ("omega", "prompts", "completions", "expected"),
    [
        (0.05, 6, 25, 0.206), (0.05, 18, 1000, 0.038), (0.10, 6, 50, 0.198), (0.10, 12, 100, 0.107),
        (0.10, 18, 100, 0.085), (0.10, 30, 200, 0.059), (0.20, 18, 50, 0.155),
    ],
)  # fmt: skip
def test_the_planning_table_for_a_rate_of_35_percent(
    omega: float, prompts: int, completions: int, expected: float
) -> None:
    within = 2 * 0.35 * 0.65
    se = power.planning_se(
        topics=prompts, prompts=prompts, completions=completions, within=within, prompt_variance=omega**2
    )
    assert power.detectable(se, df=prompts - 1) == pytest.approx(expected, abs=6e-4)


def test_power_never_trips_over_the_far_tail() -> None:
    assert power.power(60.0, 1.0, df=5) == 1.0
    assert math.isfinite(power.power(1e4, 1.0, df=3))
    assert power.power(0.0, 1.0, df=5) == pytest.approx(0.05)


def agresti_caffo_tost() -> float:
    p1, p0 = 31 / 56, 26 / 56
    se = math.sqrt(p1 * (1 - p1) / 56 + p0 * (1 - p0) / 56)
    return equivalence.tost(p1 - p0, se, 0.3).p


def test_tost_gives_the_agresti_caffo_example() -> None:
    assert agresti_caffo_tost() == pytest.approx(0.012568, abs=5e-7)


def test_the_reference_file_agrees(golden: dict[str, dict[str, object]]) -> None:
    def near(name: str, *found: float) -> None:
        value = golden[name]["value"]
        assert list(found) == pytest.approx(list(value)[: len(found)], abs=6e-7), name  # type: ignore[call-overload]

    for key, x, n in [("81/263", 81, 263), ("15/148", 15, 148), ("0/20", 0, 20), ("1/29", 1, 29)]:
        near(f"wilson {key}", interval.wilson(x, n).low, interval.wilson(x, n).high)
    crows = interval.wilson(912, 1508)
    near("CrowS-Pairs BERT 60.5% of 1508 Wilson", crows.low, crows.high)
    for key, counts in [("newcombe diff 56/70-48/80", (56, 70, 48, 80)), ("diff 7/34-1/34 newcomb", (7, 34, 1, 34))]:
        near(key, interval.newcombe(*counts).low, interval.newcombe(*counts).high)
    x1, n1, x0, n0 = zip(*RABBITS, strict=True)
    near("exact stratified (Rabbits)", 16.0, permutation.stratified_exact(x1, n1, x0, n0))
    for key, found in [("BH1995 adjusted", benjamini_hochberg(BH1995)), ("Holm adjusted", holm(BH1995))]:
        assert found == pytest.approx(golden[key]["value"], abs=6e-6), key
    miller = golden["Miller 2024 n for delta=.03, omega2=1/9, sigma2=0"]["value"]
    assert miller == [969.0]
    near("TOST 30/54 vs 25/54 margin .3 (AC)", agresti_caffo_tost())
