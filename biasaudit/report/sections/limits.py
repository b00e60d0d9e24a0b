"""The standing limits: what no run of this kind can show."""

from __future__ import annotations

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "Limites", "en": "Limits"}
ORDER = 100
_PARAGRAPHS = ("standing", "model", "training", "scorer", "battery", "privacy")


def render(view: ReportView, locale: str) -> Markup:
    """The standing paragraphs, and the caveats of this run beyond the first three."""
    words = Words(locale, view.alpha)
    verdict = view.analysis.verdict
    return html.render(
        "limits.html",
        locale,
        alpha=view.alpha,
        paragraphs=[words(f"limits.{name}") for name in _PARAGRAPHS],
        caveats=[words.fixed("caveat", c) for c in (verdict.caveats if verdict else ())],
    )
