"""JSON that is one list of objects: at the top, under a key of the top object, or the values of the top object.

The file is never parsed whole: brackets outside of strings say where each object begins and ends, and each is then
read by itself. The source `telegram` answers to `.json` and hands over what is no export of Telegram; a file of one
object a line, whatever its ending, is handed on to `jsonl`.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.brackets import Int64s, brackets, elements
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.fields import DECODER, Fields, fields_of
from biasaudit.corpus.mapped import mapped
from biasaudit.corpus.reading import ROW_LIMIT, SourceOptions, Survey
from biasaudit.corpus.sources import jsonl
from biasaudit.corpus.spans import Spans, filled, opened
from biasaudit.errors import CorpusError

SUFFIXES: tuple[str, ...] = ()

_CUT_BYTES = 4 << 20
_SAMPLE = 1000
_LISTS = 10_000
"""Lists of the top object that are compared."""
_TAIL = 4 << 20
"""Bytes behind the list that are parsed to see whether they are sound; a longer tail is believed."""
_COMMA = re.compile(rb"[\s,]*+")
_KEY = re.compile(rb'[\s,]*+"(?:[^"\\]|\\.)*+"\s*+:\s*+', re.DOTALL)
_FIRST = re.compile(rb"\s*+([\[{])")
_OBJECT = re.compile(rb"\[\s*+\{")
_ANOTHER = re.compile(rb"\s*+\{")
_BROKEN = "not valid JSON"


@dataclass(frozen=True, slots=True)
class _Records:
    """Where the records of a file are."""

    begin: int
    """Behind the bracket that opens the list."""
    end: int
    """The bracket that closes it; the end of the file when there is none."""
    before: str
    """What would have to stand before the closing bracket and the rest of the file to make them JSON."""
    fields: Fields | None = None

    @property
    def keyed(self) -> bool:
        """Whether the records are the values of an object."""
        return self.before == "{"


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find the list of records in a JSON file, its fields, and places to cut it.

    Raises:
        CorpusError: missing or empty file, no JSON, no list of objects in it, or no field that holds the text.
    """
    size, decoder = filled(path, options)
    with mapped(path, decoder) as (view, start):
        records, where, cuts, whole = _found(path, view, start)
        if records.keyed and _ANOTHER.match(view, min(records.end + 1, len(view))):
            return jsonl.survey(path, options)
        sample = _sample(view, records, decoder)
        if not sample:
            raise CorpusError(
                f"{path}: {where}, but none of its first entries is an object. Expected Telegram Desktop's "
                "result.json or a list of objects such as [{…}, {…}]; one object a line is read as .jsonl."
            )
        fields = fields_of(path, sample, options)
    cut_off = {} if whole else {"truncated": 1}
    columns = {name: key for name in ("text", "id", "channel_id", "date") if (key := getattr(fields, name))}
    return Survey(
        path=path, label=options.label or path.name, kind="json", size=size, options=options,
        notes={
            "kind": "JSON list of objects",
            "encoding": decoder.encoding,
            "encoding_because": decoder.explained,
            "columns": columns,
            "records": where,
            **cut_off,
        },
        detail=_Records(records.begin, records.end, records.before, fields),
        cuts=() if decoder.wide else cuts,
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the objects that begin in [start, stop)."""
    assert synced, "a stretch of JSON begins at a cut"
    records = found.detail
    assert isinstance(records, _Records)
    final = stop >= found.size
    last = records.end if final else stop
    with opened(found, start) as (spans, decoder):
        if start == 0:
            spans.gap(records.begin)
        for first, end in elements(spans.view, spans.position, last):
            _read_between(spans, first, records)
            if end < 0:
                spans.reject(last, f"{_BROKEN}: the file ends inside it")
            else:
                _read_element(spans, end, records, decoder)
            if spans.full:
                yield spans.batch()
        _read_between(spans, last, records)
        if final:
            _read_tail(spans, records)
            spans.finish(found.size)
        if not spans.empty:
            yield spans.batch()


# ---------------------------------------------------------------------------- records


def _read_between(spans: Spans, end: int, records: _Records) -> None:
    """What stands between two records: a comma, and the key of the next one."""
    if end == spans.position:
        return
    view, at = spans.view, spans.position
    pattern = _KEY if records.keyed else _COMMA
    sound = pattern.fullmatch(view, at, end) or _COMMA.fullmatch(view, at, end)
    if sound:
        spans.gap(end)
    else:
        spans.reject(end, _BROKEN)


def _read_element(spans: Spans, end: int, records: _Records, decoder: Decoder) -> None:
    assert records.fields is not None
    if end - spans.position > ROW_LIMIT:
        spans.reject(end, f"row over {ROW_LIMIT} bytes")
        return
    value, flags = _parsed(spans.view[spans.position : end], decoder)
    if not isinstance(value, dict):
        spans.reject(end, value)
        return
    text = records.fields.text_of(value)
    doubt = records.fields.doubt(text)
    if text is None or doubt:
        spans.reject(end, str(doubt))
    else:
        spans.record(end, text, *records.fields.rest_of(value), flags + records.fields.flags_of(value))


def _parsed(raw: bytes, decoder: Decoder) -> tuple[dict[str, Any] | str, tuple[str, ...]]:
    text, flags = decoder.text(raw)
    try:
        value, stop = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return _BROKEN, ()
    if stop < len(text):
        return _BROKEN, ()
    return (value, flags) if isinstance(value, dict) else ("not a JSON object", ())


def _read_tail(spans: Spans, records: _Records) -> None:
    """The bracket that closes the list and what follows; in a damaged file that may be most of it."""
    view, at = spans.view, spans.position
    if at == len(view):
        return
    sound = len(view) - at > _TAIL
    if not sound:
        rest = records.before + view[at:].decode("utf-8", "replace").rstrip()
        try:
            sound = DECODER.raw_decode(rest)[1] == len(rest)
        except (ValueError, RecursionError):
            sound = False
    if sound:
        spans.gap(len(view))
    else:
        spans.reject(len(view), f"{_BROKEN} behind the last record")


# ---------------------------------------------------------------------------- first look


@dataclass(slots=True)
class _Level:
    """What is known of the brackets at one depth."""

    cuts: list[int] = field(default_factory=list)

    def add(self, starts: Int64s) -> None:
        """Note a start every few megabytes."""
        while len(starts):
            number = int(np.searchsorted(starts, (self.cuts[-1] if self.cuts else 0) + _CUT_BYTES))
            if number >= len(starts):
                return
            self.cuts.append(int(starts[number]))
            starts = starts[number:]


def _found(path: Path, view: mmap.mmap, start: int) -> tuple[_Records, str, tuple[int, ...], bool]:
    """Where the records are, in words too, places to cut, and whether the top is closed."""
    first = _FIRST.match(view, start)
    if not first:
        raise CorpusError(
            f"{path}: not JSON, which begins with [ or {{. Expected Telegram Desktop's result.json or a list of "
            "objects; name the kind of the file if its ending is wrong."
        )
    root = first.end() - 1
    top, inner, lists, closed = _scan(view, root)
    whole = closed < len(view)
    within = _within(top.cuts, first.end(), closed)
    if first[1] == b"[":
        return _Records(first.end(), closed, "["), "a list at the top", within, whole
    spans = [(end - begin, begin, end) for begin, end in lists if _OBJECT.match(view, begin)]
    if spans:
        _, begin, end = max(spans)
        records = _Records(begin + 1, end, '{"":[')
        return records, "a list under a key of the top object", _within(inner.cuts, begin + 1, end), whole
    return _Records(first.end(), closed, "{"), "the values of the top object", within, whole


def _within(cuts: list[int], begin: int, end: int) -> tuple[int, ...]:
    return tuple(cut for cut in cuts if begin <= cut < end)


def _scan(view: mmap.mmap, root: int) -> tuple[_Level, _Level, list[tuple[int, int]], int]:
    """Cuts at depth 1 and 2, the lists at depth 1 (start, closing bracket), and where the top is closed."""
    top, inner = _Level(), _Level()
    lists: list[tuple[int, int]] = []
    opened = -1
    for places, steps, depths in brackets(view, root, len(view)):
        done = np.flatnonzero(depths == 0)
        if len(done):
            stop = int(done[0])
            closed = int(places[stop])
            places, steps, depths = places[:stop], steps[:stop], depths[:stop]
        opening = steps == 1
        top.add(places[opening & (depths == 2)])
        inner.add(places[opening & (depths == 3)])
        edges = ((depths == 2) & opening) | ((depths == 1) & ~opening)
        if view[root] == ord("{") and len(lists) < _LISTS:
            for place, step in zip(places[edges].tolist(), steps[edges].tolist(), strict=True):
                if step == 1:
                    opened = place if view[place] == ord("[") else -1
                elif opened >= 0:
                    lists.append((opened, place))
                    opened = -1
        if len(done):
            return top, inner, lists, closed
    if opened >= 0:
        lists.append((opened, len(view)))
    return top, inner, lists, len(view)


def _sample(view: mmap.mmap, records: _Records, decoder: Decoder) -> list[dict[str, Any]]:
    last = min(records.end, records.begin + _CUT_BYTES)
    places = islice(elements(view, records.begin, last), _SAMPLE)
    values = (_parsed(view[begin:end], decoder)[0] for begin, end in places if end >= 0)
    return [value for value in values if isinstance(value, dict)]
