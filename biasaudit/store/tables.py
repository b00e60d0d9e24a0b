"""Completions, scores and prompts as Arrow tables with fixed schemas, and back.

Ids repeat in every row, so they are dictionary-encoded. Log-probabilities are fp32, as the engine computes them; score
values are doubles. A number that does not exist is null, never NaN. Text is valid UTF-8.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biasaudit.errors import StoreError
from biasaudit.records import Completion, Prompt, Score

_WORD = pa.dictionary(pa.int32(), pa.string())
_SURROGATE = re.compile("[\ud800-\udfff]")
_BATCH = 8192

KEY_COLUMNS = ("arm_fingerprint", "prompt_id", "decoding_id", "seed", "salt", "index")
"""A completion's key (CONTRACT §1), in order."""
KeyPrefix = tuple[str, str, str, int, str]
"""The first five of them: what the completions of one prompt share."""


def _schema(*fields: tuple[str, Any] | tuple[str, Any, bool]) -> Any:
    return pa.schema([pa.field(f[0], f[1], nullable=len(f) == 3) for f in fields])


COMPLETIONS = _schema(
    ("arm_fingerprint", _WORD),
    ("prompt_id", _WORD),
    ("decoding_id", _WORD),
    ("seed", pa.int64()),
    ("salt", _WORD),
    ("index", pa.int32()),
    ("text", pa.string()),
    ("token_ids", pa.list_(pa.field("element", pa.int32(), nullable=False))),
    ("logprobs", pa.list_(pa.field("element", pa.float32(), nullable=False))),
    ("finish_reason", _WORD),
    ("numerics", _WORD),
)
TOKEN_COLUMNS = ("token_ids", "logprobs")
WITHOUT_TOKENS = pa.schema([field for field in COMPLETIONS if field.name not in TOKEN_COLUMNS])
SCORES = _schema(
    ("measure", _WORD),
    ("arm_fingerprint", _WORD),
    ("prompt_id", _WORD),
    ("topic", _WORD),
    ("decoding_id", _WORD),
    ("seed", pa.int64()),
    ("salt", _WORD),
    ("index", pa.int32(), True),
    ("item", _WORD),
    ("value", pa.float64(), True),
    ("label", _WORD, True),
    ("spans", pa.list_(pa.field("element", pa.list_(pa.field("element", pa.int32(), nullable=False)), nullable=False))),
)
PROMPTS = _schema(
    ("prompt_id", pa.string()),
    ("text", pa.string()),
    ("language", pa.string()),
    ("topic", pa.string()),
    ("template", pa.string()),
    ("framing", pa.string()),
    ("kind", pa.string()),
    (
        "groups",
        pa.list_(pa.field("element", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False)),
    ),
    ("pair", pa.string()),
)


def completions_table(completions: Iterable[Completion]) -> Any:
    """Return a table of schema COMPLETIONS, ordered by key whatever order the completions came in.

    Raises:
        StoreError: two completions share a key, or a number does not fit its column.
    """
    rows = sorted(completions, key=lambda row: row.key)
    for before, after in itertools.pairwise(rows):
        if before.key == after.key:
            raise StoreError(f"Completion {after.index} of prompt {after.prompt_id} came twice; one was expected.")
    columns = {name: [getattr(row, name) for row in rows] for name in COMPLETIONS.names}
    columns["text"] = [_SURROGATE.sub("\ufffd", text) for text in columns["text"]]
    return _table(columns, COMPLETIONS)


def completions_from_table(table: Any, *, tokens: bool = True) -> Iterator[Completion]:
    """Yield the completions of a table, in its order, a few thousand in memory at a time.

    Args:
        table: of schema COMPLETIONS.
        tokens: False leaves token ids and log-probabilities empty, which saves most of the time; the table may then
            lack those columns.
    """
    schema = COMPLETIONS if tokens else WITHOUT_TOKENS
    for columns in _batches(table, schema, lists=TOKEN_COLUMNS):
        if not tokens:
            nothing = [()] * len(columns[0])
            columns[7:7] = [nothing, nothing]
        for arm, prompt, decoding, seed, salt, index, text, token_ids, logprobs, reason, numerics in zip(
            *columns, strict=True
        ):
            yield Completion(
                arm_fingerprint=arm,
                prompt_id=prompt,
                decoding_id=decoding,
                seed=seed,
                salt=salt,
                index=index,
                text=text,
                token_ids=token_ids,
                logprobs=logprobs,
                finish_reason=reason,
                numerics=numerics,
            )


def scores_table(scores: Iterable[Score]) -> Any:
    """Return a table of schema SCORES, ordered by measure, key and item.

    Raises:
        StoreError: a value is NaN or infinite (unscored is None), or a number does not fit its column.
    """
    rows = sorted(scores, key=_score_order)
    for row in rows:
        if row.value is not None and not math.isfinite(row.value):
            raise StoreError(
                f"Measure '{row.measure}' gave {row.value} for prompt {row.prompt_id}; "
                "a finite number, or None for unscored, was expected."
            )
    return _table({name: [getattr(row, name) for row in rows] for name in SCORES.names}, SCORES)


def scores_from_table(table: Any) -> Iterator[Score]:
    """Yield the scores of a table, in its order."""
    for columns in _batches(table, SCORES):
        for row in zip(*columns, strict=True):
            fields = dict(zip(SCORES.names, row, strict=True))
            fields["spans"] = tuple((start, stop) for start, stop in fields["spans"])
            yield Score(**fields)


def same_rows(first: Any, second: Any) -> bool:
    """Whether two tables of one schema hold the same rows in the same order, however their words are encoded."""
    if first.schema != second.schema or first.num_rows != second.num_rows:
        return False
    return all(_plain(first.column(name)).equals(_plain(second.column(name))) for name in first.schema.names)


def _plain(column: Any) -> Any:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def prompts_table(prompts: Iterable[Prompt]) -> Any:
    """Return a table of schema PROMPTS in the order given (a battery's own)."""
    rows = list(prompts)
    return _table({name: [getattr(row, name) for row in rows] for name in PROMPTS.names}, PROMPTS)


def prompts_from_table(table: Any) -> Iterator[Prompt]:
    """Yield the prompts of a table, in its order.

    Raises:
        StoreError: a stored id is not the one that follows from its text.
    """
    for columns in _batches(table, PROMPTS):
        for row in zip(*columns, strict=True):
            fields = dict(zip(PROMPTS.names, row, strict=True))
            prompt_id = fields.pop("prompt_id")
            fields["groups"] = tuple((slot, group) for slot, group in fields["groups"])
            prompt = Prompt(**fields)
            if prompt.prompt_id != prompt_id:
                raise StoreError(f"Prompt {prompt_id} holds a text whose id is {prompt.prompt_id}; it was edited.")
            yield prompt


def held_ranges(
    tables: Iterable[Any], also: Iterable[tuple[KeyPrefix, int, int]] = ()
) -> dict[KeyPrefix, list[tuple[int, int]]]:
    """Return which completions the tables hold: first five fields of the key -> sorted disjoint ranges [start, stop).

    Args:
        tables: with KEY_COLUMNS at least; one part at a time is enough.
        also: (first five fields, start, stop) of what is known to be held besides.

    Raises:
        StoreError: a completion is stored twice.
    """
    held: dict[KeyPrefix, list[tuple[int, int]]] = {}
    for key, start, stop in also:
        held.setdefault(key, []).append((start, stop))
    for table in tables:
        for key, start, stop, _ in stretches(table):
            held.setdefault(key, []).append((start, stop))
    for key, ranges in held.items():
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(ranges):
            if merged and start < merged[-1][1]:
                raise StoreError(f"Completion {start} of prompt {key[1]} is stored twice. Start over with --fresh.")
            if merged and start == merged[-1][1]:
                merged[-1] = (merged[-1][0], stop)
            else:
                merged.append((start, stop))
        held[key] = merged
    return held


def stretches(table: Any) -> Iterator[tuple[KeyPrefix, int, int, int]]:
    """Yield (first five fields of the key, start, stop, row) for every stretch of rows with consecutive indices.

    Args:
        table: with KEY_COLUMNS at least; `row` is where in it the stretch begins.
    """
    table = table.select(KEY_COLUMNS).combine_chunks().unify_dictionaries()
    if not table.num_rows:
        return
    columns = [table.column(name).chunk(0) for name in KEY_COLUMNS]
    codes = [
        (column.indices if pa.types.is_dictionary(column.type) else column).to_numpy(zero_copy_only=False)
        for column in columns
    ]
    breaks = np.diff(codes[5]) != 1
    for code in codes[:5]:
        breaks |= np.diff(code) != 0
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    stops = np.concatenate((starts[1:], [table.num_rows]))
    for first, last in zip(starts.tolist(), stops.tolist(), strict=True):
        arm, prompt, decoding, seed, salt = (column[first].as_py() for column in columns[:5])
        start = int(codes[5][first])
        yield (arm, prompt, decoding, seed, salt), start, start + last - first, first


def _score_order(row: Score) -> tuple[str, str, str, str, int, str, int, str]:
    index = -1 if row.index is None else row.index
    return (row.measure, row.arm_fingerprint, row.prompt_id, row.decoding_id, row.seed, row.salt, index, row.item)


def _table(columns: dict[str, list[Any]], schema: Any) -> Any:
    try:
        return pa.table(
            {name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise StoreError(f"A value does not fit its column ({error}). Nothing was written.") from error


def _batches(table: Any, schema: Any, lists: Sequence[str] = ()) -> Iterator[list[list[Any]]]:
    """Yield the columns of a table as Python lists, `_BATCH` rows at a time; `lists` become tuples of numbers."""
    absent = [name for name in schema.names if name not in table.column_names]
    if absent:
        raise StoreError(f"A stored table lacks the column {', '.join(absent)}; it was written by another program.")
    for batch in table.select(schema.names).to_batches(max_chunksize=_BATCH):
        yield [_tuples(batch.column(name)) if name in lists else _values(batch.column(name)) for name in schema.names]


def _values(column: Any) -> list[Any]:
    """A column as Python values; words and numbers take the short way, which is many times faster than `to_pylist`."""
    if pa.types.is_dictionary(column.type):
        words = [*column.dictionary.to_pylist(), None]
        return [words[code] for code in column.indices.fill_null(-1).to_numpy().tolist()]
    if pa.types.is_integer(column.type) and not column.null_count:
        return list(column.to_numpy().tolist())
    return list(column.to_pylist())


def _tuples(column: Any) -> list[tuple[Any, ...]]:
    """A list column as tuples; converting the flat values once is many times faster than `to_pylist`."""
    offsets = column.offsets.to_numpy()
    flat = column.values.slice(offsets[0], offsets[-1] - offsets[0]).to_numpy(zero_copy_only=False).tolist()
    bounds = (offsets - offsets[0]).tolist()
    return [tuple(flat[start:stop]) for start, stop in itertools.pairwise(bounds)]
