"""What a reader found in a piece of a file: columns of bytes, before anything is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biasaudit.corpus.dump import Raw
from biasaudit.corpus.dump_lines import Block

Int64s = npt.NDArray[np.int64]
COLUMNS = ("text", "id", "channel_id", "date")
"""Columns of a dump's records, in the order of `Raw.values`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Consecutive spans of a mapped file; the n-th entry of every column belongs to the n-th record."""

    start: int
    end: int
    at: Int64s
    """First byte of each record."""
    stop: Int64s
    """End of each record."""
    columns: tuple[pa.BinaryArray, ...]
    """The cells of each record, without quotes: `COLUMNS` of a dump, the wanted columns of a table."""
    bare: npt.NDArray[np.bool_]
    """Records whose text was read without quotes and that a CSV parser would read otherwise."""
    quoted: npt.NDArray[np.bool_]
    """Records whose text was read with its quotes."""
    flags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    others: tuple[Raw, ...] = ()
    """Gaps and rejects."""
    block: Block | None = None
    """Lines from `start` on, when the piece was read in bulk."""


def piece_of(raws: Sequence[Raw], start: int, end: int, telling: bytes, *, width: int = len(COLUMNS)) -> Piece:
    """Put single spans into columns.

    Args:
        raws: spans that tile `start` to `end`.
        start: first byte of the first span.
        end: end of the last span.
        telling: bytes that a CSV parser trips over in a text without quotes.
        width: cells of a record.
    """
    records = [raw for raw in raws if raw.values is not None]
    rows = [raw.values for raw in records if raw.values is not None]
    return Piece(
        start=start,
        end=end,
        at=np.array([raw.start for raw in records], np.int64),
        stop=np.array([raw.end for raw in records], np.int64),
        columns=tuple(pa.array([row[n] for row in rows], pa.binary()) for n in range(width)),
        bare=np.array([raw.bare and _any_of(raw.values[0], telling) for raw in records if raw.values], bool),
        quoted=np.array([not raw.bare for raw in records], bool),
        flags={n: raw.flags for n, raw in enumerate(records) if raw.flags},
        others=tuple(raw for raw in raws if raw.values is None),
    )


def merged(bulk: Piece, single: Piece) -> Piece:
    """Two pieces with the same bounds as one, records in the order of the file."""
    if not len(single.at):
        return replace(bulk, others=single.others)
    at = np.concatenate([bulk.at, single.at])
    order = np.argsort(at, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    take = pa.array(order)
    flags = {int(place[n]): said for n, said in bulk.flags.items()}
    flags.update({int(place[n + len(bulk.at)]): said for n, said in single.flags.items()})
    return Piece(
        start=bulk.start,
        end=bulk.end,
        at=at[order],
        stop=np.concatenate([bulk.stop, single.stop])[order],
        columns=tuple(
            pa.concat_arrays([one, two]).take(take) for one, two in zip(bulk.columns, single.columns, strict=True)
        ),
        bare=np.concatenate([bulk.bare, single.bare])[order],
        quoted=np.concatenate([bulk.quoted, single.quoted])[order],
        flags=flags,
        others=(*bulk.others, *single.others),
        block=bulk.block,
    )


def _any_of(text: bytes | None, telling: bytes) -> bool:
    return text is not None and any(text.find(byte) >= 0 for byte in telling)
