"""Records in columns: what a stretch of a source holds, as the stages after the readers want it.

A batch covers `start` to `end` of its source without a hole: every byte (every row, for sources that count rows) is
in a record, in a reject or in a separator, and `Batch.check` says so. Readers that find records one by one come out
of `batched`; readers that find them in bulk make their batches themselves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biasaudit.corpus.reading import FILTERED, Gap, Item
from biasaudit.errors import BiasAuditError
from biasaudit.records import Message, Reject

BATCH_BYTES = 4 << 20
"""Bytes of a source after which a batch is closed."""
BATCH_RECORDS = 65_536
"""Records after which a batch is closed."""

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Consecutive spans of one source; the n-th entry of every column belongs to the n-th record."""

    start: int
    end: int
    text: pa.StringArray
    """As their authors wrote them; valid UTF-8, never null."""
    message_id: pa.StringArray
    """Exact, as text; null when the source has none. So are `channel_id` and `date`."""
    channel_id: pa.StringArray
    date: pa.StringArray
    offset: Int64s
    """First byte of each record in the source."""
    length: Int64s
    """Bytes of each record in the source, its end of line included."""
    flags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Record -> doubts of the reader, where there are any. `FILTERED` is what the user's `where` leaves out."""
    rejects: tuple[Reject, ...] = ()
    separators: int = 0
    """Bytes between records: headers, blank lines, byte order marks."""
    notes: Mapping[str, int] = field(default_factory=dict)
    """Counts that are added up over all batches of a source for the card (`misread_by_a_csv_parser`)."""

    def __len__(self) -> int:
        return len(self.text)

    def check(self, source: str) -> None:
        """Stop when a byte is in no span.

        Raises:
            BiasAuditError: the columns disagree, or do not cover `start` to `end`.
        """
        columns = (self.message_id, self.channel_id, self.date, self.offset, self.length)
        covered = int(self.length.sum()) + sum(reject.length for reject in self.rejects) + self.separators
        if any(len(column) != len(self.text) for column in columns) or covered != self.end - self.start:
            raise BiasAuditError(
                f"{source}: {self.end - self.start} bytes from {self.start} on, {covered} accounted for (conservation "
                "law). Nothing was written. Please report this file's structure as a bug."
            )


def batched(items: Iterable[Item], start: int) -> Iterator[Batch]:
    """Gather spans, which tile the source from `start` on, into batches.

    Raises:
        BiasAuditError: a span does not begin where the one before it ended.
    """
    held: list[Item] = []
    position = first = start
    records = 0
    for item in items:
        if item.offset != position or item.length < 0:
            raise BiasAuditError(
                f"bytes {position} to {item.offset} are in no record (conservation law). Nothing was written. "
                "Please report this file's structure as a bug."
            )
        held.append(item)
        position += item.length
        records += not isinstance(item, Gap | Reject)
        if position - first >= BATCH_BYTES or records >= BATCH_RECORDS:
            yield _batch(held, first, position)
            held, first, records = [], position, 0
    if held:
        yield _batch(held, first, position)


def _batch(items: Iterable[Item], start: int, end: int) -> Batch:
    messages, rejects, separators = [], [], 0
    for item in items:
        if isinstance(item, Gap):
            separators += item.length
        elif isinstance(item, Reject):
            rejects.append(item)
        else:
            messages.append(item)
    return Batch(
        start=start,
        end=end,
        text=pa.array([m.text for m in messages], pa.string()),
        message_id=pa.array([m.message_id for m in messages], pa.string()),
        channel_id=pa.array([m.channel_id for m in messages], pa.string()),
        date=pa.array([m.date for m in messages], pa.string()),
        offset=np.array([m.offset for m in messages], np.int64),
        length=np.array([m.length for m in messages], np.int64),
        flags={number: m.flags for number, m in enumerate(messages) if m.flags},
        rejects=tuple(rejects),
        separators=separators,
    )


def spans_of(batch: Batch, source: str) -> Iterator[Item]:
    """The spans of a batch, one by one; what lies between records is a `Gap`."""
    columns = (column.to_pylist() for column in (batch.text, batch.message_id, batch.channel_id, batch.date))
    places = zip(batch.offset.tolist(), batch.length.tolist(), strict=True)
    messages = (
        Message(
            text=text, message_id=message_id, channel_id=channel_id, date=date, source=source, offset=offset,
            length=length, flags=batch.flags.get(number, ()),
        )
        for number, (text, message_id, channel_id, date, (offset, length)) in enumerate(
            zip(*columns, places, strict=True)
        )
    )  # fmt: skip
    position = batch.start
    spans: Iterator[Message | Reject] = heapq.merge(messages, batch.rejects, key=lambda span: span.offset)
    for span in spans:
        if span.offset > position:
            yield Gap(offset=position, length=span.offset - position, reason="between records")
        yield span
        position = span.offset + span.length
    if position < batch.end:
        yield Gap(offset=position, length=batch.end - position, reason="between records")


def kept(batch: Batch) -> npt.NDArray[np.bool_]:
    """Which records the user's `where` leaves in, shape (records,)."""
    mask = np.ones(len(batch), bool)
    mask[[number for number, flags in batch.flags.items() if FILTERED in flags]] = False
    return mask
