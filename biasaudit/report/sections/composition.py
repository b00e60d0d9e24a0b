"""Composition by label: stacked bars of every arm, and the shares among on-topic answers alone."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.composed import Group, colours, conditional_sentence, groups, labels
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import decoding_words
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Composição por rótulo", "en": "Composition by label"}
ORDER = 30


def render(view: ReportView, locale: str) -> Markup:
    """One figure and one table a measure and decoding; empty without labels."""
    found = groups(view)
    if not found:
        return Markup()
    return html.render(
        "composition.html", locale, alpha=view.alpha, figures=[_figure(view, group, locale) for group in found]
    )


def _figure(view: ReportView, group: Group, locale: str) -> dict[str, Any]:
    measure, decoding_id, compositions = group
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    names = labels(compositions)
    bars = [charts.Bar(c.arm, tuple(c.shares.get(name, 0.0) for name in names)) for c in compositions]
    summary = "; ".join(
        f"{c.arm}: "
        + ", ".join(f"{words.fixed('label', name)} {numbers.percent(c.shares.get(name, 0.0))}" for name in names)
        for c in compositions
    )
    return {
        "figure": charts.stacked(bars, colours(names), words("composition.axis"), locale),
        "alt": words("composition.alt", measure=measure, summary=summary),
        "caption": words(
            "composition.caption", measure=measure, decoding=decoding_words(view, decoding_id, words, numbers)
        ),
        "labels": [words.fixed("label", name) for name in names],
        "swatches": [colour + 1 for colour in colours(names)],
        "rows": [
            (
                c.arm,
                [
                    words(
                        "composition.count",
                        share=numbers.percent(c.shares.get(name, 0.0)),
                        n=numbers.integer(c.counts.get(name, 0)),
                    )
                    for name in names
                ],
            )
            for c in compositions
        ],
        "conditional": conditional_sentence(compositions, locale),
    }
