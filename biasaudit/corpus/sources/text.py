"""Plain text: a long file becomes documents of a few thousand characters, cut at paragraph ends.

A paragraph ends at a blank line, or at a line that ends a sentence (texts that are wrapped by hand have no blank
lines). With `lines_per_document` the file is a list of sentences instead, and so many lines make a document.

Where a document ends depends on where it begins, so the first look finds all ends and notes one every few megabytes,
where a stretch may begin; finding them costs a small part of what reading does.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import PageReturner, mapped
from biasaudit.corpus.reading import FIELD_LIMIT, SourceOptions, Survey, regular_size
from biasaudit.corpus.sources import whatsapp
from biasaudit.corpus.spans import Spans, blank, nothing, opened

SUFFIXES = (".txt", ".text", ".md")

_ENDINGS = tuple(mark.encode() for mark in (".", "!", "?", "…", '"', "”", "»", ")"))
_LINE_LIMIT = 1 << 16
"""Bytes after which a line without end is cut, at a blank if there is one."""
_STRETCH = 2
"""A document may grow to so many times its wanted size before it is cut at any line end."""
_WINDOW = 2 << 20
"""Bytes that are looked at together; more when no document ends in them. Results do not depend on it."""
_CUT_BYTES = 4 << 20
"""Bytes between places where a stretch may begin."""
_NOT_BLANK = r"[^ \t\n\r\x0b\x0c]"


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find where the documents of a plain text file can be read from; a chat export is surveyed as `whatsapp`.

    With `lines_per_document` the user has said that it is plain text.

    Raises:
        CorpusError: the file is missing or not a regular file.
    """
    size = regular_size(path)
    decoder = Decoder(path, options.encoding)
    if not options.lines_per_document and whatsapp.recognised(decoder):
        return whatsapp.survey(path, options)
    cuts: list[int] = []
    if size > max(decoder.bom, _CUT_BYTES) and not decoder.wide:
        with mapped(path, decoder) as (view, start):
            pages = PageReturner(view)
            for _, ends in _windows(view, start, size, options):
                end = ends[-1]
                if end - (cuts[-1] if cuts else 0) >= _CUT_BYTES and end < size:
                    cuts.append(end)
                pages.passed(end)
    every = options.lines_per_document
    rule = (
        f"{every} lines a document" if every else f"cut at the first paragraph end after {options.document_chars} bytes"
    )
    return Survey(
        path=path, label=options.label or path.name, kind="text", size=size, options=options,
        notes={
            "kind": "plain text",
            "encoding": decoder.encoding,
            "encoding_because": decoder.explained,
            "documents": rule,
        },
        cuts=tuple(cuts),
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the documents that begin in [start, stop)."""
    assert synced, "a stretch of plain text begins at a cut"
    if blank(found.size, Decoder(found.path, found.options.encoding)):
        yield nothing(found.size)
        return
    with opened(found, start) as (spans, decoder):
        view = spans.view
        last = len(view) if stop >= found.size else stop
        pages = PageReturner(view)
        first = start
        for begin, ends in _windows(view, spans.position, last, found.options):
            if decoder.wide:
                _read_documents(spans, begin, ends, decoder)
                continue
            batch = _in_bulk(view, first, begin, ends) if decoder.encoding == "utf-8" else None
            if batch is None:
                spans = Spans(view, decoder, found.label, first)
                _read_documents(spans, begin, ends, decoder)
                batch = spans.batch()
            yield batch
            first = batch.end
            pages.passed(first)
        if decoder.wide:
            spans.finish(found.size)
            yield spans.batch()


def _in_bulk(view: mmap.mmap, first: int, begin: int, ends: list[int]) -> Batch | None:
    """The documents of a window as one batch, whose bytes start at `first`; None when not all of them are UTF-8."""
    places = np.array([begin, *ends], np.int64)
    block = view[begin : ends[-1]]
    text = pa.StringArray.from_buffers(
        len(ends), pa.py_buffer((places - begin).astype(np.int32)), pa.py_buffer(block)
    )  # fmt: skip
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return None
    lengths = np.diff(places)
    filled = pc.match_substring_regex(text, _NOT_BLANK)
    keep = filled.to_numpy(zero_copy_only=False)
    none = pa.nulls(int(keep.sum()), pa.string())
    return Batch(
        start=first, end=ends[-1], text=text if keep.all() else text.filter(filled), message_id=none, channel_id=none,
        date=none, offset=places[:-1][keep], length=lengths[keep],
        separators=begin - first + int(lengths[~keep].sum()),
    )  # fmt: skip


def _read_documents(spans: Spans, begin: int, ends: list[int], decoder: Decoder) -> None:
    """The documents of a window one by one."""
    block = spans.view[begin : ends[-1]]
    start = 0
    for end in ends:
        raw = block[start : end - begin]
        if raw.isspace():
            spans.gap(end)
        else:
            text, flags = decoder.text(raw)
            spans.record(end, text, flags=flags)
        start = end - begin


# ---------------------------------------------------------------------------- where documents end


def _windows(view: mmap.mmap, start: int, last: int, options: SourceOptions) -> Iterator[tuple[int, list[int]]]:
    """Yield (start, ends of the documents from there on), at least one end each, until `last`."""
    size = _WINDOW
    while start < last:
        block = view[start : min(start + size, last)]
        whole = start + len(block) == last
        ends = _document_ends(block, _line_ends(block, whole), options)
        if whole and (not ends or ends[-1] < len(block)):
            ends.append(len(block))
        if not ends and size > FIELD_LIMIT:
            ends.append(_cut(block, FIELD_LIMIT))
        if ends:
            yield start, [start + end for end in ends]
            start += ends[-1]
            size = _WINDOW
        else:
            size *= 2


def _line_ends(block: bytes, whole: bool) -> npt.NDArray[np.int64]:
    """Where the lines of a block end, their marks included; a line over the limit ends several times.

    Args:
        block: begins with a line.
        whole: the file ends with the block; otherwise what comes next may change how its last line ends.
    """
    marks = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(marks == 10) + 1
    if b"\r" in block:
        alone = np.flatnonzero(marks[:-1] == 13) + 1
        alone = alone[marks[alone] != 10]
        ends = np.union1d(ends, alone)
    if whole and (not len(ends) or ends[-1] < len(block)):
        ends = np.append(ends, len(block))
    lengths = np.diff(ends, prepend=0)
    tail = len(block) - (int(ends[-1]) if len(ends) else 0)
    if tail <= _LINE_LIMIT and not (lengths > _LINE_LIMIT).any():
        return ends
    return np.array(sorted({*ends.tolist(), *_limits(block, ends.tolist())}), np.int64)


def _limits(block: bytes, ends: list[int]) -> Iterator[int]:
    """Where lines over the limit are cut: between words or characters."""
    start = 0
    for end in (*ends, len(block)):
        while end - start > _LINE_LIMIT:
            start += _cut(block[start : start + _LINE_LIMIT + 4], _LINE_LIMIT)
            yield start
        start = end


def _document_ends(block: bytes, lines: npt.NDArray[np.int64], options: SourceOptions) -> list[int]:
    if options.lines_per_document:
        ends: list[int] = lines[options.lines_per_document - 1 :: options.lines_per_document].tolist()
        return ends
    places = lines.tolist()
    found: list[int] = []
    start = 0
    while True:
        number = bisect_left(places, start + max(options.document_chars, 1))
        while number < len(places) and not _closes(block, places, number, start, options.document_chars):
            number += 1
        if number >= len(places):
            return found
        start = places[number]
        found.append(start)


def _closes(block: bytes, places: list[int], number: int, start: int, wanted: int) -> bool:
    if places[number] - start >= _STRETCH * wanted:
        return True
    bare = block[places[number - 1] if number else 0 : places[number]].rstrip()
    return not bare or bare.endswith(_ENDINGS)


def _cut(line: bytes, limit: int) -> int:
    """Where a line that is longer than `limit` + 3 bytes, or ends a file, is cut: after a blank or a character."""
    blank = line.rfind(b" ", limit // 2, limit)
    if blank >= 0:
        return blank + 1
    cut = limit
    while cut > limit - 4 and line[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
