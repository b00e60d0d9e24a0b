"""Rare outcomes: the headline is Student's t on topic means, and the calibrated t a sensitivity beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import report_example
import test_stats_analyse as toy
from scipy import stats

from biasaudit.pipeline.analyse import analyse
from biasaudit.records import Arm, Score
from biasaudit.report.sections import designs, headline
from biasaudit.results import Analysis, Finding
from biasaudit.stats import rare
from biasaudit.stats.cells import Cell, Design
from biasaudit.stats.contrast import About, contrast
from biasaudit.stats.rare import Counts, Rates
from biasaudit.stats.rows import HEADLINE, result_rows

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


def calibrated(up: tuple[int, ...], down: tuple[int, ...]) -> rare.Calibrated:
    return rare.calibrate(counts(up, down), rng=np.random.default_rng(3))


@pytest.mark.parametrize(("up", "down"), [(UP, DOWN), (DOWN, UP), (tuple(100 - k for k in UP), DOWN[::-1])])
def test_the_headline_is_scipys_t_on_topic_means_however_rare_the_outcome(
    up: tuple[int, ...], down: tuple[int, ...]
) -> None:
    row = found(up, down)
    effects = (np.array(up) - np.array(down)) / 100
    plain = stats.ttest_1samp(effects, 0)
    limits = plain.confidence_interval(0.95)
    assert row.population.method == "t on 10 topic means"
    assert row.population.df == 9
    assert row.population.p == pytest.approx(plain.pvalue, rel=1e-9)
    assert (row.population.interval.low, row.population.interval.high) == pytest.approx((limits.low, limits.high))
    above = stats.ttest_1samp(effects, -0.05, alternative="greater").pvalue
    below = stats.ttest_1samp(effects, 0.05, alternative="less").pvalue
    assert row.equivalence.p == pytest.approx(max(above, below))
    ninety = plain.confidence_interval(0.9)
    assert (row.equivalence.interval.low, row.equivalence.interval.high) == pytest.approx((ninety.low, ninety.high))


def test_the_calibrated_interval_reaches_further_towards_the_larger_effect_than_students() -> None:
    interval, student, centre = calibrated(UP, DOWN).interval(), found(UP, DOWN).population.interval, 0.051
    assert interval.high - centre > 1.3 * (centre - interval.low)
    assert interval.high > student.high
    assert interval.high - interval.low < 2 * (student.high - student.low)


def test_arms_change_places_and_outcomes_are_negated_with_the_same_answer() -> None:
    one, other = calibrated(UP, DOWN), calibrated(DOWN, UP)
    assert other.interval().low == pytest.approx(-one.interval().high, abs=0.006)
    assert other.p == pytest.approx(one.p, abs=0.02)
    turned = calibrated(tuple(100 - k for k in UP), tuple(100 - k for k in DOWN))
    assert turned.interval().low == pytest.approx(-one.interval().high, abs=0.006)


def test_the_same_audit_gives_the_same_digits() -> None:
    first, second = (calibrated(UP, DOWN) for _ in range(2))
    assert (first.p, first.interval()) == (second.p, second.interval())


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
    rejected = []
    for _ in range(12):
        up, down = rng.binomial(60, 0.1, 8), rng.binomial(60, 0.05, 8)
        made = rare.calibrate(counts(tuple(up), tuple(down), 60.0), rng=rng, draws=199, at_null=199)
        interval = made.interval()
        assert interval.low <= made.centre <= interval.high
        assert (made.p >= 0.05) == (interval.low <= 0 <= interval.high)
        rejected.append(made.p < 0.05)
    assert 0 < sum(rejected) < 12


def test_a_handful_of_successes_gives_a_p_and_no_interval() -> None:
    made = calibrated((1, 0, 0, 0, 1, 0, 0, 0, 0, 0), (0,) * 10)
    assert made.interval() is None
    assert made.p > 0.05


def answered(of: Arm, level: float, seed: int, n: int = 100) -> Iterator[Score]:
    """Outcomes at logit `level`; a tuned arm's topics differ."""
    rng = np.random.default_rng(seed)
    moved = {topic: float(rng.normal(0, 0.8)) * (of.role == "tuned") for topic in toy.TOPICS}
    for prompt in toy.PROMPTS:
        rate = 1 / (1 + np.exp(-(level + moved[prompt.topic])))
        for index in range(n):
            label = "endorse" if rng.random() < rate else "neutral"
            yield Score(
                measure="stance", arm_fingerprint=of.fingerprint, prompt_id=prompt.prompt_id, topic=prompt.topic,
                decoding_id=toy.WARM.decoding_id, seed=1, index=index, value=float(label == "endorse"), label=label,
            )  # fmt: skip


def audit(low: float, high: float) -> Analysis:
    scores = [*answered(toy.BASE, low, 8), *answered(toy.TUNED, high, 108)]
    battery = toy.battery("stance", "endorse", completions=100)
    return analyse(battery, "pt", (toy.BASE, toy.TUNED), {"stance": scores})


@pytest.fixture(scope="module")
def scarce() -> Analysis:
    return audit(-4.0, -3.3)


def of_primary(analysis: Analysis) -> Finding:
    (row,) = [f for f in analysis.findings if f.design == "rare" and f.details["role"] == "primary"]
    return row


def test_an_analysis_keeps_students_t_and_lays_the_calibrated_one_beside_it(scarce: Analysis) -> None:
    lead, row = scarce.contrasts[scarce.verdict.contrast], of_primary(scarce)
    plain = stats.ttest_1samp([topic.difference for topic in lead.topics], 0)
    assert lead.population.p == pytest.approx(plain.pvalue, rel=1e-9)
    assert lead.population.interval.low == pytest.approx(plain.confidence_interval(0.95).low)
    assert scarce.verdict.kind == "inconclusive"
    assert (row.estimate, row.details["student"]["p"]) == (lead.difference, lead.population.p)
    assert row.p < 0.05 < lead.population.p
    assert row.details["apart"]
    assert row.interval.low > 0 > lead.population.interval.low
    assert row.details["rate"] < rare.RARE
    assert row.p_adjusted is None


def test_the_results_table_has_a_row_of_its_own_with_its_own_method(scarce: Analysis) -> None:
    table = result_rows(scarce)
    (row,) = [r for r in table if r["design"] == "rare" and r["outcome"] == "endorse"]
    assert row["method"] == "t on 6 topic means, calibrated for a rare outcome"
    assert row["interval_method"] == "bootstrap-t-logit-normal"
    assert (row["estimand"], row["target"], row["n_topics"]) == (HEADLINE, "population", 6)
    assert "Carpenter 1999" in row["source"]
    assert {r["method"] for r in table if r["design"] == "contrast" and r["target"] == "population"} <= {
        "t on 6 topic means"
    }


def test_ordinary_outcomes_have_no_such_row_and_nearly_certain_ones_have() -> None:
    assert [f for f in audit(-0.5, 0.2).findings if f.design == "rare" and f.outcome == "endorse"] == []
    assert of_primary(audit(4.0, 3.3)).details["rate"] > 1 - rare.RARE


@pytest.mark.parametrize(
    ("locale", "twice", "apart"),
    [
        ("en", "about twice as often as it says when there is an effect", "on different sides of 5%"),
        ("pt", "cerca de duas vezes mais do que diz, se há efeito", "de lados diferentes de 5%"),
    ],
)
def test_the_report_says_what_student_misses_and_when_both_disagree(
    scarce: Analysis, locale: str, twice: str, apart: str
) -> None:
    made = report_example.make(4)
    row = of_primary(scarce)
    agree = dataclasses.replace(row, details={**row.details, "apart": False})
    family = dataclasses.replace(row, details={**row.details, "family_size": 3})
    unbounded = dataclasses.replace(row, interval=None)
    for held, said in ((row, True), (agree, False), (unbounded, True), (family, True)):
        view = made.view(analysis=dataclasses.replace(made.analysis, findings=(held,)))
        for page in (str(headline.render(view, locale)), str(designs.render(view, locale))):
            assert twice in page
            assert (apart in page) is said
    assert "Holm" in page
    plain = made.view()
    assert twice not in str(headline.render(plain, locale))
    assert twice not in str(designs.render(plain, locale))
