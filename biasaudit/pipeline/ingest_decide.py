"""Between reading and writing: which documents are kept, on which side of the split, joined into which conversations.

One process, columns only. Memory: some tens of bytes a document, and what the index of duplicates is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biasaudit import identity
from biasaudit.errors import BiasAuditError
from biasaudit.pipeline import ingest_tables as tables
from biasaudit.pipeline.ingest_units import ReadUnit, WriteUnit
from biasaudit.pipeline.ingest_worker import Decisions

if TYPE_CHECKING:
    from biasaudit.pipeline.ingest_settings import IngestSettings

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What is to be written."""

    units: list[WriteUnit]
    held_out: npt.NDArray[np.bool_]
    """Of every document, in the order of the corpus."""
    kept: int
    """Messages that are kept."""
    near: int
    """Messages dropped because they almost equal one that is kept."""


def decide(
    units: Sequence[ReadUnit], records: Mapping[str, Mapping[str, Any]], settings: IngestSettings, staging: Path,
    index_memory: int,
) -> Decided:  # fmt: skip
    """Decide about every document of the parts that `units` made, and leave the decisions for their writers.

    Raises:
        CorpusError: a side of the split would stay empty, or what the split needs is missing.
    """
    from biasaudit.corpus.card_sample import share_of

    parts = [f"part-{unit.unit_id}.arrow" for unit in units]
    counts = np.array([records[unit.unit_id]["documents"] for unit in units], np.int64)
    keeper, near = _keepers(parts, settings, staging, index_memory)
    if len(keeper) != counts.sum():
        raise BiasAuditError(
            f"Conservation law: {counts.sum()} documents were read, {len(keeper)} are stored in {staging}. "
            "Delete that folder, run again."
        )
    rows, copies = _kept(keeper, counts)
    del keeper
    messages = len(copies)
    total = sum(int(record["bytes"]) for record in (records[unit.unit_id] for unit in units))
    share = share_of(int(total * messages / max(1, int(counts.sum()))))
    if settings.join_messages > 1:
        parts, rows, copies = _join(parts, rows, copies, settings.join_messages, staging)
    sides = _sides(parts, rows, settings, staging)
    first = 0
    writers = []
    for number, (part, own) in enumerate(zip(parts, rows, strict=True)):
        stop = first + len(own)
        own_copies = copies[first:stop].astype(np.int64)
        Decisions(own.astype(np.int64), sides[first:stop], own_copies, first, share).save(staging, number)
        writers.append(WriteUnit(number=number, part=part, count=len(own)))
        first = stop
    return Decided(units=writers, held_out=sides, kept=messages, near=near)


def _keepers(parts: Sequence[str], settings: IngestSettings, staging: Path, index_memory: int) -> tuple[Int64s, int]:
    from biasaudit.corpus.dedup import keepers

    near = settings.duplicates == "near"
    digests, signatures = staging / "digests.bin", staging / "signatures.bin"
    with digests.open("wb") as one, signatures.open("wb") as two:
        for part in parts:
            for batch in tables.batches(staging / part, ["digest", *(["signature"] if near else [])]):
                one.write(tables.raw(batch.column("digest")))
                if near:
                    two.write(tables.raw(batch.column("signature")))
    found = keepers(
        digests, signatures if near else None, mode=settings.duplicates, budget=index_memory, scratch=staging
    )
    digests.unlink()
    signatures.unlink()
    return found.keeper, found.near


def _kept(keeper: Int64s, counts: Int64s) -> tuple[list[Int32s], Int32s]:
    """Numbers of the kept rows inside each part, and how many copies each kept row stands for, in order."""
    stands_for = np.bincount(keeper, minlength=len(keeper)).astype(np.int32)
    rows, copies, start = [], [np.zeros(0, np.int32)], 0
    for count in counts.tolist():
        stop = start + count
        own = np.flatnonzero(keeper[start:stop] == np.arange(start, stop))
        copies.append(stands_for[start + own])
        rows.append(own.astype(np.int32))
        start = stop
    return rows, np.concatenate(copies)


def kept_batches(
    parts: Sequence[str], rows: Sequence[Int32s], staging: Path, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The kept rows of all parts, in order, a batch for each that the parts have."""
    for part, own in zip(parts, rows, strict=True):
        start = 0
        for batch in tables.batches(staging / part, columns):
            low, high = np.searchsorted(own, [start, start + batch.num_rows])
            yield tables.chosen(batch, own[low:high] - start)
            start += batch.num_rows


def _sides(
    parts: Sequence[str], rows: Sequence[Int32s], settings: IngestSettings, staging: Path
) -> npt.NDArray[np.bool_]:
    """Which documents are held out; only the columns that the split asks for are read."""
    from biasaudit.corpus.split import sides

    count = sum(len(own) for own in rows)
    digests = np.zeros((count if settings.split == "hash" else 0, 2), np.uint64)
    hashes = np.zeros(count if settings.split == "channel" else 0, np.uint64)
    dates: list[pa.Array] = []
    column = {"hash": "digest", "channel": "channel_hash", "date": "date"}.get(settings.split)
    start = 0
    for batch in kept_batches(parts, rows, staging, [column]) if column else ():
        stop = start + batch.num_rows
        if settings.split == "hash":
            digests[start:stop] = np.frombuffer(tables.raw(batch.column(0)), "<u8").reshape(-1, 2)
        elif settings.split == "channel":
            hashes[start:stop] = np.asarray(batch.column(0))
        else:
            dates.append(batch.column(0))
        start = stop
    names, codes = np.unique(hashes, return_inverse=True)
    return sides(
        settings.split,
        share=settings.held_out,
        digests=digests,
        channels=codes.astype(np.int64) if settings.split == "channel" else np.broadcast_to(np.int64(0), (count,)),
        channel_hashes=names,
        dates=pa.concat_arrays(dates) if dates else pa.nulls(0, pa.string()),
    )


def _join(
    parts: Sequence[str], rows: Sequence[Int32s], copies: Int32s, n: int, staging: Path
) -> tuple[list[str], list[Int32s], Int32s]:
    """Write the parts again with `n` messages of a channel as one document."""
    from biasaudit.corpus.conversations import joined
    from biasaudit.corpus.sketch import digests

    def messages() -> Iterator[pa.RecordBatch]:
        codes: dict[int, int] = {}
        start = 0
        for batch in kept_batches(parts, rows, staging):
            stop = start + batch.num_rows
            channel = [codes.setdefault(value, len(codes)) for value in batch.column("channel_hash").to_pylist()]
            columns = {name: batch.column(name) for name in batch.schema.names if name != "signature"}
            columns |= {
                "channel": pa.array(channel, pa.int64()),
                "copies": pa.array(copies[start:stop].astype(np.int64)),
            }
            yield pa.RecordBatch.from_pydict(columns)
            start = stop

    # Other cuts through the sources make other documents of the same number.
    plan = identity.content_hash(list(parts))[:12]
    names: list[str] = []
    own: list[Int32s] = []
    sums: list[Int32s] = []
    for number, batch in enumerate(joined(messages(), n)):
        digest = tables.fixed(digests(batch.column("text")))
        batch = batch.set_column(batch.schema.get_field_index("digest"), "digest", digest)
        names.append(f"joined-{number:06}-{plan}.arrow")
        with tables.arrow_file(staging / names[-1], batch.schema) as part:
            part.add(batch)
        own.append(np.arange(batch.num_rows, dtype=np.int32))
        sums.append(np.asarray(batch.column("copies")).astype(np.int32))
    return names, own, np.concatenate([*sums, np.zeros(0, np.int32)])
