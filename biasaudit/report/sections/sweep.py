"""The leading contrast under every decoding of the sweep."""

from __future__ import annotations

from markupsafe import Markup

from biasaudit.report import charts, html
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import decoding_words, interval_row, sweep_contrasts
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Efeito por decodificação", "en": "Effect by decoding"}
ORDER = 40


def render(view: ReportView, locale: str) -> Markup:
    """The figure and its table; empty with one decoding."""
    found = sweep_contrasts(view)
    if not found:
        return Markup()
    words, numbers = Words(locale), Numbers(locale)
    scale = Scale.of(found[0], words, numbers)
    rows, table = [], []
    for contrast in found:
        label = decoding_words(view, contrast.decoding_id, words, numbers)
        rows.append(interval_row("population", label, contrast.difference, contrast.population.interval, scale))
        cells = [
            scale.bare(contrast.difference, signed=True),
            scale.range(contrast.population.interval),
            scale.range(contrast.fixed.interval),
        ]
        table.append((label, cells))
    return html.render(
        "sweep.html",
        locale,
        figure=charts.intervals(rows, words("sweep.axis", unit=scale.unit_words()), locale),
        alt=words("sweep.alt", tuned=found[0].tuned, reference=found[0].reference, n=len(found)),
        rows=table,
        unit=scale.unit_words(),
    )
