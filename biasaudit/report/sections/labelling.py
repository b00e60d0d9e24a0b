"""Human labels: who read what, how far people agree, coverage of every arm, and what labels must not depend on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.composed import colours
from biasaudit.report.numbers import Numbers
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Finding, Labelling

TITLE = {"pt": "Rótulos humanos", "en": "Human labels"}
ORDER = 35


def render(view: ReportView, locale: str) -> Markup:
    """One part a set of labels; empty where nobody labelled."""
    if not view.analysis.labelling:
        return Markup()
    return html.render(
        "labelling.html",
        locale,
        alpha=view.alpha,
        sets=[_set(own, locale, view.alpha) for own in view.analysis.labelling],
    )


def _set(own: Labelling, locale: str, level: float) -> dict[str, Any]:
    words, numbers = Words(locale, level), Numbers(locale)
    names = [words.fixed("label", key) for key in own.labels]
    known = [row for row in own.coverage if row["labelled"]]
    bars = [
        charts.Bar(
            str(row["arm"]), tuple(row["counts"][key] / max(1, sum(row["counts"].values())) for key in own.labels)
        )
        for row in known
    ]
    return {
        "lead": _lead(own, words, numbers, level),
        "figure": charts.stacked(bars, colours(own.labels), words("labelling.axis"), locale),
        "alt": words("labelling.alt"),
        "legend": [(colour + 1, name) for colour, name in zip(colours(own.labels), names, strict=True)],
        "labels": names,
        "coverage": [_covered(row, own, words, numbers) for row in own.coverage],
        "raters": [_rater(row, own, numbers) for row in own.raters],
        "agreement": [_agreed(row, words, numbers) for row in own.agreement],
        "checks": [_check(row, own, words, numbers) for row in own.checks],
    }


def _lead(own: Labelling, words: Words, numbers: Numbers, level: float) -> list[str]:
    """How many were labelled by how many people, and how far these agree, in sentences."""
    labelled = sum(row["labelled"] for row in own.coverage)
    divided = sum(row["divided"] for row in own.coverage)
    said = [words("labelling.lead", n=numbers.integer(labelled), raters=numbers.integer(len(own.raters)))]
    blind = sum(row["blind"] for row in own.raters) == sum(row["labelled"] for row in own.raters)
    said.append(words("labelling.blind" if blind else "labelling.not_blind"))
    alpha = next((row for row in own.agreement if row.name == "krippendorff" and row.estimate is not None), None)
    if alpha is None:
        said.append(words("labelling.no_agreement"))
    else:
        said.append(words("labelling.alpha", value=_estimate(alpha, numbers), items=numbers.integer(alpha.n["items"])))
    if any(row.note == "extreme-prevalence" for row in own.agreement):
        said.append(words("labelling.extreme"))
    if divided:
        said.append(words("labelling.divided", n=numbers.integer(divided)))
    said += [
        words(f"labelling.depends_{row.name}", p=numbers.p_phrase(row.p)) for row in own.checks if _depends(row, level)
    ]
    return said


_PAGE = re.compile(r"[0-9a-f]{32}")
"""The id of a labelling page, shown by its beginning."""


def _depends(row: Finding, level: float) -> bool:
    return row.p is not None and row.p < level


def _covered(row: Mapping[str, Any], own: Labelling, words: Words, numbers: Numbers) -> tuple[str, list[str]]:
    stored = row["completions"]
    of = words("labelling.of", n=numbers.integer(row["labelled"]), total=numbers.integer(stored)) if stored else ""
    counts = [numbers.integer(row["counts"][key]) for key in own.labels]
    cells = [
        of or numbers.integer(row["labelled"]),
        numbers.integer(row["by_several"]),
        numbers.integer(row["divided"]),
    ]
    return str(row["arm"]), [*cells, *counts]


def _rater(row: Mapping[str, Any], own: Labelling, numbers: Numbers) -> tuple[str, list[str]]:
    counts = [numbers.integer(row["counts"][key]) for key in own.labels]
    return str(row["rater"]), [numbers.integer(row["labelled"]), numbers.integer(row["repeats"]), *counts]


def _agreed(row: Finding, words: Words, numbers: Numbers) -> tuple[str, list[str]]:
    raters = ", ".join(row.details["raters"])
    who = words(f"labelling.{row.details['kind']}", raters=raters)
    value = numbers.decimal(row.estimate, 2) if row.estimate is not None else words("labelling.undefined")
    low_high = "–"
    if row.interval is not None:
        low, high = numbers.decimal(row.interval.low, 2), numbers.decimal(row.interval.high, 2)
        low_high = words("number.range", low=low, high=high)
    return words(f"labelling.name_{row.name.replace('-', '_')}"), [
        who,
        value,
        low_high,
        numbers.integer(row.n["items"]),
    ]


def _estimate(row: Finding, numbers: Numbers) -> str:
    value = numbers.decimal(row.estimate, 2)
    if row.interval is None:
        return value
    return f"{value} ({numbers.decimal(row.interval.low, 2)}; {numbers.decimal(row.interval.high, 2)})"


def _check(row: Finding, own: Labelling, words: Words, numbers: Numbers) -> dict[str, Any]:
    table = row.details["table"]
    return {
        "title": words(f"labelling.check_{row.name}"),
        "p": numbers.p_phrase(row.p) if row.p is not None else words("labelling.undefined"),
        "rows": [
            (
                _PAGE.sub(lambda found: found[0][:8], str(level))[:40],
                [numbers.integer(counts[key]) for key in own.labels],
            )
            for level, counts in table.items()
        ],
    }
