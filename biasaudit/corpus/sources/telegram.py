r"""Telegram Desktop's `result.json`: one chat, or a whole account with its chats and the chats that were left.

Telegram begins every message with `{"id": 1, "type": "message"`. That cannot stand inside a text, because JSON writes
`\"` for a quote there; so the next message is found from any place of the file, also behind damage. Senders and the
names of forwarded-from channels are not read; a person's name that Telegram marks as a mention becomes `[USER]`. JSON
of another shape is read by the source `json`.
"""

from __future__ import annotations

import mmap
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.brackets import brackets
from biasaudit.corpus.encoding import Decoder
from biasaudit.corpus.fields import DECODER, USER, Fields, fields_of, joined
from biasaudit.corpus.mapped import mapped
from biasaudit.corpus.reading import ROW_LIMIT, SourceOptions, Survey
from biasaudit.corpus.sources import json as lists
from biasaudit.corpus.spans import Spans, filled, find, matches, opened
from biasaudit.errors import CorpusError

SUFFIXES = (".json",)

_MESSAGE = re.compile(
    rb'\{\s{0,99}"id"\s{0,9}:\s{0,9}-?\d{1,40}\s{0,9},\s{0,99}"type"\s{0,9}:\s{0,9}"(?:message|service|unsupported)"'
)
_LONGEST = 512
"""Bytes that a match may have; the pattern allows fewer."""
_KEY = b'"messages"'
_CHAT = re.compile(rb'"messages"\s{0,9}:\s{0,9}\[')
_CHAT_ID = re.compile(rb'"id"\s{0,9}:\s{0,9}(-?\d{1,40})\s{0,9}[,}]')
_HEADER = 4096
"""Bytes before a chat's messages in which its id is looked for."""
_BETWEEN = re.compile(rb"[\s,]*")
_CUT_BYTES = 4 << 20
_SAMPLE = 1000
_CHATS = 1_000_000
_BROKEN = "not valid JSON"
_UNFINISHED = "not valid JSON: the file ends inside it"


@dataclass(frozen=True, slots=True)
class _Export:
    fields: Fields
    starts: tuple[int, ...]
    """Where the messages of each chat begin: behind the bracket."""
    channels: tuple[str | None, ...]
    """The id of each chat."""


def survey(path: Path, options: SourceOptions) -> Survey:
    """Find the chats of an export and places to cut it; JSON of another shape is surveyed as a list of objects.

    Raises:
        CorpusError: missing or empty file, or neither an export nor a list of objects.
    """
    size, decoder = filled(path, options)
    with mapped(path, decoder) as (view, _):
        first = next(_places(view, 0), None)
        chats = list(islice(_chats(view), _CHATS + 1)) if first is not None else []
        if first is None or not chats or chats[0][0] > first:
            return lists.survey(path, options)
        if len(chats) > _CHATS:
            raise CorpusError(f"{path}: more than {_CHATS:,} chats, which no export of Telegram has.")
        sample = list(_sample(view, decoder))
        if not sample:
            raise CorpusError(
                f"{path}: an export of Telegram, but none of its first messages is valid JSON. Export again."
            )
        fields = fields_of(path, sample, options)
        cuts = tuple(_cuts(view))
        whole = _whole(view, first, cuts[-1] if cuts else first)
    notes: dict[str, object] = {
        "kind": "Telegram Desktop export",
        "encoding": decoder.encoding,
        "encoding_because": decoder.explained,
        "chats": len(chats),
        "complete": whole,
    }
    if not whole:
        notes["truncated"] = 1
    return Survey(
        path=path, label=options.label or path.name, kind="telegram", size=size, options=options, notes=notes,
        detail=_Export(fields, tuple(start for start, _ in chats), tuple(name for _, name in chats)),
        cuts=() if decoder.wide else cuts,
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the messages that begin in [start, stop)."""
    assert synced, "a stretch of an export begins at a cut"
    export = found.detail
    assert isinstance(export, _Export)
    with opened(found, start) as (spans, decoder):
        last = len(spans.view) if stop >= found.size else stop
        if start == 0:
            spans.gap(export.starts[0])
        for place in matches(_MESSAGE, _LONGEST, spans.view, spans.position, last):
            _read_until(spans, place, export, decoder)
            if spans.full:
                yield spans.batch()
        _read_until(spans, last, export, decoder)
        if stop >= found.size:
            spans.finish(found.size)
        if not spans.empty:
            yield spans.batch()


# ---------------------------------------------------------------------------- messages


def _read_until(spans: Spans, end: int, export: _Export, decoder: Decoder) -> None:
    """Read what stands before `end`, where the next message begins or the file ends."""
    view = spans.view
    while spans.position < end:
        at = spans.position
        between = _BETWEEN.match(view, at, end)
        if between and between.end() > at:
            spans.gap(between.end())
        elif view[at] == ord("{"):
            found = _object(view, at, end, decoder)
            if found:
                _read_message(spans, *found, export)
            else:
                spans.reject(end, _UNFINISHED if end == len(view) else _BROKEN)
        elif view[at] == ord("]"):
            chat = bisect_right(export.starts, at)
            after = export.starts[chat] if chat < len(export.starts) else len(view)
            if after <= end:
                spans.gap(after)
            else:
                spans.reject(end, _BROKEN)
        else:
            spans.reject(end, _BROKEN)


def _object(view: mmap.mmap, at: int, end: int, decoder: Decoder) -> tuple[dict[str, Any], int, tuple[str, ...]] | None:
    """The object that begins at `at`, the place behind it, and the decoder's doubts; None when it cannot be read."""
    raw = view[at : min(end, at + ROW_LIMIT)]
    text, flags = decoder.text(raw)
    try:
        value, stop = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    rest = text[stop:]
    after = at + len(raw) - len(rest.encode("utf-8", "replace"))
    if flags and not rest.isascii():
        after = end
    return value, after, flags


def _read_message(
    spans: Spans, value: dict[str, Any], after: int, flags: tuple[str, ...], export: _Export
) -> None:  # fmt: skip
    if value.get("type") == "service":
        spans.notes["service_messages"] += 1
        spans.gap(after)
        return
    fields = export.fields
    text = fields.text_of(value)
    if not text:
        text = _spelt(value, text)
    elif isinstance(entities := value.get("text_entities"), list) and "mention_name" in map(_type_of, entities):
        text = _unnamed(text, entities)
    doubt = fields.doubt(text)
    if text is None or doubt:
        spans.reject(after, str(doubt))
        return
    if not text:
        spans.notes["messages_without_text"] += 1
    message_id, channel_id, date = fields.rest_of(value)
    if channel_id is None:
        channel_id = export.channels[max(bisect_right(export.starts, spans.position) - 1, 0)]
    spans.record(after, text, message_id, channel_id, date or _day(value), flags + fields.flags_of(value))


def _spelt(value: dict[str, Any], text: str | None) -> str | None:
    """The text of a message whose `text` is empty or missing: its entities, or nothing, as pictures have."""
    entities = value.get("text_entities")
    if isinstance(entities, list):
        return joined(entities)
    return "" if "text" not in value else text


def _unnamed(text: str, entities: list[Any]) -> str:
    """A text without the names that its entities mention, also when they do not spell it."""
    spelt = joined(entities)
    if text == spelt or text == joined(_bare(part) for part in entities):
        return spelt or text
    names = {str(part.get("text", "")).strip() for part in entities if _type_of(part) == "mention_name"}
    for name in sorted(names - {""}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", USER, text)
    return text


def _bare(part: object) -> object:
    """What an entity spells whatever its type."""
    return part.get("text") if isinstance(part, dict) else part


def _type_of(part: object) -> object:
    return part.get("type") if isinstance(part, dict) else None


def _day(value: dict[str, Any]) -> str | None:
    """The date of a message that has only the seconds since 1970."""
    seconds = str(value.get("date_unixtime", ""))
    if not re.fullmatch(r"\d{1,11}", seconds):
        return None
    return datetime.fromtimestamp(int(seconds), UTC).isoformat(" ")


# ---------------------------------------------------------------------------- first look


def _chats(view: mmap.mmap) -> Iterator[tuple[int, str | None]]:
    """Where the messages of each chat begin, and the chat's id."""
    at = find(view, _KEY, 0, len(view))
    while at >= 0:
        opened = _CHAT.match(view, at)
        if opened:
            header = view[max(0, at - _HEADER) : at]
            ids = _CHAT_ID.findall(header[header.rfind(b"]") + 1 :])
            yield opened.end(), ids[-1].decode() if ids else None
        at = find(view, _KEY, at + len(_KEY), len(view))


def _sample(view: mmap.mmap, decoder: Decoder) -> Iterator[dict[str, Any]]:
    for start, end in islice(pairwise(chain(_places(view, 0), [len(view)])), _SAMPLE):
        found = _object(view, start, end, decoder)
        if found:
            yield found[0]


def _cuts(view: mmap.mmap) -> Iterator[int]:
    place = next(_places(view, _CUT_BYTES), None)
    while place is not None:
        yield place
        place = next(_places(view, place + _CUT_BYTES), None)


def _whole(view: mmap.mmap, first: int, near: int) -> bool:
    """Whether the brackets that are open where the messages begin are closed behind the last one.

    Damage between them does not matter. `near` is the first message or a later one.
    """
    opening = _depth(view, 0, first)
    (last,) = deque(_places(view, near), maxlen=1)
    return opening + _depth(view, last, len(view)) == 0


def _depth(view: mmap.mmap, start: int, stop: int) -> int:
    """How many more brackets are opened than closed."""
    return sum(int(steps.sum()) for _, steps, _ in brackets(view, start, stop))


def _places(view: mmap.mmap, start: int) -> Iterator[int]:
    return matches(_MESSAGE, _LONGEST, view, start, len(view))
