"""A data card's warnings in words, for its page and for whoever just made the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biasaudit.report.corpus_blocks import Page
from biasaudit.report.corpus_view import CardView, cut
from biasaudit.report.numbers import Numbers
from biasaudit.report.text import plain
from biasaudit.report.words import Words

CALM = frozenset({"misread_by_a_csv_parser"})
"""Warnings about what was got right all the same."""
LOUD = frozenset(
    {
        "source_cut_off", "rejects", "members_left_out", "nothing_kept", "no_validation", "privacy_off",
        "held_out_share", "one_sided_sources", "one_sided_channels", "forged_record_starts", "language_mix",
        "language_other",
    }
)  # fmt: skip
"""Warnings that are told when the corpus is made, before anybody opens its page."""
MAX_NAMES = 5


def warning_lines(card: Mapping[str, Any], locale: str) -> list[str]:
    """What whoever just made a corpus must know of it, one line each, safe to print.

    Args:
        card: a corpus's `card.json`.
        locale: `pt` or `en`.

    Raises:
        UnknownNameError: there is no such locale.
    """
    page = Page(CardView(card), Words(locale), Numbers(locale))
    lines = (line for code, line in warning_sentences(page) if code in LOUD)
    return [plain(" ".join(line.split())) for line in lines]


def warning_sentences(page: Page) -> list[tuple[str, str]]:
    """(code, sentence) of every warning that the locale has words for, in the card's order."""
    rows = [(row.text("code"), row) for row in page.view.rows("warnings")]
    return [(code, _sentence(page, code, row)) for code, row in rows if page.words.has(f"corpus.warning.{code}")]


def codes(view: CardView) -> set[str]:
    """Codes of the card's warnings."""
    return {row.text("code") for row in view.rows("warnings")}


def _sentence(page: Page, code: str, row: CardView) -> str:
    """A warning's sentence; its numbers as the locale writes them."""
    size = row.count("size") if row.count("size") is not None else row.count("bytes")
    unit = row.text("unit") if row.text("unit") in ("rows", "mixed") else "bytes"
    values = {
        "n": row.count("n") or 0, "size": page.amount(unit, size or 0), "from": row.text("from"), "to": row.text("to"),
        "share": _percent(page, row.number("share")), "asked": _percent(page, row.number("asked")),
        "language": page.words.fixed("language", row.text("language")),
        "said": page.words.fixed("language", row.text("said")), "grain": page.word("grain", row.text("grain")),
        "names": _names(row, "names"), "sides": _sides(page, row),
    }  # fmt: skip
    key = f"warning.{code}"
    if code in ("source_cut_off", "members_left_out") and not values["names"]:
        key += "_unnamed"
    return page.fill(key, **values)


def _percent(page: Page, share: float | None) -> str:
    """A share as a percentage; what exists is never shown as nothing."""
    share = share or 0.0
    return page.numbers.percent(share, 1 if not share or share >= 0.0005 else 4)


def _names(row: CardView, *path: str) -> str:
    names = row.raw(*path)
    if not isinstance(names, list):
        return ""
    return ", ".join(cut(name, 80) for name in names[:MAX_NAMES] if isinstance(name, str))


def _sides(page: Page, row: CardView) -> str:
    """What lies on one side alone, by side."""
    found = [(side, _names(row, side)) for side in ("train", "val")]
    return "; ".join(page.fill(f"only_{side}", names=names) for side, names in found if names)
