"""Every prompt of the leading contrast: difference, interval, p, and BH over the table."""

from __future__ import annotations

from markupsafe import Markup

from biasaudit.report import html
from biasaudit.report.numbers import Numbers
from biasaudit.report.scale import Scale
from biasaudit.report.view import ReportView
from biasaudit.report.words import Words
from biasaudit.results import Contrast

TITLE = {"pt": "Efeito por prompt", "en": "Effect by prompt"}
ORDER = 50


def render(view: ReportView, locale: str) -> Markup:
    """The table; empty without prompts."""
    contrast = view.leading()
    if contrast is None or not contrast.prompts:
        return Markup()
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    scale = Scale.of(contrast, words, numbers)
    texts = {p.prompt_id: p.text for p in view.prompts}
    rows = [
        {
            "text": texts.get(p.prompt_id, p.template),
            "topic": view.topic_title(p.topic, locale),
            "framing": words.fixed("framing", p.framing),
            "n": f"{numbers.integer(p.n_tuned)} / {numbers.integer(p.n_reference)}",
            "tuned": scale.level(p.mean_tuned),
            "reference": scale.level(p.mean_reference),
            "difference": scale.bare(p.difference, signed=True),
            "interval": scale.range(p.interval),
            "p": numbers.p(p.p),
            "bh": numbers.p(p.p_adjusted),
        }
        for p in contrast.prompts
    ]
    return html.render(
        "prompts.html",
        locale,
        alpha=view.alpha,
        rows=rows,
        unit=scale.unit_words(),
        tuned=contrast.tuned,
        reference=contrast.reference,
        tested=any(p.p is not None for p in contrast.prompts),
        by=_by(view, contrast, words),
    )


def _by(view: ReportView, contrast: Contrast, words: Words) -> str:
    """The test of single prompts, where the battery asks for another than the exact one and it could be used."""
    asked = "exact" if view.battery.primary is None else view.battery.primary.prompt_test
    used = any(p.interval is not None and p.interval.method == "newcombe" for p in contrast.prompts)
    return words(f"prompts.test_{asked}") if asked != "exact" and used and contrast.role == "primary" else ""
