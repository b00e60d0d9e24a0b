"""Tables of documents, written and read in row groups of bounded size, so that memory does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_BATCH_BYTES = 4 << 20
"""Text held before it is written as one row group."""

STAGED = ("text", "message_id", "channel_id", "date", "source", "offset", "flags")
DOCUMENTS = ("document", "split", "tokens", "bytes", "copies", *STAGED)
_NUMBERS = ("document", "tokens", "bytes", "copies", "offset")


class Table:
    """A Parquet file written in row groups of bounded size, with page checksums."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Create `path` with `columns`, some of `STAGED` and `DOCUMENTS`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {name: pa.int64() if name in _NUMBERS else pa.string() for name in columns}
        types["flags"] = pa.list_(pa.string())
        self._schema = pa.schema([(name, types[name]) for name in columns])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", write_page_checksum=True)
        self._rows: list[dict[str, Any]] = []
        self._held = 0
        self._pa = pa

    def add(self, **row: Any) -> None:
        """Append one row."""
        self._rows.append(row)
        self._held += len(row["text"]) + 100
        if self._held >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._held = [], 0

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows:
            self._flush()
        self._writer.close()


def batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Rows of each row group, checksums verified."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group).to_pylist()


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows one by one."""
    for batch in batches(path):
        yield from batch
