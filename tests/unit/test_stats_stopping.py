"""Contrasts after stopping by looks: unequal sizes, repeated intervals and tests, no population claim."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from biasaudit.results import Contrast
from biasaudit.stats.cells import Cell, Design, variance
from biasaudit.stats.contrast import About, contrast
from biasaudit.stats.sequential import Schedule, stopping_bias
from biasaudit.stats.stopping import Stopping, adjusted, overall
from biasaudit.stats.verdict import adjust_family, kind_of

SCHEDULE = Schedule(scheme="obrien-fleming", sizes=(25, 50, 75, 100, 125, 150, 175, 200))
BINARY = Design(binary=True)
ABOUT = About(
    measure="m", scorer="s", outcome="endorse", unit="share", direction="more", tuned="t", reference="r",
    decoding_id="d", language="pt", role="primary", target="fixed", margin=0.1,
)  # fmt: skip


def cell(prompt: str, topic: str, ups: int, downs: int, n: int) -> Cell:
    """`ups` of `n` in the tuned arm, `downs` of `n` in the reference."""
    return Cell(
        prompt_id=prompt,
        topic=topic,
        tuned=(np.arange(n) < ups).astype(np.float64),
        reference=(np.arange(n) < downs).astype(np.float64),
    )


CELLS = [
    cell("a1", "a", 20, 5, 25), cell("a2", "a", 90, 80, 200), cell("b", "b", 70, 60, 200),
    cell("c", "c", 60, 60, 200), cell("d", "d", 66, 60, 200), cell("e", "e", 50, 55, 200),
]  # fmt: skip
LOOKS = {"a1": 0, "a2": 7, "b": 7, "c": 7, "d": 7, "e": 7}


def made(cells: list[Cell], about: About = ABOUT, design: Design = BINARY) -> Contrast:
    found = contrast(cells, design, about, rng=np.random.default_rng(1))
    assert found is not None
    return found


def test_prompts_of_unequal_size_weigh_the_same_inside_a_topic_and_topics_the_same() -> None:
    found = made(CELLS, dataclasses.replace(ABOUT, target="population"))
    rates = [(15 / 25 + 10 / 200) / 2, 10 / 200, 0.0, 6 / 200, -5 / 200]
    assert found.difference == pytest.approx(np.mean(rates))
    assert found.population.interval is not None
    centre = (found.population.interval.low + found.population.interval.high) / 2
    assert centre == pytest.approx(found.difference)
    assert found.population.se == pytest.approx(np.std(rates, ddof=1) / math.sqrt(5))
    assert found.fixed.method == "permutation within prompts, Monte Carlo", "totals would answer another question"


def test_every_prompt_is_widened_by_the_boundary_of_its_own_look() -> None:
    found = adjusted(made(CELLS), CELLS, BINARY, Stopping(schedule=SCHEDULE, looks=LOOKS))
    weights = np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.2])
    bounds = np.array([5.5437, 2.1037, 2.1037, 2.1037, 2.1037, 2.1037])
    errors = np.sqrt([variance(one, BINARY) or 0.0 for one in CELLS])
    half = math.sqrt(((weights * bounds * errors) ** 2).sum())
    assert found.fixed.interval is not None
    assert found.fixed.interval.high - found.difference == pytest.approx(half, rel=1e-4)
    assert found.fixed.interval.for_looks
    first = found.prompts[0].interval
    assert first is not None
    assert first.low == pytest.approx(15 / 25 - 5.5437 * errors[0], abs=1e-4)
    assert first.high == 1.0
    assert found.topics[1].interval is not None
    assert found.topics[1].interval.high == pytest.approx(0.05 + 2.1037 * errors[2], abs=1e-4)


def test_no_repeated_interval_of_a_difference_of_rates_leaves_minus_one_to_one() -> None:
    cells = [cell(name, name, 25, 0, 25) for name in "abcde"]
    found = adjusted(made(cells), cells, BINARY, Stopping(schedule=SCHEDULE, looks=dict.fromkeys("abcde", 0)))
    assert found.fixed.interval is not None
    assert found.equivalence is not None
    made_of = [
        found.fixed.interval,
        found.equivalence.interval,
        *(row.interval for row in (*found.topics, *found.prompts)),
    ]
    assert {one.high for one in made_of if one is not None} == {1.0}


def test_population_claims_are_refused_and_the_verdict_speaks_of_these_prompts() -> None:
    about = dataclasses.replace(ABOUT, target="population")
    found = adjusted(made(CELLS, about), CELLS, BINARY, Stopping(schedule=SCHEDULE, looks=LOOKS))
    assert found.population.interval is None
    assert found.population.p is None
    assert found.population.note == "stopped-by-looks"
    assert found.heterogeneity is not None
    assert found.heterogeneity.prediction is None
    assert kind_of(found, "population")[1] == "fixed"


@pytest.mark.parametrize("bias", [0.0, 0.6])
@pytest.mark.parametrize("ups", range(60, 100, 3))
def test_test_and_interval_agree_for_a_difference_and_for_equivalence(ups: int, bias: float) -> None:
    cells = [cell(name, name, ups, 60, 200) for name in "abcde"]
    stopping = Stopping(schedule=SCHEDULE, looks=dict.fromkeys("abcde", 5), bias=bias)
    found = adjusted(made(cells), cells, BINARY, stopping)
    interval, tost = found.fixed.interval, found.equivalence
    assert interval is not None
    assert found.fixed.p is not None
    assert tost is not None
    assert (found.fixed.p < 0.05) == (interval.low > 0 or interval.high < 0)
    assert tost.equivalent == (tost.interval.low > -0.1 and tost.interval.high < 0.1)


def test_prompts_that_stop_by_their_own_effect_pull_the_interval_towards_zero() -> None:
    plain = adjusted(made(CELLS), CELLS, BINARY, Stopping(schedule=SCHEDULE, looks=LOOKS))
    bias = stopping_bias(SCHEDULE.fractions, SCHEDULE.multipliers(0.05).tolist())
    found = adjusted(made(CELLS), CELLS, BINARY, Stopping(schedule=SCHEDULE, looks=LOOKS, bias=bias))
    error = math.sqrt(variance(CELLS[0], BINARY) or 0.0)
    assert plain.fixed.interval is not None
    assert found.fixed.interval is not None
    assert plain.fixed.interval.low - found.fixed.interval.low == pytest.approx(0.1 * bias * error)
    assert found.fixed.interval.high == pytest.approx(plain.fixed.interval.high)
    assert found.prompts[0].interval == plain.prompts[0].interval, "a prompt's own interval needs no allowance"
    assert 0.5 < bias < 0.7


def test_a_family_makes_the_detectable_difference_larger_after_looks_too() -> None:
    stopping = Stopping(schedule=SCHEDULE, looks=dict.fromkeys(LOOKS, 3))
    fixed = made(CELLS)
    found = adjusted(fixed, CELLS, BINARY, stopping)
    assert found.mde is not None
    assert fixed.mde is not None
    assert found.mde > fixed.mde
    family = adjust_family([found, found], "fixed")
    assert family[0].mde is not None
    assert family[0].mde > found.mde


def test_exact_quantities_and_unknown_errors_claim_nothing_new() -> None:
    exact = Design(sampled=False)
    stopping = Stopping(schedule=SCHEDULE, looks=LOOKS)
    assert adjusted(made(CELLS, design=exact), CELLS, exact, stopping) == made(CELLS, design=exact)
    single = [dataclasses.replace(CELLS[0], tuned=np.array([0.3]), reference=np.array([0.1]))]
    numeric = Design()
    found = adjusted(made(single, design=numeric), single, numeric, stopping)
    assert found.fixed.interval is None
    assert found.fixed.p is None
    assert overall(single, numeric, stopping) is None
    assert overall([], numeric, stopping) is None
