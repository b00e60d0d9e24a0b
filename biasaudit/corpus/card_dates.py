"""When the documents of a corpus were written: first and last day, documents a period, and the gaps between."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

LONGEST = 10
"""Gaps that the card lists."""
GRAINS = (("day", 92), ("week", 730), ("month", 7305))
"""Longest span in days for which documents are counted by day, by week, by month; beyond, by year."""


def dates_of(days: Mapping[str, int], *, undated: int = 0, implausible: int = 0) -> dict[str, Any]:
    """The card's `dates`.

    A gap is a run of whole periods (days, weeks from Monday, months or years, by the span) without a document,
    between the first and the last date. `longest_silence_days` counts days, whatever the period.

    Args:
        days: ISO day -> documents.
        undated: documents without a date.
        implausible: documents whose date is no day that we count.
    """
    found: dict[str, Any] = {
        "first": None, "last": None, "dated": sum(days.values()), "undated": undated, "implausible": implausible,
    }  # fmt: skip
    if not days:
        nothing = {"grain": None, "documents": {}, "periods": 0, "gaps": _gaps([], str), "longest_silence_days": 0}
        return {**found, **nothing}
    ordinals = {datetime.date.fromisoformat(day).toordinal(): count for day, count in days.items()}
    first, last = min(ordinals), max(ordinals)
    grain = next((name for name, span in GRAINS if last - first < span), "year")
    counts: Counter[int] = Counter()
    for ordinal, count in ordinals.items():
        counts[_period(grain, ordinal)] += count
    periods = sorted(counts)
    silence = max((after - before - 1 for before, after in pairwise(sorted(ordinals))), default=0)
    return {
        **found,
        "first": _day(first),
        "last": _day(last),
        "grain": grain,
        "documents": {_label(grain, period): counts[period] for period in periods},
        "periods": periods[-1] - periods[0] + 1,
        "gaps": _gaps(periods, lambda period: _label(grain, period)),
        "longest_silence_days": silence,
    }


def per_month(days: Mapping[str, int]) -> dict[str, int]:
    """Month -> documents, in order."""
    months: Counter[str] = Counter()
    for day, count in days.items():
        months[day[:7]] += count
    return dict(sorted(months.items()))


def _gaps(periods: list[int], label: Callable[[int], str]) -> dict[str, Any]:
    runs = [(after - before - 1, before + 1) for before, after in pairwise(periods) if after - before > 1]
    runs.sort(key=lambda run: (-run[0], run[1]))
    return {
        "count": len(runs),
        "periods": sum(length for length, _ in runs),
        "longest": [
            {"from": label(start), "to": _last(label, start + length - 1), "periods": length}
            for length, start in runs[:LONGEST]
        ],
    }


def _last(label: Callable[[int], str], period: int) -> str:
    """Name of the end of a period: a week, alone among the grains, is named by its first day and ends on another."""
    after = label(period + 1)
    days = len(after) == 10
    return _day(datetime.date.fromisoformat(after).toordinal() - 1) if days else label(period)


def _day(ordinal: int) -> str:
    return datetime.date.fromordinal(ordinal).isoformat()


def _period(grain: str, ordinal: int) -> int:
    """Number of the period that holds a day; neighbours have neighbouring numbers."""
    if grain == "day":
        return ordinal
    if grain == "week":
        return (ordinal - 1) // 7  # day 1 is a Monday
    day = datetime.date.fromordinal(ordinal)
    return day.year if grain == "year" else 12 * day.year + day.month - 1


def _label(grain: str, period: int) -> str:
    """ISO name of a period; a week is named by its Monday."""
    if grain == "day":
        return _day(period)
    if grain == "week":
        return _day(7 * period + 1)
    return f"{period:04}" if grain == "year" else f"{period // 12:04}-{period % 12 + 1:02}"
