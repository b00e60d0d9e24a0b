"""The first screen: verdict, effect for both targets, N, detectable effect or margin, conditions, caveats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.badges import badge_list
from biasaudit.report.composed import conditional_sentences
from biasaudit.report.findings import rare
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import outcome_words
from biasaudit.report.scale import Scale, told_by
from biasaudit.report.verdict import estimate, margin_was_set, verdict_sentence
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast, TargetEstimate

TITLE = {"pt": "Veredito", "en": "Verdict"}
ORDER = 10
TOP_CAVEATS = 3


def render(view: ReportView, locale: str) -> Markup:
    """The headline; never empty."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    verdict, contrast = view.analysis.verdict, view.leading()
    return html.render(
        "headline.html",
        locale,
        alpha=view.alpha,
        kind=verdict.kind if verdict else "none",
        kind_words=_kind(view, words),
        sentence=verdict_sentence(view.analysis, view.arms, view.battery, locale),
        others=_others(view, locale),
        effect=_effect(view, contrast, words, numbers) if contrast else None,
        counts=_counts(view, contrast, words, numbers),
        conditional=conditional_sentences(view, locale),
        badges=badge_list(view, words, numbers),
        caveats=[words.fixed("caveat", c) for c in (verdict.caveats if verdict else ())[:TOP_CAVEATS]],
    )


def _kind(view: ReportView, words: Words) -> str:
    verdict, state = view.analysis.verdict, view.analysis.lock.get("state")
    kind = words(f"kind.{verdict.kind if verdict else 'none'}")
    return words("kind.exploratory", kind=kind) if verdict and state in ("changed", "late") else kind


def _test_role(view: ReportView, contrast: Contrast) -> str:
    """The words for a test without a family: confirmatory only under a lock that was kept."""
    state = view.analysis.lock.get("state")
    if contrast.role != "primary" or state in ("changed", "late"):
        return "headline.exploratory"
    return "headline.alone" if state == "kept" else "headline.alone_unlocked"


def _effect(view: ReportView, contrast: Contrast, words: Words, numbers: Numbers) -> dict[str, Any]:
    scale = Scale.of(contrast, words, numbers)
    verdict = view.analysis.verdict
    target = verdict.target if verdict else "population"
    found, other_name = estimate(contrast, target), "fixed" if target == "population" else "population"
    other = estimate(contrast, other_name)
    lines = []
    if found.interval:
        lines.append(words("headline.ci", range=scale.range(found.interval)))
        if found.interval.for_looks:
            lines.append(f"({words('headline.for_looks')})")
    else:
        lines.append(words.fixed("note", found.note) or words("verdict.stats_no_interval"))
    lines.append(words("headline.for_target", target=words(f"target.{target}")))
    tests = [numbers.p_phrase(found.p) if found.p is not None else words("headline.p_missing")]
    if found.p_adjusted is not None and found.family_size > 1:
        tests.append(words("headline.adjusted", p=numbers.p(found.p_adjusted), k=found.family_size))
    elif found.p is not None:
        tests.append(words(_test_role(view, contrast)))
    return {
        "value": scale.bare(contrast.difference, signed=True),
        "unit": scale.unit_words(),
        "of": words("headline.effect_of", tuned=contrast.tuned, reference=contrast.reference),
        "measure": outcome_words(contrast, words),
        "arms": [(contrast.tuned, scale.level(contrast.mean_tuned), "tuned"),
                 (contrast.reference, scale.level(contrast.mean_reference), "reference")],
        "interval": " ".join(lines),
        "tests": " · ".join(tests),
        "other": _other(other_name, other.interval is not None, scale.range(other.interval), words)
        + (f" ({numbers.p_phrase(other.p)})" if other.p is not None else "")
        + (f" ({words.fixed('note', other.note)})" if other.interval is None and other.note else ""),
        "plain": _plain_words(view, contrast, found, scale),
        "design": _design(view, contrast, scale, words, numbers),
    }  # fmt: skip


def _plain_words(view: ReportView, contrast: Contrast, found: TargetEstimate, scale: Scale) -> str:
    """The odds in words: conditional where the interval holds 0, left out where interval and test disagree."""
    verdict, interval = view.analysis.verdict, found.interval
    zero = interval is not None and interval.low <= 0 <= interval.high
    if verdict is not None and verdict.kind == "inconclusive" and not zero:
        return ""
    return scale.in_plain_words(
        contrast.difference, pmi=_is_pmi(view, contrast), zero_possible=zero, told=told_by(view.battery)
    )


def _other(target: str, known: bool, interval: str, words: Words) -> str:
    name = words(f"target.{target}")
    if known:
        return words("headline.other_target", target=name, range=interval)
    return words("headline.other_none", target=name)


def _is_pmi(view: ReportView, contrast: Contrast) -> bool:
    measure = next((m for m in view.battery.measures if m.name == contrast.measure), None)
    return measure is not None and measure.options.get("variant") == "pmi"


def _others(view: ReportView, locale: str) -> list[str]:
    """Verdicts on the other tuned arms: the family is theirs too."""
    others = [replace(view.analysis, verdict=verdict) for verdict in view.analysis.verdicts[1:]]
    return [verdict_sentence(analysis, view.arms, view.battery, locale) for analysis in others]


def _design(view: ReportView, contrast: Contrast, scale: Scale, words: Words, numbers: Numbers) -> list[str]:
    """MDE, margin, prediction interval and what a rare outcome needs, in words."""
    unit, lines = scale.unit_words(), []
    family = max(contrast.population.family_size, contrast.fixed.family_size)
    if contrast.mde is not None:
        key = "headline.mde" if family == 1 else "headline.mde_family"
        key = "headline.mde_blind" if scale.beyond(contrast.mde) else key
        lines.append(words(key, mde=scale.bare(contrast.mde), unit=unit, k=family))
    if contrast.equivalence is not None:
        key = "headline.margin" if margin_was_set(view.analysis.lock) else "headline.margin_unset"
        lines.append(words(key, margin=scale.bare(contrast.equivalence.margin), unit=unit))
    elif contrast.role == "primary" and (view.battery.primary is None or view.battery.primary.margin is None):
        lines.append(words("headline.no_margin"))
    if contrast.heterogeneity is not None and contrast.heterogeneity.prediction is not None:
        interval = scale.range(contrast.heterogeneity.prediction)
        lines.append(words("headline.prediction", range=interval, unit=unit))
    return lines + _rare(view, contrast, words, numbers)


def _rare(view: ReportView, contrast: Contrast, words: Words, numbers: Numbers) -> list[str]:
    """What stands beside Student's t where the outcome is rare."""
    position = view.analysis.contrasts.index(contrast)
    found = [f for f in view.analysis.findings if f.design == "rare" and f.details["contrast"] == position]
    return [words("headline.rare", told=rare(row, words, numbers)) for row in found]


def _counts(view: ReportView, contrast: Contrast | None, words: Words, numbers: Numbers) -> list[tuple[str, str]]:
    rows = [(numbers.integer(len(view.arms)), words("headline.n_arms"))]
    if contrast is not None:
        asked = "n_tuned" if contrast.decoding_id else "n_measured"
        rows += [
            (numbers.integer(contrast.n_topics), words("headline.n_topics")),
            (numbers.integer(contrast.n_prompts), words("headline.n_prompts")),
            (numbers.integer(contrast.n_tuned), words(f"headline.{asked}", arm=contrast.tuned)),
            (numbers.integer(contrast.n_reference), words(f"headline.{asked}", arm=contrast.reference)),
            (numbers.integer(contrast.unscored_tuned + contrast.unscored_reference), words("headline.n_unscored")),
        ]
        unpaired = view.analysis.counts.get("unpaired", {}).get(contrast.measure, {}).get(contrast.tuned, 0)
        if contrast.coupled and unpaired:
            rows.append((numbers.integer(unpaired), words("headline.n_unpaired")))
    rows.append((numbers.integer(len(view.decodings)), words("headline.n_decodings")))
    labelled = view.analysis.counts.get("human_labelled", 0)
    if isinstance(labelled, int):
        rows.append((numbers.integer(labelled), words("headline.n_labelled")))
    return rows
