"""Designs beside the plain contrast: one block each, with its numbers, a sentence where one helps, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.findings import about, arms, doses, level, lines, shown, uncalibrated
from biasaudit.report.findings_drawn import figures
from biasaudit.report.numbers import MISSING, Numbers
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Finding

TITLE = {"pt": "Outros delineamentos e sensibilidade", "en": "Further designs and sensitivity"}
ORDER = 48
SHOWN = (
    "rare", "composition", "runs", "dose", "temperature", "slots", "language", "robust", "text", "words", "families",
    "curve",
)  # fmt: skip

TableRow = tuple[str, str, list[str], str]
"""What it is, of what, numbers, and n."""


def render(view: ReportView, locale: str) -> Markup:
    """One block a design; empty without findings of these designs."""
    blocks = [
        _block(design, rows, locale, view.alpha)
        for design in SHOWN
        if (rows := [row for row in view.analysis.findings if row.design == design])
    ]
    return html.render("designs.html", locale, alpha=view.alpha, blocks=blocks) if blocks else Markup()


def _block(design: str, rows: Sequence[Finding], locale: str, alpha: float) -> dict[str, Any]:
    """Title, explanation, sentences, figures and table of one design."""
    words, numbers = Words(locale, alpha), Numbers(locale)
    drawn = figures(design, rows, locale)
    return {
        "title": words(f"designs.title.{design}"),
        "explain": words(f"designs.explain.{design}"),
        "legend": words("designs.dose_legend") if design == "dose" and drawn else "",
        "lines": [*lines(design, rows, words, numbers), *uncalibrated(rows, words)],
        "figures": drawn,
        "rows": [line for row in rows for line in (_row(row, words, numbers), *_models(row, words, numbers))],
    }


def _row(row: Finding, words: Words, numbers: Numbers) -> TableRow:
    """One line of the table."""
    interval = row.interval
    limits = MISSING
    if interval is not None:
        limits = words("number.range", low=shown(row, interval.low, numbers), high=shown(row, interval.high, numbers))
    told = "; ".join(part for part in (row.measure, arms(row, words), *_choice(row, words)) if part)
    cells = [shown(row, row.estimate, numbers), limits, numbers.p(row.p), numbers.p(row.p_adjusted)]
    return _name(row, words), told, cells, _counted(row, words, numbers)


def _models(row: Finding, words: Words, numbers: Numbers) -> list[TableRow]:
    """A line for every trained model that a figure of doses or of runs shows."""
    if row.design not in ("dose", "runs"):
        return []
    found = row.details
    values = found["arm_means"] if row.design == "dose" else found["differences"]
    names = found["arms"]
    if row.design == "dose":
        pairs = zip(names, found["arm_doses"], strict=True)
        names = [words("designs.at_dose", arm=arm, dose=doses([dose], numbers)) for arm, dose in pairs]
    limits = [
        words("number.range", low=level(row, ends[0], numbers), high=level(row, ends[1], numbers)) if ends else MISSING
        for ends in found.get("arm_limits", [None] * len(values))
    ]
    told = [level(row, value, numbers) if row.design == "dose" else shown(row, value, numbers) for value in values]
    name = words("designs.mean") if row.design == "dose" else _name(row, words)
    return [
        (name, f"{about(row, words)}; {arm}", [value, ends, MISSING, MISSING], "")
        for arm, value, ends in zip(names, told, limits, strict=True)
    ]


def _choice(row: Finding, words: Words) -> list[str]:
    """What tells one row of a design from the next."""
    if row.design == "curve":
        kind, _, name = str(row.details["templates"]).partition(" ")
        templates = words(f"designs.templates.{kind}", name=name)
        return [templates, words.fixed("designs.choice", str(row.details["denominator"])), row.decoding_id[:8]]
    if row.design == "text" and "null" in row.details:
        return [words.fixed("designs.choice", str(row.details["null"]))]
    return [str(row.details["slot"])] if row.design == "slots" else []


def _counted(row: Finding, words: Words, numbers: Numbers) -> str:
    """How many at every level, in words."""
    return ", ".join(f"{words.fixed('level', level)}: {numbers.integer(n)}" for level, n in row.n.items())


def _name(row: Finding, words: Words) -> str:
    """What a finding is called; an unknown name as it stands."""
    key = f"designs.name.{row.name}"
    return words(key, outcome=words.fixed("label", row.outcome)) if words.has(key) else row.name
