"""When sampling stopped: the looks that were registered before it began, and what each of them decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import outcome_words
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast, Interval

TITLE = {"pt": "Análises intermediárias", "en": "Registered looks"}
ORDER = 45


def render(view: ReportView, locale: str) -> Markup:
    """Rule, looks and prompts; empty for a run whose size was fixed in advance."""
    plan, records = view.manifest.get("until"), view.manifest.get("looks") or []
    if not plan:
        return Markup()
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    return html.render(
        "looks.html",
        locale,
        alpha=view.alpha,
        rule=_rule(plan, view, words, numbers),
        scheme=words(f"looks.scheme_{plan['scheme'].replace('-', '_')}", most=len(plan["sizes"])),
        bias=plan["rule"] == "decided",
        questions=[
            question
            for contrast in (records[0]["contrasts"] if records else [])
            if (question := _question(contrast, plan, records, view, locale))
        ],
    )


def _rule(plan: Mapping[str, Any], view: ReportView, words: Words, numbers: Numbers) -> str:
    found = next((c for c in view.analysis.contrasts if _is_of(c, plan)), None)
    if found is None:
        return ""
    scale = Scale.of(found, words, numbers)
    holes = {"unit": scale.unit_words(), "most": plan["sizes"][-1], "measure": outcome_words(found, words)}
    if plan["rule"] == "precision":
        return words("looks.rule_precision", x=scale.bare(plan["precision"]), **holes)
    key = f"looks.rule_{plan['rule']}" + ("" if plan["margin"] is None else "_margin")
    return words(key, x=scale.bare(plan["margin"]), **holes)


def _is_of(contrast: Contrast, plan: Mapping[str, Any]) -> bool:
    return (contrast.measure, contrast.outcome) == (plan["measure"], plan["outcome"])


def _question(
    pair: Mapping[str, Any], plan: Mapping[str, Any], records: list[Any], view: ReportView, locale: str
) -> dict[str, Any] | None:
    """One tuned arm's two tables; None where the analysis has no such contrast."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    arms = (pair["tuned"], pair["reference"])
    found = next(
        (c for c in view.analysis.contrasts if _is_of(c, plan) and (c.tuned, c.reference) == arms),
        None,
    )
    if found is None:
        return None
    scale = Scale.of(found, words, numbers)
    looks, prompts = [], []
    for record in records:
        whole = next(row for row in record["contrasts"] if (row["tuned"], row["reference"]) == arms)
        cells = [numbers.integer(record["size"]), numbers.decimal(record["spent"], 4)]
        cells += [numbers.decimal(record["boundary"], 2), *_effect(whole, scale)]
        cells += [numbers.integer(len(record["closed"])), numbers.integer(record["open"])]
        looks.append((numbers.integer(record["look"]), cells, words.fixed("looks.decision", whole["decision"])))
        for row in whole["prompts"]:
            reason = record["closed"].get(row["prompt_id"])
            prompt = view.prompt(row["prompt_id"])
            if reason is not None and prompt is not None:
                at = [numbers.integer(record["look"]), numbers.integer(record["size"]), *_effect(row, scale)]
                prompts.append((prompt.text, at, words.fixed("looks.decision", reason)))
    return {
        "title": words("looks.title", measure=outcome_words(found, words), tuned=arms[0], reference=arms[1]),
        "unit": scale.unit_words(),
        "looks": looks,
        "prompts": prompts,
    }


def _effect(row: Mapping[str, Any], scale: Scale) -> list[str]:
    """Difference and repeated interval."""
    if row["difference"] is None:
        return ["–", "–"]
    return [scale.bare(row["difference"], signed=True), scale.range(Interval(low=row["low"], high=row["high"]))]
