"""Designs beside the plain contrast: one block each, with its numbers, a sentence where one helps, and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.findings import about, arms, doses, level, lines, shown, uncalibrated
from biasaudit.report.findings_drawn import figures
from biasaudit.report.numbers import MISSING, Numbers
from biasaudit.report.rows import decoding_words
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
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""As in `stats.robust`."""


def render(view: ReportView, locale: str) -> Markup:
    """One block a design; empty without findings of these designs."""
    blocks = [
        _block(design, rows, view, locale)
        for design in SHOWN
        if (rows := [row for row in view.analysis.findings if row.design == design])
    ]
    return html.render("designs.html", locale, alpha=view.alpha, blocks=blocks) if blocks else Markup()


def _block(design: str, rows: Sequence[Finding], view: ReportView, locale: str) -> dict[str, Any]:
    """Title, explanation, sentences, figures and table of one design."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    drawn = figures(design, rows, locale)
    return {
        "title": words(f"designs.title.{design}"),
        "explain": words(f"designs.explain.{design}"),
        "legend": words(key) if drawn and words.has(key := f"designs.{design}_legend") else "",
        "lines": [*lines(design, rows, words, numbers), *uncalibrated(rows, words)],
        "figures": drawn,
        "rows": [line for row in rows for line in (_row(row, view, words, numbers), *_drawn(row, words, numbers))],
    }


def _row(row: Finding, view: ReportView, words: Words, numbers: Numbers) -> TableRow:
    """One line of the table."""
    interval = row.interval
    limits = MISSING
    if interval is not None:
        limits = words("number.range", low=shown(row, interval.low, numbers), high=shown(row, interval.high, numbers))
    estimate = shown(row, row.estimate, numbers)
    if row.name == "bounds":
        low, high = (shown(row, row.details[end], numbers) for end in ("low", "high"))
        estimate = words("number.range", low=low, high=high)
    told = "; ".join(part for part in (row.measure, arms(row, words), *_choice(row, view, words, numbers)) if part)
    cells = [estimate, limits, numbers.p(row.p), numbers.p(row.p_adjusted)]
    return _name(row, words), told, cells, _counted(row, words, numbers)


def _drawn(row: Finding, words: Words, numbers: Numbers) -> list[TableRow]:
    """What a figure of this finding shows, line by line."""
    if row.design == "words":
        return [_word(word, row, words, numbers) for word in row.details["words"]]
    if row.design == "robust" and row.details.get("ridges"):
        levels = words("designs.quantiles", levels="; ".join(f"{100 * q:g}%" for q in QUANTILES))
        rows = zip((row.tuned, row.reference), row.details["ridges"]["quantiles"], strict=True)
        own = replace(row, unit=row.details["unit"], name="quantiles")
        return [
            (levels, f"{row.measure}; {arm}: {'; '.join(level(own, v, numbers) for v in values)}",
             [MISSING] * 4, "")
            for arm, values in rows
        ]  # fmt: skip
    return _models(row, words, numbers)


def _word(word: Mapping[str, Any], row: Finding, words: Words, numbers: Numbers) -> TableRow:
    """One word: in how many texts of each arm it stands, its z, and p adjusted for all words."""
    first, second = (numbers.integer(word[f"documents_{arm}"]) for arm in ("first", "second"))
    told = words("designs.word_in", tuned=row.tuned, first=first, reference=row.reference, second=second)
    cells = [numbers.decimal(word["z"], 2, signed=True), MISSING, MISSING, numbers.p(word["p"])]
    return str(word["word"]), told, cells, ""


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


def _choice(row: Finding, view: ReportView, words: Words, numbers: Numbers) -> list[str]:
    """What tells one row of a design from the next."""
    if row.design == "curve":
        kind, _, name = str(row.details["templates"]).partition(" ")
        templates = words(f"designs.templates.{kind}", name=name)
        denominator = words.fixed("designs.choice", str(row.details["denominator"]))
        return [templates, denominator, decoding_words(view, row.decoding_id, words, numbers)]
    if row.design == "text" and "null" in row.details:
        return [words.fixed("designs.choice", str(row.details["null"]))]
    if row.design != "slots":
        return []
    label = [] if row.outcome == "value" else [f"“{words.fixed('label', row.outcome)}”"]
    return [str(row.details["slot"]), *label]


def _counted(row: Finding, words: Words, numbers: Numbers) -> str:
    """How many at every level, in words."""
    return ", ".join(f"{words.fixed('level', level)}: {numbers.integer(n)}" for level, n in row.n.items())


def _name(row: Finding, words: Words) -> str:
    """What a finding is called; an unknown name as it stands."""
    key = f"designs.name.{row.name}"
    return words(key, outcome=words.fixed("label", row.outcome)) if words.has(key) else row.name
