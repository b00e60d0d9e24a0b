"""What a worker process of the ingest stage does: read a unit into a part, or turn a part's documents into tokens.

What a unit makes depends on the unit and the job alone, never on who makes it or when.
"""

from __future__ import annotations

import hmac
import json
import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit import identity
from biasaudit.errors import CorpusError
from biasaudit.pipeline import ingest_folder as folder
from biasaudit.pipeline import ingest_tables as tables
from biasaudit.pipeline.ingest_inputs import Stamp, changed, stamp
from biasaudit.pipeline.ingest_settings import IngestSettings
from biasaudit.pipeline.ingest_units import CheckUnit, Found, ReadUnit, Stretch, WriteUnit, hole
from biasaudit.pipeline.modules import without_pandas

if TYPE_CHECKING:
    from biasaudit.corpus.batch import Batch
    from biasaudit.corpus.gather import Clock, Gathered
    from biasaudit.corpus.reading import Survey
    from biasaudit.lm.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker needs to know (picklable)."""

    settings: IngestSettings
    surveys: tuple[Survey, ...]
    staging: Path
    key: bytes | None
    """Key of the channels' pseudonyms; None when none could be had."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """Of the files that are read where the user has them, from before they were hashed."""


class IngestWorker:
    """Does units of a job, one at a time."""

    def __init__(self, job: Job, words: TextTokenizer | None = None) -> None:
        """Prepare; the tokenizer, unless it is given, is loaded when the first unit needs it."""
        pa.set_cpu_count(1)
        # Arrow's own allocators keep what was freed, some 60 MB a process here, and are no faster.
        pa.set_memory_pool(pa.system_memory_pool())
        self._job = job
        self._labels = pa.array([survey.label for survey in job.surveys], pa.string())
        self._words: Any = words
        self._language: Any = None

    def __call__(self, unit: ReadUnit | CheckUnit | WriteUnit) -> dict[str, Any]:
        """Do `unit` and return the record of what it made."""
        with folder.told(self._job.staging):
            if isinstance(unit, CheckUnit):
                return self._check(unit)
            return self._read(unit) if isinstance(unit, ReadUnit) else self._write(unit)

    # ------------------------------------------------------------------ reading

    def _read(self, unit: ReadUnit) -> dict[str, Any]:
        from biasaudit.corpus.gather import Clock

        staging, clock = self._job.staging, Clock()
        gatherer = self._gatherer(clock)
        found: list[Found] = []
        notes: dict[int, dict[str, int]] = {}
        documents = size = 0
        schema = staged_schema(self._job.settings)
        with (
            tables.arrow_file(staging / f"part-{unit.unit_id}.arrow", schema) as parts,
            tables.whole_file(staging / f"part-{unit.unit_id}.rejects") as rejects,
        ):
            for stretch in unit.stretches:
                span: Found = None
                for batch in self._batches(stretch, clock):
                    span = (span[0] if span else batch.start, batch.end)
                    self._note(batch, notes.setdefault(stretch.source, {}))
                    for reject in batch.rejects:
                        rejects.write(json.dumps(identity.plain(reject), sort_keys=True).encode() + b"\n")
                    gathered = gatherer.documents(batch)
                    with clock.stage("store"):
                        parts.add(self._staged(gathered, stretch.source, schema))
                    documents += len(gathered)
                    size += int(pc.sum(pc.binary_length(gathered.text)).as_py() or 0)
                found.append(span)
        self._at_rest(unit)
        record = {
            "documents": documents, "bytes": size, "found": found, "notes": notes, "seconds": dict(clock.seconds),
            "tally": gatherer.tally.to_json(),
        }  # fmt: skip
        tables.write_record(staging / f"part-{unit.unit_id}.json", record)
        return record

    def _at_rest(self, unit: ReadUnit) -> None:
        """Without this, a part of other content would stay for the next run when this one is killed now.

        Raises:
            CorpusError: a file that was read for `unit` is not the one that was hashed.
        """
        for path in {self._job.surveys[one.source].path for one in unit.stretches} & self._job.stamps.keys():
            if stamp(path) != self._job.stamps[path]:
                raise changed()

    def _batches(self, stretch: Stretch, clock: Clock) -> Iterator[Batch]:
        """Batches of a stretch; the reader's time is counted."""
        from biasaudit.corpus import sources

        survey = self._job.surveys[stretch.source]
        if stretch.start == stretch.stop:
            return
        reader = sources.stretch(survey, stretch.start, stretch.stop, synced=stretch.synced)
        position: int | None = None
        while True:
            with clock.stage("parse"):
                batch = next(reader, None)
            if batch is None:
                return
            batch.check(survey.label)
            if position is not None and batch.start != position:
                raise hole(survey.label, position, batch.start)
            position = batch.end
            yield batch

    @staticmethod
    def _note(batch: Batch, notes: dict[str, int]) -> None:
        for name, count in batch.notes.items():
            notes[name] = notes.get(name, 0) + int(count)

    def _gatherer(self, clock: Clock) -> Any:
        from biasaudit.corpus.clean import Cleaner
        from biasaudit.corpus.gather import Gatherer
        from biasaudit.corpus.language import LanguageFilter

        settings = self._job.settings
        if settings.only_language and self._language is None:
            self._language = LanguageFilter(settings.only_language)
        return Gatherer(
            Cleaner(settings.clean),
            privacy=settings.privacy,
            names=settings.names,
            mask_first="legacy" in settings.clean,
            language=self._language,
            digests=settings.duplicates != "keep" or settings.split == "hash",
            near=settings.duplicates == "near",
            clock=clock,
        )

    def _staged(self, found: Gathered, source: int, schema: pa.Schema) -> pa.RecordBatch:
        columns = {
            "text": found.text,
            "message_id": found.message_id,
            "channel_id": self._pseudonyms(found.channel_id),
            "date": found.date,
            "source": pa.array(np.full(len(found), source, np.int32)),
            "offset": pa.array(found.offset),
            "flags": found.flags,
            "digest": tables.fixed(found.digest),
        }
        if "signature" in schema.names:
            columns["signature"] = tables.fixed(found.signature)
        if "channel_hash" in schema.names:
            from biasaudit.corpus.split import name_hash

            label = self._job.surveys[source].label
            columns["channel_hash"] = _by_value(pc.fill_null(found.channel_id, label), name_hash, pa.uint64())
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)

    def _pseudonyms(self, channels: pa.StringArray) -> pa.StringArray:
        """Keyed, so that a channel keeps its name across corpora and nobody without the key can find it by trying."""
        if channels.null_count == len(channels):
            return channels
        key = self._job.key
        if key is None:
            raise CorpusError(
                "The channels need pseudonyms, and no place for their key could be written. "
                "Name a file that holds one, or that can be made, with --pseudonym-key FILE."
            )
        return _by_value(
            channels,
            lambda name: "channel-" + hmac.new(key, name.encode(), "sha256").hexdigest()[:16] if name else None,
            pa.string(),
        )

    # ------------------------------------------------------------------ writing

    def _write(self, unit: WriteUnit) -> dict[str, Any]:
        from biasaudit.corpus.card import Census
        from biasaudit.corpus.card_sample import draw, joined
        from biasaudit.corpus.gather import Clock
        from biasaudit.corpus.shards import cut, dtype_for

        staging, clock, census = self._job.staging, Clock(), Census()
        words = self._tokenizer(unit.engine)
        dtype = dtype_for(words.vocab_size)
        decided = Decisions.load(staging, unit.number)
        samples = []
        row = 0
        with tables.arrow_file(staging / f"tokens-{unit.unit_id}.arrow", tables.TOKENS) as parts:
            for batch in tables.batches(staging / unit.part):
                here = decided.of(row, row + batch.num_rows)
                row += batch.num_rows
                kept = tables.chosen(batch, here.rows)
                text = kept.column("text")
                with clock.stage("tokenise"):
                    ids, counts = words.encode_documents(text)
                with clock.stage("store"):
                    train, val = cut(ids, counts, here.held_out, dtype)
                    columns = [tables.one_cell(train), tables.one_cell(val), pa.array([counts], tables.TOKENS[2].type)]
                    parts.add(pa.RecordBatch.from_arrays(columns, schema=tables.TOKENS))
                with clock.stage("card"):
                    size = np.asarray(pc.binary_length(text)).astype(np.int64)
                    census.add(
                        side=here.held_out, tokens=counts, size=size, copies=here.copies,
                        channel=kept.column("channel_id"), date=kept.column("date"),
                        source=pa.DictionaryArray.from_arrays(kept.column("source"), self._labels),
                    )  # fmt: skip
                    digest = np.frombuffer(tables.raw(kept.column("digest")), "<u8")[::2]
                    samples.append(draw(text, digest, decided.first + here.before, decided.share))
        drawn = joined(samples)
        record = {
            "census": census.to_json(), "seconds": dict(clock.seconds),
            "sample": {"key": [int(k) for k in drawn.key], "text": drawn.text.to_pylist(),
                       "documents": drawn.documents, "bytes": drawn.bytes},
        }  # fmt: skip
        tables.write_record(staging / f"tokens-{unit.unit_id}.json", record)
        return record

    def _check(self, unit: CheckUnit) -> dict[str, Any]:
        """Find the fastest engine that agrees with the slower ones."""
        from biasaudit.lm.tokenizer import load_tokenizer

        words = self._words or load_tokenizer(self._job.staging / "tokenizer")
        if self._job.settings.fast_tokenizer:
            words = words.accelerated()
        self._words = words.verified(unit.texts)
        found = {name: getattr(self._words, name) for name in ("fingerprint", "vocab_size", "eot_id", "engine")}
        return {**found, "doubts": list(self._words.doubts)}

    def _tokenizer(self, engine: str) -> Any:
        if self._words is None:
            from biasaudit.lm.tokenizer import load_tokenizer

            self._words = load_tokenizer(self._job.staging / "tokenizer")
        if self._words.engine != engine:
            self._words = self._words.using(engine)
        return self._words


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What was decided about consecutive rows of a part."""

    rows: np.ndarray[Any, np.dtype[np.int64]]
    """Rows that are kept, counted from the first of these."""
    held_out: np.ndarray[Any, np.dtype[np.bool_]]
    copies: np.ndarray[Any, np.dtype[np.int64]]
    before: int
    """Kept rows of the part before these."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What was decided about the rows of a part: which are kept, on which side, standing for how many."""

    rows: np.ndarray[Any, np.dtype[np.int64]]
    held_out: np.ndarray[Any, np.dtype[np.bool_]]
    copies: np.ndarray[Any, np.dtype[np.int64]]
    first: int
    """Number of the part's first document in the corpus."""
    share: float
    """Share of documents drawn into the card's sample."""

    def of(self, start: int, stop: int) -> Slice:
        """The decisions about rows start ≤ row < stop."""
        low, high = (int(place) for place in np.searchsorted(self.rows, [start, stop]))
        return Slice(self.rows[low:high] - start, self.held_out[low:high], self.copies[low:high], low)

    def save(self, staging: Path, number: int) -> None:
        """Leave them for the worker that writes part `number`."""
        with (staging / f"decided-{number:06}.npy").open("wb") as handle:
            for column in (self.rows, self.held_out, self.copies, self.first, self.share):
                np.save(handle, column)

    @classmethod
    def load(cls, staging: Path, number: int) -> Decisions:
        """What `save` left."""
        with (staging / f"decided-{number:06}.npy").open("rb") as handle:
            rows, held_out, copies, first, share = (np.load(handle) for _ in range(5))
        return cls(rows, held_out, copies, int(first), float(share))


def staged_schema(settings: IngestSettings) -> pa.Schema:
    """Columns of a part under these settings."""
    from biasaudit.corpus.sketch import PERMUTATIONS

    columns = list(tables.STAGED)
    if settings.duplicates == "near":
        columns.append(("signature", pa.binary(4 * PERMUTATIONS)))
    if settings.split == "channel" or settings.join_messages > 1:
        columns.append(("channel_hash", pa.uint64()))
    return pa.schema(columns)


def _by_value(column: pa.StringArray, make: Any, kind: pa.DataType) -> pa.Array:
    """`make` of every distinct value."""
    coded = column.dictionary_encode()
    return pa.array([make(value) for value in coded.dictionary.to_pylist()], kind).take(coded.indices)


def worker(job: Job, words: TextTokenizer | None = None) -> IngestWorker:
    """Make a worker (top-level, so that other processes can)."""
    if multiprocessing.parent_process() is not None:
        without_pandas()
    return IngestWorker(job, words)
