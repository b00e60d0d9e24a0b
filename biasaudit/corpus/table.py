"""Rows of a CSV table with any columns, as spans of the mapped file.

Read as Python's `csv` reads well-formed files. A row with another number of columns than the header, or a quote that
never closes, is set aside alone: the next row starts at the next line.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass

from biasaudit.corpus.dialect import Dialect
from biasaudit.corpus.reading import FIELD_LIMIT, ROW_LIMIT

_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")
_BLANK_LINES = re.compile(rb"(?:\r\n|\n|\r)+")


@dataclass(frozen=True, slots=True)
class Row:
    """One span: a row when `cells` is there, else a gap or a reject with its `reason`."""

    start: int
    end: int
    cells: tuple[bytes, ...] | None = None
    reason: str = ""
    gap: bool = False


class TableReader:
    """Reads one table under one dialect."""

    def __init__(self, view: bytes | mmap.mmap, dialect: Dialect) -> None:
        """Read all of `view`."""
        self._view = view
        self._size = len(view)
        self._dialect = dialect
        d = re.escape(dialect.delimiter)
        stop = b"\r" if dialect.newline == b"\r" else b"\n"
        cell = rb'("[^"]*+(?:""[^"]*+)*+"|(?:(?!")[^%s%s]*+))' % (d, stop)
        self._row = re.compile(d.join([cell] * len(dialect.columns)) + rb"(?:\r\n|\n|\r|\Z)")
        self._cell = re.compile(cell)

    def rows(self) -> Iterator[Row]:
        """Yield spans that tile the view from the dialect's start."""
        position = self._dialect.start
        while position < self._size:
            row = self._next(position)
            yield row
            position = row.end

    def _next(self, position: int) -> Row:
        view = self._view
        blank = _BLANK_LINES.match(view, position, self._size)
        if blank:
            return Row(position, blank.end(), reason="blank lines", gap=True)
        limit = min(self._size, position + ROW_LIMIT)
        found = self._row.match(view, position, limit)
        if found is None or (found.end() == limit < self._size and view[limit - 1 : limit] not in (b"\n", b"\r")):
            return self._misfit(position)
        groups = found.groups()
        cells = tuple(_plain(cell, last=n == len(groups) - 1) for n, cell in enumerate(groups))
        if any(len(cell) > FIELD_LIMIT for cell in cells):
            return Row(position, found.end(), reason=f"field over {FIELD_LIMIT} bytes")
        return Row(position, found.end(), cells=cells)

    def _misfit(self, position: int) -> Row:
        line = _LINE_END.search(self._view, position, self._size)
        end = max(position + 1, line.end()) if line else self._size
        if end - position > ROW_LIMIT:
            return Row(position, end, reason=f"row over {ROW_LIMIT} bytes")
        wanted = len(self._dialect.columns)
        return Row(position, end, reason=f"not {wanted} columns, or a quote that does not close")


def _plain(cell: bytes, *, last: bool) -> bytes:
    if cell[:1] == b'"':
        return cell[1:-1].replace(b'""', b'"')
    return cell[:-1] if last and cell[-1:] == b"\r" else cell
