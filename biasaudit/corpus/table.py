"""Rows of a CSV table with any columns, as spans of the mapped file.

Read as Python's `csv` reads well-formed files. A row with another number of columns than the header, or a quote that
never closes, is set aside alone: the next row starts at the next line.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from biasaudit.corpus.dialect import Dialect
from biasaudit.corpus.dump import BACKSLASHED, Raw
from biasaudit.corpus.dump_piece import COLUMNS, Piece
from biasaudit.corpus.reading import FIELD_LIMIT, ROW_LIMIT

_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")
_BLANK_LINES = re.compile(rb"(?:\r\n|\n|\r)+")
_PIECE = 2 << 20
_TRIED_BYTES = 1 << 16
"""Bytes read from a line that may be a row's start, to see whether it is one."""
_TRIED_LINES = 50
_HEADER_LIMIT = 1 << 16
"""Bytes of a header that is looked for again."""


class TableReader:
    """Reads one table under one dialect."""

    def __init__(self, view: bytes | mmap.mmap, dialect: Dialect, extra: tuple[int, ...] = ()) -> None:
        """Read all of `view`; pieces hold the known fields and the columns numbered in `extra`."""
        self._view = view
        self._size = len(view)
        self._dialect = dialect
        d = re.escape(dialect.delimiter)
        self._stop = b"\r" if dialect.newline == b"\r" else b"\n"
        self._backslash = dialect.quoting == "backslash"
        inside = rb'(?:[^"\\]|\\.|"")*+' if self._backslash else rb'[^"]*+(?:""[^"]*+)*+'
        cell = rb'("%s"|(?:(?!")[^%s%s]*+))' % (inside, d, self._stop)
        width = len(dialect.columns)
        ending = rb"(?:\r\n|\n|\r|\Z)"
        self._row = re.compile(d.join([cell] * width) + ending, re.DOTALL)
        self._wanted = (*(dialect.fields.get(name, -1) for name in COLUMNS), *extra)
        groups = {number for number in self._wanted if number >= 0}
        # Groups cost time: only what is wanted is one.
        bare = cell.replace(b'("', b'(?:"', 1)
        self._short = re.compile(d.join(cell if n in groups else bare for n in range(width)) + ending, re.DOTALL)
        line = dialect.header
        self._header = re.compile(re.escape(line) + ending) if line and len(line) <= _HEADER_LIMIT else None
        self._gap_starts = b"\r\n" + (line[:1] if line else b"")
        self._numbers = {number: 1 + n for n, number in enumerate(sorted(groups))}

    def rows(self, start: int | None = None) -> Iterator[Raw]:
        """Yield spans that tile the view from `start` (the dialect's when None) on; records hold all their cells."""
        position = self._dialect.start if start is None else start
        while position < self._size:
            row = self._next(position)
            yield row
            position = row.end

    def first_start(self, start: int, stop: int) -> int | None:
        """The first place in [start, stop) where a row seems to begin: what follows reads without a misfit."""
        if start <= self._dialect.start:
            return self._dialect.start if self._dialect.start < min(stop, self._size) else None
        at = self._view.find(self._stop, start - 1, stop)
        first = at + 1 if 0 <= at < stop - 1 else None
        for _ in range(_TRIED_LINES):
            if not 0 <= at < stop - 1:
                break
            if self._reads_well(at + 1):
                return at + 1
            at = self._view.find(self._stop, at + 1, stop)
        return first

    def _reads_well(self, start: int) -> bool:
        position = start
        while position < min(self._size, start + _TRIED_BYTES):
            row = self._next(position)
            if row.values is None and not row.gap:
                return False
            position = row.end
        return True

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the spans that begin in [start, stop), where a span begins at `start`."""
        stop = min(stop, self._size)
        while start < stop:
            piece = self._piece(start, min(stop, start + _PIECE))
            yield piece
            start = piece.end

    def _piece(self, start: int, stop: int) -> Piece:
        view, match = self._view, self._short.match
        last = min(self._size, start + ROW_LIMIT)
        last_number = len(self._dialect.columns) - 1
        at: list[int] = []
        ends: list[int] = []
        cells: list[list[bytes | None]] = [[] for _ in self._wanted]
        groups = [(column, self._numbers[n], n == last_number) for column, n in zip(cells, self._wanted, strict=True)
                  if n >= 0]  # fmt: skip
        others: list[Raw] = []
        position = start
        while position < stop:
            found = match(view, position, last)
            end = found.end() if found else 0
            # Anything but a plain row inside the limits is left to the reader of single rows.
            if found is None or end - position > FIELD_LIMIT or end == last or view[position] in self._gap_starts:
                row = self._next(position)
                position = row.end
                if row.values is None:
                    others.append(row)
                    continue
                for column, number in zip(cells, self._wanted, strict=True):
                    if number >= 0:
                        column.append(row.values[number])
            else:
                for column, group, is_last in groups:
                    column.append(self._plain(found.group(group), last=is_last))
                row = None
            at.append(row.start if row else position)
            position = row.end if row else end
            ends.append(position)
        none = pa.nulls(len(at), pa.binary())
        return Piece(
            start=start,
            end=position,
            at=np.array(at, np.int64),
            stop=np.array(ends, np.int64),
            columns=tuple(pa.array(column, pa.binary()) if n >= 0 else none
                          for column, n in zip(cells, self._wanted, strict=True)),
            bare=np.zeros(len(at), bool),
            quoted=np.zeros(len(at), bool),
            others=tuple(others),
        )  # fmt: skip

    def _next(self, position: int) -> Raw:
        view = self._view
        blank = _BLANK_LINES.match(view, position, self._size)
        if blank:
            return Raw(position, blank.end(), reason="blank lines", gap=True)
        header = self._header.match(view, position, self._size) if self._header else None
        if header:
            return Raw(position, header.end(), reason="repeated header", gap=True)
        limit = min(self._size, position + ROW_LIMIT)
        found = self._row.match(view, position, limit)
        if found is None or (found.end() == limit < self._size and view[limit - 1 : limit] not in (b"\n", b"\r")):
            return self._misfit(position)
        groups = found.groups()
        cells = tuple(self._plain(cell, last=n == len(groups) - 1) for n, cell in enumerate(groups))
        if any(len(cell) > FIELD_LIMIT for cell in cells):
            return Raw(position, found.end(), reason=f"field over {FIELD_LIMIT} bytes")
        return Raw(position, found.end(), values=cells)

    def _misfit(self, position: int) -> Raw:
        line = _LINE_END.search(self._view, position, self._size)
        end = max(position + 1, line.end()) if line else self._size
        if end - position > ROW_LIMIT:
            return Raw(position, end, reason=f"row over {ROW_LIMIT} bytes")
        wanted = len(self._dialect.columns)
        return Raw(position, end, reason=f"not {wanted} columns, or a quote that does not close")

    def _plain(self, cell: bytes, *, last: bool) -> bytes:
        if cell[:1] == b'"':
            if self._backslash:
                return BACKSLASHED.sub(lambda m: m.group(1) or b'"', cell[1:-1])
            return cell[1:-1].replace(b'""', b'"')
        return cell[:-1] if last and cell[-1:] == b"\r" else cell
