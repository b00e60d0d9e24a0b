"""From batches of records to documents: filter, clean, judge the language, mask, sketch, and count everything."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus import sketch
from biasaudit.corpus.batch import Batch, kept
from biasaudit.corpus.clean import Cleaner
from biasaudit.corpus.dates import iso_dates
from biasaudit.corpus.language import LanguageFilter
from biasaudit.corpus.privacy import mask_batch
from biasaudit.corpus.reading import FILTERED
from biasaudit.errors import BiasAuditError

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Tally:
    """What happened to the bytes and records of a corpus."""

    bytes_in: int = 0
    """Bytes of the sources; a source that counts rows (Parquet) adds its rows. So do the next three."""
    bytes_records: int = 0
    bytes_rejects: int = 0
    bytes_separators: int = 0
    records: int = 0
    kept: int = 0
    duplicates: int = 0
    filtered: int = 0
    other_language: int = 0
    empty: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    cleaning: Counter[str] = field(default_factory=Counter)
    """Cleaning rule -> texts that it changed."""
    personal_data: Counter[str] = field(default_factory=Counter)
    documents_masked: int = 0

    def merge(self, other: Tally) -> None:
        """Add what another part counted."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            setattr(self, one.name, mine + theirs)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """What `to_json` gave."""
        made: dict[str, Any] = {n: Counter(value) if isinstance(value, dict) else value for n, value in values.items()}
        return cls(**made)

    def check(self) -> None:
        """Raise when a byte or a record went missing.

        Raises:
            BiasAuditError: the sums do not agree; nothing may be written from such a run.
        """
        spans = self.bytes_records + self.bytes_rejects + self.bytes_separators
        if spans != self.bytes_in:
            raise BiasAuditError(
                f"Conservation law: {self.bytes_in} bytes in, {spans} accounted for. Nothing was written."
            )
        out = self.kept + self.duplicates + self.filtered + self.other_language + self.empty
        if out != self.records:
            raise BiasAuditError(
                f"Conservation law: {self.records} records in, {out} accounted for. Nothing was written."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """Documents in columns, with where each came from; the n-th entry of every column belongs to the n-th."""

    text: pa.StringArray
    message_id: pa.StringArray
    channel_id: pa.StringArray
    """As the source has it; whoever stores it makes a pseudonym of it first."""
    date: pa.StringArray
    """ISO, null when there is none or it cannot be read."""
    offset: npt.NDArray[np.int64]
    flags: pa.ListArray
    digest: npt.NDArray[np.uint64]
    """Of the text, shape (documents, 2)."""
    signature: npt.NDArray[np.uint32] | None
    """For near duplicates, shape (documents, PERMUTATIONS)."""

    def __len__(self) -> int:
        return len(self.text)


class Clock:
    """CPU seconds of this process by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside towards `name`."""
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - start


class Gatherer:
    """Turns batches into documents and keeps the tally."""

    def __init__(
        self,
        cleaner: Cleaner,
        *,
        privacy: bool = True,
        names: bool = False,
        mask_first: bool = False,
        language: LanguageFilter | None = None,
        digests: bool = True,
        near: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            cleaner: the cleaning rules.
            privacy: whether personal data are replaced.
            names: whether names that people introduce themselves by are replaced too.
            mask_first: mask before cleaning, for rules that would take the shape of an identifier away.
            language: keeps documents of one language.
            digests: whether documents get digests (zeros otherwise).
            near: whether they get signatures.
            clock: counts the seconds of each stage.
        """
        self.tally = Tally()
        self._cleaner = cleaner
        self._privacy = privacy
        self._names = names
        self._mask_first = mask_first
        self._language = language
        self._digests, self._near = digests, near
        self._clock = clock or Clock()

    def documents(self, batch: Batch) -> Gathered:
        """Documents of one batch: what is neither filtered, nor in another language, nor empty, in order."""
        tally, clock = self.tally, self._clock
        self._count(batch)
        rows = np.flatnonzero(kept(batch)) if batch.flags else np.arange(len(batch))
        tally.filtered += len(batch) - len(rows)
        text = batch.text if len(rows) == len(batch) else batch.text.take(pa.array(rows))
        if self._mask_first:
            text = self._masked(text)
        with clock.stage("clean"):
            text = self._cleaner.batch(text)
            tally.cleaning = Counter(self._cleaner.changed)
        full = np.asarray(pc.binary_length(text)) > 0
        text, rows = self._left(text, rows, full)
        tally.empty += int((~full).sum())
        if self._language is not None:
            with clock.stage("language"):
                spoken = np.asarray(self._language.keep(text), bool)
            text, rows = self._left(text, rows, spoken)
            tally.other_language += int((~spoken).sum())
        if not self._mask_first:
            text = self._masked(text)
        return self._gathered(batch, text, rows)

    def _count(self, batch: Batch) -> None:
        tally = self.tally
        tally.bytes_in += batch.end - batch.start
        tally.bytes_records += int(batch.length.sum())
        tally.bytes_rejects += sum(reject.length for reject in batch.rejects)
        tally.bytes_separators += batch.separators
        tally.records += len(batch)
        tally.rejects.update(reject.reason for reject in batch.rejects)
        for flags in batch.flags.values():
            if FILTERED not in flags:
                tally.flags.update(flags)

    @staticmethod
    def _left(text: pa.StringArray, rows: npt.NDArray[np.int64], keep: Bools) -> Any:
        return (text, rows) if keep.all() else (text.filter(pa.array(keep)), rows[keep])

    def _masked(self, text: pa.StringArray) -> pa.StringArray:
        if not self._privacy:
            return text
        with self._clock.stage("privacy"):
            masked = mask_batch(text, names=self._names)
        self.tally.documents_masked += masked.documents
        self.tally.personal_data.update(masked.counts)
        return masked.text

    def _gathered(self, batch: Batch, text: pa.StringArray, rows: npt.NDArray[np.int64]) -> Gathered:
        everything = len(rows) == len(batch)
        place = pa.array(rows)

        def chosen(column: pa.StringArray) -> pa.StringArray:
            return column if everything else column.take(place)

        with self._clock.stage("dates"):
            date = iso_dates(chosen(batch.date))
        with self._clock.stage("duplicates"):
            digest = sketch.digests(text) if self._digests else np.zeros((len(text), 2), np.uint64)
            signature = sketch.signatures(text) if self._near else None
        return Gathered(
            text=text,
            message_id=chosen(batch.message_id),
            channel_id=chosen(batch.channel_id),
            date=date,
            offset=batch.offset[rows],
            flags=_flags(batch.flags, rows),
            digest=digest,
            signature=signature,
        )


def _flags(flags: Mapping[int, tuple[str, ...]], rows: npt.NDArray[np.int64]) -> pa.ListArray:
    """A list of flags for each of `rows`, most of them empty."""
    if not flags:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(rows) + 1, np.int32)), pa.array([], pa.string()))
    return pa.array([flags.get(int(row), ()) for row in rows], pa.list_(pa.string()))
