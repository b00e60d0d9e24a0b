"""Random results: the verdict never contradicts the interval, and nothing exploratory raises it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import report_example
from hypothesis import given, settings
from hypothesis import strategies as st

from biasaudit.report.verdict import verdict_sentence
from biasaudit.results import Analysis, Contrast, Interval, TargetEstimate
from biasaudit.stats.equivalence import tost
from biasaudit.stats.interval import t_two_sided, t_value
from biasaudit.stats.verdict import adjust_family, kind_of, verdict_of

EXAMPLE = report_example.make(6)
RISE = {"en": ("more often", "leaned more", "scored higher"), "pt": ("mais frequência", "pendeu mais", "maior do que")}
FALL = {"en": ("less often", "leaned less", "scored lower"), "pt": ("menos frequência", "pendeu menos", "menor do que")}
STATES: tuple[dict[str, Any], ...] = (
    {},
    {"state": "kept", "hash": "a" * 64, "late": False, "deviations": []},
    {"state": "late", "hash": "a" * 64, "late": True, "deviations": []},
    {"state": "changed", "hash": "a" * 64, "late": False, "deviations": [{"part": "margin", "primary": True}]},
)


@st.composite
def contrasts(draw: st.DrawFn, role: str = "primary") -> Contrast:
    """A contrast whose interval, test and equivalence follow from one difference and one standard error."""
    unit = draw(st.sampled_from(["share", "nats/byte"]))
    difference = draw(st.floats(-0.6, 0.6))
    se = draw(st.floats(1e-4, 0.3))
    df = draw(st.integers(4, 40))
    margin = draw(st.none() | st.floats(0.01, 0.3))
    half = t_value(0.95, df) * se
    interval = Interval(low=difference - half, high=difference + half)
    p = t_two_sided(abs(difference) / se, df)
    base = draw(st.floats(0, 1 - abs(difference)))
    found: dict[str, Any] = {
        "unit": unit, "outcome": "endorse" if unit == "share" else "value", "role": role, "difference": difference,
        "mean_tuned": base + max(difference, 0), "mean_reference": base + max(-difference, 0),
        "n_tuned": draw(st.integers(1, 5000)), "n_reference": draw(st.integers(1, 5000)),
        "equivalence": None if margin is None else tost(difference, se, margin, df=df), "heterogeneity": None,
    }  # fmt: skip
    targets = {
        target: TargetEstimate(target=target, interval=interval, p=p, df=df, se=se)  # type: ignore[arg-type]
        for target in ("population", "fixed")
    }
    return dataclasses.replace(EXAMPLE.analysis.contrasts[0], **found, **targets)


@settings(max_examples=150, deadline=None)
@given(st.lists(contrasts(), min_size=1, max_size=4), st.sampled_from(["pt", "en"]), st.sampled_from(STATES))
def test_no_sentence_contradicts_its_interval(family: list[Contrast], locale: str, lock: dict[str, Any]) -> None:
    adjusted = adjust_family(family)
    verdict = verdict_of(adjusted[0], 0, "population")
    sentence = verdict_sentence(
        Analysis(contrasts=tuple(adjusted), compositions=(), verdict=verdict, lock=lock),
        EXAMPLE.arms, EXAMPLE.battery, locale,
    )  # fmt: skip
    lead, interval = adjusted[0], adjusted[0].population.interval
    assert interval is not None
    up, down = (any(word in sentence for word in words[locale]) for words in (RISE, FALL))
    if verdict.kind in ("changed", "small"):
        assert interval.low > 0 or interval.high < 0
        assert (lead.population.p_adjusted or 0) < 0.05
        assert not (up and lead.difference < 0)
        assert not (down and lead.difference > 0)
    else:
        assert not up
        assert not down
    if verdict.kind in ("equivalent", "small"):
        assert lead.equivalence is not None
        assert abs(lead.difference) < lead.equivalence.margin
    if verdict.kind == "inconclusive" and interval.low <= 0 <= interval.high:
        assert {"en": "no evidence of a shift", "pt": "não há evidência"}[locale] in sentence
    exploratory = sentence.startswith(("Exploratory: ", "Exploratório: "))
    assert exploratory == (lock.get("state") in ("late", "changed"))
    assert not (
        exploratory
        and re.search(r"that was set in advance|margin set in advance|fixada de antemão \(|, fixada", sentence)
    )
    few = lead.unit == "share" and max(lead.n_tuned, lead.n_reference) < 1000
    assert not (few and re.search(r"\d[.,]\d\d+%", sentence)), sentence


@settings(max_examples=60, deadline=None)
@given(contrasts(), st.lists(contrasts("secondary"), max_size=3), st.lists(contrasts("descriptive"), max_size=3))
def test_what_is_not_confirmatory_changes_no_verdict(
    lead: Contrast, secondary: list[Contrast], descriptive: list[Contrast]
) -> None:
    alone = adjust_family([lead])
    beside = adjust_family([lead, *secondary, *descriptive])
    assert beside[0] == alone[0]
    assert kind_of(beside[0], "population") == kind_of(alone[0], "population")


@pytest.mark.parametrize(("low", "n", "shown"), [(0.0002, 200, "95% CI <0.1 to 8.0"), (0.0002, 5000, "0.02 to 8.00")])
def test_a_limit_above_zero_is_never_written_as_zero(low: float, n: int, shown: str) -> None:
    row = dataclasses.replace(
        EXAMPLE.analysis.contrasts[0], outcome="endorse", unit="share", difference=0.04, mean_tuned=0.3,
        mean_reference=0.26, n_tuned=n, n_reference=n,
        population=TargetEstimate(target="population", interval=Interval(low=low, high=0.08), p=0.04),
        fixed=TargetEstimate(target="fixed", interval=Interval(low=0.01, high=0.07), p=0.01),
    )  # fmt: skip
    analysis = Analysis(contrasts=(row,), compositions=(), verdict=verdict_of(row, 0, "population"))
    assert shown in verdict_sentence(analysis, EXAMPLE.arms, EXAMPLE.battery, "en")
