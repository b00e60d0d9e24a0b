"""Records of a message dump, a block at a time: what `DumpReader` reads one by one, at the speed of memory.

All lines of a block that start as records do are found at once. A record is taken in bulk only when it can be proven
to read as `DumpReader` reads it; every other one is handed to that reader, from its start until it ends where a
proven one begins. So the two agree by construction, on any file.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.dialect import DATE, Dialect, recogniser
from biasaudit.corpus.dump import QUOTED, DumpReader, Raw
from biasaudit.corpus.dump_inside import INSIDE
from biasaudit.corpus.dump_lines import Block, LineFinder
from biasaudit.corpus.dump_piece import COLUMNS, Piece, merged, piece_of

BLOCK = 2 << 20
"""Bytes looked at together; results do not depend on it."""

_QUOTE, _CR, _LF = 34, 13, 10
_BULK_QUOTINGS = ("quoted", "unquoted", "mixed", "double", "backslash", "enclosed")

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Proof:
    """Records of a block, one for each line but the last; positions count from the block's first byte."""

    certain: Bools
    quoted: Bools
    start: Int64s
    """First byte of the text, its quote left out."""
    end: Int64s
    doubled: Bools
    """Quoted texts with doubled quotes inside."""
    telling: Bools
    """Texts without quotes around that hold a delimiter, a quote or a line end."""


class BulkReader:
    """Reads stretches of one dump under one dialect."""

    def __init__(self, view: bytes | mmap.mmap, dialect: Dialect) -> None:
        """Read `view`."""
        self._view = view
        self._size = len(view)
        self._dialect = dialect
        self._block = BLOCK
        self._slow = DumpReader(view, dialect)
        self._telling = dialect.delimiter + b'"\n\r'
        text = dialect.fields["text"]
        self._finder: LineFinder | None = None
        if in_bulk(dialect):
            self._finder = LineFinder(dialect, recogniser(dialect))
        self._places = {name: 2 * n for name, n in dialect.fields.items()}
        self._width = 2 * (text + 1)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the spans that begin in [start, stop), where a span begins at `start`."""
        stop = min(stop, self._size)
        while start < stop:
            piece = self._bulk(start, stop) if self._finder else self._singly(start, min(stop, start + self._block))
            yield piece
            start = piece.end

    def first_start(self, start: int, stop: int) -> int | None:
        """The first place in [start, stop) where a record seems to begin."""
        if start <= self._dialect.start:
            return self._dialect.start if self._dialect.start < min(stop, self._size) else None
        return self._slow.next_record(start, min(stop, self._size))

    # ------------------------------------------------------------------ one by one

    def _singly(self, start: int, stop: int) -> Piece:
        """The spans that begin in [start, stop), from the reader that reads one by one."""
        raws: list[Raw] = []
        position = start
        while position < stop:
            raws.append(self._slow.span(position))
            position = raws[-1].end
        return piece_of(raws, start, position, self._telling)

    # ------------------------------------------------------------------ in bulk

    def _bulk(self, start: int, stop: int) -> Piece:
        """The spans of one block."""
        assert self._finder is not None
        # The last record is known by the start of the one behind it, which may stand behind `stop`.
        end = min(self._size, start + self._block, stop + (self._block >> 3))
        final = end == self._size
        block = self._finder.block(self._view[start:end], final=final, from_line_start=True)
        inside = int(np.searchsorted(block.at, stop - start))
        lines = min(len(block.at), inside + 1)
        if lines < 2:
            return self._singly(start, stop if final else max(start + 1, min(stop, end - self._finder.horizon)))
        proof = self._prove(block, lines)
        raws, certain, reached = self._fill(block.at[:lines], proof.certain, start)
        bulk = self._columns(block, proof, np.flatnonzero(certain), start, reached)
        return merged(bulk, piece_of(raws, start, reached, self._telling))

    def _fill(self, at: Int64s, certain: Bools, base: int) -> tuple[list[Raw], Bools, int]:
        """Read what is not certain one by one; gives those spans, what remains certain, and where the block ends."""
        certain = certain.copy()
        places: list[int] = at.tolist()
        raws: list[Raw] = []
        position, last = 0, len(places) - 1
        doubtful = np.flatnonzero(~certain).tolist()
        if places[0] > 0:
            doubtful.insert(0, -1)
        for number in doubtful:
            place = 0 if number < 0 else places[number]
            if place < position:
                continue
            position = place
            while position < places[last]:
                raw = self._slow.span(base + position)
                raws.append(raw)
                position = raw.end - base
                here = bisect_left(places, position)
                if here < last and places[here] == position and certain[here]:
                    break
            certain[max(number, 0) : bisect_left(places, position)] = False
        return raws, certain, base + max(position, places[last])

    def _prove(self, block: Block, lines: int) -> _Proof:
        """Say of each line but the last of `lines` whether its record reads as a single reader would read it."""
        b = np.frombuffer(block.data, np.uint8)
        one, two = slice(0, lines - 1), slice(1, lines)
        certain = block.plain[one] & block.plain[two]
        text, following = block.text[one], block.at[two]
        # Where a line is not plain its text is not known; any place inside will do.
        text = np.where(certain, text, block.at[one])
        end = following - 1
        returns = (b[end - 1] == _CR) & (end - 1 >= text) & (self._dialect.newline[-1] == _LF)
        plain_end = end - returns if self._dialect.newline == b"\r\n" else end
        if self._dialect.newline == b"\r\r\n":
            plain_end = end - 2 * (returns & (b[end - 2] == _CR) & (end - 2 >= text))
        first_quote = np.searchsorted(block.quotes, text)
        has_quote = first_quote < np.searchsorted(block.quotes, plain_end)
        strays = np.searchsorted(block.strays, text) < np.searchsorted(block.strays, plain_end)
        several = block.line[two] - block.line[one] > 1
        telling = has_quote | several | strays | (block.after[one] < plain_end) | (returns & (plain_end == end))
        quoting = self._dialect.quoting
        if quoting == "unquoted":
            none = np.zeros(len(text), bool)
            return _Proof(certain, none, text, plain_end, none, telling)
        quoted = (b[text] == _QUOTE) & (text < end)
        closing = end - returns
        certain &= ~quoted | self._closes(block, b, text, closing, first_quote)
        if quoting == "quoted":
            certain &= quoted | ~(several | strays)
        if quoting == "backslash":
            slashes = np.flatnonzero(b == ord("\\"))
            certain &= ~quoted | (np.searchsorted(slashes, text) == np.searchsorted(slashes, closing))
        doubled = quoted & (np.searchsorted(block.quotes, closing) - first_quote > 2)
        return _Proof(
            certain, quoted, np.where(quoted, text + 1, text), np.where(quoted, closing - 1, plain_end), doubled,
            telling & ~quoted,
        )  # fmt: skip

    @staticmethod
    def _closes(block: Block, b: npt.NDArray[np.uint8], text: Int64s, closing: Int64s, first: Int64s) -> Bools:
        """Which texts open a quote that closes at their very end, with all quotes inside doubled."""
        behind = np.searchsorted(block.quotes, closing)
        inner = behind - first - 2
        fine: Bools = (b[closing - 1] == _QUOTE) & (closing - 1 > text) & (inner >= 0) & (inner % 2 == 0)
        if not len(block.quotes):
            return fine
        # Pairs inside a text start at its second quote: count the broken ones of either parity up to each place.
        broken = np.append(block.quotes[1:] != block.quotes[:-1] + 1, True)
        even = np.zeros(len(broken), bool)
        even[::2] = True
        counts = [np.concatenate([np.zeros(1, np.int64), np.cumsum(broken & parity)]) for parity in (even, ~even)]
        low = np.minimum(first + 1, len(broken))
        high = np.maximum(np.minimum(behind - 1, len(broken)), low)
        odd = low % 2 == 1
        paired: Bools = np.where(odd, counts[1][high] - counts[1][low], counts[0][high] - counts[0][low]) == 0
        return fine & paired

    def _columns(self, block: Block, proof: _Proof, rows: Int64s, base: int, end: int) -> Piece:
        """Cut the certain records' cells out of the block."""
        places = np.empty((len(rows), self._width), np.int64)
        places[:, :-2] = block.cells[rows]
        places[:, -2], places[:, -1] = proof.start[rows], proof.end[rows]
        offsets = np.append(places.ravel(), len(block.data)).astype(np.int32)
        cells = pa.Array.from_buffers(
            pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(block.data)]
        )
        step = np.arange(0, len(offsets) - 1, self._width)
        columns = {name: cells.take(pa.array(step + place)) for name, place in self._places.items()}
        absent = pa.nulls(len(rows), pa.binary())
        columns["text"] = self._texts(columns["text"], proof, rows)
        flags = dict.fromkeys(self._inside(block, proof, rows, columns["text"]), (INSIDE,))
        return Piece(
            start=base,
            end=end,
            at=block.at[rows] + base,
            stop=block.at[rows + 1] + base,
            columns=tuple(columns.get(name, absent) for name in COLUMNS),
            bare=proof.telling[rows],
            quoted=proof.quoted[rows],
            flags=flags,
            block=block,
        )

    def _inside(self, block: Block, proof: _Proof, rows: Int64s, text: pa.BinaryArray) -> list[int]:
        """Which of the certain records hold another dump's beginning."""
        if proof.quoted[rows].all():
            return []
        number = np.searchsorted(block.at[rows], block.inner(), "right") - 1
        number = np.unique(number[number >= 0])
        number = number[~proof.quoted[rows[number]]]
        return [n for n in number.tolist() if self._slow.inside.holds(text[n].as_py())]

    def _texts(self, text: pa.BinaryArray, proof: _Proof, rows: Int64s) -> pa.BinaryArray:
        doubled = np.flatnonzero(proof.doubled[rows])
        if len(doubled):
            text = _replaced(text, doubled, pc.replace_substring(text.take(pa.array(doubled)), '""', '"'))
        if self._dialect.quoting == "double":
            twice = np.flatnonzero(pc.starts_with(text, '"').to_numpy(zero_copy_only=False) & proof.quoted[rows])
            inner = [_unquoted_again(value) for value in text.take(pa.array(twice)).to_pylist()]
            text = _replaced(text, twice, pa.array(inner, pa.binary()))
        return text


def in_bulk(dialect: Dialect) -> bool:
    """Whether `BulkReader` can do better than reading record by record under this dialect."""
    last = dialect.fields["text"] == len(dialect.columns) - 1 > 0
    return (
        last
        and not dialect.padded
        and dialect.quoting in _BULK_QUOTINGS
        and dialect.date == DATE
        and "date" in dialect.fields
    )


def _replaced(values: pa.BinaryArray, rows: Int64s, new: pa.BinaryArray) -> pa.BinaryArray:
    order = np.arange(len(values))
    order[rows] = len(values) + np.arange(len(rows))
    return pa.concat_arrays([values, new]).take(pa.array(order))


def _unquoted_again(text: bytes) -> bytes:
    return text[1:-1].replace(b'""', b'"') if QUOTED.fullmatch(text) else text
