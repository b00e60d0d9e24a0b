"""The blocks that sections of a data card's page are made of: sentences, tables, bars, labelled values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from biasaudit.identity import plain as plain_json
from biasaudit.report.corpus_view import CardView, cut
from biasaudit.report.numbers import Numbers
from biasaudit.report.words import Words

Block = dict[str, Any]
MAX_ENTRIES = 40


class Page:
    """Makes blocks of one card in one locale."""

    def __init__(self, view: CardView, words: Words, numbers: Numbers) -> None:
        self.view, self.words, self.numbers = view, words, numbers

    def say(self, key: str, tone: str = "", **values: object) -> Block:
        """A paragraph; whole numbers are written as the locale writes them."""
        return {"kind": "text", "tone": tone, "text": self.fill(key, **values)}

    def fill(self, key: str, **values: object) -> str:
        """The sentence `corpus.<key>`, singular where `n` is 1 and the locale has one."""
        shown = {k: self.numbers.integer(v) if isinstance(v, int) else v for k, v in values.items()}
        one = f"corpus.{key}_one"
        return self.words(one if values.get("n") == 1 and self.words.has(one) else f"corpus.{key}", **shown)

    def word(self, group: str, name: str) -> str:
        """A fixed word, or the name as it stands."""
        return self.words.fixed(f"corpus.{group}", name)

    def bars(self, caption: str, head: tuple[str, str], rows: Sequence[tuple[str, int]], total: str = "") -> Block:
        """A table whose rows carry a bar; `total` names the row that the others are held against."""
        most = max([n for _, n in rows] or [0]) or 1
        return {
            "kind": "bars",
            "caption": self.words(f"corpus.{caption}"),
            "head": [self.words(f"corpus.{name}") for name in head],
            "rows": [
                {"label": label, "value": self.numbers.integer(n), "width": _percent(n, most),
                 "total": label == total}
                for label, n in rows
            ],
        }  # fmt: skip

    def table(self, caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Block:
        """A plain table; its first column names the row."""
        return {
            "kind": "table",
            "caption": self.words(f"corpus.{caption}"),
            "head": [self.words(f"corpus.{name}") for name in head],
            "rows": rows,
        }

    def amount(self, what: str, n: int) -> str:
        """A number with its noun, singular or plural."""
        return self.fill(f"amount.{what}", n=n)

    def labelled(self, group: str, value: Any) -> list[tuple[str, str]]:
        """(label, value as text) of what a mapping holds under keys that have a label; the rest is for `card.json`."""
        if not isinstance(value, Mapping):
            return []
        rows: list[tuple[str, str]] = []
        for key, inner in list(value.items())[:MAX_ENTRIES]:
            label = f"corpus.{group}.{key}"
            if not self.words.has(label) or inner is None or inner in ("", [], {}):
                continue
            rows.append((self.words(label), self._shown(inner)))
        return rows

    def _shown(self, value: Any) -> str:
        if isinstance(value, bool):
            return self.words("corpus.yes" if value else "corpus.no")
        number = CardView(value).number()
        if number is not None:
            return self.numbers.decimal(number, 0 if number == int(number) else 4)
        if isinstance(value, str):
            return cut(self.words.phrase("corpus.said", cut(value)))
        if isinstance(value, Mapping):
            return cut(", ".join(f"{cut(str(k), 80)} = {self._shown(v)}" for k, v in list(value.items())[:MAX_ENTRIES]))
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return cut(", ".join(cut(one, 80) for one in value[:MAX_ENTRIES]))
        return cut(json.dumps(plain_json(value), ensure_ascii=False))


def _percent(n: int, most: int) -> float:
    """Width of a bar; what exists is never drawn as nothing."""
    return max(0.4, round(100 * n / most, 1)) if n else 0
