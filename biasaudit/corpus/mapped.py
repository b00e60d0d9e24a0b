"""A dump as one byte string that is never in memory whole: the file, mapped.

Reading through a map makes results independent of block sizes by construction. Pages that were read are handed back,
so that resident memory stays bounded on files of any size. UTF-16 is first turned into an unnamed UTF-8 file.
"""

from __future__ import annotations

import hashlib
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biasaudit.corpus.encoding import Decoder
from biasaudit.errors import CorpusError

_HAND_BACK = 64 << 20
_BLOCK = 1 << 20


@contextmanager
def mapped(path: Path, decoder: Decoder) -> Iterator[tuple[mmap.mmap, int]]:
    """Map `path` as UTF-8 bytes; gives the map and the position where the content starts.

    The file must not be empty after its byte order mark.
    """
    if not decoder.encoding.startswith("utf-16"):
        with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view, decoder.bom
        return
    with tempfile.TemporaryFile() as copy:
        for block in decoder.blocks():
            copy.write(block)
        copy.flush()
        with mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view, 0


class PageReturner:
    """Hands pages before a position back to the system, a stretch at a time."""

    def __init__(self, view: mmap.mmap) -> None:
        """Watch `view`."""
        self._view = view
        self._done = 0

    def passed(self, position: int) -> None:
        """Everything before `position` will not be read again.

        Raises:
            CorpusError: the file is shorter than the map; reading what it lost would end the process.
        """
        if self._view.size() < len(self._view):
            raise CorpusError(
                "A source changed while it was read: it is shorter now. Run again when nothing writes to it."
            )
        if position - self._done >= _HAND_BACK and hasattr(mmap, "MADV_DONTNEED"):
            stop = position - position % mmap.PAGESIZE
            self._view.madvise(mmap.MADV_DONTNEED, self._done, stop - self._done)
            self._done = stop


def digest_of(view: mmap.mmap, start: int, end: int) -> str:
    """SHA-256 (64 hex digits) of a stretch, read in blocks."""
    digest = hashlib.sha256()
    for at in range(start, end, _BLOCK):
        digest.update(view[at : min(end, at + _BLOCK)])
    return digest.hexdigest()
