"""The results table of a run: `tables/results.csv` and `tables/results.parquet`, the same rows in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from biasaudit.results import Analysis
    from biasaudit.store.run import RunFolder

NAME = "tables/results"


def write_results(folder: RunFolder, analysis: Analysis) -> None:
    """Write every result as one row, with its estimand, target, unit, n, method and source."""
    import pyarrow as pa

    from biasaudit.stats.rows import COLUMNS, result_rows
    from biasaudit.store.export import csv_bytes

    rows = result_rows(analysis)
    folder.write_bytes(f"{NAME}.csv", csv_bytes(list(COLUMNS), [list(row.values()) for row in rows]))
    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    folder.write_table(f"{NAME}.parquet", pa.Table.from_pylist(rows, schema=schema))
