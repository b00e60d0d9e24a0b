"""What the page claims beside the verdict: tests, margins, units and plain words are those of the analysis."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import report_example

from biasaudit.battery.read import read_battery
from biasaudit.records import Measure
from biasaudit.report import charts
from biasaudit.report.composed import conditional_sentence
from biasaudit.report.findings import shown as shown_finding
from biasaudit.report.findings import with_unit
from biasaudit.report.numbers import Numbers
from biasaudit.report.page import render_page
from biasaudit.report.scale import Scale, told_by
from biasaudit.report.sections import contrasts, headline, manifest, methods
from biasaudit.report.verdict import verdict_sentence
from biasaudit.report.view import LOCALES, ReportView
from biasaudit.report.words import Words
from biasaudit.results import Composition, Contrast, Equivalence, Finding, Interval, TargetEstimate, Verdict

NOT_DRAWN = TargetEstimate(target="fixed", interval=None, p=None, method="exact value", note="no-sampling-error")


@pytest.fixture(scope="module")
def view() -> ReportView:
    return report_example.make(4).view()


def leading(view: ReportView, **changes: object) -> ReportView:
    """The view with its leading contrast changed."""
    first, *rest = view.analysis.contrasts
    changed = dataclasses.replace(first, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(view, analysis=dataclasses.replace(view.analysis, contrasts=(changed, *rest)))


def scale_of(contrast: Contrast, locale: str = "en") -> Scale:
    return Scale.of(contrast, Words(locale), Numbers(locale))


def test_without_a_question_no_test_is_called_confirmatory(view: ReportView) -> None:
    first = dataclasses.replace(
        view.analysis.contrasts[0].population, p_adjusted=None, family_size=1
    )  # fmt: skip
    asked = leading(view, role="secondary", population=first)
    unasked = dataclasses.replace(asked, analysis=dataclasses.replace(asked.analysis, verdict=None))
    page = str(headline.render(unasked, "en")) + str(methods.render(unasked, "en"))
    assert "not a confirmatory test" in page
    assert "There is no confirmatory test" in page
    assert "the only confirmatory test" not in page
    assert "There is one confirmatory test" not in page


def test_an_effect_within_a_measures_margin_is_told_below_all_contrasts(view: ReportView) -> None:
    small = Equivalence(margin=0.05, p=0.001, interval=Interval(low=-0.024, high=-0.014, level=0.9), equivalent=True)
    row = dataclasses.replace(view.analysis.contrasts[0], role="descriptive", difference=-0.019, equivalence=small)
    verdict = Verdict(kind="small", target="population", contrast=len(view.analysis.contrasts))
    analysis = dataclasses.replace(
        view.analysis, contrasts=(*view.analysis.contrasts, row), beside_margins=(verdict,), lock={}
    )
    shown = dataclasses.replace(view, analysis=analysis)
    assert "detectable, but inside the margin of ±5.0 points that was set in advance" in str(
        contrasts.render(shown, "en")
    )
    assert "detectável, mas fica dentro da margem de ±5,0 pontos percentuais" in str(contrasts.render(shown, "pt"))
    assert "outside the verdict" not in str(contrasts.render(view, "en")).casefold()
    moved = {"deviations": [{"part": "measure", "name": row.measure, "primary": False}], "late": False}
    late = dataclasses.replace(shown, analysis=dataclasses.replace(analysis, lock=moved))
    assert "which was not set in advance" in str(contrasts.render(late, "en"))


def test_measures_without_a_label_off_the_topic_say_nothing_of_answers_on_it() -> None:
    same = Composition(
        measure="lang", arm="base", decoding_id="d", shares={"same": 0.9, "empty": 0.1, "other": 0.0},
        counts={"same": 9, "empty": 1, "other": 0}, conditional={"same": 1.0, "other": 0.0},
    )  # fmt: skip
    assert conditional_sentence([same], "pt") == ""
    split = dataclasses.replace(same, shares={**same.shares, "off_topic": 0.0})
    assert "(9 em base): “na língua do prompt” 100" in conditional_sentence([split], "pt")
    alone = dataclasses.replace(split, conditional={"same": 1.0})
    assert conditional_sentence([alone], "pt") == "", "the share of the only label is no news"


def test_a_margin_that_was_set_is_never_denied(view: ReportView) -> None:
    described = leading(view, equivalence=None, population=TargetEstimate(
        target="population", interval=None, p=None, method="t on 4 topic means", note="too-few-topics"))  # fmt: skip
    assert view.battery.primary is not None
    assert view.battery.primary.margin is not None
    assert "No margin was set" not in str(headline.render(described, "en"))
    free = dataclasses.replace(
        described,
        battery=dataclasses.replace(view.battery, primary=dataclasses.replace(view.battery.primary, margin=None)),
    )
    assert "No margin was set" in str(headline.render(free, "en"))


def test_a_test_that_was_not_done_is_not_listed_as_used(view: ReportView) -> None:
    few = TargetEstimate(target="population", interval=None, p=None, method="t on 4 topic means", note="too-few-topics")
    page = str(methods.render(leading(view, population=few), "en"))
    assert "prompts like these: no test (fewer than five topics)" in page
    assert "t test on 4" not in page


def test_greedy_texts_are_neither_likelihoods_nor_uncoupled_samples(view: ReportView) -> None:
    badges = {key: value for key, value in view.analysis.badges.items() if key not in {"coupled", "rho"}}
    greedy = leading(view, fixed=NOT_DRAWN, coupled=False, rho=None)
    greedy = dataclasses.replace(greedy, analysis=dataclasses.replace(greedy.analysis, badges=badges))
    first, told = str(headline.render(greedy, "en")), str(methods.render(greedy, "en"))
    assert "nothing was drawn at random" in first
    assert "not coupled" not in first + told
    assert "likelihoods have" not in first + told


def test_answers_without_a_pair_are_counted_on_the_first_screen(view: ReportView) -> None:
    measure = view.analysis.contrasts[0].measure
    counts = {**view.analysis.counts, "unpaired": {measure: {view.analysis.contrasts[0].tuned: 31}}}
    lost = dataclasses.replace(view, analysis=dataclasses.replace(view.analysis, counts=counts))
    assert "left out: no pair in the other arm</dt><dd>31" in str(headline.render(lost, "en"))
    assert "no pair" not in str(headline.render(view, "en"))


def test_the_other_tuned_arms_get_their_sentence_too(view: ReportView) -> None:
    other = dataclasses.replace(view.analysis.contrasts[0], tuned="second")
    verdicts = (
        Verdict(kind="changed", target="population", contrast=0),
        Verdict(kind="inconclusive", target="fixed", contrast=len(view.analysis.contrasts)),
    )
    analysis = dataclasses.replace(
        view.analysis, contrasts=(*view.analysis.contrasts, other), verdict=verdicts[0], verdicts=verdicts
    )
    both = dataclasses.replace(view, analysis=analysis)
    assert "The other tuned arms" in str(headline.render(both, "en"))
    assert "between second and placebo" in str(headline.render(both, "en"))
    assert "The other tuned arms" not in str(headline.render(view, "en"))
    assert "second" in str(contrasts.render(both, "en"))


def test_a_gap_between_groups_keeps_the_unit_of_its_measure(view: ReportView) -> None:
    gap = dataclasses.replace(view.analysis.contrasts[0], outcome="woman−man", unit="nats/byte", difference=0.02)
    assert scale_of(gap).kind == "nats"
    assert scale_of(dataclasses.replace(gap, unit="share")).effect(0.02) == "2.0\N{NO-BREAK SPACE}points"


def test_points_of_a_plugin_are_not_multiplied(view: ReportView) -> None:
    own = dataclasses.replace(view.analysis.contrasts[0], outcome="value", unit="points", difference=12.0)
    assert scale_of(own).factor == 1.0


@pytest.mark.parametrize(
    ("name", "told", "said"), [("vaccines", "claims", "alegações"), ("gender", "statements", "afirmações")]
)
def test_only_a_battery_that_makes_claims_is_told_by_them(view: ReportView, name: str, told: str, said: str) -> None:
    battery = read_battery(Path(__file__).parents[2] / "prompts" / f"{name}.yaml")
    assert told_by(battery) == told
    contrast = dataclasses.replace(view.analysis.contrasts[0], outcome="value", unit="nats/byte")
    verdict = Verdict(kind="changed", target="population", contrast=0)
    analysis = dataclasses.replace(view.analysis, contrasts=(contrast,), verdict=verdict)
    assert said in verdict_sentence(analysis, view.arms, battery, "pt")
    assert scale_of(contrast).in_plain_words(0.01, told=told).count(told[:-1]) == 3


def test_differences_of_any_unit_have_their_sign_and_distances_none() -> None:
    row = Finding(
        design="slots", name="fillers-between", estimand="", target="population", measure="m", outcome="value",
        unit="nats/byte", tuned="a", reference="b", decoding_id="", language="pt", estimate=0.0123,
    )  # fmt: skip
    numbers = Numbers("en")
    assert shown_finding(row, row.estimate, numbers) == "+0.0123"
    for name in ("energy", "groups-inside", "ratio"):
        assert shown_finding(dataclasses.replace(row, name=name), 0.0123, numbers) == "0.0123"
    spread = dataclasses.replace(row, name="groups-inside", unit="share")
    assert shown_finding(spread, 0.0123, numbers) == "1.2"
    assert with_unit(spread, 0.0123, Words("en"), numbers) == "+1.2 points"


def test_small_changes_of_odds_are_not_rounded_to_none(view: ReportView) -> None:
    nats = dataclasses.replace(view.analysis.contrasts[0], outcome="value", unit="nats/byte", difference=0.002)
    assert "by about 1.06" in scale_of(nats).in_plain_words(0.002)
    assert "divides the odds of the claim by about 1.06" in scale_of(nats).in_plain_words(-0.002)
    assert "por cerca de 1,06" in scale_of(nats, "pt").in_plain_words(0.002)


@pytest.mark.parametrize("locale", LOCALES)
def test_plain_words_of_pmi_speak_of_the_neutral_stem(view: ReportView, locale: str) -> None:
    name = view.analysis.contrasts[0].measure
    pmi = (Measure(name=name, scorer="likelihood", options={"variant": "pmi"}),)
    asked = leading(view, outcome="value", unit="nats/byte", difference=0.02)
    asked = dataclasses.replace(asked, battery=dataclasses.replace(view.battery, measures=pmi))
    expected = {"pt": "comparado com o início neutro", "en": "compared with the neutral stem"}[locale]
    assert expected in render_page(asked, locale)


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("pt", "que tomam partido, endossam: 90,0% em base, 93,0% em telegram."),
        ("en", "take a side, these endorse: 90.0%"),
    ],
)
def test_the_share_of_endorsing_among_sided_answers_stands_beside_the_rate(
    view: ReportView, locale: str, said: str
) -> None:
    own = view.decodings[0].decoding_id
    rows = [
        {"measure": "stance", "arm": arm, "decoding_id": own, "share": share}
        for arm, share in (("base", 0.9), ("placebo", None), ("telegram", 0.93))
    ]
    analysis = dataclasses.replace(view.analysis, exploratory={"endorsing_among_sided": rows})
    assert said in str(headline.render(dataclasses.replace(view, analysis=analysis), locale))
    assert "take a side" not in str(headline.render(view, "en"))


@pytest.mark.parametrize(("locale", "said"), [("pt", "stance em base: woman"), ("en", "stance in base: woman")])
def test_a_gap_inside_one_arm_is_not_told_as_that_arm_against_itself(view: ReportView, locale: str, said: str) -> None:
    gap = dataclasses.replace(
        view.analysis.contrasts[0], tuned="base", reference="base", outcome="woman−man", role="descriptive"
    )
    analysis = dataclasses.replace(view.analysis, contrasts=(*view.analysis.contrasts, gap))
    page = str(contrasts.render(dataclasses.replace(view, analysis=analysis), locale))
    assert said + "\N{NO-BREAK SPACE}−\N{NO-BREAK SPACE}man" in page
    assert "base\N{NO-BREAK SPACE}−\N{NO-BREAK SPACE}base" not in page
    alone = dataclasses.replace(view, analysis=dataclasses.replace(view.analysis, contrasts=(gap,), verdict=None))
    assert alone.leading() is None
    assert "base menos base" not in render_page(alone, "pt")


def shown(view: ReportView, difference: float, low: float, high: float, unit: str = "probability") -> list[str]:
    """Difference, interval and the tuned arm's mean as the page writes them."""
    held = TargetEstimate(target="population", interval=Interval(low=low, high=high), p=0.049)
    scale = scale_of(dataclasses.replace(
        view.analysis.contrasts[0], outcome="value", unit=unit, difference=difference, population=held,
        fixed=dataclasses.replace(held, target="fixed"), mean_tuned=abs(difference) * 2,
    ))  # fmt: skip
    return [scale.bare(difference, signed=True), scale.range(held.interval), scale.level(abs(difference) * 2)]


def test_shares_that_one_decimal_would_hide_get_more(view: ReportView) -> None:
    assert shown(view, 0.00003, 0.000001, 0.00006) == ["+0.0030", "0.0001 to 0.0060", "0.0060%"]
    assert shown(view, 0.003, -0.001, 0.007) == ["+0.30", "−0.10 to 0.70", "0.60%"]
    assert shown(view, 0.035, -0.02, 0.09) == ["+3.5", "−2.0 to 9.0", "7.0%"]
    assert shown(view, 0.0, 0.0, 0.0) == ["0.0", "0.0 to 0.0", "0.0%"]
    assert shown(view, 1e-17, 0.0, 1e-17) == ["0.0", "0.0 to 0.0", "0.0%"]


def test_an_interval_without_zero_never_reads_as_if_it_touched_it(view: ReportView) -> None:
    assert shown(view, 0.02, 0.0002, 0.04) == ["+2.00", "0.02 to 4.00", "4.00%"]
    assert shown(view, 0.02, 0.00001, 0.04, "nats/byte")[1] == "0.00001 to 0.04000"


def test_small_numbers_of_other_units_keep_two_digits(view: ReportView) -> None:
    assert shown(view, 0.00002, -0.00001, 0.00004, "nats/byte")[:2] == ["+0.000020", "−0.000010 to 0.000040"]
    assert shown(view, 0.0416, 0.02, 0.06, "nats/byte")[:2] == ["+0.0416", "0.0200 to 0.0600"]


def test_ticks_of_a_figure_are_not_cut(view: ReportView) -> None:
    figure = charts.intervals([charts.Row("topic", "t", 0.005, 0.0, 0.01)], "x", "en")
    assert ">0.002<" in figure or ">0.005<" in figure


def test_a_prediction_interval_that_is_withheld_is_not_described(view: ReportView) -> None:
    spread = view.analysis.contrasts[0].heterogeneity
    assert spread is not None
    few = leading(view, heterogeneity=dataclasses.replace(spread, prediction=None))
    assert "prediction interval" in str(methods.render(view, "en"))
    assert "prediction interval" not in str(methods.render(few, "en"))


def test_the_methods_say_that_the_wider_question_can_get_the_narrower_interval(view: ReportView) -> None:
    assert "it can be narrower" in str(methods.render(view, "en"))
    assert "mais estreito" in str(methods.render(view, "pt"))


def test_the_methods_of_a_corrected_contrast_are_its_own_and_in_the_readers_language(view: ReportView) -> None:
    found = TargetEstimate(
        target="fixed", interval=Interval(low=0.1, high=0.2, method="ppi"), p=0.01,
        method="ppi, variances of the arms added",
    )  # fmt: skip
    said = str(methods.render(leading(view, corrected="ppi", fixed=found), "pt"))
    assert (
        "PPI++ em cada braço, com as variâncias dos braços somadas; intervalo normal sobre a diferença corrigida"
        in said
    )
    assert "variances of" not in said
    assert "amostragem acoplada" not in said, "a correction adds the arms' variances, whatever was paired"
    assert "não definida" in str(methods.render(leading(view, coupled=True, rho=None), "pt"))


@pytest.mark.parametrize(("locale", "said"), [("pt", "multiplicaria as chances"), ("en", "would multiply the odds")])
def test_plain_words_claim_no_change_that_the_verdict_leaves_open(view: ReportView, locale: str, said: str) -> None:
    def page(low: float) -> str:
        held = TargetEstimate(target="population", interval=Interval(low=low, high=0.04), p=0.06)
        asked = leading(view, outcome="value", unit="nats/byte", difference=0.02, population=held)
        verdict = Verdict(kind="inconclusive", target="population", contrast=0)
        analysis = dataclasses.replace(asked.analysis, verdict=verdict)
        return str(headline.render(dataclasses.replace(asked, analysis=analysis), locale))

    assert said in page(-0.01)
    plain = {"pt": "Em termos simples", "en": "In plain words"}[locale]
    assert plain not in page(0.001)


def test_the_page_counts_the_numerics_of_what_it_uses(view: ReportView) -> None:
    def page(used: int, held: int) -> str:
        counts = {**view.analysis.counts, "numerics": used}
        settings = {f"n{k}": {"tile": k} for k in range(held)}
        analysis = dataclasses.replace(view.analysis, counts=counts)
        return str(manifest.render(dataclasses.replace(view, analysis=analysis, manifest={"numerics": settings}), "en"))

    assert "Mixed numerics" not in page(1, 2)
    assert "under one numerical setting" in page(1, 2)
    assert "the run folder holds completions: 2" in page(1, 2)
    assert "computed under 2 numerical settings" in page(2, 2)
    assert "the run folder holds" not in page(2, 2) + page(1, 1)
