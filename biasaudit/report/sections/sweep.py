"""The leading contrast, or those that read completions, under every decoding of the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import decoding_words, interval_row, outcome_words, sweep_contrasts
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast

TITLE = {"pt": "Efeito por decodificação", "en": "Effect by decoding"}
ORDER = 40


def render(view: ReportView, locale: str) -> Markup:
    """A figure and its table for every question; empty with one decoding."""
    found, lead = sweep_contrasts(view), view.leading()
    if not found or lead is None:
        return Markup()
    return html.render(
        "sweep.html",
        locale,
        alpha=view.alpha,
        beside=not lead.decoding_id,
        questions=[_question(view, rows, locale) for rows in found],
    )


def _question(view: ReportView, found: Sequence[Contrast], locale: str) -> dict[str, Any]:
    """One question's figure and table; where prompts like these have no interval, the figure shows the other one."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    scale = Scale.of(max(found, key=lambda c: abs(c.difference)), words, numbers)
    kind: charts.RowKind = "population" if any(c.population.interval for c in found) else "fixed"
    rows, table = [], []
    for contrast in found:
        label = decoding_words(view, contrast.decoding_id, words, numbers)
        interval = (contrast.population if kind == "population" else contrast.fixed).interval
        rows.append(interval_row(kind, label, contrast.difference, interval, scale))
        cells = [
            scale.bare(contrast.difference, signed=True),
            scale.range(contrast.population.interval),
            scale.range(contrast.fixed.interval),
        ]
        table.append((label, cells))
    arms = {"tuned": found[0].tuned, "reference": found[0].reference}
    return {
        "title": words("sweep.title", measure=outcome_words(found[0], words), **arms),
        "figure": charts.intervals(rows, words("sweep.axis", unit=scale.unit_words()), locale),
        "alt": words("sweep.alt", n=len(found), **arms),
        "rows": table,
        "unit": scale.unit_words(),
    }
