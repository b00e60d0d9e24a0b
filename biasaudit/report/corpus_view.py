"""A data card read with suspicion: it may come with a foreign model, so every value is looked at before it is shown."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_COUNT = 10**15
"""Larger numbers are no counts of anything."""
MAX_TEXT = 300
"""Characters of one value."""
MAX_PERIODS = 400
"""Periods that the timeline draws."""


class CardView:
    """Typed access to a card: what is missing or of another type is None or empty, never an error.

    Args:
        card: any JSON value that calls itself a card.
    """

    def __init__(self, card: Any) -> None:
        self._card = card

    def raw(self, *path: str) -> Any:
        """The value at `path`, or None."""
        value = self._card
        for key in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value

    def count(self, *path: str) -> int | None:
        """A whole number from 0 on, or None."""
        return as_count(self.raw(*path))

    def number(self, *path: str) -> float | None:
        """A finite number, or None."""
        value = self.raw(*path)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MAX_COUNT
        return float(value) if fits and math.isfinite(value) else None

    def text(self, *path: str) -> str:
        """A text of at most `MAX_TEXT` characters; empty when there is none."""
        value = self.raw(*path)
        return cut(value) if isinstance(value, str) else ""

    def counts(self, *path: str) -> list[tuple[str, int]]:
        """(name, count) of a mapping, in its order; what is no count is left out."""
        value = self.raw(*path)
        if not isinstance(value, Mapping):
            return []
        return [(cut(str(k)), n) for k, v in value.items() if (n := as_count(v)) is not None]

    def rows(self, *path: str) -> list[CardView]:
        """The mappings of a list."""
        value = self.raw(*path)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return []
        return [CardView(row) for row in value if isinstance(row, Mapping)]


def as_count(value: Any) -> int | None:
    """`value` when it is a whole number from 0 on."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return value if fits else None


def cut(text: str, most: int = MAX_TEXT) -> str:
    """`text`, or its beginning and an ellipsis."""
    return text if len(text) <= most else text[:most] + "…"


def timeline(view: CardView) -> tuple[str, list[tuple[str, int]]]:
    """(grain, every period from the first to the last with its documents); a period without any has 0.

    Cards of version 1 know months only. Empty when there are no dates, or more periods than can be drawn.
    """
    grain = view.text("dates", "grain") or "month"
    counts = view.counts("dates", "documents") or view.counts("documents_per_month")
    found = {number: n for label, n in counts if (number := _period(grain, label)) is not None and n}
    if not found or max(found) - min(found) >= MAX_PERIODS:
        return grain, []
    return grain, [(_label(grain, i), found.get(i, 0)) for i in range(min(found), max(found) + 1)]


def _period(grain: str, label: str) -> int | None:
    """Number of a period; neighbours have neighbouring numbers."""
    try:
        if grain == "year":
            return int(label) if len(label) == 4 else None
        day = datetime.date.fromisoformat(f"{label}-01" if grain == "month" else label)
    except ValueError:
        return None
    if grain == "month":
        return 12 * day.year + day.month - 1
    return (day.toordinal() - 1) // 7 if grain == "week" else day.toordinal()


def _label(grain: str, period: int) -> str:
    if grain == "year":
        return f"{period:04}"
    if grain == "month":
        return f"{period // 12:04}-{period % 12 + 1:02}"
    return datetime.date.fromordinal(7 * period + 1 if grain == "week" else period).isoformat()
