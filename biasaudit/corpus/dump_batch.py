"""From columns of bytes to batches: decoded text, ids as exact text, places in the file, doubts."""

from __future__ import annotations

import mmap
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.dump_order import FORGED
from biasaudit.corpus.dump_piece import COLUMNS, Piece
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import digest_of
from biasaudit.corpus.reading import FILTERED, Survey
from biasaudit.records import Reject

Int64s = npt.NDArray[np.int64]
Wanted = Mapping[int, bytes]
"""Number of a piece's column -> the value that records must have there."""


class BatchMaker:
    """Turns the pieces of one stretch, in their order, into batches."""

    def __init__(self, view: mmap.mmap, survey: Survey, decoder: Decoder, wanted: Wanted) -> None:
        """Decode pieces of `view`, the mapped file of `survey`."""
        self._view = view
        self._label = survey.label
        self._size = survey.size
        self._decoder = decoder
        self._wanted = wanted
        self.reached = decoder.bom
        """Offset in the file of the end of the last batch, kept where the map is a copy in another encoding."""

    def leading(self, content: int, first: int) -> Batch:
        """What stands before the first record of the file: byte order mark and header, from `content` to `first`."""
        end = first
        if self._decoder.wide:
            end = self.reached = self.reached + self._decoder.length_between(self._view, content, first)
        return _nothing_but(0, end)

    def remainder(self) -> Batch:
        """What is left of the file behind the last whole character."""
        return _nothing_but(self.reached, self._size)

    def batch(self, piece: Piece, forged: frozenset[int], *, counted: bool) -> Batch:
        """Decode one piece.

        Args:
            piece: what was found, in positions of the map.
            forged: first bytes of records that stand out of the dump's order.
            counted: say in the notes how many records a CSV parser would misread.
        """
        at, stop, begin, end = piece.at, piece.stop, piece.start, piece.end
        others = [(raw.start, raw.end) for raw in piece.others]
        if self._decoder.wide:
            places = self._places(piece.start, piece.end)
            begin, end = int(places[0]), int(places[-1])
            at, stop = places[at - piece.start], places[stop - piece.start]
            others = [(int(places[one - piece.start]), int(places[two - piece.start])) for one, two in others]
            self.reached = end
        text, flags = self._text(piece.columns[0])
        for number, said in piece.flags.items():
            flags[number] = flags.get(number, ()) + said
        suspects = [number for number, place in enumerate(piece.at.tolist()) if place in forged] if forged else []
        for number in suspects:
            flags[number] = (*flags.get(number, ()), FORGED)
        for number in self._filtered(piece):
            flags[number] = (*flags.get(number, ()), FILTERED)
        columns = {name: self._cells(piece.columns[number]) for number, name in enumerate(COLUMNS) if number}
        notes = {"misread_by_a_csv_parser": int(piece.bare.sum()), "forged_record_starts": len(suspects)}
        rejects = [
            Reject(source=self._label, offset=one, length=two - one, reason=raw.reason,
                   sha256=digest_of(self._view, raw.start, raw.end))
            for raw, (one, two) in zip(piece.others, others, strict=True) if not raw.gap
        ]  # fmt: skip
        return Batch(
            start=begin,
            end=end,
            text=text,
            message_id=columns["id"],
            channel_id=columns["channel_id"],
            date=columns["date"],
            offset=at,
            length=stop - at,
            flags=dict(sorted(flags.items())),
            rejects=tuple(rejects),
            separators=sum(two - one for raw, (one, two) in zip(piece.others, others, strict=True) if raw.gap),
            notes=notes if counted else {},
        )

    def _places(self, start: int, end: int) -> Int64s:
        """Offsets in the UTF-16 file of all places of a stretch of its UTF-8 copy, shape (end - start + 1,)."""
        b = np.frombuffer(self._view[start:end], np.uint8)
        # Two bytes a character, four for those outside the first plane: the ones that take four in UTF-8 too.
        sizes = 2 * ((b & 0xC0) != 0x80).astype(np.int64) + 2 * (b >= 0xF0)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]) + self.reached

    # ------------------------------------------------------------------ decoding

    def _text(self, column: pa.BinaryArray) -> tuple[pa.StringArray, dict[int, tuple[str, ...]]]:
        flags: dict[int, tuple[str, ...]] = {}
        if self._decoder.utf8:
            try:
                return column.fill_null(b"").cast(pa.string()), flags
            except pa.ArrowInvalid:
                pass
        texts = []
        for number, raw in enumerate(column.to_pylist()):
            text, said = self._decoder.text(raw or b"")
            texts.append(text)
            if said:
                flags[number] = said
        return pa.array(texts, pa.string()), flags

    def _cells(self, column: pa.BinaryArray) -> pa.StringArray:
        """Ids or dates as text without blanks around it; nothing where a cell is empty."""
        column = column.fill_null(b"")
        offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
        start, end = offsets[:-1], offsets[1:]
        full = end > start
        if not full.any():
            return pa.nulls(len(column), pa.string())
        data = np.frombuffer(column.buffers()[2], np.uint8)
        edges = (data[start[full]], data[end[full] - 1])
        clean = np.logical_and.reduce([(edge > 32) & (edge < 127) for edge in edges])
        if clean.all() and self._decoder.utf8:
            try:
                text = column.cast(pa.string())
                return text if full.all() else pa.compute.if_else(pa.array(full), text, None)
            except pa.ArrowInvalid:
                pass
        values = [self._decoder.text(raw)[0].strip() if raw else None for raw in column.to_pylist()]
        return pa.array(values, pa.string())

    def _filtered(self, piece: Piece) -> list[int]:
        """Records that do not have what the user asked for."""
        out = np.zeros(len(piece.at), bool)
        for number, value in self._wanted.items():
            out |= np.array([(cell or b"").strip() != value for cell in piece.columns[number].to_pylist()], bool)
        return np.flatnonzero(out).tolist()


def _nothing_but(start: int, end: int) -> Batch:
    none = pa.nulls(0, pa.string())
    empty = np.zeros(0, np.int64)
    return Batch(
        start=start, end=end, text=none, message_id=none, channel_id=none, date=none, offset=empty, length=empty,
        separators=end - start,
    )  # fmt: skip
