"""JSON lines: one object a line, its text in a field that `--map` names (`--map a.b=text` for one inside another)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.fields import DECODER, Fields, fields_of
from biasaudit.corpus.mapped import mapped
from biasaudit.corpus.reading import ROW_LIMIT, SourceOptions, Survey
from biasaudit.corpus.spans import Spans, filled, find, opened
from biasaudit.errors import CorpusError

SUFFIXES = (".jsonl", ".ndjson")

_SAMPLE_BYTES = 4 << 20
_SAMPLE_RECORDS = 1000
_BROKEN = "not valid JSON"
_CHUNK = 1 << 20
"""Bytes that are cut into lines at once."""


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find the fields of a file of one JSON object a line.

    Raises:
        CorpusError: missing or empty file, no object in its first lines, or none that has the field of the text.
    """
    size, decoder = filled(path, options)
    with mapped(path, decoder) as (view, start):
        sample = _sample(view, start, decoder)
    if not sample:
        raise CorpusError(
            f"{path}: no line is a JSON object, in the first {min(size, _SAMPLE_BYTES):,} bytes. Expected one object a "
            "line; a list of objects is read as .json."
        )
    fields = fields_of(path, sample, options)
    return Survey(
        path=path, label=options.label or path.name, kind="jsonl", size=size, options=options,
        notes={
            "kind": "JSON lines",
            "encoding": decoder.encoding,
            "encoding_because": decoder.explained,
            "columns": {name: key for name in ("text", "id", "channel_id", "date") if (key := getattr(fields, name))},
        },
        detail=fields,
        cuts=() if decoder.wide else None,
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the lines that begin in [start, stop)."""
    fields = found.detail
    assert isinstance(fields, Fields)
    if not synced and start:
        start = _next_line(found.path, start, stop)
        if not start:
            return
    with opened(found, start) as (spans, decoder):
        last = len(spans.view) if stop >= found.size else stop
        while spans.position < last:
            _read_lines(spans, _lines_end(spans.view, spans.position, last), fields, decoder)
            if spans.full:
                yield spans.batch()
        if stop >= found.size:
            spans.finish(found.size)
        if not spans.empty:
            yield spans.batch()


def _next_line(path: Path, start: int, stop: int) -> int:
    """Where the first line begins that does so in [start, stop); 0 when none does."""
    with path.open("rb") as handle:
        handle.seek(start - 1)
        at = start - 1
        while at < stop - 1 and (block := handle.read(min(_CHUNK, stop - 1 - at))):
            found = block.find(b"\n")
            if found >= 0:
                return at + found + 1
            at += len(block)
    return 0


def _lines_end(view: mmap.mmap, position: int, last: int) -> int:
    """Where the lines end that begin in the next chunk; a longer line is taken whole."""
    cut = view.rfind(b"\n", position, min(position + _CHUNK, last)) + 1
    return cut or find(view, b"\n", position, len(view)) + 1 or len(view)


def _read_lines(spans: Spans, end: int, fields: Fields, decoder: Decoder) -> None:
    if end - spans.position > max(ROW_LIMIT, _CHUNK):
        spans.reject(end, f"row over {ROW_LIMIT} bytes")
        return
    at = spans.position
    for raw in _split(spans.view[at:end]):
        at += len(raw)
        value, flags = _parsed(raw, decoder)
        if isinstance(value, dict):
            text = fields.text_of(value)
            doubt = fields.doubt(text)
            if doubt is None and text is not None:
                spans.record(at, text, *fields.rest_of(value), flags + fields.flags_of(value))
            else:
                spans.reject(at, str(doubt))
        elif value:
            if value == _BROKEN and at == len(spans.view) and not raw.endswith(b"\n"):
                spans.notes["truncated"] = 1
            spans.reject(at, value)
        else:
            spans.gap(at)


def _split(block: bytes) -> Iterator[bytes]:
    """Lines with their ends. Only a line feed ends a line: JSON texts may hold the other marks."""
    start = 0
    while start < len(block):
        end = block.find(b"\n", start) + 1 or len(block)
        yield block[start:end]
        start = end


def _parsed(raw: bytes, decoder: Decoder) -> tuple[dict[str, Any] | str, tuple[str, ...]]:
    """The object of a line, or the reason why there is none (empty for a blank line); and the decoder's doubts."""
    text, flags = decoder.text(raw)
    text = text.strip()
    if not text:
        return "", ()
    try:
        value, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return _BROKEN, ()
    if end < len(text):
        return _BROKEN, ()
    return (value, flags) if isinstance(value, dict) else ("not a JSON object", ())


def _sample(view: mmap.mmap, start: int, decoder: Decoder) -> list[dict[str, Any]]:
    """Objects of the first lines."""
    found: list[dict[str, Any]] = []
    last = min(len(view), start + _SAMPLE_BYTES)
    while start < last and len(found) < _SAMPLE_RECORDS:
        end = find(view, b"\n", start, len(view)) + 1 or len(view)
        if end - start <= ROW_LIMIT:
            value = _parsed(view[start:end], decoder)[0]
            if isinstance(value, dict):
                found.append(value)
        start = end
    return found
