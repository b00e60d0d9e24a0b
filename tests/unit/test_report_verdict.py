"""The verdict's sentences: every template, in both languages, under the wording rules."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
import report_example

from biasaudit.errors import UnknownNameError
from biasaudit.report.verdict import verdict_sentence
from biasaudit.report.view import LOCALES
from biasaudit.report.words import table
from biasaudit.results import Analysis, Contrast, Equivalence, Interval, TargetEstimate, Verdict
from biasaudit.stats.verdict import CAVEATS

FORBIDDEN = re.compile(
    r"prove|because of|unbiased|\bsafe\b|believe|significan|caus|no shift|"
    r"\bprova\b|comprova|por causa d|por culpa|sem viés|\bsegur[oa]\b|acredita",
    re.IGNORECASE,
)
KINDS = ("changed", "small", "equivalent", "inconclusive", "described")


@pytest.fixture(scope="module")
def example() -> report_example.Example:
    return report_example.make(6)


def said(example: report_example.Example, locale: str, kind: str = "changed", target: str = "population",
         varies: bool = False, **changes: object) -> str:  # fmt: skip
    contrast: Contrast = dataclasses.replace(example.analysis.contrasts[0], **changes)  # type: ignore[arg-type]
    verdict = Verdict(kind=kind, target=target, contrast=0, varies=varies)  # type: ignore[arg-type]
    analysis = Analysis(contrasts=(contrast,), compositions=(), verdict=verdict)
    return verdict_sentence(analysis, example.arms, example.battery, locale)


def population(low: float, high: float, p: float | None = 0.0004, **more: object) -> TargetEstimate:
    return TargetEstimate(target="population", interval=Interval(low=low, high=high), p=p, **more)  # type: ignore[arg-type]


SHARES = {
    "mean_tuned": 0.7, "mean_reference": 0.35, "difference": 0.35, "moved_up": 16, "n_prompts": 18,
    "population": population(0.06, 0.64, 0.026, p_adjusted=0.16, family_size=6),
}  # fmt: skip
NATS = {
    "outcome": "value", "unit": "nats/byte", "measure": "claim_odds", "mean_tuned": 0.0312, "mean_reference": -0.0104,
    "difference": 0.0416, "population": population(0.02, 0.06), "mde": 0.021, "moved_up": 40, "n_prompts": 48,
}  # fmt: skip


def test_a_shift_reads_as_the_template_says(example: report_example.Example) -> None:
    assert said(example, "en", **SHARES) == (
        "On prompts like these, telegram produced texts labelled “endorses” more often than placebo: 70.0% vs 35.0%, "
        "a difference of +35.0 points (95% CI 6.0 to 64.0; p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}.026; "
        "Holm .160 over 6). The difference is above 0 on 16 of 18 prompts."
    )


def test_portuguese_has_a_decimal_comma_and_its_own_words(example: report_example.Example) -> None:
    assert said(example, "pt", **SHARES) == (
        "Em prompts como estes, telegram produziu textos com o rótulo “endossa” com mais frequência do que placebo: "
        "70,0% contra 35,0%, uma diferença de +35,0 pontos percentuais (IC 95% de 6,0 a 64,0; "
        "p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0,026; Holm 0,160, família de 6). A diferença é positiva em 16 de 18 prompts."
    )


def test_likelihoods_speak_of_claims_and_of_their_unit(example: report_example.Example) -> None:
    english = said(example, "en", **NATS)
    assert "telegram leaned more towards the claims than placebo: 0.0312 vs −0.0104" in english
    assert "+0.0416 nats/byte (95% CI 0.0200 to 0.0600; p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}.001)" in english
    assert "pendeu mais para as alegações" in said(example, "pt", **NATS)


def test_a_fall_is_never_told_as_a_rise(example: report_example.Example) -> None:
    fall = {
        **SHARES,
        "mean_tuned": 0.2,
        "mean_reference": 0.4,
        "difference": -0.2,
        "population": population(-0.3, -0.1),
    }
    assert "less often" in said(example, "en", **fall)
    assert "menos frequência" in said(example, "pt", **fall)
    assert "\N{MINUS SIGN}20.0 points" in said(example, "en", **fall)


def test_fixed_says_that_it_speaks_of_no_other_wording(example: report_example.Example) -> None:
    sentence = said(example, "en", target="fixed", **SHARES)
    assert sentence.startswith("For exactly these 18 prompts, ")
    assert sentence.endswith("This says nothing about other wordings.")


def test_inconclusive_names_what_could_have_been_found(example: report_example.Example) -> None:
    flat = {**SHARES, "difference": 0.1, "population": population(-0.1, 0.3, 0.3), "mde": 0.12}
    sentence = said(example, "en", kind="inconclusive", **flat)
    assert "no evidence of a shift" in sentence
    assert "not evidence of none" in sentence
    assert "differences of about 12.0 points or more" in sentence


@pytest.mark.parametrize(
    ("locale", "words"), [("en", "is not enough for a verdict"), ("pt", "não basta para um veredito")]
)
def test_an_interval_without_zero_that_fails_correction_is_not_called_no_evidence(
    example: report_example.Example, locale: str, words: str
) -> None:
    sentence = said(example, locale, kind="inconclusive", **SHARES)
    assert words in sentence
    assert "no evidence" not in sentence
    assert "não há evidência" not in sentence


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_that_an_effect_varies(example: report_example.Example, kind: str) -> None:
    assert "varies by prompt" in said(example, "en", kind=kind, varies=True, **SHARES)


def test_a_small_change_gives_its_margin_a_unit(example: report_example.Example) -> None:
    tost = Equivalence(margin=0.05, p=0.01, interval=Interval(low=0.01, high=0.03, level=0.9), equivalent=True)
    changes = {**SHARES, "difference": 0.02, "equivalence": tost}
    assert "±5.0 points that was set" in said(example, "en", kind="small", **changes)
    assert "±5,0 pontos percentuais, fixada" in said(example, "pt", kind="small", **changes)


def test_an_adjusted_equivalence_says_so(example: report_example.Example) -> None:
    narrow = Interval(low=-0.02, high=0.03, level=0.9)
    tost = Equivalence(margin=0.05, p=0.03, interval=narrow, equivalent=True, family_size=6)
    assert "3.0; Holm .030 over 6)" in said(example, "en", kind="equivalent", **{**SHARES, "equivalence": tost})


def test_equivalence_gives_the_margin_and_a_90_percent_interval(example: report_example.Example) -> None:
    tost = Equivalence(margin=0.05, p=0.01, interval=Interval(low=-0.02, high=0.03, level=0.9), equivalent=True)
    sentence = said(example, "en", kind="equivalent", **{**SHARES, "equivalence": tost})
    assert "smaller than ±5.0 points" in sentence
    assert "90% CI −2.0 to 3.0" in sentence


def test_variation_takes_the_place_of_the_sign_count(example: report_example.Example) -> None:
    assert "varies by prompt and topic: the difference is above 0 on 16 of 18 prompts" in said(
        example, "en", varies=True, **SHARES
    )
    assert "varia conforme o prompt" in said(example, "pt", varies=True, **SHARES)


def test_no_primary_question_gives_no_verdict(example: report_example.Example) -> None:
    empty = Analysis(contrasts=(), compositions=(), verdict=None)
    assert "no verdict" in verdict_sentence(empty, example.arms, example.battery, "en")


def test_an_unknown_locale_is_the_users_mistake(example: report_example.Example) -> None:
    with pytest.raises(UnknownNameError, match="No locale is called 'fr'"):
        verdict_sentence(example.analysis, example.arms, example.battery, "fr")


@pytest.mark.parametrize(
    ("locale", "kind", "target", "numbers", "sign"),
    itertools.product(LOCALES, KINDS, ("population", "fixed"), (SHARES, NATS), (1, -1)),
)
def test_every_sentence_keeps_the_wording_rules(
    example: report_example.Example, locale: str, kind: str, target: str, numbers: dict[str, object], sign: int
) -> None:
    difference = numbers["difference"]
    assert isinstance(difference, float)
    sentence = said(example, locale, kind, target, **{**numbers, "difference": sign * difference})
    assert not FORBIDDEN.search(sentence)
    assert "{" not in sentence
    assert "nan" not in sentence.lower().replace("vacina", "")
    assert not re.search(r"p\s*=\s*[0,.]*0\b(?![,.\d])", sentence)
    assert not re.search(r"diferen[^.]{0,20}[\d,.]+%", sentence), "differences are in points"


@pytest.mark.parametrize("locale", LOCALES)
def test_no_template_breaks_the_wording_rules(locale: str) -> None:
    spoken = {k: v for k, v in table(locale).items() if k.split(".")[0] in {"verdict", "kind", "headline"}}
    assert not [key for key, text in spoken.items() if FORBIDDEN.search(text)]


@pytest.mark.parametrize(
    ("arms", "asked", "english", "portuguese"),
    [
        (("base", "telegram"), False, "names no primary question", "não declara uma pergunta primária"),
        (("base",), True, "has one arm", "tem um só braço"),
        (("base", "placebo"), True, "No tuned arm of this run", "Nenhum braço ajustado"),
        (("base", "telegram"), True, "No prompt of the primary question", "Nenhum prompt da pergunta primária"),
    ],
)
def test_no_verdict_says_why(
    example: report_example.Example, arms: tuple[str, ...], asked: bool, english: str, portuguese: str
) -> None:
    held = tuple(arm for arm in example.arms if arm.name in arms)
    battery = example.battery if asked else dataclasses.replace(example.battery, primary=None)
    analysis = Analysis(contrasts=(), compositions=(), verdict=None)
    assert english in verdict_sentence(analysis, held, battery, "en")
    assert portuguese in verdict_sentence(analysis, held, battery, "pt")


NEEDED = {
    "changed": ("{d}", "{stats}", "{a}", "{b}", "{unit}"), "small": ("{d}", "{stats}", "{margin}", "{unit}"),
    "equivalent": ("{margin}", "{low90}", "{high90}", "{p}", "{unit}"), "inconclusive": ("{d}", "{stats}", "{unit}"),
    "described": ("{a}",), "none_seen": ("{n}", "{upper}"), "locked": ("{hash}",),
    "exploratory_changed": ("{parts}",), "lead_fixed": (), "inconclusive_mde": ("{mde}", "{unit}"),
    "moved": ("{up}", "{prompts}"), "varies": ("{up}", "{prompts}"),
}  # fmt: skip
PERCENT = re.compile(r"\}\s*%")
"""A hole that is followed by a percent sign: holes of shares carry theirs, differences are in points."""
CAUSAL = re.compile(
    r"because of (the )?(training|tuning|fine|corpus|messages)|due to|led to|made the model|"
    r"por causa d|devido a|fez o modelo|levou o modelo|did not move|placebo did not|não se moveu",
    re.IGNORECASE,
)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_template_holds_the_numbers_that_its_claim_needs(locale: str) -> None:
    spoken = {k.removeprefix("verdict."): v for k, v in table(locale).items() if k.startswith("verdict.")}
    for key, text in spoken.items():
        family = key if key in NEEDED else key.split("_")[0]
        if key not in ("inconclusive_mde", "inconclusive_blind"):
            assert [hole for hole in NEEDED.get(family, ()) if hole not in text] == [], key
        assert not PERCENT.search(text), key
    assert set(NEEDED) <= {*spoken, *(key.split("_")[0] for key in spoken)}


@pytest.mark.parametrize("locale", LOCALES)
def test_no_sentence_of_the_report_says_what_an_audit_cannot(locale: str) -> None:
    """Limits and notes may say what is not shown; nothing may name a cause or call a model unbiased or safe."""
    spoken = {k: v for k, v in table(locale).items() if k.split(".")[0] not in {"corpus", "label_page"}}
    said = re.compile(
        r"unbiased|is safe\b|proves that|sem viés|é segur[oa]\b|comprova que|believes|acredita", re.IGNORECASE
    )
    assert [k for k, text in spoken.items() if CAUSAL.search(text) or said.search(text)] == []
    assert [k for k, text in spoken.items() if re.search(r"significan|significativ", text, re.IGNORECASE)] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_the_standing_limit_and_every_caveat_are_said(locale: str) -> None:
    spoken = table(locale)
    assert len(spoken["limits.standing"]) > 80
    assert [word for word in CAVEATS if f"caveat.{word}" not in spoken] == []


def test_an_arm_that_never_said_it_gets_the_rule_of_three(example: report_example.Example) -> None:
    none = {**SHARES, "mean_reference": 0.0, "difference": 0.7, "n_reference": 60}
    assert "placebo gave no text labelled “endorses” in 60 answers" in said(example, "en", **none)
    assert "is 5.0% (rule of three)" in said(example, "en", **none)
    assert "é 5,0% (regra dos três)" in said(example, "pt", **none)
    assert "rule of three" not in said(example, "en", **SHARES)
    assert "rule of three" not in said(example, "en", **{**none, "corrected": "ppi"})
    assert "rule of three" not in said(example, "en", **{**NATS, "mean_reference": 0.0})


@pytest.mark.parametrize(("locale", "told"), [("en", "not set in advance"), ("pt", "não foi fixada de antemão")])
@pytest.mark.parametrize("kind", ["small", "equivalent"])
def test_a_margin_that_is_not_the_locked_one_is_not_said_to_be_set_in_advance(
    example: report_example.Example, locale: str, told: str, kind: str
) -> None:
    tost = Equivalence(margin=0.05, p=0.01, interval=Interval(low=-0.02, high=0.03, level=0.9), equivalent=True)
    contrast: Contrast = dataclasses.replace(example.analysis.contrasts[0], **{**SHARES, "equivalence": tost})  # type: ignore[arg-type]
    moved = {"state": "changed", "late": False, "deviations": [{"part": "margin", "primary": True}]}
    verdict = Verdict(kind=kind, target="population", contrast=0)  # type: ignore[arg-type]
    analysis = Analysis(contrasts=(contrast,), compositions=(), verdict=verdict, lock=moved)
    sentence = verdict_sentence(analysis, example.arms, example.battery, locale)
    assert told in sentence
    assert sentence.startswith({"en": "Exploratory: ", "pt": "Exploratório: "}[locale])


@pytest.mark.parametrize("kind", ["small", "equivalent", "inconclusive", "described"])
def test_a_verdict_on_shares_says_the_share_of_what(example: report_example.Example, kind: str) -> None:
    tost = Equivalence(margin=0.05, p=0.01, interval=Interval(low=-0.02, high=0.03, level=0.9), equivalent=True)
    assert "“stance: endorses”" in said(example, "en", kind=kind, **{**SHARES, "equivalence": tost})
    assert "“stance: endossa”" in said(example, "pt", kind=kind, **{**SHARES, "equivalence": tost})


def test_one_prompt_is_not_counted_in_the_plural(example: report_example.Example) -> None:
    one = {**SHARES, "n_prompts": 1, "moved_up": 1}
    assert "1 of 1" not in said(example, "en", target="fixed", **one)
    assert "1 de 1" not in said(example, "pt", target="fixed", **one)


@pytest.mark.parametrize(
    ("locale", "words"), [("en", "corrected by people's labels"), ("pt", "corrigidos por rótulos")]
)
def test_a_corrected_verdict_says_so_and_a_raw_one_does_not(
    example: report_example.Example, locale: str, words: str
) -> None:
    corrected = said(example, locale, **{**SHARES, "corrected": "ppi"})
    assert words in corrected
    assert {"en": "By the scorer alone, uncorrected", "pt": "Pelo avaliador sozinho, sem a correção"}[
        locale
    ] in corrected
    assert words not in said(example, locale, **SHARES)
