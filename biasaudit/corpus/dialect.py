r"""What kind of CSV a dump is: delimiter, header, line ends, quoting; each found with a reason, each overrulable.

A dump of messages (`id,channel_id,date,message`, in any order) has a second handle besides quotes: a record starts
with numbers and a date. Where quotes are missing, doubled or broken, that start tells records apart. Any other table
has its quotes only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from biasaudit.corpus.encoding import decode
from biasaudit.corpus.reading import SourceOptions, checked_columns, field_of

SAMPLE = 4 << 20
"""Bytes that the dialect is judged by."""

DEFAULT_COLUMNS = ("id", "channel_id", "date", "message")
"""Columns of the study's dumps when there is no header."""

QUOTINGS = ("quoted", "unquoted", "mixed", "double", "backslash", "wrapped", "enclosed")

_DELIMITERS = (b",", b";", b"\t", b"|")
_MIXED_SHARE = 0.05
"""Share of cleanly quoted records among the telling ones above which quotes are believed."""
_MANY = 10
"""Records without quotes, among which a single quoted text is a message that was written so."""
DATE = rb"(?:\d{4}-\d\d-\d\d|\d\d/\d\d/\d{4})"
"""Dates that every dump may have; a dump whose first record has another form is read by that one alone."""
_OTHER_DATES = (
    rb"\d{4}[/.]\d\d?[/.]\d\d?", rb"\d{4}-\d\d?-\d\d?", rb"\d\d?[/.-]\d\d?[/.-]\d{4}", rb"\d\d?/\d\d?/\d\d(?!\d)",
    rb"\d{8}T?\d{4,6}", rb"\d{9,13}", rb"\d\d?[ -][A-Za-z]{3,9}\.?[ -]\d{4}",
)  # fmt: skip
_FIRST_DATES = b"|".join([DATE, *_OTHER_DATES])
_TRIED_LINES = 100
CELL_LIMIT = 64
"""Bytes that an id may have for its line to count as a record's start."""
DATE_LIMIT = 40
"""Bytes that may follow a date in its cell."""
NUMBER_LIMIT = 40
"""Digits of an id."""
NO_DATES = (b"NULL", b"\\N")
"""What databases write where there is no date."""
_NO_DATE = rb"(?:%s)" % b"|".join(map(re.escape, NO_DATES))
_BOM = b"\xef\xbb\xbf"
NUL_LIMIT = 4096
"""NUL bytes, as a lost block leaves them, that may stand before a record or at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How to read one dump."""

    delimiter: bytes
    columns: tuple[str, ...]
    """Names of the columns, in the order of the file."""
    fields: dict[str, int]
    """Field -> number of its column; always holds `text`. In a message dump every other column has a name here too."""
    header: bytes | None
    """The header line without its end, or None when there is none."""
    start: int
    """Where the first record starts."""
    newline: bytes
    date: bytes = DATE
    """Pattern of what a date starts with."""
    padded: bool = False
    """A blank follows every delimiter."""
    messages: bool
    """True when rows hold a date and are read by their record starts."""
    quoting: str = "quoted"
    notes: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recogniser:
    """The patterns of a message dump's records."""

    lenient: re.Pattern[bytes]
    """All columns before the text, at a position; one group each, quotes allowed."""
    strict: re.Pattern[bytes]
    """A line end, then the columns before the text as bare numbers and dates, or a repeated header."""
    starts: re.Pattern[bytes]
    """At the start of a line: a record, bare or quoted, or a header; after a byte order mark or not."""
    header: re.Pattern[bytes]
    """A header line with its end, however its names are quoted or ordered."""
    suffix: re.Pattern[bytes] | None
    """All columns after the text up to the line's end, or None when the text stands last."""
    partial: re.Pattern[bytes]
    """The beginning of a record that the file's end cut off."""


def recogniser(dialect: Dialect) -> Recogniser:
    """Build the patterns for a dialect whose columns are all known fields."""
    d = re.escape(dialect.delimiter)
    after_cell = d + b" ?" if dialect.padded else d
    text = dialect.fields["text"]
    kinds = {number: name for name, number in dialect.fields.items()}
    before = [kinds[n] for n in range(text)]
    after = [kinds[n] for n in range(text + 1, len(dialect.columns))]
    any_cell = rb"[^%s\r\n\"]{0,%d}" % (d, CELL_LIMIT)
    date = dialect.date + rb"[^%s\r\n\"]{0,%d}" % (d, DATE_LIMIT)
    bare = dict.fromkeys(kinds.values(), any_cell) | {"id": rb"\d{0,40}", "channel_id": rb"-?\d{0,40}", "date": date}
    loose = dict.fromkeys((*kinds.values(), "id", "channel_id"), any_cell) | {"date": date}
    strict = b"".join(rb'"?%s"?%s' % (bare[k], after_cell) for k in before)
    cells = {k: rb'(?:"(%s)"|(%s))' % (loose[k], loose[k]) for k in loose}
    lenient = b"".join(cells[k] + after_cell for k in before)
    if may_lack_date(before):
        numbers = dict.fromkeys(kinds.values(), rb'"?%s"?' % any_cell)
        numbers |= {"id": rb'"?\d{1,40}"?', "channel_id": rb'"?-?\d{1,40}"?', "date": rb'(?:""|%s)?' % _NO_DATE}
        undated = b"".join(numbers[k] + after_cell for k in before)
        strict = rb"(?:%s|%s)" % (strict, undated)
        dated = b"".join(rb'(?:"%s"|%s)%s' % (loose[k], loose[k], after_cell) for k in before)
        cells["date"] = rb'(?:"((?:%s)?)"|((?:%s|%s)?))' % (date, date, _NO_DATE)
        lenient = rb"(?=%s|%s)" % (dated, undated) + b"".join(cells[k] + after_cell for k in before)
    # Any order: what stands below a header of another order must not pass for the message above it.
    name = rb'[ \t]*"?(?:%s)"?[ \t]*' % b"|".join(re.escape(column.encode()) for column in dialect.columns)
    header = rb"(?i:%s)" % d.join([name] * len(dialect.columns))
    if not all(dialect.columns):
        # Columns without a name: in any order, a line of nothing but delimiters would be a header.
        exact = [rb'[ \t]*"?%s"?[ \t]*' % re.escape(column.encode()) for column in dialect.columns]
        header = rb"(?i:%s)" % d.join(exact)
    start = rb"(?:%s|\0{1,%d})?(?:%s|%s(?:\r?\n|\r|\Z))" % (_BOM, NUL_LIMIT, strict, header)
    start = rb"(?:%s|\0{1,%d}\Z)" % (start, NUL_LIMIT)
    tail = b"".join(d + rb'(?:"(%s)"|(%s))' % (loose[k], loose[k]) for k in after)
    return Recogniser(
        lenient=re.compile(lenient),
        strict=re.compile(re.escape(dialect.newline[-1:]) + rb"(?=%s)" % start),
        starts=re.compile(rb"%s|%s" % (start, lenient)),
        header=re.compile(header + rb"(?:\r\n|\n|\r|\Z)"),
        suffix=re.compile(tail + rb"(\r\n|\n|\r|\Z)") if after else None,
        partial=re.compile(rb"\d{1,40}%s(?:-?\d{0,40}(?:%s[\d:T .+Z/-]{0,40})?)?\Z" % (d, d)),
    )


def may_lack_date(before: Sequence[str]) -> bool:
    """Whether a record without a date can be told by the columns before its text: only when both numbers are there."""
    return {"id", "channel_id", "date"} <= set(before)


def columns_of(line: bytes, delimiter: bytes) -> list[str]:
    """Names in a header line."""
    names = decode(line)[0].split(delimiter.decode())
    return [name.strip().strip('"').strip() for name in names]


def fields_of(columns: Sequence[str], options: SourceOptions) -> dict[str, int]:
    """Field -> column number: by the user's map, and by their names for the rest."""
    found: dict[str, int] = {}
    for number, column in enumerate(columns):
        name = field_of(column)
        if name is not None:
            found.setdefault(name, number)
    for column, name in checked_columns(options.columns).items():
        if column in columns:
            found[name] = columns.index(column)
    return found


def looks_like_record(line: bytes, delimiter: bytes) -> bool:
    """Whether a line starts as the study's records do: number, number, date."""
    d = re.escape(delimiter)
    pattern = rb'"{0,3}\d+"{0,2}%s"{0,2}-?\d+"{0,2}%s"{0,2}(?:%s|(?:%s)[^%s]{0,%d}%s)'
    return re.match(pattern % (d, d, DATE, _FIRST_DATES, d, DATE_LIMIT, d), line) is not None


def looks_like_wrapped(sample: bytes, start: int, delimiter: bytes) -> bool:
    """Whether the first record is one quoted cell: a quote, then number, number and date with no quote between."""
    d = re.escape(delimiter)
    pattern = b"|".join(
        rb'"%s\d+%s-?\d+%s(?:%s)[^"\r\n]*%s' % (q, q + d + q, q + d + q, _FIRST_DATES, q + d) for q in (b"", b'""')
    )
    line_after = re.compile(rb"(?:\r\n|\n|\r)").search(sample, start)
    places = [start] + ([line_after.end()] if line_after else [])
    return any(re.compile(pattern).match(sample, place) for place in places)


def first_lines(sample: bytes, start: int) -> tuple[int, bytes | None, bytes]:
    """Skip blank lines and a `sep=` line; gives the position, the delimiter it named, and the next line."""
    delimiter: bytes | None = None
    while start < len(sample):
        found = re.compile(rb"[^\r\n]*").match(sample, start)
        line = found.group() if found else b""
        end = start + len(line)
        end += 3 if sample[end : end + 3] == b"\r\r\n" else 2 if sample[end : end + 2] == b"\r\n" else 1
        named = re.fullmatch(rb'"?sep=(.)"? *', line, re.IGNORECASE)
        if named:
            delimiter = named.group(1)
        elif line.strip():
            return start, delimiter, line
        start = min(end, len(sample))
    return start, delimiter, b""


def guess_delimiter(line: bytes) -> bytes:
    """The delimiter that makes a first line a record, or else names most known fields, or else most columns."""
    for d in _DELIMITERS:
        if looks_like_record(line, d):
            return d
    known = {d: sum(field_of(name) is not None for name in columns_of(line, d)) for d in _DELIMITERS}
    return max(_DELIMITERS, key=lambda d: (known[d], line.count(d), -_DELIMITERS.index(d)))


def newline_of(sample: bytes, start: int) -> bytes:
    """The line end that the first line has."""
    found = re.compile(rb"\r\r?\n|\n|\r").search(sample, start)
    if found is None:
        return b"\n"
    # A file with a single lone CR in its first message still has LF as its line end.
    if found.group() == b"\r" and sample.count(b"\n", start) > 0:
        return b"\n"
    return found.group()


def date_of(sample: bytes, dialect: Dialect) -> bytes:
    """The pattern that the first record's date calls for."""
    number = dialect.fields.get("date")
    if number is None:
        return DATE
    before = number < dialect.fields["text"]
    place = number if before else number - len(dialect.columns)
    # The columns behind a text of several lines stand in a later line than the first.
    lines = islice(re.compile(rb"[^\r\n]+").finditer(sample, dialect.start), 1 if before else _TRIED_LINES)
    for line in lines:
        cells = line.group().split(dialect.delimiter)
        value = cells[place].strip(b' "') if len(cells) > max(place, -1 - place) + before else b""
        for form in (DATE, *_OTHER_DATES):
            if value and re.match(form, value):
                return form if form == DATE else rb"(?:%s)" % form
    return DATE


def is_padded(sample: bytes, dialect: Dialect) -> bool:
    """Whether a blank follows every delimiter of the header and of the columns before the first record's text."""
    if dialect.header is None:
        return False
    d = dialect.delimiter
    names = dialect.header.split(d)[1:]
    record = rb"(?:[^%s\r\n]*%s ){%d}" % (re.escape(d), re.escape(d), dialect.fields["text"])
    return (
        d != b" " and all(n.startswith(b" ") for n in names) and bool(re.compile(record).match(sample, dialect.start))
    )


def verdict(*, quoted: int, bare: int, backslash: int, double: int, inner: int, enclosed: int, unopened: int) -> str:
    """The quoting that the sample's telling records agree on.

    Args:
        quoted: records whose text is quoted and closes cleanly.
        bare: records that no writer of quotes could have written.
        backslash: records that close cleanly only when a backslash escapes quotes.
        double: records whose text, once unquoted, is quoted again.
        inner: those among them with doubled quotes inside.
        enclosed: those among the bare ones that begin and end with a quote.
        unopened: records whose text does not begin with a quote.
    """
    if backslash and backslash >= bare:
        return "backslash"
    if inner and double == quoted >= 2 and not bare:
        return "double"
    if not bare:
        return "quoted"
    if bare == enclosed and not unopened and quoted + bare > 1:
        return "enclosed"
    alone = quoted == 1 and bare >= _MANY
    return "mixed" if quoted / (quoted + bare) >= _MIXED_SHARE and not alone else "unquoted"
