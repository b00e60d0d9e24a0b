"""What a person may say about an ingest, and the one form of it that decides what a corpus holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

from biasaudit.errors import UsageError


class IngestOptions(TypedDict, total=False):
    """What `ingest` takes by name; every one may be left out."""

    column_map: Mapping[str, str]
    """Column of the file -> field (`text`, `id`, `channel_id`, `date`)."""
    where: Mapping[str, str]
    """Column -> value; other records are left out and counted."""
    kind: str | None
    """Name of the source for every file, instead of the file's ending."""
    encoding: str | None
    """Overrules the encoding found; so do the next two for delimiter and quoting."""
    delimiter: str | None
    quoting: str | None
    lines_per_document: Mapping[str, int] | int
    """Plain text as sentences, so many a document; or pattern of file names -> lines."""
    document_chars: int
    """Plain text: bytes after which a document ends with its paragraph (4,000)."""
    clean: Sequence[str] | None
    """Names of cleaning rules; None for the default ones."""
    privacy: bool
    """Replace personal data by typed placeholders (True)."""
    names: bool
    """Also names that people introduce themselves by (False)."""
    only_language: str
    """Keep documents of this language only."""
    duplicates: str
    """`near` keeps one of equal and almost equal texts (the default), `exact` one of equal texts, `keep` all."""
    join_messages: int
    """So many consecutive messages of a channel become one document (1)."""
    split: str
    """`sequential`, `hash`, `channel` or `date`."""
    held_out: float | None
    """Share of documents held out, 1/11 when None."""
    tokenizer: str
    """Spec of a tokenizer to use, unless `train_vocab` is given."""
    train_vocab: int | None
    """Learn a byte-level BPE with so many ids from the training documents."""
    fast_tokenizer: bool
    """Tokenise with gigatoken, checked against the reference on a sample (False)."""
    language: str
    """The language that the user says the corpus has; recorded, not checked."""
    pseudonym_key: Path | None
    """File that holds the key of the channels' pseudonyms; made when it is missing."""
    index_memory: int
    """Bytes of memory that looking for duplicates may take before it goes to disk."""
    processes: int | None
    """Worker processes; by default as many as there are cores, and none for small sources."""
    unit_bytes: int
    """Bytes of sources that are read and committed together (16 MiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Everything that decides what a corpus holds, besides the bytes of its sources; fields as in `IngestOptions`."""

    column_map: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    lines_per_document: Mapping[str, int] = field(default_factory=dict)
    document_chars: int = 4000
    clean: tuple[str, ...] = ()
    privacy: bool = True
    names: bool = False
    only_language: str = ""
    duplicates: str = "near"
    join_messages: int = 1
    split: str = "sequential"
    held_out: float = 0.0
    tokenizer: str = "embedded:base"
    train_vocab: int | None = None
    fast_tokenizer: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestMeans:
    """How the work is done; changes nothing in the corpus, except the key, which names its channels."""

    pseudonym_key: Path | None = None
    index_memory: int = 32 << 20
    processes: int | None = None
    unit_bytes: int = 16 << 20


def settings_of(options: IngestOptions) -> tuple[IngestSettings, IngestMeans]:
    """The options with their defaults, in one canonical form, checked.

    Raises:
        CorpusError: a column is mapped to something that is no field.
        UnknownNameError: a rule, split or way with duplicates that does not exist.
        UsageError: a number out of range.
    """
    from biasaudit.corpus import clean, split

    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    means = {one.name: given.pop(one.name) for one in fields(IngestMeans) if one.name in given}
    lines = given.pop("lines_per_document", 0)
    lines = {"*": lines} if isinstance(lines, int) else dict(lines)
    given["lines_per_document"] = {pattern: count for pattern, count in lines.items() if count}
    rules = given.pop("clean", None)
    given["clean"] = tuple(clean.DEFAULT if rules is None else rules)
    share = given.pop("held_out", None)
    given["held_out"] = split.DEFAULT_SHARE if share is None else share
    if given.get("train_vocab"):
        given["tokenizer"] = ""
    settings = IngestSettings(**given)
    _check(settings)
    return settings, IngestMeans(**means)


def _check(settings: IngestSettings) -> None:
    from biasaudit.corpus.clean import Cleaner
    from biasaudit.corpus.dedup import MODES
    from biasaudit.corpus.reading import checked_columns
    from biasaudit.corpus.split import NAMES
    from biasaudit.errors import UnknownNameError

    Cleaner(settings.clean)
    checked_columns(settings.column_map)
    if settings.split not in NAMES:
        raise UnknownNameError("split", settings.split, NAMES)
    if settings.duplicates not in MODES:
        raise UnknownNameError("way with duplicates", settings.duplicates, MODES)
    if not 0 < settings.held_out < 1:
        raise UsageError(f"held-out share {settings.held_out}: give a number between 0 and 1, for instance 0.1.")
    if settings.document_chars < 1:
        raise UsageError(f"document size {settings.document_chars}: give at least 1 byte; 4000 is the default.")
    if settings.join_messages < 1:
        raise UsageError(f"--join-messages {settings.join_messages}: give at least 1 message a document.")
    if settings.only_language:
        from biasaudit.corpus.language import LanguageFilter

        LanguageFilter(settings.only_language)
