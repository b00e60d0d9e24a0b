"""What kind of CSV a file is, found out from a sample of it, with the reasons."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus import dialect as dialects
from biasaudit.corpus.dialect import Dialect, recogniser
from biasaudit.corpus.dump import QUOTED, QUOTED_BACKSLASH
from biasaudit.corpus.dump_bulk import BulkReader
from biasaudit.corpus.dump_trial import best_reading, is_table, with_trailing
from biasaudit.corpus.privacy import mask
from biasaudit.corpus.reading import SourceOptions
from biasaudit.errors import CorpusError, UnknownNameError

_BOM = b"\xef\xbb\xbf"
_SHOWN = 50
"""Names of columns, and letters of each, that an error shows."""
_CRLF_SHARE = 0.2
"""Share of records that end in CRLF above which all are read under CRLF."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The file's first bytes, as UTF-8, and a few stretches of what follows, each from a line's start on."""

    head: bytes
    whole: bool
    """The file ends with `head`."""
    further: tuple[bytes, ...] = ()


def find_dialect(path: Path, sample: Sample, content: int, options: SourceOptions) -> Dialect:
    """Say how a file is to be read.

    Args:
        path: for the messages of errors.
        sample: of the file behind its byte order mark.
        content: where `sample` starts; the dialect's `start` counts from the same place as this.
        options: what the user said, which overrules what is found.

    Raises:
        CorpusError: no record, or no column that holds the text.
        UnknownNameError: a quoting that does not exist.
    """
    if options.quoting is not None and options.quoting not in dialects.QUOTINGS:
        raise UnknownNameError("quoting", options.quoting, dialects.QUOTINGS)
    head = sample.head
    begin = 0
    while head.startswith(_BOM, begin):
        begin += len(_BOM)
    at, named, line = dialects.first_lines(head, begin)
    if not line.strip():
        raise CorpusError(f"{path}: holds no record. Give a dump with at least one.")
    given = _delimiter(options)
    delimiter = given or named or dialects.guess_delimiter(line)
    wrapped = dialects.looks_like_wrapped(head, at, delimiter)
    header: bytes | None = line
    if dialects.looks_like_record(line, delimiter):
        columns, header = list(dialects.DEFAULT_COLUMNS), None
    else:
        columns = dialects.columns_of(line, delimiter)
    fields = dialects.fields_of(columns, options)
    # A map may speak of several files; one that speaks of none of this file's columns is misspelt.
    if "text" not in fields or (options.columns and not set(options.columns) & set(columns)):
        raise CorpusError(_no_text(path, columns, options))
    newline = dialects.newline_of(head, at)
    after = at + len(line) + len(newline) if header is not None else at
    found = Dialect(
        delimiter=delimiter, columns=tuple(columns), fields=fields, header=header, start=min(after, len(head)),
        newline=newline, messages=False, quoting="mixed", notes={"content_starts_at": content},
    )  # fmt: skip
    table = with_trailing(found, head) if header is not None else found
    found = _dump_or_table(table, sample, options)
    if found.messages:
        found = _with_quoting(found, sample, options, wrapped=wrapped)
        told = options.quoting is not None or header is None or wrapped
        if not told and is_table(table, found, head, whole=sample.whole):
            found = dataclasses.replace(table, notes={"content_starts_at": content, "kind": "table"})
    found.notes.update(
        columns=list(columns), delimiter=delimiter.decode("latin-1"),
        delimiter_because="given by the user" if given else "named by the sep= line" if named else
        "splits the first line into most columns", header=header is not None, line_end=found.newline.decode("ascii"),
    )  # fmt: skip
    if not found.messages:
        backslash = found.quoting == "backslash"
        found.notes["quoting"] = "with backslashes before quotes" if backslash else "as Python's csv reads it"
    return dataclasses.replace(found, start=found.start + content)


def _dump_or_table(found: Dialect, sample: Sample, options: SourceOptions) -> Dialect:
    """Decide whether rows are read by their record starts or by their columns, and what that needs to be known."""
    head = sample.head
    known = len(found.fields) == len(found.columns) and "date" in found.fields and not options.columns
    if found.header is None or known:
        found = dataclasses.replace(found, messages=True)
    else:
        found = best_reading(found, head, whole=sample.whole, needed=options.where)
    found.notes["kind"] = "message dump" if found.messages else "table"
    if not found.messages:
        return found
    found = dataclasses.replace(found, padded=dialects.is_padded(head, found))
    found = dataclasses.replace(found, date=dialects.date_of(head, found))
    return dataclasses.replace(found, newline=_newline_of_records(head, found))


def _with_quoting(found: Dialect, sample: Sample, options: SourceOptions, *, wrapped: bool) -> Dialect:
    """Judge the quoting on whole lines of the sample, unless the user or the first line settles it."""
    if options.quoting:
        found.notes["quoting_because"] = "given by the user"
        quoting = options.quoting
    elif wrapped:
        found.notes["quoting_because"] = "whole rows stand in quotes"
        quoting = "wrapped"
    else:
        head = sample.head
        whole = head if sample.whole else head[: head.rfind(found.newline[-1:]) + 1] or head
        quoting, counts = judge([(whole, min(found.start, len(whole))), *((part, 0) for part in sample.further)], found)
        size = len(whole) + sum(map(len, sample.further))
        found.notes["quoting_because"] = (
            f"in {size} bytes looked at {counts['quoted']} records close their quotes cleanly and "
            f"{counts['bare']} could not have been written with quotes"
        )
    found.notes["quoting"] = quoting
    found.notes["record_start"] = _shown(found)
    return dataclasses.replace(found, quoting=quoting)


def judge(samples: Iterable[tuple[bytes, int]], dialect: Dialect) -> tuple[str, dict[str, int]]:
    """Decide the quoting of a dump by the records of samples that tell; also gives the counts.

    Args:
        samples: stretches of the dump, and where the first record starts in each.
        dialect: all but the quoting, which is `mixed`.
    """
    counts = {"quoted": 0, "bare": 0, "backslash": 0, "double": 0, "inner": 0, "enclosed": 0, "unopened": 0}
    needless = plain = 0
    special = re.compile(rb'[%s"\r\n]' % re.escape(dialect.delimiter))
    for sample, start in samples:
        for piece in BulkReader(sample, dialect).pieces(start, len(sample)):
            text = piece.columns[0].fill_null(b"")
            opened = pc.starts_with(text, '"').to_numpy(zero_copy_only=False)
            bare = piece.bare.copy()
            counts["unopened"] += int((~opened & ~piece.quoted).sum())
            for n in np.flatnonzero(opened & bare).tolist():
                value = text[n].as_py()
                counts["backslash"] += b'\\"' in value and bool(QUOTED_BACKSLASH.fullmatch(value))
                # A sample may end inside quotes, and lines that are no records may follow a closed one.
                cut = piece.stop[n] == len(sample) and "unclosed-quote" in piece.flags.get(n, ())
                bare[n] = not cut and not _closes_at_a_line(value)
                counts["enclosed"] += bool(bare[n]) and len(value) > 1 and value.rstrip(b"\r\n").endswith(b'"')
            ended = pc.ends_with(text, "\n").to_numpy(zero_copy_only=False) & bare
            for n in np.flatnonzero(ended).tolist():
                # Blank lines between records tell nothing.
                bare[n] = special.search(text[n].as_py().rstrip(b"\r\n")) is not None
            quoted = text.filter(pa.array(piece.quoted)).to_pylist()
            needless += sum(not special.search(value) for value in quoted)
            plain += int((~piece.quoted & ~piece.bare).sum())
            counts["quoted"] += len(quoted)
            counts["bare"] += int(bare.sum())
            twice = [
                value for value in text.filter(pa.array(opened & piece.quoted)).to_pylist() if QUOTED.fullmatch(value)
            ]
            counts["double"] += len(twice)
            counts["inner"] += sum(b'""' in value[1:-1] for value in twice)
    if plain and counts["bare"]:
        # Who leaves plain texts without quotes quotes only those that need it: other quotes are the messages' own.
        counts["quoted"] -= needless
    return dialects.verdict(**counts), counts


def _closes_at_a_line(text: bytes) -> bool:
    """Whether a quote opens a text and closes at the end of one of its lines, with no quote after it."""
    found = QUOTED.match(text)
    return (
        found is not None and text[found.end() : found.end() + 1] in (b"\n", b"\r") and b'"' not in text[found.end() :]
    )


def _shown(dialect: Dialect) -> str:
    """The start of a record in short, for people: three patterns of the columns before the text."""
    forms = dict.fromkeys(dialect.fields, "…") | {
        "id": r"\d+",
        "channel_id": r"-?\d+",
    }
    forms["date"] = r"\d{4}-…" if dialect.date == dialects.DATE else "date…"
    kinds = {number: name for name, number in dialect.fields.items()}
    before = [forms[kinds[n]] for n in range(dialect.fields["text"])]
    if not before:
        return "the line after the columns behind a message"
    shown = dialect.delimiter.decode("latin-1").join(before)
    return "^" + (shown if shown.endswith("…") else shown + dialect.delimiter.decode("latin-1"))


def _newline_of_records(head: bytes, dialect: Dialect) -> bytes:
    """The line end before most records: the header's may be another one, and messages hold any."""
    if not dialect.fields["text"]:
        return dialect.newline
    body = dataclasses.replace(dialect, newline=b"\n", header=None)
    starts = recogniser(body).strict.pattern[len(re.escape(b"\n")) :]
    if b"\r" not in head:
        return b"\n"
    counts = {
        end: len(re.findall(before + end + starts, head))
        for end, before in ((b"\r\r\n", b""), (b"\r\n", rb"(?<!\r)"), (b"\n", rb"(?<!\r)"), (b"\r", b""))
    }
    if not any(counts.values()):
        return dialect.newline
    if counts[b"\r\n"] >= _CRLF_SHARE * sum(counts.values()):
        # Reading under CRLF takes a line feed alone for a line's end too, so it fits files joined from both kinds.
        return b"\r\n"
    return max(counts, key=lambda end: (counts[end], end == dialect.newline))


def _delimiter(options: SourceOptions) -> bytes | None:
    if options.delimiter is None:
        return None
    text = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
    if len(text.encode()) != 1 or text in '"\r\n':
        raise CorpusError(f"--delimiter {options.delimiter!r}: give one character, for instance ';' or 'tab'.")
    return text.encode()


def _no_text(path: Path, columns: Iterable[str], options: SourceOptions) -> str:
    names = list(columns)
    asked = [column for column, name in options.columns.items() if name in ("text", "message")]
    if asked:
        return f"{path}: {missing(asked[0], names)}"
    return f"{path}: no column is called text or message. Name it with --map COLUMN=text. Columns: {_listed(names)}."


def missing(column: str, columns: Iterable[str]) -> str:
    """Say that a column is not there, and which one was perhaps meant."""
    names = list(columns)
    near = difflib.get_close_matches(column, names, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"no column '{column}'.{hint} Columns: {_listed(names)}."


def _listed(names: list[str]) -> str:
    """Names for a message: a first line that is no header can be of any length, and hold what a person wrote."""
    few = [mask(name[: 4 * _SHOWN]).text for name in names[:_SHOWN]]
    shown = ", ".join(name if len(name) <= _SHOWN else name[:_SHOWN] + "…" for name in few)
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
