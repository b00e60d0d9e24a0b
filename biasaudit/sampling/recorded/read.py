"""Files of completions as one Arrow table: JSONL, CSV, Parquet and transcripts; columns found by name or by option.

Columns of the table (`FIELDS`): null where the file has no such value. Nothing is dropped here; rows without a prompt
or without a text are there, and counted later as such.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from biasaudit.errors import InputError, UsageError
from biasaudit.sampling.recorded.faults import csv_fault, encoding_fault, jsonl_fault
from biasaudit.sampling.recorded.transcripts import read_blocks

_TEXT = pa.large_string()
FIELDS: Mapping[str, Any] = {
    "prompt": _TEXT,
    "prompt_id": _TEXT,
    "completion": _TEXT,
    "arms": _TEXT,
    "index": pa.int64(),
    "token_ids": pa.large_list(pa.int32()),
    "logprobs": pa.large_list(pa.float32()),
    "finish_reason": _TEXT,
    "label": _TEXT,
    "temperature": pa.float64(),
    "top_k": pa.int64(),
    "top_p": pa.float64(),
}
NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "pergunta", "question", "input"),
    "prompt_id": ("prompt_id",),
    "completion": ("completion", "text", "answer", "response", "resposta", "texto", "output", "generation"),
    "arms": ("arm", "model", "modelo", "braço"),
    "index": ("index", "índice", "indice"),
    "token_ids": ("token_ids", "tokens"),
    "logprobs": ("logprobs", "token_logprobs"),
    "finish_reason": ("finish_reason",),
    "label": ("label", "rótulo", "rotulo"),
    "temperature": ("temperature", "temperatura"),
    "top_k": ("top_k",),
    "top_p": ("top_p",),
}
KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".txt": "text"}
_LISTS = ("token_ids", "logprobs")
_LONGEST_LINE = 64 << 20
_PEEK = 200
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a file holds."""

    path: Path
    kind: str
    table: Any
    """Columns of FIELDS, and `row`: line or row of the file, counted from 1."""
    notes: tuple[str, ...] = ()
    """What the file has beside completions, a sentence each."""


def kind_of(path: Path, asked: str = "") -> str:
    """`jsonl`, `csv`, `parquet` or `text`, by the file's ending unless it is `asked` for.

    Raises:
        InputError: there is no such file, or no such kind.
    """
    kinds = sorted(set(KINDS.values()))
    if not path.is_file():
        raise InputError(f"replay:{path}: there is no such file.")
    kind = asked or KINDS.get(path.suffix.lower(), "")
    if kind not in kinds:
        raise InputError(
            f"replay:{path}: its kind is not known; add ,format= with one of {', '.join(kinds)}, or end its name with "
            f"one of {', '.join(KINDS)}."
        )
    return kind


def read_recording(path: Path, *, kind: str = "", columns: Mapping[str, str] | None = None) -> Recording:
    """Read a file of completions whole: its texts stay in memory, once.

    Args:
        path: the file.
        kind: as in `kind_of`.
        columns: field of FIELDS -> column of the file, where the names do not tell.

    Raises:
        InputError: the file cannot be read as what it is, or has no prompts or no completions.
        UsageError: a column that was named is not there, or two could be meant.
    """
    kind = kind_of(path, kind)
    given = dict(columns or {})
    if kind == "text":
        if given:
            raise UsageError(f"replay:{path}: a transcript has no columns; leave {', '.join(given)} away.")
        return _transcript(path)
    if kind != "parquet" and (fault := encoding_fault(path)):
        raise InputError(f"replay:{path}: {fault}.")
    header = _READERS[kind][0](path)
    chosen = choose_columns(path, header, given)
    try:
        table = _READERS[kind][1](path, chosen)
        table.validate(full=True)  # Arrow's JSON and Parquet readers take bytes that are not UTF-8 for text
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        fault = _fault(path, kind, chosen) or str(error).splitlines()[0]
        raise InputError(f"replay:{path}: cannot be read as {kind}: {fault}") from error
    if not table.num_rows:
        raise InputError(f"replay:{path}: it has columns ({', '.join(header)}) and not one row.")
    left = [name for name in header if name not in chosen.values()]
    notes = [f"columns that are not read: {', '.join(left)}"] if left else []
    arrays = {field: _column(path, table, chosen.get(field), field) for field in FIELDS}
    for field in _LISTS:
        arrays[field], gaps = _whole_lists(arrays[field])
        if gaps:
            notes.append(f"{gaps:,} rows have {field} with empty places or NaN, which are left out")
    first = 2 if kind == "csv" else 1
    arrays["row"] = pa.array(range(first, first + table.num_rows), pa.int64())
    return Recording(path=path, kind=kind, table=pa.table(arrays), notes=tuple(notes))


def _fault(path: Path, kind: str, chosen: Mapping[str, str]) -> str:
    """What is wrong where, in words; empty where nothing more is known than Arrow says."""
    if kind == "csv":
        return csv_fault(path, _delimiter(path))
    return jsonl_fault(path, chosen) if kind == "jsonl" else ""


def _whole_lists(column: Any) -> tuple[Any, int]:
    """The column with null in place of every list that has a null or NaN in it, and how many these are."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = pc.list_flatten(column)
    broken = pc.is_null(flat, nan_is_null=True)
    if not pc.any(broken).as_py():
        return column, 0
    rows = pc.unique(pc.filter(pc.list_parent_indices(column), broken))
    gone = pc.is_in(pa.array(range(len(column)), pa.int64()), value_set=rows.cast(pa.int64()))
    return pc.if_else(gone, pa.scalar(None, column.type), column), len(rows)


def choose_columns(path: Path, header: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Field -> column: as given, else by name.

    Raises:
        UsageError: a column that was named is not there, or two could be meant.
        InputError: no column for prompts or completions.
    """
    chosen = dict(given)
    for field, column in given.items():
        if column not in header:
            raise UsageError(f"replay:{path}: it has no column '{column}' ({field}); it has {', '.join(header)}.")
    taken = set(given.values())
    for field, names in NAMES.items():
        here = [name for name in header if _plain(name) in names and name not in taken]
        if field in chosen or not here:
            continue
        if len(here) > 1:
            raise UsageError(
                f"replay:{path}: columns {', '.join(here)} could all be the {field}; say which: ,{field}={here[0]}"
            )
        chosen[field] = here[0]
    if not header:
        raise InputError(f"replay:{path}: it is empty.")
    if "completion" not in chosen or not {"prompt", "prompt_id"} & set(chosen):
        lacking = "completion" if "completion" not in chosen else "prompt"
        raise InputError(
            f"replay:{path}: no column is the {lacking}; it has {', '.join(header) or 'none'}. "
            f"Say which one is: ,{lacking}=COLUMN"
        )
    return chosen


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _column(path: Path, table: Any, name: str | None, field: str) -> Any:
    """A column in the type of FIELDS."""
    kind = FIELDS[field]
    if name is None:
        return pa.nulls(table.num_rows, kind)
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if field in _LISTS and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = _parsed_lists(path, column, name)
    if column.type == _TEXT and kind != _TEXT:
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, _TEXT), column)
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise InputError(
            f"replay:{path}: column '{name}' does not hold what {field} is: {str(error).splitlines()[0]}. "
            f"Map another column: ,{field}=COLUMN, or rename this one."
        ) from error


def _parsed_lists(path: Path, column: Any, name: str) -> Any:
    """Lists that a CSV holds as JSON, `[1, 2]`."""
    try:
        return pa.array([json.loads(value) if value else None for value in column.to_pylist()])
    except (ValueError, pa.ArrowException) as error:
        raise InputError(f"replay:{path}: column '{name}' is not a list of numbers like [1, 2]: {error}") from error


def _csv_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as handle:
        header = next(csv.reader(handle, delimiter=_delimiter(path)), [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"replay:{path}: its header has {', '.join(twice)} twice; name every column once.")
    return header


def _delimiter(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        first = handle.readline()
    return max(",;\t|", key=first.count)


def _swallows(path: Path) -> bool:
    """Whether a value of a CSV begins with a quote that is never closed; Arrow reads on to the end in silence."""
    with path.open("rb") as handle:
        quotes = sum(block.count(b'"') for block in iter(lambda: handle.read(1 << 20), b""))
    if quotes % 2 == 0:
        return False
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as handle:
        try:
            for _ in csv.reader(handle, delimiter=_delimiter(path), strict=True):
                pass
        except csv.Error as error:
            return "end of data" in str(error) or "field limit" in str(error)
    return False


def _csv_table(path: Path, chosen: Mapping[str, str]) -> Any:
    """Every value as text, so that `NA`, `null` and `007` stay what they are."""
    if _swallows(path):
        raise InputError(
            f'replay:{path}: a quote (") that begins a value is never closed, so all that follows would be one text. '
            "Close it, or double the quotes inside of values."
        )
    names = list(dict.fromkeys(chosen.values()))
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            include_columns=names, column_types=dict.fromkeys(names, _TEXT), strings_can_be_null=False
        ),
    )


def _jsonl_seen(path: Path) -> dict[str, Any]:
    """Key -> the first value that is not null, in the first lines."""
    seen: dict[str, Any] = {}
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in zip(range(1, _PEEK + 1), handle, strict=False):
            try:
                value = json.loads(line) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                raise InputError(f"replay:{path}: line {number} is not JSON; expected one object a line.") from error
            if not isinstance(value, dict):
                raise InputError(f"replay:{path}: line {number} is not an object; expected one object a line.")
            for key, entry in value.items():
                if seen.get(key) is None:
                    seen[key] = entry
    return seen


def _jsonl_header(path: Path) -> list[str]:
    try:
        return list(_jsonl_seen(path))
    except UnicodeDecodeError as error:
        raise InputError(f"replay:{path}: not UTF-8 ({error.reason}); save it as UTF-8.") from error


def _jsonl_table(path: Path, chosen: Mapping[str, str]) -> Any:
    seen = _jsonl_seen(path)
    types = {}
    for field, name in chosen.items():
        kind, value = FIELDS[field], seen.get(name)
        # An arm called 7 or a label of 1 is written as a number; every other type is the field's own.
        if kind == _TEXT and isinstance(value, (int, float)) and not isinstance(value, bool):
            kind = pa.float64() if isinstance(value, float) else pa.int64()
        if field in _LISTS:  # the JSON reader knows neither large lists nor text in their place
            item = pa.int64() if field == "token_ids" else pa.float64()
            kind = pa.string() if isinstance(value, str) else pa.list_(item)
        types[name] = kind
    return pa_json.read_json(
        path,
        read_options=pa_json.ReadOptions(block_size=_LONGEST_LINE),
        parse_options=pa_json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())), unexpected_field_behavior="ignore"
        ),
    )


def _parquet_header(path: Path) -> list[str]:
    try:
        return list(pq.ParquetFile(path).schema_arrow.names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"replay:{path}: is not a Parquet file: {str(error).splitlines()[0]}") from error


def _parquet_table(path: Path, chosen: Mapping[str, str]) -> Any:
    with pq.ParquetFile(path) as file:
        return file.read(columns=list(dict.fromkeys(chosen.values())))


_READERS: Mapping[str, tuple[Any, Any]] = {
    "csv": (_csv_header, _csv_table),
    "jsonl": (_jsonl_header, _jsonl_table),
    "parquet": (_parquet_header, _parquet_table),
}


def _transcript(path: Path) -> Recording:
    blocks, told = read_blocks(path)
    values = {
        "prompt": [block.prompt for block in blocks],
        "completion": [block.text for block in blocks],
        "label": [block.label or None for block in blocks],
    }
    arrays = {
        field: pa.array(values[field], kind) if field in values else pa.nulls(len(blocks), kind)
        for field, kind in FIELDS.items()
    }
    arrays["row"] = pa.array([block.line for block in blocks], pa.int64())
    more = (f"{len(told) - _SHOWN} more such lines",) if len(told) > _SHOWN else ()
    return Recording(path=path, kind="text", table=pa.table(arrays), notes=(*told[:_SHOWN], *more))
