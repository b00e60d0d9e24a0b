"""Conversations: several messages of a channel as one document (`--join-messages N`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NEEDED = ("text", "channel", "date", "copies")
"""Columns that are joined; whatever else a batch has is taken from the first message of a document."""
BUDGET = 64 << 20
"""Bytes of text that may wait for the rest of their conversation."""

_BLOCK_BYTES = 4 << 20
_BLOCK_RECORDS = 65_536

_Int64s = npt.NDArray[np.int64]


def joined(batches: Iterable[pa.RecordBatch], n: int, budget: int = BUDGET) -> Iterator[pa.RecordBatch]:
    r"""Make one document of every `n` consecutive kept messages of a channel, also where channels interleave.

    The texts are joined by `\n` in the order of the file. Documents come in the order in which they became full; the
    rest, shorter ones, follow at the end by their first message. When more than `budget` bytes wait, those that
    began first are closed as they are. How the messages are cut into batches changes nothing.

    Args:
        batches: kept messages with the columns of `NEEDED` at least: `text` (never null), `channel` (integer codes),
            `date` (text, may be null), `copies` (integers).
        n: messages a document; at least 1.
        budget: bytes of text that may wait.

    Yields:
        Batches with the columns of the input and two more: `last_date`, the date of the last message, and `messages`,
        how many there are. `copies` is their sum, so that the copies of all documents still add up to the records
        that were read; all other columns are those of the first message.
    """
    waiting: pa.RecordBatch | None = None
    for block in _blocks(batches):
        rows = block if waiting is None else pa.concat_batches([waiting, block])
        order, starts, sizes = _groups(rows["channel"].to_numpy(zero_copy_only=False), n)
        last, first = order[starts + sizes - 1], order[starts]
        full = sizes == n
        full |= _overdue(rows["text"], order, starts, np.where(full, -1, first), budget)
        done = np.flatnonzero(full)
        done = done[np.lexsort((first[done], np.where(sizes[done] == n, last[done], len(rows))))]
        if done.size:
            yield _documents(rows, order, starts[done], sizes[done])
        waiting = rows.take(pa.array(np.sort(order[np.repeat(~full, sizes)])))
    if waiting is not None and len(waiting):
        order, starts, sizes = _groups(waiting["channel"].to_numpy(zero_copy_only=False), n)
        by_first = np.argsort(order[starts])
        yield _documents(waiting, order, starts[by_first], sizes[by_first])


def _blocks(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same messages, cut where a count of bytes or records is reached: the same for any batches that come in."""
    held: list[pa.RecordBatch] = []
    size = records = 0
    for batch in batches:
        ends = np.cumsum(np.asarray(pc.binary_length(batch["text"]), np.int64))
        start = 0
        while start < len(batch):
            before = int(ends[start - 1]) if start else 0
            full = int(np.searchsorted(ends, before + _BLOCK_BYTES - size)) + 1
            stop = min(len(batch), full, start + _BLOCK_RECORDS - records)
            held.append(batch.slice(start, stop - start))
            size += int(ends[stop - 1]) - before
            records += stop - start
            start = stop
            if size >= _BLOCK_BYTES or records >= _BLOCK_RECORDS:
                yield pa.concat_batches(held)
                held, size, records = [], 0, 0
    if held:
        yield pa.concat_batches(held)


def _groups(channels: _Int64s, n: int) -> tuple[_Int64s, _Int64s, _Int64s]:
    """Rows by channel and place, and where in that order each document starts and how many rows it has."""
    order = np.argsort(channels, kind="stable")
    changes = np.concatenate([[True], channels[order][1:] != channels[order][:-1]])
    begins = np.maximum.accumulate(np.where(changes, np.arange(len(order)), 0))
    starts = np.flatnonzero((np.arange(len(order)) - begins) % n == 0)
    return order, starts, np.diff(np.append(starts, len(order)))


def _overdue(
    text: pa.StringArray, order: _Int64s, starts: _Int64s, first: _Int64s, budget: int
) -> npt.NDArray[np.bool_]:
    """Which waiting documents (`first` ≥ 0) must be closed: the oldest, until the others fit the budget."""
    size = np.add.reduceat(np.asarray(pc.binary_length(text), np.int64)[order], starts)
    overdue = np.zeros(len(starts), bool)
    waiting = np.flatnonzero(first >= 0)
    waiting = waiting[np.argsort(-first[waiting])]
    overdue[waiting[np.cumsum(size[waiting]) > budget]] = True
    return overdue


def _documents(rows: pa.RecordBatch, order: _Int64s, starts: _Int64s, sizes: _Int64s) -> pa.RecordBatch:
    """One row for each document; its messages are `sizes` rows of `order` from `starts` on."""
    edges = np.concatenate([[0], np.cumsum(sizes)])
    members = order[np.arange(edges[-1]) + np.repeat(starts - edges[:-1], sizes)]
    texts = pa.ListArray.from_arrays(pa.array(edges, pa.int32()), rows["text"].take(pa.array(members)))
    copies = rows["copies"].to_numpy(zero_copy_only=False)[members]
    columns = {name: rows[name].take(pa.array(order[starts])) for name in rows.schema.names}
    columns["text"] = pc.binary_join(texts, "\n")
    columns["copies"] = pa.array(np.add.reduceat(copies, edges[:-1]), rows.schema.field("copies").type)
    columns["last_date"] = rows["date"].take(pa.array(order[starts + sizes - 1]))
    columns["messages"] = pa.array(sizes, pa.int32())
    return pa.RecordBatch.from_pydict(columns)
