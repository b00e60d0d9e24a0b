"""Another dump inside one message: appended with another delimiter or other line ends, or glued on without a line end.

Nothing tells where such a message ends, so it is left whole and flagged.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.dialect import DATE, DEFAULT_COLUMNS, Dialect

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

INSIDE = "record-start-inside"
"""Flag of a text read without quotes that holds the start of another record, or a header."""
_STUDY = ("id", "channel_id", "date")
_ANY = rb"[,;\t|]"
_QUOTE, _DASH, _CR = 34, 45, 13
_MARKS = 3
"""Quotes and carriage returns between a header's last name and its line feed."""

_NUMBER = np.zeros(256, bool)
_NUMBER[[_QUOTE, *range(48, 58)]] = True
"""What the first number of a record begins with."""


class InsideFinder:
    """Finds what could be another dump in the texts of a message dump."""

    def __init__(self, dialect: Dialect) -> None:
        """Prepare the patterns of one dialect."""
        names = [name.encode() for name in dialect.columns] if dialect.header is not None else []
        if len(names) < 2 or not all(names):
            names = [name.encode() for name in DEFAULT_COLUMNS]
        first, *others = (rb'"?%s"?' % re.escape(name) for name in names)
        header = first + rb"(%s)" % _ANY + rb"\1".join(others) + rb"(?=[\r\n]|\Z)"
        d = re.escape(dialect.delimiter)
        self._last = np.frombuffer(names[-1], np.uint8)
        self._closing = np.zeros(256, bool)
        self._closing[[_QUOTE, _CR, self._last[-1]]] = True
        self._numbered = [dialect.fields.get(name) for name in _STUDY] == [0, 1, 2]
        forms = [header]
        if self._numbered:
            line = rb'"?\d{1,40}"?(%s)"?-?\d{1,40}"?\%d"?%s'
            self._line = re.compile(line % (_ANY, 1, DATE))
            forms += [rb"[\r\n]" + line % (_ANY, 2, DATE), rb"\d%s-?\d{1,40}%s\d{4}-\d\d-\d\d" % (d, d)]
        self._pattern = re.compile(b"|".join(rb"(?:%s)" % form for form in forms))

    def holds(self, text: bytes) -> bool:
        """Whether a text read without quotes holds the start of another record, or a header."""
        return self._pattern.search(text) is not None

    def places(self, data: bytes, delimiters: Int64s, known: Int64s) -> list[int]:
        """Delimiters in `data` that could stand before the date of a record that was glued on.

        Args:
            data: a block of a dump; every text of it that `holds` has a place inside that this, `lines` or `headers`
                gives.
            delimiters: of the dialect.
            known: numbers of those that stand before a record's own date.
        """
        if not self._numbered:
            return []
        b = np.frombuffer(data, np.uint8)
        dated = b[5:][delimiters[: np.searchsorted(delimiters, len(b) - 9)]] == _DASH
        dated[known[known < len(dated)]] = False
        found = delimiters[np.flatnonzero(dated)]
        for n in range(1, 5):
            found = found[b[found + n] - np.uint8(48) <= 9]
        several: list[int] = found.tolist()
        return several

    def lines(self, data: bytes, starts: Int64s, passed: Int64s) -> list[int]:
        """Lines of `data`, but those of the numbers `passed`, that start a record with some delimiter."""
        if not self._numbered:
            return []
        b = np.frombuffer(data, np.uint8)
        numbers = _NUMBER[b[np.minimum(starts, len(b) - 1)]]
        numbers[passed] = False
        return [place for place in starts[np.flatnonzero(numbers)].tolist() if self._line.match(data, place)]

    def headers(self, data: bytes, ends: Int64s) -> list[int]:
        """Lines of `data` that end as a header does, by their last byte; `ends` with or without quotes and returns."""
        b = np.frombuffer(data, np.uint8)
        at = np.maximum(ends - 1, 0)
        at = at[self._closing[b[at]]]
        for _ in range(_MARKS):
            last = b[at]
            at = np.maximum(at - ((last == _QUOTE) | (last == _CR)), 0)
        for n, letter in enumerate(self._last[::-1]):
            near = at[at >= n]
            at = near[b[near - n] == letter]
        found: list[int] = at.tolist()
        return found
