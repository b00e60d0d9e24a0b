"""Data sets through the `datasets` library: `hf:NAME[/CONFIG][@SPLIT]` from the hub, `hf:./folder` from a folder.

The library makes Arrow files of a data set; these are read in place, a row a record. Nothing that a data set brings is
run: the library has given up scripts. Neither downloads nor names are reported to anyone for statistics.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from biasaudit.corpus.batch import Batch
from biasaudit.corpus.columns import Columns, batches, columns_of
from biasaudit.corpus.reading import SourceOptions, Survey
from biasaudit.errors import CorpusError

SUFFIXES: tuple[str, ...] = ()

PREFIX = "hf:"

_CUT_BYTES = 4 << 20
_BLOCK = 1 << 20
_LOCAL = ("./", "../", "/", "~")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a name asks for."""

    candidates: tuple[tuple[str, str | None], ...]
    """(data set, configuration), to be tried in this order."""
    split: str | None
    local: bool


@dataclass(frozen=True, slots=True)
class _Files:
    columns: Columns
    files: tuple[tuple[str, int], ...]
    """Arrow files in order, with their rows."""


def wanted(name: str) -> Wanted:
    """Take `hf:NAME[/CONFIG][@SPLIT]` apart.

    `a/b` is data set b of a, or else configuration b of the data set a.

    >>> wanted("hf:Salesforce/wikitext/wikitext-2-raw-v1").candidates
    (('Salesforce/wikitext', 'wikitext-2-raw-v1'),)

    Raises:
        CorpusError: it is no such name.
    """
    text, _, split = name.removeprefix(PREFIX).partition("@")
    if text.startswith(_LOCAL) or text in (".", ".."):
        return Wanted(((str(Path(text).expanduser()), None),), split or None, True)
    parts = text.split("/")
    if not all(parts) or len(parts) > 3 or "[" in split:
        raise CorpusError(
            f"{name}: not the name of a data set. Expected hf:NAME, hf:OWNER/NAME, either with /CONFIG and @SPLIT "
            "after it (hf:Salesforce/wikitext/wikitext-2-raw-v1@train), or hf:./FOLDER."
        )
    if len(parts) == 3:
        return Wanted((("/".join(parts[:2]), parts[2]),), split or None, False)
    if len(parts) == 2:
        return Wanted(((text, None), (parts[0], parts[1])), split or None, False)
    return Wanted(((text, None),), split or None, False)


def survey(path: Path, options: SourceOptions) -> Survey:
    """Open the data set that a path such as `hf:NAME` names; see `open_dataset`."""
    return open_dataset(str(path), options)


def open_dataset(name: str, options: SourceOptions, folder: Path | None = None) -> Survey:
    """Fetch a data set, or find it in the library's cache, and survey one split of it.

    The survey's `notes["sha256"]` is the hash of its Arrow files, which belongs in the key of anything made from it.

    Args:
        name: `hf:NAME[/CONFIG][@SPLIT]` or `hf:./folder[@SPLIT]`; the split is `train`, or the only one.
        options: the user's map and `where`.
        folder: where the library puts the Arrow files; its own cache when None. A folder on disk should be given a
            fresh one: the library takes a file that changed within its time stamp for the old one.

    Raises:
        CorpusError: the extra is missing, the hub cannot be reached, there is no such data set, configuration, split
            or column.
    """
    library = _library()
    asked = wanted(name)
    builder = _prepared(library, name, asked, folder)
    split = _split(name, asked, list(builder.info.splits or ()))
    dataset = _told(name, lambda: builder.as_dataset(split=split))
    files = [str(file["filename"]) for file in dataset.cache_files]
    schema = dataset.features.arrow_schema
    columns = columns_of(name, schema, options)
    counted = tuple((file, sum(rows.num_rows for rows in _read(file))) for file in files)
    rows = sum(count for _, count in counted)
    if not rows or rows != len(dataset):
        raise CorpusError(f"{name}: the split '{split}' holds no record. Splits: {', '.join(builder.info.splits)}.")
    step = max(1, rows * _CUT_BYTES // max(1, sum(Path(file).stat().st_size for file in files)))
    label = f"{PREFIX}{builder.repo_id or Path(asked.candidates[0][0]).name}"
    return Survey(
        path=Path(files[0]), label=options.label or f"{label}/{builder.config.name}@{split}", kind="hf", size=rows,
        unit="rows", options=options,
        notes={
            "kind": "data set", "dataset": label, "config": builder.config.name, "split": split,
            "revision": builder.hash, "sha256": _digest(files), "columns": columns.named,
        },
        detail=_Files(columns, counted), cuts=tuple(range(step, rows, step)),
    )  # fmt: skip


def stretch(found: Survey, start: int, stop: int, synced: bool) -> Iterator[Batch]:
    """Read the rows [start, stop)."""
    assert synced, "a stretch of a table begins at a cut"
    assert isinstance(found.detail, _Files)
    yield from batches(_rows(found.detail, start, stop), found.detail.columns, found.label, start)


def _rows(detail: _Files, start: int, stop: int) -> Iterator[pa.RecordBatch]:
    at = 0
    for file, count in detail.files:
        if at + count > start and at < stop:
            begin = at
            for rows in _read(file):
                first, last = max(start - begin, 0), min(stop - begin, rows.num_rows)
                if first < last:
                    yield rows.slice(first, last - first)
                begin += rows.num_rows
        at += count


def _read(file: str) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow stream; mapped, so that what is skipped costs nothing."""
    try:
        with pa.memory_map(file) as source, pa.ipc.open_stream(source) as reader:
            yield from reader
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(
            f"{file}: the library's copy of the data set is damaged or gone. Delete it and run again."
        ) from error


def _digest(files: list[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with Path(file).open("rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


# ---------------------------------------------------------------------------- the library


def _library() -> Any:
    try:
        import datasets
        import huggingface_hub.constants as hub
    except ImportError as error:
        raise CorpusError(
            "hf: sources need the library 'datasets'. Install it with: pip install 'biasaudit[hub]'."
        ) from error
    hub.HF_HUB_DISABLE_TELEMETRY = True
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.disable_progress_bars()
    # Every retry would be a line of its own; what failed is said once, by our error.
    for name in ("datasets", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return datasets


def _prepared(library: Any, name: str, asked: Wanted, folder: Path | None) -> Any:
    """The builder of the first candidate that exists, its Arrow files made."""
    failures: list[Exception] = []
    for dataset, config in asked.candidates:
        if asked.local != Path(dataset).is_dir():
            raise CorpusError(
                f"{name}: no such folder. Give one that exists, or the name of a data set without ./ before it."
                if asked.local
                else f"{name}: a folder of this name stands here. Write hf:./{dataset} to read it, or work elsewhere."
            )
        try:
            builder = library.load_dataset_builder(dataset, config, cache_dir=folder and str(folder))
        except (OSError, ValueError, RuntimeError) as error:
            failures.append(error)
            continue
        _told(name, builder.download_and_prepare)
        return builder
    raise _failed(name, failures[-1] if _missing_config(failures[-1]) else failures[0]) from failures[0]


def _split(name: str, asked: Wanted, splits: list[str]) -> str:
    if asked.split is None and len(splits) == 1:
        return splits[0]
    split = asked.split or "train"
    if split not in splits:
        raise CorpusError(
            f"{name}: no split '{split}'. Splits: {', '.join(splits)}; write {name.partition('@')[0]}@SPLIT."
        )
    return split


def _told(name: str, action: Any) -> Any:
    try:
        return action()
    except Exception as error:
        raise _failed(name, error) from error


def _missing_config(error: Exception) -> bool:
    return isinstance(error, ValueError) and "config" in str(error).lower()


def _failed(name: str, error: Exception) -> CorpusError:
    reason = " ".join(str(error).split())[:400] or type(error).__name__
    if isinstance(error, ConnectionError) or "offline" in reason.lower():
        return CorpusError(
            f"{name}: the hub cannot be reached and the data set is not in the library's cache ({reason}). Connect "
            "once and run again, or download its files and give hf:./FOLDER."
        )
    return CorpusError(f"{name}: the data set cannot be opened ({type(error).__name__}: {reason}).")
