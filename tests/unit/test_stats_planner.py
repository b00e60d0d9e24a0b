"""Planning: what a design finds, what a pilot says of its variances, and what to add first."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from biasaudit.results import Contrast
from biasaudit.stats import planner
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import About, contrast
from biasaudit.stats.planner import Components

ABOUT = About(
    measure="m", scorer="s", outcome="value", unit="share", direction="", tuned="t", reference="r", decoding_id="",
    language="pt", role="primary",
)  # fmt: skip
RATES = planner.assumed_rates(0.35, topic_sd=0.10, prompt_sd=0.0)


def pilot(
    topics: int, a_topic: int, n: int, *, topic_sd: float, prompt_sd: float, seed: int = 3, sampled: bool = True
) -> Contrast:
    """A run whose true differences of rates vary by topic and prompt around .5."""
    rng = np.random.default_rng(seed)
    cells = []
    for g in range(topics):
        shift = rng.normal(0, topic_sd)
        for j in range(a_topic):
            d = np.clip(shift + rng.normal(0, prompt_sd), -0.9, 0.9)
            up, down = 0.5 + d / 2, 0.5 - d / 2
            tuned = (rng.random(n) < up).astype(float) if sampled else np.array([up])
            reference = (rng.random(n) < down).astype(float) if sampled else np.array([down])
            cells.append(Cell(prompt_id=f"{g}-{j}", topic=str(g), tuned=tuned, reference=reference))
    found = contrast(cells, Design(binary=sampled, sampled=sampled), ABOUT, rng=np.random.default_rng(0))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("omega", "prompts", "completions", "expected"),
    [(0.05, 6, 25, 0.206), (0.10, 12, 100, 0.107), (0.10, 18, 100, 0.085), (0.20, 18, 50, 0.155)],
)
def test_one_prompt_a_topic_gives_the_planning_table(
    omega: float, prompts: int, completions: int, expected: float
) -> None:
    parts = planner.assumed_rates(0.35, topic_sd=omega, prompt_sd=0.0)
    found = planner.cell(parts, prompts, prompts, completions)
    assert found.mde_population == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("prompts", "completions", "expected"), [(6, 50, 0.109), (18, 100, 0.045), (18, 200, 0.031)])
def test_exactly_these_prompts_need_no_more_than_their_sampling_error(
    prompts: int, completions: int, expected: float
) -> None:
    assert planner.cell(RATES, prompts, prompts, completions).mde_fixed == pytest.approx(expected, abs=7e-4)


def test_power_at_the_detectable_difference_is_eighty_percent() -> None:
    mde = planner.cell(RATES, 12, 36, 50).mde_population
    assert planner.cell(RATES, 12, 36, 50, mde).power == pytest.approx(0.8, abs=1e-6)


def test_below_five_topics_only_the_fixed_target_is_planned() -> None:
    found = planner.cell(RATES, 4, 12, 50, 0.2)
    assert found.mde_population is None
    assert found.power is not None
    assert found.power > 0.8


def test_enough_completions_is_where_sampling_falls_below_a_tenth() -> None:
    parts = planner.assumed_rates(0.35, topic_sd=0.1, prompt_sd=0.05)
    star = planner.enough_completions(parts, 12, 48)
    assert star is not None
    assert (
        planner.cell(parts, 12, 48, star).sampling_share <= 0.1 < planner.cell(parts, 12, 48, star - 1).sampling_share
    )
    assert planner.enough_completions(Components(topic=0.0, prompt=0.0, within=0.4), 12, 48) is None
    assert planner.enough_completions(Components(topic=0.1, prompt=0.0, within=0.0), 12, 48) == 1


def test_enough_topics_is_the_first_number_with_eighty_percent_power() -> None:
    needed = planner.enough_topics(RATES, 3.0, 50, 0.08)
    assert needed is not None
    before, at = (planner.cell(RATES, g, 3 * g, 50, 0.08).power for g in (needed - 1, needed))
    assert before is not None
    assert at is not None
    assert before < 0.8 <= at
    assert planner.enough_topics(RATES, 3.0, 50, 1e-4) is None


def test_topics_are_advised_where_topics_vary_and_completions_where_only_samples_do() -> None:
    assert planner.advice(RATES, planner.cell(RATES, 12, 36, 50)) == "topics"
    still = Components(topic=0.0, prompt=0.0, within=0.45)
    assert planner.advice(still, planner.cell(still, 12, 36, 10)) == "completions"
    nothing = Components(topic=0.0, prompt=0.0, within=0.0)
    assert planner.advice(nothing, planner.cell(nothing, 12, 36, 10)) == "neither"


def test_a_pilot_gives_the_variances_that_it_was_drawn_with() -> None:
    found = planner.estimated(pilot(400, 6, 50, topic_sd=0.15, prompt_sd=0.10))
    assert found is not None
    assert found.topic**0.5 == pytest.approx(0.15, rel=0.1)
    assert found.prompt**0.5 == pytest.approx(0.10, rel=0.1)
    assert found.within == pytest.approx(0.5 - 0.5 * (0.15**2 + 0.10**2), rel=0.05)


def test_a_pilot_without_sampling_error_has_no_variance_within() -> None:
    found = planner.estimated(pilot(300, 4, 1, topic_sd=0.15, prompt_sd=0.10, sampled=False))
    assert found is not None
    assert found.within == 0.0
    assert (found.topic**0.5, found.prompt**0.5) == (pytest.approx(0.15, rel=0.15), pytest.approx(0.10, rel=0.1))


def test_a_pilot_whose_arms_are_alike_gives_no_negative_variance() -> None:
    found = planner.estimated(pilot(12, 3, 20, topic_sd=0.0, prompt_sd=0.0))
    assert found is not None
    assert min(found.topic, found.prompt) >= 0
    assert found.topic < 0.01


def test_a_pilot_of_one_topic_says_nothing_of_others() -> None:
    assert planner.estimated(pilot(1, 3, 20, topic_sd=0.1, prompt_sd=0.1)) is None


def test_a_corrected_pilot_takes_sampling_error_from_its_rates() -> None:
    plain = pilot(12, 3, 200, topic_sd=0.0, prompt_sd=0.0)
    labelled = dataclasses.replace(plain, corrected="ppi", fixed=dataclasses.replace(plain.fixed, se=9.0))
    first, second = planner.estimated(plain), planner.estimated(labelled)
    assert first is not None
    assert second is not None
    assert second.within == pytest.approx(first.within, rel=0.02)
