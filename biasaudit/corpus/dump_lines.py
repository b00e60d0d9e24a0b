"""Lines of a block that start as records do, found for the whole block at once.

A line is taken without a regular expression only when its cells leave no doubt: as many quotes as its quoted cells
need, lengths inside the limits, a date where the date stands. Lines in doubt are few; the dialect's own patterns
decide on them, and whoever uses the answer treats them one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from biasaudit.corpus.dialect import (
    CELL_LIMIT,
    DATE_LIMIT,
    NO_DATES,
    NUL_LIMIT,
    NUMBER_LIMIT,
    Dialect,
    Recogniser,
    may_lack_date,
)
from biasaudit.corpus.dump_inside import InsideFinder
from biasaudit.corpus.scan import places

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes8 = npt.NDArray[np.uint8]

_QUOTE, _DASH, _CR, _LF = 34, 45, 13, 10
_BOM = b"\xef\xbb\xbf"
_ISO_DIGITS, _ISO_SIGNS = (0, 1, 2, 3, 5, 6, 8, 9), (4, 7)
_DAY_FIRST_DIGITS, _DAY_FIRST_SIGNS = (0, 1, 3, 4, 6, 7, 8, 9), (2, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Bytes with the places of everything that can bound a cell; all positions count from the block's first byte."""

    data: bytes
    decided: int
    """Lines up to here are known; those behind it start too close to the block's end."""
    at: Int64s
    """Lines that start as a record or a header does, shape (n,): their first bytes, rising."""
    line: Int64s
    """Their numbers among all lines of the block, shape (n,)."""
    plain: Bools
    """Lines whose cells are known, shape (n,); the others start a record (or a header) that must be read singly."""
    cells: Int64s
    """First byte and end of every cell before the text, without quotes, shape (n, 2 * columns); 0 where not plain."""
    text: Int64s
    """First byte of the text, shape (n,); 0 where not plain."""
    after: Int64s
    """Place of the first delimiter inside or behind the text, shape (n,); 0 where not plain."""
    quotes: Int64s
    strays: Int64s
    """Bytes that end lines elsewhere: carriage returns where lines end in line feeds, and the other way round."""
    inner: Callable[[], Int64s]
    """Looks for places of what could be another dump inside a text; rising."""


@dataclass(frozen=True, slots=True, eq=False)
class _Marks:
    data: bytes
    b: Bytes8
    last: int
    lines: Int64s
    starts: Int64s
    limits: Int64s
    delimiters: Int64s
    quotes: Int64s
    strays: Int64s


class LineFinder:
    """Finds the lines of blocks under one dialect whose text stands last."""

    def __init__(self, dialect: Dialect, patterns: Recogniser) -> None:
        """Prepare the dialect's columns before the text."""
        kinds = {number: name for name, number in dialect.fields.items()}
        self._inside = InsideFinder(dialect)
        self._kinds = [kinds[n] for n in range(dialect.fields["text"])]
        self._may_lack_date = may_lack_date(self._kinds)
        self._delimiter = dialect.delimiter[0]
        self.eol = dialect.newline[-1]
        self._starts: re.Pattern[bytes] = patterns.starts
        self._may_be_header = np.zeros(1 << 16, bool)
        self._may_be_header[sorted(_first_pairs(dialect.columns))] = True
        self.horizon = 1024 + NUL_LIMIT + 4 * sum(len(column) for column in dialect.columns)
        """Bytes that must follow a line's first byte for the answer on it to be final, unless the file ends before."""

    def block(self, data: bytes, *, final: bool, from_line_start: bool) -> Block:
        """Find the lines of `data`.

        Args:
            data: consecutive bytes of a dump.
            final: the file ends with `data`; otherwise lines that begin in the last `horizon` bytes are left out.
            from_line_start: a line starts at the first byte; otherwise lines count from the first line end on.
        """
        b = np.frombuffer(data, np.uint8)
        stray = _CR if self.eol == _LF else _LF
        ends, delimiters, quotes, strays = places(b, (self.eol, self._delimiter, _QUOTE, stray))
        starts = np.concatenate([np.zeros(1, np.int64), ends + 1])
        limits = np.append(ends, len(b))
        last = len(b) - 1 if final else len(b) - self.horizon
        number = int(np.searchsorted(starts, last, "right"))
        first = 0 if from_line_start else 1
        lines = np.arange(first, max(first, number))
        if self.eol == _LF and len(strays):
            # A carriage return before a line feed belongs to the line's end, wherever it stands.
            follower = b[np.minimum(strays + 1, len(b) - 1)]
            strays = strays[(follower != _LF) | (strays + 1 == len(b))]
        marks = _Marks(data, b, last, lines, starts[lines], limits[lines], delimiters, quotes, strays)
        return self._recognise(marks)

    def _recognise(self, marks: _Marks) -> Block:
        data, b, starts, limits, delimiters, quotes, strays = (
            marks.data, marks.b, marks.starts, marks.limits, marks.delimiters, marks.quotes, marks.strays,
        )  # fmt: skip
        columns = len(self._kinds)
        padded = np.concatenate([delimiters, np.full(columns + 1, len(b) + 1, np.int64)])
        first = np.searchsorted(delimiters, starts)
        wide = np.flatnonzero(padded[first + columns - 1] < limits)
        bounds = np.empty((len(wide), 2 * columns), np.int64)
        bounds[:, 0] = starts[wide]
        for n in range(columns):
            bounds[:, 2 * n + 1] = padded[first[wide] + n]
            if n:
                bounds[:, 2 * n] = bounds[:, 2 * n - 1] + 1
        dated, undated = self._dated(b, bounds)
        chosen = np.flatnonzero(dated | undated)
        rows, bounds, empty = wide[chosen], bounds[chosen], np.flatnonzero(undated[chosen])
        text = bounds[:, -1] + 1
        inside = np.searchsorted(quotes, text) - np.searchsorted(quotes, starts[rows])
        doubtful: Bools = np.searchsorted(strays, text) != np.searchsorted(strays, starts[rows])
        fits, needed, clean = self._cells(b, bounds)
        doubtful |= inside != needed
        if len(empty):
            fits[empty] &= self._numbered(b, bounds[empty])
        keep = doubtful | fits
        rows, bounds, doubtful, clean, text = rows[keep], bounds[keep], doubtful[keep], clean[keep], text[keep]
        sure = ~doubtful
        odd = self._oddly_started(b, starts)
        odd[rows[sure]] = False
        asked = np.concatenate([rows[doubtful], np.flatnonzero(odd)])
        single = np.array(sorted({int(n) for n in asked if self._starts.match(data, int(starts[n]))}), np.int64)
        rows, bounds, clean, text = rows[sure], bounds[sure], clean[sure], text[sure]
        inner = partial(self._inner, marks, first[rows], np.concatenate([rows, single]))
        return self._joined(marks, rows, bounds, clean, text, padded[first[rows] + columns], single, inner)

    def _inner(self, marks: _Marks, first: Int64s, rows: Int64s) -> Int64s:
        """Places of what could be another dump, where neither the lines in `rows` nor their cells begin."""
        known = first + self._kinds.index("date") - 1 if "date" in self._kinds[1:] else np.zeros(0, np.int64)
        found = self._inside.places(marks.data, marks.delimiters, known)
        for starts, passed in ((marks.starts, rows), (marks.strays + 1, rows[:0])):
            found += self._inside.lines(marks.data, starts, passed)
        for ends in (marks.limits, marks.strays):
            found += self._inside.headers(marks.data, ends)
        return np.array(sorted(found), np.int64)

    @staticmethod
    def _joined(
        marks: _Marks,
        rows: Int64s,
        bounds: Int64s,
        clean: Bools,
        text: Int64s,
        after: Int64s,
        single: Int64s,
        inner: Callable[[], Int64s],
    ) -> Block:
        single = np.setdiff1d(single, rows, assume_unique=True)
        if len(single):
            order = np.argsort(np.concatenate([rows, single]), kind="stable")
            none = np.zeros(len(single), np.int64)
            rows = np.concatenate([rows, single])[order]
            bounds = np.concatenate([bounds, np.zeros((len(single), bounds.shape[1]), np.int64)])[order]
            clean = np.concatenate([clean, none > 0])[order]
            text, after = np.concatenate([text, none])[order], np.concatenate([after, none])[order]
        return Block(
            marks.data, marks.last, marks.starts[rows], marks.lines[rows], clean, bounds, text, after, marks.quotes,
            marks.strays, inner,
        )  # fmt: skip

    def _dated(self, b: Bytes8, bounds: Int64s) -> tuple[Bools, Bools]:
        """Which lines have a date in its column, and which have nothing there and may do without."""
        if "date" not in self._kinds:
            return np.ones(len(bounds), bool), np.zeros(len(bounds), bool)
        number = self._kinds.index("date")
        start, end = bounds[:, 2 * number], bounds[:, 2 * number + 1]
        last = len(b) - 1
        quoted = b[start] == _QUOTE
        undated = np.zeros(len(bounds), bool)
        if self._may_lack_date:
            undated = end == start
            for word in (b'""', *NO_DATES):
                undated[_spelt(b, start, end, word)] = True
        start = start + quoted
        # Length first: most lines of prose end here.
        dated = (end - start >= 10) & (end - start <= DATE_LIMIT + 12)
        rows = np.flatnonzero(dated)
        at = start[rows]
        letters = [b[np.minimum(at + n, last)] for n in range(10)]
        digit = [(letter >= 48) & (letter <= 57) for letter in letters]
        iso = np.logical_and.reduce([digit[n] for n in _ISO_DIGITS] + [letters[n] == 45 for n in _ISO_SIGNS])
        day_first = np.logical_and.reduce(
            [digit[n] for n in _DAY_FIRST_DIGITS] + [letters[n] == 47 for n in _DAY_FIRST_SIGNS]
        )
        dated[rows] = iso | day_first
        return dated, undated

    def _numbered(self, b: Bytes8, bounds: Int64s) -> Bools:
        """Which lines have the numbers, in cells without quotes, that a record's start without a date must have."""
        found = np.ones(len(bounds), bool)
        for kind in ("id", "channel_id"):
            number = self._kinds.index(kind)
            start, end = bounds[:, 2 * number], bounds[:, 2 * number + 1]
            if kind == "channel_id":
                start = start + ((end > start) & (b[np.minimum(start, len(b) - 1)] == _DASH))
            length = end - start
            found &= (length >= 1) & (length <= NUMBER_LIMIT)
            for n in range(int(np.max(length, where=found, initial=0))):
                digit = b[np.minimum(start + n, len(b) - 1)] - np.uint8(48)
                found &= (digit <= 9) | (n >= length)
        return found

    def _cells(self, b: Bytes8, bounds: Int64s) -> tuple[Bools, Int64s, Bools]:
        """Take quotes off the cells in `bounds`; gives which lines fit, the quotes they need, and which are clean."""
        fits = np.ones(len(bounds), bool)
        clean = np.ones(len(bounds), bool)
        needed = np.zeros(len(bounds), np.int64)
        for n, kind in enumerate(self._kinds):
            start, end = bounds[:, 2 * n], bounds[:, 2 * n + 1]
            quoted = (end - start >= 2) & (b[start] == _QUOTE) & (b[np.maximum(end - 1, 0)] == _QUOTE)
            needed += 2 * quoted
            start += quoted
            end -= quoted
            limit = DATE_LIMIT + 10 if kind == "date" else CELL_LIMIT
            fits &= end - start <= limit
            # What a cell begins and ends with must be no blank of any kind, or the cell would have to be stripped.
            outer = (b[np.minimum(start, len(b) - 1)], b[np.maximum(end - 1, 0)])
            clean &= (end == start) | np.logical_and.reduce([(edge > 32) & (edge < 127) for edge in outer])
        return fits, needed, clean

    def _oddly_started(self, b: Bytes8, starts: Int64s) -> Bools:
        """Which lines could be a header, or follow a byte order mark or NUL bytes."""
        last = len(b) - 1
        first = b[np.minimum(starts, last)]
        pairs = first.astype(np.uint16) * 256 + b[np.minimum(starts + 1, last)]
        found: Bools = self._may_be_header[pairs] & (starts < len(b))
        marks = np.flatnonzero(first == _BOM[0])
        found[marks] = (b[np.minimum(starts[marks] + 1, last)] == _BOM[1]) & (
            b[np.minimum(starts[marks] + 2, last)] == _BOM[2]
        )
        found |= first == 0
        return found


def _spelt(b: Bytes8, start: Int64s, end: Int64s, word: bytes) -> Int64s:
    """Numbers of the cells that hold just `word`."""
    found = np.flatnonzero(end - start == len(word))
    for n, letter in enumerate(word):
        found = found[b[start[found] + n] == letter]
    return found


def _first_pairs(columns: tuple[str, ...]) -> set[int]:
    """What a header line can begin with: two bytes each, as one number."""
    quotes = {_QUOTE, *b" \t"}
    found = {256 * one + two for one in quotes for two in quotes}
    for column in columns:
        low, high = column.lower().encode(), column.upper().encode()
        if len(low) < 2 or len(high) < 2:
            return {256 * one + two for one in range(256) for two in range(256)}
        firsts = {low[0], high[0]}
        found |= {256 * one + two for one in firsts for two in (low[1], high[1])}
        found |= {256 * one + two for one in quotes for two in firsts}
    return found
