"""Designs beside the plain contrast: one block each, with its numbers, a sentence where one helps, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.numbers import MISSING, Numbers
from biasaudit.report.scale import SHARE_UNITS
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Finding

TITLE = {"pt": "Outros delineamentos e sensibilidade", "en": "Further designs and sensitivity"}
ORDER = 48
SHOWN = (
    "composition", "runs", "dose", "temperature", "slots", "robust", "text", "words", "families", "curve",
)  # fmt: skip
DRAWN = frozenset({"runs", "dose", "curve"})
MOST_DRAWN = 60
MOST_WORDS = 15


def render(view: ReportView, locale: str) -> Markup:
    """One block a design; empty without findings of these designs."""
    blocks = [
        _block(design, rows, locale)
        for design in SHOWN
        if (rows := [row for row in view.analysis.findings if row.design == design])
    ]
    return html.render("designs.html", locale, blocks=blocks) if blocks else Markup()


def _block(design: str, rows: Sequence[Finding], locale: str) -> dict[str, Any]:
    """Title, explanation, sentences, figure and table of one design."""
    words, numbers = Words(locale), Numbers(locale)
    return {
        "title": words(f"designs.title.{design}"),
        "explain": words(f"designs.explain.{design}"),
        "lines": _lines(design, rows, words, numbers),
        "figure": _figure(rows, locale) if design in DRAWN else None,
        "rows": [_row(row, words, numbers) for row in rows],
    }


def _row(row: Finding, words: Words, numbers: Numbers) -> tuple[str, str, list[str], str]:
    """One line of the table."""
    interval = row.interval
    limits = MISSING
    if interval is not None:
        limits = words("number.range", low=_shown(row, interval.low, numbers), high=_shown(row, interval.high, numbers))
    arms = words("designs.arms", tuned=row.tuned, reference=row.reference) if row.reference else row.tuned
    choice = [
        str(row.details[key]) for key in ("templates", "denominator") if key in row.details and row.name[0] == "s"
    ]
    about = "; ".join(part for part in (row.measure, arms, *choice) if part)
    cells = [_shown(row, row.estimate, numbers), limits, numbers.p(row.p), numbers.p(row.p_adjusted)]
    return _name(row, words), about, cells, ", ".join(f"{key} {numbers.integer(n)}" for key, n in row.n.items())


def _name(row: Finding, words: Words) -> str:
    """What a finding is called; an unknown name as it stands."""
    key = f"designs.name.{row.name}"
    return words(key, outcome=words.fixed("label", row.outcome)) if words.has(key) else row.name


def _shown(row: Finding, value: float | None, numbers: Numbers) -> str:
    """Differences of shares in points, everything else with four significant digits."""
    if value is None:
        return MISSING
    if row.unit in SHARE_UNITS and row.name not in ("ratio", "joint"):
        return numbers.decimal(100 * value, 1, signed=True)
    whole = len(f"{abs(value):.0f}") if abs(value) >= 1 else 0
    small = 0 < abs(value) < 0.001
    return numbers.decimal(value, 6 if small else max(0, 4 - whole))


def _figure(rows: Sequence[Finding], locale: str) -> Markup | None:
    """Intervals around zero, of one unit: the first row's."""
    same = [row for row in rows if row.unit == rows[0].unit and row.estimate is not None]
    factor = 100.0 if rows[0].unit in SHARE_UNITS else 1.0
    drawn = [
        charts.Row(
            "prompt" if row.design == "curve" else "topic",
            "" if row.design == "curve" else f"{row.measure}: {row.outcome}",
            factor * (row.estimate or 0.0),
            *((factor * row.interval.low, factor * row.interval.high) if row.interval else (None, None)),
        )
        for row in sorted(same, key=lambda row: row.estimate or 0.0)[:MOST_DRAWN]
    ]
    axis = Words(locale)("designs.dose_axis" if rows[0].design == "dose" else "designs.axis")
    return charts.intervals(drawn, axis, locale) if len(drawn) > 1 else None


def _lines(design: str, rows: Sequence[Finding], words: Words, numbers: Numbers) -> list[str]:
    """Sentences that the table has no room for."""
    if design == "curve":
        out = sum(row.interval is not None and row.interval.low * row.interval.high > 0 for row in rows)
        up = sum((row.estimate or 0.0) > 0 for row in rows)
        return [words("designs.curve_detail", n=len(rows), up=up, out=out)]
    said = {"dose": _dose, "runs": _runs, "words": _words, "composition": _bounds}.get(design)
    return [line for row in rows for line in said(row, words, numbers)] if said else []


def _listed(values: Sequence[float], numbers: Numbers) -> str:
    return "; ".join(numbers.decimal(value, 3) for value in values)


def _dose(row: Finding, words: Words, numbers: Numbers) -> list[str]:
    """Both p-values, the fit and the curve of one trend."""
    found = row.details
    line = words(
        "designs.both",
        prompts=numbers.p(found["p_prompts"]),
        runs=numbers.p(found["p_runs"]),
        least=numbers.p(found["least_p"]),
        p=numbers.p(row.p),
        fit=numbers.p(found["lack_of_fit"]),
        doses=_listed(found["doses"], numbers),
        means=_listed(found["means"], numbers),
        isotonic=_listed(found["isotonic"], numbers),
    )
    return [f"{row.measure}, {words.fixed('label', row.outcome)}: {line}"]


def _runs(row: Finding, words: Words, numbers: Numbers) -> list[str]:
    """Each run of one condition."""
    found = row.details
    each = "; ".join(f"{a} {_shown(row, d, numbers)}" for a, d in zip(found["arms"], found["differences"], strict=True))
    p = {"runs": numbers.p(row.p), "topics": numbers.p(found["p_topics"]), "both": numbers.p(found["p_both"])}
    return [f"{row.measure}, {words.fixed('label', row.outcome)}: " + words("designs.runs_detail", each=each, **p)]


def _words(row: Finding, words: Words, numbers: Numbers) -> list[str]:
    """Words beyond the threshold, arm by arm."""
    threshold = numbers.decimal(row.details["threshold"], 2)
    beyond = [word for word in row.details["words"] if abs(word["z"]) > row.details["threshold"]]
    lines = []
    for arm, sign in ((row.tuned, 1), (row.reference, -1)):
        own = [f"{w['word']} ({numbers.decimal(abs(w['z']), 1)})" for w in beyond if w["z"] * sign > 0][:MOST_WORDS]
        if own:
            lines.append(words("designs.words_more", arm=arm, threshold=threshold, words=", ".join(own)))
    return lines or [words("designs.words_none", threshold=threshold)]


def _bounds(row: Finding, words: Words, numbers: Numbers) -> list[str]:
    """Worst cases of unscored completions."""
    if row.name != "bounds":
        return []
    low, high = (_shown(row, row.details[end], numbers) for end in ("low", "high"))
    return [words("designs.bounds", label=words.fixed("label", row.outcome), low=low, high=high)]
