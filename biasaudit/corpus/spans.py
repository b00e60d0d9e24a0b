"""Spans of a stretch, gathered into batches: every span begins where the one before it ended, by construction."""

from __future__ import annotations

import hashlib
import mmap
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from biasaudit.corpus.batch import BATCH_BYTES, BATCH_RECORDS, Batch
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import PageReturner, mapped
from biasaudit.corpus.reading import SourceOptions, Survey, regular_size
from biasaudit.errors import CorpusError
from biasaudit.records import Reject

_BLOCK = 1 << 20
_WINDOW = 32 << 20


def find(view: mmap.mmap, mark: bytes, start: int, stop: int) -> int:
    """Where `mark` first stands in [start, stop), -1 when it does not; what was searched does not stay in memory."""
    pages = PageReturner(view)
    while start < stop:
        at = view.find(mark, start, min(start + _WINDOW + len(mark) - 1, stop))
        if at >= 0:
            return at
        start += _WINDOW
        pages.passed(min(start, stop))
    return -1


def matches(pattern: re.Pattern[bytes], longest: int, view: mmap.mmap, start: int, stop: int) -> Iterator[int]:
    """Where `pattern`, which matches at most `longest` bytes, matches in [start, stop), in bounded memory."""
    pages = PageReturner(view)
    while start < stop:
        edge = min(start + _WINDOW, stop)
        for match in pattern.finditer(view, start, min(edge + longest, stop)):
            if match.start() >= edge:
                break
            yield match.start()
        start = edge
        pages.passed(start)


def filled(path: Path, options: SourceOptions) -> tuple[int, Decoder]:
    """Size and encoding of a file that holds something.

    Raises:
        CorpusError: missing, not a regular file, or empty.
    """
    size = regular_size(path)
    decoder = Decoder(path, options.encoding)
    if blank(size, decoder):
        raise CorpusError(f"{path}: the file is empty. Give a dump with at least one record.")
    return size, decoder


def blank(size: int, decoder: Decoder) -> bool:
    """Whether a file of `size` bytes has nothing behind its byte order mark."""
    return size - decoder.bom < (2 if decoder.wide else 1)


@contextmanager
def opened(found: Survey, start: int) -> Iterator[tuple[Spans, Decoder]]:
    """Map a surveyed file and begin a stretch of it at `start`.

    Raises:
        CorpusError: the file is not the one that was surveyed.
    """
    if regular_size(found.path) != found.size:
        raise CorpusError(f"{found.path}: changed while it was read. Run again when nothing writes to it.")
    decoder = Decoder(found.path, found.options.encoding)
    with mapped(found.path, decoder) as (view, _):
        yield Spans(view, decoder, found.label, start), decoder


class Spans:
    """The spans of one stretch of a mapped file, in order; places are given as positions in the map."""

    def __init__(self, view: mmap.mmap, decoder: Decoder, label: str, start: int) -> None:
        """Begin at `start`; a stretch that starts at 0 holds the byte order mark."""
        self.view = view
        self._decoder = decoder
        self._label = label
        self._pages = PageReturner(view)
        self.position = start if start or decoder.wide else decoder.bom
        """Where the next span begins in the map."""
        self._offset = start if start else decoder.bom
        """The same place in the file."""
        self._clear(first=start, separators=0 if start else decoder.bom)

    def _clear(self, first: int, separators: int = 0) -> None:
        self._first = first
        self._separators = separators
        self._texts: list[str] = []
        self._ids: list[str | None] = []
        self._channels: list[str | None] = []
        self._dates: list[str | None] = []
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._flags: dict[int, tuple[str, ...]] = {}
        self._rejects: list[Reject] = []
        self.notes: Counter[str] = Counter()
        """Counts of the batch that is being gathered."""

    def record(
        self, end: int, text: str, message_id: str | None = None, channel_id: str | None = None,
        date: str | None = None, flags: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """The bytes up to `end` are a record."""
        if flags:
            self._flags[len(self._texts)] = flags
        self._texts.append(text)
        self._ids.append(message_id)
        self._channels.append(channel_id)
        self._dates.append(date)
        self._offsets.append(self._offset)
        self._lengths.append(self._advance(end))

    def gap(self, end: int) -> None:
        """The bytes up to `end` separate records."""
        self._separators += self._advance(end)

    def reject(self, end: int, reason: str) -> None:
        """The bytes up to `end` could not be understood."""
        digest = hashlib.sha256()
        for at in range(self.position, end, _BLOCK):
            digest.update(self.view[at : min(end, at + _BLOCK)])
            self._pages.passed(at)
        offset = self._offset
        length = self._advance(end)
        self._rejects.append(
            Reject(source=self._label, offset=offset, length=length, reason=reason, sha256=digest.hexdigest())
        )  # fmt: skip

    def _advance(self, end: int) -> int:
        length = self._decoder.length_between(self.view, self.position, end)
        self.position = end
        self._offset += length
        return length

    @property
    def full(self) -> bool:
        """Whether it is time to close the batch."""
        return self._offset - self._first >= BATCH_BYTES or len(self._texts) >= BATCH_RECORDS

    def finish(self, size: int) -> None:
        """The file ends here at `size` bytes; half a UTF-16 unit may be left."""
        self._separators += size - self._offset
        self._offset = size

    def batch(self) -> Batch:
        """Close the batch and begin the next one."""
        made = Batch(
            start=self._first,
            end=self._offset,
            text=strings(self._texts),
            message_id=strings(self._ids),
            channel_id=strings(self._channels),
            date=strings(self._dates),
            offset=np.array(self._offsets, np.int64),
            length=np.array(self._lengths, np.int64),
            flags=self._flags,
            rejects=tuple(self._rejects),
            separators=self._separators,
            notes=dict(self.notes),
        )
        self._pages.passed(self.position)
        self._clear(first=self._offset)
        return made

    @property
    def empty(self) -> bool:
        """Whether no byte was gathered since the last batch."""
        return self._offset == self._first


def nothing(size: int) -> Batch:
    """The one batch of a source without content: its `size` bytes are a byte order mark, or none."""
    none, places = strings([]), np.empty(0, np.int64)
    return Batch(
        start=0, end=size, text=none, message_id=none, channel_id=none, date=none, offset=places, length=places,
        separators=size,
    )  # fmt: skip


def strings(values: Sequence[str | None]) -> pa.StringArray:
    """Texts as a column; half a surrogate pair, which JSON can hold and UTF-8 cannot, is replaced."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if value is None else _whole(value) for value in values], pa.string())


def _whole(value: str) -> str:
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
