"""The labelling page: one offline HTML file that shows texts without their arms and keeps what a reader says.

Nothing in it follows from an arm: items are ordered by keyed hashes, and every item has the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from biasaudit.errors import UnknownNameError
from biasaudit.labels import LabelSet
from biasaudit.report import html, text
from biasaudit.report.view import LOCALES
from biasaudit.report.words import table

COMPLETE = "biasaudit-label-complete"
"""Id of the last element: a page without it was cut or swallowed."""
MARKER = 'name="generator" content="biasaudit label"'
"""What tells a labelling page from any other file."""
_GROUP = "label_page."


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One text to be labelled, masked already."""

    item: str
    """Its keyed id."""
    prompt: str
    claim: str
    """What the topic claims, in the language of the prompts; empty without one."""
    text: str


def render_label_page(
    batch: str,
    title: str,
    language: str,
    items: Sequence[Item],
    lists: Sequence[Sequence[tuple[str, int]]],
    labels: LabelSet,
    locale: str,
) -> str:
    """The page as one HTML document, the same bytes for the same input in any order.

    Args:
        batch: id of the page.
        title: of the battery.
        language: of prompts and texts.
        items: in any order; the file has them by id.
        lists: for every reader, (item id, pass) in the order of reading.
        labels: that may be given.
        locale: `pt` or `en`, the language that it opens in; it holds both.

    Raises:
        UnknownNameError: there is no such locale.
    """
    if locale not in LOCALES:
        raise UnknownNameError("locale", locale, LOCALES)
    script, style = html.asset("label.js"), html.asset("label.css")
    data = {
        "batch": batch,
        "title": text.plain(title),
        "language": language,
        "labels": [_shown(label.key, label.title, label.hint, label.side) for label in labels.labels],
        "lists": lists,
        "items": [
            {
                "id": item.item,
                "prompt": text.plain(item.prompt),
                "claim": text.plain(item.claim),
                "text": text.plain(item.text),
            }
            for item in sorted(items, key=lambda item: item.item)
        ],
        "words": {name: _words(name) for name in LOCALES},
    }
    return str(
        html.render(
            "label.html",
            locale,
            policy=html.policy(script, style),
            script=Markup(script),  # noqa: S704  (our own file)
            style=Markup(style),  # noqa: S704  (our own file)
            data=html.json_block(data),
            title=title,
            html_language={"pt": "pt-BR", "en": "en"}[locale],
            complete=COMPLETE,
        )
    )


def _shown(key: str, title: Mapping[str, str], hint: Mapping[str, str], side: str) -> dict[str, Any]:
    plain = {language: text.plain(words) for language, words in title.items()}
    return {"key": key, "title": plain, "hint": {k: text.plain(v) for k, v in hint.items()}, "side": side}


def _words(locale: str) -> dict[str, str]:
    return {key.removeprefix(_GROUP): words for key, words in table(locale).items() if key.startswith(_GROUP)}
