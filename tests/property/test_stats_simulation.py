"""The right target keeps its level, and the wrong one is seen to fail, so that nobody swaps them.

The cells are those of `benchmarks.simulation` and its like, which runs more of them: logit-normal prompts as in the methods page,
section 5, mean rate about .37, effects random between topics and prompts with population mean 0. The band is the 99.9 %
binomial one around .05 for 2,000 runs; here are 3,000.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks import simulation, simulation_corrections, simulation_coupled, simulation_rare
from benchmarks.simulation import FEW, NULL, PLANNED, RANDOM, RARE, SHIFTED, Scenario
from benchmarks.simulation_corrections import LABELLED, Labels
from benchmarks.simulation_coupled import COUPLED, LOOKED_AT, Pairs
from benchmarks.simulation_rare import LEVELLED, SKEWED, WIDE
from biasaudit.stats.interval import smoothed_variance

RUNS, SEED = 3_000, 20_250
BAND = (0.034, 0.068)
COVERAGE = (0.935, 0.965)
WRONG = 0.12


def named(case: Scenario | Labels | Pairs) -> str:
    return case.name


def test_the_recorded_simulation_has_every_cell() -> None:
    record = json.loads((Path(simulation.__file__).parent / "results" / "simulation.json").read_text("utf-8"))
    assert record["runs"] >= RUNS
    assert set(record["targets"]) == {case.name for case in (*NULL, *RANDOM, *SHIFTED, *FEW, *RARE)}
    cells = {"planner": PLANNED, "corrections": LABELLED, "coupled pairs": COUPLED}
    assert {name: set(record[name]) for name in cells} == {
        name: {case.name for case in cases} for name, cases in cells.items()
    }
    assert set(record["looks"]) == set(LOOKED_AT)


@pytest.mark.parametrize("case", [*NULL, *RANDOM, *SHIFTED], ids=named)
def test_a_simulation_counts_what_a_whole_contrast_finds(case: Scenario) -> None:
    assert simulation.check(case, SEED, runs=2) < 1e-12


@pytest.mark.parametrize("case", NULL, ids=named)
def test_both_targets_keep_their_level_when_no_prompt_changes(case: Scenario) -> None:
    found = simulation.measure(case, RUNS, SEED)
    assert BAND[0] <= found["fixed_rejects"] <= BAND[1]
    assert BAND[0] <= found["population_rejects"] <= BAND[1]


@pytest.mark.parametrize("case", RANDOM, ids=named)
def test_population_keeps_its_level_when_prompts_change_and_fixed_is_seen_to_fail(case: Scenario) -> None:
    found = simulation.measure(case, RUNS, SEED)
    assert BAND[0] <= found["population_rejects"] <= BAND[1]
    assert found["fixed_rejects"] > WRONG


@pytest.mark.parametrize("case", [case for case in RANDOM if case.a_topic > 1 and case.topic_sd > 0.2], ids=named)
def test_prompts_taken_for_topics_are_seen_to_fail(case: Scenario) -> None:
    assert simulation.measure(case, RUNS, SEED)["prompts_as_units_reject"] > WRONG


@pytest.mark.parametrize("case", SHIFTED, ids=named)
def test_each_target_covers_its_own_truth(case: Scenario) -> None:
    found = simulation.measure(case, RUNS, SEED)
    assert COVERAGE[0] <= found["population_covers"] <= COVERAGE[1]
    assert found["fixed_covers"] >= COVERAGE[0]


@pytest.mark.parametrize("case", FEW, ids=named)
def test_three_completions_a_prompt_are_enough_for_both_targets(case: Scenario) -> None:
    found = simulation.measure(case, RUNS, SEED)
    assert BAND[0] <= found["population_rejects"] <= BAND[1]
    assert COVERAGE[0] <= found["population_covers"] <= COVERAGE[1]
    assert found["fixed_covers"] >= COVERAGE[0]


def calibrated_everywhere(found: dict[str, float]) -> bool:
    """Whether (nearly) every replicate went through the calibrated test, so that nothing passes without it."""
    return found["calibrated"] > 0.99 and found["defined"] > 0.99


def test_the_sensitivity_covers_rare_outcomes_where_students_t_is_seen_to_fail() -> None:
    found = simulation_rare.measure_rare(SKEWED[0], 300, SEED, draws=199)
    assert calibrated_everywhere(found)
    assert found["student_covers"] < 0.92
    assert 0.925 <= found["covers"] <= 0.98  # 300 replicates; the band itself is held by the slow tests below


@pytest.mark.slow
@pytest.mark.parametrize("case", SKEWED, ids=named)
def test_the_sensitivity_covers_every_rare_outcome_and_the_headline_none(case: Scenario) -> None:
    found = simulation_rare.measure_rare(case, RUNS, SEED)
    assert calibrated_everywhere(found)
    assert 0.87 <= found["student_covers"] < COVERAGE[0]
    assert found["covers"] >= COVERAGE[0]
    assert (found["covers"] > COVERAGE[1]) is (case.name in WIDE)
    # An interval that holds everything would cover as well.
    assert found["rejects"] > 0.9 * found["student_rejects"]


@pytest.mark.slow
@pytest.mark.parametrize("case", LEVELLED, ids=named)
def test_the_sensitivitys_test_keeps_its_level_for_rare_outcomes(case: Scenario) -> None:
    found = simulation_rare.measure_rare(case, RUNS, SEED)
    assert calibrated_everywhere(found)
    assert BAND[0] <= found["rejects"] <= BAND[1]
    assert found["student_rejects"] <= BAND[1]


def test_a_rare_outcomes_calibrated_interval_and_p_agree_about_no_difference() -> None:
    effect, none = (simulation_rare.whole(case, 25, SEED, draws=199) for case in (SKEWED[0], LEVELLED[1]))
    # Widths are Student's times so much: twice, where topics move by 1.5 on the logit scale.
    for found, widest in ((effect, 1.6), (none, 2.4)):
        assert found["calibrated"] > 0.99
        assert found["disagree"] == 0
        assert found["covers"] >= 0.8
        assert 0.9 < found["width"] < widest
    assert effect["rejects"] > 0.5 > 0.2 > none["rejects"]


@pytest.mark.parametrize("case", RARE, ids=named)
def test_the_fixed_interval_covers_rare_outcomes_too(case: Scenario) -> None:
    assert simulation.measure(case, RUNS, SEED)["fixed_covers"] >= COVERAGE[0]


@pytest.mark.parametrize("case", PLANNED, ids=named)
def test_the_planner_gives_the_power_that_nested_designs_have(case: Scenario) -> None:
    found = simulation.planned(case, RUNS, SEED)
    assert found["planned"] == pytest.approx(found["simulated"], abs=0.05)


@pytest.mark.parametrize("case", LABELLED, ids=named)
def test_corrections_see_through_a_scorer_that_errs_on_one_arm_more_and_raw_rates_do_not(case: Labels) -> None:
    found = simulation_corrections.corrected(case, RUNS, SEED)
    assert found["raw fixed"] > WRONG
    for method in ("ppi fixed", "human-only fixed", "rogan-gladen fixed", "ppi population"):
        assert found[method] <= 0.08
    assert found["ppi half"] <= 1.02 * found["human-only half"]


@pytest.mark.parametrize("case", COUPLED, ids=named)
def test_the_paired_interval_covers_the_fixed_truth_under_coupling(case: Pairs) -> None:
    found = simulation_coupled.paired(case, RUNS, SEED)
    assert found["fixed_covers"] >= COVERAGE[0]
    if not case.effect and not case.prompt_sd:
        # Unpaired errors on coupled pairs would be far too wide.
        assert found["unpaired_rejects"] < 0.02 < BAND[0] <= found["fixed_rejects"] <= BAND[1]


@pytest.mark.parametrize("scheme", LOOKED_AT)
def test_eight_looks_keep_the_level_and_peeking_is_seen_to_fail(scheme: Any) -> None:
    found = simulation_coupled.looked(scheme, RUNS, SEED)
    assert found["rejects"] <= 0.065
    assert found["peeking_rejects"] > WRONG


def test_the_smoothed_interval_covers_rare_outcomes_where_wald_fails() -> None:
    rng = np.random.default_rng(20_500)
    rates = np.full((RUNS, 18), 0.02)
    x1, x0 = rng.binomial(3, rates).astype(float), rng.binomial(3, rates).astype(float)
    variance = smoothed_variance(x1, 3) + smoothed_variance(x0, 3)
    half = stats.norm.ppf(0.975) * np.sqrt(np.sum(variance, axis=1)) / 18
    assert float(np.mean(np.abs(((x1 - x0) / 3).mean(axis=1)) <= half)) >= 0.935
