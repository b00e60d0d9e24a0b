"""The page: every section in order, in one offline HTML file that loads nothing and runs one script of ours."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from biasaudit import __version__
from biasaudit.report import html, sections
from biasaudit.report.verdict import verdict_sentence
from biasaudit.report.view import LOCALES, ReportView
from biasaudit.report.words import Words

COMPLETE = "biasaudit-report-complete"
"""Id of the last element: a page without it was cut or swallowed."""

_SCRIPT_WORDS = ("reader.shown", "reader.one_shown", "reader.more", "reader.none_found")


def render_page(view: ReportView, locale: str) -> str:
    """The whole report as one HTML document.

    Args:
        view: what to show; its texts are masked already.
        locale: `pt` or `en`.

    Returns:
        UTF-8 encodable HTML; the same view gives the same bytes.

    Raises:
        UnknownNameError: there is no such locale.
    """
    words = Words(locale, view.alpha)
    script, style = html.asset("report.js"), html.asset("report.css")
    shown: list[dict[str, Any]] = []
    for name, section in sections.everything():
        body = section.render(view, locale)
        if body:
            shown.append({"name": name, "title": section.TITLE[locale], "body": body})
    return str(
        html.render(
            "page.html",
            locale,
            alpha=view.alpha,
            policy=html.policy(script, style),
            script=Markup(script),  # noqa: S704  (our own file)
            style=Markup(style),  # noqa: S704  (our own file)
            script_words=html.json_block({k.split(".")[1]: words(k, **_holes(k)) for k in _SCRIPT_WORDS}),
            title=view.title(locale),
            language=words(f"language.{view.language}") if words.has(f"language.{view.language}") else view.language,
            view=view,
            verdict=verdict_sentence(view.analysis, view.arms, view.battery, locale),
            html_language={"pt": "pt-BR", "en": "en"}[locale],
            sections=shown,
            version=__version__,
            complete=COMPLETE,
        )
    )


def _holes(key: str) -> dict[str, str]:
    """The script fills `{n}` and `{shown}` itself."""
    return {hole: f"{{{hole}}}" for hole in ("n", "shown") if "shown" in key or "more" in key}


__all__ = ["COMPLETE", "LOCALES", "render_page"]
