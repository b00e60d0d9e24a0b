"""Records that a line inside an unquoted message could have forged: they break the order of the dump.

Where nothing is quoted, a message that contains the start of a record reads as two records. Such a record usually
stands out: another channel for a moment, an id or a date out of sequence. Which of these signs means anything depends
on the dump (channels may come in runs or take turns), so each is tried on a sample first and used only if it is rare
there. The answer for a record depends on the lines within `CONTEXT` bytes of it alone, never on a stretch's cuts.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biasaudit.corpus.dialect import Dialect, recogniser
from biasaudit.corpus.dump_bulk import in_bulk
from biasaudit.corpus.dump_lines import Block, LineFinder

CONTEXT = 1 << 16
"""Bytes on either side of a record that its neighbours are looked for in."""
FORGED = "forged-record-start"

_LONGEST = 3
"""Records in a row that one message can have forged."""
_RARE = 0.002
"""A sign that more records of the sample bear than this share is none."""
_DIGITS = 18
_UNKNOWN = int(np.iinfo(np.int64).min) + 1

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What tells a forged record in this dump; -1 falling, +1 rising, 0 no sign."""

    channel: int = 0
    """Channels come in runs: another one for up to three records tells (0 or 1)."""
    ids: int = 0
    """Order of ids within a channel."""
    dates: int = 0
    """Order of dates within a channel."""
    all_dates: int = 0
    """Order of dates throughout."""

    def __bool__(self) -> bool:
        return any((self.channel, self.ids, self.dates, self.all_dates))


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """What the order of records is judged by, one entry each; `_UNKNOWN` where it cannot be."""

    at: Int64s
    channel: Int64s
    ids: Int64s
    dates: Int64s
    exposed: Bools
    """The record before is not quoted, so it can hold a forged line."""


class OrderJudge:
    """Finds the records of a dump that stand out of its order."""

    def __init__(self, view: mmap.mmap | bytes, dialect: Dialect, signs: Signs) -> None:
        """Judge records of `view` by `signs`."""
        self._view = view
        self._dialect = dialect
        self._signs = signs
        self._finder = LineFinder(dialect, recogniser(dialect))

    def forged(self, start: int, end: int) -> Int64s:
        """First bytes of all lines in [start, end) that could be forged records; rising."""
        if not self._signs:
            return np.zeros(0, np.int64)
        low, high = max(self._dialect.start, start - CONTEXT), min(len(self._view), end + CONTEXT)
        stop = min(len(self._view), high + self._finder.horizon)
        before = max(low - 1, 0)
        from_start = low == self._dialect.start
        data = self._view[low if from_start else before : stop]
        block = self._finder.block(data, final=stop == len(self._view), from_line_start=from_start)
        columns = columns_of(block, self._dialect, low if from_start else before)
        found = columns.at[_standing_out(columns, self._signs) & columns.exposed]
        return found[(found >= start) & (found < end)]


def signs_of(sample: bytes, dialect: Dialect) -> Signs:
    """Find what tells a forged record, in the sample that the dialect was found in."""
    if dialect.quoting not in ("unquoted", "mixed") or not in_bulk(dialect):
        return Signs()
    finder = LineFinder(dialect, recogniser(dialect))
    block = finder.block(sample[dialect.start :], final=True, from_line_start=True)
    columns = columns_of(block, dialect, 0)
    limit = max(2, int(_RARE * len(columns.at)))
    same = columns.channel[1:] == columns.channel[:-1]
    runs = int("channel_id" in dialect.fields and 2 * int(same.sum()) >= len(same))
    order = np.argsort(columns.channel, kind="stable")
    near = columns.channel[order][1:] == columns.channel[order][:-1]
    wanted = {
        "channel": runs,
        "ids": _direction(columns.ids[order], near),
        "dates": _direction(columns.dates[order], near),
        "all_dates": _direction(columns.dates, np.ones(max(len(columns.at) - 1, 0), bool)),
    }
    found = {name: value for name, value in wanted.items()
             if value and int(_standing_out(columns, Signs(**{name: value})).sum()) <= limit}  # fmt: skip
    return Signs(**found)


def _direction(keys: Int64s, near: Bools) -> int:
    """+1 or -1 when three of four neighbours agree, else 0."""
    near = near & (keys[1:] != _UNKNOWN) & (keys[:-1] != _UNKNOWN)
    up, down = int((near & (keys[1:] > keys[:-1])).sum()), int((near & (keys[1:] < keys[:-1])).sum())
    return 0 if max(up, down) < 3 else 1 if up >= 3 * down else -1 if down >= 3 * up else 0


def _standing_out(columns: _Columns, signs: Signs) -> Bools:
    out = np.zeros(len(columns.at), bool)
    if signs.channel:
        out |= _guests(columns.at, columns.channel)
    if signs.ids or signs.dates:
        order = np.argsort(columns.channel, kind="stable")
        for keys, direction in ((columns.ids, signs.ids), (columns.dates, signs.dates)):
            if direction:
                out[order] |= _displaced(columns.at[order], keys[order] * direction, columns.channel[order])
    if signs.all_dates:
        out |= _displaced(columns.at, columns.dates * signs.all_dates, np.zeros(len(columns.at), np.int64))
    return out


def _guests(at: Int64s, channel: Int64s) -> Bools:
    """Up to `_LONGEST` records of other channels between two of one channel."""
    out = np.zeros(len(at), bool)
    for length in range(1, _LONGEST + 1):
        if len(at) <= length + 1:
            break
        first, last = channel[: -length - 1], channel[length + 1 :]
        between = (first == last) & (at[length + 1 :] - at[: -length - 1] <= CONTEXT)
        for n in range(1, length + 1):
            between &= channel[n : n - length - 1] != first
        for n in range(1, length + 1):
            out[n : n - length - 1] |= between
    return out


def _displaced(at: Int64s, keys: Int64s, group: Int64s) -> Bools:
    """Up to `_LONGEST` records outside the range of their neighbours, which are in (rising) order."""
    out = np.zeros(len(at), bool)
    unknown = np.abs(keys) == -_UNKNOWN
    for length in range(1, _LONGEST + 1):
        if len(at) <= length + 1:
            break
        first, last = keys[: -length - 1], keys[length + 1 :]
        between = (first <= last) & (np.abs(at[length + 1 :] - at[: -length - 1]) <= CONTEXT)
        between &= (group[: -length - 1] == group[length + 1 :]) & ~unknown[: -length - 1] & ~unknown[length + 1 :]
        for n in range(1, length + 1):
            middle = keys[n : n - length - 1]
            between &= ((middle < first) | (middle > last)) & ~unknown[n : n - length - 1]
        for n in range(1, length + 1):
            out[n : n - length - 1] |= between
    return out


# ---------------------------------------------------------------------------- columns as numbers


def columns_of(block: Block, dialect: Dialect, base: int) -> _Columns:
    """Read the cells of a block's plain lines as numbers that compare as they do."""
    rows = np.flatnonzero(block.plain)
    b = np.frombuffer(block.data, np.uint8)
    kinds = {name: n for name, n in dialect.fields.items() if n < dialect.fields["text"]}

    def bounds(name: str) -> tuple[Int64s, Int64s]:
        return block.cells[rows, 2 * kinds[name]], block.cells[rows, 2 * kinds[name] + 1]

    none = np.full(len(rows), _UNKNOWN)
    channel = none
    if "channel_id" in kinds:
        channel = _codes(block.data, *bounds("channel_id"))
    exposed = np.ones(len(rows), bool)
    if dialect.quoting == "mixed":
        quoted = b[np.minimum(block.text[rows[:-1]], len(b) - 1)] == 34
        exposed[1:] = ~quoted | (np.diff(block.at[rows]) > CONTEXT)
    return _Columns(
        at=block.at[rows] + base,
        channel=channel,
        ids=_numbers(b, *bounds("id")) if "id" in kinds else none,
        dates=_dates(b, *bounds("date")) if "date" in kinds else none,
        exposed=exposed,
    )


def _codes(data: bytes, start: Int64s, end: Int64s) -> Int64s:
    """A number for every value; equal values have equal numbers."""
    offsets = np.append(np.stack([start, end], axis=1).ravel(), len(data)).astype(np.int32)
    cells = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    taken = cells.take(pa.array(np.arange(0, len(offsets) - 1, 2)))
    codes: Int64s = taken.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _numbers(b: npt.NDArray[np.uint8], start: Int64s, end: Int64s) -> Int64s:
    """Decimal numbers of up to 18 digits; unknown when anything else stands there."""
    value = np.zeros(len(start), np.int64)
    known = (end > start) & (end - start <= _DIGITS)
    for n in range(int(np.max(np.where(known, end - start, 0), initial=0))):
        place = start + n
        digit = b[np.minimum(place, len(b) - 1)].astype(np.int64) - 48
        inside = place < end
        known &= ~inside | ((digit >= 0) & (digit <= 9))
        value = np.where(inside, value * 10 + digit, value)
    return np.where(known, value, _UNKNOWN)


def _dates(b: npt.NDArray[np.uint8], start: Int64s, end: Int64s) -> Int64s:
    """Dates, with their times when these follow, as numbers in order."""

    def number(first: int, digits: int) -> Int64s:
        return _numbers(b, np.minimum(start + first, end), np.minimum(start + first + digits, end))

    def sign(place: int) -> npt.NDArray[np.uint8]:
        return np.where(start + place < end, b[np.minimum(start + place, len(b) - 1)], np.uint8(0))

    iso = sign(4) == 45
    parts = [
        np.where(iso, number(0, 4), number(6, 4)),
        np.where(iso, number(5, 2), number(3, 2)),
        np.where(iso, number(8, 2), number(0, 2)),
    ]
    timed = (sign(13) == 58) & (end - start >= 16)
    seconds = timed & (sign(16) == 58) & (end - start >= 19)
    parts += [np.where(timed, number(11, 2), 0), np.where(timed, number(14, 2), 0), np.where(seconds, number(17, 2), 0)]
    known = np.logical_and.reduce([part >= 0 for part in parts])
    value = np.zeros(len(start), np.int64)
    for part in parts:
        value = value * 100 + np.where(known, part, 0)
    return np.where(known, value, _UNKNOWN)
