"""The default contrast: its estimand, both targets, and what it says when something is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.results import Contrast, Equivalence
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import NOTES, About, contrast
from biasaudit.stats.heterogeneity import heterogeneity
from biasaudit.stats.power import detectable
from biasaudit.stats.verdict import CAVEATS, adjust_family, kind_of, verdict_of

ABOUT = About(
    measure="stance", scorer="patterns", outcome="value", unit="share", direction="more", tuned="t", reference="r",
    decoding_id="D", language="pt", role="primary",
)  # fmt: skip
BINARY = Design(binary=True)
PAIRS = Design(binary=True, coupled=True)


def cell(topic: str, tuned: list[float], reference: list[float], name: str = "") -> Cell:
    return Cell(prompt_id=name or topic, topic=topic, tuned=np.array(tuned), reference=np.array(reference))


def rates(topic: str, x1: int, x0: int, n: int, name: str = "") -> Cell:
    return cell(topic, [1.0] * x1 + [0.0] * (n - x1), [1.0] * x0 + [0.0] * (n - x0), name)


def make(cells: list[Cell], design: Design = BINARY, about: About = ABOUT) -> Contrast:
    found = contrast(cells, design, about, rng=np.random.default_rng(0))
    assert found is not None
    return found


def about(**changes: object) -> About:
    import dataclasses

    return dataclasses.replace(ABOUT, **changes)  # type: ignore[arg-type]


def test_the_headline_weighs_topics_equally_whatever_their_prompts() -> None:
    cells = [rates("a", 6, 2, 10, "a1"), rates("a", 8, 2, 10, "a2"), rates("b", 1, 1, 10)]
    found = make(cells)
    assert found.difference == pytest.approx(((0.4 + 0.6) / 2 + 0.0) / 2)
    assert found.mean_tuned - found.mean_reference == pytest.approx(found.difference)
    assert (found.n_topics, found.n_prompts, found.n_tuned, found.moved_up) == (2, 3, 30, 2)


def test_the_fixed_interval_is_the_add_half_formula_by_hand() -> None:
    found = make([rates("a", 6, 2, 10), rates("b", 0, 0, 10)])
    p = [(6.5 / 11), (2.5 / 11), (0.5 / 11), (0.5 / 11)]
    se = math.sqrt(sum(q * (1 - q) / 10 for q in p)) / 2
    assert found.fixed.se == pytest.approx(se)
    assert found.fixed.interval is not None
    assert found.fixed.interval.high == pytest.approx(0.2 + 1.959964 * se, abs=1e-6)


def test_pairs_use_the_discordant_ones_and_never_give_zero_variance() -> None:
    found = make([cell("a", [1, 1, 0, 0], [1, 1, 0, 0]), cell("b", [1, 0, 1, 1], [0, 0, 1, 1])], PAIRS)
    v_a = (0.1 + 0.1) / 4
    v_b = (0.3 + 0.1 - 0.2**2) / 4
    assert found.fixed.se == pytest.approx(math.sqrt(v_a + v_b) / 2)
    assert found.fixed.p == 1.0
    assert found.coupled
    assert found.rho == pytest.approx(0.75 / math.sqrt(1.75 * 2.0) + 1.0 / math.sqrt(3.5), abs=0.2)
    assert found.prompts[0].rho == pytest.approx(1.0)


def test_numeric_outcomes_use_the_spread_of_differences_when_coupled() -> None:
    y1, y0 = [0.1, 0.5, 0.9, 0.4], [0.0, 0.5, 0.7, 0.1]
    paired = make([cell("a", y1, y0)], Design(coupled=True))
    apart = make([cell("a", y1, y0)], Design())
    assert paired.fixed.se == pytest.approx(np.std(np.array(y1) - np.array(y0), ddof=1) / 2)
    assert apart.fixed.se == pytest.approx(math.sqrt((np.var(y1, ddof=1) + np.var(y0, ddof=1)) / 4))
    assert paired.prompts[0].interval is not None
    assert apart.prompts[0].p is not None


def test_population_needs_five_topics() -> None:
    four = make([rates(t, k, 2, 10) for k, t in enumerate("abcd")])
    assert (four.population.interval, four.population.p, four.population.note) == (None, None, "too-few-topics")
    five = make([rates(t, k, 2, 10) for k, t in enumerate("abcde")])
    assert five.population.interval is not None
    assert five.population.df == 4


def test_no_interval_of_a_difference_of_rates_leaves_minus_one_to_one() -> None:
    found = make([rates(f"topic {n}", 4 if n else 2, 0, 4) for n in range(6)], about=about(margin=0.05))
    assert found.fixed.interval is not None
    assert found.population.interval is not None
    assert found.fixed.interval.high == found.population.interval.high == 1.0
    assert found.fixed.interval.low > 0.5
    assert found.equivalence is not None
    assert found.equivalence.interval.high == 1.0
    assert max(row.interval.high for row in found.topics if row.interval) == 1.0


def test_equal_topics_have_no_population_interval_and_the_verdict_rests_on_fixed() -> None:
    found = make([rates(t, 9, 1, 10) for t in "abcdef"])
    assert found.population.interval is None
    assert found.population.note == "no-variation-between-topics"
    assert kind_of(found, "population") == ("changed", "fixed")
    assert found.mde is not None


def test_exact_quantities_have_no_sampling_error_and_are_described_below_five_topics() -> None:
    exact = Design(sampled=False)
    few = make([cell(t, [k + 0.1, k], [0.0, 0.0]) for k, t in enumerate("abc")], exact)
    assert (few.fixed.interval, few.fixed.p, few.fixed.note) == (None, None, "no-sampling-error")
    assert kind_of(few, "population") == ("described", "fixed")
    many = make([cell(t, [k + 0.1, k + 9.0], [0.0, 0.0]) for k, t in enumerate("abcdef")], exact)
    assert many.population.interval is not None
    assert many.heterogeneity is not None
    assert kind_of(many, "population") == ("changed", "population")
    assert kind_of(many, "fixed") == ("described", "fixed")


def test_identical_arms_get_a_defined_verdict() -> None:
    exact = make([cell(t, [0.3], [0.3]) for t in "abcdef"], Design(sampled=False))
    assert kind_of(exact, "population") == ("described", "fixed")
    words = verdict_of(exact, 0, "population").caveats
    assert "identical-arms" in words
    sampled = make([cell(t, [1, 0, 1, 0] * 10, [1, 0, 1, 0] * 10) for t in "abcdef"], PAIRS, about(margin=0.2))
    assert kind_of(sampled, "population") == ("equivalent", "fixed")


def test_one_completion_a_prompt_has_no_numeric_interval() -> None:
    found = make([cell(t, [0.3 + k], [0.2]) for k, t in enumerate("abc")], Design())
    assert found.fixed.note == "too-few-completions"
    constant = make([cell("a", [0.5, 0.5], [0.5, 0.5])], Design())
    assert constant.fixed.note == "no-variation-within-prompts"
    assert {found.fixed.note, constant.fixed.note} <= set(NOTES)


def test_a_prompt_without_outcomes_in_one_arm_stays_in_the_table_only() -> None:
    found = make([rates("a", 3, 1, 10), cell("b", [], [1.0, 0.0])])
    assert found.n_prompts == 1
    assert [row.difference for row in found.prompts] == [pytest.approx(0.2), None]
    assert found.prompts[1].mean_tuned is None
    assert contrast([cell("b", [], [1.0])], BINARY, ABOUT, rng=np.random.default_rng(0)) is None


def test_pairs_of_unequal_length_are_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="must hold pairs"):
        make([cell("a", [1.0], [1.0, 0.0])], PAIRS)


def test_variances_that_only_rounding_keeps_above_0_give_no_heterogeneity() -> None:
    assert heterogeneity(np.array([0.1, 0.2, 0.3]), np.array([3e-34, 0.01, 0.02])) is None
    assert heterogeneity(np.array([0.1, 0.2, 0.3]), np.array([1e-9, 0.01, 0.02])) is not None


def test_heterogeneity_sees_topics_that_differ_and_none_where_they_agree() -> None:
    apart = make([rates(t, x, 20, 40) for t, x in zip("abcdef", [40, 0, 38, 2, 39, 1], strict=True)])
    assert apart.heterogeneity is not None
    assert apart.heterogeneity.i_squared > 0.9
    assert verdict_of(apart, 0, "population").varies
    alike = make([rates(t, x, 20, 40) for t, x in zip("abcdef", [30, 31, 29, 30, 31, 29], strict=True)])
    assert alike.heterogeneity is not None
    assert alike.heterogeneity.i_squared == 0.0
    assert not verdict_of(alike, 0, "population").varies
    assert alike.heterogeneity.prediction is not None


def test_below_five_topics_nothing_is_predicted_of_a_new_one() -> None:
    few = make([rates(t, x, 20, 40) for t, x in zip("abcd", [40, 0, 38, 2], strict=True)])
    assert few.heterogeneity is not None
    assert few.population.interval is None
    assert few.heterogeneity.prediction is None


def test_the_verdict_follows_interval_and_margin() -> None:
    def kind(shifts: list[int], margin: float | None) -> str:
        cells = [rates(t, 100 + s, 100, 200) for t, s in zip("abcdefgh", shifts, strict=True)]
        return kind_of(make(cells, BINARY, about(margin=margin)), "population")[0]

    up, small, none, wide = [40, 42, 38, 41, 39, 40, 43, 37], [4, 5, 3, 4, 5, 3, 4, 4], [1, -1] * 4, [60, -50] * 4
    assert kind(up, 0.05) == "changed"
    assert kind(up, None) == "changed"
    assert kind(small, 0.05) == "small"
    assert kind(none, 0.05) == "equivalent"
    assert kind(none, None) == "inconclusive"
    assert kind(wide, 0.05) == "inconclusive"


def test_holm_takes_the_whole_confirmatory_family_and_nothing_else() -> None:
    cells = [rates(t, 100 + s, 100, 200) for t, s in zip("abcdef", [10, 12, 2, 16, 4, 6], strict=True)]
    one = make(cells)
    beside = make(cells, BINARY, about(role="secondary"))
    adjusted = adjust_family([one, beside, one, one])
    assert [row.population.family_size for row in adjusted] == [3, 1, 3, 3]
    assert adjusted[1].population.p_adjusted is None
    assert one.population.p is not None
    assert adjusted[0].population.p_adjusted == pytest.approx(3 * one.population.p)
    assert adjusted[0].fixed.p_adjusted is not None


def test_an_adjusted_p_above_the_level_is_inconclusive_though_the_interval_excludes_zero() -> None:
    cells = [rates(t, 100 + s, 100, 200) for t, s in zip("abcdef", [10, 25, 1, 22, 4, 6], strict=True)]
    one = make(cells)
    assert one.population.p is not None
    assert 0.01 < one.population.p < 0.05
    assert kind_of(one, "population")[0] == "changed"
    assert kind_of(adjust_family([one] * 6)[0], "population")[0] == "inconclusive"


def test_a_test_that_could_not_be_done_still_counts_in_the_family() -> None:
    cells = [rates(t, 100 + s, 100, 200) for t, s in zip("abcdef", [10, 12, 2, 16, 4, 6], strict=True)]
    tested, equal = make(cells), make([rates(t, 9, 1, 10) for t in "abcdef"])
    assert tested.population.p is not None
    assert equal.population.p is None
    first, second = adjust_family([tested, equal])
    assert first.population.p_adjusted == pytest.approx(2 * tested.population.p)
    assert second.population.p_adjusted is None
    assert first.population.family_size == second.population.family_size == 2


def test_the_detectable_difference_is_that_of_holms_hardest_step() -> None:
    cells = [rates(t, 100 + s, 100, 200) for t, s in zip("abcdef", [10, 25, 1, 22, 4, 6], strict=True)]
    one = make(cells)
    alone, among_six = adjust_family([one])[0], adjust_family([one] * 6)[0]
    assert alone.mde == one.mde
    assert one.population.se is not None
    assert among_six.mde == pytest.approx(detectable(one.population.se, df=5, alpha=0.05 / 6))
    assert kind_of(among_six, "population")[0] == "inconclusive"
    assert among_six.mde is not None
    assert among_six.mde > abs(among_six.difference)


def test_equivalence_is_adjusted_over_the_family_too() -> None:
    cells = [rates(t, 100 + s, 100, 200) for t, s in zip("abcdef", [10, -12, 2, 6, -8, 6], strict=True)]
    one = make(cells, BINARY, about(margin=0.05))
    assert one.equivalence is not None
    alone = adjust_family([one])[0].equivalence
    many = adjust_family([one] * 10)[0].equivalence
    assert isinstance(alone, Equivalence)
    assert isinstance(many, Equivalence)
    assert alone.p == pytest.approx(one.equivalence.p)
    assert many.p == pytest.approx(min(1.0, 10 * one.equivalence.p))
    assert many.equivalent == (many.p < 0.05)


def test_caveats_are_of_the_fixed_vocabulary() -> None:
    found = make([rates(t, 100 + s, 100, 200) for t, s in zip("abcde", [3, -2, 1, 0, -1], strict=True)])
    verdict = verdict_of(found, 2, "population", ["no-placebo", "no-placebo"])
    assert verdict.contrast == 2
    assert set(verdict.caveats) <= set(CAVEATS)
    assert verdict.caveats.count("no-placebo") == 1
    assert "few-topics" in verdict.caveats
    with pytest.raises(ValueError, match="unknown caveats"):
        verdict_of(found, 0, "population", ["a-new-word"])


counts = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8)


@settings(max_examples=40)
@given(counts, st.booleans())
def test_exchanging_the_arms_turns_every_sign_and_no_p_value(rows: list[tuple[str, int, int]], coupled: bool) -> None:
    cells = [rates(t, x1, x0, 6, str(k)) for k, (t, x1, x0) in enumerate(rows)]
    back = [rates(t, x0, x1, 6, str(k)) for k, (t, x1, x0) in enumerate(rows)]
    design = PAIRS if coupled else BINARY
    first, second = make(cells, design), make(back, design)
    assert first.difference == pytest.approx(-second.difference)
    drawn = 0.0 if first.fixed.method.endswith("exact") else 0.03
    assert first.fixed.p == pytest.approx(second.fixed.p, abs=drawn)
    assert first.population.p == pytest.approx(second.population.p)
    assert first.fixed.interval is not None
    assert second.fixed.interval is not None
    assert first.fixed.interval.low == pytest.approx(-second.fixed.interval.high)
    assert first.fixed.interval.low <= first.difference <= first.fixed.interval.high


@pytest.mark.parametrize("design", [BINARY, PAIRS])
def test_the_fixed_test_asks_the_headline_question_when_topics_differ_in_prompts(design: Design) -> None:
    """Ten prompts of one topic fall a little, the one prompt of another rises a lot: the total falls, the mean rises."""
    n = 200
    cells = [rates("many", 60, 80, n, f"m{k}") for k in range(10)] + [rates("one", 180, 20, n)]
    found = make(cells, design)
    assert found.difference > 0.3
    assert found.fixed.interval is not None
    assert found.fixed.interval.low > 0
    assert found.fixed.p is not None
    assert found.fixed.p < 0.001
    weak = make([rates("many", 112, 100, n, f"m{k}") for k in range(10)] + [rates("one", 88, 100, n)], design)
    assert weak.difference == pytest.approx(0.0)
    assert weak.fixed.p is not None
    assert weak.fixed.p > 0.9


def test_equal_weights_keep_the_exact_tests() -> None:
    even = [rates(t, 6, 2, 10, f"{t}{k}") for t in "ab" for k in range(2)]
    assert make(even).fixed.method == "permutation within prompts, exact"
    assert make(even, PAIRS).fixed.method == "arms swapped within pairs, exact"
    lost = [*even[:3], rates("b", 5, 2, 9, "b1")]
    assert make(lost).fixed.method == "permutation within prompts, Monte Carlo"
    assert make(lost, PAIRS).fixed.method == "arms swapped within pairs"
