"""What the user named, as sources that can be read: files, folders, archives, datasets of the hub."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from biasaudit.corpus.reading import SourceOptions, Survey
    from biasaudit.pipeline.ingest_settings import IngestSettings

HUB = "hf:"
"""What the name of a dataset on the hub begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One thing to read: a file, or a dataset of the hub."""

    label: str
    """How records and the card name it: a path inside the folder given, or a file name."""
    path: Path | None
    """None for a dataset of the hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """An input with what makes it this one and no other."""

    input: Input
    size: int
    """Bytes; rows of a dataset."""
    sha256: str
    survey: Survey | None = None
    """Of a dataset, which was opened for its hash."""

    @property
    def row(self) -> dict[str, Any]:
        """As the card lists it."""
        return {"name": self.input.label, "bytes": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a first look at all inputs found."""

    surveys: list[Survey]
    origins: list[dict[str, str]]
    """For each survey the `input` that it belongs to, and the `member` when that is an archive."""
    skipped: list[dict[str, str]]
    """Members of archives that were left out: `input`, `name`, `because`."""


def inputs_of(sources: Sequence[str | Path], settings: IngestSettings) -> list[Input]:
    """Every file and dataset that `sources` stand for, in the order given; a file is read once.

    Raises:
        CorpusError: missing, not a regular file, or of no known kind.
        UsageError: nothing was named.
    """
    from biasaudit.corpus import archives
    from biasaudit.corpus import sources as door

    if not sources:
        raise UsageError("No source given. Name at least one file or folder.")
    found: dict[object, Input] = {}
    for source in sources:
        name = str(source)
        if name.startswith(HUB):
            found.setdefault(name, Input(label=name, path=None))
            continue
        for path in door.files(Path(name)):
            if settings.kind is None and not archives.is_archive(path):
                door.kind_of(path)
            label = str(path.relative_to(name)) if Path(name).is_dir() else path.name
            found.setdefault(path.resolve(), Input(label=without_contact(label), path=path))
    return _told_apart(list(found.values()))


_CONTACT = re.compile(r"(WhatsApp (?:com|with|con|avec|mit) )[^/]+(?=\.\w+$)", re.IGNORECASE)
"""What WhatsApp calls an export; the contact's name has no place in a corpus."""


def without_contact(name: str) -> str:
    """The name of a source without that of a contact."""
    return _CONTACT.sub(r"\1[USER]", name)


def _told_apart(inputs: list[Input]) -> list[Input]:
    """Inputs of one label each in a numbered folder of its own, so that records say which one they are from."""
    seen: Counter[str] = Counter()
    apart = []
    for one in inputs:
        seen[one.label] += 1
        number = seen[one.label]
        apart.append(one if number == 1 or one.path is None else replace(one, label=f"{number}/{one.label}"))
    return apart


Stamp = tuple[int, int, int, int, int] | None


def stamp(path: Path) -> Stamp:
    """What the file system says of a file, so that one that changes under our hands is noticed; None when it is gone.

    The time of its last change of any kind is in it, because the time of its last writing can be set back.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def stamps(inputs: Sequence[Input]) -> dict[Path, Stamp]:
    """The stamp of each file."""
    return {one.path: stamp(one.path) for one in inputs if one.path is not None}


def changed() -> CorpusError:
    """What to raise when a stamp is another than before."""
    return CorpusError("A source was changed while it was read. Nothing was written; run again when it is at rest.")


def hashed(inputs: Sequence[Input], settings: IngestSettings, scratch: Path, report: Any) -> list[Hashed]:
    """Read every input once for its SHA-256; datasets of the hub are fetched for it.

    Args:
        inputs: from `inputs_of`.
        settings: of the ingest.
        scratch: an empty folder for the copies of datasets that lie on this disk.
        report: called with (stage, done, total, note).
    """
    rows = []
    for number, one in enumerate(inputs):
        if one.path is None:
            from biasaudit.corpus.sources import hf

            local = hf.wanted(one.label).local
            survey = hf.open_dataset(one.label, options(settings, one.label), scratch if local else None)
            rows.append(Hashed(input=one, size=survey.size, sha256=str(survey.notes["sha256"]), survey=survey))
        else:
            rows.append(Hashed(input=one, size=one.path.stat().st_size, sha256=identity.file_hash(one.path)))
        report("hashing sources", number + 1, len(inputs), one.label)
    return rows


def surveyed(found: Sequence[Hashed], settings: IngestSettings, spool: Path) -> Surveyed:
    """Look at every source; archives are unpacked into `spool` first.

    Raises:
        CorpusError: something cannot be read as what it is said to be.
    """
    from biasaudit.corpus import archives

    refused: list[CorpusError] = []
    surveys: list[Survey] = []
    origins: list[dict[str, str]] = []
    skipped: list[dict[str, str]] = []
    for number, (one, opened) in enumerate((row.input, row.survey) for row in found):
        if one.path is None:
            surveys += [opened] if opened is not None else []
            origins.append({"input": one.label})
        elif not archives.is_archive(one.path):
            surveys.append(_looked_at(one.path, one.label, settings, refused))
            origins.append({"input": one.label})
        else:
            place = spool / f"{number:05}"
            place.mkdir(parents=True, exist_ok=True)
            for member in archives.unpacked(one.path, place, label=one.label, kind=settings.kind):
                if member.path is None:
                    skipped.append({"input": one.label, "name": member.label, "because": member.skipped})
                    continue
                surveys.append(_looked_at(member.path, member.label, settings, refused))
                origins.append({"input": one.label, "member": member.label})
    if refused and len(refused) == len(surveys):
        raise refused[0]
    return Surveyed(surveys, origins, skipped)


def _looked_at(path: Path, label: str, settings: IngestSettings, refused: list[CorpusError]) -> Survey:
    """Survey one file; a map that speaks of none of its columns may be meant for another source, and goes to `refused`.

    Raises:
        CorpusError: it cannot be read, with its label for a path where that is a copy of ours.
    """
    from biasaudit.corpus import sources as door

    said = options(settings, label)
    try:
        return door.survey(path, said, kind=settings.kind)
    except CorpusError as error:
        told = CorpusError(str(error).replace(str(path), label))
        if settings.column_map:
            with contextlib.suppress(CorpusError):
                found = door.survey(path, replace(said, columns={}), kind=settings.kind)
                refused.append(told)
                return found
        raise told from error


def options(settings: IngestSettings, label: str) -> SourceOptions:
    """What a reader may know of the settings."""
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


def described(found: Sequence[Hashed], looked: Surveyed, notes: Sequence[Mapping[str, int]]) -> list[dict[str, Any]]:
    """Rows of the card: every input with its hash, and how each of its sources was read."""
    rows = []
    for one in found:
        row = one.row
        own = [number for number, origin in enumerate(looked.origins) if origin["input"] == one.input.label]
        dialects = [{**looked.surveys[number].notes, **notes[number]} for number in own]
        if any("member" in looked.origins[number] for number in own):
            row["members"] = [
                {"name": looked.origins[number]["member"], "dialect": dialect, **_counted_in(looked.surveys[number])}
                for number, dialect in zip(own, dialects, strict=True)
            ]
            left_out = [
                {"name": s["name"], "because": s["because"]} for s in looked.skipped if s["input"] == row["name"]
            ]
            row["dialect"] = {"kind": "archive", "members_read": len(own), "members_left_out": left_out[:100]}
            row["dialect"]["members_left_out_count"] = len(left_out)
        else:
            row["dialect"] = dialects[0] if dialects else {}
            row |= _counted_in(looked.surveys[own[0]]) if own else {}
        rows.append(json.loads(json.dumps(row, sort_keys=True)))
    return rows


def _counted_in(survey: Survey) -> dict[str, Any]:
    """What the spans of a source are counted in, for the card's sums; of a source that counts rows also how many."""
    return {"unit": survey.unit} | ({"rows": survey.size} if survey.unit == "rows" else {})
