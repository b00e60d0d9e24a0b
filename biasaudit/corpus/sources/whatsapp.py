r"""WhatsApp's chat exports: the `.txt` of Android and of iOS, which `text` hands over when it meets one.

A message begins with a line such as `05/03/2021 14:32 - Nome: texto` (Android) or `[05/03/2021 14:32:10] Nome: texto`
(iOS) and lasts until the next such line. An export escapes nothing. So a line of a message that looks exactly like
the file's own starts (a pasted export) begins a message, and of a name that holds a colon and a blank what stands
behind these is taken for text; neither can be told from the real thing. Names are not read: senders are left out and
mentions, which WhatsApp puts between U+2068 and U+2069, become `[USER]`. An export says neither ids nor a channel.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import PageReturner, digest_of, mapped
from biasaudit.corpus.reading import FIELD_LIMIT, SourceOptions, Survey, reject
from biasaudit.corpus.spans import filled, matches, opened
from biasaudit.corpus.whatsapp_texts import own_words
from biasaudit.errors import CorpusError
from biasaudit.records import Reject

SUFFIXES: tuple[str, ...] = ()

_WINDOW = 2 << 20
"""Bytes that are looked at together; results do not depend on it."""
_SAMPLE_BYTES = 64 << 10
_SAMPLE_LINES = 50
_SHARE = 3
"""An export has a message start in one of so many lines at least: messages may have several lines."""
_NAME = 128
"""Bytes that a sender's name may have; a longer one is a sentence of a system line."""
_LONGEST = 160
"""Bytes that a match of a start may have; the patterns allow fewer."""

_BLANK = r"(?: |\xe2\x80\xaf|\xc2\xa0)"
_MARKS = r"(?:\xe2\x80[\x8e\x8f\xaa-\xae]|\xef\xbb\xbf){0,4}"
_DAY = r"(?P<first>[0-9]{4}|[0-9]{1,2})[/.-](?P<second>[0-9]{1,2})[/.-](?P<third>[0-9]{4}|[0-9]{1,2})"
_CLOCK = r"(?P<hour>[0-9]{1,2})[:.](?P<minute>[0-5][0-9])"
_WHEN = rf"{_DAY},?{_BLANK}{{1,2}}(?:\xc3\xa0s )?{_CLOCK}"
_HALF = rf"(?:{_BLANK}?(?P<half>[AaPp])\.?{_BLANK}?[Mm]\.?|{_BLANK}da (?P<part>[mtn])(?:anh\xc3\xa3|arde|oite))?"
# Bytes, which Python's engine and Arrow's read alike. Only iOS writes seconds, so no log is taken for Android's.
_STYLES = {
    "Android": rf"(?P<head>{_MARKS}{_WHEN}(?P<seconds>){_HALF}{_BLANK}-{_BLANK})",
    "iOS": rf"(?P<head>{_MARKS}\[{_WHEN}(?P<seconds>:[0-9]{{2}})?{_HALF}\]{_BLANK})",
}
_STARTS = {style: re.compile(rf"\n{pattern}".encode("latin-1")) for style, pattern in _STYLES.items()}
_LIKELY = np.zeros(256, bool)
_LIKELY[list(b"0123456789[\xe2\xef")] = True

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Style:
    system: str
    month_first: bool


@dataclass(frozen=True, slots=True)
class _Heads:
    """The message starts of a block."""

    starts: Int64s
    line_ends: Int64s
    parts: pa.StructArray

    def part(self, name: str) -> pa.BinaryArray:
        return self.parts.field(self.parts.type.get_field_index(name))


def recognised(decoder: Decoder) -> bool:
    """Whether a text file begins as an export of WhatsApp does."""
    lines = decoder.head(_SAMPLE_BYTES).split(b"\n")
    filled_lines = [b"\n" + line for line in islice((line for line in lines if line.strip()), _SAMPLE_LINES)]
    most = max(sum(bool(start.match(line)) for line in filled_lines) for start in _STARTS.values())
    return most > 0 and most * _SHARE >= len(filled_lines)


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find which system wrote an export, and whether its dates have the day or the month first.

    Raises:
        CorpusError: missing or empty file, or no line begins a message.
    """
    size, decoder = filled(path, options)
    with mapped(path, decoder) as (view, start):
        system, first = "", len(view)
        for style in _STYLES:
            at = _next_start(view, start, style, start, first)
            if at < first:
                system, first = style, at
        if not system:
            raise CorpusError(
                f"{path}: no line begins as a message of WhatsApp's export does. Expected lines such as "
                "'05/03/2021 14:32 - Name: text'. Leave out --source to have the kind found."
            )
        month_first, because = _order(view, first, system)
    return Survey(
        path=path, label=options.label or path.name, kind="whatsapp", size=size, options=options,
        notes={
            "kind": "WhatsApp export",
            "encoding": decoder.encoding,
            "encoding_because": decoder.explained,
            "written_by": system,
            "dates": "month first" if month_first else "day first",
            "dates_because": because,
        },
        detail=_Style(system, month_first), cuts=() if decoder.wide else None,
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the messages that begin in [start, stop)."""
    style = found.detail
    assert isinstance(style, _Style)
    with opened(found, start) as (spans, decoder):
        view, position, offset = spans.view, spans.position, start
        last = len(view) if stop >= found.size else stop
        if not synced and start:
            position = offset = _next_start(view, start, style.system)
            if position >= last:
                return
        pages = PageReturner(view)
        for begin, end, long in _windows(view, position, last, style.system):
            size = found.size - offset if end == len(view) else 0
            batch = (_too_long if long else _batch)(found, view, (begin, end), offset, size, decoder, style)
            yield batch
            offset = batch.end
            pages.passed(end)


# ---------------------------------------------------------------------------- where messages begin


def _next_start(view: mmap.mmap, at: int, style: str, content: int = -1, stop: int | None = None) -> int:
    """Where the first message begins in [at, stop), the end of the file when none does.

    Args:
        view: the file.
        at: where to look from.
        style: a key of `_STYLES`.
        content: where the file's first line begins, which no line feed precedes.
        stop: where to end looking; the end of the file when None.
    """
    if at == content and re.match(_STYLES[style].encode("latin-1"), view[at : at + _LONGEST]):
        return at
    found = next(matches(_STARTS[style], _LONGEST, view, max(at - 1, 0), len(view) if stop is None else stop), None)
    return len(view) if found is None else found + 1


def _windows(view: mmap.mmap, start: int, last: int, style: str) -> Iterator[tuple[int, int, bool]]:
    """Cut [start, last) where messages begin; the flag says that a window is one message over the limit."""
    while start < last:
        edge = min(start + _WINDOW, last)
        end = _next_start(view, edge, style)
        if end - edge > FIELD_LIMIT - _WINDOW:
            before = [at + 1 for at in matches(_STARTS[style], _LONGEST, view, start, edge) if at + 1 < edge]
            begin = before[-1] if before else start
            if end - begin > FIELD_LIMIT:
                if begin > start:
                    yield start, begin, False
                yield begin, end, True
                start = end
                continue
        yield start, end, False
        start = end


def _heads(block: bytes, style: str) -> _Heads:
    marks = np.frombuffer(block, np.uint8)
    lines = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(marks[:-1] == 10) + 1])
    likely = _LIKELY[marks[lines]]
    ends = np.append(lines[1:], len(block))[likely]
    lines = lines[likely]
    parts = pc.extract_regex(_slices(block, lines, ends), f"^{_STYLES[style]}")
    found = parts.is_valid().to_numpy(zero_copy_only=False)
    return _Heads(lines[found], ends[found], parts.filter(pa.array(found)))


def _slices(block: bytes, starts: Int64s, ends: Int64s) -> pa.BinaryArray:
    """block[start:end] for every pair; the pairs rise and do not overlap."""
    places = np.column_stack([starts, ends]).ravel().astype(np.int32)
    if not len(places):
        return pa.array([], pa.binary())
    pieces = pa.BinaryArray.from_buffers(
        pa.binary(), len(places) - 1, [None, pa.py_buffer(places), pa.py_buffer(block)]
    )  # fmt: skip
    return pieces.take(pa.array(np.arange(0, len(places) - 1, 2)))


# ---------------------------------------------------------------------------- messages


def _batch(
    found: Survey, view: mmap.mmap, window: tuple[int, int], offset: int, size: int, decoder: Decoder, style: _Style
) -> Batch:  # fmt: skip
    """The messages of a window at `offset` of the file, where it has `size` bytes when it is the last one."""
    block = view[window[0] : window[1]]
    heads = _heads(block, style.system)
    places = np.concatenate([np.zeros(1, np.int64), heads.starts, [len(block)]])
    lengths = np.diff(places)
    if decoder.wide:
        bounds = (window[0] + places).tolist()
        lengths = np.array([decoder.length_between(view, begin, end) for begin, end in pairwise(bounds)], np.int64)
    bom = 0 if offset else decoder.bom
    raw, system = _texts(block, heads)
    text, flags = _decoded(raw, decoder)
    text, own, empty = own_words(text)
    system |= own
    keep = ~system
    numbers = np.cumsum(keep) - 1
    lead, sizes = int(lengths[0]), lengths[1:]
    offsets = offset + bom + np.cumsum(lengths)[:-1]
    before = block[: places[1]]
    rejects: tuple[Reject, ...] = ()
    if before.strip():
        rejects = (reject(found.label, offset + bom, before, "before the first message", length=lead),)
    total = bom + int(lengths.sum())
    left = max(size - total, 0)
    none = pa.nulls(int(keep.sum()), pa.string())
    counts = {"system_messages": int(system.sum()), "messages_without_text": int((empty & keep).sum())}
    mask = pa.array(keep)
    return Batch(
        start=offset, end=offset + total + left, text=text.filter(mask), message_id=none, channel_id=none,
        date=_dates(heads, style.month_first).filter(mask), offset=offsets[keep], length=sizes[keep],
        flags={int(numbers[number]): flag for number, flag in flags.items() if keep[number]}, rejects=rejects,
        separators=bom + (0 if rejects else lead) + int(sizes[system].sum()) + left,
        notes={name: count for name, count in counts.items() if count},
    )  # fmt: skip


def _too_long(
    found: Survey, view: mmap.mmap, window: tuple[int, int], offset: int, size: int, decoder: Decoder, _: _Style
) -> Batch:  # fmt: skip
    begin, end = window
    length = size or (decoder.length_between(view, begin, end) + (0 if offset else decoder.bom))
    none, places = pa.array([], pa.string()), np.empty(0, np.int64)
    reason = f"field over {FIELD_LIMIT} bytes"
    rejected = Reject(
        source=found.label, offset=offset, length=length, reason=reason, sha256=digest_of(view, begin, end)
    )  # fmt: skip
    return Batch(
        start=offset, end=offset + length, text=none, message_id=none, channel_id=none, date=none, offset=places,
        length=places, rejects=(rejected,),
    )  # fmt: skip


def _texts(block: bytes, heads: _Heads) -> tuple[pa.BinaryArray, Bools]:
    """What stands behind each sender, and which starts have no sender: these are lines of WhatsApp itself."""
    begins = heads.starts + np.asarray(pc.binary_length(heads.part("head")), np.int64)
    rest = _slices(block, begins, heads.line_ends)
    colons = np.array(pc.find_substring(rest, b": "), np.int64)
    widths = np.full(len(colons), 2)
    bare = colons < 0
    if bare.any():
        # Mail programs take the blank away from `Name: ` when the text begins on the next line.
        ending = pc.match_substring_regex(rest, rb"^[^:]+:\r?\n?$").to_numpy(zero_copy_only=False) & bare
        colons[ending] = np.array(pc.find_substring(rest, b":"), np.int64)[ending]
        widths[ending] = 1
    system = (colons <= 0) | (colons > _NAME)
    quotes = np.array(pc.find_substring(rest, b'"'), np.int64)
    for number in np.flatnonzero(~system & (quotes >= 0) & (quotes < colons)).tolist():
        # `Ana changed the subject to "a: b"` has its colon within quotes.
        system[number] = rest[number].as_py()[: colons[number]].count(b'"') % 2 == 1
    marks = np.frombuffer(block, np.uint8)
    ends = np.append(heads.starts[1:], len(block))[: len(heads.starts)]
    ends = ends - (marks[ends - 1] == 10)
    ends = ends - (marks[ends - 1] == 13)
    begins = np.where(system, ends, np.minimum(begins + colons + widths, ends))
    return _slices(block, begins, ends), system


def _decoded(raw: pa.BinaryArray, decoder: Decoder) -> tuple[pa.StringArray, dict[int, tuple[str, ...]]]:
    if decoder.utf8:
        try:
            return raw.cast(pa.string()), {}
        except pa.ArrowInvalid:
            pass
    pairs = [decoder.text(one) for one in raw.to_pylist()]
    flags = {number: found for number, (_, found) in enumerate(pairs) if found}
    return pa.array([text for text, _ in pairs], pa.string()), flags


# ---------------------------------------------------------------------------- dates


def _order(view: mmap.mmap, start: int, style: str) -> tuple[bool, str]:
    """Whether the month comes first, by the first stretch of the file that has a number over 12; and why."""
    pages = PageReturner(view)
    for begin, end, long in _windows(view, start, len(view), style):
        if long:
            continue
        heads = _heads(view[begin:end], style)
        first, second = _numbers(heads, "first"), _numbers(heads, "second")
        usual = first <= 31
        days, others = int(((first > 12) & usual).sum()), int(((second > 12) & usual).sum())
        if days or others:
            return others > days, "a number over 12 is a day"
        pages.passed(end)
    return False, "no number over 12; as most countries write it"


def _numbers(heads: _Heads, part: str) -> Int64s:
    return np.asarray(pc.cast(pc.cast(heads.part(part), pa.string()), pa.int64()), np.int64)


def _dates(heads: _Heads, month_first: bool) -> pa.StringArray:
    """Dates as `2021-03-05 14:32`, with seconds where the file has them; null where there is no such date."""
    first, second, third, hour = (_numbers(heads, name) for name in ("first", "second", "third", "hour"))
    year_first = first > 31
    year = np.where(year_first, first, np.where(third < 100, 2000 + third, third))
    month = np.where(year_first, second, first if month_first else second)
    day = np.where(year_first, third, second if month_first else first)
    half, part = (pc.cast(heads.part(name), pa.string()) for name in ("half", "part"))
    late = pc.or_(pc.is_in(half, pa.array(["p", "P"])), pc.is_in(part, pa.array(["t", "n"])))
    halved = pc.or_(pc.not_equal(half, ""), pc.not_equal(part, "")).to_numpy(zero_copy_only=False)
    hour = np.where(halved, hour % 12 + 12 * late.to_numpy(zero_copy_only=False), hour)
    sound = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (hour < 24) & (year >= 1000)
    dates = pc.binary_join_element_wise(*(_padded(values) for values in (year, month, day)), "-")
    clock = pc.binary_join_element_wise(_padded(hour), pc.cast(heads.part("minute"), pa.string()), ":")
    clock = pc.binary_join_element_wise(clock, pc.cast(heads.part("seconds"), pa.string()), "")
    found = pc.binary_join_element_wise(dates, clock, " ")
    return pc.if_else(pa.array(sound), found, pa.scalar(None, pa.string()))


def _padded(values: Int64s) -> pa.StringArray:
    return pc.utf8_lpad(pc.cast(pa.array(values), pa.string()), 2, "0")
