"""Dates of messages as sortable text."""

from __future__ import annotations

import re

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?")
_DAY_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?!\d)")


def iso(date: str | None) -> str:
    """The date in ISO order, to the second where it has one; empty when it is no date that we know.

    `31/12/2021` is read with the day first, as in Brazil, unless only the other order can be meant.

    >>> iso("31/12/2021"), iso("2021-12-31 10:00:00+00:00"), iso("ontem")
    ('2021-12-31', '2021-12-31 10:00:00', '')
    """
    text = (date or "").strip()
    found = _ISO.match(text)
    if found:
        return found.group().replace("T", " ")
    slashed = _DAY_FIRST.match(text)
    if not slashed:
        return ""
    day, month, year = (int(part) for part in slashed.groups())
    if month > 12 >= day:
        day, month = month, day
    return f"{year:04}-{month:02}-{day:02}" if 1 <= month <= 12 and 1 <= day <= 31 else ""
