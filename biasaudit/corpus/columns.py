"""Sources that are tables already: which column is the text, the id, the channel and the date; rows as batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.batch import BATCH_BYTES, BATCH_RECORDS, Batch
from biasaudit.corpus.encoding import decode
from biasaudit.corpus.fields import listed, missing
from biasaudit.corpus.reading import FIELD_LIMIT, FILTERED, SourceOptions, checked_columns, field_of
from biasaudit.errors import CorpusError
from biasaudit.records import Reject

_EXACT = float(1 << 53)
"""From here on a float does not tell an id from its neighbours; it stays as it is written, `1.446e+18`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a table; `a.b` is the field b of the structure a."""

    text: str
    id: str | None
    channel_id: str | None
    date: str | None
    where: tuple[tuple[str, str], ...]

    @property
    def roots(self) -> list[str]:
        """The columns to read, each once."""
        names = (self.text, self.id, self.channel_id, self.date, *(name for name, _ in self.where))
        return list(dict.fromkeys(name for name in names if name))

    @property
    def named(self) -> dict[str, str]:
        """Field -> column, for the data card."""
        return {name: column for name in ("text", "id", "channel_id", "date") if (column := getattr(self, name))}


def columns_of(source: str | Path, schema: pa.Schema, options: SourceOptions) -> Columns:
    """Find the columns from the user's map, then from their names.

    Raises:
        CorpusError: no column holds the text, one that the user named is missing, or one cannot be text.
    """
    types = dict(_leaves(schema))
    found = {name: column for column in reversed(types) if (name := field_of(column)) is not None}
    asked = {name: column for column, name in checked_columns(options.columns).items()}
    found |= asked
    for column in (*asked.values(), *options.where):
        if column not in types:
            raise CorpusError(f"{source}: {missing('column', column, types)}")
    if "text" not in found:
        raise CorpusError(
            f"{source}: no column is called text or message. Name it with --map COLUMN=text. Columns: {listed(types)}."
        )
    for name, column in (*found.items(), *(("--where", column) for column in options.where)):
        kind = types[column]
        if not (_textual(kind) if name == "text" else not pa.types.is_nested(kind)):
            raise CorpusError(
                f"{source}: column '{column}' holds {kind}, which cannot be read as {name}. Columns: {listed(types)}."
            )
    return Columns(
        found["text"], found.get("id"), found.get("channel_id"), found.get("date"), tuple(options.where.items())
    )


def _leaves(fields: Iterable[pa.Field], before: str = "") -> Iterator[tuple[str, pa.DataType]]:
    for field in fields:
        yield before + field.name, field.type
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{before}{field.name}.")


def _textual(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
            pa.types.is_large_binary, pa.types.is_binary_view,
        )
    )  # fmt: skip


# ---------------------------------------------------------------------------- rows as batches


def batches(rows: Iterable[pa.RecordBatch], columns: Columns, label: str, start: int) -> Iterator[Batch]:
    """Rows from number `start` on as batches; a row is one unit long."""
    held: list[Batch] = []
    size = 0
    for table in rows:
        for part in _parts(table, columns):
            made = _batch(part, columns, label, start)
            held.append(made)
            size += made.text.nbytes
            start += part.num_rows
            if size >= BATCH_BYTES or start - held[0].start >= BATCH_RECORDS:
                yield _one(held)
                held, size = [], 0
    if held:
        yield _one(held)


def _parts(table: pa.RecordBatch, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Cut rows so that the texts of a part, decoded, are not much more than a batch: dictionaries repeat."""
    text = _column(table, columns.text)
    if pa.types.is_dictionary(text.type):
        sizes = pc.binary_length(_plain_binary(text.dictionary)).take(text.indices)
    else:
        sizes = pc.binary_length(_plain_binary(text))
    ends = np.cumsum(sizes.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    edges = np.flatnonzero(np.diff(ends // BATCH_BYTES)) + 1
    begin = 0
    for end in (*edges.tolist(), table.num_rows):
        if end > begin:
            yield table.slice(begin, end - begin)
            begin = end


def _batch(rows: pa.RecordBatch, columns: Columns, label: str, start: int) -> Batch:
    count = rows.num_rows
    text, doubts = _texts(_column(rows, columns.text))
    text = text.fill_null("")
    long = pc.greater(pc.binary_length(text), FIELD_LIMIT).to_numpy(zero_copy_only=False)
    rejects = tuple(_reject(text, number, label, start) for number in np.flatnonzero(long).tolist())
    keep = pa.array(~long)
    others = [
        pa.nulls(count, pa.string()) if name is None else pc.utf8_trim_whitespace(_texts(_column(rows, name))[0])
        for name in (columns.id, columns.channel_id, columns.date)
    ]
    flags = dict(doubts)
    for number in _left_out(rows, columns):
        flags[number] = (*flags.get(number, ()), FILTERED)
    places = np.flatnonzero(~long)
    numbers = {row: number for number, row in enumerate(places.tolist())} if rejects and flags else None
    if numbers is not None:
        flags = {numbers[row]: found for row, found in flags.items() if row in numbers}
    return Batch(
        start=start, end=start + count, text=text.filter(keep),
        message_id=others[0].filter(keep), channel_id=others[1].filter(keep), date=others[2].filter(keep),
        offset=places.astype(np.int64) + start, length=np.ones(len(places), np.int64), flags=flags, rejects=rejects,
    )  # fmt: skip


def _reject(text: pa.StringArray, number: int, label: str, start: int) -> Reject:
    digest = hashlib.sha256(text[number].as_buffer()).hexdigest()
    return Reject(
        source=label, offset=start + number, length=1, reason=f"field over {FIELD_LIMIT} bytes", sha256=digest
    )


def _left_out(rows: pa.RecordBatch, columns: Columns) -> list[int]:
    """Rows that the user's `where` leaves out."""
    out = np.zeros(rows.num_rows, bool)
    for name, value in columns.where:
        found = pc.equal(pc.utf8_trim_whitespace(_texts(_column(rows, name))[0]), value)
        out |= ~found.fill_null(False).to_numpy(zero_copy_only=False)
    found_rows: list[int] = np.flatnonzero(out).tolist()
    return found_rows


def _one(held: list[Batch]) -> Batch:
    if len(held) == 1:
        return held[0]
    flags: dict[int, tuple[str, ...]] = {}
    before = 0
    for part in held:
        flags |= {before + number: found for number, found in part.flags.items()}
        before += len(part)
    return Batch(
        start=held[0].start, end=held[-1].end, text=pa.concat_arrays([part.text for part in held]),
        message_id=pa.concat_arrays([part.message_id for part in held]),
        channel_id=pa.concat_arrays([part.channel_id for part in held]),
        date=pa.concat_arrays([part.date for part in held]),
        offset=np.concatenate([part.offset for part in held]), length=np.concatenate([part.length for part in held]),
        flags=flags, rejects=tuple(found for part in held for found in part.rejects),
    )  # fmt: skip


# ---------------------------------------------------------------------------- columns as text


def _column(rows: pa.RecordBatch, name: str) -> pa.Array:
    if name in rows.schema.names:
        return rows.column(name)
    root, *inner = name.split(".")
    return pc.struct_field(rows.column(root), inner)


def _plain_binary(values: pa.Array) -> pa.Array:
    view = pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type)
    return values.cast(pa.large_binary()) if view else values


def _written(values: pa.Array) -> pa.StringArray:
    """Numbers and dates as text; whole ones as such where a column with gaps made floats of them (`3.0`, NaN)."""
    found = values.cast(pa.string())
    if not pa.types.is_floating(values.type):
        return found
    wide = values.cast(pa.float64())
    found = pc.if_else(pc.is_nan(wide), None, found)
    whole = pc.and_(pc.equal(pc.trunc(wide), wide), pc.less(pc.abs(wide), _EXACT)).fill_null(False)
    if not pc.any(whole).as_py():
        return found
    return pc.if_else(whole, pc.if_else(whole, wide, 0).cast(pa.int64()).cast(pa.string()), found)


def _texts(values: pa.Array) -> tuple[pa.StringArray, dict[int, tuple[str, ...]]]:
    """A column as valid text, and the doubts about values that were not."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not _textual(values.type):
        return _written(values), {}
    raw = values.cast(pa.large_binary()).cast(pa.binary())
    try:
        return raw.cast(pa.string()), {}
    except pa.ArrowInvalid:
        decoded = [(None, ()) if value is None else decode(value) for value in raw.to_pylist()]
    doubts = {number: flags for number, (_, flags) in enumerate(decoded) if flags}
    return pa.array([text for text, _ in decoded], pa.string()), doubts
