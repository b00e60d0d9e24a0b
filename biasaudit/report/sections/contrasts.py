"""All contrasts that were computed, with both targets and the family-wise adjusted p."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.numbers import NO_BREAK, Numbers
from biasaudit.report.rows import decoding_words, group_words, outcome_words
from biasaudit.report.scale import Scale
from biasaudit.report.verdict import estimate, verdict_sentence
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast, Verdict

TITLE = {"pt": "Todos os contrastes", "en": "All contrasts"}
ORDER = 60
_ROLES = ("primary", "secondary", "descriptive")


def render(view: ReportView, locale: str) -> Markup:
    """The table; empty without contrasts."""
    if not view.analysis.contrasts:
        return Markup()
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    verdict = view.analysis.verdict
    targets = {found.contrast: found.target for found in view.analysis.verdicts}
    rows = []
    for place, contrast in sorted(enumerate(view.analysis.contrasts), key=lambda row: _ROLES.index(row[1].role)):
        scale = Scale.of(contrast, words, numbers)
        target = targets.get(place, verdict.target if verdict else "population")
        rows.append(
            {
                "name": _name(contrast, words),
                "measure": contrast.measure if _inside(contrast) else outcome_words(contrast, words),
                "decoding": decoding_words(view, contrast.decoding_id, words, numbers),
                "role": words(f"contrast_role.{contrast.role}"),
                "difference": scale.effect(contrast.difference, signed=True),
                "population": scale.range(contrast.population.interval),
                "population_p": numbers.p(contrast.population.p),
                "fixed": scale.range(contrast.fixed.interval),
                "fixed_p": numbers.p(contrast.fixed.p),
                "holm": numbers.p(estimate(contrast, target).p_adjusted),
                "n": f"{numbers.integer(contrast.n_topics)} / {numbers.integer(contrast.n_prompts)}",
            }
        )
    return html.render(
        "contrasts.html",
        locale,
        alpha=view.alpha,
        rows=rows,
        margins=_beside_margins(view, locale),
        margins_family=_family(view),
    )


def _family(view: ReportView) -> int:
    """Equivalence tests outside the verdict's family, which Holm adjusts together."""
    held = [view.analysis.contrasts[found.contrast].equivalence for found in view.analysis.beside_margins]
    return max((test.family_size for test in held if test is not None), default=0)


def _beside_margins(view: ReportView, locale: str) -> list[str]:
    """What the margins of measures say of contrasts outside the verdict's family."""
    analysis = view.analysis
    return [
        verdict_sentence(replace(analysis, verdict=found, lock=_own_lock(view, found)), view.arms, view.battery, locale)
        for found in analysis.beside_margins
    ]


def _own_lock(view: ReportView, found: Verdict) -> dict[str, Any]:
    """What the lock says of this contrast's margin alone: the question, and what was registered, are the verdict's."""
    lock, primary = view.analysis.lock, view.battery.primary
    measure = view.analysis.contrasts[found.contrast].measure
    asked = ("margin", "question") if primary is not None and primary.measure == measure else ()
    moved = [
        {**row, "part": "margin"}
        for row in lock.get("deviations", ())
        if row["part"] in asked or (row["part"], row["name"]) == ("measure", measure)
    ]
    return {"late": lock.get("late", False), "deviations": moved}


def _inside(contrast: Contrast) -> bool:
    """Whether two groups are compared inside one arm, rather than two arms."""
    return contrast.tuned == contrast.reference


def _name(contrast: Contrast, words: Words) -> str:
    if _inside(contrast):
        holes = {"measure": contrast.measure, "arm": contrast.tuned, "groups": group_words(contrast.outcome)}
        return words("contrasts.inside", **holes)
    mark = f" ({words('contrasts.corrected')})" if contrast.corrected else ""
    return f"{contrast.tuned}{NO_BREAK}−{NO_BREAK}{contrast.reference}{mark}"
