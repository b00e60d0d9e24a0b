"""CSV: message dumps in any state of their quotes, and tables with any columns by `--map column=field`."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.dialect import SAMPLE, Dialect
from biasaudit.corpus.dump import DumpReader, Raw
from biasaudit.corpus.dump_batch import BatchMaker, Wanted
from biasaudit.corpus.dump_bulk import BulkReader
from biasaudit.corpus.dump_lines import Block
from biasaudit.corpus.dump_order import FORGED, OrderJudge, Signs, signs_of
from biasaudit.corpus.dump_piece import COLUMNS, Piece
from biasaudit.corpus.dump_survey import Sample, find_dialect, missing
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import PageReturner, digest_of, mapped
from biasaudit.corpus.reading import FILTERED, Gap, Item, Reading, SourceOptions, Survey, regular_size
from biasaudit.corpus.table import TableReader
from biasaudit.errors import CorpusError
from biasaudit.records import Message, Reject

SUFFIXES = (".csv", ".tsv", ".tab")

_PART = 1 << 20
"""Bytes of a sample from the middle and from the end of a file."""
_TOGETHER = 4096
"""Records whose order is judged together."""


@dataclass(frozen=True, slots=True)
class Found:
    """What `survey` hands on to `stretch`; positions count in the mapped file."""

    dialect: Dialect
    signs: Signs
    content: int
    """Where the content starts: what stands before the first record is a byte order mark and a header."""


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find the dialect in a sample of the file.

    Raises:
        CorpusError: missing or empty file, or no column that holds the text.
        UnknownNameError: a quoting that does not exist.
    """
    size = regular_size(path)
    decoder = Decoder(path, options.encoding)
    if size <= decoder.bom:
        raise CorpusError(f"{path}: the file is empty. Give a dump with at least one record.")
    found = _found(path, size, decoder, options)
    _wanted(path, found.dialect, options, decoder)
    notes = {"encoding": decoder.encoding, "encoding_because": decoder.explained, **found.dialect.notes}
    return Survey(
        path=path, label=options.label or path.name, kind="csv", size=size, options=options, notes=notes,
        detail=found, cuts=() if decoder.wide else None,
    )  # fmt: skip


def stretch(survey: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the records that begin in [start, stop).

    Records are the same wherever the file is cut: a reader that stands at a record's start knows all that it needs.

    Raises:
        CorpusError: the file is no longer what `survey` saw.
    """
    found = survey.detail
    if not isinstance(found, Found):
        raise CorpusError(f"{survey.path}: not surveyed as a CSV file. Run the survey again.")
    decoder = Decoder(survey.path, survey.options.encoding)
    dialect = found.dialect
    wanted = _wanted(survey.path, dialect, survey.options, decoder)
    with mapped(survey.path, decoder) as (view, _):
        reader: BulkReader | TableReader
        if dialect.messages:
            reader = BulkReader(view, dialect)
        else:
            reader = TableReader(view, dialect, tuple(wanted))
            wanted = {len(COLUMNS) + n: value for n, value in enumerate(wanted.values())}
        maker = BatchMaker(view, survey, decoder, wanted)
        if decoder.wide:
            start, stop = 0, len(view)
        position: int | None = start
        if start == 0:
            yield maker.leading(found.content, dialect.start)
            position = dialect.start
        elif not synced:
            position = reader.first_start(start, stop)
        judge = OrderJudge(view, dialect, found.signs) if found.signs else None
        pages = PageReturner(view)
        for piece, forged in _judged(reader.pieces(stop if position is None else position, stop), judge):
            yield maker.batch(piece, forged, counted=dialect.messages)
            pages.passed(piece.end)
        if decoder.wide and maker.reached < survey.size:
            yield maker.remainder()


def _judged(pieces: Iterator[Piece], judge: OrderJudge | None) -> Iterator[tuple[Piece, frozenset[int]]]:
    """Every piece with the places of its forged records; its neighbours lend it the lines that they know."""
    known: list[tuple[int, Block]] = []
    waiting: Piece | None = None
    for piece in chain(pieces, [None]):
        if piece is not None and piece.block is not None:
            known.append((piece.start, piece.block))
        if waiting is not None:
            last = int(waiting.at[-1]) + 1 if len(waiting.at) else waiting.start
            yield waiting, frozenset(judge.forged(waiting.start, last, known).tolist() if judge else ())
        del known[:-2]
        waiting = piece


# ---------------------------------------------------------------------------- one by one, the reference


def read(path: Path, options: SourceOptions) -> Reading:
    """Read a CSV file of either kind, span by span; slow, and what `stretch` is held to.

    Raises:
        CorpusError: missing or empty file, or no column that holds the text.
        UnknownNameError: a quoting that does not exist.
    """
    found = survey(path, options)
    notes = dict(found.notes)
    return Reading(items=_items(found, notes), size=found.size, notes=notes)


def _items(survey: Survey, notes: dict[str, object]) -> Iterator[Item]:
    path, label, found = survey.path, survey.label, survey.detail
    assert isinstance(found, Found)
    decoder = Decoder(path, survey.options.encoding)
    wanted = _wanted(path, found.dialect, survey.options, decoder)
    offset = decoder.bom
    if offset:
        yield Gap(offset=0, length=offset, reason="byte order mark")
    with mapped(path, decoder) as (view, _):
        pages = PageReturner(view)
        for span in _spans(view, found, notes):
            length = decoder.length_between(view, span.start, span.end)
            if span.values is not None:
                yield _message(span, found.dialect, wanted, decoder, label, offset, length)
            elif span.gap:
                yield Gap(offset=offset, length=length, reason=span.reason)
            else:
                digest = digest_of(view, span.start, span.end)
                yield Reject(source=label, offset=offset, length=length, reason=span.reason, sha256=digest)
            offset += length
            pages.passed(span.end)
    if offset < survey.size:
        yield Gap(offset=offset, length=survey.size - offset, reason="half a UTF-16 unit at the end")


def _message(
    span: Raw, dialect: Dialect, wanted: Wanted, decoder: Decoder, label: str, offset: int, length: int
) -> Message:
    values = span.values or ()
    numbers = {name: n for n, name in enumerate(COLUMNS)} if dialect.messages else dialect.fields
    cells = {name: values[number] for name, number in numbers.items()}
    text, flags = decoder.text(cells["text"] or b"")
    flags += span.flags
    if any((values[number] or b"").strip() != value for number, value in wanted.items()):
        flags += (FILTERED,)
    return Message(
        text=text,
        message_id=_cell(cells.get("id"), decoder),
        channel_id=_cell(cells.get("channel_id"), decoder),
        date=_cell(cells.get("date"), decoder),
        source=label,
        offset=offset,
        length=length,
        flags=flags,
    )


def _cell(value: bytes | None, decoder: Decoder) -> str | None:
    return decoder.text(value)[0].strip() if value else None


def _spans(view: mmap.mmap, found: Found, notes: dict[str, object]) -> Iterator[Raw]:
    dialect = found.dialect
    if dialect.start > found.content:
        yield Raw(found.content, dialect.start, reason="header", gap=True)
    if not dialect.messages:
        yield from TableReader(view, dialect).rows()
        return
    judge = OrderJudge(view, dialect, found.signs) if found.signs else None
    misread = forged = 0
    spans = DumpReader(view, dialect).spans()
    while several := list(islice(spans, _TOGETHER)):
        places = set(judge.forged(several[0].start, several[-1].end).tolist()) if judge else set()
        for raw in several:
            text = raw.values[0] or b"" if raw.values is not None else b""
            misread += raw.bare and any(text.find(byte) >= 0 for byte in dialect.delimiter + b'"\n\r')
            if raw.values is not None and raw.start in places:
                forged += 1
                yield replace(raw, flags=(*raw.flags, FORGED))
            else:
                yield raw
    notes["misread_by_a_csv_parser"] = misread
    notes["forged_record_starts"] = forged


# ---------------------------------------------------------------------------- finding out


def _found(path: Path, size: int, decoder: Decoder, options: SourceOptions) -> Found:
    head = decoder.head(SAMPLE)
    content = 0 if decoder.wide else decoder.bom
    whole = len(head) < SAMPLE if decoder.wide else content + len(head) >= size
    further: tuple[bytes, ...] = ()
    if not decoder.wide and size > SAMPLE + 4 * _PART:
        with path.open("rb") as handle:
            further = tuple(_lines_from(handle.read(_PART)) for at in ((size + SAMPLE) // 2, size - _PART)
                            if handle.seek(at))  # fmt: skip
    dialect = find_dialect(path, Sample(head, whole, further), content, options)
    here = replace(dialect, start=dialect.start - content)
    signs = signs_of(head, here) if dialect.messages else Signs()
    return Found(dialect, signs, content)


def _lines_from(part: bytes) -> bytes:
    """Without the line that the cut went through, at either end."""
    first, last = part.find(b"\n") + 1, part.rfind(b"\n") + 1
    return part[first:last]


def _wanted(path: Path, dialect: Dialect, options: SourceOptions, decoder: Decoder) -> Wanted:
    """Number of a column (of a dump's `COLUMNS`) -> the value that a record must have there."""
    found: dict[int, bytes] = {}
    for column, value in options.where.items():
        if column not in dialect.columns:
            raise CorpusError(f"{path}: {missing(column, dialect.columns)}")
        number = dialect.columns.index(column)
        if dialect.messages:
            name = next(n for n, at in dialect.fields.items() if at == number)
            number = COLUMNS.index(name)
        found[number] = decoder.encoded(value)
    return found
