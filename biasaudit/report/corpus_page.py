"""The data card of a corpus as one offline HTML page: the report's look, no script at all.

Its bars are drawn by the template: a chart library would cost every ingest a second and a hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit import __version__
from biasaudit.report import corpus_sections, html
from biasaudit.report.corpus_view import CardView
from biasaudit.report.numbers import Numbers
from biasaudit.report.words import Words

COMPLETE = "biasaudit-corpus-complete"
"""Id of the last element: a page without it was cut or swallowed."""


def render_corpus_page(card: Mapping[str, Any], locale: str, *, arm: str = "", match: str = "") -> str:
    """The card as one HTML document.

    Args:
        card: a corpus's `card.json`, of any version; nothing in it is trusted.
        locale: `pt` or `en`.
        arm: the model that the page speaks to, when it stands beside a report.
        match: `same`, `differs` or `unknown`: whether the card is of the corpus that the model's own card names.

    Returns:
        UTF-8 encodable HTML; the same card gives the same bytes.

    Raises:
        UnknownNameError: there is no such locale.
    """
    words, view = Words(locale), CardView(card)
    style = html.asset("report.css") + html.asset("corpus.css")
    sections = corpus_sections.everything(view, words, Numbers(locale))
    return str(
        html.render(
            "corpus.html",
            locale,
            policy=html.policy("", style),
            style=Markup(style),  # noqa: S704  (our own files)
            html_language={"pt": "pt-BR", "en": "en"}[locale],
            title=corpus_sections.title(view, words, Numbers(locale)),
            note=words(f"corpus.match_{match}", arm=arm) if match in ("same", "differs", "unknown") else "",
            alarming=match == "differs",
            sections=sections,
            version=__version__,
            complete=COMPLETE,
        )
    )
