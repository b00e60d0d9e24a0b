"""Learned scorers: what they were taught, and how far they agreed with people on prompts that they had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.numbers import Numbers
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Avaliadores aprendidos", "en": "Learned scorers"}
ORDER = 76
_SHARES = ("accuracy", "most_common", "sensitivity", "specificity", "f1", "calibration_error")


def render(view: ReportView, locale: str) -> Markup:
    """One card a measure; empty without learned scorers."""
    found = view.analysis.exploratory.get("learned", ())
    if not found:
        return Markup()
    return html.render("learned.html", locale, alpha=view.alpha, cards=[_card(card, locale) for card in found])


def _card(card: Mapping[str, Any], locale: str) -> dict[str, Any]:
    words, numbers = Words(locale), Numbers(locale)
    holes = {key: numbers.integer(card[key]) for key in ("n", "prompts", "folds")}
    return {
        "measure": card["measure"],
        "taught": words(
            f"learned.taught_{card['grouped_by']}",
            model=card["model_id"],
            source=card["trained_on"],
            features=card["features"],
            **holes,
        ),
        "caption": words("learned.caption", measure=card["measure"], outcome=words.fixed("label", card["outcome"])),
        "strangers": words("learned.strangers", arms=", ".join(card["strangers"])) if card["strangers"] else "",
        "rows": [
            (
                _name(row, words),
                [numbers.integer(row["n"]), *(numbers.percent(row[key]) for key in _SHARES)],
            )
            for row in card["rows"]
        ],
        "confusion_caption": words("learned.confusion", measure=card["measure"]),
        "labels": [words.fixed("label", label) for label in card["labels"]],
        "confusion": [
            (words.fixed("label", label), [numbers.integer(count) for count in counts])
            for label, counts in zip(card["labels"], card["confusion"], strict=True)
        ],
    }


def _name(row: Mapping[str, Any], words: Words) -> str:
    if row["about"] == "all":
        return words("learned.everything")
    return words.fixed("language", row["name"]) if row["about"] == "language" else str(row["name"])
