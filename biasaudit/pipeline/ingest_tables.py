"""Tables of the ingest stage: parts that workers leave for one another, and `documents.parquet`.

Parts are Arrow files, mapped when they are read; a part counts once its record, a JSON file written last, is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

STAGED = (
    ("text", pa.string()),
    ("message_id", pa.string()),
    ("channel_id", pa.string()),
    ("date", pa.string()),
    ("source", pa.int32()),
    ("offset", pa.int64()),
    ("flags", pa.list_(pa.string())),
    ("digest", pa.binary(16)),
)
"""Columns of a part that was read; `signature` and `channel_hash` join them where they are needed."""

TOKENS = pa.schema(
    [
        ("train", pa.large_binary()),
        ("val", pa.large_binary()),
        ("tokens", pa.list_(pa.int64())),
    ]
)
"""One row a batch of documents: bytes of the two shards, and the tokens of each document."""

DOCUMENTS = pa.schema(
    [
        ("document", pa.int64()),
        ("split", pa.string()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
        ("copies", pa.int64()),
        ("messages", pa.int64()),
        ("text", pa.string()),
        ("message_id", pa.string()),
        ("channel_id", pa.string()),
        ("date", pa.string()),
        ("source", pa.string()),
        ("offset", pa.int64()),
        ("flags", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class Part:
    """A file of rows being written."""

    handle: BinaryIO
    writer: Any

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append a batch, or a table as one row group."""
        self.writer.write(rows)
        begin_writing(self.handle)


@contextmanager
def arrow_file(path: Path, schema: pa.Schema) -> Iterator[Part]:
    """Write an Arrow file that has its name, and is on the medium, when the block ends."""
    with whole_file(path) as handle, pa.ipc.new_file(handle, schema) as writer:
        yield Part(handle, writer)


def begin_writing(handle: BinaryIO) -> None:
    """Let the medium work while we do (Linux): the sync at a file's end then finds little left to wait for."""
    with contextlib.suppress(OSError, AttributeError):
        start_write = 2  # SYNC_FILE_RANGE_WRITE: begins, and waits for nothing
        whole = ctypes.c_int64(0)
        ctypes.CDLL(None).sync_file_range(handle.fileno(), whole, whole, start_write)


def let_go(path: Path) -> None:
    """Take a finished file out of memory; it stays on the medium. What is written next finds its pages warm."""
    with contextlib.suppress(OSError, AttributeError), path.open("rb") as handle:
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that gets its name when it is on the medium.

    Of two writers, such as the worker of a killed run that has not noticed yet and its heir, neither sees the other.
    """
    made = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with made.open("xb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Record batches of an Arrow file, mapped; some columns only when named."""
    with pa.memory_map(str(path)) as source:
        options = None
        if columns is not None:
            schema = pa.ipc.open_file(source).schema
            fields = [schema.get_field_index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=fields)
        reader = pa.ipc.open_file(source, options=options)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def chosen(batch: pa.RecordBatch, rows: Any) -> pa.RecordBatch:
    """Some rows of a batch, rising; the batch itself when that is all of them."""
    return batch if len(rows) == batch.num_rows else batch.take(pa.array(rows))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Commit a part: its record appears whole, after everything that it speaks of is on the medium."""
    from biasaudit.store.files import write_atomic

    write_atomic(path, json.dumps(record, sort_keys=True).encode())


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of a part that was committed, or None."""
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return record


@contextmanager
def documents_file(path: Path) -> Iterator[Part]:
    """Write `documents.parquet`, with page checksums; only columns with few values are worth a dictionary.

    Numbers are stored by their differences, smaller than zstd makes them and in half the time. Texts stay uncompressed:
    zstd would halve them in as much time as the fast tokenizer takes.
    """
    import pyarrow.parquet as pq

    few = ["split", "channel_id", "source"]
    numbers = [field.name for field in DOCUMENTS if field.type == pa.int64()]
    compression = {name: "none" if name in ("text", *numbers) else "zstd" for name in DOCUMENTS.names}
    compression["flags.list.element"] = compression.pop("flags")
    with (
        path.open("xb") as handle,
        pq.ParquetWriter(
            handle, DOCUMENTS, compression=compression, use_dictionary=few, write_statistics=False,
            write_page_checksum=True, write_batch_size=1 << 16,
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        ) as writer,
    ):  # fmt: skip
        yield Part(handle, writer)


def fixed(rows: Any) -> pa.FixedSizeBinaryArray:
    """Rows of numbers as strings of bytes of one width, without a copy."""
    rows = np.ascontiguousarray(rows)
    width = rows.shape[1] * rows.itemsize
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows)])


def one_cell(numbers: Any) -> pa.LargeBinaryArray:
    """Numbers as one string of bytes in a column of one row, without a copy."""
    bounds = np.array([0, numbers.nbytes], np.int64)
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(bounds), pa.py_buffer(numbers)])


def raw(column: pa.FixedSizeBinaryArray) -> memoryview:
    """The bytes of a column of fixed width, its own rows only."""
    width, start = column.type.byte_width, column.offset
    return memoryview(column.buffers()[1])[start * width : (start + len(column)) * width]
