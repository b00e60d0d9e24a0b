"""Third phase of the ingest stage: parts become tokens on all cores, and are put together in their order."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.errors import BiasAuditError
from biasaudit.pipeline import ingest_folder
from biasaudit.pipeline import ingest_tables as tables
from biasaudit.pipeline.ingest_units import CheckUnit, WriteUnit
from biasaudit.pipeline.ingest_worker import Decisions, Job

if TYPE_CHECKING:
    from biasaudit.lm.tokenizer import TextTokenizer
    from biasaudit.pipeline.ingest import Progress
    from biasaudit.pipeline.ingest_decide import Decided
    from biasaudit.pipeline.ingest_settings import IngestSettings
    from biasaudit.scale.processes import Crew


CHECKED_DOCUMENTS = 400
"""Documents on which the tokenizer's engines are compared."""
CHECKED_BYTES = 1 << 20
"""Characters of theirs, about."""


_ROW_GROUP = 4 << 20
"""Bytes of documents that make a row group of `documents.parquet`."""


@dataclass(slots=True)
class Written:
    """What the third phase counted."""

    census: Any
    sample: Any
    tokenizer: dict[str, Any]
    seconds: Counter[Any] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Words:
    """A tokenizer as files. The driver does not hold it: its tables take a hundred megabytes that only workers need."""

    folder: Path = Path()
    fingerprint: str = ""
    vocab_size: int = 0
    eot_id: int = 0
    engine: str = ""
    """What makes the ids."""
    doubts: tuple[str, ...] = ()
    """Why it is not the engine that was asked for."""

    @classmethod
    def saved(cls, words: TextTokenizer, folder: Path) -> Words:
        """Write `words` to `folder`, which appears whole."""
        made = ingest_folder.empty(folder.with_name(f"{folder.name}.new"))
        words.save(made)
        for path in [*made.iterdir(), made]:
            ingest_folder.sync(path)
        made.rename(folder)
        ingest_folder.sync(folder.parent)
        return cls(folder, words.fingerprint, words.vocab_size, words.eot_id)


def tokenizer_of(
    crew: Crew, settings: IngestSettings, words: Words, decided: Decided, staging: Path, report: Progress, workers: int
) -> Words:
    """Put the tokenizer that was named, or one learnt from the training documents, where the workers look for it.

    Its engine is held against the slower ones on documents of this corpus before anybody relies on it; by each of the
    `workers`, since all must load it, and none has anything else to do yet.

    Raises:
        UsageError: the fast engine was asked for, and its extra is not installed.
    """
    from biasaudit.lm.tokenizer import train_tokenizer

    place = staging / "tokenizer"
    if words.fingerprint:
        shutil.copytree(words.folder, place, dirs_exist_ok=True)
    elif not place.is_dir():
        assert settings.train_vocab, "a tokenizer is named or learnt"
        report("learning the tokenizer", 0, 1, f"{settings.train_vocab} ids")
        learnt = train_tokenizer(_training_texts(decided, staging), settings.train_vocab)
        report("learning the tokenizer", 1, 1, f"{learnt.vocab_size} ids")
        Words.saved(learnt, place)
    answers: list[dict[str, Any]] = []
    check = CheckUnit(texts=tuple(_some_texts(decided, staging)))
    crew.run([check] * min(workers, len(decided.units)), lambda _, answer: answers.append(answer))
    found = answers[0]
    return Words(
        place, found["fingerprint"], found["vocab_size"], found["eot_id"], found["engine"], tuple(found["doubts"])
    )


def _some_texts(decided: Decided, staging: Path) -> list[str]:
    """Documents from all parts of the corpus, a bounded number of bytes."""
    texts: list[str] = []
    wanted = max(1, CHECKED_DOCUMENTS // max(1, len(decided.units)))
    for unit in decided.units:
        rows = Decisions.load(staging, unit.number).rows
        rows = rows[:: max(1, len(rows) // wanted)][:wanted]
        start = held = 0
        for batch in tables.batches(staging / unit.part, ["text"]):
            low, high = np.searchsorted(rows, [start, start + batch.num_rows])
            for text in batch.column(0).take(pa.array(rows[low:high] - start)).to_pylist():
                if held < CHECKED_BYTES // len(decided.units):
                    texts.append(text)
                    held += len(text)
            start += batch.num_rows
    return texts


def _training_texts(decided: Decided, staging: Path) -> Iterator[str]:
    for unit in decided.units:
        decisions = Decisions.load(staging, unit.number)
        row = 0
        for batch in tables.batches(staging / unit.part, ["text"]):
            here = decisions.of(row, row + batch.num_rows)
            row += batch.num_rows
            yield from batch.column(0).take(pa.array(here.rows[~here.held_out])).to_pylist()


def write(crew: Crew, decided: Decided, job: Job, words: Words, corpus: Path, report: Progress) -> Written:
    """Tokenise every part and append it to the shards and to `documents.parquet`, in order."""
    staging = job.staging
    units = [replace(unit, engine=words.engine) for unit in decided.units]
    total = sum(unit.count for unit in units)
    with (
        tables.documents_file(corpus / "documents.parquet") as documents,
        (corpus / "train.bin").open("xb") as train,
        (corpus / "val.bin").open("xb") as val,
    ):
        assembly = _Assembly(units, job, documents, train, val, lambda n: report("tokenising", n, total, ""))
        missing = []
        for unit in units:
            record = tables.read_record(staging / f"tokens-{unit.unit_id}.json")
            if record is None:
                missing.append(unit)
            else:
                assembly.take(unit, record)
        crew.run(missing, assembly.take)
        assembly.flush()
    return assembly.written(words)


class _Assembly:
    """Puts finished parts together in their order; one that comes early waits on the disk."""

    def __init__(
        self, units: Sequence[WriteUnit], job: Job, documents: Any, train: Any, val: Any, told: Any
    ) -> None:  # fmt: skip
        from biasaudit.corpus.card import Census

        self._units, self._job = units, job
        self._labels = pa.array([survey.label for survey in job.surveys], pa.string())
        self._documents, self._train, self._val, self._told = documents, train, val, told
        self._records: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._number = 0
        self._waiting: list[pa.RecordBatch] = []
        self._held = 0
        self._finished: list[Path] = []
        self._census = Census()
        self._samples: list[Any] = []
        self._seconds: Counter[Any] = Counter()

    def take(self, unit: WriteUnit, record: dict[str, Any]) -> None:
        """Accept the record of a part whose tokens are stored."""
        self._records[unit.number] = record
        while self._next in self._records:
            self._append(self._units[self._next], self._records.pop(self._next))
            self._next += 1
            self._told(self._number)

    def _append(self, unit: WriteUnit, record: dict[str, Any]) -> None:
        from biasaudit.corpus.card import Census
        from biasaudit.corpus.card_sample import Sample
        from biasaudit.corpus.gather import Clock

        clock = Clock()
        staging = self._job.staging
        decisions = Decisions.load(staging, unit.number)
        row = 0
        with clock.stage("assemble"):
            parts = tables.batches(staging / unit.part)
            for batch, tokens in zip(parts, tables.batches(staging / f"tokens-{unit.unit_id}.arrow"), strict=True):
                here = decisions.of(row, row + batch.num_rows)
                row += batch.num_rows
                self._train.write(tokens.column("train")[0].as_buffer())
                self._val.write(tokens.column("val")[0].as_buffer())
                if len(here.rows):
                    self._waiting.append(self._table(tables.chosen(batch, here.rows), here, tokens))
                    self._held += self._waiting[-1].nbytes
                    if self._held >= _ROW_GROUP:
                        self.flush()
        self._finished += [staging / unit.part, staging / f"tokens-{unit.unit_id}.arrow"]
        self._census.merge(Census.from_json(record["census"]))
        sample = record["sample"]
        self._samples.append(
            Sample(
                np.array(sample["key"], np.uint64), pa.array(sample["text"], pa.string()), sample["documents"],
                sample["bytes"],
            )
        )  # fmt: skip
        self._seconds.update(record["seconds"])
        self._seconds.update(clock.seconds)

    def flush(self) -> None:
        """Write what waits as one row group: of a folder of small files each would have made its own."""
        if self._waiting:
            self._documents.add(pa.Table.from_batches(self._waiting))
            for handle in (self._train, self._val):
                tables.begin_writing(handle)
        self._waiting, self._held = [], 0
        for path in self._finished:
            tables.let_go(path)
        self._finished.clear()

    def _table(self, kept: pa.RecordBatch, here: Any, tokens: pa.RecordBatch) -> pa.RecordBatch:
        count = kept.num_rows
        sides = pa.array(["train", "val"])
        messages = kept.column("messages") if "messages" in kept.schema.names else pa.array(np.ones(count, np.int64))
        columns = {
            "document": pa.array(np.arange(self._number, self._number + count)),
            "split": sides.take(pa.array(here.held_out.astype(np.int32))),
            "tokens": tokens.column("tokens")[0].values,
            "bytes": pc.cast(pc.binary_length(kept.column("text")), pa.int64()),
            "copies": pa.array(here.copies),
            "messages": messages,
            "source": self._labels.take(kept.column("source")),
        }
        for name in ("text", "message_id", "channel_id", "date", "offset", "flags"):
            columns[name] = kept.column(name)
        self._number += count
        arrays = [columns[one.name].cast(one.type) for one in tables.DOCUMENTS]
        return pa.RecordBatch.from_arrays(arrays, schema=tables.DOCUMENTS)

    def written(self, words: Words) -> Written:
        """What was counted, once everything is in."""
        from biasaudit.corpus.card_sample import joined

        expected = sum(unit.count for unit in self._units)
        if self._number != expected:
            raise BiasAuditError(
                f"Conservation law: {expected} documents kept, {self._number} written. Nothing was put in place."
            )
        described = {"fingerprint": words.fingerprint, "vocab_size": words.vocab_size, "eot_id": words.eot_id}
        described |= {"engine": words.engine, "doubts": list(words.doubts)}
        settings = self._job.settings
        described["from"] = "learnt from the training documents" if settings.train_vocab else settings.tokenizer
        return Written(self._census, joined(self._samples), described, self._seconds)
