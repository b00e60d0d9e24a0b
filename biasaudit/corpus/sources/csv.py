"""CSV: message dumps in any state of their quotes, and tables with any columns by `--map column=field`."""

from __future__ import annotations

import dataclasses
import difflib
import mmap
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from biasaudit.corpus import dialect as dialects
from biasaudit.corpus.dialect import Dialect
from biasaudit.corpus.dump import DumpReader, Raw, directions, flag_forged, judge
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import PageReturner, digest_of, mapped
from biasaudit.corpus.reading import FILTERED, Gap, Item, Reading, SourceOptions, regular_size
from biasaudit.corpus.table import Row, TableReader
from biasaudit.errors import CorpusError, UnknownNameError
from biasaudit.records import Message, Reject

SUFFIXES = (".csv", ".tsv", ".tab")

_SEQUENCE_SAMPLE = 2000


def read(path: Path, options: SourceOptions) -> Reading:
    """Read a CSV file of either kind.

    Raises:
        CorpusError: missing or empty file, or no column that holds the text.
        UnknownNameError: a quoting that does not exist.
    """
    size = regular_size(path)
    decoder = Decoder(path, options.encoding)
    if size <= decoder.bom:
        raise CorpusError(f"{path}: the file is empty. Give a dump with at least one record.")
    if options.quoting is not None and options.quoting not in dialects.QUOTINGS:
        raise UnknownNameError("quoting", options.quoting, dialects.QUOTINGS)
    notes: dict[str, object] = {}
    return Reading(items=_items(path, size, decoder, options, notes), size=size, notes=notes)


def _items(path: Path, size: int, decoder: Decoder, options: SourceOptions, notes: dict[str, object]) -> Iterator[Item]:
    label = options.label or path.name
    offset = decoder.bom
    if offset:
        yield Gap(offset=0, length=offset, reason="byte order mark")
    with mapped(path, decoder) as (view, start):
        pages = PageReturner(view)
        dialect = _dialect(path, view, start, options)
        notes.update({"encoding": decoder.encoding, "encoding_because": decoder.explained}, **dialect.notes)
        wanted = _wanted(path, dialect, options)
        spans = _dump(view, dialect, notes) if dialect.messages else _table(view, dialect)
        for span in spans:
            length = decoder.length_between(view, span.start, span.end)
            if isinstance(span, Row) and span.cells is not None:
                yield _message(span.cells, dialect.fields, wanted, span, decoder, label, offset, length)
            elif isinstance(span, Raw) and span.values is not None:
                yield _message(span.values, _DUMP_FIELDS, wanted, span, decoder, label, offset, length)
            elif span.gap:
                yield Gap(offset=offset, length=length, reason=span.reason)
            else:
                digest = digest_of(view, span.start, span.end)
                yield Reject(source=label, offset=offset, length=length, reason=span.reason, sha256=digest)
            offset += length
            pages.passed(span.end)
    if offset < size:
        yield Gap(offset=offset, length=size - offset, reason="half a UTF-16 unit at the end")


_DUMP_FIELDS = {"text": 0, "id": 1, "channel_id": 2, "date": 3}


def _message(
    cells: tuple[bytes | None, ...], fields: dict[str, int], wanted: dict[int, bytes], span: Row | Raw,
    decoder: Decoder, label: str, offset: int, length: int,
) -> Message:  # fmt: skip
    text, flags = decoder.text(cells[fields["text"]] or b"")
    if isinstance(span, Raw):
        flags += span.flags
    if any((cells[number] or b"").strip() != value for number, value in wanted.items()):
        flags += (FILTERED,)
    return Message(
        text=text,
        message_id=_cell(cells, fields.get("id"), decoder),
        channel_id=_cell(cells, fields.get("channel_id"), decoder),
        date=_cell(cells, fields.get("date"), decoder),
        source=label,
        offset=offset,
        length=length,
        flags=flags,
    )


def _cell(cells: tuple[bytes | None, ...], number: int | None, decoder: Decoder) -> str | None:
    if number is None:
        return None
    value = cells[number]
    return decoder.text(value)[0].strip() if value else None


# ---------------------------------------------------------------------------- spans of either kind


def _dump(view: mmap.mmap, dialect: Dialect, notes: dict[str, object]) -> Iterator[Raw]:
    first = _content(dialect)
    if dialect.start > first:
        yield Raw(first, dialect.start, reason="header", gap=True)
    sample = list(islice((r for r in DumpReader(view, dialect).spans() if r.values), _SEQUENCE_SAMPLE))
    ids, dates = directions(sample)
    misread = forged = 0
    d = dialect.delimiter
    for raw in flag_forged(DumpReader(view, dialect).spans(), ids=ids, dates=dates):
        if raw.values is not None and raw.bare:
            text = raw.values[0] or b""
            misread += d in text or b'"' in text or b"\n" in text or b"\r" in text
            forged += "forged-record-start" in raw.flags
        yield raw
    notes["misread_by_a_csv_parser"] = misread
    notes["forged_record_starts"] = forged


def _table(view: mmap.mmap, dialect: Dialect) -> Iterator[Row]:
    first = _content(dialect)
    if dialect.start > first:
        yield Row(first, dialect.start, reason="header", gap=True)
    yield from TableReader(view, dialect).rows()


def _content(dialect: Dialect) -> int:
    """Where the content starts: what stands between it and the first record is header, `sep=` line and blanks."""
    return int(str(dialect.notes["content_starts_at"]))


# ---------------------------------------------------------------------------- finding the dialect


def _dialect(path: Path, view: mmap.mmap, start: int, options: SourceOptions) -> Dialect:
    sample = view[start : start + dialects.SAMPLE]
    at, named, line = dialects.first_lines(sample, 0)
    if not line.strip():
        raise CorpusError(f"{path}: holds no record. Give a dump with at least one.")
    newline = dialects.newline_of(sample, at)
    given = _delimiter(options)
    delimiter = given or named or dialects.guess_delimiter(line)
    because = (
        "given by the user"
        if given
        else "named by the sep= line"
        if named
        else "splits the first line into most columns"
    )
    wrapped = dialects.looks_like_wrapped(sample, at, delimiter)
    header: bytes | None = line
    if dialects.looks_like_record(line, delimiter):
        columns, header = list(dialects.DEFAULT_COLUMNS), None
    else:
        columns = dialects.columns_of(line, delimiter)
    fields = dialects.fields_of(columns, options)
    if "text" not in fields:
        raise CorpusError(_no_text(path, columns, options))
    after = at + len(line) + len(newline) if header is not None else at
    messages = header is None or (len(fields) == len(columns) and "date" in fields and not options.columns)
    found = Dialect(
        delimiter=delimiter, columns=tuple(columns), fields=fields, header=header,
        start=min(start + after, len(view)), newline=newline, messages=messages, quoting="mixed",
        notes={"content_starts_at": start, "kind": "message dump" if messages else "table"},
    )  # fmt: skip
    found.notes.update(
        columns=list(columns), delimiter=delimiter.decode("latin-1"), delimiter_because=because,
        header=header is not None, line_end=newline.decode("ascii"),
    )  # fmt: skip
    if not messages:
        found.notes["quoting"] = "as Python's csv reads it"
        return found
    return _with_quoting(found, sample, start, options, wrapped=wrapped)


def _with_quoting(found: Dialect, sample: bytes, start: int, options: SourceOptions, *, wrapped: bool) -> Dialect:
    """Judge the quoting on whole lines of the sample, unless the user or the first line settles it."""
    if options.quoting:
        found.notes["quoting_because"] = "given by the user"
        quoting = options.quoting
    elif wrapped:
        found.notes["quoting_because"] = "whole rows stand in quotes"
        quoting = "wrapped"
    else:
        whole = sample[: sample.rfind(found.newline[-1:]) + 1] or sample
        if len(sample) < dialects.SAMPLE:
            whole = sample
        quoting, counts = judge(whole, dataclasses.replace(found, start=min(found.start - start, len(whole))))
        found.notes["quoting_because"] = (
            f"in the first {len(whole)} bytes {counts['quoted']} records close their quotes cleanly and "
            f"{counts['bare']} could not have been written with quotes"
        )
    found.notes["quoting"] = quoting
    found.notes["record_start"] = "numbers and a date at the start of a line"
    return dataclasses.replace(found, quoting=quoting)


def _delimiter(options: SourceOptions) -> bytes | None:
    if options.delimiter is None:
        return None
    text = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    if len(text.encode()) != 1 or text in '"\r\n':
        raise CorpusError(f"--delimiter {options.delimiter!r}: give one character, for instance ';' or 'tab'.")
    return text.encode()


def _wanted(path: Path, dialect: Dialect, options: SourceOptions) -> dict[int, bytes]:
    """Number of a column (or of a dump's field) -> the value that a record must have there."""
    found: dict[int, bytes] = {}
    for column, value in options.where.items():
        if column not in dialect.columns:
            raise CorpusError(f"{path}: {_missing(column, dialect.columns)}")
        number = dialect.columns.index(column)
        if dialect.messages:
            name = next(n for n, at in dialect.fields.items() if at == number)
            number = _DUMP_FIELDS[name]
        found[number] = value.encode()
    return found


def _no_text(path: Path, columns: Iterable[str], options: SourceOptions) -> str:
    names = list(columns)
    asked = [column for column, name in options.columns.items() if name in ("text", "message")]
    if asked:
        return f"{path}: {_missing(asked[0], names)}"
    return f"{path}: no column is called text or message. Name it with --map COLUMN=text. Columns: {', '.join(names)}."


def _missing(column: str, columns: Iterable[str]) -> str:
    names = list(columns)
    near = difflib.get_close_matches(column, names, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"no column '{column}'.{hint} Columns: {', '.join(names)}."
