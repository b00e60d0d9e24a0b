"""Records of a message dump in any state of its quotes, as spans of the mapped file.

At a record's start the columns before the text are matched; then the text is read as quoted when its quote closes
cleanly (the line ends there and another record, or the file's end, follows), and otherwise up to the next line that
starts as a record does. What starts as nothing known is set aside up to the next record.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass

from biasaudit.corpus.dialect import Dialect, Recogniser, recogniser
from biasaudit.corpus.dump_inside import INSIDE, InsideFinder
from biasaudit.corpus.reading import FIELD_LIMIT, ROW_LIMIT

QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')
QUOTED_BACKSLASH = re.compile(rb'"(?:[^"\\]|\\.|"")*+"', re.DOTALL)
_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")
_BLANK_LINES = re.compile(rb"(?:[ \t]{0,64}(?:\r\n|\n|\r))+")
_NULS = re.compile(rb"\0+")
_BOM = b"\xef\xbb\xbf"
_GAP_STARTS = (b" ", b"\t", b"\n", b"\r", b"\0", b"\xef")
BACKSLASHED = re.compile(rb'\\(["\\\r\n])|""')

Bytes = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Raw:
    """One span: a record when `values` is there, else a gap or a reject with its `reason`."""

    start: int
    end: int
    values: tuple[bytes | None, ...] | None = None
    """(text, id, channel_id, date), as bytes of the file without quotes."""
    reason: str = ""
    gap: bool = False
    flags: tuple[str, ...] = ()
    bare: bool = False
    """The text was read without quotes, so a line inside it could pass for a record."""


class DumpReader:
    """Reads one dump under one dialect."""

    def __init__(self, view: Bytes, dialect: Dialect, *, size: int | None = None) -> None:
        """Read `view` up to `size` (its end when None)."""
        self._view = view
        self._size = len(view) if size is None else size
        self._dialect = dialect
        self._patterns: Recogniser = recogniser(dialect)
        self.inside = InsideFinder(dialect)
        self._searched = (0, -1)
        text = dialect.fields["text"]
        self._before = {name: n for name, n in dialect.fields.items() if n < text}
        self._after = {name: n - text - 1 for name, n in dialect.fields.items() if n > text}
        d = re.escape(dialect.delimiter)
        cell = rb'("[^"]*+(?:""[^"]*+)*+"|[^%s"\r\n]*+)' % d
        self._row = re.compile(d.join([cell] * len(dialect.columns)) + rb"(?:\r\n|\n|\r|\Z)")
        letters = {letter.encode()[:1] for name in dialect.columns for letter in (name[:1].lower(), name[:1].upper())}
        nameless = () if all(dialect.columns) else (dialect.delimiter,)
        self._gap_starts = frozenset({*_GAP_STARTS, b'"', *letters, *nameless})
        self._date = re.compile(dialect.date + rb"[\d:T .+Z-]{0,40}")

    def spans(self, start: int | None = None) -> Iterator[Raw]:
        """Yield spans that tile the view from `start` (the dialect's when None) on; each depends on its start alone."""
        position = self._dialect.start if start is None else start
        while position < self._size:
            span = self.span(position)
            yield span
            position = span.end

    def span(self, position: int) -> Raw:
        """The span that begins at `position`, the end of another one."""
        return self._gap(position) or self._record(position) or self._unknown(position)

    def next_record(self, start: int, stop: int) -> int | None:
        """The first line in [start, stop) that starts as a record does, in a file that is read from its middle."""
        newline = self._dialect.newline[-1:]
        at = self._view.find(newline, max(start - 1, 0), stop)
        while at >= 0 and at + 1 < stop:
            if not self._before:
                found = self._patterns.suffix.search(self._view, start, self._size) if self._patterns.suffix else None
                return found.end() if found and found.end() < stop else None
            if self._patterns.starts.match(self._view, at + 1, self._size):
                return at + 1
            at = self._view.find(newline, at + 1, stop)
        return None

    def _gap(self, position: int) -> Raw | None:
        view = self._view
        first = view[position : position + 1]
        if first not in self._gap_starts:
            return None
        blank = _BLANK_LINES.match(view, position, self._size)
        if blank:
            return Raw(position, blank.end(), reason="blank lines", gap=True)
        header = self._patterns.header.match(view, position, self._size)
        if header:
            return Raw(position, header.end(), reason="repeated header", gap=True)
        if first == b"\0":
            nuls = _NULS.match(view, position, self._size)
            return Raw(position, nuls.end() if nuls else position + 1, reason="NUL bytes", gap=True)
        if view[position : position + 3] == _BOM:
            return Raw(position, position + 3, reason="byte order mark", gap=True)
        return None

    def _record(self, position: int) -> Raw | None:
        quoting = self._dialect.quoting
        if quoting == "wrapped":
            row = self._wrapped(position)
            if row is not None:
                return row
        found = self._patterns.lenient.match(self._view, position, self._size)
        if found is None:
            return self._row_at(position) if quoting == "quoted" else None
        start = found.end()
        span = None
        if quoting != "unquoted":
            span = self._quoted(position, start, found)
        return span or self._bare(position, start, found)

    # ------------------------------------------------------------------ with quotes

    def _quoted(self, position: int, start: int, found: re.Match[bytes]) -> Raw | None:
        view = self._view
        if view[start : start + 1] != b'"':
            return None
        pattern = QUOTED_BACKSLASH if self._dialect.quoting == "backslash" else QUOTED
        closed = pattern.match(view, start, min(self._size, position + ROW_LIMIT))
        if closed is None:
            return None
        after = (self._patterns.suffix or _LINE_END).match(view, closed.end(), self._size)
        if after is None or not (self._may_start(after.end()) or self._only_strays(after.end())):
            return None
        text = self._unquoted_text(closed.group())
        return self._made(position, after.end(), text, found, self._after_values(after))

    def _only_strays(self, position: int) -> bool:
        """Whether what stands up to the next record has no quote that this one's could belong to."""
        if self._dialect.quoting != "quoted" or not self._before:
            return False
        limit = min(self._size, position + ROW_LIMIT)
        following = self._following(position - 1, limit)
        return self._view.find(b'"', position, limit if following is None else following) < 0

    def _unquoted_text(self, raw: bytes) -> bytes:
        quoting = self._dialect.quoting
        if quoting == "backslash":
            return BACKSLASHED.sub(lambda m: m.group(1) or b'"', raw[1:-1])
        text = raw[1:-1].replace(b'""', b'"')
        if quoting == "double" and QUOTED.fullmatch(text):
            text = text[1:-1].replace(b'""', b'"')
        return text

    def _may_start(self, position: int) -> bool:
        """Whether a record, a blank line, a header or the end stands at `position`."""
        if self._view[position : position + 1] in (b"\n", b"\r"):
            blank = _BLANK_LINES.match(self._view, position, self._size)
            if self._dialect.quoting not in ("mixed", "enclosed") or blank is None:
                return True
            # Prose below a quoted first line is the same message's.
            position = blank.end()
        if position >= self._size:
            return True
        if self._patterns.lenient.match(self._view, position, self._size) or self._gap(position):
            return True
        if self._patterns.partial.match(self._view, position, self._size):
            return True
        return self._dialect.quoting == "quoted" and self._row_at(position) is not None

    def _row_at(self, position: int) -> Raw | None:
        """A row that is well formed in every column, whatever stands in them."""
        found = self._row.match(self._view, position, min(self._size, position + ROW_LIMIT))
        if found is None:
            return None
        cells = [_plain(cell) for cell in found.groups()]
        values: dict[str, bytes | None] = {name: cells[number] for name, number in self._dialect.fields.items()}
        date = values.get("date")
        if date is not None and not self._date.match(date) and any(self._date.fullmatch(cell) for cell in cells):
            return Raw(position, found.end(), reason="columns in another order than the header's")
        return self._sized(position, found.end(), values, flags=("unusual-columns",))

    def _wrapped(self, position: int) -> Raw | None:
        closed = QUOTED.match(self._view, position, min(self._size, position + ROW_LIMIT))
        if closed is None:
            return None
        end = _LINE_END.match(self._view, closed.end(), self._size)
        inner = closed.group()[1:-1].replace(b'""', b'"')
        found = self._patterns.lenient.match(inner)
        if end is None or found is None:
            return None
        text = inner[found.end() :]
        if QUOTED.fullmatch(text):
            text = text[1:-1].replace(b'""', b'"')
        return self._made(position, end.end(), text, found, {})

    # ------------------------------------------------------------------ without quotes

    def _bare(self, position: int, start: int, found: re.Match[bytes]) -> Raw:
        view = self._view
        if not self._before or "date" in self._after:
            return self._bare_by_suffix(position, start, found)
        limit = min(self._size, position + ROW_LIMIT)
        if self._dialect.quoting == "quoted" and view[start : start + 1] != b'"':
            line = _LINE_END.search(view, start, limit)
            if line is not None and line.end() <= limit and self._may_start(line.end()):
                return self._finished(position, start, line.end(), found)
        following = self._following(start, limit)
        end = limit if following is None else following
        earlier = self._unusual_start(start, end)
        if earlier is not None or following is not None:
            return self._finished(position, start, earlier or end, found)
        if limit < self._size:
            return self._too_long(position)
        end = self._size
        if view[end - 1 : end] != self._dialect.newline[-1:]:
            last = view.rfind(self._dialect.newline[-1:], start, end) + 1
            if last > start and self._patterns.partial.match(view, last, end):
                end = last
        return self._finished(position, start, end, found)

    def _following(self, start: int, limit: int) -> int | None:
        """The next line that starts as a record does; looked for once, however many records ask."""
        searched, at = self._searched
        if not searched <= start <= at:
            following = self._patterns.strict.search(self._view, start, self._size)
            at = following.start() + 1 if following else self._size + 1
            self._searched = (start, at)
        return at if at <= limit and at <= self._size else None

    def _unusual_start(self, start: int, end: int) -> int | None:
        """A line before `end` that starts as a record does but for its numbers, an id like `1e3` for instance."""
        newline = self._dialect.newline[-1:]
        at = self._view.find(newline, start, end - 1)
        while at >= 0:
            if self._patterns.lenient.match(self._view, at + 1, end):
                return at + 1
            at = self._view.find(newline, at + 1, end - 1)
        return None

    def _finished(self, position: int, start: int, end: int, found: re.Match[bytes]) -> Raw:
        text = self._view[start:end]
        newline = self._dialect.newline
        for ending in (newline, newline[-1:], b"\n"):
            if text.endswith(ending):
                text = text[: -len(ending)]
                break
        flags: tuple[str, ...] = ()
        if self._dialect.quoting != "unquoted" and text.startswith(b'"'):
            flags = ("unclosed-quote",)
            if end == self._size and self._dialect.quoting != "mixed" and b'"' not in text[1:].replace(b'""', b""):
                text, flags = text[1:].replace(b'""', b'"'), ("truncated-record",)
            elif self._dialect.quoting == "enclosed" and text.endswith(b'"') and len(text) > 1:
                text, flags = text[1:-1], ("unescaped-quote",)
        after: dict[str, bytes | None] = {}
        if self._after:
            cells = text.rsplit(self._dialect.delimiter, len(self._dialect.columns) - self._dialect.fields["text"] - 1)
            suffix = self._dialect.delimiter.join([b"", *cells[1:]])
            matched = self._patterns.suffix.fullmatch(suffix) if self._patterns.suffix else None
            if matched is None:
                return Raw(position, end, reason="columns after the message are missing")
            text, after = cells[0], self._after_values(matched)
        return self._made(position, end, text, found, after, flags=flags, bare=True)

    def _bare_by_suffix(self, position: int, start: int, found: re.Match[bytes]) -> Raw:
        limit = min(self._size, position + ROW_LIMIT)
        pattern = self._patterns.suffix
        after = pattern.search(self._view, start, limit) if pattern else None
        if after is None or after.end() > limit:
            if limit < self._size:
                return self._too_long(position)
            return Raw(position, self._size, reason="columns after the message are missing")
        text = self._view[start : after.start()]
        following = self._following(start, after.start()) if self._before else None
        flags = () if following is None else (INSIDE,)
        return self._made(position, after.end(), text, found, self._after_values(after), flags=flags, bare=True)

    # ------------------------------------------------------------------ what does not fit

    def _unknown(self, position: int) -> Raw:
        return Raw(position, self._next_start(position), reason="not a record")

    def _too_long(self, position: int) -> Raw:
        return Raw(position, self._next_start(position + ROW_LIMIT), reason=f"row over {ROW_LIMIT} bytes")

    def _next_start(self, position: int) -> int:
        if not self._before:
            line = _LINE_END.search(self._view, position, self._size)
            return max(position + 1, line.end()) if line else self._size
        following = self._patterns.strict.search(self._view, position, self._size)
        return following.start() + 1 if following else self._size

    # ------------------------------------------------------------------ putting records together

    def _made(
        self, position: int, end: int, text: bytes, found: re.Match[bytes], after: dict[str, bytes | None],
        *, flags: tuple[str, ...] = (), bare: bool = False,
    ) -> Raw:  # fmt: skip
        groups = found.groups()
        values: dict[str, bytes | None] = {"text": text}
        for name, number in self._before.items():
            quoted, plain = groups[2 * number], groups[2 * number + 1]
            values[name] = quoted if quoted is not None else plain
        if bare and INSIDE not in flags and self.inside.holds(text):
            flags += (INSIDE,)
        return self._sized(position, end, values | after, flags=flags, bare=bare)

    def _sized(
        self, position: int, end: int, values: dict[str, bytes | None], *, flags: tuple[str, ...], bare: bool = False
    ) -> Raw:
        if any(value is not None and len(value) > FIELD_LIMIT for value in values.values()):
            return Raw(position, end, reason=f"field over {FIELD_LIMIT} bytes")
        row = (values.get("text"), values.get("id"), values.get("channel_id"), values.get("date"))
        return Raw(position, end, values=row, flags=flags, bare=bare)

    def _after_values(self, found: re.Match[bytes]) -> dict[str, bytes | None]:
        groups = found.groups() if self._after else ()
        values: dict[str, bytes | None] = {}
        for name, number in self._after.items():
            quoted, plain = groups[2 * number], groups[2 * number + 1]
            values[name] = quoted if quoted is not None else plain
        return values


def _plain(cell: bytes) -> bytes:
    return cell[1:-1].replace(b'""', b'"') if cell[:1] == b'"' else cell
