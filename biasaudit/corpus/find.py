"""Searching the documents of a corpus folder for a word, a phrase or a regular expression, in constant memory.

The text is matched as it stands in `documents.parquet` by RE2, whose time is linear in the text whatever the
expression. Accents and case are folded in the pattern (`a` becomes `[aàáâã…]`), not in the text, so that a hit's place
is its place in the document.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biasaudit.errors import CorpusError, UsageError

Progress = Callable[[int, int], None]

DOCUMENTS = "documents.parquet"
_COLUMNS = ("text", "document", "split", "channel_id", "message_id", "date", "source", "offset", "copies", "tokens")
_ROWS = 8192
_LONGEST = 2000
"""Characters of a query: a longer one is a text, and `nearest` is the way to look for a text."""
_META = frozenset("\\.+*?()|[]{}^$")
_FOLDED = (range(0x00C0, 0x0250), range(0x0370, 0x0530), range(0x1E00, 0x2000))
"""Where accented letters of Latin, Greek and Cyrillic stand."""
_MARKS = "[\\x{0300}-\\x{036f}]"
"""Accents that stand apart from their letter; few enough that long expressions stay small."""
_TOKEN = re.compile(
    r"\\[pP]\{[^}]*\}|\\[pP].|\\x\{[^}]*\}|\\x..|\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]"
    r"|\(\?(?:P?<\w+>|[a-zA-Z-]*[:)])|\{[\d,]*\}|.",
    re.DOTALL,
)
"""The pieces of a regular expression: escapes, classes, the heads of groups, counts, single characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One document, with the place of the first hit in it."""

    document: int
    split: str
    channel_id: str | None
    message_id: str | None
    date: str | None
    source: str | None
    offset: int | None
    copies: int
    text: str
    start: int = 0
    end: int = 0
    """Characters of `text`."""


@dataclass(slots=True)
class Found:
    """What a search has found; every mapping is name -> (documents, messages)."""

    searched: int = 0
    """Documents that were looked at."""
    documents: int = 0
    messages: int = 0
    """Messages that had these texts: each document counts its copies."""
    splits: dict[str, tuple[int, int]] = field(default_factory=dict)
    channels: dict[str, tuple[int, int]] = field(default_factory=dict)
    months: dict[str, tuple[int, int]] = field(default_factory=dict)
    """`YYYY-MM`; the empty name holds documents without a date."""
    rows: list[Row] = field(default_factory=list)
    """The first hits, in the order of the corpus."""


def pattern(query: str, *, regex: bool = False, ignore_case: bool = True, accents: bool = False) -> str:
    r"""The RE2 expression that finds `query`.

    Args:
        query: a literal text, or an expression in RE2's syntax.
        regex: which of the two. In RE2 `\w` and `\b` know ASCII's letters only; `\pL` is any letter.
        ignore_case: `vacina` finds `VACINA`.
        accents: accents count. Otherwise `vacina` finds `vácina`, and `ção` finds `cao`; in an expression, letters
            between square brackets are taken as written.

    Raises:
        UsageError: nothing to search for, or an expression that is not one, with the place of the fault.
    """
    if not query:
        raise UsageError("Nothing to search for: give a word, a phrase, or an expression with --regex.")
    if len(query) > _LONGEST:
        raise UsageError(f"The text to search for has {len(query):,} characters: give at most {_LONGEST:,} of them.")
    query = unicodedata.normalize("NFC", query)
    if regex:
        _check(query)
    pieces = (match.group() for match in _TOKEN.finditer(query)) if regex else iter(query)
    letters = None if accents else _letters()
    body = "".join(_piece(piece, letters, regex=regex) for piece in pieces)
    whole = f"(?i)(?:{body})" if ignore_case else f"(?:{body})"
    reason = _fault(whole)
    if reason is not None:
        raise UsageError(f"The text to search for cannot be used ({reason}). Give a shorter one, or let accents count.")
    return whole


def _piece(piece: str, letters: dict[str, str] | None, *, regex: bool) -> str:
    """One character or one piece of an expression, with what it may stand for."""
    if letters is not None and len(piece) == 1:
        if unicodedata.combining(piece):
            return ""
        base = unicodedata.normalize("NFD", piece)[0]
        if base in letters:
            return f"(?:[{letters[base]}]{_MARKS}*)"
    return "\\" + piece if not regex and piece in _META else piece


def _letters() -> dict[str, str]:
    """Every letter that carries accents somewhere, with itself and all its accented forms."""
    forms: defaultdict[str, str] = defaultdict(str)
    for span in _FOLDED:
        for code in span:
            apart = unicodedata.normalize("NFD", chr(code))
            if len(apart) > 1 and apart[0].isalpha() and all(unicodedata.combining(mark) for mark in apart[1:]):
                forms[apart[0]] += chr(code)
    return {base: base + accented for base, accented in forms.items()}


def _fault(expression: str) -> str | None:
    """Why RE2 refuses an expression; None when it does not."""
    try:
        pc.match_substring_regex(pa.array([""]), expression)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return None


def _check(query: str) -> None:
    """Stop at an expression that RE2 refuses, and say where."""
    reason = _fault(query)
    if reason is None:
        return
    place: int | None = None
    try:
        re.compile(query)
    except re.error as error:
        place = error.pos
    except (RecursionError, OverflowError):
        pass
    fragment = reason.rpartition(": ")[2]
    if place is None and fragment and fragment in query:
        place = query.index(fragment)
    where = "" if place is None else f" at character {place + 1}"
    raise UsageError(f"--regex {query}: not an expression{where} ({reason}). The syntax is RE2's.")


def search(corpus: Path, expression: str, *, limit: int = 20, progress: Progress | None = None) -> Found:
    """Look through every document of a corpus folder.

    Args:
        corpus: the folder.
        expression: from `pattern`.
        limit: how many hits to keep with their text.
        progress: called with (documents searched, documents in all).

    Raises:
        CorpusError: no documents there, or a damaged file.
    """
    found = Found()
    counts: dict[str, Counter[str]] = {
        f"{kind} {of}": Counter() for kind in _GROUPS for of in ("documents", "messages")
    }
    with open_documents(corpus) as file:
        total = file.metadata.num_rows
        for batch in _batches(corpus, file):
            hits = batch.filter(pc.match_substring_regex(batch.column("text"), expression))
            found.searched += batch.num_rows
            if hits.num_rows:
                found.documents += hits.num_rows
                found.messages += pc.sum(hits.column("copies")).as_py()
                _count(hits, counts)
                found.rows += _rows(hits.slice(0, max(0, limit - len(found.rows))), expression)
            if progress is not None:
                progress(found.searched, total)
    for kind in _GROUPS:
        documents, messages = counts[f"{kind} documents"], counts[f"{kind} messages"]
        setattr(found, kind, {name: (documents[name], messages[name]) for name in sorted(documents)})
    return found


def open_documents(corpus: Path) -> pq.ParquetFile:
    """The table of a corpus folder's documents, checksums verified as it is read.

    Raises:
        CorpusError: there is none, or it is not ours.
    """
    path = corpus / DOCUMENTS
    if not path.is_file():
        what = "no such folder" if not corpus.is_dir() else f"no {DOCUMENTS} in it, so there is no text to search"
        raise CorpusError(f"{corpus}: {what}. Give a folder that ingest wrote, or ingest the dump again.")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: cannot be read ({type(error).__name__}). Ingest the dump again.") from error
    missing = [name for name in ("text", "split", "copies") if name not in file.schema_arrow.names]
    if missing:
        raise CorpusError(f"{path}: has no column {', '.join(missing)}; another version wrote it. Ingest again.")
    return file


def texts_of(corpus: Path, side: str, numbers: Sequence[int]) -> dict[int, Row]:
    """The documents of one side of the split, by their number in that side's shard.

    Args:
        corpus: the folder.
        side: `train` or `val`.
        numbers: of documents in the shard, from 0.
    """
    wanted = sorted(set(numbers))
    found: dict[int, Row] = {}
    seen = 0
    with open_documents(corpus) as file:
        for batch in _batches(corpus, file):
            if len(found) == len(wanted):
                break
            mine = batch.filter(pc.equal(batch.column("split"), side))
            here = [number for number in wanted if seen <= number < seen + mine.num_rows]
            rows = mine.take(pa.array([number - seen for number in here], pa.int64())).to_pylist()
            found.update((number, _row(row)) for number, row in zip(here, rows, strict=True))
            seen += mine.num_rows
    return found


_GROUPS = ("splits", "channels", "months")


def _batches(corpus: Path, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Batches with every column of `_COLUMNS`, those that are missing as nulls, numbered from 0."""
    names = [name for name in _COLUMNS if name in file.schema_arrow.names]
    first = 0
    try:
        for batch in file.iter_batches(batch_size=_ROWS, columns=names):
            columns = {name: batch.column(name) if name in names else pa.nulls(batch.num_rows) for name in _COLUMNS}
            columns["document"] = pa.array(range(first, first + batch.num_rows), pa.int64())
            columns["date"] = columns["date"].cast(pa.string())
            first += batch.num_rows
            yield pa.RecordBatch.from_pydict(columns)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(
            f"{corpus / DOCUMENTS}: is damaged ({type(error).__name__}). Ingest the dump again."
        ) from error


def _count(hits: pa.RecordBatch, counts: dict[str, Counter[str]]) -> None:
    """Add documents and messages by side, channel and month."""
    keys = {
        "splits": hits.column("split"),
        "channels": pc.fill_null(hits.column("channel_id").cast(pa.string()), ""),
        "months": pc.fill_null(pc.utf8_slice_codeunits(hits.column("date"), 0, 7), ""),
    }
    for kind, column in keys.items():
        table = pa.table({"key": column, "copies": hits.column("copies")})
        grouped = table.group_by("key").aggregate([("copies", "count"), ("copies", "sum")]).to_pydict()
        for name, documents, messages in zip(*(grouped[c] for c in ("key", "copies_count", "copies_sum")), strict=True):
            counts[f"{kind} documents"][name] += documents
            counts[f"{kind} messages"][name] += messages


def _rows(hits: pa.RecordBatch, expression: str) -> list[Row]:
    """Hits with the place of the first match in each."""
    text = hits.column("text")
    starts = pc.find_substring_regex(text, expression).to_pylist()
    rests = pc.replace_substring_regex(text, expression, "", max_replacements=1).to_pylist()
    rows = []
    for row, start, rest in zip(hits.to_pylist(), starts, rests, strict=True):
        begin = len(row["text"].encode()[:start].decode("utf-8", "ignore"))
        rows.append(_row(row, begin, begin + len(row["text"]) - len(rest)))
    return rows


def _row(values: dict[str, Any], start: int = 0, end: int = 0) -> Row:
    names = ("document", "split", "channel_id", "message_id", "date", "source", "offset", "copies", "text")
    return Row(**{name: values[name] for name in names}, start=start, end=end)
