"""Stage `ingest`: dumps in, a corpus folder out (documents, token shards, tokenizer, data card).

Three phases. Sources are read in units, on all cores: parsed, cleaned, masked, sketched. Then one process decides what
is a duplicate and which side each document is on. Then the parts are tokenised, again on all cores, and put together in
order. Every unit is committed by itself, so a killed run goes on where it stopped; the folder appears under its name
only when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from biasaudit import __version__, identity
from biasaudit.errors import CorpusError
from biasaudit.pipeline import ingest_folder as folder
from biasaudit.pipeline.ingest_inputs import (
    Hashed,
    Input,
    Stamp,
    changed,
    described,
    hashed,
    inputs_of,
    stamp,
    stamps,
    surveyed,
    without_contact,
)  # fmt: skip
from biasaudit.pipeline.ingest_settings import IngestMeans, IngestOptions, IngestSettings, settings_of
from biasaudit.pipeline.modules import rare_collections, return_memory

if TYPE_CHECKING:
    from biasaudit.corpus.gather import Tally
    from biasaudit.lm.tokenizer import TextTokenizer
    from biasaudit.pipeline.ingest_decide import Decided
    from biasaudit.pipeline.ingest_units import ReadUnit
    from biasaudit.pipeline.ingest_worker import Job
    from biasaudit.pipeline.ingest_write import Words, Written
    from biasaudit.scale.processes import Crew

Progress = Callable[[str, float, float | None, str], None]
"""(stage, done, total, note): bytes while reading, documents afterwards."""

_ALONE = 24 << 20
"""Bytes of sources up to which starting other processes costs more than it brings."""
LEAST = 2
"""Documents that a corpus must have."""
_SPACE = 4
"""Times the size of its sources that an ingest takes on the disk before it is done."""


def ingest(
    sources: Sequence[str | Path],
    out: Path,
    *,
    fresh: bool = False,
    progress: Progress | None = None,
    **options: Unpack[IngestOptions],
) -> dict[str, Any]:
    """Make a corpus folder of `sources` and return its data card.

    The same sources and settings again return the card of what is there, or go on with what a killed run left.

    Args:
        sources: files, folders of files, archives, or `hf:NAME` for a dataset of the hub.
        out: the corpus folder; made whole or not at all.
        fresh: replace a corpus that stands at `out`.
        progress: called with (stage, done, total, note).
        **options: see `IngestOptions`.

    Raises:
        CorpusError: a source is missing or cannot be understood, or `out` holds something else.
        ResourceError: the disk has no room for the work.
        RunLockedError: another process writes to `out`.
        UsageError: an option that cannot work.
    """
    settings, means = settings_of(options)
    report = progress or (lambda _stage, _done, _total, _note: None)
    inputs = inputs_of(sources, settings)
    with (
        rare_collections(),
        folder.told(out),
        tempfile.TemporaryDirectory(prefix="biasaudit-") as scratch,
        folder.single_writer(out),
    ):
        folder.refuse_to_overwrite(out, fresh=True)
        return _ingest(sources, out, fresh, settings, means, inputs, Path(scratch), report)


def _ingest(
    sources: Sequence[str | Path], out: Path, fresh: bool, settings: IngestSettings, means: IngestMeans,
    inputs: Sequence[Input], scratch: Path, report: Progress,
) -> dict[str, Any]:  # fmt: skip
    before = stamps(inputs)
    with ThreadPoolExecutor(1) as beside:  # hashing leaves the interpreter free
        named = beside.submit(_named_tokenizer, settings, scratch)
        found = hashed(inputs, settings, scratch, report)
        words, loaded = named.result()
    secret = folder.channel_key(means, report)
    channels = identity.content_hash(secret.hex()) if secret else ""
    processes = means.processes or (1 if sum(one.size for one in found) < _ALONE else len(os.sched_getaffinity(0)))
    if processes > 1:  # the workers are others, and its memory is theirs
        loaded = None
        return_memory()
    rules = [_code(), _libraries(settings), identity.plain(settings), channels, words.fingerprint]
    key = identity.content_hash(["corpus", rules, [one.row for one in found]])
    done = None if fresh else folder.finished(out, key)
    if done is not None:
        folder.remove_others(out)
        report("corpus", 1, 1, "already done with these inputs and settings")
        return done
    folder.refuse_to_overwrite(out, fresh=fresh, settings=identity.plain(settings))
    with folder.staging(out, key) as staging:
        work = _Work(
            settings, means, [without_contact(str(source)) for source in sources], out, staging, key, words, report
        )
        return work.build(found, before, secret, processes, loaded)


def _code() -> str:
    """Hash of the code that decides what a corpus holds, so that a changed rule is never taken for work done."""
    files = sorted(
        (base, str(p.name), p.read_text("utf-8"))
        for base in ("biasaudit.corpus", "biasaudit.corpus.sources", "biasaudit.pipeline", "biasaudit.lm")
        for p in resources.files(base).iterdir()
        if p.name.endswith((".py", ".c"))
        and (base.startswith("biasaudit.corpus") or p.name.startswith(("ingest", "tokenizer")))
    )
    return identity.content_hash([__version__, files])


def _libraries(settings: IngestSettings) -> dict[str, str]:
    """Versions of what decides results besides our own code: another one is other work too."""
    names = ["rensa"] if settings.duplicates == "near" else []
    names += ["phonenumbers", "python-stdnum"] if settings.privacy else []
    names += ["lingua-language-detector"] if settings.only_language else []
    names += ["tokenizers"] if settings.train_vocab else []
    found = {"unicode": unicodedata.unidata_version}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _named_tokenizer(settings: IngestSettings, scratch: Path) -> tuple[Words, TextTokenizer | None]:
    """The tokenizer named, as files and loaded; an empty one when it is to be learnt."""
    from biasaudit.lm.tokenizer import load_tokenizer
    from biasaudit.pipeline.ingest_write import Words

    if settings.train_vocab:
        return Words(), None
    loaded = load_tokenizer(settings.tokenizer)
    return Words.saved(loaded, scratch / "tokenizer"), loaded


class _Work:
    """One corpus being made."""

    def __init__(
        self, settings: IngestSettings, means: IngestMeans, named: list[str], out: Path, staging: Path, key: str,
        words: Words, report: Progress,
    ) -> None:  # fmt: skip
        self._words = words
        self._settings, self._means, self._named = settings, means, named
        self._out, self._staging, self._key, self._report = out, staging, key, report
        self._seconds: Counter[Any] = Counter()
        self._started = time.time()

    def build(
        self, found: Sequence[Hashed], before: Mapping[Path, Stamp], secret: bytes | None, processes: int,
        loaded: TextTokenizer | None,
    ) -> dict[str, Any]:  # fmt: skip
        """Do all phases, commit the folder and return the card.

        Args:
            found: the inputs.
            before: their stamps, from before they were hashed.
            secret: key of the channels' pseudonyms.
            processes: that do the work; 1 is this one.
            loaded: the tokenizer, when it is named and this process does the work.
        """
        from biasaudit.pipeline.ingest_worker import Job, worker
        from biasaudit.scale.processes import Crew
        from biasaudit.store.files import require_space

        settings, staging = self._settings, self._staging
        size = sum(one.size for one in found)
        staged = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        require_space(self._out.parent, _SPACE * size - staged)
        looked = surveyed(found, settings, staging / "unpacked")
        job = Job(settings=settings, surveys=tuple(looked.surveys), staging=staging, key=secret, stamps=before)
        self._rest(before)
        with Crew(partial(worker, job, loaded), processes, threads_per_process=1) as crew:
            try:
                units, records = self._read(crew, job)
            except Exception:
                self._rest(before)  # what went wrong (a worker may even have died of it) has this simple cause
                raise
            self._rest(before)
            tally, notes = self._tallied(units, records, len(looked.surveys))
            sources = described(found, looked, notes)
            if not tally.records and tally.rejects:
                folder.gather_rejects(staging, units, staging / "rejects.jsonl", tally.rejects.total())
                raise CorpusError(_nothing_read(sources, tally.rejects, folder.keep_rejects(staging, self._out)))
            if tally.records and sum(record["documents"] for record in records.values()) < LEAST:
                raise CorpusError(_nothing_left(tally, settings))
            if not tally.records and not tally.rejects:
                raise CorpusError(
                    f"{', '.join(self._named)}: no record, only headers and blank lines. Give a dump with records."
                )
            decided, written = self._write(crew, job, units, records, tally, processes)
        # The workers are gone by now, and their memory with them.
        return self._commit(sources, tally, decided, written)

    @staticmethod
    def _rest(before: Mapping[Path, Stamp]) -> None:
        if any(stamp(path) != known for path, known in before.items()):
            raise changed()

    def _read(self, crew: Crew, job: Job) -> tuple[list[ReadUnit], dict[str, dict[str, Any]]]:
        """First phase: every unit a part, and all of them a chain without a hole."""
        from biasaudit.pipeline.ingest_tables import read_record
        from biasaudit.pipeline.ingest_units import plan, repaired

        units = plan(job.surveys, unit_bytes=self._means.unit_bytes)
        records: dict[str, dict[str, Any]] = {}
        total = sum(unit.count for unit in units)

        done = read = 0

        def commit(unit: ReadUnit, record: dict[str, Any]) -> None:
            nonlocal done, read
            records[unit.unit_id] = record
            done, read = done + unit.count, read + record["tally"]["records"]
            self._report("reading", done, total, f"{read:,} records")

        while True:
            own = [unit for unit in units if unit.unit_id in records]
            done = sum(unit.count for unit in own)
            read = sum(records[unit.unit_id]["tally"]["records"] for unit in own)
            missing = []
            for unit in units:
                if unit.unit_id not in records:
                    stored = read_record(self._staging / f"part-{unit.unit_id}.json")
                    if stored is None:
                        missing.append(unit)
                    else:
                        commit(unit, stored)
            crew.run(missing, commit)
            found = {unit.unit_id: records[unit.unit_id]["found"] for unit in units}
            again = repaired(units, found, job.surveys)
            if again == units:
                return units, {unit.unit_id: records[unit.unit_id] for unit in units}
            units = again

    def _tallied(
        self, units: Sequence[ReadUnit], records: Mapping[str, Mapping[str, Any]], sources: int
    ) -> tuple[Tally, list[dict[str, int]]]:
        """Everything that the units counted, added up; and the notes on each source."""
        from biasaudit.corpus.gather import Tally

        tally = Tally()
        notes: list[Counter[str]] = [Counter() for _ in range(sources)]
        for unit in units:
            record = records[unit.unit_id]
            tally.merge(Tally.from_json(record["tally"]))
            self._seconds.update(record["seconds"])
            for source, counts in record["notes"].items():
                notes[int(source)].update(counts)
        return tally, [dict(sorted(count.items())) for count in notes]

    def _write(
        self, crew: Crew, job: Job, units: Sequence[ReadUnit], records: Mapping[str, Mapping[str, Any]], tally: Tally,
        workers: int,
    ) -> tuple[Decided, Written]:  # fmt: skip
        """Second and third phase: what is kept, and its tokens."""
        from biasaudit.pipeline.ingest_decide import decide
        from biasaudit.pipeline.ingest_write import tokenizer_of, write

        settings, staging = self._settings, self._staging
        self._report("deciding", 0, 1, "duplicates and split")
        start = time.process_time()
        decided = decide(units, records, settings, staging, self._means.index_memory)
        return_memory()
        self._seconds.update({"decide": time.process_time() - start})
        tally.kept, tally.duplicates = decided.kept, sum(r["documents"] for r in records.values()) - decided.kept
        tally.check()
        self._report("deciding", 1, 1, f"{tally.kept:,} kept, {tally.duplicates:,} duplicates")
        corpus = folder.empty(staging / "corpus")
        folder.gather_rejects(staging, units, corpus / "rejects.jsonl", tally.rejects.total())
        words = tokenizer_of(crew, settings, self._words, decided, staging, self._report, workers)
        shutil.copytree(words.folder, corpus / "tokenizer")
        written = write(crew, decided, job, words, corpus, self._report)
        self._seconds.update(written.seconds)
        return decided, written

    def _commit(
        self, sources: list[dict[str, Any]], tally: Tally, decided: Decided, written: Written
    ) -> dict[str, Any]:
        """The card, and the folder in its place."""
        from biasaudit.pipeline.ingest_card import write_card

        corpus = self._staging / "corpus"
        with ThreadPoolExecutor(1) as beside:
            digests = beside.submit(_settled, corpus)
            card = write_card(
                corpus, settings=self._settings, named=self._named, sources=sources, tally=tally, near=decided.near,
                written=written, digests=digests,
            )  # fmt: skip
        manifest = {"kind": "corpus", "key": self._key, "version": __version__, "run": self._run()}
        folder.commit(corpus, self._out, manifest, digests.result())
        return card

    def _run(self) -> dict[str, Any]:
        """The one part of the manifest that differs between equal corpora: when, where and how fast it was made."""
        return {
            "started": self._started,
            "seconds": time.time() - self._started,
            "python": platform.python_version(),
            "stages": {name: round(seconds, 3) for name, seconds in sorted(self._seconds.items())},
        }


def _settled(corpus: Path) -> dict[str, str]:
    """SHA-256 of the large files of a corpus; the medium has them by then."""
    found = {}
    for name in ("train.bin", "val.bin", "documents.parquet"):
        found[name] = identity.file_hash(corpus / name)
        folder.sync(corpus / name)
    return found


def _nothing_left(tally: Tally, settings: IngestSettings) -> str:
    """What to say when records were read, and too few of them are left to make a corpus of."""
    reasons = {
        "have another value than --where asks for": tally.filtered,
        f"are in another language than {settings.only_language}": tally.other_language,
        "have no text, or none after cleaning": tally.empty,
    }
    gone = "; ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    left = tally.records - sum(reasons.values())
    return (
        f"{tally.records:,} records were read and {left} can be used{': ' + gone if gone else ''}. "
        f"A corpus needs at least {LEAST} documents, one of them to hold out."
    )


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
