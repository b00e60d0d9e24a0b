"""Bytes of a dump as UTF-8, whatever they were, with the way back to the offsets of the file.

UTF-8 passes through untouched and is judged record by record, because one message in a wrong encoding must not
spoil the others. UTF-16 is turned into UTF-8 on the way in; a record's length in the file then follows from its text.
"""

from __future__ import annotations

import codecs
import mmap
from collections.abc import Iterator
from pathlib import Path

from biasaudit.errors import CorpusError

BLOCK = 1 << 20
"""Bytes read at a time; results do not depend on it."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SAMPLE = 4096


class Decoder:
    """One file's encoding: blocks of UTF-8 out, lengths in the file back."""

    def __init__(self, path: Path, encoding: str | None = None, block: int = BLOCK) -> None:
        """Look at the first bytes of `path`; `encoding` overrules what they say."""
        self._path = path
        self._block = block
        with path.open("rb") as handle:
            head = handle.read(_SAMPLE)
        self.bom, found = _look(head)
        self.encoding = _named(encoding, found) if encoding else found
        self.wide = self.encoding.startswith("utf-16")
        """Whether lengths in the file differ from lengths in `blocks`."""
        self.utf8 = self.wide or self.encoding == "utf-8"
        """Whether `blocks` are UTF-8, as far as they are valid."""
        self.explained = "given by the user" if encoding else _why(self.bom, found)

    def blocks(self) -> Iterator[bytes]:
        """Yield the file after its byte order mark as UTF-8 (or as it stands, when it is byte-based)."""
        with self._path.open("rb") as handle:
            handle.seek(self.bom)
            if not self.wide:
                while block := handle.read(self._block):
                    yield block
                return
            decoder = codecs.getincrementaldecoder(self.encoding)("surrogatepass")
            while block := handle.read(self._block):
                yield decoder.decode(block).encode("utf-8", "surrogatepass")

    def head(self, size: int) -> bytes:
        """The first `size` bytes or so of `blocks`, less when the file ends."""
        found = b""
        for block in self.blocks():
            found += block
            if len(found) >= size:
                break
        return found if self.wide else found[:size]

    def encoded(self, text: str) -> bytes:
        """`text` as it stands in `blocks`."""
        return text.encode("utf-8" if self.utf8 else self.encoding, "replace")

    def length(self, raw: bytes) -> int:
        """Bytes that `raw`, cut from `blocks`, takes in the file."""
        if not self.wide:
            return len(raw)
        return len(raw.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass"))

    def length_between(self, view: mmap.mmap, start: int, end: int) -> int:
        """Bytes that a stretch of the mapped file takes in the file, without copying it when they are the same."""
        return self.length(view[start:end]) if self.wide else end - start

    def text(self, raw: bytes) -> tuple[str, tuple[str, ...]]:
        """Decode one record; the flags say what had to be guessed."""
        if not self.utf8:
            return raw.decode(self.encoding, "replace"), ()
        return decode(raw)


def decode(raw: bytes) -> tuple[str, tuple[str, ...]]:
    """Decode bytes that should be UTF-8: CESU-8 pairs are joined, Latin-1 is recognised, the rest is replaced.

    >>> decode("ação".encode("latin-1"))
    ('ação', ('latin-1',))
    """
    try:
        return raw.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    try:
        joined = raw.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        return joined, ("cesu-8",)
    except UnicodeDecodeError:
        pass
    try:
        # Half a pair, as UTF-16 files may hold it.
        lone = raw.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
        return lone.decode("utf-16-le", "replace"), ("invalid-bytes",)
    except UnicodeDecodeError:
        pass
    kept = raw.decode("utf-8", "ignore")
    if kept.isascii():
        # No valid sequence anywhere: a one-byte encoding; cp1252 is Latin-1 with quotes and dashes.
        try:
            return raw.decode("cp1252"), ("latin-1",)
        except UnicodeDecodeError:
            return raw.decode("latin-1"), ("latin-1",)
    return raw.decode("utf-8", "replace"), ("invalid-bytes",)


def _look(head: bytes) -> tuple[int, str]:
    for bom, name in _BOMS:
        if head.startswith(bom):
            return len(bom), name
    pairs = len(head) // 2
    if pairs >= 4:
        zeros_even, zeros_odd = head[0::2].count(0), head[1::2].count(0)
        if zeros_odd > 0.4 * pairs and zeros_even < 0.05 * pairs:
            return 0, "utf-16-le"
        if zeros_even > 0.4 * pairs and zeros_odd < 0.05 * pairs:
            return 0, "utf-16-be"
    return 0, "utf-8"


def _why(bom: int, encoding: str) -> str:
    if bom:
        return f"byte order mark of {encoding}"
    if encoding.startswith("utf-16"):
        return "every other byte is zero"
    return "no byte order mark; every record judged by itself"


def _named(encoding: str, found: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise CorpusError(f"--encoding {encoding}: no such encoding. Try utf-8, utf-16, cp1252 or latin-1.") from error
    if name == "utf-16":
        return found if found.startswith("utf-16") else "utf-16-le"
    return "utf-8" if name == "utf-8-sig" else name
