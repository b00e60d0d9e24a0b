"""Parquet: a row is a record; offsets count rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.columns import Columns, batches, columns_of
from biasaudit.corpus.reading import SourceOptions, Survey, regular_size
from biasaudit.errors import CorpusError

SUFFIXES = (".parquet", ".pq")

_ROWS = 1024
"""Rows that are decoded at once."""
_BUFFER = 1 << 20
"""Bytes of a column that are held at once."""


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find the columns of a Parquet file; it can be cut where its row groups begin.

    Raises:
        CorpusError: missing or damaged file, or no column that holds the text.
    """
    size = regular_size(path)
    with _opened(path) as file:
        columns = columns_of(path, file.schema_arrow, options)
        groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        rows = file.metadata.num_rows
    if rows <= 0 or sum(groups) != rows or min(groups) < 0:
        raise CorpusError(f"{path}: holds no record ({size:,} bytes, {rows} rows). Give a table with at least one.")
    starts = _starts(groups)
    return Survey(
        path=path, label=options.label or path.name, kind="parquet", size=rows, unit="rows", options=options,
        notes={"kind": "Parquet", "columns": columns.named, "row_groups": len(groups)},
        detail=(columns, tuple(starts)), cuts=tuple(sorted({start for start in starts if 0 < start < rows})),
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the rows [start, stop).

    Raises:
        CorpusError: a page is damaged.
    """
    assert synced, "a stretch of a table begins at a row group"
    assert isinstance(found.detail, tuple)
    columns, starts = found.detail
    groups = [number for number, first in enumerate(starts) if start <= first < stop]
    with _opened(found.path) as file:
        yield from batches(_rows(file, groups, columns), columns, found.label, start)


def _rows(file: Any, groups: list[int], columns: Columns) -> Iterator[Any]:
    if groups:
        yield from file.iter_batches(batch_size=_ROWS, row_groups=groups, columns=columns.roots, use_threads=False)


def _starts(groups: list[int]) -> list[int]:
    starts, row = [], 0
    for rows in groups:
        starts.append(row)
        row += rows
    return starts


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, with its page checksums verified where it has them.

    Raises:
        CorpusError: it is no Parquet file, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CorpusError(f"{path}: not a sound Parquet file ({reason}). Copy or export it again.") from error
