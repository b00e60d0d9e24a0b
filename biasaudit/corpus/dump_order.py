"""Records that a line inside an unquoted message could have forged: they break the order of the dump.

Where nothing is quoted, a message that contains the start of a record reads as two records. Such a record usually
stands out: another channel for a moment, an id or a date out of sequence. Which of these signs means anything depends
on the dump (channels may come in runs or take turns), so each is tried on a sample first and used only if it is rare
there. The answer for a record depends on the lines within `CONTEXT` bytes of it alone, never on a stretch's cuts.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

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
_QUOTE, _DASH, _COLON = 34, 45, 58
_DAY_LENGTH = 10
_CLOCK = (11, 12, 14, 15, 17, 18)
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
    worded: Bools
    """The id begins with something else than a digit, as a line does that was glued on without a line end."""
    exposed: Bools
    """The record before is not quoted, so it can hold a forged line."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Lines of a block that begin in [first, last]; `base` is where the block's own places count from."""

    block: Block
    base: int
    first: int
    last: int


class OrderJudge:
    """Finds the records of a dump that stand out of its order."""

    def __init__(self, view: mmap.mmap | bytes, dialect: Dialect, signs: Signs) -> None:
        """Judge records of `view` by `signs`."""
        self._view = view
        self._dialect = dialect
        self._signs = signs
        self._finder = LineFinder(dialect, recogniser(dialect))

    def forged(self, start: int, end: int, known: Sequence[tuple[int, Block]] = ()) -> Int64s:
        """First bytes of all lines in [start, end) that could be forged records; rising.

        Args:
            start: a place in the view.
            end: a place in the view.
            known: blocks of lines that were found already, each with the span's start that it begins at; rising.
        """
        if not self._signs:
            return np.zeros(0, np.int64)
        low, high = max(self._dialect.start, start - CONTEXT), min(len(self._view), end + CONTEXT)
        parts: list[_Lines] = []
        for base, block in known:
            if base <= high and base + block.decided >= low:
                parts += self._lines(low, base - 1)
                # A span may begin behind a byte order mark or a stray line end, where no line of the file does.
                parts.append(_Lines(block, base, max(low, base + (not self._line_begins(base))), high))
                low = max(low, base + block.decided + 1)
        parts += self._lines(low, high)
        columns = _joined(parts, self._dialect, self._signs)
        found = columns.at[_standing_out(columns, self._signs) & columns.exposed]
        return found[(found >= start) & (found < end)]

    def _line_begins(self, place: int) -> bool:
        return place == self._dialect.start or self._view[place - 1] == self._finder.eol

    def _lines(self, first: int, last: int) -> list[_Lines]:
        """The lines that begin in [first, last], found now; nothing when there is no such place."""
        if last < first:
            return []
        head = first == self._dialect.start
        base = first if head else first - 1
        stop = min(len(self._view), last + self._finder.horizon)
        final = stop == len(self._view)
        block = self._finder.block(self._view[base:stop], final=final, from_line_start=head)
        return [_Lines(block, base, first, last)]


def signs_of(sample: bytes, dialect: Dialect) -> Signs:
    """Find what tells a forged record, in the sample that the dialect was found in."""
    if dialect.quoting not in ("unquoted", "mixed") or not in_bulk(dialect):
        return Signs()
    finder = LineFinder(dialect, recogniser(dialect))
    block = finder.block(sample[dialect.start :], final=True, from_line_start=True)
    columns = _joined([_Lines(block, 0, 0, len(sample))], dialect, Signs(channel=1, ids=1, dates=1, all_dates=1))
    same = columns.channel[1:] == columns.channel[:-1]
    tried = [Signs(channel=1)] if "channel_id" in dialect.fields and 2 * int(same.sum()) >= len(same) else []
    tried += [Signs(**{name: sign}) for name in ("ids", "dates", "all_dates") for sign in (1, -1)]
    limit = max(2, int(_RARE * len(columns.at)))
    found = Signs()
    for signs in tried:
        out = _standing_out(columns, signs)
        if int(out.sum()) <= limit and (signs.channel or _in_order(columns, signs, ~out)):
            chosen = {name: value for name, value in asdict(signs).items() if value}
            found = replace(found, **chosen)
    return found


def _in_order(columns: _Columns, signs: Signs, kept: Bools) -> bool:
    """Whether nine of ten neighbours rise or fall as `signs` say, once the records that stand out are left aside."""
    order = np.flatnonzero(kept)
    if not signs.all_dates:
        order = order[np.argsort(columns.channel[order], kind="stable")]
    keys = (columns.ids if signs.ids else columns.dates)[order]
    near = (keys[1:] != _UNKNOWN) & (keys[:-1] != _UNKNOWN)
    if not signs.all_dates:
        near &= columns.channel[order][1:] == columns.channel[order][:-1]
    steps = np.sign(keys[1:][near] - keys[:-1][near]) * (signs.ids or signs.dates or signs.all_dates)
    up, down = int((steps > 0).sum()), int((steps < 0).sum())
    return up >= 2 and up >= 9 * down


def _standing_out(columns: _Columns, signs: Signs) -> Bools:
    out = np.zeros(len(columns.at), bool)
    if signs.channel:
        out |= _guests(columns.at, columns.channel)
    if signs.ids:
        out |= columns.worded
    if signs.ids or signs.dates:
        channel = columns.channel
        # Numpy sorts sixteen bits by their digits, several times as fast.
        order = np.argsort(channel.astype(np.uint16) if channel.max(initial=0) < 1 << 16 else channel, kind="stable")
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


def _joined(parts: Sequence[_Lines], dialect: Dialect, signs: Signs) -> _Columns:
    """Read the cells that `signs` ask for in the plain lines of blocks, as numbers that compare as they do."""
    kinds = {name: n for name, n in dialect.fields.items() if n < dialect.fields["text"]}
    places, channels, ids, dates, worded, quoted = [], [], [], [], [], []
    for part in parts:
        block = part.block
        inside = (block.at >= part.first - part.base) & (block.at <= part.last - part.base)
        rows = np.flatnonzero(block.plain & inside)
        b = np.frombuffer(block.data, np.uint8)
        cells = {name: (block.cells[rows, 2 * n], block.cells[rows, 2 * n + 1]) for name, n in kinds.items()}
        none = np.full(len(rows), _UNKNOWN)
        places.append(block.at[rows] + part.base)
        channels.append(_values(block.data, *cells["channel_id"]) if "channel_id" in cells else None)
        ids.append(_numbers(b, *cells["id"]) if signs.ids and "id" in cells else none)
        worded.append(_worded(b, *cells["id"]) if signs.ids and "id" in cells else none > 0)
        dates.append(_dates(b, *cells["date"]) if (signs.dates or signs.all_dates) and "date" in cells else none)
        quoted.append(b[np.minimum(block.text[rows], len(b) - 1)] == _QUOTE)
    at = np.concatenate(places)
    exposed = np.ones(len(at), bool)
    if dialect.quoting == "mixed":
        exposed[1:] = ~np.concatenate(quoted)[:-1] | (np.diff(at) > CONTEXT)
    known = [values for values in channels if values is not None]
    codes: Int64s = np.zeros(len(at), np.int64)
    if known:
        codes = pa.concat_arrays(known).dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return _Columns(
        at=at,
        channel=codes,
        ids=np.concatenate(ids),
        dates=np.concatenate(dates),
        worded=np.concatenate(worded),
        exposed=exposed,
    )


def _values(data: bytes, start: Int64s, end: Int64s) -> pa.BinaryArray:
    offsets = np.append(np.stack([start, end], axis=1).ravel(), len(data)).astype(np.int32)
    cells = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    return cells.take(pa.array(np.arange(0, len(offsets) - 1, 2)))


def _numbers(b: npt.NDArray[np.uint8], start: Int64s, end: Int64s) -> Int64s:
    """Decimal numbers of up to 18 digits; unknown when anything else stands there."""
    length = end - start
    known = (length > 0) & (length <= _DIGITS)
    width = int(np.max(np.where(known, length, 0), initial=0))
    value = np.zeros(len(start), np.int64)
    for n in range(width, 0, -1):
        # From the front, as if all had leading zeros.
        digit = b[np.maximum(end - n, 0)] - np.uint8(48)
        inside = length >= n
        known &= (digit <= 9) | ~inside
        value *= 10
        value += np.where(inside, digit, 0)
    return np.where(known, value, _UNKNOWN)


def _worded(b: npt.NDArray[np.uint8], start: Int64s, end: Int64s) -> Bools:
    """Cells that are not empty and do not begin with a digit."""
    return (end > start) & (b[np.minimum(start, len(b) - 1)] - np.uint8(48) > 9)


def _dates(b: npt.NDArray[np.uint8], start: Int64s, end: Int64s) -> Int64s:
    """Dates, with their times when these follow, as numbers in order."""
    last = len(b) - 1
    value = np.full(len(start), _UNKNOWN)
    iso = b[np.minimum(start + 4, last)] == _DASH
    length = end - start
    filled = length >= _DAY_LENGTH
    timed = (length >= 16) & (b[np.minimum(start + 13, last)] == _COLON)
    seconds = timed & (length >= 19) & (b[np.minimum(start + 16, last)] == _COLON)
    for day_places, chosen in (((0, 1, 2, 3, 5, 6, 8, 9), iso), ((6, 7, 8, 9, 3, 4, 0, 1), ~iso)):
        for clock_places, rows in ((_CLOCK, seconds), (_CLOCK[:4], timed & ~seconds), ((), ~timed)):
            chosen_rows = np.flatnonzero(chosen & rows & filled)
            if len(chosen_rows):
                value[chosen_rows] = _digits(b, start[chosen_rows], (*day_places, *clock_places))
    return value


def _digits(b: npt.NDArray[np.uint8], start: Int64s, places: tuple[int, ...]) -> Int64s:
    """The digits at `places` of each cell as one number of fourteen digits."""
    value = np.zeros(len(start), np.int64)
    known = np.ones(len(start), bool)
    for place in places:
        digit = b[np.minimum(start + place, len(b) - 1)] - np.uint8(48)
        known &= digit <= 9
        value *= 10
        value += digit
    return np.where(known, value * 10 ** (14 - len(places)), _UNKNOWN)
