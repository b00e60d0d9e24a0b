"""Dates of messages as sortable text."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

_DAY, _MONTH, _CLOCK = "0[1-9]|[12][0-9]|3[01]", "0[1-9]|1[0-2]", "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?"
# The engines of Python and of Arrow read these alike; every group is there to be put in order.
_ISO = rf"(?s)^([0-9]{{4}}-(?:{_MONTH})-(?:{_DAY}))(?:[T ]({_CLOCK}))?(?:[^0-9].*)?$"
_ISO_TO_THE_SECOND = (
    rf"(?s)^[0-9]{{4}}-(?:{_MONTH})-(?:{_DAY})[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[^0-9].*)?$"
)
"""What most dumps have throughout; here the parts need not be captured, which RE2 is slow at."""
_USUAL_DAY_FIRST = rf"^({_DAY})/({_MONTH})/([0-9]{{4}})(?:,? ({_CLOCK}))?$"
_ANY_DAY_FIRST = re.compile(
    r"(?s)^([0-9]{1,2})([/.-])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})"
    r"(?:,?[ T]+([0-9]{1,2}):([0-5][0-9])(:[0-5][0-9])?\W*([ap]\.?m)?)?(?:[^0-9].*)?$",
    re.IGNORECASE | re.ASCII,
)
_UNIX = re.compile(r"^([0-9]{9,10})(?:[0-9]{3})?(?:\.[0-9]*)?$")
_ISO_FORM = re.compile(_ISO)
_BLANKS = " \t\r\n"


def iso(date: str | None) -> str:
    """The date in ISO order, as precise as it is written, to the second at most; empty when it is no date we know.

    The clock is the one of the dump: a time zone at the end is left off. `31/12/2021` (also with `.` or `-`, a year of
    two digits, a time, `PM`) is read with the day first, as in Brazil, unless only the other order can be meant. Nine
    or ten digits are seconds since 1970 (three more: milliseconds), which become UTC.

    >>> iso("31/12/2021"), iso("2021-12-31T10:00:00.5+00:00"), iso("1640944800"), iso("ontem")
    ('2021-12-31', '2021-12-31 10:00:00', '2021-12-31 10:00:00', '')
    """
    text = (date or "").strip(_BLANKS)
    found = _ISO_FORM.match(text)
    if found:
        return " ".join(part for part in found.groups() if part)
    unix = _UNIX.match(text)
    if unix:
        return f"{datetime.fromtimestamp(int(unix[1]), UTC):%Y-%m-%d %H:%M:%S}"
    written = _ANY_DAY_FIRST.match(text)
    return _day_first(*written.groups()) if written else ""


def iso_dates(date: pa.StringArray) -> pa.StringArray:
    """`iso` of every date; null where it is empty."""
    date = pc.utf8_trim(date, _BLANKS)
    if pc.all(pc.match_substring_regex(date, _ISO_TO_THE_SECOND), min_count=0).as_py() and not date.null_count:
        # The first nineteen characters are ASCII, so bytes will do.
        return pc.binary_replace_slice(pc.binary_slice(date.cast(pa.binary()), 0, 19), 10, 11, b" ").cast(pa.string())
    found = pc.if_else(pc.match_substring_regex(date, _ISO), pc.replace_substring_regex(date, _ISO, r"\1 \2"), None)
    open_dates = pc.and_(pc.is_null(found), pc.is_valid(date))
    if pc.any(open_dates).as_py():
        others = date.filter(open_dates)
        usual = pc.match_substring_regex(others, _USUAL_DAY_FIRST)
        turned = pc.if_else(usual, pc.replace_substring_regex(others, _USUAL_DAY_FIRST, r"\3-\2-\1 \4"), None)
        rest = others.filter(pc.invert(usual)).dictionary_encode()
        known = pa.array([iso(one) or None for one in rest.dictionary.to_pylist()], pa.string())
        turned = pc.replace_with_mask(turned, pc.invert(usual), known.take(rest.indices))
        found = pc.replace_with_mask(found, open_dates, turned)
    return pc.utf8_rtrim(found, " ")


def _day_first(
    first: str, _: str, second: str, year: str, hour: str | None, minute: str, seconds: str | None, half: str | None
) -> str:
    day, month = int(first), int(second)
    if month > 12 >= day:
        day, month = month, day
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ""
    written = f"{year if len(year) == 4 else '20' + year}-{month:02}-{day:02}"
    if hour is None:
        return written
    hours = int(hour)
    if half:
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    return f"{written} {hours:02}:{minute}{seconds or ''}" if hours < 24 else written
