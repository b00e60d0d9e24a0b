"""What every source promises: a file comes out as spans that tile it, so that no byte can go missing.

A source yields `Message`, `Reject` and `Gap` in the order of the file. Each says where it starts and how many
bytes it takes; `audited` checks that every span begins where the one before it ended and that the last ends
with the file. Loss is therefore an error by construction, not something that a reader has to remember to count.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from biasaudit.errors import BiasAuditError, CorpusError
from biasaudit.records import Message, Reject

FIELD_LIMIT = 16 * 1024 * 1024
"""Bytes that one field may have; more is set aside."""
ROW_LIMIT = 32 * 1024 * 1024
"""Bytes that one record may have; more is set aside."""

FIELDS = ("text", "id", "channel_id", "date")
"""The fields that a column can be mapped to."""
_ALIASES = {
    "message": "text", "mensagem": "text", "texto": "text", "message_id": "id", "id_mensagem": "id",
    "channel": "channel_id", "canal": "channel_id", "id_canal": "channel_id", "data": "date", "timestamp": "date",
}  # fmt: skip
"""Other names of the fields, English and Portuguese."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bytes between records: a byte order mark, a header, a blank line, a `sep=` line."""

    offset: int
    length: int
    reason: str


Item = Message | Reject | Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """What the user said about a file; everything else is found out and explained."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column of the file -> field (`text`, `id`, `channel_id`, `date`)."""
    where: Mapping[str, str] = field(default_factory=dict)
    """Column -> value: only records that have it are kept; the rest is counted as filtered."""
    encoding: str | None = None
    delimiter: str | None = None
    label: str = ""
    """How records name the file (its path inside the folder given); the file name when empty."""
    quoting: str | None = None
    """`quoted`, `unquoted`, `mixed`, `double` or `backslash` overrules what was found."""
    lines_per_document: int = 0
    """Plain text: a document every so many lines; 0 cuts at paragraph ends."""
    document_chars: int = 4000
    """Plain text: a document is closed at the first paragraph end after so many bytes."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """One file being read: its spans, and what was found out about it on the way."""

    items: Iterator[Item]
    size: int
    """Bytes of the file."""
    notes: dict[str, object] = field(default_factory=dict)
    """The dialect, explained; complete when `items` is exhausted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a first look at one source found: all that a worker process needs to read any stretch of it (picklable)."""

    path: Path
    """The file that is read: the source itself, or its unpacked copy."""
    label: str
    """How records name the source."""
    kind: str
    """Name of the module in `sources` that reads it."""
    size: int
    """Bytes of `path`, or rows of a source that counts rows; the spans of a source tile 0 to `size`."""
    unit: Literal["bytes", "rows"] = "bytes"
    options: SourceOptions
    notes: Mapping[str, object] = field(default_factory=dict)
    """The dialect, explained, for the data card; plain JSON values."""
    detail: object = None
    """What only the source's own module understands."""
    cuts: tuple[int, ...] | None = ()
    """Places besides 0 where a stretch may begin, rising; empty: one stretch takes all. None: anywhere, because the
    source can find the next record from any place (and its reader says where it really began)."""


FILTERED = "filtered"
"""Flag of a record that the user's own `where` leaves out."""


def checked_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Return column -> field with the field's aliases resolved.

    Raises:
        CorpusError: a column is mapped to something that is not a field.
    """
    found: dict[str, str] = {}
    for column, name in columns.items():
        target = _ALIASES.get(name, name)
        if target not in FIELDS:
            turned = f" Did you mean --map {name}={column}?" if _ALIASES.get(column, column) in FIELDS else ""
            raise CorpusError(
                f"--map {column}={name}: '{name}' is not a field. Write column=field with one of: {', '.join(FIELDS)}."
                f"{turned}"
            )
        found[column] = target
    return found


def field_of(column: str) -> str | None:
    """The field that a column of this name means when the user says nothing."""
    name = column.strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in FIELDS else None


def regular_size(path: Path) -> int:
    """Size in bytes of a regular file.

    Raises:
        CorpusError: the path is missing, or is a device, a pipe or a socket.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}). Give an existing file or folder.") from error
    if not stat.S_ISREG(status.st_mode):
        raise CorpusError(f"{path}: not a regular file. Copy its content to a file and give that.")
    return status.st_size


def reject(source: str, offset: int, raw: bytes, reason: str, *, length: int | None = None) -> Reject:
    """A `Reject` of `raw`, which is hashed and not kept; `length` when it differs in the file (UTF-16)."""
    digest = hashlib.sha256(raw).hexdigest()
    size = len(raw) if length is None else length
    return Reject(source=source, offset=offset, length=size, reason=reason, sha256=digest)


def audited(reading: Reading, source: str) -> Iterator[Item]:
    """Yield the items of `reading`, and stop when they do not tile the file.

    Raises:
        BiasAuditError: a span leaves a hole, overlaps its neighbour, or the file does not end where they do.
    """
    position = 0
    for item in reading.items:
        if item.offset != position or item.length < 0:
            raise BiasAuditError(
                f"{source}: bytes {position} to {item.offset} are in no record (conservation law). "
                "Nothing was written. Please report this file's structure as a bug."
            )
        position += item.length
        yield item
    if position != reading.size:
        raise BiasAuditError(
            f"{source}: {reading.size} bytes on disk, {position} accounted for (conservation law). "
            "The file changed while it was read, or the reader is wrong. Nothing was written; run again."
        )
