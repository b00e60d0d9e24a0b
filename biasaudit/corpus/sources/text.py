"""Plain text: a long file becomes documents of a few thousand characters, cut at paragraph ends.

A paragraph ends at a blank line, or at a line that ends a sentence (texts that are wrapped by hand have no blank
lines). With `lines_per_document` the file is a list of sentences instead, and so many lines make a document.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.reading import Gap, Item, Reading, SourceOptions, regular_size
from biasaudit.records import Message

SUFFIXES = (".txt", ".text", ".md")

_ENDINGS = tuple(mark.encode() for mark in (".", "!", "?", "…", '"', "”", "»", ")"))
_LINE_LIMIT = 1 << 16
"""Bytes after which a line without end is cut, at a blank if there is one."""
_STRETCH = 2
"""A document may grow to so many times its wanted size before it is cut at any line end."""


def read(path: Path, options: SourceOptions) -> Reading:
    """Read a plain text file as documents.

    Raises:
        CorpusError: the file is missing or not a regular file.
    """
    size = regular_size(path)
    decoder = Decoder(path, options.encoding)
    every = options.lines_per_document
    rule = (
        f"{every} lines a document" if every else f"cut at the first paragraph end after {options.document_chars} bytes"
    )
    notes: dict[str, object] = {
        "kind": "plain text",
        "encoding": decoder.encoding,
        "encoding_because": decoder.explained,
        "documents": rule,
    }
    return Reading(items=_documents(path, size, decoder, options), size=size, notes=notes)


def _documents(path: Path, size: int, decoder: Decoder, options: SourceOptions) -> Iterator[Item]:
    offset = decoder.bom
    if offset:
        yield Gap(offset=0, length=offset, reason="byte order mark")
    for raw in _pieces(_lines(decoder.blocks()), options):
        length = decoder.length(raw)
        if raw.strip():
            text, flags = decoder.text(raw)
            yield Message(text=text, source=options.label or path.name, offset=offset, length=length, flags=flags)
        else:
            yield Gap(offset=offset, length=length, reason="blank")
        offset += length
    if offset < size:
        yield Gap(offset=offset, length=size - offset, reason="half a UTF-16 unit at the end")


def _pieces(lines: Iterator[bytes], options: SourceOptions) -> Iterator[bytes]:
    piece: list[bytes] = []
    held = 0
    for line in lines:
        piece.append(line)
        held += len(line)
        if _closes(line, len(piece), held, options):
            yield b"".join(piece)
            piece, held = [], 0
    if piece:
        yield b"".join(piece)


def _closes(line: bytes, count: int, held: int, options: SourceOptions) -> bool:
    if options.lines_per_document:
        return count >= options.lines_per_document
    if held < options.document_chars:
        return False
    bare = line.rstrip()
    return not bare or bare.endswith(_ENDINGS) or held >= _STRETCH * options.document_chars


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines with their ends; a line over the limit comes in parts that are cut between words or characters."""
    rest = b""
    for block in blocks:
        lines = (rest + block).splitlines(keepends=True)
        rest = lines.pop()
        for line in lines:
            yield from _bounded(line)
        while len(rest) > 2 * _LINE_LIMIT:
            cut = _cut(rest)
            yield rest[:cut]
            rest = rest[cut:]
    for line in rest.splitlines(keepends=True):
        yield from _bounded(line)


def _bounded(line: bytes) -> Iterator[bytes]:
    start = 0
    while len(line) - start > _LINE_LIMIT:
        cut = _cut(line[start : start + _LINE_LIMIT + 4])
        yield line[start : start + cut]
        start += cut
    yield line[start:]


def _cut(line: bytes) -> int:
    blank = line.rfind(b" ", _LINE_LIMIT // 2, _LINE_LIMIT)
    if blank >= 0:
        return blank + 1
    cut = _LINE_LIMIT
    while cut > _LINE_LIMIT - 4 and line[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
