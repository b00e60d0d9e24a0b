"""Stage `ingest`: dumps in, a corpus folder out (documents, token shards, tokenizer, data card).

Two passes. The first reads, cleans, masks and drops duplicates, and stages the documents; then sides are drawn and a
tokenizer is learnt or loaded; the second pass writes tokens. The folder appears under its name only when it is whole.
"""

from __future__ import annotations

import fnmatch
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypedDict, Unpack

from biasaudit import __version__, identity
from biasaudit.errors import CorpusError, UsageError
from biasaudit.pipeline import ingest_folder as folder
from biasaudit.pipeline import ingest_tables as tables
from biasaudit.records import Reject

Progress = Callable[[str, float, float | None, str], None]
"""(stage, done, total, note): bytes while reading, documents afterwards."""


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
    """Replace personal data by typed placeholders (links, users and e-mails are replaced in any case)."""
    duplicates: str
    """`exact` keeps one copy, `near` also drops near copies, `keep` keeps all."""
    split: str
    """`sequential`, `hash`, `channel` or `date`."""
    held_out: float | None
    """Share of documents held out, 1/11 when None."""
    tokenizer: str
    """Spec of a tokenizer to use, unless `train_vocab` is given."""
    train_vocab: int | None
    """Learn a byte-level BPE with so many ids from the training documents."""
    language: str
    """The language that the user says the corpus has; recorded, not checked."""


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
    duplicates: str = "exact"
    split: str = "sequential"
    held_out: float = 0.0
    tokenizer: str = "embedded:base"
    train_vocab: int | None = None
    language: str = ""


@dataclass(slots=True)
class _Staged:
    """What the first pass leaves for the second."""

    path: Path
    digests: list[bytes]
    channels: list[str]
    dates: list[str]


def ingest(
    sources: Sequence[Path],
    out: Path,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
    **options: Unpack[IngestOptions],
) -> dict[str, Any]:
    """Make a corpus folder of `sources` and return its data card.

    The same sources and settings again return the card of what is there; a killed run leaves nothing under `out`.

    Args:
        sources: files, or folders of files.
        out: the corpus folder; made whole or not at all.
        fresh: replace a corpus that stands at `out`.
        progress: called with (stage, done, total, note).
        **options: see `IngestOptions`.

    Raises:
        CorpusError: a source is missing or cannot be understood, or `out` holds something else.
        RunLockedError: another process writes to `out`.
        UsageError: an option that cannot work.
    """
    settings = _settings(options)
    _check(settings)
    report = progress or (lambda _stage, _done, _total, _note: None)
    inputs = _inputs(sources, settings)
    stamps = _stamps(inputs)
    hashed = _hashed(inputs, report)
    key = identity.content_hash(["corpus", _code(), identity.plain(settings), hashed, _tokenizer_key(settings)])
    with folder.single_writer(out):
        done = None if fresh else folder.finished(out, key)
        if done is not None:
            report("corpus", 1, 1, "already done with these inputs and settings")
            return done
        folder.refuse_to_overwrite(out, fresh=fresh)
        with folder.new_staging(out) as staging:
            return _build(inputs, hashed, stamps, settings, staging, out, key, report)


def _settings(options: IngestOptions) -> IngestSettings:
    """The options with their defaults, in one canonical form."""
    from biasaudit.corpus import clean, split

    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    lines = given.pop("lines_per_document", 0)
    lines = {"*": lines} if isinstance(lines, int) else dict(lines)
    given["lines_per_document"] = {pattern: count for pattern, count in lines.items() if count}
    rules = given.pop("clean", None)
    given["clean"] = tuple(clean.DEFAULT if rules is None else rules)
    share = given.pop("held_out", None)
    given["held_out"] = split.DEFAULT_SHARE if share is None else share
    if given.get("train_vocab"):
        given["tokenizer"] = ""
    return IngestSettings(**given)


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


def _inputs(sources: Sequence[Path], settings: IngestSettings) -> list[tuple[str, Path]]:
    """(label, file) of every source file, in the order given; a file is read once."""
    from biasaudit.corpus import sources as door

    if not sources:
        raise UsageError("No source given. Name at least one file or folder.")
    found: dict[Path, str] = {}
    for source in sources:
        for path in door.files(source):
            if settings.kind is None:
                door.kind_of(path)
            label = str(path.relative_to(source)) if source.is_dir() else path.name
            found.setdefault(path.resolve(), label)
    return [(label, path) for path, label in found.items()]


def _hashed(inputs: Sequence[tuple[str, Path]], report: Progress) -> list[dict[str, Any]]:
    rows = []
    for number, (label, path) in enumerate(inputs):
        rows.append({"name": label, "bytes": path.stat().st_size, "sha256": identity.file_hash(path)})
        report("hashing sources", number + 1, len(inputs), label)
    return rows


def _stamps(inputs: Sequence[tuple[str, Path]]) -> list[tuple[int, int, int]]:
    """What the file system says of each source, so that one that changes under our hands is noticed."""
    found = [path.stat() for _, path in inputs]
    return [(status.st_ino, status.st_size, status.st_mtime_ns) for status in found]


def _code() -> str:
    """Hash of the corpus wing's own source, so that a changed rule is never taken for work already done."""
    files = sorted(
        (str(p.name), p.read_text("utf-8"))
        for base in ("biasaudit.corpus", "biasaudit.corpus.sources")
        for p in resources.files(base).iterdir()
        if p.name.endswith(".py")
    )
    return identity.content_hash([__version__, files])


def _tokenizer_key(settings: IngestSettings) -> str:
    if settings.train_vocab:
        return ""
    from biasaudit.lm.tokenizer import load_tokenizer

    return load_tokenizer(settings.tokenizer).fingerprint


def _build(
    inputs: Sequence[tuple[str, Path]], hashed: Sequence[Mapping[str, Any]], stamps: object, settings: IngestSettings,
    staging: Path, out: Path, key: str, report: Progress,
) -> dict[str, Any]:  # fmt: skip
    from biasaudit.corpus.card import Census, card
    from biasaudit.corpus.clean import Cleaner
    from biasaudit.corpus.dedup import Duplicates
    from biasaudit.corpus.gather import Gatherer
    from biasaudit.corpus.privacy import LINKS, mask
    from biasaudit.corpus.split import held_out

    started = time.time()
    cleaner, index = Cleaner(settings.clean), Duplicates(settings.duplicates)
    kinds = None if settings.privacy else LINKS
    gatherer = Gatherer(cleaner, lambda text: mask(text, kinds), index)
    rows = [dict(row) for row in hashed]
    staged = _stage(inputs, rows, settings, gatherer, staging, report)
    gatherer.tally.check()
    if not gatherer.tally.records and gatherer.tally.rejects:
        raise CorpusError(_nothing_read(rows, gatherer.tally.rejects, folder.keep_rejects(staging, out)))
    if _stamps(inputs) != stamps:
        raise CorpusError("A source was changed while it was read. Nothing was written; run again when it is at rest.")
    sides = held_out(
        settings.split, share=settings.held_out, digests=lambda: staged.digests, channels=staged.channels,
        dates=staged.dates,
    )  # fmt: skip
    words = _tokenizer(settings, staged, sides, report)
    words.save(staging / "tokenizer")
    census = Census()
    _write(staged, sides, index.copies, words, census, staging, report)
    staged.path.unlink()
    described = {"fingerprint": words.fingerprint, "vocab_size": words.vocab_size, "eot_id": words.eot_id}
    described["from"] = "learnt from the training documents" if settings.train_vocab else settings.tokenizer
    result = card(
        settings=identity.plain(settings), sources=rows, tally=gatherer.tally, near_duplicates=index.near,
        cleaning=cleaner.changed, census=census, tokenizer=described, language=settings.language,
    )  # fmt: skip
    folder.write_json(staging / "card.json", result)
    manifest = {"kind": "corpus", "key": key, "version": __version__, "run": _run(started)}
    folder.commit(staging, out, manifest)
    return result


def _nothing_read(rows: Sequence[Mapping[str, Any]], reasons: Mapping[str, int], rejects: Path) -> str:
    """What to say when no source gave a single record, and everything was rejected."""
    names = ", ".join(str(row["name"]) for row in rows)
    why = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.items())
    text = (
        f"{names}: no record was recognised, so nothing was kept. Rejected: {why}; places and hashes are in {rejects}."
    )
    if any(row["dialect"].get("kind") == "message dump" for row in rows):
        text += (
            " The first line is that of a message dump, whose records start with two numbers and a date, as in "
            "`12,-1001,2021-03-05 10:00:00+00:00,`. If yours do not, have the file read as a plain table with "
            "--map COLUMN=text, which names the column that holds the text; if they use another separator, --delimiter."
        )
    return text


def _run(started: float) -> dict[str, Any]:
    """The one part of the manifest that differs between equal corpora: when and where it was made."""
    return {"started": started, "seconds": time.time() - started, "python": platform.python_version()}


def _stage(
    inputs: Sequence[tuple[str, Path]], rows: list[dict[str, Any]], settings: IngestSettings, gatherer: Any,
    staging: Path, report: Progress,
) -> _Staged:  # fmt: skip
    """First pass: documents to a staged table, rejects to `rejects.jsonl`, dialects into `rows`."""
    from biasaudit.corpus import sources as door
    from biasaudit.corpus.dates import iso
    from biasaudit.corpus.reading import audited

    total = sum(int(row["bytes"]) for row in rows)
    staged = _Staged(staging / "staged.parquet", [], [], [])
    with (
        tables.Table(staged.path, tables.STAGED) as table,
        (staging / "rejects.jsonl").open("w", encoding="utf-8") as rejects,
    ):
        for row, (label, path) in zip(rows, inputs, strict=True):
            reading = door.read(path, _options(settings, label), kind=settings.kind)
            for found in gatherer.documents(audited(reading, label)):
                if isinstance(found, Reject):
                    rejects.write(json.dumps(identity.plain(found), sort_keys=True) + "\n")
                    continue
                document = found.document
                staged.digests.append(gatherer.index.last)
                staged.channels.append(document.channel_id or document.source)
                staged.dates.append(iso(document.date))
                table.add(
                    text=document.text, message_id=document.message_id, channel_id=document.channel_id,
                    date=document.date, source=document.source, offset=found.offset, flags=list(found.flags),
                )  # fmt: skip
                if not len(staged.digests) % 500:
                    tally = gatherer.tally
                    report("reading", tally.bytes_in, total, f"{tally.records:,} records, {tally.kept:,} kept")
            row["dialect"] = reading.notes
    report("reading", total, total, f"{gatherer.tally.records:,} records, {gatherer.tally.kept:,} kept")
    return staged


def _options(settings: IngestSettings, label: str) -> Any:
    from biasaudit.corpus.reading import SourceOptions

    name = Path(label).name
    lines = next((n for p, n in settings.lines_per_document.items() if fnmatch.fnmatchcase(name, p)), 0)
    return SourceOptions(
        columns=settings.column_map,
        where=settings.where,
        encoding=settings.encoding,
        delimiter=settings.delimiter,
        quoting=settings.quoting,
        label=label,
        lines_per_document=lines,
        document_chars=settings.document_chars,
    )


def _tokenizer(settings: IngestSettings, staged: _Staged, sides: Sequence[bool], report: Progress) -> Any:
    from biasaudit.lm.tokenizer import load_tokenizer, train_tokenizer

    if not settings.train_vocab:
        return load_tokenizer(settings.tokenizer)
    report("learning the tokenizer", 0, 1, f"{settings.train_vocab} ids")
    texts = (row["text"] for row, held in zip(tables.rows(staged.path), sides, strict=True) if not held)
    words = train_tokenizer(texts, settings.train_vocab)
    report("learning the tokenizer", 1, 1, f"{words.vocab_size} ids")
    return words


def _write(
    staged: _Staged, sides: Sequence[bool], copies: Sequence[int], words: Any, census: Any, staging: Path,
    report: Progress,
) -> None:  # fmt: skip
    """Second pass: tokens to the two shards, documents with side and counts to `documents.parquet`."""
    import numpy as np
    import pyarrow as pa

    from biasaudit.corpus.shards import ShardWriter

    shards = {
        side: ShardWriter(staging / f"{side}.bin", eot_id=words.eot_id, vocab_size=words.vocab_size)
        for side in ("train", "val")
    }
    number = 0
    with tables.Table(staging / "documents.parquet", tables.DOCUMENTS) as table:
        for batch in tables.batches(staged.path):
            first, tokens, sizes = number, [], []
            for row, ids in zip(batch, words.encode_batch([row["text"] for row in batch]), strict=True):
                side = "val" if sides[number] else "train"
                tokens.append(len(ids))
                sizes.append(len(row["text"].encode()))
                shards[side].add(ids)
                table.add(
                    **row, document=number, split=side, tokens=len(ids), bytes=sizes[-1], copies=copies[number]
                )  # fmt: skip
                number += 1
            census.add(
                side=np.array(sides[first:number], bool), tokens=np.array(tokens), size=np.array(sizes),
                copies=np.array(copies[first:number]), channel=pa.array(staged.channels[first:number], pa.string()),
                date=pa.array(staged.dates[first:number], pa.string()),
                source=pa.array([row["source"] for row in batch], pa.string()),
            )  # fmt: skip
            report("tokenising", number, len(sides), "")
    for shard in shards.values():
        shard.close()
