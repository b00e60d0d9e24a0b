"""The reader: what the arms wrote after the same prompt, side by side; a list that works without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from biasaudit.report import html, text
from biasaudit.report.numbers import Numbers
from biasaudit.report.rows import decoding_words
from biasaudit.report.view import ReaderRow, ReportView
from biasaudit.report.words import Words

TITLE = {"pt": "O que os braços escreveram", "en": "What the arms wrote"}
ORDER = 70
FIRST = 12
"""Comparisons that stand open before any click."""


def render(view: ReportView, locale: str) -> Markup:
    """Comparisons in the order of the view, filters, and what share of the completions is embedded."""
    words, numbers = Words(locale, view.alpha), Numbers(locale)
    if not view.reader:
        return html.render("reader_empty.html", locale, alpha=view.alpha)
    slots: dict[tuple[str, str, int], dict[str, ReaderRow]] = {}
    for row in view.reader:
        slots.setdefault(row.slot, {})[row.arm] = row
    order = [a.name for a in view.arms if any(a.name in arms for arms in slots.values())]
    codes = _Codes(view, locale, words, numbers)
    items = [_item(slot, rows, order, codes) for slot, rows in slots.items()]
    shown, total = numbers.integer(len(view.reader)), numbers.integer(view.reader_total or len(view.reader))
    sampled = view.reader_total > len(view.reader)
    return html.render(
        "reader.html",
        locale,
        alpha=view.alpha,
        items=items,
        first=FIRST,
        rest=numbers.integer(max(0, len(items) - FIRST)),
        arms=order,
        roles={a.name: a.role for a in view.arms},
        embedded=words("reader.sampled", shown=shown, total=total) if sampled else words("reader.all", total=total),
        coupled=any(c.coupled for c in view.analysis.contrasts if c.decoding_id),
        prompts=codes.options("prompt"),
        topics=codes.options("topic"),
        decodings=codes.options("decoding"),
        labels=codes.options("label"),
    )


class _Codes:
    """Short numbers for prompts, topics, decodings and labels: what filters compare, kept small in the page."""

    def __init__(self, view: ReportView, locale: str, words: Words, numbers: Numbers) -> None:
        self._view, self._locale, self._words, self._numbers = view, locale, words, numbers
        self._found: dict[str, dict[str, int]] = {"prompt": {}, "topic": {}, "decoding": {}, "label": {}}
        self._prompts = {p.prompt_id: p for p in view.prompts}
        self._names: dict[str, str] = {}

    def code(self, kind: str, value: str) -> int:
        """The number of `value`, new on first sight."""
        table = self._found[kind]
        return table.setdefault(value, len(table))

    def options(self, kind: str) -> list[tuple[int, str]]:
        """(number, words) of every value met."""
        return [(code, self.name(kind, value)) for value, code in self._found[kind].items()]

    def name(self, kind: str, value: str) -> str:
        """A value in words."""
        if kind == "prompt":
            prompt = self._prompts.get(value)
            return text.plain(prompt.text if prompt else value)
        if kind == "topic":
            return text.plain(self._view.topic_title(value, self._locale))
        if kind == "decoding":
            if value not in self._names:
                self._names[value] = decoding_words(self._view, value, self._words, self._numbers)
            return self._names[value]
        return text.plain(self._words.fixed("label", value))

    def topic(self, prompt_id: str) -> str:
        """The topic of a prompt; the empty string when unknown."""
        prompt = self._prompts.get(prompt_id)
        return prompt.topic if prompt else ""

    def finish(self, reason: str) -> str:
        """A finish reason in words."""
        return self._words.fixed("reader", f"finish_{reason}") if reason else ""


def _item(slot: tuple[str, str, int], rows: Mapping[str, ReaderRow], order: list[str], codes: _Codes) -> dict[str, Any]:
    prompt_id, decoding_id, index = slot
    labels = [frozenset(row.labels.items()) for row in rows.values()]
    met = sorted({codes.code("label", label) for row in rows.values() for label in row.labels.values()})
    judged = len(rows) > 1 and all(row.labels for row in rows.values())
    return {
        "prompt": codes.code("prompt", prompt_id),
        "prompt_text": codes.name("prompt", prompt_id),
        "topic": codes.code("topic", codes.topic(prompt_id)),
        "decoding": codes.code("decoding", decoding_id),
        "decoding_words": codes.name("decoding", decoding_id),
        "labels": " ".join(str(c) for c in met),
        "agree": ("1" if len(set(labels)) == 1 else "0") if judged else "",
        "index": index,
        "cells": [_cell(name, rows.get(name), codes) for name in order],
    }


def _cell(arm: str, row: ReaderRow | None, codes: _Codes) -> dict[str, Any]:
    if row is None:
        return {"arm": arm, "absent": True, "text": Markup(), "labels": [], "finish": ""}
    return {
        "arm": arm,
        "absent": False,
        "text": text.show(row.text, row.spans),
        "labels": sorted({codes.name("label", label) for label in row.labels.values()}),
        "finish": codes.finish(row.finish_reason),
    }
