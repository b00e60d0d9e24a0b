"""JSON lines: one object a line, its text in a field that `--map` names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.mapped import PageReturner, digest_of, mapped
from biasaudit.corpus.reading import (
    FIELD_LIMIT,
    FILTERED,
    ROW_LIMIT,
    Gap,
    Item,
    Reading,
    SourceOptions,
    checked_columns,
    field_of,
    regular_size,
    reject,
)
from biasaudit.errors import CorpusError
from biasaudit.records import Message, Reject

SUFFIXES = (".jsonl", ".ndjson")

_OVER = f"row over {ROW_LIMIT} bytes"


def read(path: Path, options: SourceOptions) -> Reading:
    """Read a file of one JSON object a line.

    Raises:
        CorpusError: missing file, or no line has the column that holds the text.
    """
    size = regular_size(path)
    decoder = Decoder(path, options.encoding)
    if size <= decoder.bom:
        raise CorpusError(f"{path}: the file is empty. Give a dump with at least one record.")
    notes: dict[str, object] = {
        "kind": "JSON lines",
        "encoding": decoder.encoding,
        "encoding_because": decoder.explained,
    }
    return Reading(items=_items(path, size, decoder, options, notes), size=size, notes=notes)


def _items(path: Path, size: int, decoder: Decoder, options: SourceOptions, notes: dict[str, object]) -> Iterator[Item]:
    label = options.label or path.name
    offset = decoder.bom
    if offset:
        yield Gap(offset=0, length=offset, reason="byte order mark")
    columns: dict[str, str] | None = None
    with mapped(path, decoder) as (view, position):
        pages = PageReturner(view)
        while position < len(view):
            newline = view.find(b"\n", position)
            end = len(view) if newline < 0 else newline + 1
            if end - position > ROW_LIMIT:
                digest = digest_of(view, position, end)
                length = decoder.length_between(view, position, end)
                yield Reject(source=label, offset=offset, length=length, reason=_OVER, sha256=digest)
            else:
                raw = view[position:end]
                length = decoder.length(raw)
                value = _parsed(raw)
                if isinstance(value, dict) and columns is None:
                    columns = _columns(path, value, options)
                    notes["columns"] = dict(columns)
                yield _item(label, offset, length, raw, value, columns or {}, options)
            offset += length
            position = end
            pages.passed(position)
    if offset < size:
        yield Gap(offset=offset, length=size - offset, reason="half a UTF-16 unit at the end")


def _item(
    label: str,
    offset: int,
    length: int,
    raw: bytes,
    value: dict[str, Any] | str,
    columns: Mapping[str, str],
    options: SourceOptions,
) -> Item:
    if not raw.strip():
        return Gap(offset=offset, length=length, reason="blank")
    if isinstance(value, str):
        return reject(label, offset, raw, value, length=length)
    return _message(label, offset, length, raw, value, columns, options)


def _parsed(raw: bytes) -> dict[str, Any] | str:
    """The object of a line, or the reason why there is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return "not valid JSON"
    return value if isinstance(value, dict) else "not a JSON object"


def _columns(path: Path, value: Mapping[str, Any], options: SourceOptions) -> dict[str, str]:
    """Field -> key, from the user's map, then from the names of the first object."""
    found = {name: key for key in value if (name := field_of(key)) is not None}
    found |= {name: key for key, name in checked_columns(options.columns).items()}
    for key in [found.get("text", "text"), *options.where]:
        if key not in value:
            near = difflib.get_close_matches(key, list(value), n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise CorpusError(f"{path}: no field '{key}'.{hint} Fields of the first line: {', '.join(value)}.")
    return found


def _message(
    label: str,
    offset: int,
    length: int,
    raw: bytes,
    value: Mapping[str, Any],
    columns: Mapping[str, str],
    options: SourceOptions,
) -> Item:
    text = value.get(columns["text"])
    if not isinstance(text, str):
        return reject(label, offset, raw, f"field '{columns['text']}' holds no text", length=length)
    if len(text) > FIELD_LIMIT:
        return reject(label, offset, raw, f"field over {FIELD_LIMIT} bytes", length=length)
    kept = all(_plain(value.get(key)) == wanted for key, wanted in options.where.items())
    return Message(
        # A JSON string can hold a lone surrogate; no file of ours can.
        text=text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"),
        message_id=_plain(value.get(columns.get("id", ""))),
        channel_id=_plain(value.get(columns.get("channel_id", ""))),
        date=_plain(value.get(columns.get("date", ""))),
        source=label,
        offset=offset,
        length=length,
        flags=() if kept else (FILTERED,),
    )


def _plain(value: object) -> str | None:
    """A scalar as its text, so that ids and labels of any JSON type compare with what a user types."""
    if value is None:
        return None
    return value.strip() if isinstance(value, str) else json.dumps(value)
