"""Which reading of a table leaves least of its sample aside: other line ends, other quotes, or record starts.

A well-formed table is read as it is. Where rows do not have their columns, the same rows may end in another line end,
escape their quotes with backslashes, or stand without quotes behind an id and a date, as in the study's dumps.
"""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Collection, Iterable

from biasaudit.corpus import dialect as dialects
from biasaudit.corpus.dialect import Dialect
from biasaudit.corpus.dump import DumpReader, Raw
from biasaudit.corpus.table import TableReader

_TRIED = 1 << 20
"""Bytes of the sample that are read in every way."""
_LEFT_SHARE = 0.01
"""Share of a table's bytes in no row above which its quotes are not believed."""
_TRAILING_SHARE = 0.75
_HEADER_LIMIT = 4096
"""Bytes of a header whose columns are made into patterns."""


def best_reading(table: Dialect, sample: bytes, *, whole: bool, needed: Collection[str]) -> Dialect:
    """The dialect that leaves least of `sample` aside; `table` itself unless another one is clearly better.

    Args:
        table: read as a table.
        sample: the file's first bytes.
        whole: the file ends with them.
        needed: columns that a record must keep besides the known fields, which only tables can.
    """
    if not whole or len(sample) > _TRIED:
        whole, sample = False, sample[: sample.rfind(b"\n", 0, _TRIED) + 1] or sample[:_TRIED]
    tried = [(_left(TableReader(sample, table).rows(), len(sample), whole), table)]
    if tried[0][0] <= _LEFT_SHARE * len(sample):
        return table
    newlines = {table.newline, b"\r"} if b"\r" in sample else {table.newline}
    for newline in sorted(newlines):
        for quoting in ("quoted", "backslash"):
            other = dataclasses.replace(table, newline=newline, quoting=quoting)
            tried.append((_left(TableReader(sample, other).rows(), len(sample), whole), other))
    dump = _as_dump(table, sample)
    if dump is not None and not set(needed) - {table.columns[n] for n in table.fields.values()}:
        tried.append((_left(DumpReader(sample, dump).spans(), len(sample), whole), dump))
    least, found = min(tried, key=lambda pair: pair[0])
    return found if 2 * least < tried[0][0] else table


def is_table(table: Dialect, dump: Dialect, sample: bytes, *, whole: bool) -> bool:
    """Whether rows fit their header without exception, and record starts would find other records than the rows are.

    Then some ids or dates are not what a record start is told by (empty ones, in pandas' tables), and quotes are.

    Args:
        table: read as a table.
        dump: the same file read by its record starts.
        sample: the file's first bytes.
        whole: the file ends with them.
    """
    if not whole or len(sample) > _TRIED:
        sample = sample[: sample.rfind(b"\n", 0, _TRIED) + 1]
    rows = list(TableReader(sample, table).rows())
    starts = [row.start for row in rows if row.values is not None]
    names = sorted(name.encode() for name in table.columns)
    if len(starts) < 2 or dump.newline != table.newline or any(row.values is None and not row.gap for row in rows):
        return False
    # A second header, whatever its order, or a byte order mark: dumps were joined, and are read by record starts.
    cells = [[(value or b"").removeprefix(codecs.BOM_UTF8) for value in row.values] for row in rows if row.values]
    if any(sorted(one) == names for one in cells) or sample.find(codecs.BOM_UTF8, table.start) >= 0:
        return False
    return starts != [span.start for span in DumpReader(sample, dump).spans() if span.values is not None]


def with_trailing(table: Dialect, sample: bytes) -> Dialect:
    """The dialect with one nameless column more when every row, but not the header, ends in a delimiter."""
    newline = table.newline[-1:]
    lines = sample[table.start :].replace(b"\r\n", b"\n").split(b"\n" if newline == b"\n" else b"\r")
    plain = sum(line.endswith(b'"') for line in lines)
    width = len(table.columns)
    ending = b'"' + table.delimiter
    trailing = sum(line.endswith(ending) and line.count(table.delimiter) >= width for line in lines)
    if trailing < 2 or trailing < _TRAILING_SHARE * (plain + trailing) or not table.columns[-1]:
        return table
    return dataclasses.replace(table, columns=(*table.columns, ""))


def _as_dump(table: Dialect, sample: bytes) -> Dialect | None:
    """The table read by its record starts; None when it has no date, or more than one column for a text."""
    text, date = table.fields["text"], table.fields.get("date")
    if (
        len(table.header or b"") > _HEADER_LIMIT
        or date is None
        or (date > text and not {"id", "channel_id"} & set(table.fields))
    ):
        return None
    others = {f"column {n}": n for n in range(len(table.columns)) if n not in table.fields.values()}
    dump = dataclasses.replace(table, messages=True, quoting="mixed", fields=table.fields | others)
    return dataclasses.replace(dump, date=dialects.date_of(sample, dump))


def _left(spans: Iterable[Raw], size: int, whole: bool) -> int:
    """Bytes in no record; those behind the last record do not count where the sample was cut."""
    left = behind = records = 0
    for span in spans:
        if span.values is not None:
            left, behind, records = left + behind, 0, records + 1
        elif not span.gap:
            behind += span.end - span.start
    if not records:
        return size
    return left + behind if whole else left
