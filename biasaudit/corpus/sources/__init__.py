"""One file a kind of dump; the file's name is the source's name.

A source module has `SUFFIXES`, the endings that it answers to; `survey(path, options) -> Survey`, a first look that
explains the dialect; and `stretch(survey, start, stop, synced) -> Iterator[Batch]`, the records that begin in a range.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biasaudit.corpus import binary
from biasaudit.corpus.batch import Batch, spans_of
from biasaudit.corpus.reading import Item, Reading, SourceOptions, Survey, regular_size
from biasaudit.errors import CorpusError, UnknownNameError


def names() -> list[str]:
    """Names of all sources, found without importing them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def files(path: Path) -> list[Path]:
    """The regular files that `path` stands for, in a stable order: itself, or what a folder holds.

    Hidden files and links are left out of folders, so that nothing outside a folder is read by naming it.

    Raises:
        CorpusError: missing, not a regular file, or a folder without a file that a source answers to.
    """
    if not path.is_dir():
        regular_size(path)
        return [path]
    from biasaudit.corpus import archives  # which reads what it unpacks through this door

    known = {*_suffixes(), *archives.SUFFIXES}
    inside = sorted(
        p for p in path.rglob("*")
        if p.suffix.lower() in known and p.is_file() and not p.is_symlink() and not p.name.startswith(".")
    )  # fmt: skip
    if not inside:
        raise CorpusError(f"{path}: no file ending in {', '.join(sorted(known))} inside. Give the files themselves.")
    return inside


def kind_of(path: Path) -> str:
    """Name of the source that answers to the ending of `path`.

    Raises:
        CorpusError: no source does.
    """
    known = _suffixes()
    try:
        return known[path.suffix.lower()]
    except KeyError:
        raise CorpusError(
            f"{path}: no source reads '{path.suffix or 'a name without ending'}'.{_advice(path.suffix.lower())} "
            f"Known endings: {', '.join(sorted(known))}; or name the kind: {', '.join(names())}."
        ) from None


def _advice(suffix: str) -> str:
    """What people who give such a file mostly want."""
    if suffix in (".html", ".htm"):
        return " Telegram Desktop also exports as JSON: choose that format and give its result.json."
    if suffix in (".xls", ".xlsx", ".ods", ".sav", ".dta"):
        return " Save the table as CSV (UTF-8) and give that."
    return ""


def read(path: Path, options: SourceOptions, *, kind: str | None = None) -> Reading:
    """Open one file with the source `kind`, or with the one that its ending names.

    Raises:
        CorpusError: the file cannot be read as that kind, or is a picture, a PDF, an archive or other binary data.
        UnknownNameError: no source is called `kind`.
    """
    name = kind or kind_of(path)
    module = _module(name)
    binary.refuse(path, name, options.encoding)
    if kind is None:
        module = _module(_read_as(name, path, options))
    if hasattr(module, "read"):
        reading: Reading = module.read(path, options)
        return reading
    found: Survey = module.survey(path, options)
    notes = dict(found.notes)
    return Reading(items=_items(found, notes), size=found.size, notes=notes)


def _items(found: Survey, notes: dict[str, Any]) -> Iterator[Item]:
    """The batches of a source as spans, one by one; counts of the whole file end in `notes`."""
    for batch in stretch(found, 0, found.size):
        yield from spans_of(batch, found.label)
        for name, count in batch.notes.items():
            notes[name] = notes.get(name, 0) + count


def survey(path: Path, options: SourceOptions, *, kind: str | None = None) -> Survey:
    """Take a first look at one file with the source `kind`, or with the one that its ending names.

    Raises:
        CorpusError: the file cannot be read as that kind, or is a picture, a PDF, an archive or other binary data.
        UnknownNameError: no source is called `kind`.
    """
    name = kind or kind_of(path)
    module = _module(name)
    binary.refuse(path, name, options.encoding)
    if kind is None:
        module = _module(_read_as(name, path, options))
    found: Survey = module.survey(path, options)
    return found


def _read_as(name: str, path: Path, options: SourceOptions) -> str:
    """The source that its ending names, but for a table under the ending of a text: Excel writes those."""
    if name != "text" or options.lines_per_document:
        return name
    from biasaudit.corpus import table_head  # which needs the readers' modules

    return "csv" if table_head.begins(path, options) else name


def stretch(found: Survey, start: int, stop: int, *, synced: bool = True) -> Iterator[Batch]:
    """Read the records that begin in [start, stop); the last one may end behind `stop`.

    Args:
        found: what `survey` said of the source.
        start: a place where a span begins when `synced`, any place otherwise.
        stop: where to stop, `found.size` for the end.
        synced: False looks for the first record that seems to begin at `start` or after it; the first batch says where.
            The caller checks that the stretch before ended there, and asks again from the right place otherwise.

    Raises:
        CorpusError: the file was cut while it was read.
    """
    batches = _module(found.kind).stretch(found, start, stop, synced)
    while True:
        # Sources read through maps: touching what is no longer there would end the process.
        if found.unit == "bytes" and regular_size(found.path) < found.size:
            raise CorpusError(
                f"{found.path}: changed while it was read: it is shorter now. Run again when nothing writes to it."
            )
        batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _module(name: str) -> Any:
    if name not in names():
        raise UnknownNameError("source", name, names())
    return importlib.import_module(f"{__name__}.{name}")


def _suffixes() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        found.update(dict.fromkeys(module.SUFFIXES, name))
    return found
